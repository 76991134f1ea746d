"""What a Kiro on this machine keeps, as an account. P-22"""

from __future__ import annotations

from typing import Any

import pytest

from omni_connector.errors import GatewayError, Kind
from omni_connector.providers.kiro_login import read_login, registration_file
from omni_connector.tokens import Tokens
from tests.kiro_server import ARN

SOCIAL = {
    "accessToken": "aoa-access",
    "refreshToken": "aor-refresh",
    "expiresAt": "2026-09-11T01:30:48.000Z",
    "authMethod": "social",
    "provider": "Google",
    "profileArn": ARN,
}
IDC = {
    "accessToken": "aoa-access",
    "refreshToken": "aor-refresh",
    "expiresAt": "2026-09-11T01:30:48Z",
    "authMethod": "IdC",
    "provider": "Enterprise",
    "region": "eu-west-1",
    "clientIdHash": "e909a0580879b06ece1aa964fde4a5b8c6bd5b3a",
}
CLIENT = {"clientId": "client-id", "clientSecret": "hush", "expiresAt": "2026-11-01T00:00:00Z"}
UNTIL = 1789090248000


def test_a_social_sign_in() -> None:
    tokens, options = read_login(SOCIAL)
    assert tokens == Tokens("aoa-access", "aor-refresh", UNTIL, extra={"profile_arn": ARN, "flavour": "kiro-social"})
    assert options == {"identity": {"profile_arn": ARN}, "region": "eu-central-1"}
    assert registration_file(SOCIAL) == ""


def test_a_companys_sign_in_is_renewed_in_its_own_region() -> None:
    assert registration_file(IDC) == "e909a0580879b06ece1aa964fde4a5b8c6bd5b3a.json"
    tokens, options = read_login(IDC, CLIENT)
    assert tokens == Tokens("aoa-access", "aor-refresh", UNTIL, client_id="client-id", client_secret="hush")
    assert options == {"sso_region": "eu-west-1"}
    assert read_login({**IDC, "region": "us-east-1"}, CLIENT)[1] == {"region": "us-east-1", "sso_region": "us-east-1"}
    assert "hush" not in repr(tokens)


@pytest.mark.parametrize("name", ["../../.ssh/id_rsa", "a/b", "", 5, None, "x\n", "a" * 200])
def test_the_name_of_the_registration_is_no_path(name: Any) -> None:
    assert registration_file({**IDC, "clientIdHash": name}) == ""


@pytest.mark.parametrize(
    ("token", "client"),
    [({}, None), ({**SOCIAL, "refreshToken": ""}, None), ({**SOCIAL, "accessToken": "a b"}, None), (IDC, None), (IDC, {"clientId": 5})],
)
def test_what_cannot_be_renewed_is_refused(token: Any, client: Any) -> None:
    with pytest.raises(GatewayError, match="API key") as caught:
        read_login(token, client)
    assert caught.value.kind is Kind.BAD_REQUEST


def test_odd_values_are_left_out() -> None:
    odd = {**SOCIAL, "profileArn": "arn:aws:iam::1:role/x", "region": "x.evil.test/", "expiresAt": "soon"}
    tokens, options = read_login(odd)
    assert (tokens.expires_at, tokens.extra, options) == (None, {"flavour": "kiro-social"}, {})
