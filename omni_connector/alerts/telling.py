"""Each channel hears of each alert once, politely. A job per channel (kind "alert", its id), held by one process at a time.

What a message says, and its id, is written down before it is sent. A process that dies before it noted the answer leaves it to the
next one, which sends the very same message under the same id; nobody who lives sends anything twice.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from omni_connector.alerts import kinds
from omni_connector.alerts.channels import CHANNELS, Verdict, build, check_target, hide, read
from omni_connector.errors import GatewayError, Kind
from omni_connector.jobs import Report
from omni_connector.secrets import Vault, new_id
from omni_connector.settings import Settings
from omni_connector.store import alerts as table
from omni_connector.store import jobs as queue
from omni_connector.store.alerts import Channel, News, What
from omni_connector.store.engine import Database

Json = dict[str, Any]
Items = list[tuple[str, What]]

KIND = "alert"
WITHIN_S = 10.0
APPRISE_S = 30.0
BACKOFF_S = (10, 30, 60, 300, 900, 1800, 3600)
"""Wait after the first, second, … try that was put off; the last one repeats."""
MOST_TRIES = 20
"""Then a message is given up: about half a day."""
LONGEST_WAIT_S = 3600.0
MOST_ITEMS = 200
"""Alerts of one message."""
NO_APPRISE = "Apprise is not installed here. Install it: pip install 'omni-connector[notify]'."
ENV_NAME = "dingtalk-env"


class Post(Protocol):
    """`fetch.PublicFetcher.post`: one POST to an address that a person gave."""

    def __call__(
        self, url: str, headers: Mapping[str, str], body: bytes, *, within_s: float, allow_private: bool
    ) -> Awaitable[tuple[int, Mapping[str, str], bytes]]: ...


class Teller:
    """`publish`: the live event of what was told."""

    kind = KIND

    def __init__(
        self,
        db: Database,
        vault: Vault,
        post: Post,
        settings: Callable[[], Settings],
        now: Callable[[], int],
        publish: Callable[[str, Json], None],
    ) -> None:
        self._db = db
        self._vault = vault
        self._post = post
        self._settings = settings
        self._now = now
        self._publish = publish

    # ------------------------------------------------------------ the job

    async def arrange(self) -> None:
        """A job for every channel that has something to hear."""
        wanted = await self._db.run(table.waiting)
        if not wanted:
            return
        now = self._now()
        known = {job.key: job.state for job in await self._db.run(queue.list_jobs) if job.kind == KIND}
        begin = [channel_id for channel_id in wanted if known.get(channel_id, "done") in ("done", "dead")]

        def write(conn: Any) -> None:
            for channel_id in begin:
                queue.wake(conn, KIND, channel_id, now, now)

        if begin:
            await self._db.tx(write)

    async def run(self, job: queue.JobRow) -> Report:
        now = self._now()
        channel = await self._db.run(lambda conn: table.find_channel(conn, self._vault, job.key))
        if channel is None or not channel.enabled:
            return Report("nobody is there to be told", None)
        sending = job.payload.get("sending")
        if not isinstance(sending, dict):
            rested = _number(job.payload, "sent_at") + int(CHANNELS[channel.kind].gap_s * 1000)
            if now < rested:
                return Report("", rested, job.payload)
            news = (await self._db.run(lambda conn: table.pending(conn, channel)))[:MOST_ITEMS]
            if not news:
                return Report("", None, job.payload)
            sending = {"id": new_id("alm", now), "items": [[one.alert.id, one.what] for one in news]}
            # Claimed before it is sent: who lost the lease meanwhile sends nothing.
            if not await self._db.tx(lambda conn: queue.note(conn, job, {"sent_at": now, "sending": sending})):
                return Report("another process took over", None)
        return await self._send(job, channel, sending)

    async def _send(self, job: queue.JobRow, channel: Channel, sending: Json) -> Report:
        items: Items = [(str(alert_id), what) for alert_id, what in sending["items"]]
        found = await self._db.run(lambda conn: table.by_ids(conn, [alert_id for alert_id, _ in items]))
        news = [News(found[alert_id], what) for alert_id, what in items if alert_id in found]
        if not news:
            return Report("", None)
        verdict = await self.deliver(channel, kinds.compose(str(sending["id"]), news))
        now, tries = self._now(), _number(job.payload, "tries") + 1
        if verdict.outcome == "later" and tries < MOST_TRIES:
            await self._db.tx(lambda conn: table.note_answer(conn, channel.id, now, verdict.words))
            wait = max(BACKOFF_S[min(tries, len(BACKOFF_S)) - 1], min(verdict.wait_s or 0.0, LONGEST_WAIT_S))
            payload = {"sent_at": now, "sending": sending, "tries": tries}
            return Report(f"{channel.name}: {verdict.words}", now + int(wait * 1000), payload, verdict.words)
        failed = "" if verdict.outcome == "ok" else verdict.words or "it did not take the message"

        def write(conn: Any) -> list[table.Alert]:
            # In one transaction with the end of the claim: a crash behind it repeats nothing.
            queue.note(conn, job, {"sent_at": now})
            table.note_answer(conn, channel.id, now, failed or None)
            return table.mark(conn, channel.id, items, now, failed)

        for alert in await self._db.tx(write):
            self._publish("alert", kinds.shape(alert))
        said = f"{channel.name}: {failed}" if failed else f"{channel.name} heard of {len(news)}"
        # It looks once more after its gap: more may have happened meanwhile.
        return Report(said, now + int(CHANNELS[channel.kind].gap_s * 1000), {"sent_at": now}, failed or None)

    # ------------------------------------------------------------ the way

    async def test(self, channel: Channel) -> Verdict:
        """A test message, sent at once."""
        now = self._now()
        verdict = await self.deliver(channel, kinds.trial_message(new_id("alm", now), now))
        error = None if verdict.outcome == "ok" else verdict.words
        await self._db.tx(lambda conn: table.note_answer(conn, channel.id, now, error))
        return verdict

    async def deliver(self, channel: Channel, message: kinds.Message) -> Verdict:
        """One try. The verdict's words hold neither the address nor the secret."""
        try:
            private = self._settings().alert_private_targets
            check_target(channel.kind, channel.url, private=private)
            outgoing = build(channel.kind, channel.url, channel.secret, message, self._now())
            if channel.kind == "apprise":
                verdict = await self._by_apprise(channel.url, message.title, outgoing.body.decode())
            else:
                told = await self._post(outgoing.url, outgoing.headers, outgoing.body, within_s=WITHIN_S, allow_private=private)
                verdict = read(channel.kind, *told)
        except GatewayError as error:
            verdict = Verdict("never" if error.kind is Kind.BAD_REQUEST else "later", error.message)
        return replace(verdict, words=hide(verdict.words, channel.url, channel.secret)[:400])

    @staticmethod
    async def _by_apprise(url: str, title: str, text: str) -> Verdict:
        try:
            async with asyncio.timeout(APPRISE_S):
                return await asyncio.to_thread(_apprise, url, title, text)
        except TimeoutError:
            return Verdict("later", f"no answer within {APPRISE_S:g} s")

    # ------------------------------------------------------------ the environment

    async def from_environment(self) -> None:
        """A DingTalk robot named by the environment becomes a channel, and follows what the environment says."""
        stored = self._settings()
        if not stored.alert_ding:
            return
        channel = Channel(new_id("alc"), "dingtalk", ENV_NAME, stored.alert_ding, stored.alert_ding_secret, created_at=self._now())

        def write(conn: Any) -> None:
            mine = next((one for one in table.list_channels(conn, self._vault) if one.name == ENV_NAME), None)
            if mine is None:
                table.add_channel(conn, self._vault, channel)
            elif (mine.kind, mine.url, mine.secret) != (channel.kind, channel.url, channel.secret):
                changed = replace(mine, kind=channel.kind, url=channel.url, secret=channel.secret, last_error=None)
                table.edit_channel(conn, self._vault, changed)

        await self._db.tx(write)


def has_apprise() -> bool:
    return importlib.util.find_spec("apprise") is not None


def _apprise(url: str, title: str, text: str) -> Verdict:
    """In a thread: apprise waits."""
    try:
        apprise: Any = importlib.import_module("apprise")
    except ImportError:
        return Verdict("never", NO_APPRISE)
    logging.getLogger("apprise").setLevel(logging.CRITICAL)  # it names addresses
    service = apprise.Apprise()
    if not service.add(url):
        return Verdict("never", "apprise does not know this kind of address")
    body = text.removeprefix(title).lstrip("\n")
    return Verdict("ok") if service.notify(title=title, body=body) else Verdict("later", "apprise could not deliver it")


def _number(payload: Mapping[str, Any], name: str) -> int:
    value = payload.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
