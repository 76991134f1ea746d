"""Stored settings, aliases and chains, and the counter that tells every process that the configuration moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from omni_connector.store import server
from omni_connector.store.prebuilt import Prebuilt
from omni_connector.store.tables import Big, aliases, chains, decode, encode, meta, settings, upsert

_BUMP = (
    sa.update(meta)
    .where(meta.c.name == "config_version")
    .values(value=sa.cast(sa.cast(meta.c.value, Big) + 1, sa.Text()))
    .returning(meta.c.value)
)


def bump_config(conn: sa.Connection) -> int:
    """Moves `config_version`, in the caller's transaction; returns the new one. Every change of configuration calls it."""
    conn.info["config_changed"] = True  # the engine tells this process's watches after the commit
    if conn.dialect.name == "postgresql":
        # Delivered with the commit, and once however often it is said in one transaction.
        conn.execute(sa.select(sa.func.pg_notify(server.CHANNEL, "")))
    return int(conn.execute(_BUMP).scalar_one())


def config_version(conn: sa.Connection) -> int:
    return int(conn.execute(sa.select(meta.c.value).where(meta.c.name == "config_version")).scalar() or 0)


def get_meta(conn: sa.Connection, name: str) -> str | None:
    """A fact the program keeps for itself (password hash, last snapshot, …), which is no setting and moves no version."""
    value: str | None = conn.execute(sa.select(meta.c.value).where(meta.c.name == name)).scalar()
    return value


def _set_meta(dialect: Any) -> sa.Insert:
    insert = dialect.insert(meta).values({name: sa.bindparam(f"new_{name}") for name in ("name", "value")})
    changed: sa.Insert = insert.on_conflict_do_update(index_elements=["name"], set_={"value": insert.excluded.value})
    return changed


_SETTING_META = Prebuilt(_set_meta)


def set_meta(conn: sa.Connection, name: str, value: str) -> None:
    set_metas(conn, {name: value})


def set_metas(conn: sa.Connection, facts: Mapping[str, str]) -> None:
    """By their names."""
    if facts:
        _SETTING_META.run(conn, [{"name": name, "value": value} for name, value in facts.items()])


def take_meta(conn: sa.Connection, name: str) -> str | None:
    """Reads a fact and forgets it: of all who ask, one gets it."""
    value: str | None = conn.execute(sa.delete(meta).where(meta.c.name == name).returning(meta.c.value)).scalar()
    return value


def drop_old_meta(conn: sa.Connection, prefix: str, now: int) -> None:
    """Forgets facts of that prefix whose value, a time (ms), is over."""
    named = sa.and_(meta.c.name.startswith(prefix, autoescape=True), sa.cast(meta.c.value, Big) <= now)
    conn.execute(sa.delete(meta).where(named))


def all_settings(conn: sa.Connection) -> dict[str, str]:
    return {row.name: row.value for row in conn.execute(sa.select(settings))}


def set_setting(conn: sa.Connection, name: str, value: str) -> None:
    upsert(conn, settings, [{"name": name, "value": value}], ["name"], ["value"])
    bump_config(conn)


def delete_setting(conn: sa.Connection, name: str) -> bool:
    return _delete(conn, settings, name)


def get_aliases(conn: sa.Connection) -> dict[str, tuple[str, ...]]:
    """Alias → the names it stands for, first choice first."""
    rows = conn.execute(sa.select(aliases.c.name, aliases.c.targets))
    return {name: tuple(decode(targets)) for name, targets in rows}


def set_alias(conn: sa.Connection, name: str, targets: Sequence[str]) -> None:
    upsert(conn, aliases, [{"name": name, "targets": encode(list(targets))}], ["name"], ["targets"])
    bump_config(conn)


def delete_alias(conn: sa.Connection, name: str) -> bool:
    return _delete(conn, aliases, name)


def get_chains(conn: sa.Connection) -> dict[str, tuple[tuple[str, ...], ...]]:
    """Chain → tiers, tried in order; the members of one tier share the work."""
    rows = conn.execute(sa.select(chains.c.name, chains.c.tiers))
    return {name: tuple(tuple(tier) for tier in decode(tiers)) for name, tiers in rows}


def set_chain(conn: sa.Connection, name: str, tiers: Sequence[Sequence[str]]) -> None:
    upsert(conn, chains, [{"name": name, "tiers": encode([list(tier) for tier in tiers])}], ["name"], ["tiers"])
    bump_config(conn)


def delete_chain(conn: sa.Connection, name: str) -> bool:
    return _delete(conn, chains, name)


def _delete(conn: sa.Connection, table: sa.Table, name: str) -> bool:
    gone = conn.execute(sa.delete(table).where(table.c.name == name)).rowcount > 0
    if gone:
        bump_config(conn)
    return gone
