"""app.py: who gets in, what every answer carries, and what never leaves (CONTRACT §3–§5)."""

from __future__ import annotations

import ast
import asyncio
import base64
import gzip
import json
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from jose import jwt

import app as module
from omni_connector import docs, secrets, tries
from omni_connector.paths import POSTS
from tests.desk import ADMIN_READS, ELSEWHERE, HOST, Desk, closed, error_of, opened
from tests.serving import Rig, whole

Json = dict[str, Any]
PASSWORD = "correct horse battery"
CHAT = {"model": "test-model", "messages": [{"role": "user", "content": "the secret plan is in the cellar"}]}


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
    answers = await asyncio.gather(*(remote.log_in(f"guess {n}", peer=ELSEWHERE) for n in range(tries.MOST + 4)))
    statuses = [answer.status_code for answer in answers]
    assert (statuses.count(401), statuses.count(429)) == (tries.MOST, 4), "tries in parallel count as well"
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


async def test_texts_of_the_dashboard_come_compressed_and_are_not_sent_twice(desk: Desk) -> None:
    plain = await desk.ask("GET", "/static/app.js")
    packed = await desk.ask("GET", "/static/app.js", accept_encoding="gzip, br")
    assert (packed.headers["content-encoding"], packed.headers["vary"]) == ("gzip", "accept-encoding")
    body = await packed.get_data(as_text=False)
    assert gzip.decompress(body) == await plain.get_data(as_text=False)
    assert int(packed.headers["content-length"]) == len(body) and packed.headers["x-content-type-options"] == "nosniff"
    again = await desk.ask("GET", "/static/app.js", accept_encoding="gzip", if_none_match=packed.headers["etag"])
    assert again.status_code == 304
    assert "content-encoding" not in (await desk.ask("GET", "/health", accept_encoding="gzip")).headers


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
        for _ in range(3000):
            if not rig.gateway.live.listening:
                break
            await asyncio.sleep(0.01)
        assert not rig.gateway.live.listening, "a reader that left is forgotten"


async def test_a_look_at_the_head_of_the_live_events_leaves_no_reader(desk: Desk) -> None:
    async with asyncio.timeout(30):
        answer = await desk.ask("HEAD", "/api/events", **desk.admin)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream")
    assert not desk.gateway.live.listening


async def test_an_agent_finds_every_call_at_llms_txt(desk: Desk) -> None:  # O-06
    answer = await desk.ask("GET", "/llms.txt")
    text = (await answer.get_data()).decode()
    assert (answer.status_code, answer.content_type) == (200, "text/plain; charset=utf-8")
    assert text.startswith("# omni-connector\n\n> ") and f"http://{HOST}/v1 for OpenAI" in text
    calls = [*POSTS, *(f":{verb}" for verb in docs.GEMINI_VERBS), ":countTokens", "/v1/messages/count_tokens", "/v1/responses/ID"]
    assert [call for call in calls if call not in text] == []
    assert (await desk.ask("GET", "/llms.txt", host="evil.example")).status_code == 421


# ---------------------------------------------------------------- The file itself


def test_the_table_of_contents_is_kept() -> None:
    source = Path(module.__file__).read_text()
    titles = [match[1].strip() for match in re.finditer(r"^# =+ (.+)$", source, re.M)]
    contents = re.search(r"^    (Settings → .*)$", ast.get_docstring(ast.parse(source), clean=False) or "", re.M)
    assert contents is not None
    assert titles == contents[1].split(" → ")
