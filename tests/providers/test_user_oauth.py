"""Sign-ins that users describe: what is taken, and how what is not is named. O-03"""

from __future__ import annotations

from typing import Any

import pytest

from omni_connector.errors import GatewayError, Kind
from omni_connector.providers.user_oauth import profile

ID = "https://id.test"
LEAST = {"authorization": f"{ID}/authorize", "token": f"{ID}/token", "client_id": "c-1"}
ISSUER = {"issuer": ID, "discovery": True, "client_id": "c-1"}


def read(**fields: Any) -> Any:
    given = {**LEAST, **fields}
    return profile({"oauth": {name: value for name, value in given.items() if value is not ...}})


def test_the_least_that_will_do() -> None:
    found = read()
    assert (found.ways, found.pkce, found.flavour, found.described) == (("browser",), True, "", True)
    assert profile({"oauth": ISSUER}).ways == ("browser",)


def test_everything_that_can_be_said() -> None:
    found = read(
        device="http://127.0.0.1:9/device",
        scopes="openid api",
        pkce=False,
        nonce=True,
        issuer=f"{ID}/",
        jwks="http://[::1]:9/jwks",
        authorization_extra={"audience": "https://api.test"},
        token_extra={},
        body="json",
        refresh_body="form",
        redirect_host="127.0.0.1",
        redirect_ports=[8085, 9000],
        redirect_path="/cb",
        pasted_redirect="urn:ietf:wg:oauth:2.0:oob",
        lead_s=60,
        secret_in="header",
        user_info=None,
    )
    assert (found.ways, found.scopes, found.flavour, found.issuer) == (("browser", "device"), ("openid", "api"), "basic", ID)
    assert (found.redirect_ports, found.authorization_extra) == ((8085, 9000), {"audience": "https://api.test"})
    assert read(authorization=..., device=f"{ID}/device").ways == ("device",)


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("token", "http://id.test/token", "https://"),  # tokens in the clear
        ("token", "http://127.0.0.1.evil.test/token", "https://"),
        ("token", "http://localhost.evil.test/token", "https://"),
        ("token", "https://user:pass@id.test/token", "credentials"),
        ("token", "https://id.test/token?x=1", "'?'"),
        ("token", "javascript:alert(1)", "http"),
        ("token", "https://id.test/to ken", "blanks"),
        ("token", 7, "address"),
        ("token", ..., "token"),
        ("authorization", ..., "signs in"),
        ("client_id", ..., "provider gave"),
        ("client_id", "a b", "without blanks"),
        ("client_secret", "hush", "does not belong here"),
        ("scopes", {"a": 1}, "list"),
        ("scopes", ["a b"], "without blanks"),
        ("scopes", ["s"] * 51, "at most"),
        ("pkce", "yes", "true or false"),
        ("issuer", ID, "keys"),
        ("discovery", True, "needs it"),
        ("authorization_extra", {"redirect_uri": "https://evil.test"}, "filled in"),
        ("authorization_extra", {"a": "x\r\ny"}, "names and texts"),
        ("token_extra", ["a"], "names and texts"),
        ("body", "xml", "'form', 'json'"),
        ("redirect_host", "evil.test", "'localhost'"),
        ("redirect_ports", [80], "1024"),
        ("redirect_ports", [True], "1024"),
        ("redirect_path", "//evil.test", "path like"),
        ("redirect_path", "/../x", "path like"),
        ("pasted_redirect", "http://evil.test/", "https://"),
        ("lead_s", -1, "seconds"),
        ("secret_in", "query", "'body', 'header'"),
        ("autorization", "https://id.test/a", "did you mean authorization?"),
        ("zzz", 1, "known are"),
    ],
)
def test_what_is_wrong_is_named(name: str, value: Any, why: str) -> None:
    with pytest.raises(GatewayError) as caught:
        read(**{name: value})
    field = {"issuer": "jwks", "discovery": "issuer"}.get(name, name)
    assert (caught.value.kind, caught.value.param) == (Kind.BAD_REQUEST, f"options.oauth.{field}")
    assert why in caught.value.message and "hush" not in caught.value.message


@pytest.mark.parametrize("oauth", [None, {}, [], "x"])
def test_nothing_at_all(oauth: Any) -> None:
    with pytest.raises(GatewayError) as caught:
        profile({"oauth": oauth})
    assert caught.value.param == "options.oauth"
