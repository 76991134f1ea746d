"""The sign-in that a Kiro on this machine keeps in `~/.aws/sso/cache/`, as an account's tokens and options. Pure: no file is read here.

`kiro-auth-token.json` holds the tokens; with AWS SSO it names the client registration that they belong to, a file beside it.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from omni_connector.errors import GatewayError, bad_request
from omni_connector.providers.kiro_rows import REGIONS
from omni_connector.snapshot import Json
from omni_connector.tokens import Tokens

FILE = "kiro-auth-token.json"
SOCIAL = "social"
FLAVOUR = "kiro-social"

_HASH = re.compile(r"[0-9a-zA-Z_-]{1,128}\Z")
_TOKEN = re.compile(r"[\x21-\x7e]{1,65536}\Z")
_REGION = re.compile(r"[a-z0-9-]{1,40}\Z")
_ARN = re.compile(r"arn:aws[a-z-]*:codewhisperer:([a-z0-9-]{1,40}):[0-9]{1,20}:[\w/.-]{1,200}\Z", re.ASCII)


def registration_file(token: Json) -> str:
    """The name of the registration's file, in the same folder; "" where there is none or the name cannot be one."""
    name = token.get("clientIdHash")
    return f"{name}.json" if isinstance(name, str) and _HASH.match(name) else ""


def read_login(token: Json, registration: Json | None = None) -> tuple[Tokens, Json]:
    """`kiro-auth-token.json`, and the file that `registration_file` names → an account's tokens and options (see `kiro_rows`).

    Raises GatewayError BAD_REQUEST for what is no sign-in, or one that could not be renewed.
    """
    access, refresh = _text(token, "accessToken", _TOKEN), _text(token, "refreshToken", _TOKEN)
    if not access or not refresh:
        raise _unusable("it holds no tokens")
    arn, place = _text(token, "profileArn", _ARN), _text(token, "region", _REGION)
    extra: Json = {"profile_arn": arn} if arn else {}
    client = {} if registration is None else registration
    client_id, client_secret = _text(client, "clientId", _TOKEN), _text(client, "clientSecret", _TOKEN)
    if str(token.get("authMethod")).lower() == SOCIAL:
        extra["flavour"] = FLAVOUR
        client_id = client_secret = ""
    elif not client_id:
        raise _unusable("the client registration that it belongs to is missing")
    options: Json = {"identity": {"profile_arn": arn}} if arn else {}
    found = _ARN.match(arn)
    region = found[1] if found is not None else place
    if region in REGIONS:
        options["region"] = region
    if place:
        options["sso_region"] = place
    return Tokens(access, refresh, _moment(token.get("expiresAt")), client_id=client_id, client_secret=client_secret, extra=extra), options


def _text(said: Json, name: str, form: re.Pattern[str]) -> str:
    value = said.get(name)
    return value if isinstance(value, str) and form.match(value) else ""


def _moment(value: Any) -> int | None:
    """RFC 3339 → ms UTC."""
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
        return None if found is None else round((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None


def _unusable(why: str) -> GatewayError:
    return bad_request(f"Kiro's sign-in on this machine cannot be used: {why}. Sign in again in Kiro, or use an API key.")
