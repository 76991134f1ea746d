"""Kiro's row: keys first, sign-ins of this machine second. P-02, P-22, P-48"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from omni_connector import oauth, providers
from omni_connector.errors import GatewayError
from omni_connector.providers import PROVIDERS, canonical
from omni_connector.snapshot import Account
from omni_connector.tokens import Tokens
from tests.kiro_server import ARN, KEY

ROW = PROVIDERS["kiro"]


def account(**more: Any) -> Account:
    return providers.complete(Account("a", "kiro", "me", **{"secret": KEY, **more}))


def signed_in(extra: Any = {}, **options: Any) -> Account:
    return account(auth="oauth", secret=Tokens("access", "refresh", client_id="c", extra=dict(extra)).encode(), options=options)


def test_its_names() -> None:  # P-48
    assert canonical("claude-kiro-oauth") == ("kiro", "") and ROW.env == ("KIRO_API_KEY",) and ROW.price_id == "subscription"


def test_a_key_says_that_it_is_one() -> None:
    headers = providers.request_headers(ROW, account())
    assert (headers["authorization"], headers["tokentype"]) == (f"Bearer {KEY}", "API_KEY")
    assert headers["x-amzn-codewhisperer-optout"] == "true" and headers["user-agent"].startswith("omni-connector/")
    headers = providers.request_headers(ROW, signed_in())
    assert headers["authorization"] == "Bearer access" and "tokentype" not in headers


def test_where_it_is_asked() -> None:
    def url(**more: Any) -> str:
        return providers.endpoint(ROW, account(**more), "/generateAssistantResponse")

    assert url() == "https://q.us-east-1.amazonaws.com/generateAssistantResponse"
    assert url(options={"region": "eu-central-1"}) == "https://q.eu-central-1.amazonaws.com/generateAssistantResponse"
    for text in ("https://runtime.us-east-1.kiro.dev", "https://runtime.us-east-1.kiro.dev/generateAssistantResponse"):
        assert url(base_url=text) == "https://runtime.us-east-1.kiro.dev/generateAssistantResponse"
    with pytest.raises(GatewayError, match="eu-central-1"):
        url(options={"region": "mars"})


def test_the_profile_of_a_sign_in() -> None:
    assert providers.project(account()) == "" == providers.project(signed_in())
    assert providers.project(signed_in({"profile_arn": ARN})) == ARN
    assert providers.project(signed_in({"profile_arn": ARN}, identity={"profile_arn": "old"})) == ARN
    assert providers.project(signed_in(identity={"profile_arn": ARN})) == ARN
    assert providers.project(signed_in({"profile_arn": "old"}, project=f" {ARN} ")) == ARN


def test_its_models_are_asked_for_the_profile() -> None:
    for who, wanted in (
        (account(), {"origin": ["AI_EDITOR"]}),
        (signed_in({"profile_arn": ARN}), {"origin": ["AI_EDITOR"], "profileArn": [ARN]}),
    ):
        url, _ = providers.models_request(ROW, who)
        assert url.startswith("https://q.us-east-1.amazonaws.com/ListAvailableModels?") and parse_qs(urlsplit(url).query) == wanted
        assert providers.models_body(ROW, who) == b""
    body = {"models": [{"modelId": "auto", "modelName": "Auto", "rateMultiplier": 1}, {"modelId": "claude-sonnet-4.5"}]}
    assert providers.list_models(ROW, 200, body).chat == ("auto", "claude-sonnet-4.5")


def test_where_a_sign_in_is_renewed() -> None:  # P-02
    assert ROW.sign_in is not None and ROW.sign_in.opt_in and "suspend" in ROW.sign_in.notice
    found = oauth.addresses(ROW.sign_in, ROW, signed_in(region="us-east-1", sso_region="eu-west-1"))
    assert found["token"] == "https://oidc.eu-west-1.amazonaws.com/token"
    assert found["register"] == "https://oidc.eu-west-1.amazonaws.com/client/register"
    found = oauth.addresses(ROW.sign_in, ROW, signed_in({"flavour": "kiro-social"}, region="eu-central-1"))
    assert found["refresh"] == "https://prod.eu-central-1.auth.desktop.kiro.dev/refreshToken"
