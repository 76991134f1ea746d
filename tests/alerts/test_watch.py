"""Account states → alerts: what is wrong, what is over, and what is not known. J-09"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from omni_connector.alerts.watch import DOWN_FOR_MS, EVERY_MS, KIND, Watch
from omni_connector.errors import Kind
from omni_connector.jobs import Jobs
from omni_connector.routing.health import FOREVER, RULES
from omni_connector.settings import Settings
from omni_connector.snapshot import Account, Cooldown
from omni_connector.store import alerts as table
from omni_connector.store import jobs as queue
from omni_connector.store.engine import Database

START = 20_000 * 86_400_000
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
WORK = Account("acc_1", "openai", "work", models=("gpt-5",))
HOME = Account("acc_2", "groq", "home", models=("llama",))


class House:
    def __init__(self, db: Database, home: Path) -> None:
        self.db, self.home, self.now = db, home, START
        self.settings = Settings()
        self.accounts: dict[str, Account] = {}
        self.cooldowns: dict[str, list[Cooldown]] = {}
        self.published: list[tuple[str, dict[str, Any]]] = []
        self.refreshed = 0

    def watch(self) -> Watch:
        return Watch(
            self.db,
            lambda: self.accounts,
            lambda account_id: self.cooldowns.get(account_id, []),
            self._fresh,
            lambda: self.settings,
            lambda: self.now,
            lambda name, value: self.published.append((name, value)),
        )

    async def _fresh(self) -> None:
        self.refreshed += 1

    def jobs(self, watch: Watch, name: str = "prc_1") -> Jobs:
        async def reload() -> None:
            """Nothing here is read from the database."""

        return Jobs(self.db, lambda: self.settings, self.home, name, lambda: self.now, reload, by_need=(watch,))

    def have(self, *accounts: Account, cooldowns: Sequence[Cooldown] = ()) -> None:
        self.accounts = {account.id: account for account in accounts}
        self.cooldowns = {account.id: [c for c in cooldowns if c.account_id == account.id] for account in accounts}

    async def look(self, *accounts: Account, cooldowns: Sequence[Cooldown] = (), later: int = 0) -> list[str]:
        """What is open after a look at these accounts."""
        self.now += later
        self.have(*accounts, cooldowns=cooldowns)
        self.watched = getattr(self, "watched", None) or self.watch()
        await self.watched.look(self.accounts, self.cooldowns, self.now)
        return await self.open()

    async def open(self) -> list[str]:
        return [f"{alert.kind} {alert.subject}".strip() for alert in await self.db.run(table.open_alerts)]

    async def words(self) -> list[str]:
        return [alert.message for alert in await self.db.run(table.open_alerts)]


@pytest.fixture
async def house(migrated_home: Path, tmp_path: Path) -> AsyncIterator[House]:
    home = Path(shutil.copytree(migrated_home, tmp_path / "home"))
    database = await Database.open(f"sqlite:///{home / 'omni.db'}")
    yield House(database, home)
    await database.close()


def out(account: Account, until: int, source: Any = "stated", scope: str = "", kind: Kind = Kind.ACCOUNT_UNPAID) -> Cooldown:
    return Cooldown(account.id, scope, until, source, RULES[kind].reason, 0, START)


async def test_an_account_that_needs_a_sign_in(house: House) -> None:
    lost = replace(WORK, state="needs_login", state_reason="the key sk-0123456789abcdef0123 is refused")
    rejected = out(WORK, FOREVER, "terminal", kind=Kind.ACCOUNT_REJECTED)
    assert await house.look(lost, HOME, cooldowns=[rejected]) == ["needs_login acc_1"], "one alert for one cause"
    (words,) = await house.words()
    assert words.startswith("openai/work needs to be signed in again: the key")
    assert "0123456789" not in words
    assert await house.look(WORK, HOME) == []
    events = [(name, value["kind"], value["state"]) for name, value in house.published]
    assert events == [("alert", "needs_login", "open"), ("alert", "needs_login", "ended")]


async def test_a_refused_credential_is_no_lock(house: House) -> None:
    """The state is written a moment after the cooldown."""
    assert await house.look(WORK, HOME, cooldowns=[out(WORK, FOREVER, "terminal", kind=Kind.ACCOUNT_REJECTED)]) == []


@pytest.mark.parametrize(
    ("cooldown", "opens"),
    [
        (out(WORK, START + 31 * MINUTE), True),
        (out(WORK, START + 29 * MINUTE), False),
        (out(WORK, START + 6 * HOUR, "terminal"), True),
        (out(WORK, START + 5 * MINUTE, "terminal"), True),
        (out(WORK, START + 10 * MINUTE, "guessed"), False),
        (out(WORK, START + DAY, scope="model:gpt-5"), False),
        (out(WORK, START - 1), False),
    ],
)
async def test_an_account_that_is_out_for_long(house: House, cooldown: Cooldown, opens: bool) -> None:
    assert await house.look(WORK, HOME, cooldowns=[cooldown]) == (["account_locked acc_1"] if opens else [])


async def test_a_lock_is_over_when_it_is_proved(house: House) -> None:
    lock = out(WORK, START + 31 * MINUTE, "terminal")
    assert await house.look(WORK, HOME, cooldowns=[lock]) == ["account_locked acc_1"]
    assert "is out until 2024-10-04 00:31 UTC: no credit left" in (await house.words())[0]
    assert await house.look(WORK, HOME, cooldowns=[lock], later=30 * MINUTE) == ["account_locked acc_1"], "nearly over is not over"
    assert await house.look(WORK, HOME, cooldowns=[lock], later=5 * MINUTE) == ["account_locked acc_1"], "run out, but nobody has tried"
    assert await house.look(WORK, HOME) == []
    stated = out(WORK, house.now + HOUR)
    assert await house.look(WORK, HOME, cooldowns=[stated]) == ["account_locked acc_1"]
    assert await house.look(WORK, HOME, cooldowns=[stated], later=HOUR) == [], "the provider kept its word"


async def test_an_account_that_does_not_work(house: House) -> None:
    assert await house.look(replace(WORK, state="error", state_reason="no such provider"), HOME) == ["account_locked acc_1"]


def left(amount: Any, **more: Any) -> Account:
    return replace(WORK, balance={"amount": amount, "currency": "USD", "usable": None, **more})


async def test_a_low_balance(house: House) -> None:
    assert await house.look(left("1.00"), HOME) == []
    assert await house.look(left("0.42"), HOME) == ["low_balance acc_1"]
    assert await house.words() == ["openai/work has 0.42 USD left, less than 1.0"]
    assert await house.look(replace(WORK, balance=None), HOME) == ["low_balance acc_1"], "what is not known ends nothing"
    assert await house.look(left("0.10"), HOME) == ["low_balance acc_1"]
    assert await house.look(left("20"), HOME) == []
    house.settings = Settings(alert_low_balance=50)
    assert await house.look(left("20"), HOME) == ["low_balance acc_1"]
    house.settings = Settings(alert_low_balance=0)
    assert await house.look(left("20"), HOME) == []
    assert await house.look(left("-3"), HOME) == [], "switched off"


@pytest.mark.parametrize("amount", [None, "", "many", True, "NaN", "Infinity", []])
async def test_a_strange_balance_says_nothing(house: House, amount: Any) -> None:
    assert await house.look(left(amount), HOME) == []
    assert await house.look(left(amount, usable=False), HOME) == ["low_balance acc_1"]


async def test_all_accounts_are_down(house: House) -> None:
    both = [out(WORK, START + 5 * MINUTE, "guessed"), out(HOME, START + DAY, "guessed", "model:llama")]
    assert await house.look(WORK, HOME, cooldowns=both) == []
    assert await house.look(WORK, HOME, cooldowns=both[:1], later=DOWN_FOR_MS) == [], "somebody came back meanwhile"
    assert await house.look(WORK, HOME, cooldowns=both) == []
    assert await house.look(WORK, HOME, cooldowns=both, later=DOWN_FOR_MS) == ["all_down"]
    assert await house.words() == ["No account can answer now: 2 connected, all of them out"]
    assert await house.look(WORK, HOME, cooldowns=both, later=10 * MINUTE) == ["all_down"], "run out, but nobody has tried"
    assert await house.look(WORK, HOME, cooldowns=both[1:]) == []


async def test_the_demo_and_what_is_switched_off_count_for_nobody(house: House) -> None:
    demo = Account("acc_3", "demo", "demo", demo=True, models=("demo-chat",))
    off = replace(HOME, enabled=False)
    lock = [out(WORK, START + HOUR)]
    await house.look(WORK, off, demo, cooldowns=lock)
    assert "all_down" in await house.look(WORK, off, demo, cooldowns=lock, later=DOWN_FOR_MS)
    assert await house.look() == [], "nobody is connected: nothing is down"


async def test_an_alert_of_an_account_that_is_gone_ends_in_silence(house: House) -> None:
    lost = [replace(account, state="needs_login") for account in (WORK, HOME)]
    assert await house.look(*lost) == ["needs_login acc_1", "needs_login acc_2"]
    assert await house.look(replace(lost[0], enabled=False)) == []
    states = [alert.state for alert in await house.db.run(lambda conn: table.list_alerts(conn, 9))]
    assert states == ["dropped", "dropped"]


async def test_a_look_at_nothing_new_writes_nothing(house: House) -> None:
    lost = replace(WORK, state="needs_login")
    await house.look(lost, HOME)
    before = len(house.published)
    for _ in range(3):
        await house.look(lost, HOME, later=EVERY_MS)
    assert len(house.published) == before == 1


async def test_others_may_begin_and_end_alerts(house: House) -> None:
    watch = house.watch()
    assert await watch.begin("budget_reached", "key_1", "key laptop has spent $5 of $5 this month")
    assert not await watch.begin("budget_reached", "key_1", "again")
    assert await house.look(WORK) == ["budget_reached key_1"], "looking at accounts ends nothing of others"
    assert await watch.over("budget_reached", "key_1")
    assert not await watch.over("budget_reached", "key_1")


async def test_one_process_at_a_time_looks_and_the_next_one_remembers(house: House) -> None:
    house.have(WORK, cooldowns=[out(WORK, START + 9 * MINUTE, "guessed")])
    first, second = house.jobs(house.watch()), house.jobs(house.watch(), "prc_2")
    assert (await first.tick(), await second.tick()) == (1, 0)
    assert (house.refreshed, await house.open()) == (1, [])
    house.now += max(DOWN_FOR_MS, EVERY_MS)
    assert (await second.tick(), await first.tick()) == (1, 0)
    assert await house.open() == ["all_down"], "for how long it has been so, the first one wrote down"
    (job,) = [row for row in await house.db.run(queue.list_jobs) if row.kind == KIND]
    assert (job.state, job.due_at) == ("ready", house.now + EVERY_MS)


async def test_the_past_is_tidied(house: House) -> None:
    house.settings = Settings(retention_days=1)
    await house.look(replace(WORK, state="needs_login"))
    await house.look(WORK)
    jobs = house.jobs(house.watch())
    await jobs.tick()
    assert len(await house.db.run(lambda conn: table.list_alerts(conn, 9))) == 1
    house.now += 2 * DAY
    await jobs.tick()
    assert await house.db.run(lambda conn: table.list_alerts(conn, 9)) == []
