"""Channels hear of alerts once: politely, also when processes die, when there are two of them, and when the channel has a bad day. J-09"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import shutil
import sys
import types
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from omni_connector.alerts.channels import CHANNELS
from omni_connector.alerts.telling import BACKOFF_S, ENV_NAME, KIND, MOST_TRIES, Teller
from omni_connector.errors import GatewayError
from omni_connector.errors import Kind as Fault
from omni_connector.fetch import PublicFetcher
from omni_connector.jobs import LEASE_MS, Jobs
from omni_connector.secrets import Vault
from omni_connector.settings import Settings
from omni_connector.store import alerts as table
from omni_connector.store import jobs as queue
from omni_connector.store.alerts import Channel
from omni_connector.store.engine import Database
from tests.serving import Answer, FakeUpstream

START = 20_000 * 86_400_000
URL = "https://hooks.example/services/T0123456789/secret-token-1"
Told = tuple[int, Mapping[str, str], bytes]
OK: Told = (200, {}, b"")


class House:
    """Channels in a database, and a network that answers what the test says."""

    def __init__(self, db: Database, home: Path) -> None:
        self.db, self.home, self.now = db, home, START
        self.vault = Vault({"k1": bytes(32)}, "k1")
        self.settings = Settings()
        self.posts: list[tuple[str, dict[str, str], Any]] = []
        self.answers: list[Told | BaseException] = [OK]
        self.published: list[Any] = []

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, *, within_s: float, allow_private: bool) -> Told:
        assert (within_s, allow_private) == (10.0, self.settings.alert_private_targets)
        self.posts.append((url, dict(headers), json.loads(body)))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def teller(self) -> Teller:
        publish = lambda name, value: self.published.append((name, value))  # noqa: E731
        return Teller(self.db, self.vault, self.post, lambda: self.settings, lambda: self.now, publish)

    def jobs(self, name: str = "prc_1") -> Jobs:
        async def reload() -> None:
            """Nothing here is read from the database."""

        return Jobs(self.db, lambda: self.settings, self.home, name, lambda: self.now, reload, by_need=(self.teller(),))

    async def channel(self, name: str = "ops", kind: str = "webhook", **more: Any) -> Channel:
        channel = Channel(f"alc_{name}", kind, name, **{"url": URL, "created_at": START, **more})
        await self.db.tx(lambda conn: table.add_channel(conn, self.vault, channel))
        return channel

    async def wrong(self, *subjects: str, kind: str = "account_locked") -> None:
        for subject in subjects:
            await self.db.tx(lambda conn, one=subject: table.open_alert(conn, kind, one, f"{one} is out", self.now))  # type: ignore[misc]

    async def right(self, subject: str, kind: str = "account_locked") -> None:
        await self.db.tx(lambda conn: table.end_alert(conn, kind, subject, self.now))

    async def stored(self, channel: Channel) -> Channel:
        found = await self.db.run(lambda conn: table.find_channel(conn, self.vault, channel.id))
        assert found is not None
        return found

    async def job(self) -> queue.JobRow:
        (row,) = [job for job in await self.db.run(queue.list_jobs) if job.kind == KIND]
        return row

    @property
    def bodies(self) -> list[Any]:
        return [body for _, _, body in self.posts]


@pytest.fixture
async def house(migrated_home: Path, tmp_path: Path) -> AsyncIterator[House]:
    home = Path(shutil.copytree(migrated_home, tmp_path / "home"))
    database = await Database.open(f"sqlite:///{home / 'omni.db'}")
    yield House(database, home)
    await database.close()


async def test_an_alert_is_told_once_and_so_is_its_end(house: House) -> None:  # J-09
    channel, jobs = await house.channel(), house.jobs()
    await jobs.tick()
    assert house.posts == []
    await house.wrong("acc_1")
    for _ in range(5):
        await jobs.tick()
        house.now += 5_000
    assert [(body["type"], body["data"]["alerts"][0]["subject"]) for body in house.bodies] == [("account_locked", "acc_1")]
    await house.right("acc_1")
    for _ in range(5):
        await jobs.tick()
        house.now += 5_000
    assert [body["type"] for body in house.bodies] == ["account_locked", "back"]
    assert len({body["id"] for body in house.bodies}) == 2
    assert (await house.stored(channel)).last_ok_at is not None
    assert (await house.job()).state == "done"
    assert [name for name, _ in house.published] == ["alert", "alert"]


async def test_what_ended_before_it_was_told_is_never_told(house: House) -> None:
    await house.channel()
    await house.wrong("acc_1")
    await house.right("acc_1")
    await house.jobs().tick()
    assert house.posts == []


async def test_many_at_once_are_one_message_and_messages_keep_their_distance(house: House) -> None:
    await house.channel(kind="dingtalk")
    house.answers = [(200, {}, b'{"errcode": 0}')]
    jobs = house.jobs()
    await house.wrong("acc_1", "acc_2", "acc_3")
    await jobs.tick()
    assert len(house.posts) == 1
    assert house.bodies[0]["text"]["content"].startswith("omni-connector: 3 alerts\nacc_1 is out")
    await house.wrong("acc_4")
    house.now += 5_000
    await jobs.tick()
    assert len(house.posts) == 1, "not before the gap is over"
    await house.wrong("acc_5")
    house.now += 5_000
    await jobs.tick()
    assert len(house.posts) == 2
    assert "2 alerts" in house.bodies[1]["text"]["content"]


async def test_the_gap_is_kept_after_a_rest_too(house: House) -> None:
    await house.channel(kind="dingtalk")
    house.answers = [(200, {}, b'{"errcode": 0}')]
    jobs = house.jobs()
    await house.wrong("acc_1")
    await jobs.tick()
    house.now += 10_000
    await jobs.tick()
    assert (await house.job()).state == "done"
    await house.wrong("acc_2")
    await jobs.tick()
    assert len(house.posts) == 2


async def test_each_channel_hears_what_it_wants(house: House) -> None:
    await house.channel("all")
    await house.channel("money", kinds=("low_balance",))
    await house.channel("off", enabled=False)
    await house.wrong("acc_1")
    await house.jobs().tick()
    assert len(house.posts) == 1


@pytest.mark.parametrize(
    "bad", [(500, {}, b""), (429, {"retry-after": "2"}, b""), GatewayError(Fault.UPSTREAM_TIMEOUT, f"hooks.example: {URL} no answer.")]
)
async def test_a_bad_day_of_the_channel_is_waited_out_with_the_same_message(house: House, bad: Any) -> None:
    channel, jobs = await house.channel(secret="hush"), house.jobs()
    house.answers = [bad, bad, bad, OK]
    await house.wrong("acc_1")
    waits = []
    while len(house.posts) < 4:
        await jobs.tick()
        row = await house.job()
        waits.append((row.due_at - house.now) // 1000)
        if len(house.posts) == 2:
            assert URL not in str((await house.stored(channel)).last_error) + str(row)
            await house.wrong("acc_2")  # it does not change what is being told
        house.now = row.due_at
    assert waits[:3] == list(BACKOFF_S[:3])
    assert len({json.dumps(body, sort_keys=True) for body in house.bodies}) == 1, "the same id and the same words"
    stamps = [headers["x-timestamp"] for _, headers, _ in house.posts]
    assert len(set(stamps)) == 4, "signed anew each time"
    assert (await house.stored(channel)).last_error is None


async def test_the_channels_own_wait_is_respected(house: House) -> None:
    await house.channel(kind="dingtalk")
    house.answers = [(200, {}, b'{"errcode": 130101, "errmsg": "send too fast"}')]
    await house.wrong("acc_1")
    await house.jobs().tick()
    assert (await house.job()).due_at == house.now + 600_000


async def test_a_refusal_is_not_repeated_and_shown(house: House) -> None:
    channel, jobs = await house.channel(), house.jobs()
    house.answers = [(404, {}, f"no such hook {URL}".encode())]
    await house.wrong("acc_1")
    for _ in range(3):
        await jobs.tick()
        house.now += 60_000
    assert len(house.posts) == 1
    told = await house.stored(channel)
    assert told.last_error is not None
    assert told.last_error.startswith("it answers 404: no such hook")
    assert "secret-token" not in told.last_error
    await house.right("acc_1")
    await jobs.tick()
    assert len(house.posts) == 1, "who never heard of it hears of no end"
    house.answers = [OK]
    await house.wrong("acc_2")
    await jobs.tick()
    assert len(house.posts) == 2, "the next alert is tried"


async def test_one_that_never_answers_is_given_up(house: House) -> None:
    channel, jobs = await house.channel(), house.jobs()
    house.answers = [(503, {}, b"")]
    await house.wrong("acc_1")
    for _ in range(MOST_TRIES + 5):
        await jobs.tick()
        house.now += 3_600_000
    assert len(house.posts) == MOST_TRIES
    assert "503" in str((await house.stored(channel)).last_error)


async def test_a_process_that_dies_before_the_answer_leaves_the_same_message(house: House) -> None:
    """kill -9 between the channel's answer and our note: the receiver knows the second one by its id."""
    await house.channel()
    await house.wrong("acc_1")
    house.answers = [asyncio.CancelledError(), OK]
    await house.jobs("prc_1").tick()
    assert (await house.job()).state == "running", "as a killed process leaves it"
    second = house.jobs("prc_2")
    await second.tick()
    assert len(house.posts) == 1, "the first one may still be at it"
    house.now += LEASE_MS + 1
    await second.tick()
    assert len(house.posts) == 2
    assert house.bodies[0] == house.bodies[1]
    house.now += 60_000
    await second.tick()
    assert len(house.posts) == 2


async def test_two_processes_tell_once(house: House) -> None:
    await house.channel()
    await house.channel("other")
    other = await Database.open(f"sqlite:///{house.home / 'omni.db'}")
    second = House(other, house.home)
    second.posts = house.posts
    await house.wrong("acc_1")
    for _ in range(4):
        await asyncio.gather(house.jobs("prc_1").tick(), second.jobs("prc_2").tick())
        house.now = second.now = house.now + 3_000
    await other.close()
    assert len(house.posts) == 2, "one for each channel"


async def test_who_lost_the_lease_sends_nothing(house: House) -> None:
    await house.channel()
    await house.wrong("acc_1")
    teller = house.teller()
    await teller.arrange()
    (job,) = await house.db.tx(lambda conn: queue.claim(conn, "prc_1", house.now, 1000))
    house.now += 5000
    await house.db.tx(lambda conn: queue.claim(conn, "prc_2", house.now, 1000))
    await teller.run(job)
    assert house.posts == []


async def test_a_channel_that_is_gone_or_off_is_left_alone(house: House) -> None:
    channel = await house.channel()
    await house.wrong("acc_1")
    teller = house.teller()
    await teller.arrange()
    await house.db.tx(lambda conn: table.remove_channel(conn, channel.id))
    await house.jobs().tick()
    assert house.posts == []
    assert (await house.job()).state == "done"


# ---------------------------------------------------------------- The way


async def test_a_test_message_tells_what_came_of_it(house: House) -> None:
    channel = await house.channel(kind="slack")
    house.answers = [
        (200, {}, b"ok"),
        (404, {}, b"no_service"),
        GatewayError(Fault.UPSTREAM_UNREACHABLE, "hooks.example: nothing answers there."),
    ]
    outcomes = [(await house.teller().test(channel)) for _ in range(3)]
    assert [verdict.outcome for verdict in outcomes] == ["ok", "never", "later"]
    assert "no_service" in outcomes[1].words
    assert house.bodies[0]["text"].startswith("omni-connector: Test")
    assert (await house.stored(channel)).last_error == "hooks.example: nothing answers there."


async def test_it_is_signed_and_arrives_whole(house: House) -> None:
    """Over a real socket: what the receiver computes is what was sent."""
    receiver = FakeUpstream()
    await receiver.start()
    receiver.answer(Answer(204))
    house.settings = Settings(alert_private_targets=True)
    teller = Teller(house.db, house.vault, PublicFetcher().post, lambda: house.settings, lambda: house.now, lambda name, value: None)
    channel = await house.channel(url=f"{receiver.url}/hook?token=abc%2B1", secret="hush-hush")
    assert (await teller.test(channel)).outcome == "ok"
    (seen,) = receiver.seen
    expected = hmac.new(b"hush-hush", seen.headers["x-timestamp"].encode() + b"." + seen.raw, hashlib.sha256).hexdigest()
    assert seen.headers["x-signature"] == f"sha256={expected}"
    receiver.answer(Answer(302, {"location": "/elsewhere"}))
    assert (await teller.test(channel)).outcome == "never"
    assert len(receiver.seen) == 2, "a redirect is not followed"
    house.settings = Settings()
    verdict = await teller.test(channel)
    await receiver.stop()
    assert (verdict.outcome, len(receiver.seen)) == ("never", 2)
    assert "public internet" in verdict.words


async def test_a_name_that_leads_to_this_machine_is_refused_when_connecting(house: House) -> None:
    teller = Teller(house.db, house.vault, PublicFetcher().post, lambda: house.settings, lambda: house.now, lambda name, value: None)
    verdict = await teller.test(await house.channel(url="https://localhost:9/secret-path-1"))
    assert verdict.outcome == "never"
    assert verdict.words == "localhost: it is not an address on the public internet."


async def test_apprise_where_it_is_installed(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[Any] = []

    class Apprise:
        def __init__(self) -> None:
            self.urls: list[str] = []

        def add(self, url: str) -> bool:
            self.urls.append(url)
            return not url.startswith("odd")

        def notify(self, title: str, body: str) -> bool:
            heard.append((self.urls, title, body))
            return "down" not in self.urls[0]

    monkeypatch.setitem(sys.modules, "apprise", types.SimpleNamespace(Apprise=Apprise))
    for number, (url, outcome) in enumerate(
        (("ntfys://n.example/t", "ok"), ("ntfys://n.example/down", "later"), ("odd://n.example", "never"))
    ):
        channel = await house.channel(f"ops-{number}", "apprise", url=url)
        assert (await house.teller().test(channel)).outcome == outcome
    assert heard[0] == (["ntfys://n.example/t"], "omni-connector: Test", "This channel works. Alerts will come here.")
    monkeypatch.setitem(sys.modules, "apprise", None)
    verdict = await house.teller().test(channel)
    assert "omni-connector[notify]" in verdict.words


async def test_the_address_is_in_no_log(house: House, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    await house.channel(secret="hush-hush-hush")
    house.answers = [(404, {}, f"who is {URL} with hush-hush-hush".encode()), GatewayError(Fault.UPSTREAM_TIMEOUT, f"{URL} is silent")]
    jobs = house.jobs()
    for subject in ("acc_1", "acc_2"):
        await house.wrong(subject)
        await jobs.tick()
        house.now += 60_000
    assert len(house.posts) == 2
    assert "it answers 404" in caplog.text
    for secret in ("secret-token-1", "T0123456789", "hush-hush"):
        assert secret not in caplog.text


# ---------------------------------------------------------------- The environment


async def test_a_robot_of_the_environment_becomes_a_channel(house: House) -> None:  # J-20
    await house.teller().from_environment()
    house.settings = Settings(alert_ding="https://oapi.dingtalk.com/robot/send?access_token=1", alert_ding_secret="SEC1")
    for _ in range(2):
        await house.teller().from_environment()
    (channel,) = await house.db.run(lambda conn: table.list_channels(conn, house.vault))
    assert (channel.name, channel.kind, channel.url, channel.secret) == (ENV_NAME, "dingtalk", house.settings.alert_ding, "SEC1")
    house.settings = Settings(alert_ding="https://oapi.dingtalk.com/robot/send?access_token=2")
    await house.teller().from_environment()
    (changed,) = await house.db.run(lambda conn: table.list_channels(conn, house.vault))
    assert (changed.id, changed.url, changed.secret) == (channel.id, house.settings.alert_ding, "")


def test_gaps_are_kinder_than_the_vendors_limits() -> None:
    per_minute = {"dingtalk": 20, "wecom": 20, "feishu": 100, "lark": 100, "slack": 60}
    assert all(60 / CHANNELS[kind].gap_s <= limit / 2 for kind, limit in per_minute.items())
