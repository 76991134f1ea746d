"""A provider that is signed in to, played by strict mocks, and our server as a process of its own, for tests of whole sign-ins."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from omni_connector import providers, secrets
from omni_connector.store import accounts as rows
from omni_connector.store.engine import Database
from omni_connector.tokens import decode
from tests.auth_server import CLIENT, AuthServer
from tests.code_assist_server import CodeAssist
from tests.codex_server import ACCOUNT, Codex
from tests.kiro_server import Kiro, refusal, told
from tests.live.answers import CHAT as CHAT_WIRE
from tests.live.answers import Said
from tests.live.answers_more import gemini_stream, responses_stream
from tests.live.processes import BUSY_S, CHAT, Json, Line, Reply, chat, running
from tests.serving import Answer, FakeUpstream, Seen, whole

SAID = Said("Good day.")
CODEX_QUOTA = {
    "plan_type": "plus",
    "rate_limit": {"primary_window": {"used_percent": 12, "limit_window_seconds": 18_000, "reset_at": 4_102_444_800}},
}
KIMI_QUOTA = {"usage": {"limit": "100", "used": "12", "remaining": "88", "resetTime": "2099-01-01T00:00:00Z"}}
KIRO_QUOTA = {"usageBreakdownList": [{"resourceType": "AGENTIC_REQUEST", "currentUsage": 12, "usageLimit": 100, "unit": "INVOCATIONS"}]}
GOOGLE_QUOTA = {"buckets": [{"modelId": "gemini-2.5-pro", "remainingFraction": 0.88, "resetTime": "2099-01-01T00:00:00Z"}]}
SUMMARY = {"groups": [{"buckets": [{"bucketId": "gemini-weekly", "remainingFraction": 0.88, "resetTime": "2099-01-01T00:00:00Z"}]}]}
KEY_QUOTA = {"data": {"limit": 100, "limit_remaining": 88, "usage": 12, "limit_reset": "monthly", "is_free_tier": False}}
OWN = {"client_id": CLIENT, "client_secret": "cl13nt-s3cret"}


@dataclass(frozen=True)
class Connector:
    """One row of the table. `says`: one streamed answer of its upstream."""

    provider: str
    says: Callable[[], Answer]
    flavour: str = ""
    model: str = "test-model"
    way: str = ""
    opt_in: bool = True
    lasting: bool = False
    """It ends in a key that neither ends nor can be renewed."""
    revokes: bool = True
    quota: Mapping[str, Any] = field(default_factory=dict)
    body: Mapping[str, Any] = field(default_factory=dict)

    @property
    def device(self) -> bool:
        return self.way == "device"


def chatted() -> Answer:
    return SAID.answer(CHAT_WIRE, True)


def responded() -> Answer:
    return responses_stream(SAID)


TABLE = (
    Connector("openrouter", chatted, "key", opt_in=False, lasting=True, revokes=False, quota=KEY_QUOTA),
    Connector("codex", responded, "codex-device", "gpt-5.5", quota=CODEX_QUOTA),
    Connector("codex", responded, "codex-device", "gpt-5.5", "device", quota=CODEX_QUOTA),
    Connector("chatgpt", responded, model="gpt-5.5"),
    Connector("gemini-cli", lambda: gemini_stream(SAID), model="gemini-2.5-pro", quota=GOOGLE_QUOTA, body=OWN),
    Connector("antigravity", lambda: gemini_stream(SAID), model="gemini-3-flash", quota=SUMMARY, body=OWN),
    Connector("kiro", lambda: told(SAID), "aws-sso", "claude-sonnet-4.5", "device", revokes=False, quota=KIRO_QUOTA),
    Connector("kimi-code", chatted, model="kimi-k2.6", way="device", revokes=False, quota=KIMI_QUOTA),
    Connector("custom-oauth", chatted, opt_in=False, body=OWN),
)


@dataclass
class Street:
    """A provider's sign-in and its API, which knows only the tokens that this sign-in gave; and our server."""

    row: Connector
    home: Path
    login: AuthServer
    api: FakeUpstream
    mock: Any = None
    server: Any = None
    key: str = ""
    chats: int = 0

    def __post_init__(self) -> None:
        row, login = self.row, self.login
        sign_in = providers.get(row.provider).sign_in
        assert sign_in is not None
        login.interval_s = 1
        login.claims = {"https://api.openai.com/auth": {"chatgpt_account_id": ACCOUNT, "chatgpt_plan_type": "plus"}}
        login.clients.update(filter(None, [sign_in.client_id]))
        login.secrets.update({CLIENT: OWN["client_secret"]} if row.body else {})
        if row.provider in ("codex", "chatgpt"):
            self.mock = Codex(plan=row.provider == "chatgpt")
        elif row.provider in ("gemini-cli", "antigravity"):
            self.mock = CodeAssist(variant=row.provider == "antigravity", quota=dict(row.quota), listed={row.model: {}})
        elif row.provider == "kiro":
            self.mock = Kiro(good=login.good, limits=dict(row.quota))
        self.api.answer(self._answer)

    def _answer(self, seen: Seen) -> Answer:
        token = seen.headers.get("authorization", "").removeprefix("Bearer ")
        if not self.login.good(token):
            if self.row.provider == "kiro":
                return refusal(403, "AccessDeniedException", "The bearer token included in the request is invalid.")
            return whole({"error": {"message": f"{token} is no good", "code": "invalid_token"}}, 401)
        if seen.path.endswith(("/usage", "/usages", "/key", "/credits")):
            return whole(dict(self.row.quota))
        self.chats += 1
        if self.mock is None:
            return self.row.says()
        self.mock.token, self.mock.says = token, [self.row.says()]
        return self.mock(seen)

    # ------------------------------------------------------------ addresses

    @property
    def addresses(self) -> dict[str, str]:
        found = {"issuer": self.login.url} if self.row.provider == "chatgpt" else self.login.endpoints(self.row.flavour)
        if self.row.provider != "chatgpt":
            del found["issuer"]
        if not self.row.revokes:
            found.pop("revoke", None)
        below = {"openrouter": "/api/v1", "kimi-code": "/coding/v1", "codex": "/backend-api/codex", "custom-oauth": "/v1"}
        inference = self.api.url + below.get(self.row.provider, "")
        return {**found, "inference": inference, "setup": self.api.url, "balance": f"{self.api.url}/credits"}

    def endpoints_file(self) -> str:
        path = self.home.parent / "endpoints.toml"
        path.write_text("\n".join([f"[{self.row.provider}]", *(f'{name} = "{url}"' for name, url in self.addresses.items())]))
        return str(path)

    @property
    def body(self) -> Json:
        """What begins the sign-in."""
        more: Json = {"way": self.row.way, **self.row.body}
        if self.row.provider == "custom-oauth":
            told = {name: self.login.endpoints()[name] for name in ("authorization", "token", "revoke", "user_info")}
            more["options"] = {"oauth": {**told, "client_id": CLIENT, "scopes": ["openid", "email", "models"]}}
        return more

    # ------------------------------------------------------------ what a user does

    async def call(self, method: str, path: str, body: Any = b"", headers: Mapping[str, str] | None = None) -> Reply:
        """As `Server.admin`, whatever the answer."""
        named = headers if headers is not None else {"Authorization": f"Bearer {(self.home / 'admin.key').read_text().strip()}"}
        async with Line.open(self.server.url) as line:
            return await line.ask(method, path, body, named, within=40)

    async def begin(self, **more: Any) -> Json:
        reply = await self.call("POST", f"/api/oauth/{self.row.provider}/start", {**self.body, "acknowledged": True, **more})
        assert reply.status == 200, reply.body
        return dict(reply.json)

    async def finish(self, flow: Json) -> Json:
        """Allows the access → the account."""
        if self.row.device:
            self.login.approve(flow["user_code"])
            end = time.monotonic() + BUSY_S
            while (reply := await self.call("GET", f"/api/oauth/flows/{flow['flow_id']}")).json["status"] == "waiting":
                assert time.monotonic() < end, reply.body
                await asyncio.sleep(0.02)
        else:
            location = await self.login.visit(flow["authorization_url"])
            reply = await self.call("POST", f"/api/oauth/flows/{flow['flow_id']}/complete", {"code": location})
        assert (reply.status, reply.json["status"]) == (200, "done"), reply.body
        account = reply.json["account"]
        await self.call("PATCH", f"/api/accounts/{account['id']}", {"models": [self.row.model]})
        return dict(account)

    async def said(self) -> Reply:
        body = chat("Hi", f"{self.row.provider}/{self.row.model}", stream=True)
        return await self.call("POST", CHAT, body, {"Authorization": f"Bearer {self.key}"})

    async def account(self, account_id: str) -> Json:
        return dict((await self.call("GET", f"/api/accounts/{account_id}")).json)

    async def until(self, account_id: str, holds: Callable[[Json], Any]) -> Json:
        end = time.monotonic() + BUSY_S
        while not holds(account := await self.account(account_id)):
            assert time.monotonic() < end, f"the account never got there: {account}"
            await asyncio.sleep(0.02)
        return account

    async def later(self, account_id: str) -> None:
        """As an hour later: the access token has ended at the provider, which said nothing of it."""
        db = await Database.open(f"sqlite:///{self.home / 'omni.db'}")
        vault = secrets.load_or_create_master(self.home, {})
        account = await db.run(lambda conn: rows.get(conn, vault, account_id))
        tokens = decode(account.secret)
        assert tokens is not None
        secret = replace(tokens, refreshed_at=0).encode()
        await db.tx(lambda conn: rows.update(conn, vault, account_id, {"secret": secret}))
        await db.close()
        await self.call("POST", "/api/reload-config")
        self.login._access.pop(tokens.access_token)

    def secrets(self) -> set[str]:
        """Everything secret that the provider gave out, and took."""
        given = {*self.login._access, *self.login._refresh, *self.login._codes, *self.login._devices, OWN["client_secret"]}
        given |= {call.fields["code_verifier"] for call in self.login.calls if call.fields.get("code_verifier")}
        return given | {secret for name, secret in self.login.secrets.items() if name != CLIENT}


@contextlib.asynccontextmanager
async def opened(connector: Connector, tmp_path: Path) -> AsyncIterator[Street]:
    api = FakeUpstream()
    await api.start()
    async with AuthServer() as login:
        street = Street(connector, tmp_path / "home", login, api)
        async with running(street.home, OMNI_ENDPOINTS_FILE=street.endpoints_file(), OMNI_LOG_LEVEL="debug") as server:
            street.server = server
            street.key = (await server.admin("POST", "/api/keys", {"name": "test"}))["key"]
            yield street
    await api.stop()


def clean(street: Street, told: str, where: str) -> None:
    found = [secret for secret in street.secrets() if secret in told]
    assert not found, f"{where} tells {found}"


def text(body: bytes) -> str:
    """What a streamed chat says."""
    events = [json.loads(line[6:]) for line in body.decode().splitlines() if line.startswith("data: {")]
    return "".join(choice["delta"].get("content") or "" for event in events for choice in event.get("choices", ()))
