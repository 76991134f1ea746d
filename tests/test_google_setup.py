"""Tier and project after a Google sign-in, asked of a strict mock. R-42, P-18, P-21"""

from __future__ import annotations

from typing import Any

import pytest

from omni_connector import providers
from omni_connector.errors import GatewayError, Kind
from omni_connector.google_setup import PERIMETER, set_up
from omni_connector.snapshot import Account
from omni_connector.tokens import Tokens
from tests.code_assist_server import PROJECT, TOKEN, CodeAssist, google_error

FREE = {"id": "free-tier", "name": "Free", "isDefault": True}
STANDARD = {"id": "standard-tier", "name": "Gemini Code Assist", "isDefault": True, "userDefinedCloudaicompanionProject": True}


def account(provider: str = "gemini-cli", **options: Any) -> Account:
    made = Account("acc_1", provider, "me", auth="oauth", secret=Tokens(TOKEN).encode(), options=options)
    return providers.complete(made)


class Clock:
    def __init__(self) -> None:
        self.waits: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)


async def test_an_account_that_was_there_before_tells_its_project_and_plan() -> None:
    google = CodeAssist(loaded={"paidTier": {"id": "g1-pro-tier", "name": "Google AI Pro"}})
    found = await set_up(account(), google.ask)
    assert found == {"project": PROJECT, "identity": {"plan": "Google AI Pro", "tier": "g1-pro-tier"}}
    assert google.seen == [
        ("loadCodeAssist", {"metadata": {"ideType": "IDE_UNSPECIFIED", "platform": "PLATFORM_UNSPECIFIED", "pluginType": "GEMINI"}})
    ]


async def test_the_free_tier_gets_a_project_and_must_not_name_one() -> None:
    google, clock = CodeAssist(tier=None, loaded={"allowedTiers": [STANDARD | {"isDefault": False}, FREE]}, needs=3), Clock()
    found = await set_up(account(project="mine-1"), google.ask, sleep=clock.sleep)
    assert found == {"project": PROJECT, "identity": {"plan": "Free", "tier": "free-tier"}}
    assert clock.waits == [5.0] * 3
    assert [call for call, _ in google.seen] == ["loadCodeAssist", "onboardUser", *["operations/op-1"] * 3]
    assert google.seen[0][1]["cloudaicompanionProject"] == google.seen[0][1]["metadata"]["duetProject"] == "mine-1"
    assert "cloudaicompanionProject" not in google.seen[1][1] and google.seen[1][1]["tierId"] == "free-tier"


async def test_the_standard_tier_takes_the_users_project() -> None:
    google = CodeAssist(tier=None, loaded={"allowedTiers": [STANDARD]}, onboarded=None)
    assert (await set_up(account(project="mine-1"), google.ask))["project"] == "mine-1"
    assert google.seen[1][1]["cloudaicompanionProject"] == "mine-1"
    known = CodeAssist(project="")
    assert (await set_up(account(project="mine-1"), known.ask))["project"] == "mine-1"


@pytest.mark.parametrize("google", [CodeAssist(tier=None, loaded={"allowedTiers": [STANDARD]}), CodeAssist(project="")])
async def test_a_missing_project_names_the_variables(google: CodeAssist) -> None:
    with pytest.raises(GatewayError) as caught:
        await set_up(account(), google.ask)
    assert (caught.value.kind, caught.value.param) == (Kind.BAD_REQUEST, "project")
    assert "GOOGLE_CLOUD_PROJECT" in caught.value.message and "GOOGLE_CLOUD_PROJECT_ID" in caught.value.message
    with pytest.raises(GatewayError, match="number"):
        await set_up(account(project="681255809395"), google.ask)


async def test_an_account_to_be_verified_is_told_where() -> None:
    link = "https://accounts.google.com/signin/continue?sarp=1"
    reason = {"reasonCode": "VALIDATION_REQUIRED", "reasonMessage": "Verify your account to continue", "validationUrl": link}
    google = CodeAssist(tier=None, loaded={"ineligibleTiers": [reason], "allowedTiers": [FREE]})
    with pytest.raises(GatewayError) as caught:
        await set_up(account(), google.ask)
    assert caught.value.kind is Kind.ACCOUNT_FORBIDDEN and caught.value.scope == "account"
    assert f"open {link} in a browser" in caught.value.message and caught.value.details == {"links": [link]}


@pytest.mark.parametrize(("code", "said"), [("UNSUPPORTED_CLIENT", "Standard or Enterprise"), ("RESTRICTED_AGE", "too young")])
async def test_an_account_that_google_does_not_serve(code: str, said: str) -> None:
    google = CodeAssist(tier=None, loaded={"ineligibleTiers": [{"reasonCode": code, "reasonMessage": "You are too young."}]})
    with pytest.raises(GatewayError, match=said) as caught:
        await set_up(account(), google.ask)
    assert (caught.value.kind, caught.value.code) == (Kind.ACCOUNT_FORBIDDEN, code)


async def test_a_service_perimeter_means_the_standard_tier() -> None:
    async def ask(_: Any) -> Any:
        answer = google_error(403, "PERMISSION_DENIED", "Request is prohibited", PERIMETER)
        return answer.status, answer.headers, answer.pieces[0]

    found = await set_up(account(project="mine-1"), ask)
    assert found == {"project": "mine-1", "identity": {"plan": "standard-tier", "tier": "standard-tier"}}


async def test_what_google_refuses_is_told_without_the_token() -> None:
    google = CodeAssist(token="another")
    with pytest.raises(GatewayError) as caught:
        await set_up(account(), google.ask)
    assert caught.value.kind is Kind.ACCOUNT_REJECTED and TOKEN not in caught.value.message


async def test_an_onboarding_without_end_ends() -> None:
    google, clock = CodeAssist(tier=None, loaded={"allowedTiers": [FREE]}, needs=1000), Clock()
    with pytest.raises(GatewayError) as caught:
        await set_up(account(), google.ask, sleep=clock.sleep)
    assert caught.value.kind is Kind.UPSTREAM_TIMEOUT and sum(clock.waits) == 120


# ---------------------------------------------------------------- Antigravity


async def test_antigravity_is_onboarded_in_its_own_words() -> None:  # P-21
    google, clock = CodeAssist(variant=True, tier=None, loaded={"allowedTiers": [FREE]}, needs=2, onboarded=PROJECT), Clock()
    hosts: list[str] = []

    async def ask(request: Any) -> Any:
        hosts.append(request.url)
        assert request.headers["user-agent"].startswith("omni-connector/")
        return await google.ask(request)

    found = await set_up(account("antigravity"), ask, sleep=clock.sleep)
    assert found["project"] == PROJECT
    assert google.bodies("loadCodeAssist") == [{"metadata": {"ideType": "ANTIGRAVITY"}}]
    (first, *again) = google.bodies("onboardUser")
    assert first["tier_id"] == "free-tier" and first["metadata"]["ide_type"] == "ANTIGRAVITY"
    assert first["metadata"]["ide_name"] == "omni-connector" and again == [first, first]
    assert clock.waits == [2.0, 2.0]
    assert hosts == [
        "https://cloudcode-pa.googleapis.com/v1internal:loadCodeAssist",
        *["https://daily-cloudcode-pa.googleapis.com/v1internal:onboardUser"] * 3,
    ]


@pytest.mark.parametrize(
    ("options", "endpoints", "host"),
    [
        ({"endpoints": {"setup": "http://127.0.0.1:1/v1internal", "inference": "http://127.0.0.1:2"}}, {}, "http://127.0.0.1:1"),
        ({"endpoints": {"inference": "http://127.0.0.1:2"}}, {}, "http://127.0.0.1:2"),
        ({}, {"antigravity": {"setup": "http://127.0.0.1:3"}}, "http://127.0.0.1:3"),
        ({"region": "prod"}, {}, "https://cloudcode-pa.googleapis.com"),
    ],
)
async def test_addresses_can_be_replaced(options: Any, endpoints: Any, host: str) -> None:
    google = CodeAssist(variant=True)

    async def ask(request: Any) -> Any:
        assert request.url == f"{host}/v1internal:loadCodeAssist"
        return await google.ask(request)

    assert (await set_up(account("antigravity", **options), ask, endpoints=endpoints))["project"] == PROJECT
