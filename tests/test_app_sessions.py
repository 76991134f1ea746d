"""Sessions of the dashboard: what their cookies are, how long they hold, what ends them, and how guessing is slowed down (CONTRACT §3)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import time_machine
from jose import jwt

import app as module
from omni_connector import secrets, tries
from tests.desk import HERE, HOST, Desk, closed, error_of, opened
from tests.serving import Rig

Json = dict[str, Any]
PASSWORD = "correct horse battery"
OVER_TLS = {**HERE, "scheme": "https"}


@pytest.fixture(autouse=True)
def cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Argon2 takes 0.2 s, which is tested in test_secrets."""
    monkeypatch.setattr(secrets, "hash_password", lambda text: f"hash:{text}")
    monkeypatch.setattr(secrets, "verify_password", lambda text, stored: stored == f"hash:{text}")


@pytest.fixture
async def desk(migrated_home: Path, tmp_path: Path) -> AsyncIterator[Desk]:
    desk = await opened(migrated_home, tmp_path / "home", OMNI_ALLOW_REMOTE="1")
    yield desk
    await closed(desk)


async def with_password(desk: Desk) -> None:
    answer = await desk.ask("POST", "/api/admin-password", {"password": PASSWORD}, signed=False, **desk.admin)
    assert answer.status_code == 200


def flags(answer: Any) -> set[str]:
    (cookie,) = answer.headers.getlist("set-cookie")
    return {part.partition("=")[0].lower() if part.startswith(("Expires", "Max-Age")) else part for part in cookie.split("; ")[1:]}


# ---------------------------------------------------------------- Cookies


@pytest.mark.parametrize("peer", [HERE, OVER_TLS], ids=["plain", "tls"])
async def test_every_way_in_gives_the_same_kind_of_cookie(desk: Desk, peer: Json) -> None:
    """Out of reach of scripts and of other sites, and never in the clear once TLS was spoken."""
    wanted = {"HttpOnly", "SameSite=Strict", "Path=/"} | ({"Secure"} if peer is OVER_TLS else set())
    by_itself = await desk.ask("GET", "/api/session", peer=peer)
    link = (await (await desk.ask("POST", "/api/session/link", peer=peer, **desk.admin)).get_json())["url"]
    by_link = await desk.ask("GET", link.partition(HOST)[2], peer=peer)
    by_change = await desk.ask("POST", "/api/admin-password", {"password": PASSWORD}, peer=peer, **desk.admin)
    by_password = await desk.ask("POST", "/api/login", {"password": PASSWORD}, peer=peer)
    for answer in (by_itself, by_link, by_change, by_password):
        assert wanted <= flags(answer), answer.headers
        assert ("Secure" in flags(answer)) == (peer is OVER_TLS)
        assert not any(part.startswith("Domain") for part in flags(answer)), "no other host of the domain gets it"


async def test_a_session_ends_after_its_time_and_is_not_prolonged(desk: Desk) -> None:
    with time_machine.travel("2030-01-01T00:00:00Z", tick=False) as clock:
        await desk.sign_in()
        claims = jwt.get_unverified_claims(desk.cookie)
        assert claims["exp"] - claims["iat"] == module.SESSION_DAYS * 86400
        clock.shift(module.SESSION_DAYS * 86400 - 1)
        answer = await desk.ask("GET", "/api/jobs")
        assert (answer.status_code, "set-cookie" in answer.headers) == (200, False)
        clock.shift(2)
        assert (await desk.ask("GET", "/api/jobs")).status_code == 401


async def test_a_cookie_that_was_there_before_is_never_the_session(desk: Desk) -> None:
    """Fixation: whoever planted one knows nothing of the session that the password opens."""
    await desk.sign_in()
    planted, token = desk.cookie, desk.csrf
    await with_password(desk)
    answer = await desk.ask("POST", "/api/login", {"password": PASSWORD}, signed=False, cookie=f"omni_session={planted}")
    (cookie,) = answer.headers.getlist("set-cookie")
    given = cookie.split("omni_session=")[1].split(";")[0]
    assert jwt.get_unverified_claims(given)["jti"] != jwt.get_unverified_claims(planted)["jti"]
    assert (await desk.ask("GET", "/api/jobs", signed=False, cookie=f"omni_session={planted}")).status_code == 401
    for cookie in (f"omni_session={given}", f"omni_session={planted}; omni_session={given}"):
        answer = await desk.ask("POST", "/api/keys", {}, signed=False, cookie=cookie, x_csrf_token=token)
        assert answer.status_code in (401, 403), "the old token is good for nothing either"


# ---------------------------------------------------------------- Ends


@pytest.mark.parametrize("how", ["password", "logout", "admin key"])
async def test_what_ends_sessions_ends_what_they_opened(desk: Desk, how: str) -> None:
    await desk.sign_in()
    events, follower = desk.gateway.live.stream(dict), desk.gateway.admin.tail()
    await anext(events)
    waiting = asyncio.create_task(anext(follower, None))
    while not desk.gateway.live._waiting:
        await asyncio.sleep(0)
    if how == "password":
        await with_password(desk)
    elif how == "logout":
        assert (await desk.ask("POST", "/api/logout")).status_code == 200
    else:
        assert (await desk.ask("POST", "/api/admin-key", {"key": "an-admin-key-of-mine"}, signed=False, **desk.admin)).status_code == 201
    assert (await desk.ask("GET", "/api/jobs")).status_code == 401
    async with asyncio.timeout(30):
        assert [event async for event in events] == []
        assert await waiting is None
    # What is opened from now on goes on.
    assert await desk.gateway.live.next_request(0.001)


async def test_a_tail_that_is_open_tells_a_session_that_ended_nothing_more(tmp_path: Path) -> None:
    """Also when it was just looking at the books: not one row later."""
    gate = asyncio.Event()

    async def rows(*_: object) -> AsyncIterator[tuple[str, Json] | None]:
        yield "1-a", {"id": "first"}
        await gate.wait()
        yield "2-b", {"id": "second"}

    async with Rig(tmp_path) as rig, aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(5)) as web:
        rig.gateway.admin.tail = rows  # type: ignore[method-assign, assignment]
        admin = {"authorization": f"Bearer {rig.gateway.admin_key}"}
        async with web.get(f"{rig.url}/api/requests/tail", headers=admin) as answer:
            assert b"1-a" in await answer.content.readline()
            async with web.post(f"{rig.url}/api/admin-password", json={"password": PASSWORD}, headers=admin) as changed:
                assert changed.status == 200
            gate.set()
            assert b"second" not in await answer.content.read()


# ---------------------------------------------------------------- Guessing


async def test_one_network_is_one_guesser(desk: Desk) -> None:
    """Whoever has one address of IPv6 has as many as he likes."""
    await with_password(desk)

    async def guess(address: str) -> int:
        return int((await desk.log_in("wrong horse", peer={"client": (address, 1)})).status_code)

    assert [await guess(f"2001:db8::{number:x}") for number in range(tries.MOST)] == [401] * tries.MOST
    assert await guess("2001:db8::ffff:1") == 429
    assert await guess("2001:db8:0:1::1") == 401, "the neighbours are not locked out with it"
    assert await guess("192.0.2.7") == 401


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/admin-password", {"password": "another password", "current": "guess"}),
        ("/api/backup", {"passphrase": "a phrase to seal with", "password": "guess"}),
        ("/api/accounts/export", {"password": "guess"}),
        ("/api/admin-key", {"password": "guess"}),
    ],
)
async def test_no_other_door_takes_guesses_of_the_password(desk: Desk, path: str, body: Json) -> None:
    """With a stolen session the password is guessed as slowly as without one."""
    await with_password(desk)
    await desk.log_in(PASSWORD)
    statuses = [(await desk.ask("POST", path, body)).status_code for _ in range(tries.MOST + 1)]
    assert statuses == [401] * tries.MOST + [429]
    answer = await desk.log_in(PASSWORD)
    assert (answer.status_code, "minute" in (await error_of(answer))["message"]) == (429, True)
