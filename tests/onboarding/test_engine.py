"""Sign-ins end to end against the mock authorization server; what strangers, replays and mix-ups get; many at once."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import sqlalchemy as sa

from omni_connector.errors import GatewayError, Kind
from omni_connector.loopback import ANY_PORT
from omni_connector.oauth import Client
from omni_connector.onboarding import Asked, words
from omni_connector.store.tables import metadata
from tests.auth_server import Fault
from tests.signing import Place

Json = dict[str, Any]


def code_of(location: str) -> str:
    return parse_qs(urlsplit(location).query)["code"][0]


def state_of(flow: Json) -> str:
    return parse_qs(urlsplit(flow["authorization_url"]).query)["state"][0]


# ---------------------------------------------------------------- The three ways


async def test_a_browser_sign_in_becomes_an_account(place: Place) -> None:  # C-19, P-20, O-03
    flow = await place.start(label="work")
    assert flow["redirect_uri"] == "http://localhost:38471/oauth/callback"
    assert (flow["status"], flow["way"], flow["listening"], flow["port_problem"]) == ("waiting", "browser", True, "")
    page = await place.onboarding.callback(await place.query(flow))
    assert (page.ok, page.title) == (True, "Signed in")
    told = await place.onboarding.status(flow["flow_id"])
    assert (told["status"], "authorization_url" in told) == ("done", False)
    account = place.account(told)
    assert (account.label, account.auth, account.state) == ("work", "oauth", "ok")
    assert account.options["identity"] == {"email": "ada@example.org", "subject": "user-1", "name": "Ada"}
    assert place.server.good(account.access)
    assert account.access_until == place.tokens(told).expires_at


async def test_a_pasted_address_does_the_same(place: Place) -> None:  # P-25
    flow = await place.start()
    told = await place.onboarding.complete(flow["flow_id"], f"  {await place.visit(flow)}\n")
    assert told["status"] == "done"
    assert place.account(told).label == "mock"


async def test_a_pasted_code_does_the_same(place: Place) -> None:
    flow = await place.start()
    told = await place.onboarding.complete(flow["flow_id"], code_of(await place.visit(flow)))
    assert told["status"] == "done"


async def test_a_listener_of_its_own_hears_the_browser(place: Place) -> None:  # C-52, C-53
    place.provide(place.server.profile(redirect_ports=(ANY_PORT,), redirect_path="/oauth2callback", redirect_host="127.0.0.1"))
    flow = await place.start()
    assert urlsplit(flow["redirect_uri"]).path == "/oauth2callback"
    assert flow["listening"]
    location = await place.visit(flow)
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(location).port)
    target = f"/oauth2callback?{urlsplit(location).query}"
    writer.write(f"GET {target} HTTP/1.1\r\nHost: {urlsplit(location).netloc}\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert code_of(location).encode() not in answer
    assert (await place.onboarding.status(flow["flow_id"]))["status"] == "done"
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", urlsplit(location).port)


async def test_a_device_code_is_asked_about_at_its_pace(place: Place) -> None:
    place.provide(place.server.profile(ways=("device",)))
    flow = await place.start()
    assert flow["verification_uri"].endswith("/activate")
    assert (flow["interval"], "authorization_url" in flow) == (5, False)
    await place.until(lambda: place.clock.asleep)
    place.clock.skip(5)
    await place.until(lambda: place.server.count("poll") == 1)
    place.server.approve(flow["user_code"])
    await place.until(lambda: place.clock.asleep)
    place.clock.skip(5)
    told = await place.ended(flow)
    assert (told["status"], place.server.count("poll")) == ("done", 2)
    assert place.server.good(place.account(told).access)


async def test_a_code_that_is_exchanged_after_the_device_page(place: Place) -> None:
    place.provide(place.server.profile("codex-device", ways=("browser", "device")))
    flow = await place.start(headless=True)
    place.server.approve(flow["user_code"])
    await place.until(lambda: place.clock.asleep)
    place.clock.skip(5)
    assert (await place.ended(flow))["status"] == "done"


async def test_a_page_that_ends_in_a_lasting_key_makes_an_account_with_a_key(place: Place) -> None:
    place.provide(place.server.profile("key", ways=("key",)))
    told = await place.sign_in(label="router")
    account = place.account(told)
    assert (account.auth, account.label) == ("api_key", "router")
    assert account.secret.startswith("sk-or-v1-")
    assert account.key_hint.endswith(account.secret[-4:])


async def test_a_client_that_registers_itself_keeps_the_name_it_was_given(place: Place) -> None:
    place.provide(place.server.profile(client_id="", dynamic="dynamic_agent_client", nonce=True, discovery=True))
    told = await place.sign_in()
    assert place.tokens(told).client_id.startswith("oaiapp_")
    first = place.server.last("authorize").fields["ext_agent_host_id"]
    again = await place.sign_in(account=place.account(told))
    assert again["account_id"] == told["account_id"]
    assert "ext_agent_host_id" not in place.server.last("authorize").fields
    await place.start()
    other = await place.start()
    assert parse_qs(urlsplit(other["authorization_url"]).query)["ext_agent_host_id"] == [first]


async def test_the_pace_slows_down_when_the_provider_says_so_or_cannot_answer(place: Place) -> None:
    place.provide(place.server.profile(ways=("device",)))
    slow = Fault(400, {"error": "slow_down"})
    place.server.fault("poll", slow, Fault(503), Fault(500), Fault(500))
    await place.start()
    for wait, polls in ((5, 1), (10, 2), (20, 3), (40, 4), (60, 5)):
        await place.until(lambda: place.clock.asleep)
        assert place.clock.slept[-1] == pytest.approx(wait, abs=0.1)
        place.clock.skip(wait)
        await place.until(lambda polls=polls: place.server.count("poll") == polls)


async def test_the_pace_is_the_one_that_a_busy_provider_asks_for(place: Place) -> None:
    place.provide(place.server.profile(ways=("device",)))
    flow = await place.start()
    await place.until(lambda: place.clock.asleep)
    place.server.fault("poll", Fault(429, {"error": "busy"}, {"Retry-After": "90"}))
    place.clock.skip(5)
    await place.until(lambda: place.clock.slept[-1] == 90)
    place.server.approve(flow["user_code"])
    place.clock.skip(90)
    assert (await place.ended(flow))["status"] == "done"


async def test_a_refusal_on_the_device_page_ends_it(place: Place) -> None:
    place.provide(place.server.profile(ways=("device",)))
    flow = await place.start()
    place.server.deny(flow["user_code"])
    await place.until(lambda: place.clock.asleep)
    place.clock.skip(5)
    await place.until(lambda: place.server.count("poll") == 1)
    told = await place.ended(flow)
    assert told["status"] == "failed"
    assert "access_denied" in told["error"]


# ---------------------------------------------------------------- Several processes


async def test_begun_on_one_node_finished_on_another(place: Place) -> None:
    flow = await place.start()
    page = await place.node().callback(await place.query(flow))
    assert page.ok
    assert (await place.onboarding.status(flow["flow_id"]))["status"] == "done"


async def test_a_device_code_outlives_the_process_that_began_it(place: Place) -> None:
    place.provide(place.server.profile(ways=("device",)))
    flow = await place.start()
    await place.onboarding.close()
    other = place.node()
    place.server.approve(flow["user_code"])
    place.clock.skip(5)
    assert (await other.status(flow["flow_id"]))["status"] == "waiting"
    await place.until(lambda: place.accounts)
    assert place.server.count("poll") == 1


async def test_two_processes_that_poll_ask_once_each_interval(place: Place) -> None:
    place.provide(place.server.profile(ways=("device",)))
    flow = await place.start()
    other = place.node()
    await other.status(flow["flow_id"])
    await place.until(lambda: place.clock.asleep == 2)
    place.clock.skip(5)
    await place.until(lambda: place.clock.asleep == 2)
    assert place.server.count("poll") == 1


async def test_thirty_at_once_each_get_their_own_account(place: Place) -> None:
    started = await asyncio.gather(*(place.start() for _ in range(30)))
    assert len({state_of(flow) for flow in started}) == 30
    place.server.id_tokens = False
    place.server.fault("userinfo", *(Fault(200, {"sub": f"user-{n}", "email": f"{n}@example.org"}) for n in range(30)))
    pages = await asyncio.gather(*[place.onboarding.callback(await place.query(flow)) for flow in started])
    assert {page.title for page in pages} == {"Signed in"}
    assert len({account.label for account in place.accounts}) == 30
    assert len({account.secret for account in place.accounts}) == 30


async def test_the_same_person_twice_at_once_is_one_account(place: Place) -> None:
    started = [await place.start(), await place.start()]
    pages = await asyncio.gather(*[place.onboarding.callback(await place.query(flow)) for flow in started])
    assert all(page.ok for page in pages)
    assert len(place.accounts) == 1


# ---------------------------------------------------------------- Signing in again


async def test_signing_in_again_renews_the_account_in_place(place: Place) -> None:
    first = await place.sign_in(label="work")
    account = place.account(first)
    await place.gateway.admin.edit_account(account.id, {"priority": 7, "models": ["m1"]})
    await place.gateway.standing.store_login(account.id, "refused")
    assert place.account(first).state == "needs_login"
    again = await place.sign_in()
    renewed = place.account(again)
    assert (again["account_id"], len(place.accounts)) == (account.id, 1)
    assert (renewed.label, renewed.priority, renewed.models, renewed.state) == ("work", 7, ("m1",), "ok")
    assert renewed.access != account.access


async def test_somebody_else_gets_an_account_of_his_own(place: Place) -> None:
    await place.sign_in()
    place.server.person = {"sub": "user-2", "email": "eve@example.org"}
    await place.sign_in()
    assert [account.label for account in place.accounts] == ["mock", "mock-2"]


async def test_an_account_cannot_be_renewed_by_somebody_else(place: Place) -> None:
    mine = place.account(await place.sign_in(label="work"))
    place.server.person = {"sub": "user-2", "email": "eve@example.org"}
    flow = await place.start(account=mine, label="work")
    page = await place.onboarding.callback(await place.query(flow))
    assert not page.ok
    assert "eve@example.org" in page.words
    assert "ada@example.org" in page.words
    assert place.accounts[0].secret == mine.secret


# ---------------------------------------------------------------- Hostile


async def test_a_forged_state_is_told_nothing(place: Place) -> None:
    flow = await place.start()
    for query in (
        "code=x&state=forged",
        "code=x",
        "",
        "error=access_denied",
        "error=access_denied&state=forged",
        urlencode({"code": "x", "state": state_of(flow)[:-1]}),
    ):
        page = await place.onboarding.callback(query)
        assert not page.ok
    assert (place.server.count("code"), place.accounts) == (0, ())
    assert (await place.onboarding.status(flow["flow_id"]))["status"] == "waiting"


async def test_a_replayed_callback_exchanges_nothing_and_spoils_nothing(place: Place) -> None:
    flow = await place.start()
    query = await place.query(flow)
    pages = await asyncio.gather(*(node.callback(query) for node in (place.onboarding, place.node(), place.node())))
    assert sorted(page.ok for page in pages) == [False, False, True]
    later = await place.onboarding.callback(query)
    assert (later.ok, later.words) == (False, words.ENDED["done"])
    assert place.server.count("code") == 1
    with pytest.raises(GatewayError) as again:
        await place.onboarding.complete(flow["flow_id"], query)
    assert (again.value.kind, again.value.code) == (Kind.CONFLICT, "flow_done")
    assert place.server.good(place.accounts[0].access)


async def test_the_address_of_another_sign_in_is_refused_and_both_go_on(place: Place) -> None:
    one, other = await place.start(), await place.start()
    location = await place.visit(other)
    with pytest.raises(GatewayError) as mixed:
        await place.onboarding.complete(one["flow_id"], location)
    assert mixed.value.kind is Kind.BAD_REQUEST
    assert "another sign-in" in mixed.value.message
    for flow, pasted in ((other, location), (one, await place.visit(one))):
        assert (await place.onboarding.complete(flow["flow_id"], pasted))["status"] == "done"


async def test_somebody_else_s_code_with_our_state_does_not_fit_our_verifier(place: Place) -> None:
    one, other = await place.start(), await place.start()
    stolen = code_of(await place.visit(other))
    page = await place.onboarding.callback(urlencode({"code": stolen, "state": state_of(one)}))
    assert not page.ok
    assert "invalid_grant" in page.words
    assert stolen not in page.words
    assert place.accounts == ()


async def test_without_pkce_a_bare_code_is_nobody_s(place: Place) -> None:
    place.provide(place.server.profile(pkce=False))
    flow = await place.start()
    location = await place.visit(flow)
    with pytest.raises(GatewayError) as bare:
        await place.onboarding.complete(flow["flow_id"], code_of(location))
    assert bare.value.message == words.NEEDS_STATE
    assert (await place.onboarding.complete(flow["flow_id"], location))["status"] == "done"


async def test_a_callback_in_the_name_of_another_provider_is_a_mix_up(place: Place) -> None:
    flow = await place.start()
    query = f"{await place.query(flow)}".replace(urlencode({"iss": place.server.url}), "iss=https%3A%2F%2Fevil.example")
    page = await place.onboarding.callback(query)
    assert not page.ok
    assert "another provider" in page.words
    assert place.server.count("code") == 0


async def test_a_sign_in_of_one_browser_does_not_go_on_in_another(place: Place) -> None:
    flow = await place.start(session="proof-of-one")
    query = await place.query(flow)
    for session in ("", "proof-of-other"):
        assert await place.onboarding.callback(query, session) == words.ELSEWHERE
        with pytest.raises(GatewayError) as refused:
            await place.onboarding.complete(flow["flow_id"], query, session)
        assert refused.value.kind is Kind.FORBIDDEN
        with pytest.raises(GatewayError):
            await place.onboarding.cancel(flow["flow_id"], session)
    assert (await place.onboarding.complete(flow["flow_id"], query, "proof-of-one"))["status"] == "done"


async def test_an_expired_sign_in_is_over(place: Place) -> None:
    flow = await place.start()
    query = await place.query(flow)
    place.clock.skip(20 * 60)
    page = await place.onboarding.callback(query)
    assert (page.ok, page.words) == (False, words.ENDED["expired"])
    assert (await place.onboarding.status(flow["flow_id"]))["status"] == "expired"
    assert place.server.count("code") == 0


async def test_a_cancelled_sign_in_is_over(place: Place) -> None:
    flow = await place.start()
    assert (await place.onboarding.cancel(flow["flow_id"]))["status"] == "cancelled"
    assert (await place.onboarding.callback(await place.query(flow))).words == words.ENDED["cancelled"]


async def test_a_refusal_at_the_provider_ends_it_with_a_fix(place: Place) -> None:
    place.server.refuse = "access_denied"
    flow = await place.start()
    page = await place.onboarding.callback(await place.query(flow))
    assert not page.ok
    assert "access_denied" in page.words
    assert (await place.onboarding.status(flow["flow_id"]))["status"] == "failed"


@pytest.mark.parametrize("claims", [{"iss": "https://evil.example"}, {"aud": "another-client"}, {"exp": 1}])
async def test_an_id_token_that_is_not_genuine_makes_no_account(place: Place, claims: Json) -> None:
    place.server.claims = claims
    flow = await place.start()
    assert not (await place.onboarding.callback(await place.query(flow))).ok
    assert place.accounts == ()


async def test_a_new_signing_key_is_fetched_once(place: Place) -> None:
    await place.sign_in()
    await place.sign_in()
    assert place.server.count("jwks") == 1
    place.server.kid = "k2"
    await place.sign_in()
    assert place.server.count("jwks") == 2


async def test_no_secret_in_rows_logs_answers_and_pages(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "omni")
    place.provide(place.server.profile(own_client=True))
    place.server.secrets["client-1"] = "cl13nt-s3cret"
    flow = await place.start(client=Client("client-1", "cl13nt-s3cret"), session="proof")
    rows = str(await place.gateway.db.run(lambda conn: [conn.execute(sa.select(table)).all() for table in metadata.sorted_tables]))
    location = await place.visit(flow)
    page = await place.onboarding.callback(urlsplit(location).query, "proof")
    told = await place.onboarding.status(flow["flow_id"])
    rows += str(await place.gateway.db.run(lambda conn: [conn.execute(sa.select(table)).all() for table in metadata.sorted_tables]))
    told |= {"account": await place.gateway.admin.account(told["account_id"])}
    tokens = place.tokens(told)
    said = json.dumps(told) + page.html().decode() + caplog.text
    for secret in (tokens.access_token, tokens.refresh_token, tokens.id_token, tokens.client_secret, code_of(location), state_of(flow)):
        assert secret
        assert secret not in rows + said
    sent = place.server.last("code").fields
    assert sent["client_secret"] == "cl13nt-s3cret"
    assert sent["code_verifier"] not in rows + said


# ---------------------------------------------------------------- Ending in between


async def test_whoever_leaves_does_not_stop_what_was_begun(place: Place) -> None:
    flow = await place.start()
    query = await place.query(flow)
    held = place.server.hold("code")
    browser = asyncio.create_task(place.onboarding.callback(query))
    await place.until(lambda: place.server.waiting)
    assert (await place.onboarding.status(flow["flow_id"]))["status"] == "waiting"
    browser.cancel()
    held.set()
    await place.until(lambda: place.accounts)


async def test_closing_waits_for_an_exchange(place: Place) -> None:
    flow = await place.start()
    query = await place.query(flow)
    held = place.server.hold("code")
    browser = asyncio.create_task(place.onboarding.callback(query))
    await place.until(lambda: place.server.waiting)
    closing = asyncio.create_task(place.onboarding.close())
    held.set()
    await closing
    assert (await browser).ok
    assert len(place.accounts) == 1


async def test_a_provider_that_answers_nonsense_fails_the_sign_in_in_words(place: Place) -> None:
    place.server.fault("code", Fault(500, {"error": "server_error"}))
    flow = await place.start()
    page = await place.onboarding.callback(await place.query(flow))
    assert (page.ok, page.status) == (False, 400)
    told = await place.onboarding.status(flow["flow_id"])
    assert (told["status"], told["error"]) == ("failed", page.words)


async def test_a_set_up_that_needs_the_user_says_what_to_do(place: Place) -> None:
    async def set_up(account: Any, ask: Any, *, endpoints: Any) -> Json:
        assert account.access
        if not account.options.get("project"):
            raise GatewayError(Kind.BAD_REQUEST, "Set GOOGLE_CLOUD_PROJECT.", param="project")
        return {"project": f"{account.options['project']}-found", "identity": {"plan": "Standard"}}

    place.onboarding = place.node(setups={"mock": set_up})
    flow = await place.start()
    page = await place.onboarding.callback(await place.query(flow))
    assert (page.ok, page.words, place.accounts) == (False, "Set GOOGLE_CLOUD_PROJECT.", ())
    told = await place.sign_in(options={"project": "p1"})
    options = place.account(told).options
    assert (options["project"], options["identity"]["plan"], options["identity"]["email"]) == ("p1-found", "Standard", "ada@example.org")


# ---------------------------------------------------------------- Taking it back


async def test_removing_an_account_takes_the_grant_back(place: Place) -> None:
    told = await place.sign_in()
    account = place.account(told)
    place.onboarding.revoke_soon(account)
    await place.until(lambda: place.server.count("revoke"))
    await place.onboarding.close()
    assert not place.server.good(account.access)


async def test_a_provider_that_cannot_take_it_back_is_only_logged(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    account = place.account(await place.sign_in())
    place.server.fault("revoke", Fault(lost=True), Fault(lost=True))
    place.onboarding.revoke_soon(account)
    await place.onboarding.close()
    assert "could not be revoked" in caplog.text
    assert account.access not in caplog.text


async def test_tokens_that_were_taken_over_are_not_revoked(place: Place) -> None:
    from omni_connector.tokens import Tokens

    issued = place.server.issue()
    tokens = Tokens(issued["access_token"], issued["refresh_token"], id_token=issued["id_token"])
    account_id = await place.onboarding.adopt("mock", tokens, Asked(label="taken"))
    account = place.account({"account_id": account_id})
    assert account.options["identity"]["email"] == "ada@example.org"
    place.onboarding.revoke_soon(account)
    await place.onboarding.close()
    assert place.server.count("revoke") == 0
