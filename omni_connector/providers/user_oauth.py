"""A sign-in that the user describes: the account's `options.oauth` → `SignIn`. Nothing is sent here.

    {"oauth": {"authorization": "https://id.example/authorize", "token": "https://id.example/token", "client_id": "abc",
               "scopes": ["openid", "api"], "user_info": "https://id.example/me"},
     "endpoints": {"inference": "https://api.example/v1"}, "wire": "openai-chat"}

Options are shown by the API, so nothing secret may stand in them: a client secret goes beside them into the sign-in's own field.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from omni_connector.errors import GatewayError, bad_request
from omni_connector.providers.addresses import check_url
from omni_connector.providers.provider import SignIn, Way

Json = dict[str, Any]

OUT_OF_BAND = "urn:ietf:wg:oauth:2.0:oob"
HOSTS = ("localhost", "127.0.0.1")
"""Where the browser may come back to (RFC 8252 §7.3)."""
OURS = frozenset(
    {"client_id", "client_secret", "redirect_uri", "response_type", "state", "nonce", "scope", "code", "code_challenge", "code_verifier"}
    | {"code_challenge_method", "grant_type", "refresh_token", "device_code"}
)
"""Parameters that the protocol itself fills in."""
WAYS: tuple[tuple[Way, str], ...] = (("browser", "authorization"), ("device", "device"))
"""How one may sign in, and the address that says so."""
LONGEST_LEAD_S = 86_400
MOST = 50

_TEXT = re.compile(r"[\x21-\x7e]{1,500}\Z")
_WORDS = re.compile(r"[\x20-\x7e]{1,2000}\Z")
_PATH = re.compile(r"/(?!/)[\w./~-]{0,200}\Z", re.ASCII)


# ---------------------------------------------------------------- One field


def _fail(name: str, why: str) -> GatewayError:
    return bad_request(f"options.oauth.{name}: {why}.", f"options.oauth.{name}")


def _url(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise _fail(name, "write an address like https://id.example/token")
    url = check_url(value, f"options.oauth.{name}")
    parts = urlsplit(url)
    if parts.scheme != "https" and not _is_loopback(parts.hostname or ""):
        raise _fail(name, "it must begin with https://, since codes and tokens go there; http:// is for this machine only")
    return url


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not _TEXT.match(value):
        raise _fail(name, "a text without blanks, at most 500 characters")
    return value


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _fail(name, "true or false")
    return value


def _scopes(name: str, value: Any) -> tuple[str, ...]:
    """A list, or one text with blanks between them, as OAuth itself writes it."""
    given = value.split() if isinstance(value, str) else value
    if not isinstance(given, list | tuple) or len(given) > MOST:
        raise _fail(name, f"a list of at most {MOST} texts")
    return tuple(_text(name, scope) for scope in given)


def _parameters(name: str, value: Any) -> Mapping[str, str]:
    if not isinstance(value, dict) or len(value) > MOST:
        raise _fail(name, "an object of names and texts")
    for key, text in value.items():
        if not isinstance(key, str) or not _TEXT.match(key) or not isinstance(text, str) or not _WORDS.match(text):
            raise _fail(name, "an object of names and texts")
        if key in OURS:
            raise _fail(name, f"{key} is filled in by the sign-in itself, so leave it out")
    return dict(value)


def _choice(*allowed: str) -> Callable[[str, Any], str]:
    def check(name: str, value: Any) -> str:
        if value not in allowed:
            raise _fail(name, f"one of {', '.join(map(repr, allowed))}")
        return str(value)

    return check


def _ports(name: str, value: Any) -> tuple[int, ...]:
    given = value if isinstance(value, list | tuple) else [value]
    if len(given) > MOST or not all(isinstance(port, int) and not isinstance(port, bool) and 1024 <= port <= 65_535 for port in given):
        raise _fail(name, "a list of ports from 1024 to 65535")
    return tuple(given)


def _path(name: str, value: Any) -> str:
    if not isinstance(value, str) or not _PATH.match(value) or ".." in value:
        raise _fail(name, "a path like /oauth/callback")
    return value


def _pasted(name: str, value: Any) -> str:
    return OUT_OF_BAND if value == OUT_OF_BAND else _url(name, value)


def _seconds(name: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= LONGEST_LEAD_S:
        raise _fail(name, f"whole seconds, at most {LONGEST_LEAD_S}")
    return value


FIELDS: Mapping[str, Callable[[str, Any], Any]] = {
    **dict.fromkeys(("authorization", "token", "device", "verification", "revoke", "user_info", "issuer", "jwks"), _url),
    **dict.fromkeys(("discovery", "pkce", "nonce", "state_in_token"), _flag),
    **dict.fromkeys(("authorization_extra", "token_extra"), _parameters),
    "client_id": _text,
    "scopes": _scopes,
    "body": _choice("form", "json"),
    "refresh_body": _choice("", "form", "json"),
    "redirect_host": _choice(*HOSTS),
    "redirect_ports": _ports,
    "redirect_path": _path,
    "pasted_redirect": _pasted,
    "lead_s": _seconds,
}
"""Field of `SignIn` → its check, which gives its value or raises GatewayError naming the field."""
PLACE_OF_SECRET = "secret_in"  # noqa: S105 - a field name
"""Where the client's secret is sent: "body", or "header" (RFC 6749 §2.3.1)."""


# ---------------------------------------------------------------- All of them


def profile(options: Mapping[str, Any]) -> SignIn:
    """The sign-in that `options.oauth` describes. Raises GatewayError BAD_REQUEST naming the field and what is wrong with it."""
    given = options.get("oauth")
    if not isinstance(given, dict) or not given:
        raise bad_request("options.oauth: describe the sign-in: authorization, token, client_id, scopes.", "options.oauth")
    for name in given:
        _known(name)
    values: Json = {name: check(name, given[name]) for name, check in FIELDS.items() if given.get(name) is not None}
    if not values.get("client_id"):
        raise _fail("client_id", "the id that the provider gave your application")
    found = values.get("discovery", False)
    if found and not values.get("issuer"):
        raise _fail("issuer", "discovery needs it")
    if not values.get("token") and not found:
        raise _fail("token", "the address where a code becomes a token")
    if values.get("issuer") and not values.get("jwks") and not found:
        raise _fail("jwks", "an issuer's id_token is verified with the keys at this address; give it, or set discovery")
    ways: tuple[Way, ...] = tuple(way for way, name in WAYS if values.get(name))
    if not ways and not found:
        raise _fail("authorization", "the page where the user signs in, unless there is a device address")
    flavour = "basic" if _choice("body", "header")(PLACE_OF_SECRET, given.get(PLACE_OF_SECRET, "body")) == "header" else ""
    return SignIn(**values, ways=ways or ("browser",), flavour=flavour, described=True)


def _known(name: Any) -> None:
    if name in FIELDS or name == PLACE_OF_SECRET:
        return
    if name == "client_secret":
        raise _fail("client_secret", "options are shown, so it does not belong here; give it as `client_secret` beside them")
    near = get_close_matches(str(name), [*FIELDS, PLACE_OF_SECRET], n=1)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join((*FIELDS, PLACE_OF_SECRET))}"
    raise _fail(str(name)[:50], f"there is no such field; {hint}")
