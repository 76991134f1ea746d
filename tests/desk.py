"""The app without a socket: requests as a browser on this machine sends them, unless a test says otherwise."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from quart import Quart

import app as module
from omni_connector.gateway import Gateway

Json = dict[str, Any]
HOST = "localhost:38471"
HERE = {"client": ("127.0.0.1", 50_000)}
ELSEWHERE = {"client": ("192.0.2.7", 50_000)}
ADMIN_READS = (
    "/api/accounts", "/api/providers", "/api/providers/openai", "/api/keys", "/api/usage", "/api/quota", "/api/prices", "/api/requests",
    "/api/clients", "/api/agent-prompt", "/api/provider-models", "/api/system", "/api/config", "/api/alerts", "/api/alerts/channels",
    "/api/jobs", "/api/events", "/provider_health", "/metrics", "/v1/router/status", "/v1/router/usage", "/v1/router/config",
)  # fmt: skip


class Desk:
    """The app without a socket: requests as a browser on this machine sends them, unless a test says otherwise."""

    def __init__(self, gateway: Gateway, app: Quart) -> None:
        self.gateway = gateway
        self.app = app
        self.client: Any = app.test_client(use_cookies=False)
        self.cookie = ""
        self.csrf = ""

    async def ask(
        self, method: str, path: str, body: Any = None, *, peer: Json = HERE, host: str = HOST, signed: bool = True, **headers: str
    ) -> Any:
        sent = {"host": host, **{name.replace("_", "-"): value for name, value in headers.items()}}
        if signed and self.cookie:
            sent = {"cookie": f"omni_session={self.cookie}", "x-csrf-token": self.csrf, **sent}
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        return await self.client.open(path, method=method, headers=sent, data=data, scope_base=peer)

    async def sign_in(self, **more: Any) -> Any:
        answer = await self.ask("GET", "/api/session", **more)
        self._take(answer)
        self.csrf = (await answer.get_json())["csrf"]
        return answer

    async def log_in(self, password: str, **more: Any) -> Any:
        answer = await self.ask("POST", "/api/login", {"password": password}, **more)
        if answer.status_code == 200:
            self._take(answer)
            self.csrf = (await (await self.ask("GET", "/api/session")).get_json())["csrf"]
        return answer

    def _take(self, answer: Any) -> None:
        for line in answer.headers.getlist("set-cookie"):
            self.cookie = line.split("omni_session=")[1].split(";")[0]

    @property
    def admin(self) -> dict[str, Any]:
        return {"authorization": f"Bearer {self.gateway.admin_key}"}


async def opened(migrated_home: Path, home: Path, **env: str) -> Desk:
    shutil.copytree(migrated_home, home)
    gateway = await Gateway.open(home, env)
    gateway.ledger.start()
    return Desk(gateway, module.create_app(gateway))


async def closed(desk: Desk) -> None:
    await desk.gateway.ledger.close()
    await desk.gateway.upstream.close()
    await desk.gateway.close()


async def error_of(answer: Any) -> Json:
    error: Json = (await answer.get_json())["error"]
    assert error.get("status", answer.status_code) == answer.status_code
    return error
