"""Operations on alerts: what is and was wrong, and the channels that hear of it. (J-09, J-20)

A channel's address and secret are write-only: answers tell its host, and whether messages are signed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from msgspec import UNSET, Struct, UnsetType

from omni_connector.admin import bodies
from omni_connector.admin.room import Room
from omni_connector.alerts import CHANNELS, KINDS, guess, hint, shape
from omni_connector.alerts.channels import check_target
from omni_connector.alerts.telling import KIND, NO_APPRISE, has_apprise
from omni_connector.errors import GatewayError, Kind, bad_request
from omni_connector.secrets import new_id
from omni_connector.store import alerts as table
from omni_connector.store import jobs as queue
from omni_connector.store.alerts import Channel

if TYPE_CHECKING:
    from omni_connector.alerts import Teller

Json = dict[str, Any]
MOST_CHANNELS = 50
MOST_LISTED = 200
LONGEST = 4096


class NewChannel(Struct, forbid_unknown_fields=True, kw_only=True):
    """`kind` "": told by the address. `name` "": the kind. `kinds`: the alerts it wants, [] all of them."""

    url: str
    kind: str = ""
    name: str = ""
    secret: str = ""
    kinds: list[str] = []
    enabled: bool = True


class ChannelPatch(Struct, forbid_unknown_fields=True, kw_only=True):
    """What is not given stays, address and secret too; `secret` "" or null removes it."""

    url: str | UnsetType = UNSET
    name: str | UnsetType = UNSET
    secret: str | UnsetType | None = UNSET
    kinds: list[str] | UnsetType | None = UNSET
    enabled: bool | UnsetType = UNSET


class AlertQuery(Struct, forbid_unknown_fields=True, kw_only=True):
    """Query of GET /api/alerts. `before`: only alerts older than this id."""

    limit: int = 50
    before: str | None = None


class Alerts(Room):
    teller: Teller | None = None
    """Set by the process that can tell; None where nothing is sent."""

    async def alerts(self, params: Mapping[str, str] | None = None) -> Json:
        """GET /api/alerts → {"alerts": open and past, newest first, "channels", "kinds", "next"}."""
        query = bodies.read_query(dict(params or {}), AlertQuery)
        limit = bodies.at_least(query.limit, 1, "limit", MOST_LISTED) or 1
        found = await self.db.run(lambda conn: table.list_alerts(conn, limit, query.before))
        return {
            "alerts": [shape(alert) for alert in found],
            "next": found[-1].id if len(found) == limit else None,
            "kinds": dict(KINDS),
            **await self.alert_channels(),
        }

    async def alert_channels(self) -> Json:
        """GET /api/alerts/channels → {"channels", "channel_kinds"}."""
        found = await self.db.run(lambda conn: table.list_channels(conn, self.vault))
        return {"channels": [_channel_json(channel) for channel in found], "channel_kinds": channel_kinds()}

    async def add_alert_channel(self, body: object) -> Json:
        """POST /api/alerts/channels → the channel. Raises BAD_REQUEST naming the field, CONFLICT naming the name."""
        given = bodies.read(body, NewChannel)
        url = given.url.strip()
        kind = given.kind.strip().lower() or guess(url)
        known = await self.db.run(lambda conn: table.list_channels(conn, self.vault))
        if len(known) >= MOST_CHANNELS:
            raise bad_request(f"There are {MOST_CHANNELS} alert channels, which is the most. Remove one first.")
        now = self._clock()
        channel = Channel(
            id=new_id("alc", now),
            kind=_kind(kind),
            name=bodies.label(given.name) if given.name.strip() else _free_name(kind, {one.name for one in known}),
            url=self._url(kind, url),
            secret=_secret(kind, given.secret),
            kinds=_kinds(given.kinds),
            enabled=given.enabled,
            created_at=now,
        )
        await self.db.tx(lambda conn: table.add_channel(conn, self.vault, channel))
        return self._channel_told(channel)

    async def edit_alert_channel(self, channel_id: str, body: object) -> Json:
        """PATCH /api/alerts/channels/{id}. A new address or secret is tried with the next alert at once."""
        patch = bodies.read(body, ChannelPatch)
        channel = await self._find_channel(channel_id)
        changes: Json = {}
        if patch.name is not UNSET:
            changes["name"] = bodies.label(patch.name)
        if patch.url is not UNSET:
            changes["url"] = self._url(channel.kind, patch.url.strip())
        if patch.secret is not UNSET:
            changes["secret"] = _secret(channel.kind, patch.secret or "")
        if patch.kinds is not UNSET:
            changes["kinds"] = _kinds(patch.kinds or [])
        if patch.enabled is not UNSET:
            changes["enabled"] = patch.enabled
        renewed = bool(changes.keys() & {"url", "secret"})
        if renewed:
            changes["last_error"] = None
        channel = replace(channel, **changes)
        now = self._clock()

        def write(conn: Any) -> None:
            table.edit_channel(conn, self.vault, channel)
            waiting = [job.id for job in queue.list_jobs(conn) if (job.kind, job.key, job.state) == (KIND, channel_id, "ready")]
            for job_id in waiting if renewed else ():
                queue.run_now(conn, job_id, now)

        await self.db.tx(write)
        return self._channel_told(channel)

    async def remove_alert_channel(self, channel_id: str) -> Json:
        """DELETE /api/alerts/channels/{id}. What it heard stays on the alerts."""
        channel = await self._find_channel(channel_id)
        await self.db.tx(lambda conn: table.remove_channel(conn, channel_id))
        self._publish("alert-channel-removed", {"id": channel_id})
        return {"id": channel_id, "name": channel.name, "removed": True}

    async def test_alert_channel(self, channel_id: str) -> Json:
        """POST /api/alerts/channels/{id}/test → {"ok", "message"}: one test message, sent now."""
        channel = await self._find_channel(channel_id)
        if self.teller is None:
            raise GatewayError(Kind.INTERNAL, "This process sends nothing, so it cannot test a channel.")
        verdict = await self.teller.test(channel)
        self._channel_told(await self._find_channel(channel_id))
        ok = verdict.outcome == "ok"
        return {"ok": ok, "message": f"{channel.name} took the test message." if ok else f"{channel.name}: {verdict.words}"}

    # ------------------------------------------------------------ inside

    async def _find_channel(self, channel_id: str) -> Channel:
        found = await self.db.run(lambda conn: table.find_channel(conn, self.vault, channel_id))
        if found is None:
            raise table.missing(channel_id)
        return found

    def _url(self, kind: str, url: str) -> str:
        if not url or len(url) > LONGEST or not url.isprintable() or " " in url:
            raise bad_request(f"url: give one address of at most {LONGEST} characters, such as {CHANNELS[_kind(kind)].example}", "url")
        try:
            check_target(kind, url, private=self.settings.alert_private_targets)
        except GatewayError as error:
            raise bad_request(f"url: {error.message}", "url") from None
        if kind == "apprise" and not has_apprise():
            raise bad_request(f"url: {NO_APPRISE}", "url")
        return url

    def _channel_told(self, channel: Channel) -> Json:
        answer = _channel_json(channel)
        self._publish("alert-channel", answer)
        return answer


def channel_kinds() -> list[Json]:
    """The kinds of channels there are here, for forms."""
    return [
        {"id": name, "label": kind.label, "example": kind.example, "signed": kind.signed}
        for name, kind in CHANNELS.items()
        if name != "apprise" or has_apprise()
    ]


def _channel_json(channel: Channel) -> Json:
    return {
        "id": channel.id,
        "kind": channel.kind,
        "label": CHANNELS[channel.kind].label,
        "name": channel.name,
        "hint": hint(channel.kind, channel.url),
        "signed": bool(channel.secret),
        "kinds": list(channel.kinds),
        "enabled": channel.enabled,
        "created_at": channel.created_at,
        "last_ok_at": channel.last_ok_at,
        "last_error": channel.last_error,
    }


def _kind(kind: str) -> str:
    if kind not in CHANNELS:
        raise bad_request(f"kind: one of {', '.join(CHANNELS)}, not {kind[:40]!r}{bodies.did_you_mean(kind, CHANNELS)}.", "kind")
    return kind


def _kinds(values: list[str]) -> tuple[str, ...]:
    unknown = next((value for value in values if value not in KINDS), None)
    if unknown is not None:
        raise bad_request(f"kinds: any of {', '.join(KINDS)}, not {unknown[:40]!r}{bodies.did_you_mean(unknown, KINDS)}.", "kinds")
    return tuple(dict.fromkeys(values))


def _secret(kind: str, text: str) -> str:
    secret = text.strip()
    if secret and not CHANNELS[_kind(kind)].signed:
        raise bad_request(f"secret: messages to {CHANNELS[kind].label} are not signed; leave it out.", "secret")
    if len(secret) > LONGEST or not secret.isprintable():
        raise bad_request(f"secret: at most {LONGEST} printable characters.", "secret")
    return secret


def _free_name(kind: str, taken: set[str]) -> str:
    return next(name for number in range(1, len(taken) + 2) if (name := kind if number == 1 else f"{kind}-{number}") not in taken)
