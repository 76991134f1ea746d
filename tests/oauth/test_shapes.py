"""An OAuthError is a GatewayError with more to say; a flavour may be the tokens' own."""

from __future__ import annotations

from omni_connector.errors import GatewayError, Kind
from omni_connector.oauth import OAuthError
from omni_connector.oauth.shapes import flavour_of
from omni_connector.providers.provider import SignIn
from omni_connector.tokens import Tokens


def test_an_error_crosses_rooms_like_every_other() -> None:
    error = OAuthError(Kind.ACCOUNT_REJECTED, "no", code="invalid_grant", terminal=True)
    assert isinstance(error, GatewayError) and error.info.cools and str(error) == "account_rejected: no"
    assert (error.terminal, error.pending, error.slow_down) == (True, False, False)


def test_the_flavour() -> None:
    profile = SignIn(flavour="kiro-social")
    assert flavour_of(profile) == "kiro-social"
    assert flavour_of(profile, Tokens("a", extra={"flavour": "aws-sso"})) == "aws-sso"
    assert flavour_of(profile, Tokens("a", extra={"flavour": 5})) == "kiro-social"
