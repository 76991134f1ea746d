"""app.py: who gets in, what every answer carries, and what never leaves (CONTRACT §3–§5)."""

from __future__ import annotations

import ast
import asyncio
import base64
import json
import logging
import re
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jose import jwt
from quart import Quart

import app as module
from omni_connector import secrets
from omni_connector.gateway import Gateway
from tests.serving import Rig, stream, whole

Json = dict[str, Any]
HOST = "localhost:38471"
HERE = {"client": ("127.0.0.1", 50_000)}
ELSEWHERE = {"client": ("192.0.2.7", 50_000)}
PASSWORD = "correct horse battery"
CHAT = {"model": "test-model", "messages": [{"role": "user", "content": "the secret plan is in the cellar"}]}
ADMIN_READS = (
    "/api/accounts", "/api/providers", "/api/providers/openai", "/api/keys", "/api/usage", "/api/requests", "/api/provider-models",
    "/api/system", "/api/config", "/api/jobs", "/api/events",
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
    def admin(self) -> dict[str, str]:
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


@pytest.fixture
async def desk(migrated_home: Path, tmp_path: Path) -> AsyncIterator[Desk]:
    desk = await opened(migrated_home, tmp_path / "home")
    yield desk
    await closed(desk)


@pytest.fixture
async def remote(migrated_home: Path, tmp_path: Path) -> AsyncIterator[Desk]:
    """A gateway that other machines may reach."""
    desk = await opened(migrated_home, tmp_path / "home", OMNI_ALLOW_REMOTE="1")
    yield desk
    await closed(desk)


@pytest.fixture
def cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Argon2 takes 0.2 s, which is tested in test_secrets."""
    monkeypatch.setattr(secrets, "hash_password", lambda text: f"hash:{text}")
    monkeypatch.setattr(secrets, "verify_password", lambda text, stored: stored == f"hash:{text}")


async def error_of(answer: Any) -> Json:
    error: Json = (await answer.get_json())["error"]
    assert error.get("status", answer.status_code) == answer.status_code
    return error


# ---------------------------------------------------------------- Host, peer, proxies


@pytest.mark.parametrize("host", ["localhost", "localhost:38471", "127.0.0.1", "127.9.9.9:1", "[::1]:38471", "omni.localhost", "LOCALHOST"])
async def test_names_of_this_machine(desk: Desk, host: str) -> None:
    assert (await desk.ask("GET", "/", host=host)).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "127.0.0.1@evil.example", "192.0.2.7", "0.0.0.0", "", "[::1",
        "evil.example:99999", "localhost:x@y", "2130706433", "[::2]:80", "[fe80::1%25eth0]",
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/", "/api/session", "/static/app.js", "/api/accounts"])
async def test_a_page_under_another_name_gets_nothing(desk: Desk, host: str, path: str) -> None:
    """DNS rebinding: the attacker's page talks to us under the attacker's name."""
    answer = await desk.ask("GET", path, host=host, **desk.admin)
    assert answer.status_code == 421
    assert "does not answer to the host name" in (await error_of(answer))["message"]
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("path", ["/", "/api/session", "/api/accounts"])
async def test_other_machines_and_proxied_ones_stay_outside(desk: Desk, path: str) -> None:  # P-60
    assert (await desk.ask("GET", path, peer=ELSEWHERE)).status_code == 403
    assert (await desk.ask("GET", path, x_forwarded_for="192.0.2.7")).status_code == 403
    assert (await desk.ask("GET", path, peer={"client": None})).status_code == 403


async def test_the_same_machine_by_its_other_addresses(desk: Desk) -> None:
    for address in ("127.0.0.1", "127.3.2.1", "::1", "::ffff:127.0.0.1"):
        assert (await desk.ask("GET", "/", peer={"client": (address, 1)})).status_code == 200
    assert (await desk.ask("GET", "/", peer={"client": ("::ffff:192.0.2.7", 1)})).status_code == 403


@pytest.mark.parametrize(
    "more",
    [{"peer": ELSEWHERE}, {"host": "omni.lan"}, {"x_forwarded_for": "192.0.2.7"}, {"host": "evil.example", "peer": ELSEWHERE}],
)
async def test_with_remote_access_a_login_is_needed_from_anywhere_else(remote: Desk, more: Json) -> None:  # P-12
    """Without a password nobody gets in, not even under another name from this machine."""
    answer = await remote.ask("GET", "/api/session", **more)
    told = await answer.get_json()
    assert (told["authenticated"], told["login_needed"], told["csrf"]) == (False, True, "")
    assert "set-cookie" not in answer.headers
    assert (await remote.ask("GET", "/api/accounts", **more)).status_code == 401
    assert (await remote.ask("POST", "/api/login", {"password": ""}, **more)).status_code == 401
    assert (await remote.ask("GET", "/api/accounts", **more, **remote.admin)).status_code == 200


# ---------------------------------------------------------------- Sessions, Origin, CSRF


async def test_on_this_machine_the_dashboard_opens_by_itself(desk: Desk) -> None:  # O-02
    answer = await desk.sign_in()
    told = await answer.get_json()
    assert (told["authenticated"], told["login_needed"], told["password_set"]) == (True, False, False)
    assert told["base_url"] == f"http://{HOST}"
    (cookie,) = answer.headers.getlist("set-cookie")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
    assert "Secure" not in cookie
    assert desk.gateway.admin_key not in cookie
    assert (await desk.ask("GET", "/api/accounts")).status_code == 200
    again = await desk.ask("GET", "/api/session")
    assert "set-cookie" not in again.headers
    assert (await again.get_json())["csrf"] == desk.csrf


@pytest.mark.parametrize("path", ADMIN_READS)
async def test_without_a_session_or_the_admin_key_nothing_is_told(desk: Desk, path: str) -> None:
    key = (await desk.gateway.admin.create_key({"name": "client"}))["key"]
    for headers in ({}, {"authorization": f"Bearer {key}"}, {"x-api-key": desk.gateway.admin_key}, {"authorization": "Bearer "}):
        answer = await desk.ask("GET", path, **headers)  # a client key is refused on admin routes
        assert answer.status_code == 401, headers
        assert (await error_of(answer))["code"] in ("no_session", "invalid_admin_key")
    assert (await desk.ask("GET", f"{path}?key={desk.gateway.admin_key}")).status_code == 401


@pytest.mark.parametrize("form", ["Bearer {}", "bearer  {}", "{}"])
async def test_the_admin_key_opens_the_admin_api(desk: Desk, form: str) -> None:
    answer = await desk.ask("POST", "/api/keys", {"name": "x"}, authorization=form.format(desk.gateway.admin_key))
    assert answer.status_code == 201


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"x_csrf_token": ""}, "csrf"),
        ({"x_csrf_token": "wrong"}, "csrf"),
        ({"x_csrf_token": "\xe9"}, "csrf"),
        ({"origin": "https://evil.example"}, "origin"),
        ({"origin": "http://localhost:3000"}, "origin"),
        ({"origin": f"https://{HOST}.evil.example"}, "origin"),
        ({"origin": "null"}, "origin"),
        ({"origin": ""}, "origin"),
        ({"origin": "http://["}, "origin"),
        ({"sec_fetch_site": "cross-site"}, "origin"),
        ({"sec_fetch_site": "same-site"}, "origin"),
    ],
)
@pytest.mark.parametrize(("method", "path"), [("POST", "/api/keys"), ("DELETE", "/api/keys/key_1"), ("PATCH", "/api/accounts/acc_1")])
async def test_a_change_needs_the_token_and_our_own_page(desk: Desk, method: str, path: str, headers: Json, code: str) -> None:
    await desk.sign_in()
    answer = await desk.ask(method, path, {}, **headers)
    assert answer.status_code == 403
    assert (await error_of(answer))["code"] == code
    assert (await desk.gateway.admin.keys())["keys"] == []


async def test_our_own_page_may_change_things(desk: Desk) -> None:
    await desk.sign_in()
    assert (await desk.ask("POST", "/api/keys", {}, origin=f"http://{HOST}", sec_fetch_site="same-origin")).status_code == 201
    other = Desk(desk.gateway, desk.app)
    await other.sign_in()
    other.csrf = desk.csrf  # a token belongs to one session
    assert (await other.ask("POST", "/api/keys", {})).status_code == 403


def forged(desk: Desk, key: str, algorithm: str = "HS256", **changes: Any) -> str:
    now = int(time.time())
    claims = {"sub": "owner", "iss": "omni-connector", "aud": "dashboard", "iat": now, "exp": now + 60, "jti": "x", "epoch": 0}
    return str(jwt.encode({**claims, "password": False, **changes}, key, algorithm=algorithm))


def unsigned(claims: Json) -> str:
    def part(value: Json) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part({'alg': 'none', 'typ': 'JWT'})}.{part(claims)}."


async def test_only_sessions_we_signed_and_that_still_hold_count(desk: Desk) -> None:
    await desk.sign_in()
    good = module.Guard(desk.gateway)._secret()
    header, claims, signature = desk.cookie.split(".")
    bad = {
        "another secret": forged(desk, "another secret"),
        "the admin key itself": forged(desk, desk.gateway.admin_key),
        "expired": forged(desk, good, exp=int(time.time()) - 1),
        "another algorithm": forged(desk, good, "HS512"),
        "another audience": forged(desk, good, aud="elsewhere"),
        "another issuer": forged(desk, good, iss="somebody"),
        "an ended session": forged(desk, good, epoch=-1),
        "of a time with a password": forged(desk, good, password=True),
        "alg none": unsigned(jwt.get_unverified_claims(desk.cookie)),
        "no signature": f"{header}.{claims}.",
        "swapped claims": f"{header}.{claims[:-2]}xx.{signature}",
        "empty": "",
        "nonsense": "a.b.c",
        "deep": ".".join([base64.urlsafe_b64encode(b"[" * 30_000).decode().rstrip("=")] * 3),
    }
    assert (await desk.ask("GET", "/api/keys", signed=False, cookie=f"omni_session={forged(desk, good)}")).status_code == 200
    for name, cookie in bad.items():
        assert (await desk.ask("GET", "/api/keys", signed=False, cookie=f"omni_session={cookie}")).status_code == 401, name
    without = jwt.encode({"sub": "owner", "iss": "omni-connector", "aud": "dashboard", "epoch": 0, "password": False}, good)
    assert (await desk.ask("GET", "/api/keys", signed=False, cookie=f"omni_session={without}")).status_code == 401


# ---------------------------------------------------------------- Password and login


@pytest.mark.usefixtures("cheap_passwords")
async def test_the_life_of_a_password(desk: Desk) -> None:  # C-88, C-91
    await desk.sign_in()
    before = desk.cookie
    for body, words in (({}, "missing"), ({"password": 5}, "missing"), ({"password": "short"}, "at least 8"), ([], "missing")):
        answer = await desk.ask("POST", "/api/admin-password", body)
        assert (answer.status_code, words in (await error_of(answer))["message"]) == (400, True)
    answer = await desk.ask("POST", "/api/admin-password", b'{"password":"\\ud800aaaaaaaaa"}')
    assert answer.status_code == 400

    answer = await desk.ask("POST", "/api/admin-password", {"password": PASSWORD})
    assert (answer.status_code, await answer.get_json()) == (200, {"password_set": True})
    assert PASSWORD not in (desk.gateway.home / "omni.db").read_bytes().decode("latin-1").replace(f"hash:{PASSWORD}", "")
    assert (await desk.ask("GET", "/api/keys")).status_code == 401, "every session ended, this one was replaced"
    told = await (await desk.ask("GET", "/api/session", signed=False)).get_json()
    assert (told["authenticated"], told["login_needed"], told["password_set"]) == (False, True, True)

    assert (await desk.log_in("wrong horse")).status_code == 401
    assert (await desk.log_in(PASSWORD)).status_code == 200
    assert desk.cookie != before
    for current in ("", "wrong"):
        assert (await desk.ask("POST", "/api/admin-password", {"password": "another one", "current": current})).status_code == 401
    answer = await desk.ask("POST", "/api/admin-password", {"password": "another one", "current": PASSWORD})
    assert answer.status_code == 200
    assert (await desk.ask("GET", "/api/keys")).status_code == 401
    assert (await desk.log_in(PASSWORD)).status_code == 401
    assert (await desk.log_in("another one")).status_code == 200

    # The admin key stands in for a forgotten password; taking it away opens the dashboard on this machine again.
    assert (await desk.ask("POST", "/api/admin-password", {"password": ""}, signed=False, **desk.admin)).status_code == 200
    assert (await desk.ask("GET", "/api/keys")).status_code == 401
    desk.cookie = ""
    assert (await (await desk.sign_in()).get_json())["login_needed"] is False


@pytest.mark.usefixtures("cheap_passwords")
async def test_a_password_survives_a_restart_and_logout_ends_every_session(desk: Desk) -> None:
    await desk.ask("POST", "/api/admin-password", {"password": PASSWORD}, **desk.admin)
    await desk.log_in(PASSWORD)
    restarted = Desk(desk.gateway, module.create_app(desk.gateway))
    restarted.cookie, restarted.csrf = desk.cookie, desk.csrf
    assert (await restarted.ask("GET", "/api/keys")).status_code == 200
    answer = await restarted.ask("POST", "/api/logout")
    assert answer.status_code == 200
    assert 'omni_session=""' in answer.headers["set-cookie"] or "Max-Age=0" in answer.headers["set-cookie"]
    assert (await restarted.ask("GET", "/api/keys")).status_code == 401


@pytest.mark.usefixtures("cheap_passwords")
async def test_a_session_of_the_old_password_does_not_slip_through_while_the_new_one_is_written(desk: Desk) -> None:
    await desk.ask("POST", "/api/admin-password", {"password": PASSWORD}, **desk.admin)
    change = asyncio.create_task(desk.ask("POST", "/api/admin-password", {"password": "another one"}, **desk.admin))
    cookies = []
    while not change.done():
        if (await desk.log_in(PASSWORD)).status_code == 200:
            cookies.append(desk.cookie)
    for cookie in cookies:
        assert (await desk.ask("GET", "/api/keys", signed=False, cookie=f"omni_session={cookie}")).status_code == 401


@pytest.mark.usefixtures("cheap_passwords")
async def test_guessing_is_slowed_down(remote: Desk) -> None:
    await remote.ask("POST", "/api/admin-password", {"password": PASSWORD}, **remote.admin)
    tries = await asyncio.gather(*(remote.log_in(f"guess {n}", peer=ELSEWHERE) for n in range(module.LOGIN_TRIES + 4)))
    statuses = [answer.status_code for answer in tries]
    assert (statuses.count(401), statuses.count(429)) == (module.LOGIN_TRIES, 4), "tries in parallel count as well"
    locked = await remote.log_in(PASSWORD, peer=ELSEWHERE)
    assert locked.status_code == 429
    assert 0 < int(locked.headers["retry-after"]) <= 60
    assert (await remote.log_in(PASSWORD)).status_code == 200, "another peer is not locked out with it"
    assert (await remote.ask("POST", "/api/login", {"password": PASSWORD}, origin="https://evil.example")).status_code == 403


@pytest.mark.usefixtures("cheap_passwords")
async def test_the_end_of_all_sessions_ends_their_live_streams(desk: Desk) -> None:
    stream = desk.gateway.live.stream(dict)
    await anext(stream)
    await desk.ask("POST", "/api/admin-password", {"password": PASSWORD}, **desk.admin)
    assert [event async for event in stream] == []


async def test_a_link_signs_in_once(desk: Desk) -> None:
    assert (await desk.ask("POST", "/api/session/link")).status_code == 401
    answer = await desk.ask("POST", "/api/session/link", **desk.admin)
    assert answer.status_code == 201
    path = (await answer.get_json())["url"].removeprefix(f"http://{HOST}")
    first = await desk.ask("GET", path)
    assert (first.status_code, first.headers["location"]) == (303, "/")
    assert "omni_session=" in first.headers["set-cookie"]
    assert "set-cookie" not in (await desk.ask("GET", path)).headers
    assert "set-cookie" not in (await desk.ask("GET", "/?t=link_guess")).headers


# ---------------------------------------------------------------- Pages, headers, errors


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 200), ("GET", "/favicon.ico", 200), ("GET", "/health", 200), ("GET", "/api/session", 200), ("GET", "/api/keys", 401),
        ("GET", "/nope", 404), ("GET", "/api/nope", 401), ("GET", "/static/nope.js", 404), ("POST", "/", 405), ("DELETE", "/health", 405),
        ("GET", "/v1/models", 401), ("PUT", "/v1/models", 405), ("GET", "/v1/nope", 404), ("POST", "/v1/chat/completions", 401),
        ("GET", "/v1/chat/completions", 405), ("DELETE", "/v1/messages", 405), ("OPTIONS", "/v1/chat/completions", 405),
        ("POST", "/nope/v1/chat/completions", 401), ("GET", "//api/keys", 401), ("GET", "/api//keys", 401), ("GET", "/./api/keys", 404),
    ],
)  # fmt: skip
async def test_every_answer_is_hardened_and_every_error_is_json(desk: Desk, method: str, path: str, status: int) -> None:
    answer = await desk.ask(method, path)
    assert answer.status_code == status
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "server" not in answer.headers
    assert "access-control-allow-origin" not in answer.headers
    if not path.endswith(("/completions", "/messages")):  # these are never pages
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cross-origin-opener-policy"] == "same-origin"
    if status >= 400:
        error = await error_of(answer)
        anthropic = "/v1/messages" in path
        assert ({"message", "type"} if anthropic else {"message", "type", "code", "param", "status"}) <= error.keys()  # C-46
    if status == 405:
        assert answer.headers["allow"]
    if path.startswith(("/api", "/v1/models")):
        assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py", "/static/..%2fapp.py", "/static/%2e%2e/%2e%2e/etc/passwd", "/static//etc/passwd", "/static/....//app.py",
        "/static/..\\app.py", "/static/vendor/../../pyproject.toml", "/static/%00", "/../pyproject.toml", "/static/",
    ],
)  # fmt: skip
async def test_static_files_and_nothing_beside_them(desk: Desk, path: str) -> None:
    answer = await desk.ask("GET", path)
    assert answer.status_code == 404 or answer.headers["location"] == f"http://{HOST}/static/etc/passwd"
    assert "GatewayError" not in await answer.get_data(as_text=True)


async def test_an_anthropic_client_reads_errors_in_its_format(desk: Desk) -> None:
    for path in ("/v1/messages", "/v1/messages/count_tokens", "/anthropic/v1/messages"):
        answer = await desk.ask("POST", path, {})
        assert (answer.status_code, (await answer.get_json())["error"]["type"]) == (401, "authentication_error")
        assert (await answer.get_json())["type"] == "error"


async def test_a_fault_of_ours_is_named_by_a_number_and_the_log_has_the_rest(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken() -> Json:
        raise RuntimeError("internal detail /home/user/omni.db")

    monkeypatch.setattr(desk.gateway.admin, "system", broken)
    answer = await desk.ask("GET", "/api/system", **desk.admin)
    assert answer.status_code == 500
    message = (await error_of(answer))["message"]
    assert "internal detail" not in message
    reference = re.search(r"err_\w+", message)
    assert reference is not None and reference[0] in caplog.text and "internal detail" in caplog.text


@pytest.mark.parametrize(
    ("body", "words"), [(b"{", "not valid JSON"), (b"[1]", "JSON object"), (b"\xff", "not valid JSON"), (b"[" * 200_000, "not valid JSON")]
)
async def test_bad_admin_bodies(desk: Desk, body: bytes, words: str) -> None:
    answer = await desk.ask("POST", "/api/keys", body, **desk.admin)
    assert (answer.status_code, words in (await error_of(answer))["message"]) == (400, True)


# ---------------------------------------------------------------- Keys of the client API


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/test-model"])
async def test_all_five_ways_open_the_client_api_and_the_admin_key_does_not(desk: Desk, path: str) -> None:  # C-35…C-38, P-53, C-22
    await desk.gateway.admin.add_account(
        {"provider": "openai", "label": "a", "api_key": "sk-x", "models": ["test-model"], "discover": False}
    )
    key = (await desk.gateway.admin.create_key({"name": "client"}))["key"]
    for headers in (
        {"authorization": f"Bearer {key}"}, {"authorization": key}, {"x_api_key": key}, {"x_goog_api_key": key},
    ):  # fmt: skip
        assert (await desk.ask("GET", path, **headers)).status_code == 200
    assert (await desk.ask("GET", f"{path}?key={key}")).status_code == 200
    refused = await desk.ask("GET", path, **desk.admin)
    assert refused.status_code == 401
    assert "admin key" in (await error_of(refused))["message"]
    for wrong in ("omni-wrong", "sk-x", ""):
        assert (await desk.ask("GET", path, x_api_key=wrong)).status_code == 401
    assert (await desk.ask("GET", path, peer=ELSEWHERE, host="api.example", x_api_key=key)).status_code == 200, "the key decides"


async def test_a_required_key_and_switched_off_auth_hold_on_every_client_route(migrated_home: Path, tmp_path: Path) -> None:  # C-54, R-23
    desk = await opened(migrated_home, tmp_path / "a", REQUIRED_API_KEY="my-own-key")
    assert (await desk.ask("GET", "/v1/models", x_api_key="my-own-key")).status_code == 200
    assert (await desk.ask("POST", "/v1/chat/completions", CHAT, authorization="Bearer my-own-key")).status_code == 503  # no account yet
    assert (await desk.ask("GET", "/v1/models", x_api_key="my-own-kez")).status_code == 401
    assert (await desk.ask("GET", "/v1/models")).status_code == 401
    await closed(desk)

    desk = await opened(migrated_home, tmp_path / "b", OMNI_CLIENT_AUTH="0")
    for headers in ({}, {"authorization": "Bearer sk-anything"}, {"x_api_key": "dummy"}):
        assert (await desk.ask("GET", "/v1/models", **headers)).status_code == 200, "SDKs always send some key"
    refused: list[Json] = [
        {"peer": ELSEWHERE},
        {"x_forwarded_for": "192.0.2.7"},
        {"host": "evil.example"},
        {"origin": "https://evil.example"},
        {"sec_fetch_site": "cross-site"},
        {"x_api_key": "omni-not-good-any-more"},
        desk.admin,
    ]
    for more in refused:
        assert (await desk.ask("GET", "/v1/models", **more)).status_code == 401, more
        assert (await desk.ask("POST", "/v1/chat/completions", CHAT, **more)).status_code == 401, more
    await closed(desk)


# ---------------------------------------------------------------- CORS


async def test_no_other_page_is_let_in_unless_it_is_listed(migrated_home: Path, tmp_path: Path) -> None:  # C-108
    listed = "https://app.example"
    desk = await opened(migrated_home, tmp_path / "home", OMNI_CORS_ORIGINS=f"{listed},https://b.example")
    key = (await desk.gateway.admin.create_key({"name": "web"}))["key"]
    wish = {"access_control_request_method": "POST", "access_control_request_headers": "authorization,x-stainless-lang"}
    preflight = await desk.ask("OPTIONS", "/v1/chat/completions", origin=listed, **wish)
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-origin"] == listed
    assert preflight.headers["access-control-allow-headers"] == "authorization,x-stainless-lang"
    assert "access-control-allow-credentials" not in preflight.headers
    for method, path in (("POST", "/v1/chat/completions"), ("GET", "/v1/models"), ("GET", "/v1/nope"), ("POST", "/openai/v1/messages")):
        answer = await desk.ask(method, path, CHAT if method == "POST" else None, origin=listed, x_api_key=key)
        assert answer.headers["access-control-allow-origin"] == listed, path
        assert answer.headers["vary"] == "origin"
        for origin in ("https://evil.example", "null", "https://app.example.evil.example", "http://app.example"):
            answer = await desk.ask(method, path, CHAT if method == "POST" else None, origin=origin, x_api_key=key)
            assert "access-control-allow-origin" not in answer.headers
    for path in ("/api/keys", "/api/session", "/"):
        for method in ("GET", "OPTIONS"):
            answer = await desk.ask(method, path, origin=listed, **desk.admin)
            assert not [name for name in answer.headers if name[0].lower().startswith("access-control")], "the dashboard is nobody else's"
    await closed(desk)


# ---------------------------------------------------------------- Requests of clients


async def test_a_provider_can_be_pinned_by_path_and_by_header(tmp_path: Path) -> None:  # C-29…C-32
    import aiohttp

    async with Rig(tmp_path) as rig, aiohttp.ClientSession(headers=rig.bearer) as web:
        first = await rig.account("openai", "first")
        await rig.account("groq", "second")
        rig.upstream.answer(whole({"choices": [{"message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}]}))
        for path, headers, model, label in (
            ("/openai/v1/chat/completions", {}, "test-model", "first"),
            ("/groq/v1/chat/completions", {}, "auto", "second"),
            ("/v1/chat/completions", {"Model-Provider": "groq"}, "test-model", "second"),
            ("/v1/chat/completions", {"Model-Provider": "openai"}, "auto", "first"),
            ("/groq/v1/messages", {}, "test-model", "second"),
        ):
            async with web.post(rig.url + path, json={**CHAT, "model": model, "max_tokens": 5}, headers=headers) as answer:
                assert (answer.status, answer.headers["x-omni-account"]) == (200, label), (path, headers)
        for path, headers in (("/nobody/v1/chat/completions", {}), ("/v1/chat/completions", {"Model-Provider": "nobody"})):
            async with web.post(rig.url + path, json=CHAT, headers=headers) as answer:
                assert answer.status == 404
                assert "nobody" in (await answer.json())["error"]["message"]
        await rig.gateway.admin.remove_account(first["id"])
        async with web.post(rig.url + "/openai/v1/chat/completions", json=CHAT) as answer:
            assert answer.status in (404, 503), "a pin never falls back to somebody else"


async def test_a_server_that_stops_says_so(desk: Desk) -> None:
    key = (await desk.gateway.admin.create_key({"name": "client"}))["key"]
    client_api: Any = desk.app.asgi_app
    await client_api.drain(0)
    answer = await desk.ask("POST", "/v1/chat/completions", CHAT, x_api_key=key)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert "stopping" in (await error_of(answer))["message"]
    assert (await desk.ask("GET", "/health")).status_code == 200  # C-28


async def test_live_events_over_http_are_not_cut_after_a_minute(tmp_path: Path) -> None:  # C-92
    import aiohttp

    async with Rig(tmp_path) as rig, aiohttp.ClientSession() as web:
        assert rig.app.config["RESPONSE_TIMEOUT"] is None
        admin = {"authorization": f"Bearer {rig.gateway.admin_key}"}
        async with web.get(f"{rig.url}/api/events", headers=admin) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            assert (await answer.content.readline()) == b"event: snapshot\n"
            snapshot = json.loads((await answer.content.readline())[6:])
            assert {"version", "accounts", "keys", "requests", "system", "providers"} <= snapshot.keys()
            await answer.content.readline()
            account = await rig.account()
            while (await answer.content.readline()) != b"event: account\n":
                pass
            assert json.loads((await answer.content.readline())[6:])["id"] == account["id"]
        for _ in range(100):
            if not rig.gateway.live.listening:
                break
            await asyncio.sleep(0.01)
        assert not rig.gateway.live.listening, "a reader that left is forgotten"


# ---------------------------------------------------------------- Secrets


class Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(module.Redacting("%(levelname)s %(name)s %(message)s"))
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def log_lines() -> Iterator[list[str]]:
    """What a log file at the default level would hold."""
    root, handler = logging.getLogger(), Lines()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield handler.lines
    root.setLevel(level)
    root.removeHandler(handler)


async def test_no_secret_and_no_prompt_leaves_the_house(tmp_path: Path, log_lines: list[str]) -> None:  # R-52, O-03
    """Every admin answer, the live events, the answers to clients and the log, after requests that worked and that failed."""
    import aiohttp

    hidden = ["sk-first-key-0123456789", "plainpassword-of-proxy", "header-secret-77"]
    async with Rig(tmp_path) as rig, aiohttp.ClientSession(headers=rig.bearer) as web:
        await rig.account("openai", "first", headers={"x-extra": hidden[2]})
        await rig.account("groq", "second", enabled=False, proxy_url=f"http://user:{hidden[1]}@127.0.0.1:1")
        hidden.append(rig.key)
        told: list[str] = []
        live = rig.gateway.live.stream(dict)
        await anext(live)
        refusal = {"error": {"message": f"Incorrect API key provided: {hidden[0]}. Bearer {hidden[0]}"}}
        inside = f'data: {{"error":{{"message":"key {hidden[0]} expired"}}}}\n\n'
        for answer in (
            whole({"choices": [{"message": {"role": "assistant", "content": "42 is the answer"}, "finish_reason": "stop"}]}),
            whole(refusal, 500),
            whole(refusal, 400),
            stream(inside),
            whole(refusal, 401),
        ):
            rig.upstream.answer(answer)
            async with web.post(
                f"{rig.url}/v1/chat/completions", json={**CHAT, "stream": b"data" in b"".join(map(bytes, answer.pieces))}
            ) as got:
                told.append(await got.text() + str(dict(got.headers)))
            await asyncio.gather(*rig.gateway._tasks)  # what a failure leaves is written beside the answer
            for account in (await rig.gateway.admin.accounts())["accounts"]:
                await rig.gateway.admin.clear_cooldown(account["id"])
        assert len(rig.upstream.seen) == 5
        admin = {"authorization": f"Bearer {rig.gateway.admin_key}"}
        rows = await rig.rows()
        for path in (
            *(path for path in ADMIN_READS if path != "/api/events"),
            *(f"/api/requests/{row['id']}" for row in rows),
            "/api/session",
        ):
            async with web.get(rig.url + path, headers=admin) as got:
                assert got.status == 200, path
                told.append(await got.text())
        rig.gateway.live.close()
        told += [event.decode() async for event in live]
        hidden.append(rig.gateway.admin_key)
        for text in (*told, *log_lines):
            assert not [secret for secret in hidden if secret in text], text[:300]
        prompts = [text for text in log_lines if "cellar" in text or "42 is the answer" in text]
        assert not prompts
        assert not [row for row in rows if "cellar" in json.dumps(row)]


@given(st.text(max_size=40))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_log_masks_secrets_wherever_they_stand(text: str) -> None:
    secret = "sk-ant-" + "api03-" + "Zx9" * 12
    record = logging.LogRecord("omni", logging.ERROR, "x.py", 1, "%s failed: %s", (text, f"key={secret} Bearer {secret}"), None)
    try:
        raise ValueError(f"upstream said {secret}")
    except ValueError as error:
        record.exc_info = (type(error), error, error.__traceback__)
    line = module.Redacting("%(message)s").format(record)
    assert secret not in line
    assert "ValueError" in line


def test_the_log_file_is_private_and_names_no_prompt_library_noise(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        module.set_up_logging(tmp_path, "info")
        logging.getLogger("omni.test").info("Authorization: Bearer sk-proj-abcdefghijklmnop1234567890")
        logging.getLogger("sqlalchemy.engine").info("INSERT INTO requests ('the secret plan')")
    finally:
        for handler in root.handlers:
            handler.close()
        root.handlers[:] = before
        root.setLevel(level)
    path = tmp_path / "logs" / "omni-connector.log"
    assert path.stat().st_mode & 0o777 == 0o600
    assert "[redacted]" in path.read_text() and "secret plan" not in path.read_text()


# ---------------------------------------------------------------- Start


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.7", "::", "example.com", ""])
def test_a_bind_that_others_reach_is_refused_in_one_line(host: str, omni_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert module.main(host or " ", 0) == 1
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "OMNI_ALLOW_REMOTE=1" in told
    assert not (omni_home / "omni.db").exists()


def test_remote_access_without_a_password_is_refused_in_one_line(
    migrated_home: Path, omni_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(migrated_home, omni_home)
    monkeypatch.setenv("OMNI_ALLOW_REMOTE", "1")
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        assert module.main("0.0.0.0", 0, jobs=False) == 1
    finally:
        for handler in root.handlers:
            handler.close()
        root.handlers[:] = before
        root.setLevel(level)
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1 and "no password is set" in told.err


def test_a_busy_port_is_named_in_one_line(omni_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    taken = module.listen("127.0.0.1", 0)
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        assert module.main("127.0.0.1", taken.getsockname()[1]) == 1
    finally:
        for handler in root.handlers:
            handler.close()
        root.handlers[:] = before
        root.setLevel(level)
        taken.close()
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "--port" in told and "cannot be used" in told


def test_the_note_for_the_command_line_is_private(tmp_path: Path) -> None:
    for host, url in (("127.0.0.1", "http://127.0.0.1:5"), ("0.0.0.0", "http://127.0.0.1:5"), ("::1", "http://[::1]:5")):
        note = module.write_server_note(tmp_path, host, 5, "http://localhost:5")
        assert note.stat().st_mode & 0o777 == 0o600
        assert json.loads(note.read_text())["url"] == url


def test_the_table_of_contents_is_kept() -> None:
    source = Path(module.__file__).read_text()
    titles = [match[1].strip() for match in re.finditer(r"^# =+ (.+)$", source, re.M)]
    contents = re.search(r"^    (Settings → .*)$", ast.get_docstring(ast.parse(source), clean=False) or "", re.M)
    assert contents is not None
    assert titles == contents[1].split(" → ")
