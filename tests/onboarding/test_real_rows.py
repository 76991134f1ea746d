"""The rows of sign_in_rows.py signed in to, each at the mock authorization server. P-02, P-03, P-20, P-23, O-03"""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from omni_connector import providers
from omni_connector.errors import GatewayError, Kind
from omni_connector.oauth import Client
from omni_connector.onboarding import Asked
from omni_connector.snapshot import Account
from omni_connector.store import accounts as rows
from omni_connector.tokens import decode
from tests.auth_server import CLIENT
from tests.signing import Place

Json = dict[str, Any]
OPENAI = "https://api.openai.com/"


def query_of(flow: Json) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(flow["authorization_url"]).query).items()}


async def start(place: Place, provider: str, flavour: str = "", **asked: Any) -> Json:
    """Every address is the mock's; those it would publish are left for it to publish."""
    row = providers.get(provider)
    await place.gateway.admin.set_config({"connectors": [provider]})
    assert row.sign_in is not None
    if row.sign_in.client_id:
        place.server.clients.add(row.sign_in.client_id)
    addresses = {"issuer": place.server.url} if row.sign_in.discovery else place.server.endpoints(flavour)
    if not row.sign_in.issuer:
        addresses.pop("issuer", None)
    options = {"endpoints": {**addresses, "inference": f"{place.server.url}/api/v1"}, **asked.pop("options", {})}
    return await place.onboarding.start(provider, Asked(acknowledged=True, options=options, **asked))


async def finish(place: Place, flow: Json) -> Account:
    told = await place.onboarding.complete(flow["flow_id"], await place.visit(flow))
    assert told["status"] == "done"
    return place.account(told)


async def renewed(place: Place, account: Account) -> Account:
    """As an hour later: what was renewed just now is not renewed again."""
    tokens = decode(account.secret)
    assert tokens is not None
    gateway, change = place.gateway, {"secret": replace(tokens, refreshed_at=0).encode()}
    await gateway.db.tx(lambda conn: rows.update(conn, gateway.vault, account.id, change))
    await gateway.reload()
    return await gateway.refresher.renew(account, account.access)


@pytest.mark.parametrize("provider", ["codex", "chatgpt", "kimi-code"])
async def test_they_are_off_until_the_user_decides_and_has_read_the_notice(place: Place, provider: str) -> None:  # P-20
    with pytest.raises(GatewayError) as off:
        await place.onboarding.start(provider, Asked())
    assert (off.value.kind, off.value.code) == (Kind.FORBIDDEN, "connector_off")
    await place.gateway.admin.set_config({"connectors": [provider]})
    with pytest.raises(GatewayError) as unread:
        await place.onboarding.start(provider, Asked())
    assert (unread.value.code, unread.value.message) == ("notice", providers.get(provider).sign_in.notice)  # type: ignore[union-attr]


async def test_codex_in_the_browser(place: Place) -> None:  # P-02, P-20
    place.server.claims = {
        f"{OPENAI}auth": {"chatgpt_account_id": "acct-7", "chatgpt_plan_type": "plus"},
        f"{OPENAI}profile": {"email": "ada@example.org"},
    }
    flow = await start(place, "codex", "codex-device")
    asked = query_of(flow)
    assert urlsplit(flow["redirect_uri"]).path == "/auth/callback" and urlsplit(flow["redirect_uri"]).port in (1455, 1457)
    assert (asked["originator"], asked["codex_cli_simplified_flow"], asked["id_token_add_organizations"]) == (
        "omni-connector",
        "true",
        "true",
    )
    assert asked["scope"] == "openid profile email offline_access" and asked["code_challenge_method"] == "S256"
    account = await finish(place, flow)
    identity = account.options["identity"]
    assert (identity["account_id"], identity["plan"], identity["email"]) == ("acct-7", "plus", "ada@example.org")
    headers = providers.request_headers(providers.get("codex"), account)
    assert headers["chatgpt-account-id"] == "acct-7" and headers["authorization"] == f"Bearer {account.access}"
    await renewed(place, account)
    call = place.server.last("refresh")
    assert (call.headers["content-type"], call.fields["grant_type"]) == ("application/json", "refresh_token")


async def test_codex_with_a_device_code(place: Place) -> None:
    flow = await start(place, "codex", "codex-device", headless=True)
    assert flow["way"] == "device" and flow["user_code"]
    place.server.approve(flow["user_code"])
    await place.until(lambda: place.clock.asleep)
    place.clock.skip(5)
    assert (await place.ended(flow))["status"] == "done"


async def test_chatgpt_registers_itself_and_says_whose_plan_is_used(place: Place) -> None:  # P-20
    place.server.person = {**place.server.person, "name": "Ada"}
    flow = await start(place, "chatgpt")
    asked = query_of(flow)
    assert (asked["client_id"], asked["agent_name_hint"]) == ("dynamic_agent_client", "omni-connector")
    assert asked["ext_agent_host_id"].startswith("urn:uuid:") and asked["nonce"] and asked["resource"] == f"{OPENAI}v1"
    assert urlsplit(flow["redirect_uri"]).hostname == "127.0.0.1" and urlsplit(flow["redirect_uri"]).path == "/auth/callback"
    told = await place.onboarding.complete(flow["flow_id"], await place.visit(flow))
    account, tokens = place.account(told), place.tokens(told)
    assert tokens.client_id.startswith("oaiapp_") and "chatgpt.tokens.use.direct" in tokens.scope
    assert account.options["identity"]["plan"] == "Using ChatGPT plan"
    assert place.server.last("code").fields["resource"] == f"{OPENAI}v1"
    await renewed(place, account)
    call = place.server.last("refresh")
    assert (call.fields["client_id"], call.fields["resource"]) == (tokens.client_id, f"{OPENAI}v1")
    again = await start(place, "chatgpt", account=place.account(told))
    assert query_of(again)["client_id"] == tokens.client_id and "agent_name_hint" not in query_of(again)


async def test_chatgpt_without_the_leave_to_use_the_plan_is_no_account(place: Place) -> None:
    place.server.scope = "openid profile email offline_access resource.invoke"
    flow = await start(place, "chatgpt")
    with pytest.raises(GatewayError, match=r"chatgpt\.tokens\.use\.direct"):
        await place.onboarding.complete(flow["flow_id"], await place.visit(flow))
    assert not place.accounts


async def test_openrouter_gives_a_key(place: Place) -> None:  # P-03
    place.server.endpoints("key")
    flow = await start(place, "openrouter", "key")
    assert query_of(flow).keys() == {"callback_url", "code_challenge", "code_challenge_method"}
    account = await finish(place, flow)
    assert account.auth == "api_key" and account.secret.startswith("sk-or-v1-")
    assert place.server.last("code").fields.keys() >= {"code", "code_verifier", "code_challenge_method"}


async def test_kimi_knows_each_account_as_a_device_of_its_own(place: Place) -> None:  # P-23
    flow = await start(place, "kimi-code")
    place.server.approve(flow["user_code"])
    await place.until(lambda: place.clock.asleep)
    place.clock.skip(5)
    told = await place.ended(flow)
    assert told["status"] == "done"
    account = place.account(told)
    device = account.options["device_id"]
    await renewed(place, account)
    calls = [call for call in place.server.calls if call.name in ("device", "poll", "refresh")]
    assert {call.name for call in calls} == {"device", "poll", "refresh"}
    headers = [call.headers for call in calls] + [providers.request_headers(providers.get("kimi-code"), account)]
    assert {one["x-msh-device-id"] for one in headers} == {device}
    assert {one["x-msh-platform"] for one in headers} == {"omni-connector"}
    assert "code_challenge" not in calls[0].fields and "client_secret" not in calls[0].fields
    other = await start(place, "kimi-code")
    assert place.server.last("device").headers["x-msh-device-id"] != device
    await place.onboarding.cancel(other["flow_id"])


def described(place: Place, **more: Any) -> Json:
    addresses = place.server.endpoints()
    fields = {name: addresses[name] for name in ("authorization", "token", "device", "user_info", "revoke")}
    return {"oauth": {**fields, "client_id": CLIENT, "scopes": "openid email", **more}, "wire": "anthropic-messages"}


async def own(place: Place, options: Json, **asked: Any) -> Json:
    endpoints = {"endpoints": {"inference": f"{place.server.url}/v1"}}
    return await place.onboarding.start("custom-oauth", Asked(options={**endpoints, **options}, **asked))


async def test_a_sign_in_that_the_user_describes(place: Place) -> None:  # O-03
    flow = await own(place, described(place))
    account = await finish(place, flow)
    assert (account.provider, account.auth, account.wire) == ("custom-oauth", "oauth", "anthropic-messages")
    assert account.options["identity"]["email"] == "ada@example.org"
    assert providers.endpoint(providers.get("custom-oauth"), account, "/messages") == f"{place.server.url}/v1/messages"
    fresh = await renewed(place, account)
    assert fresh.access != account.access and place.server.good(fresh.access)
    await place.gateway.admin.remove_account(account.id)


async def test_one_person_at_two_servers_has_two_accounts(place: Place) -> None:
    place.server.clients.add("client-2")
    first = await finish(place, await own(place, described(place)))
    second = await finish(place, await own(place, described(place, client_id="client-2")))
    again = await finish(place, await own(place, described(place)))
    assert (first.options["identity"]["email"], again.id) == (second.options["identity"]["email"], first.id)
    assert {account.id for account in place.accounts} == {first.id, second.id} and first.id != second.id


async def test_with_a_secret_that_is_not_in_the_options(place: Place) -> None:
    place.server.secrets[CLIENT] = "hush-hush"
    flow = await own(place, described(place), client=Client("", "hush-hush"))
    account = await finish(place, flow)
    assert "hush-hush" not in str(account.options)
    await renewed(place, account)
    assert place.server.last("refresh").status == 200


async def test_with_a_device_code(place: Place) -> None:
    flow = await own(place, described(place, authorization=None), headless=True)
    place.server.approve(flow["user_code"])
    await place.until(lambda: place.clock.asleep)
    place.clock.skip(5)
    assert (await place.ended(flow))["status"] == "done"


async def test_what_is_missing_is_named(place: Place) -> None:
    for options, param in (({}, "options.oauth"), (described(place, token="ftp://x"), "options.oauth.token")):
        with pytest.raises(GatewayError) as caught:
            await own(place, options)
        assert (caught.value.kind, caught.value.param) == (Kind.BAD_REQUEST, param)
    with pytest.raises(GatewayError) as nowhere:
        await place.onboarding.start("custom-oauth", Asked(options=described(place)))
    assert nowhere.value.param == "options.endpoints.inference"
