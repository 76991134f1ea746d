"""What a file's entry becomes before it is an account, and the readers of single values. Whatever a file says is untrusted: types are
checked, lengths are bounded, and a value of the wrong type counts as absent."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from omni_connector.oauth.answers import moment, text_of
from omni_connector.tokens import Tokens
from omni_connector.values import dataclass

Json = dict[str, Any]

MOST_ACCOUNTS = 10_000
MOST_BYTES = 16 << 20
LONGEST_LABEL = 64
LONGEST_KEY = 16_384
LONGEST_FACT = 200
"""Characters of a name, an email, a project."""
IDENTITY = ("email", "subject", "name", "plan", "tier", "account_id", "profile_arn")
"""Facts about a person that an account keeps."""

_UNFIT = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029/\\]+")
_KEY = re.compile(r"[\x21-\x7e]+\Z")


@dataclass(frozen=True, slots=True)
class Draft:
    """An account as a file describes it, not yet checked against the provider's row."""

    provider: str
    """Its id here, or an older name that `providers.canonical` knows."""
    label: str = ""
    """Fit to be one; "" for any."""
    auth: str = "api_key"
    """"api_key", "oauth", "cli" or "none"."""
    secret: str = field(default="", repr=False)
    tokens: Tokens | None = field(default=None, repr=False)
    fields: Json = field(default_factory=dict, repr=False)
    """What else the file says, under the names of the account body (CONTRACT §5), as it stands there."""
    where: str = ""
    """The entry, in words: "entry 3"."""
    note: str = ""
    """What the file says and is not taken over."""
    whole: bool = False
    """Written by us: nothing has to be asked of the provider."""

    @property
    def has_credential(self) -> bool:
        return bool(self.secret) or self.tokens is not None or self.auth in ("cli", "none")

    @property
    def identity(self) -> Json:
        options = self.fields.get("options")
        found = options.get("identity") if isinstance(options, Mapping) else None
        return dict(found) if isinstance(found, Mapping) else {}


@dataclass(frozen=True, slots=True)
class Problem:
    """An entry that cannot become an account. `why` holds the fix, and nothing of a credential."""

    where: str
    why: str
    label: str = ""
    provider: str = ""


@dataclass(frozen=True, slots=True)
class Imported:
    """`format`: "omni", "oneproxy", "cli-proxy-api", "one-api", "provider-pools", or the program whose file it is."""

    format: str
    accounts: tuple[Draft, ...] = ()
    problems: tuple[Problem, ...] = ()
    aliases: Json = field(default_factory=dict)
    chains: Json = field(default_factory=dict)
    settings: Json = field(default_factory=dict)
    prices: tuple[Json, ...] = ()
    limits: tuple[Json, ...] = ()


Entry = Draft | Problem


# ---------------------------------------------------------------- Values


def text(said: Mapping[str, Any], *names: str, most: int = LONGEST_FACT) -> str:
    """The first of the names that holds a short printable text, trimmed; "" without one."""
    for name in names:
        value = said.get(name)
        if isinstance(value, str) and (clean := value.strip()) and len(clean) <= most and clean.isprintable():
            return clean
    return ""


def key(said: Mapping[str, Any], *names: str) -> str:
    """The first of the names that holds what could stand in a header as a key."""
    found = text(said, *names, most=LONGEST_KEY)
    return found if _KEY.match(found) else ""


def label(value: Any) -> str:
    """A label that is fit to be one, made of whatever stands there: no control characters and slashes, 64 characters at most."""
    if not isinstance(value, str):
        return ""
    clean = value[: 4 * LONGEST_LABEL].encode("utf-8", "replace").decode()
    return " ".join(_UNFIT.sub(" ", clean).split())[:LONGEST_LABEL].strip()


def mapping(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def tokens(said: Mapping[str, Any], ends: Any = None, **more: Any) -> Tokens | None:
    """access_token, refresh_token, id_token, scope, client_id and client_secret as OAuth names them; None without a usable one.

    `ends`: when the access token does, in seconds, milliseconds or as a date. Without an access token the refresh token is due at once.
    """
    names = ("access_token", "refresh_token", "id_token", "client_id", "client_secret")
    found: Json = {name: text_of(dict(said), name) for name in names}
    if not found["access_token"] and not found["refresh_token"]:
        return None
    expires_at = moment(ends) if found["access_token"] else 1
    return Tokens(**found, scope=text(said, "scope", most=4096), expires_at=expires_at, **more)


def identity(said: Mapping[str, Any]) -> Json:
    """Of what is said about a person, the facts that an account keeps."""
    return {name: found for name in IDENTITY if (found := text(said, name))}


def options(**values: Any) -> Json:
    """{"options": …} of those that are there, {} without any; to be put into `Draft.fields`."""
    found = {name: value for name, value in values.items() if value}
    return {"options": found} if found else {}
