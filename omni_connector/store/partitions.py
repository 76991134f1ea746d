"""The monthly partitions of the requests on PostgreSQL: found, made ahead of time, dropped as a whole.

A partition is a range of ids, which begin with their time (`secrets.new_id`). Whatever no month is made for goes into the partition
`requests_default`, so no row is ever refused. SQLite has no partitions: there is nothing to do, and every list is empty.

Making one and dropping one lock the table for a moment only, and wait for others no longer than LOCK_S: what gives up is tried again
later. (DETACH … CONCURRENTLY is no way: PostgreSQL refuses it beside a default partition.)
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

import sqlalchemy as sa

from omni_connector import periods
from omni_connector.secrets import id_floor, id_ms
from omni_connector.store import rollups
from omni_connector.store.tables import requests as t
from omni_connector.values import dataclass

PARENT = t.name
DEFAULT = f"{PARENT}_default"
AHEAD = 3
"""Months beside the present one that there are always tables for."""
MOST_AHEAD = 120
LOCK_S = 2
"""How long to wait for whoever is at work: others wait behind us meanwhile."""

_PARTS = """
SELECT c.relname AS name, pg_get_expr(c.relpartbound, c.oid) AS bound, greatest(c.reltuples, 0)::bigint AS rows,
       pg_total_relation_size(c.oid) AS bytes
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = to_regclass(:parent) ORDER BY c.relname
"""
_KIND = "SELECT relkind::text FROM pg_class WHERE oid = to_regclass(:parent)"
_MAY = """
SELECT pg_has_role(c.relowner, 'USAGE') AND has_schema_privilege(c.relnamespace, 'CREATE')
FROM pg_class c WHERE c.oid = to_regclass(:parent)
"""
_BOUND = re.compile(r"FOR VALUES FROM \((?:'([^']*)'|MINVALUE)\) TO \('([^']*)'\)")


@dataclass(frozen=True, slots=True)
class Part:
    """One month's table: the ids [low, high). `low` "": from the first one on. `rows` as last estimated, `bytes` with its indexes."""

    name: str
    low: str
    high: str
    rows: int = 0
    bytes: int = 0

    @property
    def begins_at(self) -> int | None:
        """ms; None: there is no beginning."""
        return id_ms(self.low) if self.low else None

    @property
    def ends_at(self) -> int:
        return id_ms(self.high)


def parts(conn: sa.Connection) -> list[Part]:
    """All that have bounds, in their order; the default partition is not among them."""
    if conn.dialect.name != "postgresql":
        return []
    listed = conn.execute(sa.text(_PARTS), {"parent": PARENT}).all()
    bound = [(row, match) for row in listed if (match := _BOUND.fullmatch(row.bound or ""))]
    found = (Part(row.name, match[1] or "", match[2], int(row.rows), int(row.bytes)) for row, match in bound)
    return sorted(found, key=lambda part: part.low)


def may_change(conn: sa.Connection) -> bool:
    """Whether this role may make and drop them: it owns the table, and may make tables in its schema."""
    return conn.dialect.name == "postgresql" and bool(conn.execute(sa.text(_MAY), {"parent": PARENT}).scalar())


def missing(conn: sa.Connection, now: int, ahead: int = AHEAD) -> list[Part]:
    """Tables that the month of `now` (ms) and the next ones still want, unless something covers a part of them already."""
    if conn.dialect.name != "postgresql" or conn.execute(sa.text(_KIND), {"parent": PARENT}).scalar() != "p":
        return []
    there = parts(conn)
    wanted, begin = [], periods.period_start("month", now)
    for _ in range(ahead + 1):
        end = periods.period_end("month", begin) or begin
        low, high = id_floor("req", begin), id_floor("req", end)
        if not any(part.low < high and low < part.high for part in there):
            wanted.append(Part(_name(begin), low, high))
        begin = end
    return wanted


def make(conn: sa.Connection, part: Part) -> bool:
    """Makes one that is `missing`, and takes over what went to the default partition meanwhile. False: another process was faster."""
    _patiently(conn)
    # Whoever else makes one waits here; whoever reads and writes requests does not.
    conn.exec_driver_sql(f"LOCK TABLE ONLY {PARENT} IN SHARE UPDATE EXCLUSIVE MODE")
    if any(other.low < part.high and part.low < other.high for other in parts(conn)):
        return False
    name = part.name
    if conn.execute(sa.text("SELECT to_regclass(:name)"), {"name": name}).scalar() is not None:
        name += "_again"  # somebody has detached that month, to keep it: it stays his
    conn.exec_driver_sql(f"CREATE TABLE {name} (LIKE {PARENT} INCLUDING DEFAULTS INCLUDING STORAGE)")
    conn.exec_driver_sql(f"LOCK TABLE {DEFAULT} IN ACCESS EXCLUSIVE MODE")
    strays = f"DELETE FROM {DEFAULT} WHERE id >= '{part.low}' AND id < '{part.high}' RETURNING *"  # noqa: S608 - ids of our own making
    conn.exec_driver_sql(f"WITH moved AS ({strays}) INSERT INTO {name} SELECT * FROM moved")  # noqa: S608
    conn.exec_driver_sql(f"ALTER TABLE {PARENT} ATTACH PARTITION {name} FOR VALUES FROM ('{part.low}') TO ('{part.high}')")
    return True


def over(conn: sa.Connection, before_ms: int | None, up_to: str | None) -> list[Part]:
    """Those of which, by their names, all rows began before `before_ms` or have ids up to `up_to`."""
    floor = "" if before_ms is None else id_floor("req", max(0, before_ms))
    return [part for part in parts(conn) if part.high <= floor or (up_to is not None and part.high <= up_to)]


def count(conn: sa.Connection, part: Part) -> int:
    return int(conn.execute(sa.select(sa.func.count()).select_from(_table(part))).scalar_one())


def drop(conn: sa.Connection, part: Part, before_ms: int | None, up_to: str | None) -> bool:
    """Drops one with all its rows; their hourly sums stay. False, and nothing is changed, where one of its rows is still open, or began
    later than its id says and is not that old."""
    _patiently(conn)
    # In the order in which every query takes them, so that nobody waits for us crosswise.
    conn.exec_driver_sql(f"LOCK TABLE ONLY {PARENT} IN ACCESS EXCLUSIVE MODE")
    conn.exec_driver_sql(f"LOCK TABLE {part.name} IN ACCESS EXCLUSIVE MODE")
    mine = _table(part)
    still_open = sa.select(sa.literal(1)).select_from(mine).where(mine.c.state == sa.literal_column("'open'"))
    if conn.execute(still_open.limit(1)).first() is not None:
        return False
    latest = conn.execute(sa.select(sa.func.max(mine.c.started_at))).scalar()
    by_number = up_to is not None and part.high <= up_to
    if latest is not None and not by_number and (before_ms is None or latest >= before_ms):
        return False
    conn.exec_driver_sql(f"DROP TABLE {part.name}")
    if latest is not None:
        rollups.rows_gone(conn, int(latest))
    return True


def analyze(conn: sa.Connection) -> None:
    """PostgreSQL looks at partitions by itself, but not at the table as a whole."""
    conn.exec_driver_sql(f"ANALYZE {PARENT}")


def _patiently(conn: sa.Connection) -> None:
    conn.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_S}s'")


def _table(part: Part) -> sa.TableClause:
    return sa.table(part.name, sa.column("id"), sa.column("state"), sa.column("started_at", sa.BigInteger()))


def _name(begin_ms: int) -> str:
    return f"{PARENT}_{datetime.fromtimestamp(begin_ms / 1000, UTC):y%Ym%m}"
