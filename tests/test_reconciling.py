"""What a provider says that a day cost against what the books say: asked daily, stored, told when it differs."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from omni_connector import providers, reconciling
from omni_connector.errors import GatewayError, Kind
from omni_connector.jobs import Jobs
from omni_connector.reconciling import AGAIN_MS, DIFFERS, EQUAL, MORE, PART, UNKNOWN, WHOLE, Hands, Reconciler, judge
from omni_connector.secrets import new_id
from omni_connector.settings import load
from omni_connector.snapshot import Account
from omni_connector.store import books, reconciliations, requests
from omni_connector.store import jobs as queue
from omni_connector.store.engine import Database
from omni_connector.upstream import UpstreamRequest

DAY_MS = 86_400_000
NOW = 20_000 * DAY_MS + 5 * 3_600_000  # 2024-10-04, five in the morning
KEY = "sk-admin-secret"


class Desk:
    def __init__(self, db: Database) -> None:
        self.db, self.now = db, NOW
        self.accounts: dict[str, Account] = {}
        self.told: list[tuple[str, str]] = []
        self.asked: list[UpstreamRequest] = []
        self.says: Any = Decimal(0)
        """Dollars of each day; a status; or a failure."""
        self.reconciler = self.another()
        self.jobs = Jobs(db, lambda: load({}, {}), Path(), "prc_1", lambda: self.now, self._nothing, by_need=(self.reconciler,))

    def another(self) -> Reconciler:
        network: Any = self
        hands = Hands(lambda: self.accounts, dict, self._begin, self._over)
        return Reconciler(self.db, network, hands, lambda: self.now, Random(1))

    def account(self, name: str = "a", provider: str = "openai", **more: Any) -> Account:
        fields = {"secret": f"sk-{name}", "usage_key": KEY, **more}
        self.accounts[f"acc_{name}"] = providers.complete(Account(f"acc_{name}", provider, name, **fields))
        return self.accounts[f"acc_{name}"]

    async def book(self, account: Account, dollars: str | None, days_ago: int = 1) -> None:
        at = (self.now // DAY_MS - days_ago) * DAY_MS + 7
        name, nano = new_id("req", at), None if dollars is None else int(Decimal(dollars) * 10**9)
        closed = {"id": name, "settled_at": at, "outcome": "ok", "account_id": account.id, "input": 5, "cost_nano": nano}
        await self.db.tx(lambda conn: requests.insert_open(conn, [{"id": name, "started_at": at, "process_id": "p"}]))
        await self.db.tx(lambda conn: books.settle(conn, [closed]))

    async def days(self) -> list[tuple[str, str, int | None, int | None]]:
        rows = await self.db.run(lambda conn: reconciliations.listed(conn, ""))
        return [(row["day"], row["state"], row["theirs_nano"], row["ours_nano"]) for row in rows]

    async def job(self) -> queue.JobRow:
        return next(job for job in await self.db.run(queue.list_jobs) if job.kind == "reconcile")

    async def fetch(self, request: UpstreamRequest, within: float) -> tuple[int, Mapping[str, str], bytes]:
        self.asked.append(request)
        if isinstance(self.says, GatewayError):
            raise self.says
        if isinstance(self.says, int):
            return self.says, {}, json.dumps({"error": {"message": f"{KEY} may not"}}).encode()
        if isinstance(self.says, bytes):
            return 200, {}, self.says
        start = int(parse_qs(urlsplit(request.url).query)["start_time"][0])
        bucket = {"start_time": start, "results": [{"amount": {"value": str(self.says), "currency": "usd"}}]}
        return 200, {}, json.dumps({"data": [bucket], "has_more": False}).encode()

    async def _begin(self, kind: str, subject: str, words: str) -> bool:
        self.told.append((kind, words))
        return True

    async def _over(self, kind: str, subject: str) -> bool:
        self.told.append((kind, "over"))
        return True

    async def _nothing(self) -> None: ...


@pytest.fixture
async def desk(migrated_home: Path, tmp_path: Path) -> AsyncIterator[Desk]:
    home = Path(shutil.copytree(migrated_home, tmp_path / "home"))
    database = await Database.open(f"sqlite:///{home / 'omni.db'}")
    yield Desk(database)
    await database.close()


@pytest.mark.parametrize(
    ("theirs", "ours", "unpriced", "scope", "state"),
    [
        ("1.00", "1.00", 0, WHOLE, EQUAL),
        ("0", "0.05", 0, WHOLE, EQUAL),
        ("100", "98", 0, WHOLE, EQUAL),
        ("100", "97", 0, WHOLE, MORE),
        ("100", "97", 0, PART, DIFFERS),
        ("97", "100", 0, WHOLE, DIFFERS),
        ("100", "97", 3, PART, UNKNOWN),
        ("97", "100", 3, PART, DIFFERS),
    ],
)
def test_when_two_figures_are_one(theirs: str, ours: str, unpriced: int, scope: str, state: str) -> None:
    assert judge(Decimal(theirs), Decimal(ours), unpriced, scope)[0] == state


async def test_the_last_whole_days_are_compared_and_stored(desk: Desk) -> None:
    account = desk.account()
    for days_ago in (0, 1, 1, 2, 4):
        await desk.book(account, "1", days_ago)
    desk.says = Decimal(2)
    assert await desk.reconciler.compare(account, desk.now) == ""
    assert await desk.days() == [
        ("2024-10-03", EQUAL, 2 * 10**9, 2 * 10**9),
        ("2024-10-02", MORE, 2 * 10**9, 10**9),
        ("2024-10-01", MORE, 2 * 10**9, 0),
    ]
    assert desk.told == [], "others may use the organisation"
    assert desk.asked[0].headers["authorization"] == f"Bearer {KEY}", "not the key that serves requests"


async def test_accounts_that_share_a_key_are_one_bill(desk: Desk) -> None:
    account, mate = desk.account("a"), desk.account("b", provider="openai-responses")
    for other in (account, mate, desk.account("c", usage_key="another"), desk.account("d", options={"usage_project": "proj_9"})):
        await desk.book(other, "1", 2)
    desk.says = Decimal(2)
    await desk.reconciler.compare(account, desk.now)
    assert (await desk.days())[1] == ("2024-10-02", EQUAL, 2 * 10**9, 2 * 10**9)


async def test_an_alert_begins_and_ends(desk: Desk) -> None:
    account = desk.account()
    await desk.book(account, "9", 1)
    await desk.reconciler.compare(account, desk.now)
    assert desk.told == [("books_differ", "over")], "yesterday's figures are not final"
    desk.now += DAY_MS
    await desk.reconciler.compare(account, desk.now)
    kind, words = desk.told[1]
    assert kind == "books_differ" and words.startswith("openai/a: on 2024-10-03 the provider says $0, our books $9")
    desk.now += 5 * DAY_MS
    await desk.reconciler.compare(account, desk.now)
    assert desk.told[2:] == [("books_differ", "over")]


@pytest.mark.parametrize(
    "says", [401, 403, 429, 500, GatewayError(Kind.UPSTREAM_UNREACHABLE, "no way there"), b"<html>", b'{"data": 5}', b"[" * 100_000]
)
async def test_what_cannot_be_compared_is_said(desk: Desk, says: Any) -> None:
    account = desk.account()
    await desk.book(account, "9", 2)
    desk.says = says
    words = await desk.reconciler.compare(account, desk.now)
    rows = await desk.db.run(lambda conn: reconciliations.listed(conn, ""))
    assert all(row["state"] == UNKNOWN and row["theirs_nano"] is None and row["words"].startswith("unknown: ") for row in rows)
    assert bool(words) == (not isinstance(says, bytes)) and desk.told == []
    assert KEY not in words + str(rows), "not even in the provider's own words"


async def test_pages_are_added_and_bounded(desk: Desk) -> None:
    account = desk.account("a", provider="anthropic")
    page = {"data": [], "has_more": True, "next_page": "again"}
    desk.says = json.dumps(page).encode()
    await desk.reconciler.compare(account, desk.now)
    assert len(desk.asked) == reconciling.DAYS * 2, "a mark that leads to itself is the end"


async def test_a_job_for_who_can_be_asked_and_only_then(desk: Desk) -> None:
    desk.account("plain", usage_key="")
    desk.account("other", provider="groq")
    desk.account("elsewhere", base_url="https://gateway.example/v1")
    account = desk.account("a")
    desk.says = 500
    await desk.jobs.tick()
    assert desk.asked == [], "not in the moment of the start"
    desk.now += 60_000
    await desk.jobs.tick()
    job = await desk.job()
    assert (
        job.key == account.id
        and job.due_at == desk.now + AGAIN_MS
        and "500" in (job.last_error or "")
        and KEY not in (job.last_error or "")
    )
    desk.says = Decimal(0)
    desk.now = job.due_at
    await desk.jobs.tick()
    job = await desk.job()
    assert job.last_error is None and (desk.now // DAY_MS + 1) * DAY_MS < job.due_at < (desk.now // DAY_MS + 1) * DAY_MS + DAY_MS // 2
    desk.accounts[account.id] = replace(account, usage_key="")
    await desk.jobs.tick()
    assert (await desk.job()).state == "done" and desk.told[-1] == ("books_differ", "over")
    desk.accounts[account.id] = account
    await desk.jobs.tick()
    assert (await desk.job()).state == "ready"


def test_why_it_is_not_compared() -> None:
    plain = Account("acc_1", "anthropic", "a", secret="sk-ant-1")
    assert reconciling.why_not(plain) == (
        "unknown: this key may not read usage; an admin key (sk-ant-admin…) of the organisation in options.usage_key may"
    )
    assert reconciling.why_not(replace(plain, usage_key="k")) == "" == reconciling.why_not(replace(plain, provider="groq"))
