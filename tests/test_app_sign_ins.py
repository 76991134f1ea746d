"""The sign-in routes over HTTP: who may begin one, and what the page at the end does for strangers (CONTRACT §5, C-89)."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

import app as module
from omni_connector import providers
from omni_connector.gateway import Gateway
from tests.auth_server import AuthServer
from tests.desk import ELSEWHERE, HOST, Desk, closed, error_of

Json = dict[str, Any]


class Door(Desk):
    server: AuthServer

    async def start(self, body: Json | None = None, **more: Any) -> Any:
        return await self.ask("POST", "/api/oauth/mock/start", body or {}, **more)

    async def begin(self, **more: Any) -> Json:
        answer = await self.start(**more)
        assert answer.status_code == 200, await answer.get_data()
        self.proofs = answer.headers.getlist("set-cookie")
        return dict(await answer.get_json())

    async def back(self, flow: Json) -> str:
        """Path and query of our page that the provider sends the browser to."""
        parts = urlsplit(await self.server.visit(flow["authorization_url"]))
        assert parts.netloc == HOST
        return f"{parts.path}?{parts.query}"

    async def status(self, flow: Json) -> Json:
        return dict(await (await self.ask("GET", f"/api/oauth/flows/{flow['flow_id']}", **self.admin)).get_json())


@pytest.fixture
async def door(migrated_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Door]:
    shutil.copytree(migrated_home, tmp_path / "home")
    async with AuthServer() as server:
        monkeypatch.setattr(providers, "PROVIDERS", {**providers.PROVIDERS, "mock": server.row()})
        gateway = await Gateway.open(tmp_path / "home", {})
        gateway.ledger.start()
        door = Door(gateway, module.create_app(gateway))
        door.server = server
        yield door
        await closed(door)


async def test_from_start_to_account(door: Door) -> None:  # C-19, O-03
    flow = await door.begin(**door.admin)
    assert flow["redirect_uri"] == f"http://{HOST}/oauth/callback"
    assert door.proofs == []
    path = await door.back(flow)
    answer = await door.ask("GET", path, signed=False)
    page = await answer.get_data(as_text=True)
    assert (answer.status_code, "Signed in" in page) == (200, True)
    assert not [value for values in parse_qs(urlsplit(path).query).values() for value in values if value in page]
    told = await door.status(flow)
    assert (told["status"], told["account"]["status"]) == ("done", "ready")
    for name, value in (("cache-control", "no-store"), ("referrer-policy", "no-referrer"), ("x-frame-options", "DENY")):
        assert answer.headers[name] == value
    assert "style-src 'sha256-" in answer.headers["content-security-policy"]
    assert "<script" not in page
    assert "set-cookie" not in answer.headers


async def test_generating_an_address_is_the_same_function(door: Door) -> None:  # C-89
    answer = await door.ask("POST", "/api/providers/mock/generate-auth-url", {"label": "work"}, **door.admin)
    flow = await answer.get_json()
    assert flow["authorization_url"].startswith(door.server.url)
    assert (await (await door.ask("GET", f"/api/oauth/flows/{flow['flow_id']}", **door.admin)).get_json())["label"] == "work"


@pytest.mark.parametrize("path", ["/api/oauth/mock/start", "/api/providers/mock/generate-auth-url", "/api/oauth/flows/x/complete"])
async def test_strangers_begin_and_finish_nothing(door: Door, path: str) -> None:
    assert (await door.ask("POST", path, {}, signed=False)).status_code == 401
    assert (await door.ask("POST", path, {}, peer=ELSEWHERE, **door.admin)).status_code == 403
    await door.sign_in()
    assert (await door.ask("POST", path, {}, x_csrf_token="wrong")).status_code == 403
    assert (await door.ask("POST", path, {}, origin="https://evil.example")).status_code == 403
    assert (await door.ask("GET", "/api/oauth/flows/x", signed=False)).status_code == 401


async def test_a_dashboard_s_sign_in_goes_on_in_its_own_browser_only(door: Door) -> None:
    await door.sign_in()
    flow = await door.begin()
    (cookie,) = door.proofs
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
    assert door.cookie not in cookie
    proof = cookie.split(";")[0]
    path = await door.back(flow)
    for sent in ("", "omni_sign_in=forged", f"omni_session={door.cookie}"):
        answer = await door.ask("GET", path, signed=False, **({"cookie": sent} if sent else {}))
        assert answer.status_code == 400
        assert "another browser" in await answer.get_data(as_text=True)
    assert (await door.status(flow))["status"] == "waiting"
    assert (await door.ask("GET", path, signed=False, cookie=proof)).status_code == 200
    assert (await door.status(flow))["status"] == "done"


async def test_another_session_does_not_finish_it_and_the_admin_key_does(door: Door) -> None:
    await door.sign_in()
    flow = await door.begin()
    pasted = {"code": await door.back(flow)}
    first, door.cookie = (door.cookie, door.csrf), ""
    await door.sign_in()
    assert door.cookie != first[0]
    answer = await door.ask("POST", f"/api/oauth/flows/{flow['flow_id']}/complete", pasted)
    assert (answer.status_code, (await error_of(answer))["code"]) == (403, "session")
    answer = await door.ask("POST", f"/api/oauth/flows/{flow['flow_id']}/complete", pasted, signed=False, **door.admin)
    assert (await answer.get_json())["status"] == "done"


async def test_the_page_is_no_way_to_anywhere_else(door: Door) -> None:
    flow = await door.begin(**door.admin)
    for query in (
        "code=x&state=y&redirect_uri=https://evil.example",
        "code=x&state=y&next=//evil.example",
        "error=%0d%0alocation:%20https://evil.example&state=y",
        "code=<script>alert(1)</script>&state=y",
        "state=" + "x" * 20_000,
        "",
    ):
        answer = await door.ask("GET", f"/oauth/callback?{query}", signed=False)
        page = await answer.get_data(as_text=True)
        assert answer.status_code == 400
        assert "location" not in answer.headers
        assert "evil" not in page and "<script" not in page
    assert (await door.status(flow))["status"] == "waiting"


async def test_host_and_peer_are_checked_there_too(door: Door) -> None:
    path = await door.back(await door.begin(**door.admin))
    assert (await door.ask("GET", path, host="evil.example", signed=False)).status_code == 421
    assert (await door.ask("GET", path, peer=ELSEWHERE, signed=False)).status_code == 403
    assert door.gateway.snapshot.accounts == ()


async def test_a_look_at_the_address_does_not_use_its_code_up(door: Door) -> None:
    flow = await door.begin(**door.admin)
    path = await door.back(flow)
    assert (await door.ask("HEAD", path, signed=False)).status_code == 200
    assert (await door.status(flow))["status"] == "waiting"
    assert (await door.ask("POST", path, signed=False)).status_code == 405
    assert (await door.ask("GET", path, signed=False)).status_code == 200


async def test_terms_stand_in_the_refusal(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    row = door.server.row(door.server.profile(notice="For its own programs only."))
    monkeypatch.setitem(providers.PROVIDERS, "mock", row)  # type: ignore[arg-type]
    answer = await door.start(**door.admin)
    error = await error_of(answer)
    assert (answer.status_code, error["code"], error["message"]) == (409, "notice", "For its own programs only.")
    assert (await door.start({"acknowledged": True}, **door.admin)).status_code == 200
    assert (await door.start(**door.admin)).status_code == 200


async def test_cancelling(door: Door) -> None:
    flow = await door.begin(**door.admin)
    answer = await door.ask("POST", f"/api/oauth/flows/{flow['flow_id']}/cancel", **door.admin)
    assert (await answer.get_json())["status"] == "cancelled"
