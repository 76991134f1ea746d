"""Which revision the database has, which one this release wants, and how to get there.

Alembic costs a tenth of a second to import, so it is imported only when there is something to do.
"""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import sqlalchemy as sa

from omni_connector.root import ROOT
from omni_connector.store.files import DatabaseError

MIGRATIONS = ROOT / "migrations"
_REVISION = re.compile(r"""^(down_revision|revision)\b[^=]*=\s*(?:["']([^"']+)["']|None)\s*$""", re.MULTILINE)
_LOCK = 0x6F6D6E69
"""Advisory lock of migrations on PostgreSQL ("omni")."""


def head(folder: Path = MIGRATIONS / "versions") -> str:
    """The newest revision in `folder`: the one no other follows. Reads the files, runs nothing."""
    revisions, followed = _revisions(folder)
    heads = revisions - followed
    if len(heads) != 1:
        raise DatabaseError(f"The installation is incomplete: {folder} holds {len(heads)} newest migrations. Install again.")
    return heads.pop()


def knows(revision: str, folder: Path = MIGRATIONS / "versions") -> bool:
    """Whether this release can bring a database of that revision up to date."""
    return revision in _revisions(folder)[0]


def _revisions(folder: Path) -> tuple[set[str], set[str]]:
    """All revisions, and those that another one follows."""
    revisions: set[str] = set()
    followed: set[str] = set()
    for file in folder.glob("*.py"):
        for kind, value in _REVISION.findall(file.read_text("utf-8")):
            (revisions if kind == "revision" else followed).add(value)
    return revisions, followed


def current(conn: sa.Connection) -> str | None:
    """The database's revision; None when it is blank."""
    if not sa.inspect(conn).has_table("alembic_version"):
        return None
    revision: str | None = conn.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    return revision


def lock(conn: sa.Connection) -> None:
    """Waits until no other process migrates. On SQLite the transaction's own write lock is enough."""
    if conn.dialect.name == "postgresql":
        conn.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})


def preload() -> None:
    """Loads what a migration needs, for who will have to be quick then."""
    import_module("alembic.command")
    import_module("alembic.runtime.migration")


def upgrade(conn: sa.Connection) -> None:
    """Upgrades to the newest revision inside the caller's transaction. Raises DatabaseError for a newer release's database."""
    from alembic import command
    from alembic.config import Config
    from alembic.util.exc import CommandError

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = conn
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        found = current(conn)
        raise DatabaseError(
            f"The database has schema revision {found!r}, which this release does not know ({error}). It was used by a newer "
            "release: install that one again, or restore a copy from the folder backups/."
        ) from error
    if conn.dialect.name == "sqlite" and (broken := conn.exec_driver_sql("PRAGMA foreign_key_check").first()):
        raise DatabaseError(f"The migration would leave rows that point nowhere, so it was undone: {tuple(broken)}.")
