"""Client keys: what we know of a key we issued. The key itself is never stored, only its hash."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from omni_connector.errors import GatewayError, Kind
from omni_connector.snapshot import ClientKey
from omni_connector.store.settings import bump_config
from omni_connector.store.tables import client_keys as t
from omni_connector.store.tables import decode, encode

_COLUMNS = tuple(column.name for column in t.columns)
_JSON = frozenset({"models", "providers", "budget"})


def _values(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: encode(value) if name in _JSON else value for name, value in fields.items()}


def _key(row: sa.RowMapping) -> ClientKey:
    fields = dict(row)
    for name in ("models", "providers"):
        fields[name] = None if fields[name] is None else tuple(decode(fields[name]))
    fields["budget"] = decode(fields["budget"])
    return ClientKey(**fields)


def list_keys(conn: sa.Connection) -> tuple[ClientKey, ...]:
    """Oldest first."""
    return tuple(_key(row) for row in conn.execute(sa.select(t).order_by(t.c.created_at, t.c.id)).mappings())


def get(conn: sa.Connection, key_id: str) -> ClientKey:
    row = conn.execute(sa.select(t).where(t.c.id == key_id)).mappings().first()
    if row is None:
        raise _missing(key_id)
    return _key(row)


def insert(conn: sa.Connection, key: ClientKey) -> None:
    conn.execute(sa.insert(t), _values({name: getattr(key, name) for name in _COLUMNS}))
    bump_config(conn)


def update(conn: sa.Connection, key_id: str, changes: Mapping[str, Any]) -> ClientKey:
    """Changes the named fields of ClientKey. Raises GatewayError(NOT_FOUND); KeyError for a field that cannot be changed."""
    wrong = changes.keys() - set(_COLUMNS) | changes.keys() & {"id", "hash"}
    if wrong:
        raise KeyError(f"cannot change {', '.join(sorted(wrong))} of a client key")
    if changes:
        _apply(conn, key_id, _values(changes))
    return get(conn, key_id)


def revoke(conn: sa.Connection, key_id: str, now: int) -> ClientKey:
    """From now on the key is refused. A key that is revoked already keeps its first date."""
    _apply(conn, key_id, {"revoked_at": sa.func.coalesce(t.c.revoked_at, now)})
    return get(conn, key_id)


def replace_hash(conn: sa.Connection, key_id: str, new_hash: str, hint: str) -> ClientKey:
    """Rotation: the old key is refused at once, name, limits and history stay."""
    _apply(conn, key_id, {"hash": new_hash, "hint": hint})
    return get(conn, key_id)


def touch(conn: sa.Connection, used: Mapping[str, int]) -> None:
    """Notes key id → last use (ms). Never goes back, and is no change of configuration."""
    for key_id, at in used.items():
        newer = sa.or_(t.c.last_used_at.is_(None), t.c.last_used_at < at)
        conn.execute(sa.update(t).where(t.c.id == key_id, newer).values(last_used_at=at))


def _apply(conn: sa.Connection, key_id: str, values: Mapping[str, Any]) -> None:
    if conn.execute(sa.update(t).where(t.c.id == key_id).values(**values)).rowcount == 0:
        raise _missing(key_id)
    bump_config(conn)


def _missing(key_id: str) -> GatewayError:
    return GatewayError(Kind.NOT_FOUND, f"There is no client key {key_id}.", param="id")
