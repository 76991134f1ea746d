"""PostgreSQL from our side: what its address may say, connections to it, and which of its errors mean that it is away.

The address is libpq's (`postgresql://user:password@host:5432/name?sslmode=verify-full&sslrootcert=/etc/ca.pem`), with two words of our own:
`pooler=1` for a pooler that shares connections between transactions (PgBouncer, Supavisor, RDS Proxy): no prepared statements are kept and
nothing is left on a connection. `pool=N`: connections of one process at most (default POOL).
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from omni_connector.store.files import Away, DatabaseError

if TYPE_CHECKING:
    import asyncpg
    from sqlalchemy.ext.asyncio import AsyncEngine

CHANNEL = "omni_config"
"""NOTIFY here says that the configuration moved."""
POOL = 12
CONNECT_S = 5.0
COMMAND_S = 30.0
"""A statement that takes longer is given up: the server does not answer, or is out of breath. Migrations take as long as they take."""
WAIT_S = 10.0
"""How long a request waits for a connection, and a statement for a lock."""
MISSING = "PostgreSQL needs the extra `postgres` of omni-connector (the package asyncpg), which is not installed."

IDLE_S = 15.0
"""How long the server waits for the next word within a transaction: a node that is frozen, or cut off without a word, holds what others
need."""

SESSION = {
    "application_name": "omni-connector",
    "lock_timeout": f"{WAIT_S:g}s",
    "idle_in_transaction_session_timeout": f"{IDLE_S:g}s",
}
"""Of each connection; a pooler takes no such settings at connecting."""
OURS = ("pooler", "pool")
_TRUE = {"1", "true", "yes", "on"}

AGAIN = {"40001", "40P01", "55P03", "25P03", "23514"}
"""SQLSTATEs of a transaction that may simply be run again: serialization, deadlock, a lock that was held too long, a process that stood
still in the middle of it; and a row on its way to the default partition for which a partition was made in that moment (there are no
other checks)."""
AWAY = ("08", "57P0", "53", "58", "25006")
"""Beginnings of SQLSTATEs: connection, shutdown, out of resources (disk, connections), system, read-only (a standby)."""
REFUSED = ("28", "3D", "3F", "42501")
"""Who may enter, which database, which rights: nothing becomes better by itself."""


def libpq(url: URL) -> str:
    """The address as PostgreSQL's own programs and the driver take it, without our words."""
    plain = url.set(drivername="postgresql").difference_update_query(OURS)
    return plain.render_as_string(hide_password=False)


def pooled(url: URL) -> bool:
    """Whether a pooler is in between that hands out another connection for each transaction."""
    return str(url.query.get("pooler", "")).lower() in _TRUE


def pool_size(url: URL) -> int:
    """Raises DatabaseError for what is no number."""
    given = str(url.query.get("pool", POOL))
    if not given.isdecimal() or not 1 <= int(given) <= 1000:
        raise DatabaseError(f"OMNI_DATABASE_URL: pool={given} is no number of connections; use 1 to 1000.")
    return int(given)


def engine(url: URL, *, patient: bool = False) -> AsyncEngine:
    """Raises DatabaseError for a wrong address or where the driver is missing. `patient`: for migrations, one connection at a time."""

    from sqlalchemy.ext.asyncio import create_async_engine  # 8 MB that SQLite does not need

    async def connect(*_args: Any, **_more: Any) -> asyncpg.Connection[Any]:
        return await open_connection(url, None if patient else COMMAND_S)

    size = pool_size(url)
    # Each process keeps a few connections and makes more under load; together they stay within `pool`.
    pool: dict[str, Any] = {"poolclass": NullPool}
    if not patient:
        kept = min(size, 5)
        pool = {"pool_size": kept, "max_overflow": size - kept, "pool_timeout": WAIT_S, "pool_pre_ping": True, "pool_use_lifo": True}
    connecting: dict[str, Any] = {"async_creator_fn": connect}
    if pooled(url):
        connecting |= {"prepared_statement_cache_size": 0, "prepared_statement_name_func": _statement_name}
    try:
        made = create_async_engine("postgresql+asyncpg://", connect_args=connecting, hide_parameters=True, **pool)
    except ModuleNotFoundError as error:
        raise DatabaseError(MISSING) from error
    sa.event.listen(made.sync_engine, "before_cursor_execute", _without_nul, retval=True)
    return made


def _without_nul(_conn: Any, _cursor: Any, statement: str, given: Any, _context: Any, _many: bool) -> tuple[str, Any]:
    """Texts of providers and clients may hold the character 0, which PostgreSQL takes in no text. It is of no use to anybody."""
    if isinstance(given, list):
        return statement, [_each_without_nul(row) for row in given]
    return statement, _each_without_nul(given)


def _each_without_nul(row: Any) -> Any:
    if isinstance(row, tuple) and any(isinstance(value, str) and "\0" in value for value in row):
        return tuple(value.replace("\0", "") if isinstance(value, str) else value for value in row)
    return row


def _statement_name() -> str:
    """Two clients of one pooler share its connections, so a counter would give the same name twice."""
    return f"__omni_{uuid.uuid4().hex}__"


async def open_connection(url: URL, command_s: float | None = COMMAND_S) -> asyncpg.Connection[Any]:
    """One connection of the driver's own. Raises DatabaseError for an address that it does not understand, else what it raises."""
    try:
        import asyncpg
    except ModuleNotFoundError as error:
        raise DatabaseError(MISSING) from error
    more: dict[str, Any] = {"statement_cache_size": 0} if pooled(url) else {"server_settings": SESSION}
    try:
        return await asyncpg.connect(libpq(url), timeout=CONNECT_S, command_timeout=command_s, **more)
    except (ValueError, asyncpg.exceptions.ClientConfigurationError) as error:
        raise DatabaseError(f"OMNI_DATABASE_URL: {error}") from error


def clock(conn: sa.Connection) -> int:
    """The server's time (ms)."""
    return int(conn.execute(sa.text("SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)")).scalar_one())


async def close_quietly(connection: asyncpg.Connection[Any] | None) -> None:
    if connection is not None:
        with contextlib.suppress(Exception):
            await connection.close(timeout=1)


# ---------------------------------------------------------------- What it says


def state_of(error: BaseException) -> str:
    """The SQLSTATE; "" where there is none."""
    original = getattr(error, "orig", None) or error
    return str(getattr(original, "sqlstate", None) or "")


def again(error: BaseException) -> bool:
    """Whether the same transaction may well succeed when it is run once more; it was undone."""
    original = getattr(error, "orig", None) or error
    # Another node migrated: statements that were prepared before do not fit any more.
    return state_of(error) in AGAIN or "cached statement plan is invalid" in str(original)


def explain(error: BaseException) -> DatabaseError | None:
    """The plain-words version of an error; None when the fault is in our own query. Address and password stay out of it."""
    original = getattr(error, "orig", None) or error
    said = f"{type(original).__name__}: {original}".strip().splitlines()[0]
    state = state_of(error)
    if state.startswith(REFUSED):
        words = "Check user, password and name in OMNI_DATABASE_URL, and the rights of the role."
        return DatabaseError(f"PostgreSQL refuses us ({said}). {words}")
    if state in ("42P01", "42703"):
        words = "The database has an older or newer schema than this release. Start the server once to migrate it, or install the newer"
        return DatabaseError(f"{words} release again ({said}).")
    gone = isinstance(error, sa.exc.TimeoutError) or getattr(error, "connection_invalidated", False)
    unreached = isinstance(original, OSError) or "closed" in said.lower() or "connection" in said.lower()
    if state.startswith(AWAY) or gone or (unreached and not state):
        words = "The work goes on by itself when it is back; check OMNI_DATABASE_URL."
        return Away(f"The PostgreSQL database does not answer ({said}). {words}")
    if state in AGAIN:
        return DatabaseError(f"PostgreSQL gave the work up after several tries, because others held what it needs ({said}).")
    return None


def unsafe(url: URL, environment: Mapping[str, str]) -> str:
    """What is wrong with how the connection is protected, "" for nothing: on the way to another machine anybody may read along unless TLS
    is wanted, and be the server unless its certificate is checked."""
    host = str(url.query.get("host", url.host or environment.get("PGHOST", "")))
    if host in ("", "localhost", "127.0.0.1", "::1") or host.startswith("/") or host.endswith(".localhost"):
        return ""
    mode = str(url.query.get("sslmode", url.query.get("ssl", environment.get("PGSSLMODE", "prefer"))))
    if mode in ("disable", "allow", "prefer"):
        return f"The connection to {host} may go without TLS (sslmode={mode})."
    if mode in ("require", "true") and not url.query.get("sslrootcert"):
        return f"The connection to {host} is encrypted, but nobody checks that it is {host} (sslmode={mode})."
    root = str(url.query.get("sslrootcert", ""))
    return f"The file {root} (sslrootcert) is not there." if root not in ("", "system") and not Path(root).is_file() else ""
