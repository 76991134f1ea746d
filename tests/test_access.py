"""Every route × every credential: who gets in is a table (access_table.txt), and a route without a line fails (CONTRACT §3).

A line is `METHOD PATH CLASS STATUS`: the class says who is refused and how (CLASSES), the status is what those get who are let in.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from omni_connector import secrets, tries
from omni_connector.admin import now_ms
from omni_connector.paths import POSTS
from tests.access import LINES, STREAMS
from tests.desk import ELSEWHERE, Desk, closed, opened

Json = dict[str, Any]
PASSWORD = "correct horse battery"
MONITOR_KEY = "monitor-key-0123456789"
VERBS = ("generateContent", "streamGenerateContent", "embedContent", "batchEmbedContents")

IN, HERE_ONLY = 0, 403
"""IN: the status of the line."""
PROXIED = {"x_forwarded_for": "192.0.2.7"}
FOREIGN = {"origin": "https://evil.example", "sec_fetch_site": "cross-site"}


@dataclass(frozen=True)
class Who:
    """A credential on this machine: what is sent beside it, and from where."""

    credential: str = ""
    more: Mapping[str, Any] = field(default_factory=dict)
    open_to_others: bool = False
    """Asked of an installation that other machines may reach, with a password set."""


WHO: Mapping[str, Who] = {
    "nobody": Who(),
    "client key": Who("client"),
    "client key as x-api-key": Who("x-client"),
    "expired key": Who("expired"),
    "revoked key": Who("revoked"),
    "admin key": Who("admin"),
    "admin key as x-api-key": Who("x-admin"),
    "monitor key": Who("monitor"),
    "session": Who("session"),
    "session without token": Who("no-csrf"),
    "session, other Origin": Who("session", FOREIGN),
    "admin key, other Host": Who("admin", {"host": "evil.example"}),
    "client key, other Host": Who("client", {"host": "evil.example"}),
    "session, other Host": Who("session", {"host": "evil.example"}),
    "admin key, remote peer": Who("admin", {"peer": ELSEWHERE}),
    "client key, remote peer": Who("client", {"peer": ELSEWHERE}),
    "session, remote peer": Who("session", {"peer": ELSEWHERE}),
    "session, through a proxy": Who("session", PROXIED),
    "open: nobody": Who("", {"peer": ELSEWHERE}, True),
    "open: nobody on this machine": Who("", {}, True),
    "open: client key": Who("client", {"peer": ELSEWHERE}, True),
    "open: admin key": Who("admin", {"peer": ELSEWHERE, "host": "omni.example"}, True),
    "open: session": Who("session", {"peer": ELSEWHERE, "host": "omni.example"}, True),
    "open: session without token": Who("no-csrf", {"peer": ELSEWHERE}, True),
    "open: session, other Origin": Who("session", {"peer": ELSEWHERE, **FOREIGN}, True),
}

_STRANGERS = dict.fromkeys(
    ["nobody", "client key", "client key as x-api-key", "expired key", "revoked key", "admin key as x-api-key", "monitor key"], 401
) | dict.fromkeys(["open: nobody", "open: nobody on this machine", "open: client key"], 401)
_OUTSIDE = dict.fromkeys([who for who in WHO if who.endswith("other Host")], 421) | dict.fromkeys(
    [who for who in WHO if who.endswith((", remote peer", "through a proxy"))], 403
)
_FORGED = dict.fromkeys(
    ["session without token", "session, other Origin", "open: session without token", "open: session, other Origin"], 403
)
_SESSIONS = dict.fromkeys(["session", "open: session"], 403)

CLASSES: Mapping[str, Mapping[str, int]] = {
    "anyone": {},
    # The dashboard's pages: no credential, but this machine and its own name.
    "page": _OUTSIDE,
    "login": _OUTSIDE | dict.fromkeys(["session, other Origin", "open: session, other Origin"], 403),
    "admin-read": _STRANGERS | _OUTSIDE,
    "admin-change": _STRANGERS | _OUTSIDE | _FORGED,
    "monitor": {who: status for who, status in (_STRANGERS | _OUTSIDE).items() if who != "monitor key"},
    # Credentials leave: a session alone is not enough, whoever signed in gives the password or the admin key again.
    "owner-read": _STRANGERS | _OUTSIDE | _FORGED | _SESSIONS,
    "owner-change": _STRANGERS | _OUTSIDE | _FORGED | _SESSIONS,
    # The files of other programs of this user: not even the admin key from another machine.
    "here-read": _STRANGERS
    | _OUTSIDE
    | dict.fromkeys(["open: admin key", "open: session", "open: session without token", "open: session, other Origin"], HERE_ONLY),
    "here-change": _STRANGERS | _OUTSIDE | _FORGED | dict.fromkeys(["open: admin key", "open: session"], HERE_ONLY),
    # The key decides, from wherever it comes; neither the admin key nor a session is one.
    "client": {who: 401 for who, asked in WHO.items() if asked.credential not in ("client", "x-client")},
}


# ---------------------------------------------------------------- The table is whole


def served(app: Any) -> set[tuple[str, str]]:
    """Every route of the app: Quart's, and those that are served ahead of it. Converters without what they list: spaces end a word."""
    found = {
        (method, re.sub(r"<(\w+)\([^>]*\):(\w+)>", r"<\1:\2>", rule.rule))
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    ahead = [*POSTS, *(f"/{version}/models/<model>:{verb}" for version in ("v1", "v1beta") for verb in VERBS)]
    return found | {("POST", below + path) for path in ahead for below in ("", "/<provider>")}


async def test_every_route_has_a_line_and_every_line_a_route(tables: Tables) -> None:
    assert served(tables.narrow.app) == set(LINES)
    assert {kind for kind, _ in LINES.values()} == set(CLASSES)
    assert not [line for line in LINES if line[1] in ("/api/hello", "/health") and LINES[line][0] not in ("page", "anyone")]


# ---------------------------------------------------------------- Everything is asked


class Tables:
    """Two installations, one as it is by default, one open to others; with every credential that there is."""

    def __init__(self, narrow: Desk, wide: Desk) -> None:
        self.narrow = narrow
        self.wide = wide
        self.keys: dict[int, Json] = {}

    async def prepare(self) -> None:
        await self.wide.ask("POST", "/api/admin-password", {"password": PASSWORD}, **self.wide.admin)
        for desk in (self.narrow, self.wide):
            admin = desk.gateway.admin
            made = {name: await admin.create_key({"name": f"a {name}"}) for name in ("client", "revoked")}
            made["expired"] = await admin.create_key({"name": "expired", "expires_at": (ends := now_ms() + 10)})
            await admin.revoke_key(made["revoked"]["id"])
            self.keys[id(desk)] = {name: key["key"] for name, key in made.items()}
            while now_ms() <= ends:
                await asyncio.sleep(0)

    async def renew(self) -> None:
        """Sessions that hold: some routes end them."""
        if not self.narrow.cookie or (await self.narrow.ask("GET", "/api/jobs")).status_code != 200:
            self.narrow.cookie = ""
            await self.narrow.sign_in()
        if not self.wide.cookie or (await self.wide.ask("GET", "/api/jobs")).status_code != 200:
            assert (await self.wide.log_in(PASSWORD)).status_code == 200

    async def status(self, method: str, path: str, who: Who) -> int:
        desk = self.wide if who.open_to_others else self.narrow
        answer = await desk.ask(method, path, {} if method not in ("GET", "HEAD") else None, **self._sent(desk, who))
        status: int = answer.status_code
        return status

    def _sent(self, desk: Desk, who: Who) -> Json:
        keys = self.keys[id(desk)]
        sent: Json = {"signed": who.credential in ("session", "no-csrf"), **dict(who.more)}
        match who.credential:
            case "client" | "expired" | "revoked":
                sent["authorization"] = f"Bearer {keys[who.credential]}"
            case "x-client":
                sent["x_api_key"] = keys["client"]
            case "admin":
                sent |= desk.admin
            case "x-admin":
                sent["x_api_key"] = desk.gateway.admin_key
            case "monitor":
                sent["authorization"] = f"Bearer {MONITOR_KEY}"
            case "no-csrf":
                sent["x_csrf_token"] = ""
        return sent


@pytest.fixture
async def tables(migrated_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Tables]:
    monkeypatch.setattr(secrets, "hash_password", lambda text: f"hash:{text}")
    monkeypatch.setattr(secrets, "verify_password", lambda text, stored: stored == f"hash:{text}")
    monkeypatch.setattr(tries, "MOST", 1000)  # the limit has tests of its own
    env = {"OMNI_MONITOR_KEY": MONITOR_KEY}
    narrow = await opened(migrated_home, tmp_path / "narrow", **env)
    wide = await opened(migrated_home, tmp_path / "wide", OMNI_ALLOW_REMOTE="1", **env)
    found = Tables(narrow, wide)
    await found.prepare()
    yield found
    await closed(narrow)
    await closed(wide)


def concrete(path: str) -> str:
    """A path that the route takes, of things that are not there."""
    known = {"filename": "app.js", "provider": "openai", "action": "enable", "scope": "provider", "part": "chain"}
    return re.sub(r"<(?:\w+:)?(\w+)>", lambda hit: known.get(hit[1], "x"), path)


async def test_who_gets_in_is_the_table(tables: Tables) -> None:  # R-02, P-12, P-60, O-20
    wrong = []
    for (method, path), (kind, status) in LINES.items():
        await tables.renew()
        for name, who in WHO.items():
            wanted = CLASSES[kind].get(name, status)
            asked = "HEAD" if path in STREAMS else method
            told = await tables.status(asked, concrete(path), who)
            if told != wanted:
                wrong.append(f"{method} {path} ({kind}), {name}: {told}, not {wanted}")
            if told < 300 and method != "GET":
                await tables.renew()
    assert not wrong, f"{len(wrong)} answers are not as the table says:\n" + "\n".join(wrong)


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "TRACE", "PROPFIND", "post"])
async def test_no_other_method_is_a_way_round(tables: Tables, method: str) -> None:
    """What a route does not list by itself: refused as the route is, before anything is told of it."""
    for (_, path), (kind, _) in LINES.items():
        if kind.startswith(("admin", "owner", "here", "monitor")):
            assert await tables.status(method, concrete(path), WHO["nobody"]) == 401, path
            assert await tables.status(method, concrete(path), WHO["client key"]) == 401, path
