"""Sign-ins under attack and in bad luck: real server processes, a provider that fails, people who try what is not theirs."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

import app as module
from omni_connector.gateway import Gateway
from tests.auth_server import Fault
from tests.live.connecting import TABLE, Connector, Street, clean, opened, text
from tests.live.processes import CHAT, Json, Line, Reply, Server, chat

pytestmark = pytest.mark.slow

ROWS = {connector.provider: connector for connector in TABLE}
INSIDE = "http://169.254.169.254/latest/meta-data"


def at(*providers: str) -> pytest.MarkDecorator:
    rows: list[Connector] = [ROWS[name] for name in providers]
    return pytest.mark.parametrize("connector", rows, ids=providers)


@pytest.fixture
async def street(connector: Connector, tmp_path: Path) -> AsyncIterator[Street]:
    async with opened(connector, tmp_path) as street:
        yield street


async def begun(street: Street, **more: Any) -> Json:
    if street.row.opt_in:
        await street.server.admin("POST", "/api/config", {"connectors": [street.row.provider]})
    return await street.begin(**more)


# ---------------------------------------------------------------- Staying alive


@at("custom-oauth", "kiro")
async def test_fifty_requests_in_two_processes_renew_once(street: Street) -> None:  # C-66
    account = await street.finish(await begun(street))
    second = Server(street.home, OMNI_ENDPOINTS_FILE=street.endpoints_file())
    second.spawn()
    try:
        await second.ready()
        await street.later(account["id"])
        body = chat("Hi", f"{street.row.provider}/{street.row.model}", stream=True)
        gate = street.login.hold("refresh")

        async def ask(url: str) -> Reply:
            async with Line.open(url) as line:
                return await line.ask("POST", CHAT, body, {"Authorization": f"Bearer {street.key}"}, within=40)

        async def release() -> None:
            while street.chats + len(street.api.seen) < 50:
                await asyncio.sleep(0.01)
            gate.set()

        *replies, _ = await asyncio.gather(*(ask((street.server.url, second.url)[n % 2]) for n in range(50)), release())
        assert [text(reply.body) for reply in replies] == ["Good day."] * 50
        assert (street.login.count("refresh"), street.login.reused) == (1, [])
    finally:
        second.kill()


@at("custom-oauth")
@pytest.mark.parametrize("rotate", [True, False])
async def test_killed_when_the_provider_has_renewed(street: Street, rotate: bool) -> None:  # C-66, O-21
    account = await street.finish(await street.begin())
    street.login.rotate = rotate
    await street.later(account["id"])
    issue = street.login._tokens

    def issue_and_kill(grant: Any) -> Json:
        street.server.kill()
        return issue(grant)

    street.login._tokens = issue_and_kill  # type: ignore[method-assign]
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        await street.said()
    street.login._tokens = issue  # type: ignore[method-assign]
    await _again(street)
    answers = [await street.said() for _ in range(5)]
    assert street.login.count("refresh") == 2, "tried once more, and never again"
    after = await street.account(account["id"])
    if rotate:
        assert {answer.status for answer in answers} == {503}
        assert after["status"] == "needs_login" and "sign in again" in after["status_reason"]
        assert (await street.finish(await street.begin(account=account["id"])))["id"] == account["id"]
    assert text((await street.said()).body) == "Good day."


async def _again(street: Street) -> None:
    street.server.kill()
    street.server.spawn()
    await street.server.ready()


@at("custom-oauth", "openrouter", "gemini-cli", "kimi-code")
async def test_a_sign_in_outlives_the_server_that_began_it(street: Street) -> None:
    flow = await begun(street)
    await _again(street)
    told = (await street.call("GET", f"/api/oauth/flows/{flow['flow_id']}")).json
    assert told["status"] == "waiting"
    if street.row.provider == "gemini-cli":
        port = urlsplit(flow["redirect_uri"]).port
        assert told["listening"]
        socket.create_connection(("127.0.0.1", port), 2).close()
    await street.finish(flow)
    assert text((await street.said()).body) == "Good day."


@at("custom-oauth")
async def test_while_it_cannot_be_renewed_nobody_is_hammered(street: Street) -> None:
    account = await street.finish(await street.begin())
    await street.later(account["id"])
    street.login.fault("refresh", Fault(429, {"error": "slow"}, {"Retry-After": "70"}))
    street.api.seen.clear()
    for _ in range(5):
        answer = await street.said()
        assert answer.status == 503 and 60 <= int(answer.headers["retry-after"]) <= 70
        assert "more cannot serve" not in answer.json["error"]["message"]
    assert (street.login.count("refresh"), len(street.api.seen)) == (1, 1)
    await street.finish(await street.begin(account=account["id"]))
    assert text((await street.said()).body) == "Good day."


# ---------------------------------------------------------------- Others


@at("custom-oauth")
async def test_two_dashboards_do_not_get_into_each_others_sign_ins(street: Street) -> None:
    async with contextlib.AsyncExitStack() as stack:
        people = [await stack.enter_async_context(_dashboard(street)) for _ in range(2)]
        (ada, ada_posts), (bob, bob_posts) = people
        start = "/api/oauth/custom-oauth/start"
        (_, hers), (_, his) = await ada_posts(start, {**street.body, "label": "a"}), await bob_posts(start, {**street.body, "label": "b"})
        back, his_back = await street.login.visit(hers["authorization_url"]), await street.login.visit(his["authorization_url"])
        for posts, flow, code, status in (
            (ada_posts, his, his_back, 403),  # his sign-in in her session
            (ada_posts, hers, his_back, 400),  # his code in her sign-in
            (bob_posts, hers, back, 403),
        ):
            assert (await posts(f"/api/oauth/flows/{flow['flow_id']}/complete", {"code": code}))[0] == status
        assert (await bob_posts(f"/api/oauth/flows/{hers['flow_id']}/cancel", {}))[0] == 403
        for browser, status in ((bob, 400), (ada, 200), (ada, 400)):  # another one's, her own, replayed
            async with browser.get(back) as answer:
                assert answer.status == status
        assert street.login.count("code") == 1
        async with ada.post(street.server.url + start, json=street.body) as answer:
            assert answer.status == 403, "another site's page has no token"


@contextlib.asynccontextmanager
async def _dashboard(street: Street) -> Any:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
        async with browser.get(f"{street.server.url}/api/session") as answer:
            csrf = (await answer.json())["csrf"]

        async def posts(path: str, body: Json) -> tuple[int, Json]:
            async with browser.post(street.server.url + path, json=body, headers={"X-CSRF-Token": csrf}) as answer:
                return answer.status, await answer.json()

        yield browser, posts


@at("custom-oauth")
async def test_a_client_key_opens_nothing_of_the_admin_s(street: Street) -> None:
    """So nobody but the owner says where we call."""
    gateway = await Gateway.open(street.home.parent / "other", {})
    rules = list(module.create_app(gateway).url_map.iter_rules())
    await gateway.close()
    tried = 0
    for rule in rules:
        path = re.sub(r"<[^>]+>", "x", re.sub(r"<any\(([^,)]*)[^>]*>", r"\1", rule.rule))
        if not path.startswith("/api/") or path in ("/api/hello", "/api/session"):
            continue
        for method in (rule.methods or set()) - {"OPTIONS", "HEAD"}:
            for header in ({"Authorization": f"Bearer {street.key}"}, {"x-api-key": street.key}):
                reply = await street.call(method, path, {"base_url": INSIDE, "options": {"endpoints": {"token": INSIDE}}}, header)
                assert reply.status == 401, f"{method} {path}"
                tried += 1
    assert tried > 100


# ---------------------------------------------------------------- A provider that fails

FAULTS = (
    Fault(200, "<html>Sign in</html>"),
    Fault(502, "<html>Bad gateway</html>"),
    Fault(429, {"error": "slow"}, {"Retry-After": "7"}),
    Fault(302, "", {"Location": INSIDE}),
    Fault(200, ["a"]),
    Fault(200, {"access_token": "a\r\nX-Evil: 1", "token_type": "Bearer"}),
)
STEPS = {"custom-oauth": "code", "chatgpt": "discovery code jwks", "openrouter": "code", "kiro": "register device"}


@at(*STEPS)
async def test_a_provider_that_answers_nonsense_at_any_step(street: Street) -> None:
    await begun(street)
    for step in STEPS[street.row.provider].split():
        for fault in FAULTS:
            street.login.fault(step, fault)
            reply = await street.call("POST", f"/api/oauth/{street.row.provider}/start", {**street.body, "acknowledged": True})
            if reply.status == 200:
                code = {"code": await street.login.visit(reply.json["authorization_url"])}
                reply = await street.call("POST", f"/api/oauth/flows/{reply.json['flow_id']}/complete", code)
            assert reply.status in ((429,) if fault.status == 429 else (400, 502)), (step, fault, reply)
            assert fault.status != 429 or reply.headers["retry-after"] == "7"
            assert reply.json["error"]["message"] and "X-Evil" not in reply.body.decode()
            street.login._faults.clear()
    assert not (await street.call("GET", "/api/accounts")).json["accounts"]
    log = street.server.output.read_text()
    assert "Traceback" not in log
    clean(street, log, "the log")
