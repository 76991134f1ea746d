"""Where alerts are told (channels, their addresses encrypted whole) and what is wrong, was wrong and was told.

An alert is "open", then "ended" while somebody who was told of it has yet to hear that it is over, then "closed". "dropped": it
ended because nobody asks any more (the account is gone or switched off), so nobody is told. One row is open per kind and subject.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, replace
from typing import Any, Literal

import sqlalchemy as sa

from omni_connector.errors import GatewayError, Kind
from omni_connector.secrets import Vault, new_id
from omni_connector.store.tables import alerts as t
from omni_connector.store.tables import channels as c
from omni_connector.store.tables import decode, encode, meta
from omni_connector.values import dataclass

State = Literal["open", "ended", "closed", "dropped"]
What = Literal["begun", "over"]
LIVE = ("open", "ended")
OVER = ("closed", "dropped")


@dataclass(frozen=True, slots=True)
class Channel:
    """`url` and `secret` never leave the process but to where they lead. `kinds`: the alerts it wants, () all of them."""

    id: str
    kind: str
    name: str
    url: str = field(repr=False)
    secret: str = field(default="", repr=False)
    kinds: tuple[str, ...] = ()
    enabled: bool = True
    created_at: int = 0
    last_ok_at: int | None = None
    last_error: str | None = None

    def wants(self, kind: str) -> bool:
        return not self.kinds or kind in self.kinds


@dataclass(frozen=True, slots=True)
class Alert:
    """`told`: channel id → {"at", "back_at"?, "failed"?}: when it heard of it, and of its end; or why it never will."""

    id: str
    kind: str
    subject: str
    message: str
    state: State = "open"
    at: int = 0
    ended_at: int | None = None
    told_at: int | None = None
    told: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class News:
    """One thing that a channel has yet to hear."""

    alert: Alert
    what: What


# ---------------------------------------------------------------- Channels


def aad(channel_id: str) -> str:
    return f"alert_channels:{channel_id}:target"


def _channel(vault: Vault, row: sa.RowMapping) -> Channel:
    target = decode(vault.decrypt(row["target"], aad(row["id"])))
    options = decode(row["options"])
    plain = {name: row[name] for name in ("id", "kind", "name", "enabled", "created_at", "last_ok_at", "last_error")}
    return Channel(**plain, url=target["url"], secret=target["secret"], kinds=tuple(options.get("kinds", ())))


def _values(vault: Vault, channel: Channel) -> dict[str, Any]:
    return {
        "kind": channel.kind,
        "name": channel.name,
        "target": vault.encrypt(encode({"url": channel.url, "secret": channel.secret}) or "", aad(channel.id)),
        "options": encode({"kinds": list(channel.kinds)}),
        "enabled": channel.enabled,
    }


def list_channels(conn: sa.Connection, vault: Vault) -> tuple[Channel, ...]:
    """Oldest first. Raises SecretsError when a target does not decrypt."""
    return tuple(_channel(vault, row) for row in conn.execute(sa.select(c).order_by(c.c.created_at, c.c.name)).mappings())


def find_channel(conn: sa.Connection, vault: Vault, channel_id: str) -> Channel | None:
    row = conn.execute(sa.select(c).where(c.c.id == channel_id)).mappings().first()
    return None if row is None else _channel(vault, row)


def add_channel(conn: sa.Connection, vault: Vault, channel: Channel) -> None:
    """Raises GatewayError (CONFLICT) when the name is taken."""
    _free(conn, channel)
    try:
        conn.execute(sa.insert(c).values(id=channel.id, created_at=channel.created_at, **_values(vault, channel)))
    except sa.exc.IntegrityError as error:
        raise _taken(channel.name) from error


def edit_channel(conn: sa.Connection, vault: Vault, channel: Channel) -> None:
    """Writes it as it is now; what it last said is forgotten with its address. Raises NOT_FOUND or CONFLICT."""
    _free(conn, channel)
    values = {**_values(vault, channel), "last_error": channel.last_error}
    if conn.execute(sa.update(c).where(c.c.id == channel.id).values(**values)).rowcount == 0:
        raise missing(channel.id)


def remove_channel(conn: sa.Connection, channel_id: str) -> None:
    """Raises GatewayError (NOT_FOUND)."""
    if conn.execute(sa.delete(c).where(c.c.id == channel_id)).rowcount == 0:
        raise missing(channel_id)


def note_answer(conn: sa.Connection, channel_id: str, now: int, error: str | None) -> None:
    """What the channel said to the last message: None: it took it."""
    values: dict[str, Any] = {"last_error": error} if error is not None else {"last_ok_at": now, "last_error": None}
    conn.execute(sa.update(c).where(c.c.id == channel_id).values(**values))


def rotate_secrets(conn: sa.Connection, vault: Vault) -> int:
    """Encrypts every target again with the current master key; returns how many."""
    rows = conn.execute(sa.select(c.c.id, c.c.target)).all()
    for row in rows:
        conn.execute(sa.update(c).where(c.c.id == row.id).values(target=vault.rotate(row.target, aad(row.id))))
    return len(rows)


def missing(channel_id: str) -> GatewayError:
    return GatewayError(Kind.NOT_FOUND, f"There is no alert channel {channel_id!r}. GET /api/alerts/channels lists them.", param="id")


def _free(conn: sa.Connection, channel: Channel) -> None:
    if conn.execute(sa.select(c.c.id).where(c.c.name == channel.name, c.c.id != channel.id)).first() is not None:
        raise _taken(channel.name)


def _taken(name: str) -> GatewayError:
    return GatewayError(Kind.CONFLICT, f"There is an alert channel named {name!r} already; choose another name.", param="name")


# ---------------------------------------------------------------- Alerts


def _alert(row: sa.RowMapping) -> Alert:
    return Alert(**{**row, "told": decode(row["told"])})


def _live(conn: sa.Connection, *more: sa.ColumnElement[bool]) -> list[Alert]:
    query = sa.select(t).where(t.c.state.in_(LIVE), *more).order_by(t.c.at, t.c.subject, t.c.id)
    return [_alert(row) for row in conn.execute(query).mappings()]


def _lock(conn: sa.Connection) -> None:
    """One writer at a time, so that no two processes open the same alert. SQLite's write transactions are alone anyway."""
    if conn.dialect.name == "postgresql":
        conn.execute(sa.select(meta.c.value).where(meta.c.name == "config_version").with_for_update())


def list_alerts(conn: sa.Connection, limit: int, before: str | None = None) -> list[Alert]:
    """Newest first; `before`: only those older than this id."""
    query = sa.select(t).order_by(t.c.id.desc()).limit(limit)
    if before:
        query = query.where(t.c.id < before)
    return [_alert(row) for row in conn.execute(query).mappings()]


def open_alerts(conn: sa.Connection) -> list[Alert]:
    return _live(conn, t.c.state == "open")


def by_ids(conn: sa.Connection, ids: Iterable[str]) -> dict[str, Alert]:
    return {row["id"]: _alert(row) for row in conn.execute(sa.select(t).where(t.c.id.in_(list(ids)))).mappings()}


def open_alert(conn: sa.Connection, kind: str, subject: str, message: str, now: int) -> Alert | None:
    """Begins an alert; None: it is open already. One that has just ended goes on instead, as long as not everybody has heard of its
    end, so that what comes and goes within seconds is told once."""
    _lock(conn)
    mine = _live(conn, t.c.kind == kind, t.c.subject == subject)
    if any(alert.state == "open" for alert in mine):
        return None
    if mine:
        last = mine[-1]
        still = {channel: told for channel, told in last.told.items() if "back_at" not in told}
        again = replace(last, state="open", message=message, ended_at=None, told=still)
        _write(conn, again)
        return again
    alert = Alert(new_id("alr", now), kind, subject, message, at=now)
    values = {name: getattr(alert, name) for name in ("id", "kind", "subject", "message", "state", "at")}
    conn.execute(sa.insert(t).values(**values, told=encode({})))
    return alert


def end_alert(conn: sa.Connection, kind: str, subject: str, now: int, *, silently: bool = False) -> Alert | None:
    """Ends the open alert; None: there is none. `silently`: nobody hears of it."""
    _lock(conn)
    found = _live(conn, t.c.kind == kind, t.c.subject == subject, t.c.state == "open")
    if not found:
        return None
    known = any(_heard(told) for told in found[0].told.values())
    state: State = "dropped" if silently else "ended" if known else "closed"
    ended = replace(found[0], state=state, ended_at=now)
    _write(conn, ended)
    return ended


def _write(conn: sa.Connection, alert: Alert) -> None:
    names = ("state", "message", "ended_at", "told_at")
    values = {**{name: getattr(alert, name) for name in names}, "told": encode(alert.told)}
    conn.execute(sa.update(t).where(t.c.id == alert.id).values(**values))


def prune(conn: sa.Connection, before: int) -> int:
    """Deletes what was over before that moment (ms)."""
    return conn.execute(sa.delete(t).where(t.c.state.in_(OVER), t.c.ended_at < before)).rowcount


# ---------------------------------------------------------------- Telling


def _heard(told: Mapping[str, Any]) -> bool:
    return "failed" not in told


def _news(alert: Alert, channel_id: str, wants: bool) -> What | None:
    told = alert.told.get(channel_id)
    if alert.state == "open" and told is None:
        return "begun" if wants else None
    return "over" if alert.state == "ended" and told is not None and _heard(told) and "back_at" not in told else None


def pending(conn: sa.Connection, channel: Channel) -> list[News]:
    """What the channel has yet to hear, oldest first: all that is open, and the end of what it heard of."""
    found = ((alert, _news(alert, channel.id, channel.wants(alert.kind))) for alert in _live(conn))
    return [News(alert, what) for alert, what in found if what is not None]


def waiting(conn: sa.Connection) -> list[str]:
    """Ids of the channels that have something to hear. Nothing is decrypted."""
    live = _live(conn)
    if not live:
        return []
    rows = conn.execute(sa.select(c.c.id, c.c.options).where(c.c.enabled)).all()
    wanted = {row.id: decode(row.options).get("kinds", ()) for row in rows}
    return [name for name, kinds in wanted.items() if any(_news(alert, name, not kinds or alert.kind in kinds) for alert in live)]


def mark(conn: sa.Connection, channel_id: str, items: Sequence[tuple[str, What]], now: int, failed: str = "") -> list[Alert]:
    """(alert id, what) → the channel has heard it; `failed`: it never will, and why. Returns the alerts as they are now."""
    _lock(conn)
    found = by_ids(conn, [alert_id for alert_id, _ in items])
    changed = []
    for alert_id, what in items:
        if alert_id not in found:
            continue
        alert = found[alert_id]
        told = {**alert.told.get(channel_id, {}), ("at" if what == "begun" else "back_at"): now}
        if failed:
            told["failed"] = failed
        # It ended while its message was under way: then there is an end to tell.
        state: State = "ended" if alert.state == "closed" and what == "begun" and not failed else alert.state
        changed.append(replace(alert, state=state, told_at=alert.told_at or now, told={**alert.told, channel_id: told}))
        _write(conn, changed[-1])
    return changed


def close_settled(conn: sa.Connection) -> int:
    """What has ended, and nobody is left to hear of it, is closed."""
    ended = _live(conn, t.c.state == "ended")
    if not ended:
        return 0
    listening = [row.id for row in conn.execute(sa.select(c.c.id).where(c.c.enabled))]
    done = [alert.id for alert in ended if not any(_news(alert, channel_id, False) for channel_id in listening)]
    conn.execute(sa.update(t).where(t.c.id.in_(done)).values(state="closed"))
    return len(done)
