"""What earlier requests left for later ones: answers by their id, and what goes with a tool call by the call's id.

A row belongs to the client key that it came to. Its value is JSON, compressed, then encrypted and bound to its row
("kept:kind:id:value"): it holds words of prompts and answers, which nobody else may read.
"""

from __future__ import annotations

import json
import logging
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import msgspec
import sqlalchemy as sa

from omni_connector.secrets import SecretsError, Vault
from omni_connector.store.tables import kept as t
from omni_connector.store.tables import upsert

log = logging.getLogger("omni.kept")

Row = dict[str, Any]
Json = dict[str, Any]
Kind = Literal["response", "call"]
RESPONSE: Kind = "response"
CALL: Kind = "call"

MAX_ID = 255
"""Longest id that is kept; providers' are shorter than 100."""
_AT_ONCE = 500
"""Ids one query asks for."""
_LEVEL = 1
"""A conversation of 2 MB is compressed in a third of the time of the default, to a little more."""
_KEYS = ("kind", "key_id", "id")
_COLUMNS = tuple(column.name for column in t.columns)
_REST = tuple(name for name in _COLUMNS if name not in _KEYS)
_PLACE = sa.tuple_(*(t.c[name] for name in _KEYS))


# ---------------------------------------------------------------- Values


def seal(vault: Vault, kind: str, id: str, value: Json) -> bytes:
    """Value → bytes for its row. Raises ValueError, TypeError or RecursionError for what is no JSON."""
    return vault.encrypt_bytes(zlib.compress(_dump(value), _LEVEL), _aad(kind, id))


def open_(vault: Vault, kind: str, id: str, blob: bytes) -> Json:
    """The opposite of `seal`, exact. Raises SecretsError."""
    aad = _aad(kind, id)
    try:
        value: Json = _load(zlib.decompress(vault.decrypt_bytes(blob, aad)))
    except (zlib.error, ValueError) as error:
        raise SecretsError(f"The stored value {aad} is damaged: restore the database from the folder backups/.") from error
    return value


def sealed(vault: Vault, rows: Sequence[Row]) -> list[Row]:
    """Rows whose value may still be plain → rows for `put`. One that can never be stored is left out, and logged: at `put` it
    would hold up whatever shares its transaction."""
    found = []
    for row in rows:
        try:
            _check(row["id"])
            _check(row.get("previous_id") or "")
            value = row["value"]
            found.append(row if isinstance(value, bytes) else {**row, "value": seal(vault, row["kind"], row["id"], value)})
        except (ValueError, TypeError, RecursionError) as error:
            log.error("a %s that was to be kept cannot be: %s", row.get("kind"), type(error).__name__)
    return found


def _check(id: Any) -> None:
    """PostgreSQL takes neither longer ids nor a NUL, and neither database takes half an emoji. Some hosts send numbers."""
    if not isinstance(id, str) or len(id) > MAX_ID or "\0" in id:
        raise ValueError("no id that can be stored")
    id.encode()


def _aad(kind: str, id: str) -> str:
    return f"kept:{kind}:{id}:value"


def _dump(value: Json) -> bytes:
    """The slow writer takes what the fast one refuses: half an emoji, and integers beyond 64 bits. A blank marks its text."""
    try:
        return msgspec.json.encode(value)
    except (UnicodeEncodeError, OverflowError):
        return b" " + json.dumps(value).encode()


def _load(data: bytes) -> Any:
    return json.loads(data) if data.startswith(b" ") else msgspec.json.decode(data)


# ---------------------------------------------------------------- Rows


def put(conn: sa.Connection, rows: Sequence[Row]) -> None:
    """Stores `rows`, over older ones of the same kind, key and id; needed: kind, key_id, id, created_at, value (`seal`)."""
    # One statement may not change a row twice (PostgreSQL).
    last = {tuple(row[name] for name in _KEYS): row for row in rows}
    if last:
        upsert(conn, t, [{name: row.get(name) for name in _COLUMNS} for row in last.values()], _KEYS, _REST)


def get(conn: sa.Connection, kind: str, key_id: str, ids: Sequence[str]) -> list[Row]:
    """The rows of `ids` that there are, in that order."""
    found: dict[str, Row] = {}
    wanted = [one for one in dict.fromkeys(ids) if _can_be(one)]
    for some in _chunks(wanted):
        query = sa.select(t).where(t.c.kind == kind, t.c.key_id == key_id, t.c.id.in_(some))
        found |= {row["id"]: dict(row) for row in conn.execute(query).mappings()}
    return [found[one] for one in wanted if one in found]


def chain(conn: sa.Connection, key_id: str, response_id: str, limit: int = 1000) -> list[Row]:
    """A response and those before it, oldest first; [] when it is not there, at most `limit`.

    It is complete when the first row's `previous_id` is None; else an earlier response is gone, or there are more of them.
    """
    if not _can_be(response_id):
        return []
    mine = sa.and_(t.c.kind == RESPONSE, t.c.key_id == key_id)
    start = sa.select(t.c.id, t.c.previous_id, sa.literal(1, sa.Integer()).label("step")).where(mine, t.c.id == response_id)
    steps = start.cte("steps", recursive=True)
    steps = steps.union_all(
        sa.select(t.c.id, t.c.previous_id, steps.c.step + 1).where(mine, t.c.id == steps.c.previous_id, steps.c.step < limit)
    )
    # A host that numbers its answers anew each time makes a circle: every id counts once.
    ids = list(dict.fromkeys(conn.execute(sa.select(steps.c.id).order_by(steps.c.step)).scalars()))
    return get(conn, RESPONSE, key_id, ids)[::-1]


def is_of_another(conn: sa.Connection, kind: str, key_id: str, id: str) -> bool:
    """Whether a row of that kind and id belongs to another key."""
    if not _can_be(id):
        return False
    query = sa.select(sa.literal(1)).where(t.c.kind == kind, t.c.id == id, t.c.key_id != key_id).limit(1)
    return conn.execute(query).first() is not None


def delete(conn: sa.Connection, kind: str, key_id: str, id: str) -> bool:
    """Whether there was such a row."""
    if not _can_be(id):
        return False
    return conn.execute(sa.delete(t).where(t.c.kind == kind, t.c.key_id == key_id, t.c.id == id)).rowcount > 0


def prune(conn: sa.Connection, before_ms: int, limit: int) -> int:
    """Deletes at most `limit` rows made before `before_ms`, oldest first; returns how many. Call again until it returns 0."""
    oldest = sa.select(*(t.c[name] for name in _KEYS)).where(t.c.created_at < before_ms).order_by(t.c.created_at).limit(limit)
    return conn.execute(sa.delete(t).where(_PLACE.in_(oldest))).rowcount


def _can_be(id: str) -> bool:
    """Ids that clients ask for may be anything; some a database would choke on."""
    try:
        _check(id)
    except ValueError:
        return False
    return bool(id)


def _chunks(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (ids[start : start + _AT_ONCE] for start in range(0, len(ids), _AT_ONCE))
