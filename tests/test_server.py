"""One process that serves, in this process: its listeners move while requests run. (The same with real processes: tests/live.)"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

import app
from omni_connector import handover, secrets, server
from omni_connector.listeners import Sockets, listen
from omni_connector.notify import Notifier
from omni_connector.workers import terminal_is_gone
from tests.tls import make_pair

Json = dict[str, Any]
DEMO = {"provider": "demo", "label": "demo", "options": {"demo": {"latency_ms": 1, "chunk_ms": 20, "tokens": 20}}}
CHAT = {"model": "demo-chat", "messages": [{"role": "user", "content": "hello"}]}


class Living:
    """A server in this process, and a client for it."""

    def __init__(self, home: Path, web: aiohttp.ClientSession) -> None:
        self.home = home
        self.notes: list[Json] = []
        self.web = web
        self.sockets = Sockets({})
        self.life = server.Life(app.Assembled, server.Wish(home, "127.0.0.1", 0, jobs=False), self.sockets, self.notes.append)
        self.key = ""

    @property
    def gateway(self) -> Any:
        return self.life._gateway

    async def ready(self, task: asyncio.Task[Any]) -> None:
        while not self.notes:
            assert not task.done(), task.exception()
            await asyncio.sleep(0.01)
        await self.gateway.admin.add_account(DEMO)
        self.key = (await self.gateway.admin.create_key({"name": "test"}))["key"]

    async def ask(self, method: str, url: str, body: Any = None, key: str = "", **headers: str) -> tuple[int, Any]:
        sent = {"authorization": f"Bearer {key or self.gateway.admin_key}", **headers}
        async with self.web.request(method, url, json=body, headers=sent, ssl=False) as answer:
            return answer.status, await answer.json(content_type=None)

    async def set(self, **changes: Any) -> tuple[int, Any]:
        return await self.ask("POST", f"{self.notes[-1]['url']}/api/config", changes)

    async def chat(self, url: str, **more: Any) -> int:
        return (await self.ask("POST", f"{url}/v1/chat/completions", {**CHAT, **more}, self.key))[0]


@pytest.fixture
async def living(migrated_home: Path, omni_home: Path) -> AsyncIterator[Living]:
    shutil.copytree(migrated_home, omni_home)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as web:
        found = Living(omni_home, web)
        task = asyncio.create_task(found.life.live())
        try:
            await found.ready(task)
            yield found
        finally:
            if found.notes:
                os.kill(os.getpid(), signal.SIGTERM)
            assert await task == 0
            found.sockets.close()


def free_port() -> int:
    with listen("127.0.0.1", 0) as found:
        return int(found.getsockname()[1])


async def test_split_listeners_have_disjoint_routes_and_keys(living: Living) -> None:  # C-51
    first = living.notes[-1]["url"]
    status, told = await living.set(client_bind="localhost:0", admin_bind=f"127.0.0.1:{free_port()}")
    assert status == 200, told
    client, admin = living.notes[-1]["client_url"], living.notes[-1]["url"]
    assert len({first, client, admin}) == 3
    with pytest.raises(aiohttp.ClientConnectorError):
        await living.ask("GET", f"{first}/health")
    assert await living.chat(client) == 200
    for path in ("/api/system", "/", "/static/app.js", "/v1/router/status", "/metrics", "/provider_health", "/api/session"):
        assert (await living.ask("GET", client + path))[0] == 404, path
    for path in ("/v1/models", "/v1beta/models", "/openai/v1/models", "/llms.txt"):
        assert (await living.ask("GET", admin + path))[0] == 404, path
    assert await living.chat(admin) == 404
    assert (await living.ask("GET", f"{client}/health"))[0] == (await living.ask("GET", f"{admin}/health"))[0] == 200
    assert (await living.ask("GET", f"{client}/v1/models"))[0] == 401, "the admin key is none of the client API"
    assert (await living.ask("GET", f"{admin}/api/system", key=living.key))[0] == 401
    system = (await living.ask("GET", f"{admin}/api/system"))[1]
    assert [entry["side"] for entry in system["listeners"]] == ["client", "admin"] and system["mode"] == "single"

    assert (await living.set(admin_state=False))[0] == 200
    with pytest.raises(aiohttp.ClientConnectorError):
        await living.ask("GET", f"{admin}/health")
    assert await living.chat(client) == 200
    await living.gateway.admin.set_config({"admin_state": True})  # as a command does, on the database
    assert (await living.ask("GET", f"{admin}/api/system"))[0] == 200


async def test_a_moved_listener_drops_nothing(living: Living) -> None:
    old = living.notes[-1]["url"]
    sent = {"authorization": f"Bearer {living.key}"}
    async with living.web.post(f"{old}/v1/chat/completions", json={**CHAT, "stream": True}, headers=sent) as streaming:
        await streaming.content.readany()
        assert (await living.set(client_bind="localhost:0"))[0] == 200
        assert (await streaming.content.read()).rstrip().endswith(b"data: [DONE]")
    assert living.notes[-1]["client_url"] != old == living.notes[-1]["url"]
    assert await living.chat(living.notes[-1]["client_url"]) == 200


async def test_what_cannot_be_followed_is_not_stored(living: Living, tmp_path: Path) -> None:
    with listen("127.0.0.1", 0) as taken:
        status, told = await living.set(client_bind=f"127.0.0.1:{taken.getsockname()[1]}")
        assert status == 409 and "cannot be used" in told["error"]["message"]
    for changes, words in (
        ({"admin_bind": "nonsense"}, "no address|not an address"),
        ({"client_bind": "0.0.0.0:0"}, "OMNI_ALLOW_REMOTE"),
        ({"client_tls_cert": "/nowhere.pem", "client_tls_key": "/nowhere.key"}, "cannot be read"),
        ({"client_tls_cert": "/nowhere.pem"}, "needs its key"),
        ({"trusted_proxies": ["proxy.example"]}, "trusted_proxies"),
    ):
        status, told = await living.set(**changes)
        assert status == 400, told
        assert any(word in told["error"]["message"] for word in words.split("|")), told
    assert len(living.notes) == 1 and (await living.ask("GET", f"{living.notes[0]['url']}/health"))[0] == 200


async def test_each_listener_has_its_own_tls_which_is_renewed_without_a_restart(
    living: Living, tmp_path: Path
) -> None:  # P-13
    cert, key = make_pair(tmp_path / "tls", 1)
    changes = {"client_bind": "localhost:0", "client_tls_cert": str(cert), "client_tls_key": str(key)}
    assert (await living.set(**changes))[0] == 200
    client = living.notes[-1]["client_url"]
    assert client.startswith("https://") and living.notes[-1]["url"].startswith("http://")
    assert await living.chat(client) == 200

    def trusting() -> ssl.SSLContext:
        return ssl.create_default_context(cafile=cert)

    async with living.web.get(f"{client}/health", ssl=trusting()) as answer:
        assert answer.status == 200
    port = client.rpartition(":")[2]
    with pytest.raises((aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)):
        await living.ask("GET", f"http://127.0.0.1:{port}/health")
    before = trusting()
    for old, new in zip((cert, key), make_pair(tmp_path / "next", 2), strict=True):
        os.replace(new, old)
    await living.life.reload()
    async with living.web.get(f"{client}/health", ssl=trusting()) as answer:
        assert answer.status == 200
    with pytest.raises(aiohttp.ClientConnectorCertificateError):
        await living.web.get(f"{client}/health", ssl=before)
    assert (await living.set(client_tls_cert=None, client_tls_key=None))[0] == 200
    assert await living.chat(living.notes[-1]["client_url"]) == 200


async def test_only_trusted_proxies_speak_for_others(living: Living) -> None:  # P-12
    url = living.notes[-1]["url"]
    status, told = await living.ask("GET", f"{url}/api/agent-prompt", x_forwarded_proto="https")
    assert status == 200 and "https://" not in str(told).split("/v1")[0]
    assert (await living.set(client_auth=False))[0] == 200
    assert await living.chat(url) == 200
    async with living.web.post(f"{url}/v1/chat/completions", json=CHAT) as answer:
        assert answer.status == 200
    assert (await living.set(trusted_proxies=["127.0.0.1"]))[0] == 200
    async with living.web.post(f"{url}/v1/chat/completions", json=CHAT, headers={"x-forwarded-for": "127.0.0.1"}) as answer:  # R-23, P-54
        assert answer.status == 401, "what comes through a proxy is not from this machine"


async def test_keys_and_password_are_changed_at_once(living: Living, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "hash_password", lambda text: f"hash:{text}")
    url = living.notes[-1]["url"]
    assert (await living.ask("POST", f"{url}/api/client-key", {"key": "my-own-key-1234"}))[0] == 201
    living.key = "my-own-key-1234"
    assert await living.chat(url) == 200
    status, told = await living.ask("POST", f"{url}/api/client-key", {})
    assert status == 201 and await living.chat(url) == 401
    living.key = told["key"]
    assert await living.chat(url) == 200

    old = living.gateway.admin_key
    status, told = await living.ask("POST", f"{url}/api/admin-key", {})
    assert status == 201 and (living.home / "admin.key").read_text().strip() == told["key"] == living.gateway.admin_key
    assert (living.home / "admin.key").stat().st_mode & 0o777 == 0o600
    assert (await living.ask("GET", f"{url}/api/system", key=old))[0] == 401
    assert (await living.ask("GET", f"{url}/api/system"))[0] == 200
    assert (await living.ask("POST", f"{url}/api/admin-key", {"key": "omni-client-looking"}))[0] == 400
    # As another process does it: this one ends its sessions too.
    async with living.web.get(f"{url}/api/session") as answer:
        cookie = answer.cookies["omni_session"].value
    assert (await living.ask("GET", f"{url}/api/system", authorization="", cookie=f"omni_session={cookie}"))[0] == 200
    await living.gateway.admin.admin_password({"password": "correct horse"})
    assert (await living.ask("GET", f"{url}/api/system", authorization="", cookie=f"omni_session={cookie}"))[0] == 401
    assert (await living.ask("GET", f"{url}/api/service-mode"))[1]["mode"] == "single"
    assert (await living.ask("POST", f"{url}/api/service-mode", {"action": "reload"}))[0] == 202
    assert (await living.ask("POST", f"{url}/api/service-mode", {"action": "explode"}))[0] == 400


async def test_a_sign_in_link_is_good_once_in_whichever_worker(living: Living) -> None:
    url = living.notes[-1]["url"]
    link = (await living.ask("POST", f"{url}/api/session/link"))[1]["url"]
    for admits in (True, False):
        async with living.web.get(link, allow_redirects=False) as answer:
            assert answer.status == 303 and ("omni_session" in answer.cookies) is admits


def test_a_hang_up_of_the_terminal_is_no_reload(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not terminal_is_gone(False)
    monkeypatch.setattr(os, "tcgetpgrp", lambda handle: 1)
    assert not terminal_is_gone(True)

    def gone(handle: int) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "tcgetpgrp", gone)
    assert terminal_is_gone(True)


def test_the_note_is_only_removed_by_whoever_wrote_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    note = server.Note(tmp_path, handover.Turn({}), Notifier(), workers=2)
    said = {"url": "http://127.0.0.1:1", "base_url": "http://localhost:1", "dashboard": "http://localhost:1", "listeners": []}
    note.serves(said)
    note.serves({**said, "url": "http://127.0.0.1:2"})
    assert capsys.readouterr().out.count("is running") == 1
    file = tmp_path / "server.json"
    assert '"http://127.0.0.1:2"' in file.read_text() and file.stat().st_mode & 0o777 == 0o600
    file.write_text(file.read_text().replace(f'"pid": {os.getpid()}', '"pid": 1'))
    note.remove()
    assert file.exists()
    note.write_again()
    note.serves(said)
    note.remove()
    assert not file.exists()
    with contextlib.suppress(FileNotFoundError):
        note.remove()


async def test_behind_a_balancer_nobody_is_refused_while_it_leaves(living: Living) -> None:  # C-20
    url = living.notes[-1]["url"]
    assert (await living.ask("GET", f"{url}/ready"))[0] == (await living.ask("GET", f"{url}/ready?database=1"))[0] == 200
    await living.set(leave_s=0.5)
    living.life._stop.set()
    while (await living.ask("GET", f"{url}/ready"))[0] == 200:
        await asyncio.sleep(0.01)
    status, told = await living.ask("GET", f"{url}/ready")
    assert (status, told["status"]) == (503, "stopping")
    assert await living.chat(url) == 200, "not ready, and serves on"
    assert (await living.ask("GET", f"{url}/health"))[0] == 200
