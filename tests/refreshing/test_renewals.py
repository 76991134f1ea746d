"""Tokens are renewed in the background before they end: of every account that was signed in, whether it is used or not."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from random import Random
from typing import Any

from omni_connector.jobs import Jobs
from omni_connector.providers import Provider
from omni_connector.refreshing import KIND, Renewals
from omni_connector.settings import load
from omni_connector.store import accounts as rows
from omni_connector.store import jobs as queue
from omni_connector.store import refreshes
from omni_connector.store.jobs import JobRow
from omni_connector.tokens import decode
from tests.auth_server import AuthServer, Fault
from tests.refreshing.conftest import House


def jobs_of(house: House, name: str = "prc_1") -> Jobs:
    async def reload() -> None:
        """The snapshot here is the house's own."""

    work = Renewals(house.db, house.refresher(name), house.hands(), lambda: house.now, Random(3))
    return Jobs(house.db, lambda: load({}, {}), house.home, name, lambda: house.now, reload, by_need=(work,))


async def rows_of(house: House) -> dict[str, JobRow]:
    return {job.key: job for job in await house.db.run(queue.list_jobs) if job.kind == KIND}


async def test_every_sign_in_has_a_row_and_is_renewed_before_its_end(house: House, server: AuthServer) -> None:  # C-66, P-02
    await house.sign_in("acc_1", life_s=3600)
    await house.sign_in("acc_2", life_s=3600, enabled=False)
    await house.sign_in("acc_3", life_s=3600, state="needs_login")
    house.snapshot["acc_4"] = replace(house.snapshot["acc_1"], id="acc_4", auth="api_key", secret="sk-123456789")
    jobs = jobs_of(house)
    await jobs.tick()
    found = await rows_of(house)
    assert found.keys() == {"acc_1", "acc_2"}
    assert all(house.now + 3_240_000 - 9_000 <= job.due_at <= house.now + 3_300_000 for job in found.values())
    assert found["acc_1"].due_at != found["acc_2"].due_at, "not all at once"
    server.skip(3200)
    await jobs.tick()
    assert server.count("refresh") == 0
    server.skip(101)
    await jobs.tick()
    assert server.count("refresh") == 2 and server.reused == []
    for account in (house.snapshot["acc_1"], house.snapshot["acc_2"]):
        assert server.good(account.access) and account.access_until is not None
        assert account.access_until - 360_000 - 1_000 <= (await rows_of(house))[account.id].due_at <= account.access_until - 300_000
    server.skip(60)
    await jobs.tick()
    assert server.count("refresh") == 2


async def test_two_processes_share_the_work(house: House, server: AuthServer) -> None:
    await house.sign_in(life_s=100)
    one, two = jobs_of(house, "prc_1"), jobs_of(house, "prc_2")
    await one.tick()
    server.skip(10)
    assert sorted([await one.tick(), await two.tick()]) == [0, 1]
    assert server.count("refresh") == 1


async def test_traffic_that_renewed_it_leaves_nothing_to_do(house: House, server: AuthServer) -> None:
    account, jobs = await house.sign_in(life_s=100), jobs_of(house)
    await jobs.tick()
    await house.refresher("prc_2").renew(account)
    server.skip(10)
    await jobs.tick()
    assert server.count("refresh") == 1
    assert (await rows_of(house))["acc_1"].due_at > house.now + 3_000_000


async def test_it_backs_off_and_comes_back(house: House, server: AuthServer) -> None:
    await house.sign_in(life_s=100)
    jobs = jobs_of(house)
    await jobs.tick()
    server.fault("refresh", Fault(429, headers={"retry-after": "600"}), Fault(503))
    server.skip(10)
    await jobs.tick()
    row = (await rows_of(house))["acc_1"]
    assert 598_000 <= row.due_at - house.now <= 600_000 and row.last_error is not None and "429" in row.last_error
    for _ in range(5):
        server.skip(100)
        await jobs.tick()
    assert server.count("refresh") == 1, "never on top of a 429"
    server.skip(101)
    await jobs.tick()
    assert server.count("refresh") == 2
    server.skip(60)
    await jobs.tick()
    row = (await rows_of(house))["acc_1"]
    assert server.count("refresh") == 3 and server.good(house.snapshot["acc_1"].access) and row.last_error is None


async def test_a_dead_sign_in_is_left_alone_until_somebody_signs_in(house: House, server: AuthServer) -> None:
    await house.sign_in(life_s=100)
    jobs = jobs_of(house)
    await jobs.tick()
    server.revoke_all()
    for _ in range(5):
        server.skip(600)
        await jobs.tick()
    assert server.count("refresh") == 1 and house.snapshot["acc_1"].state == "needs_login" and len(house.refused) == 1
    assert "acc_1" not in await rows_of(house)
    await house.sign_in(life_s=1000)
    await jobs.tick()
    assert (await rows_of(house))["acc_1"].state == "ready"
    server.skip(701)
    await jobs.tick()
    assert server.count("refresh") == 2 and server.good(house.snapshot["acc_1"].access)


async def test_a_new_sign_in_that_ends_earlier_is_not_waited_past(house: House, server: AuthServer) -> None:
    await house.sign_in(life_s=100_000)
    jobs = jobs_of(house)
    await jobs.tick()
    await house.sign_in(life_s=1000)
    await jobs.tick()
    assert (await rows_of(house))["acc_1"].due_at <= house.now + 700_000 and server.count("refresh") == 0
    before = await rows_of(house)
    await jobs.tick()
    assert await rows_of(house) == before, "and nothing is written while nothing changes"


async def test_what_needs_no_renewal_has_no_row(house: House, server: AuthServer) -> None:
    account, jobs = await house.sign_in(life_s=1000), jobs_of(house)
    await jobs.tick()
    tokens = decode(account.secret)
    assert tokens is not None
    for secret in (replace(tokens, refresh_token="").encode(), replace(tokens, expires_at=None).encode(), "not tokens"):
        house.snapshot["acc_1"] = replace(account, secret=secret)
        for _ in range(2):  # one that waits is over first, and dropped then
            await jobs.tick()
        assert not await rows_of(house)
    house.snapshot["acc_1"] = account
    house.row = Provider("mock", "Mock", "")
    await jobs.tick()
    assert not await rows_of(house) and server.count("refresh") == 0


async def test_rows_of_accounts_that_are_gone_go_too(house: House, server: AuthServer) -> None:
    account = await house.sign_in(life_s=5)
    await house.refresher().renew(account)
    await jobs_of(house).tick()
    del house.snapshot["acc_1"]
    await house.db.tx(lambda conn: rows.delete(conn, "acc_1"))
    fresh = jobs_of(house, "prc_2")
    for _ in range(2):
        await fresh.tick()
    assert not await rows_of(house) and await house.db.run(lambda conn: refreshes.read(conn, "acc_1")) is None


async def test_what_a_dead_process_held_is_free_at_once(house: House, server: AuthServer) -> None:
    account = await house.sign_in(life_s=5)

    def claim(conn: Any, name: str) -> None:
        refreshes.claim(conn, "acc_1", name, house.now, 60_000)
        queue.beat(conn, name, "another-host", 1, house.now - 600_000)

    await house.db.tx(partial(claim, name="prc_killed"))
    await jobs_of(house).recover()
    assert (await house.journal()).owner is None
    await house.db.tx(partial(claim, name="prc_1"))
    await jobs_of(house).close()
    assert (await house.journal()).owner is None
    assert server.good((await house.refresher("prc_2").renew(account)).access)
