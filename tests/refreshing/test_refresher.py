"""Sign-ins are renewed once, whoever asks and whatever dies in between; a spent refresh token is never sent as if it were good."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from omni_connector.errors import GatewayError, Kind
from omni_connector.oauth import OAuthError
from omni_connector.providers import SignIn
from omni_connector.refreshing import refresher as module
from omni_connector.refreshing.books import LEASE_MS, Books
from omni_connector.secrets import hash_key
from omni_connector.store import accounts as rows
from omni_connector.store import refreshes
from omni_connector.store.refreshes import FOREVER
from tests.auth_server import AuthServer, Fault
from tests.refreshing.conftest import House

ROOT = Path(__file__).resolve().parents[2]


async def test_fifty_ask_and_one_refreshes(house: House, server: AuthServer) -> None:  # C-66, P-02
    account = await house.sign_in(life_s=5)
    door, gate = house.refresher(), server.hold("refresh")
    asked = [asyncio.create_task(door.renew(account, account.access if n % 2 else "")) for n in range(50)]
    await house.until(1)
    gate.set()
    found = await asyncio.gather(*asked)
    assert server.count("refresh") == 1 and server.reused == []
    assert len({each.access for each in found}) == 1 and all(server.good(each.access) for each in found)
    assert found[0].access_until is not None and found[0].access_until > house.now + 3_500_000
    assert found[0].secret == (await house.reload()).secret, "durable before anybody uses it"
    assert house.renewed == ["acc_1"]
    # Who comes late with the old token gets the new one at once; who comes with the new one, ahead of time, nothing else.
    assert (await door.renew(account, account.access)).access == found[0].access
    assert (await door.renew(found[0])).access == found[0].access
    assert server.count("refresh") == 1


async def test_two_databases_on_one_file_refresh_once(house: House, server: AuthServer) -> None:  # C-66
    account = await house.sign_in(life_s=5)
    doors = [house.refresher("prc_1"), house.refresher("prc_2", await house.another_database())]
    gate = server.hold("refresh")
    asked = [asyncio.create_task(door.renew(account, account.access)) for door in doors for _ in range(25)]
    await house.until(1)
    await asyncio.sleep(0.1)  # the other process waits for the lease
    gate.set()
    found = await asyncio.gather(*asked)
    assert (server.count("refresh"), server.reused, len({each.access for each in found})) == (1, [], 1)


async def start(house: House, owner: str, *more: str) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.refreshing.process", str(house.home), owner, *more,
        cwd=ROOT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None and await process.stdout.readline() == b"ready\n"
    return process


async def test_two_processes_refresh_once(house: House, server: AuthServer) -> None:  # C-66
    await house.sign_in(life_s=5)
    processes = await asyncio.gather(start(house, "prc_a", "25"), start(house, "prc_b", "25"))
    said = await asyncio.gather(*(process.communicate(b"go\n") for process in processes))
    assert [process.returncode for process in processes] == [0, 0]
    assert said[0][0] == said[1][0] and server.good(said[0][0].decode().strip())
    assert (server.count("refresh"), server.reused) == (1, [])


@pytest.mark.parametrize("rotate", [True, False])
async def test_killed_between_the_answer_and_our_commit(house: House, server: AuthServer, rotate: bool) -> None:  # C-66, O-21
    server.rotate = rotate
    account = await house.sign_in(life_s=5)
    process = await start(house, "prc_a", "1", "stop")
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(b"go\n")
    assert await process.stdout.readline() == b"answered\n"
    process.kill()
    await process.wait()
    assert (await house.journal()).unfinished and (await house.tokens()).access_token == account.access
    await house.db.tx(lambda conn: refreshes.unlease(conn, ["prc_a"]))
    door = house.refresher("prc_b")
    if not rotate:
        assert server.good((await door.renew(account, account.access)).access)
        return
    for _ in range(5):
        with pytest.raises(OAuthError, match="sign in again") as caught:
            await door.renew(account, account.access)
        assert caught.value.terminal
    assert server.count("refresh") == 2, "tried exactly once more"
    after = await house.reload()
    assert after.state == "needs_login" and "sign in again" in after.state_reason
    assert len(house.refused) == 1
    # Signing in again is all it takes.
    fresh = await house.sign_in()
    assert server.good((await door.renew(fresh, fresh.access)).access) and (await house.reload()).state == "ok"


async def test_a_token_is_not_sent_a_third_time(house: House, server: AuthServer) -> None:
    account = await house.sign_in(life_s=5)
    spent = hash_key((await house.tokens()).refresh_token)
    for owner in ("prc_a", "prc_b"):

        def die(conn: Any, owner: str = owner) -> None:
            held = refreshes.claim(conn, "acc_1", owner, house.now, LEASE_MS)
            assert held is not None
            refreshes.begin(conn, held, spent, house.now)

        await house.db.tx(die)
        server.skip(LEASE_MS / 1000 + 1)
    with pytest.raises(OAuthError, match=r"died twice.*sign in again"):
        await house.refresher().renew(account, account.access)
    assert server.count("refresh") == 0 and (await house.reload()).state == "needs_login"


async def test_an_asker_who_leaves_takes_nothing_along(house: House, server: AuthServer) -> None:
    account = await house.sign_in(life_s=5)
    door, gate = house.refresher(), server.hold("refresh")
    asker = asyncio.create_task(door.renew(account))
    await house.until(1)
    journal = await house.journal()
    assert journal.unfinished and journal.spent == hash_key((await house.tokens()).refresh_token), "written before it is sent"
    asker.cancel()
    await asyncio.gather(asker, return_exceptions=True)
    gate.set()
    await door.close()
    assert server.good((await house.tokens()).access_token) and not (await house.journal()).unfinished


async def test_a_database_that_does_not_take_the_answer_loses_nothing(
    house: House, server: AuthServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    account, door = await house.sign_in(life_s=5), house.refresher()
    real, broken = Books.store, [OSError("disk full")] * 3

    async def store(self: Books, held: Any, fresh: Any) -> Any:
        if broken:
            raise broken.pop()
        return await real(self, held, fresh)

    monkeypatch.setattr(Books, "store", store)
    monkeypatch.setattr(module, "SAVE_PAUSES_S", (0.001, 0.001))
    with pytest.raises(GatewayError, match="could not be stored"):
        await door.renew(account, account.access)
    assert (await house.tokens()).access_token == account.access, "not used before it is durable"
    found = await door.renew(account, account.access)
    assert server.good(found.access) and (server.count("refresh"), server.reused) == (1, [])


async def test_who_was_stopped_for_longer_than_his_lease_sends_nothing(house: House, server: AuthServer) -> None:
    """Before he had sent it, so that nobody can tell by the provider; the spent token would end the sign-in."""
    house.row = replace(house.row, sign_in=replace(house.row.sign_in or SignIn(), discovery=True))
    account = await house.sign_in(life_s=5, endpoints=server.endpoints())
    slow, fast, gate = house.refresher("prc_1"), house.refresher("prc_2"), server.hold("discovery")
    first = asyncio.create_task(slow.renew(account, account.access))
    await house.until(1)
    server.skip(LEASE_MS / 1000 + 1)
    second = asyncio.create_task(fast.renew(account, account.access))
    await house.until(2)
    gate.set()
    found = await asyncio.gather(first, second)
    assert (server.count("refresh"), server.reused) == (1, [])
    assert found[0].access == found[1].access and server.good(found[0].access)


async def test_a_lost_lease_is_written_by_nobody_but_its_holder(house: House, server: AuthServer) -> None:
    """It slept too long; its successor asked with the same token, as it must. Whoever writes, holds the lease."""
    server.rotate = False
    account = await house.sign_in(life_s=5)
    slow, fast, gate = house.refresher("prc_1"), house.refresher("prc_2"), server.hold("refresh")
    first = asyncio.create_task(slow.renew(account, account.access))
    await house.until(1)
    server.skip(LEASE_MS / 1000 + 1)
    second = asyncio.create_task(fast.renew(account, account.access))
    await house.until(2)
    gate.set()
    found = await asyncio.gather(first, second)
    assert {each.access for each in found} == {(await house.tokens()).access_token} and server.count("refresh") == 2


async def test_a_lost_lease_and_a_rotated_token_end_in_a_sign_in(house: House, server: AuthServer) -> None:
    account = await house.sign_in(life_s=5)
    slow, fast, gate = house.refresher("prc_1"), house.refresher("prc_2"), server.hold("refresh")
    asked = [asyncio.create_task(slow.renew(account, account.access))]
    await house.until(1)
    server.skip(LEASE_MS / 1000 + 1)
    asked.append(asyncio.create_task(fast.renew(account, account.access)))
    await house.until(2)
    gate.set()
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert all(isinstance(each, OAuthError) and each.terminal for each in found)
    assert server.count("refresh") == 2 and (await house.reload()).state == "needs_login"


async def test_an_answer_under_a_lease_that_was_freed_is_stored_under_a_new_one(house: House, server: AuthServer) -> None:
    account, gate = await house.sign_in(life_s=5), server.hold("refresh")
    asked = asyncio.create_task(house.refresher("prc_1").renew(account, account.access))
    await house.until(1)
    await house.db.tx(lambda conn: refreshes.unlease(conn, ["prc_1"]))  # somebody thought that we had died
    gate.set()
    assert server.good((await asked).access)
    assert (server.count("refresh"), server.reused, (await house.journal()).fence) == (1, [], 3)


async def test_who_signs_in_meanwhile_is_not_overwritten(house: House, server: AuthServer) -> None:
    account, gate = await house.sign_in(life_s=5), server.hold("refresh")
    asked = asyncio.create_task(house.refresher().renew(account, account.access))
    await house.until(1)
    anew = await house.sign_in()
    gate.set()
    assert (await asked).access == anew.access == (await house.tokens()).access_token


async def test_a_limit_is_waited_for_by_every_process(house: House, server: AuthServer) -> None:
    account = await house.sign_in(life_s=5)
    server.fault("refresh", Fault(429, headers={"retry-after": "120"}))
    for owner in ("prc_1", "prc_1", "prc_2"):
        with pytest.raises(OAuthError) as caught:
            await house.refresher(owner).renew(account, account.access)
        assert not caught.value.terminal and caught.value.retry_after is not None and 118 < caught.value.retry_after <= 120
    assert server.count("refresh") == 1 and (await house.reload()).state == "ok"
    # A token that has not ended is still worth more than an error.
    assert (await house.refresher().renew(account)).access == account.access
    server.skip(121)
    assert server.good((await house.refresher().renew(account, account.access)).access)


async def test_while_none_is_to_be_had_a_refused_token_is_hopeless(house: House, server: AuthServer) -> None:
    account, door = await house.sign_in(), house.refresher()
    server.fault("refresh", Fault(503, headers={"retry-after": "60"}))
    assert door.hopeless(account) is None
    with pytest.raises(OAuthError):
        await door.renew(account, account.access)
    error = door.hopeless(account)
    assert error is not None and error.retry_after is not None and 0 < error.retry_after <= 60
    fresh = await house.sign_in()
    assert door.hopeless(fresh) is None, "somebody signed in again"
    server.skip(61)
    assert door.hopeless(account) is None


async def test_failures_are_left_alone_for_longer_and_longer(house: House, server: AuthServer) -> None:
    account, door = await house.sign_in(life_s=-1), house.refresher()
    server.fault("refresh", *[Fault(500)] * 4)
    waits = []
    for _ in range(4):
        with pytest.raises(OAuthError) as caught:
            await door.renew(account)
        assert caught.value.kind is Kind.UPSTREAM_FAILED and caught.value.retry_after is not None
        waits.append(caught.value.retry_after)
        with pytest.raises(OAuthError):
            await door.renew(account)
        server.skip(waits[-1] + 1)
    assert [10 <= waits[0] < 13, 30 <= waits[1] < 37, 60 <= waits[2] < 73, 120 <= waits[3] < 145] == [True] * 4
    assert server.count("refresh") == 4
    assert server.good((await door.renew(account)).access) and (await house.journal()).failures == 0


async def test_an_answer_that_is_lost_on_the_way_is_asked_for_once_more(house: House, server: AuthServer) -> None:
    account, door = await house.sign_in(life_s=-1), house.refresher()
    server.fault("refresh", Fault(lost=True))
    with pytest.raises(GatewayError):
        await door.renew(account)
    assert (await house.reload()).state == "ok"
    server.skip(60)
    for _ in range(3):
        with pytest.raises(OAuthError) as caught:
            await door.renew(account)
        assert caught.value.terminal
    assert len(server.reused) == 1 and (await house.reload()).state == "needs_login"


async def test_what_is_revoked_needs_a_sign_in_and_says_so(house: House, server: AuthServer) -> None:
    account, door = await house.sign_in(life_s=600), house.refresher()
    server.revoke_all()
    with pytest.raises(OAuthError, match="sign in again") as caught:
        await door.renew(account, account.access)
    assert (caught.value.kind, caught.value.terminal) == (Kind.ACCOUNT_REJECTED, True)
    after = await house.reload()
    assert after.state == "needs_login" and house.refused == [("acc_1", after.state_reason)]
    assert (await house.tokens()).refresh_token not in after.state_reason
    assert (await house.journal()).retry_at == FOREVER
    with pytest.raises(OAuthError):
        await house.refresher("prc_2").renew(account, account.access)
    assert server.count("refresh") == 1


async def test_a_token_without_a_refresh_token_is_used_to_its_end(house: House, server: AuthServer) -> None:
    account, door = await house.sign_in(life_s=60), house.refresher()
    bare = replace(await house.tokens(), refresh_token="")
    await house.db.tx(lambda conn: rows.update(conn, house.vault, "acc_1", {"secret": bare.encode()}))
    account = await house.reload()
    assert (await door.renew(account)).access == account.access
    assert (await house.reload()).state == "ok"
    with pytest.raises(OAuthError, match="cannot be renewed; sign in again"):
        await door.renew(account, account.access)
    assert (await house.reload()).state == "needs_login" and server.count("refresh") == 0


async def test_a_provider_that_wants_us_to_wait_is_obeyed(house: House, server: AuthServer) -> None:
    server.earliest_refresh_at = int(server.clock()) + 1800
    account, door = await house.sign_in(life_s=5), house.refresher()
    fresh = await door.renew(account)
    server.skip(60)
    with pytest.raises(OAuthError, match="not allow") as caught:
        await door.renew(fresh, fresh.access)
    assert caught.value.retry_after is not None and not caught.value.terminal and server.count("refresh") == 1
    server.skip(1800)
    assert (await door.renew(fresh, fresh.access)).access != fresh.access


async def test_a_fresh_token_that_is_refused_is_not_renewed_again_and_again(house: House, server: AuthServer) -> None:
    account, door = await house.sign_in(life_s=5), house.refresher()
    fresh = await door.renew(account, account.access)
    for _ in range(3):
        with pytest.raises(OAuthError, match="a moment ago"):
            await door.renew(fresh, fresh.access)
    assert server.count("refresh") == 1
    server.skip(31)
    assert server.good((await door.renew(fresh, fresh.access)).access)


async def test_accounts_that_have_none(house: House) -> None:
    account = await house.sign_in()
    door = house.refresher()
    await house.db.tx(lambda conn: rows.update(conn, house.vault, "acc_1", {"auth": "api_key", "secret": "sk-123456789"}))
    with pytest.raises(GatewayError, match="no sign-in"):
        await door.renew(account, account.access)
    await house.db.tx(lambda conn: rows.delete(conn, "acc_1"))
    with pytest.raises(GatewayError) as caught:
        await door.renew(account, account.access)
    assert caught.value.kind is Kind.NOT_FOUND


async def test_an_account_that_is_removed_meanwhile(house: House, server: AuthServer) -> None:
    account, gate = await house.sign_in(life_s=5), server.hold("refresh")
    asked = asyncio.create_task(house.refresher().renew(account, account.access))
    await house.until(1)
    await house.db.tx(lambda conn: rows.delete(conn, "acc_1"))
    gate.set()
    with pytest.raises(GatewayError) as caught:
        await asked
    assert caught.value.kind is Kind.NOT_FOUND


# ---------------------------------------------------------------- who it is


async def with_id_tokens(house: House, server: AuthServer, **identity: str) -> Any:
    server.id_tokens = True
    return await house.sign_in(life_s=5, endpoints=server.endpoints(), options={"identity": identity})


async def test_an_id_token_is_looked_at_once_the_pair_is_stored(house: House, server: AuthServer) -> None:
    account = await with_id_tokens(house, server, subject="user-1", plan="old", note="kept")
    server.claims = {"plan": "pro"}
    assert server.good((await house.refresher().renew(account, account.access)).access)
    assert (await house.reload()).options["identity"] == {"subject": "user-1", "plan": "pro", "note": "kept", "email": "ada@example.org"}


async def test_somebody_elses_id_token_locks_the_account_but_loses_no_token(house: House, server: AuthServer) -> None:
    account = await with_id_tokens(house, server, subject="user-1")
    server.claims = {"sub": "user-2"}
    with pytest.raises(OAuthError, match="somebody else"):
        await house.refresher().renew(account, account.access)
    after = await house.reload()
    assert after.state == "needs_login" and "sign in again" in after.state_reason.lower() and after.access != account.access
    assert after.options["identity"] == {"subject": "user-1"}


async def test_keys_that_are_not_to_be_had_lock_nobody_out(house: House, server: AuthServer) -> None:
    account = await with_id_tokens(house, server, subject="user-1")
    server.fault("jwks", Fault(500))
    assert server.good((await house.refresher().renew(account, account.access)).access)
    assert (await house.reload()).state == "ok"


async def test_addresses_that_the_issuer_publishes(house: House, server: AuthServer) -> None:
    assert house.row.sign_in is not None
    house.row = replace(house.row, sign_in=replace(house.row.sign_in, discovery=True))
    server.access_s = 1800
    account, door = await house.sign_in(life_s=5, endpoints={"issuer": server.url}), house.refresher()
    fresh = await door.renew(account)
    server.skip(1700)
    assert server.good((await door.renew(fresh)).access)
    assert (server.count("discovery"), server.count("refresh")) == (1, 2)
