"""Signing in from the dashboard: a real browser, the real server, and the mock authorization server as the provider."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from aiohttp import web

pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install 'omni-connector[test]'")
from playwright.sync_api import expect

from omni_connector import providers
from tests.auth_server import AuthServer

from .conftest import ROOT, copied

T = TypeVar("T")
LIST = {"models": [{"slug": "gpt-5.5", "visibility": "list"}], "data": [{"id": "some/model"}]}


class Provider:
    """The provider's sign-in and its API, in a loop of their own: the browser is driven from a synchronous test."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.login = AuthServer()
        self.api = ""
        self.status = 200
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(20)

    def start(self) -> None:
        self.run(self.login.start())
        self.run(self._serve())
        codex = providers.get("codex").sign_in
        assert codex is not None
        self.login.clients.add(codex.client_id)

    def stop(self) -> None:
        self.run(self.login.stop())
        self.run(self._runner.cleanup())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    async def _serve(self) -> None:
        """The provider's API: it lists its models, or refuses."""

        async def answer(request: web.Request) -> web.Response:
            return web.json_response(LIST if self.status == 200 else {"detail": "Unauthorized"}, status=self.status)

        application = web.Application()
        application.router.add_route("*", "/{path:.*}", answer)
        self._runner = web.AppRunner(application)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.api = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    def endpoints(self) -> str:
        tables = {
            "openrouter": {**self.login.endpoints("key"), "inference": self.api},
            "codex": {**self.login.endpoints("codex-device"), "inference": self.api, "quota": self.api},
        }
        for table in tables.values():
            del table["issuer"]
        return "".join(
            f"[{name}]\n" + "".join(f"{key} = {json.dumps(url)}\n" for key, url in table.items()) for name, table in tables.items()
        )


@pytest.fixture
def provider() -> Iterator[Provider]:
    found = Provider()
    found.start()
    yield found
    found.stop()


@pytest.fixture
def dashboard(provider: Provider, tmp_path: Path) -> Iterator[str]:
    """The address of a server whose OpenRouter and Codex are the test's own."""
    (tmp_path / "endpoints.toml").write_text(provider.endpoints())
    env = {name: value for name, value in os.environ.items() if not name.startswith("OMNI_")}
    env |= {"OMNI_HOME": str(tmp_path / "home"), "OMNI_ENDPOINTS_FILE": str(tmp_path / "endpoints.toml")}
    command = [sys.executable, "-m", "omni_connector", "serve", "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        try:
            lines = iter(process.stdout.readline, "")
            yield next(found.group() for line in lines if (found := re.search(r"http://localhost:\d+$", line.strip())))
        finally:
            process.terminate()


def choose(page: Any, name: str) -> Any:
    page.get_by_role("button", name="Connect account").first.click()
    page.get_by_role("dialog").get_by_label("Search providers").fill(name)
    page.get_by_role("dialog").get_by_role("button", name=re.compile(f"^.?.?{re.escape(name)}")).click()
    return page.get_by_role("dialog")


def test_a_page_of_the_provider_and_back(provider: Provider, dashboard: str, open_page: Any) -> None:  # C-19, C-95, O-03
    provider.login.consent = True
    page = open_page("", "accounts", url=dashboard)
    dialog = choose(page, "OpenRouter")
    dialog.get_by_label("Name").fill("router")
    with page.expect_popup() as opened:
        dialog.get_by_role("button", name="Sign in", exact=True).click()
    tab = opened.value
    tab.locator("#approve").click()
    expect(tab.get_by_role("heading", name="Signed in")).to_be_visible()
    assert tab.url.startswith(f"{dashboard}/oauth/callback")
    assert tab.evaluate("window.opener") is None
    expect(page.get_by_text("router is connected.")).to_be_visible()
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_role("cell", name=re.compile("^router OpenRouter"))).to_be_visible()
    assert provider.login.count("code") == 1
    dialog = choose(page, "OpenRouter")
    dialog.get_by_role("button", name="Use a key instead").click()
    expect(page.get_by_role("dialog").get_by_label("API key")).to_be_visible()


def test_terms_a_code_to_type_and_signing_in_again(provider: Provider, dashboard: str, open_page: Any) -> None:  # P-20, P-25
    page = open_page("", "accounts", url=dashboard, errors_expected=True)
    dialog = choose(page, "Codex (")
    expect(dialog.get_by_text("off until you decide")).to_be_visible()
    expect(dialog.get_by_text("sharing or pooling plans")).to_be_visible()
    dialog.get_by_role("button", name="Use a code").click()
    box = dialog.get_by_label("I have read this and sign in all the same.")
    expect(box).to_be_visible()
    expect(dialog.get_by_role("button", name="Use a code")).to_be_disabled()
    box.check()
    provider.status = 401
    dialog.get_by_role("button", name="Use a code").click()
    code = dialog.get_by_test_id("user-code").inner_text()
    expect(dialog.get_by_role("link", name=re.compile("^Open 127"))).to_be_visible()
    dialog.get_by_role("button", name="Copy code").click()
    assert copied(page, code) == code
    provider.login.approve(code)
    expect(page.get_by_text("codex is connected")).to_be_visible()

    again = page.get_by_role("button", name="Sign in again")  # the API refused the new token at once
    expect(again).to_be_visible()
    provider.status = 200
    provider.login.consent = True
    with page.expect_popup() as opened:
        again.click()
    opened.value.close()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("heading", name="Sign in to codex again")).to_be_visible()
    dialog.get_by_text("Paste the address instead").click()
    pasted = dialog.get_by_label("Address or code")
    pasted.fill("http://localhost:1455/auth/callback?code=1&state=2")
    dialog.get_by_role("button", name="Use it").click()
    expect(dialog.get_by_text("another sign-in")).to_be_visible()
    address = str(dialog.get_by_role("link", name="open the sign-in page").get_attribute("href"))
    provider.login.consent = False
    pasted.fill(provider.run(provider.login.visit(address)))
    dialog.get_by_role("button", name="Use it").click()
    expect(page.get_by_text("codex is connected")).to_be_visible()
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(again).to_have_count(0)


def test_leaving_the_dialog_cancels_and_a_refusal_is_told(provider: Provider, dashboard: str, open_page: Any) -> None:
    provider.login.refuse = "access_denied"
    page = open_page("", "accounts", url=dashboard, errors_expected=True)
    dialog = choose(page, "OpenRouter")
    with page.expect_popup() as opened:
        dialog.get_by_role("button", name="Sign in", exact=True).click()
    expect(opened.value.get_by_role("heading", name="Not signed in")).to_be_visible()
    expect(dialog.get_by_text("access_denied")).to_be_visible()
    provider.login.refuse = ""
    provider.login.consent = True
    with page.expect_popup() as opened:
        dialog.get_by_role("button", name="Sign in", exact=True).click()
    expect(opened.value.locator("#approve")).to_be_visible()
    with page.expect_response(re.compile("/cancel$")) as told:
        dialog.get_by_role("button", name="Cancel").click()
    assert told.value.json()["status"] == "cancelled"
    opened.value.locator("#approve").click()
    expect(opened.value.get_by_text("was cancelled")).to_be_visible()
