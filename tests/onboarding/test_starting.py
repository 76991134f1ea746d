"""How sign-ins begin: what is switched off, terms, whose client, where the browser comes back to."""

from __future__ import annotations

import socket
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from omni_connector import providers
from omni_connector.errors import GatewayError, Kind
from omni_connector.oauth import Client
from omni_connector.onboarding import Asked, starting, words
from tests.signing import Place

TERMS = "Mock allows this for its own programs only."


def asked_of(flow: dict[str, Any]) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(flow["authorization_url"]).query).items()}


async def refused(place: Place, **asked: Any) -> GatewayError:
    with pytest.raises(GatewayError) as error:
        await place.start(**asked)
    return error.value


async def test_terms_are_acknowledged_once_and_again_when_they_change(place: Place) -> None:
    place.provide(place.server.profile(notice=TERMS))
    unread = await refused(place)
    assert (unread.status, unread.code, unread.message) == (409, "notice", TERMS)
    assert (await place.start(acknowledged=True))["notice"] == TERMS
    assert (await place.start())["status"] == "waiting"
    place.provide(place.server.profile(notice=f"{TERMS} And a new rule."))
    assert (await refused(place)).code == "notice"


async def test_what_is_wrong_is_said_before_terms_are_acknowledged(place: Place) -> None:
    place.provide(place.server.profile(notice=TERMS, own_client=True))
    assert (await refused(place, acknowledged=True)).param == "client_id"
    place.provide(place.server.profile(notice=TERMS))
    assert (await refused(place)).code == "notice"


async def test_a_connector_that_is_off_names_its_switch(place: Place) -> None:  # P-20
    place.provide(place.server.profile(opt_in=True))
    off = await refused(place)
    assert (off.kind, off.code) == (Kind.FORBIDDEN, "connector_off")
    assert "config set connectors mock" in off.message
    await place.gateway.admin.set_config({"connectors": "other,mock"})
    assert (await place.start())["status"] == "waiting"
    codex = providers.get("codex")
    assert codex.sign_in is not None
    assert starting.is_on(codex, codex.sign_in, ["OpenAI-Codex"])


async def test_a_provider_without_a_sign_in_says_how_else(place: Place) -> None:
    place.provide(retired="Mock ended its sign-in in May.")
    assert (await refused(place)).message == "Mock ended its sign-in in May."
    place.row = place.provide()
    with pytest.raises(GatewayError) as keyed:
        starting.profile_of("openai", {})
    assert keyed.value.kind is Kind.BAD_REQUEST
    assert "platform.openai.com" in keyed.value.message


async def test_the_user_s_own_client_is_asked_for_by_the_names_of_its_variables(place: Place) -> None:  # R-40, C-62
    profile = place.server.profile(own_client=True, client_id="", client_env=(("MOCK_ID", "MOCK_SECRET"), ("OTHER_ID", "OTHER_SECRET")))
    place.provide(profile)
    missing = await refused(place)
    assert "MOCK_ID and MOCK_SECRET or OTHER_ID and OTHER_SECRET" in missing.message
    given = await place.start(client=Client("given-id", "s"))
    assert asked_of(given)["client_id"] == "given-id"
    assert "MOCK_SECRET" not in asked_of(given)


@pytest.mark.parametrize(
    ("env", "given", "expected"),
    [
        ({"GOOGLE_CLOUD_PROJECT": "p-env"}, {}, "p-env"),
        ({"GOOGLE_CLOUD_PROJECT_ID": "p-id"}, {}, "p-id"),
        ({"GOOGLE_CLOUD_PROJECT": "p-env"}, {"project": "p-given"}, "p-given"),
        ({}, {}, None),
    ],
)
async def test_the_project_of_the_environment_is_honoured(
    place: Place, env: dict[str, str], given: dict[str, str], expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:  # R-42, P-18
    monkeypatch.setitem(starting.GOOGLE_PROJECT, "mock", starting.GOOGLE_PROJECT["gemini-cli"])  # type: ignore[arg-type]
    place.gateway.env.update(env)  # type: ignore[attr-defined]
    told = await place.sign_in(options=given)
    assert place.account(told).options.get("project") == expected


async def test_only_known_ways(place: Place) -> None:
    place.provide(place.server.profile(ways=("browser", "device")))
    assert (await refused(place, way="pigeon")).param == "way"
    assert (await place.start(way="device"))["way"] == "device"
    assert (await place.start())["way"] == "browser"
    assert (await place.start(headless=True))["way"] == "device"


async def test_a_provider_that_shows_the_code_itself(place: Place) -> None:
    place.provide(place.server.profile(redirect_ports=(1,), pasted_redirect="https://mock.invalid/code"))
    flow = await place.start(headless=True)
    assert asked_of(flow)["redirect_uri"] == "https://mock.invalid/code"
    assert (flow["listening"], flow["port_problem"]) == (False, "")
    assert "code that the page shows" in flow["manual"]


async def test_a_taken_port_is_said_and_pasting_still_works(place: Place) -> None:  # P-25
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        place.provide(place.server.profile(redirect_ports=(port,), redirect_path="/auth/callback"))
        flow = await place.start()
        assert flow["redirect_uri"] == f"http://localhost:{port}/auth/callback"
        assert not flow["listening"]
        assert f"port {port}" in flow["port_problem"]
        assert flow["redirect_uri"] in flow["manual"]
        told = await place.onboarding.complete(flow["flow_id"], await place.visit(flow))
    assert told["status"] == "done"


async def test_the_dashboard_s_own_port_may_be_the_one_that_is_demanded(place: Place) -> None:
    place.provide(place.server.profile(redirect_ports=(8085,), redirect_path="/oauth2callback"))
    place.onboarding = place.node("http://127.0.0.1:8085")
    flow = await place.start()
    assert (flow["redirect_uri"], flow["listening"]) == ("http://localhost:8085/oauth2callback", True)


async def test_the_browser_comes_back_to_the_name_that_it_knows_us_by(place: Place) -> None:
    flow = await place.start(address="https://omni.example")
    assert asked_of(flow)["redirect_uri"] == "https://omni.example/oauth/callback"


async def test_without_a_server_we_listen_where_it_would(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as spare:
        free = spare.getsockname()[1]
    place.gateway.settings = type(place.gateway.settings)(port=free)
    place.onboarding = place.node("")
    flow = await place.start()
    assert (flow["redirect_uri"], flow["listening"]) == (f"http://localhost:{free}/oauth/callback", True)


async def test_without_a_server_its_port_may_be_taken(place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        place.gateway.settings = type(place.gateway.settings)(port=port)
        place.onboarding = place.node("")
        flow = await place.start()
    assert (flow["listening"], f"port {port}" in flow["port_problem"]) == (False, True)


@pytest.mark.parametrize(
    ("provider", "ports", "path", "scope"),
    [("gemini-cli", (8085,), "/oauth2callback", "cloud-platform"), ("antigravity", (8086, 51121), "/oauth-callback", "cclog")],
)
async def test_google_sign_ins_begin_with_the_user_s_client(
    place: Place, provider: str, ports: tuple[int, ...], path: str, scope: str
) -> None:  # C-52, C-53, C-62, P-18, P-21
    await place.gateway.admin.set_config({"connectors": [provider]})
    flow = await place.onboarding.start(provider, Asked(client=Client("mine", "s"), acknowledged=True))
    asked, back = asked_of(flow), urlsplit(flow["redirect_uri"])
    assert (back.hostname, back.path, back.port in ports) == ("localhost", path, True)
    assert (asked["client_id"], asked["access_type"], asked["redirect_uri"]) == ("mine", "offline", flow["redirect_uri"])
    assert asked["state"]
    assert scope in asked["scope"]
    await place.onboarding.cancel(flow["flow_id"])


async def test_a_failed_start_leaves_no_port_open(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.provide(place.server.profile(redirect_ports=(0,), authorization=""))
    assert (await refused(place)).param == "options.endpoints.authorization"
    assert place.onboarding._keeper.loopback.ports == ()


async def test_a_device_code_lives_no_longer_than_the_provider_says(place: Place) -> None:
    place.provide(place.server.profile(ways=("device",)))
    flow = await place.start()
    assert flow["expires_at"] == place.clock.now() + 600_000
    assert flow["manual"] == words.manual(place.row.sign_in, "device", "")  # type: ignore[arg-type]


async def test_a_path_of_its_own_gets_a_listener_of_its_own(place: Place) -> None:
    place.provide(place.server.profile(redirect_path="/their/path"))
    flow = await place.start()
    assert urlsplit(flow["redirect_uri"]).path == "/their/path"
    assert urlsplit(flow["redirect_uri"]).port != 38471
    assert flow["listening"]


async def test_a_sign_in_that_the_user_describes(place: Place) -> None:
    place.server.secrets["client-1"] = "cl13nt-s3cret"
    described = {name: url for name, url in place.server.endpoints().items() if name in ("authorization", "token", "user_info")}
    options = {
        "oauth": {**described, "client_id": "client-1", "scopes": "models email"},
        "endpoints": {"inference": f"{place.server.url}/v1"},
    }
    with pytest.raises(GatewayError) as undescribed:
        await place.onboarding.start("custom-oauth", Asked(acknowledged=True))
    assert undescribed.value.param == "options.oauth"
    flow = await place.onboarding.start("custom-oauth", Asked(options=options, client=Client("", "cl13nt-s3cret")))
    told = await place.onboarding.complete(flow["flow_id"], await place.visit(flow))
    assert place.account(told).options["oauth"] == options["oauth"]
    assert place.tokens(told).client_secret == "cl13nt-s3cret"
    again = await place.onboarding.start("custom-oauth", Asked(account=place.account(told)))
    assert (await place.onboarding.complete(again["flow_id"], await place.visit(again)))["account_id"] == told["account_id"]


async def test_a_device_of_the_account_s_own_is_made_up_and_kept(place: Place) -> None:
    place.provide(place.server.profile(headers={"X-Device": "{device_id}"}))
    told = await place.sign_in()
    made = place.account(told).options["device_id"]
    assert place.server.last("code").headers["x-device"] == made
    again = await place.sign_in(account=place.account(told))
    assert place.account(again).options["device_id"] == made
