"""On PostgreSQL, requests become a table of monthly partitions; on SQLite they stay as they are. On both, kept answers are found by
their id alone.

The partitions are ranges of ids, which begin with their time: so the key stays the id alone, and who asks for an id is led to its
partition. What is there becomes the partition of everything before next month, as it is: nothing is copied, its indexes are taken over,
and it is locked for one reading of the table. All in one transaction: interrupted, it has not begun.

Bounds are compared byte by byte. Where the database sorts texts otherwise, the column `id` learns it, which makes its indexes anew.
"""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

BASE32 = "0123456789abcdefghjkmnpqrstvwxyz"
AHEAD = 3
BYTEWISE = ("C", "POSIX", "C.UTF-8", "C.utf8", "C.UTF8")

COLLATION = """
SELECT datcollate, coalesce(to_jsonb(d) ->> 'datlocprovider', 'c') FROM pg_database d WHERE datname = current_database()
"""
INDEXES = """
SELECT c.relname AS name, pg_get_indexdef(i.indexrelid) AS made_by, i.indisprimary AS is_key
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = 'requests'::regclass ORDER BY c.relname
"""
RIGHTS = """
SELECT a.privilege_type AS what, CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS whose
FROM pg_class c, aclexplode(c.relacl) a WHERE c.oid = 'requests'::regclass AND a.grantee <> c.relowner
"""


def upgrade() -> None:
    op.create_index("ix_kept_id", "kept", ["id"])
    conn = op.get_bind()
    if conn.dialect.name != "postgresql":
        return
    if not _sorts_bytewise(conn):
        op.execute('ALTER TABLE requests ALTER COLUMN id TYPE varchar(40) COLLATE "C"')
    indexes, rights = conn.execute(sa.text(INDEXES)).all(), conn.execute(sa.text(RIGHTS)).all()
    month = datetime.fromtimestamp(float(conn.execute(sa.text("SELECT extract(epoch FROM now())")).scalar_one()), UTC)
    month = month.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    if conn.execute(sa.text("SELECT 1 FROM requests LIMIT 1")).first() is not None:
        month = _next(month)
    op.execute("ALTER TABLE requests RENAME TO requests_before")
    for index in indexes:
        op.execute(f"ALTER INDEX {index.name} RENAME TO {index.name.replace('requests', 'requests_before')}")
    op.execute("CREATE TABLE requests (LIKE requests_before INCLUDING DEFAULTS INCLUDING STORAGE) PARTITION BY RANGE (id)")
    _index("requests", indexes)
    for right in rights:
        op.execute(f"GRANT {right.what} ON requests TO {right.whose}")
    op.execute("CREATE TABLE requests_default PARTITION OF requests DEFAULT")
    # What a clock that was ahead has named goes where there is no bound.
    strays = f"DELETE FROM requests_before WHERE id >= '{_floor(month)}' RETURNING *"  # noqa: S608 - ids of our own making
    op.execute(f"WITH moved AS ({strays}) INSERT INTO requests_default SELECT * FROM moved")  # noqa: S608
    op.execute(f"ALTER TABLE requests ATTACH PARTITION requests_before FOR VALUES FROM (MINVALUE) TO ('{_floor(month)}')")
    for _ in range(AHEAD + 1):
        name, begin, month = f"requests_y{month:%Y}m{month:%m}", month, _next(month)
        if conn.execute(sa.text(f"SELECT 1 FROM requests_default WHERE id < '{_floor(month)}' LIMIT 1")).first() is None:  # noqa: S608
            op.execute(f"CREATE TABLE {name} PARTITION OF requests FOR VALUES FROM ('{_floor(begin)}') TO ('{_floor(month)}')")
    op.execute("ANALYZE requests")


def downgrade() -> None:
    op.drop_index("ix_kept_id", "kept")
    conn = op.get_bind()
    if conn.dialect.name != "postgresql":
        return
    indexes, rights = conn.execute(sa.text(INDEXES)).all(), conn.execute(sa.text(RIGHTS)).all()
    op.execute("CREATE TABLE requests_plain (LIKE requests INCLUDING DEFAULTS INCLUDING STORAGE)")
    op.execute("INSERT INTO requests_plain SELECT * FROM requests")
    op.execute("DROP TABLE requests")
    op.execute("ALTER TABLE requests_plain RENAME TO requests")
    _index("requests", indexes)
    for right in rights:
        op.execute(f"GRANT {right.what} ON requests TO {right.whose}")


def _index(table: str, indexes: list) -> None:
    """The same key and indexes as another table of that name had."""
    for index in indexes:
        if index.is_key:
            op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {index.name} PRIMARY KEY (id)")
        else:
            op.execute(index.made_by.replace(" ON ONLY ", " ON ", 1))


def _sorts_bytewise(conn: sa.Connection) -> bool:
    collate, provider = conn.execute(sa.text(COLLATION)).one()
    return provider != "i" and collate in BYTEWISE


def _next(month: datetime) -> datetime:
    return month.replace(year=month.year + month.month // 12, month=month.month % 12 + 1)


def _floor(moment: datetime) -> str:
    """The least id of that moment, as `secrets.id_floor` makes it."""
    number = int(moment.timestamp() * 1000) << 50
    return "req_" + "".join(BASE32[(number >> shift) & 31] for shift in range(95, -1, -5))
