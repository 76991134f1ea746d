"""app.py: the router's admin API lies below /v1, beside the client API, and is nobody's but the owner's (CONTRACT §3, §5)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.desk import ELSEWHERE, HOST, Desk, closed, error_of, opened

Json = dict[str, Any]
CALLS = (
    ("GET", "/v1/router/status"), ("HEAD", "/v1/router/status"), ("OPTIONS", "/v1/router/status"), ("GET", "/v1/router/usage"),
    ("GET", "/v1/router/config"), ("POST", "/v1/router/explain"), ("OPTIONS", "/v1/router/explain"), ("POST", "/v1/router/config/backend"),
    ("POST", "/v1/router/config/strategy/cost"), ("DELETE", "/v1/router/config/strategy"), ("DELETE", "/v1/router/config/alias/fast"),
    ("GET", "/provider_health"), ("HEAD", "/provider_health"), ("OPTIONS", "/provider_health"),
)  # fmt: skip
DISGUISES = (
    "/x/v1/router/status", "/openai/v1/router/config", "/v1/router", "/v1/router/", "/v1/router/status/", "/v1/router//status",
    "/v1%2Frouter/status", "/v1/%72outer/status", "/v1/router%2Fconfig", "/v1/router/nope", "/v1beta/router/status", "/x/v1beta/router/",
    "/v1/router/../router/status",
    "/v1//router/status",
    "//v1/router/status",
    "//x//v1//router//status",
 "/v1/router/v1/chat/completions", "/provider_health/",
)  # fmt: skip
NEAR = ("/v1/./router/status", "/v1/v1/router/status", "/v1/Router/status", "/v1/routers", "/v1;/router/status", "/router/v1/status")


@pytest.fixture
async def desk(migrated_home: Path, tmp_path: Path) -> AsyncIterator[Desk]:
    desk = await opened(migrated_home, tmp_path / "home")
    yield desk
    await closed(desk)


@pytest.mark.parametrize(("method", "path"), [*CALLS, *(("GET", path) for path in DISGUISES), ("POST", "/x/v1/router/explain")])
async def test_only_the_owner_gets_in(desk: Desk, method: str, path: str) -> None:  # R-02
    key = (await desk.gateway.admin.create_key({"name": "client"}))["key"]
    body = {"model": "auto"} if method == "POST" else None
    for headers in (
        {}, {"authorization": f"Bearer {key}"}, {"authorization": key}, {"x_api_key": key}, {"x_goog_api_key": key},
        {"x_api_key": desk.gateway.admin_key}, {"authorization": "Bearer "}, {"cookie": "omni_session=a.b.c"},
    ):  # fmt: skip
        answer = await desk.ask(method, path, body, **headers)
        assert answer.status_code == 401, headers
        assert answer.headers["cache-control"] == "no-store"
        if method != "HEAD":
            assert "admin key" in (await answer.get_json())["error"]["message"]
    assert (await desk.ask(method, f"{path}?key={key}", body)).status_code == 401
    assert (await desk.ask(method, path, body, host="evil.example", **desk.admin)).status_code == 421
    assert (await desk.ask(method, path, body, peer=ELSEWHERE, **desk.admin)).status_code == 403
    assert (await desk.ask(method, path, body, x_forwarded_for="192.0.2.7", **desk.admin)).status_code == 403


async def test_switched_off_client_auth_does_not_open_it(migrated_home: Path, tmp_path: Path) -> None:
    desk = await opened(migrated_home, tmp_path / "home", OMNI_CLIENT_AUTH="0", OMNI_REQUIRED_API_KEY="shared-secret")
    assert (await desk.ask("GET", "/v1/models")).status_code == 200
    for method, path in CALLS:
        assert (await desk.ask(method, path)).status_code == 401, path
        assert (await desk.ask(method, path, authorization="Bearer shared-secret")).status_code == 401, path
    await closed(desk)


@pytest.mark.parametrize("path", NEAR)
async def test_other_spellings_lead_nowhere(desk: Desk, path: str) -> None:
    """No answer without the admin key says anything: not found, refused, or the address of the right spelling."""
    for method in ("GET", "POST", "DELETE", "HEAD", "OPTIONS"):
        assert (await desk.ask(method, path)).status_code in (401, 404), method


@pytest.mark.parametrize(("headers", "code"), [({"x_csrf_token": ""}, "csrf"), ({"origin": "https://evil.example"}, "origin")])
@pytest.mark.parametrize(("method", "path"), [call for call in CALLS if call[0] in ("POST", "DELETE")])
async def test_a_browser_needs_the_token_and_our_own_page(desk: Desk, method: str, path: str, headers: Json, code: str) -> None:
    await desk.sign_in()
    answer = await desk.ask(method, path, {}, **headers)
    assert answer.status_code == 403
    assert (await error_of(answer))["code"] == code
    assert desk.gateway.settings.strategy == "auto"


async def test_pages_that_may_use_the_client_api_may_not_use_this(migrated_home: Path, tmp_path: Path) -> None:  # C-108
    listed = "https://app.example"
    desk = await opened(migrated_home, tmp_path / "home", OMNI_CORS_ORIGINS=listed)
    for method, path in (*CALLS, ("GET", "/x/v1/router/status"), ("OPTIONS", "/v1beta/router/x")):
        wish = {"access_control_request_method": "POST", "access_control_request_headers": "authorization"}
        for admin in ({}, desk.admin):
            answer = await desk.ask(method, path, {} if method == "POST" else None, origin=listed, **wish, **admin)
            assert not [name for name in answer.headers if name[0].lower().startswith("access-control")], (method, path)
    await closed(desk)


async def test_the_router_under_its_own_names(desk: Desk) -> None:  # R-48, R-49, R-50, R-51, R-45, C-72, C-73, C-77
    async def ask(method: str, path: str, body: Any = None) -> Any:
        answer = await desk.ask(method, path, body, **desk.admin)
        return answer.status_code, await answer.get_json()

    assert (await ask("GET", "/v1/router/status"))[1]["status"] == "empty"
    new = {"provider": "demo", "label": "one", "discover": False}
    assert (await ask("POST", "/v1/router/config/backend", new))[0] == 201
    assert (await ask("POST", "/v1/router/config/backend", new))[0] == 409
    assert (await ask("POST", "/v1/router/config/backend/one", {"priority": 7}))[1]["priority"] == 7
    assert (await ask("POST", "/v1/router/config/strategy", {"strategy": "cost"})) == (200, {"strategy": "cost"})
    assert (await ask("POST", "/v1/router/config/strategy/luck"))[0] == 400
    assert (await ask("POST", "/v1/router/config/alias", {"name": "fast", "targets": ["demo"]}))[0] == 200
    assert (await ask("POST", "/v1/router/config/chain/careful", {"tiers": [["one"]]}))[0] == 200
    _, config = await ask("GET", "/v1/router/config")
    assert (config["strategy"], config["aliases"], config["chains"]) == ("cost", {"fast": ["demo"]}, {"careful": [["one"]]})
    assert [backend["label"] for backend in config["backends"]] == ["one"]
    status, told = await ask("POST", "/v1/router/explain", {"model": "careful"})
    assert (status, told["kind"], told["policy"], told["attempts"][0]["account"]) == (200, "chain", "cost", "one")
    assert (await ask("GET", "/v1/router/usage"))[1]["accounts"] == []
    assert (await ask("GET", "/provider_health"))[1]["providers"]["demo"]["status"] == "ok"
    assert [row["label"] for row in (await ask("POST", "/api/providers/demo/health-check"))[1]["results"]] == ["one"]
    assert [row["status"] for row in (await ask("POST", "/api/providers/demo/reset-health"))[1]["accounts"]] == ["ready"]
    account_id = config["backends"][0]["id"]
    assert (await ask("POST", f"/api/accounts/{account_id}/probe"))[1]["job"] is None, "it works: there is nothing to ask"
    for part in ("strategy", "alias/fast", "chain/careful", "backend/one"):
        assert (await ask("DELETE", f"/v1/router/config/{part}"))[0] == 200
    assert desk.gateway.settings.strategy == "auto"
    assert (await ask("GET", "/v1/router/config"))[1]["backends"] == []
    for method, path, wanted in (
        ("DELETE", "/v1/router/config/alias", 400), ("DELETE", "/v1/router/config/backend/one", 404),
        ("POST", "/v1/router/config/keys", 404),
        ("GET", "/v1/router/explain", 405), ("GET", "/openai/v1/router/status", 404), ("GET", "/v1/router/status/", 404),
    ):  # fmt: skip
        assert (await ask(method, path))[0] == wanted, path


@pytest.mark.parametrize("name", ["a%2Fb", "a/b", "a%3Ab", "a%20b", "a,b", "x" * 65])
async def test_a_name_that_cannot_be_one_is_told_so_and_not_that_the_path_is_unknown(desk: Desk, name: str) -> None:
    for kind, body in (("aliases", {"targets": ["demo"]}), ("chains", {"tiers": [["one"]]})):
        refused = await desk.ask("PUT", f"/api/{kind}/{name}", body, **desk.admin)
        assert (refused.status_code, (await error_of(refused))["param"]) == (400, "name")
        assert (await desk.ask("GET", f"/api/{kind}/{name}", **desk.admin)).status_code == 404
        part = kind.removesuffix("es") if kind == "aliases" else "chain"
        posted = await desk.ask("POST", f"/v1/router/config/{part}/{name}", body, **desk.admin)
        assert (posted.status_code, (await error_of(posted))["param"]) == (400, "name")
        gone = await desk.ask("DELETE", f"/v1/router/config/{part}/{name}", **desk.admin)
        assert gone.status_code == 404 and f"There is no {part}" in (await error_of(gone))["message"]


async def test_the_dashboard_s_session_is_enough(desk: Desk) -> None:
    await desk.sign_in()
    assert (await desk.ask("GET", "/v1/router/status")).status_code == 200
    answer = await desk.ask("POST", "/v1/router/explain", {"model": "auto"}, origin=f"http://{HOST}", sec_fetch_site="same-origin")
    assert answer.status_code == 503  # nothing is connected: what the request itself would be told
    assert (await error_of(answer))["code"] == "no_account"
