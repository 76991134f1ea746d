"""Reads what comes back from a provider during a sign-in. Everything in it is untrusted: sizes are bounded, types are checked, and
its words reach nobody before `secrets.scrub`."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from omni_connector import secrets
from omni_connector.errors import Kind
from omni_connector.oauth.asking import client_for
from omni_connector.oauth.shapes import CAMEL, ERROR_CODE, FIXES, LONGEST_ANSWER, LONGEST_TOKEN, Client, Json, OAuthError, flavour_of
from omni_connector.providers.provider import EMPTY, SignIn
from omni_connector.tokens import Tokens
from omni_connector.wire.retry_after import stated_wait

PENDING = frozenset({"authorization_pending", "slow_down"})
IDENTITY_SCOPES = frozenset({"openid", "profile", "email", "offline_access"})

_CODE = re.compile(r"[\x21-\x7e]{1,8192}\Z")
_TOKEN = re.compile(r"[\x21-\x7e]+\Z")
_SCOPE = re.compile(r"[\x20-\x7e]{1,4096}\Z")
_CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_LONGEST_LIFE_S = 10 * 366 * 86_400
_MS_FROM = 10**11
"""A Unix time above this is in milliseconds."""


# ---------------------------------------------------------------- Tokens


def parse_tokens(
    profile: SignIn,
    status: int,
    body: bytes,
    now_ms: int,
    old: Tokens | None = None,
    *,
    headers: Mapping[str, str] = EMPTY,
    client: Client | None = None,
    hide: Sequence[str] = (),
) -> Tokens:
    """The answer of the token address. `old`: the tokens that were refreshed; what the answer leaves out is kept from them.
    `client`: whom a first sign-in's tokens are issued to, noted where it is not the profile's own. `headers` with lower-case names.
    `hide`: secrets of the call, in case the provider repeats them in its words.

    Raises OAuthError; for a refresh, `terminal` means that the user has to sign in again (a code of `profile.dead`, or status 401).
    """
    said = read_answer(body, flavour_of(profile, old))
    access = said.get("key") if profile.flavour == "key" else said.get("access_token")
    if access is None and old is not None and said.get("refresh_token"):
        access = old.access_token  # every field is optional at some, and the rotated token must not be lost
    if not 200 <= status < 300 or access is None or _error_code(said):
        raise refusal(profile, status, said, headers, old, hide)
    fresh = _token(access, "access token", required=True)
    token_type = said.get("token_type")
    if isinstance(token_type, str) and token_type.lower() not in ("bearer", ""):
        raise _unusable("a token of a kind that omni-connector cannot use")
    scope = _scope(profile, said, old)
    expires_at = _expiry(said, fresh, now_ms)
    whose = client_for(profile, old, client)
    foreign = whose.id not in (profile.client_id, profile.dynamic) or bool(whose.secret)
    extra = dict(old.extra) if old is not None else {}
    arn = said.get("profile_arn")
    if isinstance(arn, str) and _CODE.match(arn):
        extra["profile_arn"] = arn
    return Tokens(
        access_token=fresh,
        refresh_token=_token(said.get("refresh_token"), "refresh token") or (old.refresh_token if old else ""),
        expires_at=expires_at,
        id_token=text_of(said, "id_token") or (old.id_token if old else ""),
        scope=scope,
        client_id=whose.id if foreign else "",
        client_secret=whose.secret,
        refreshed_at=now_ms,
        not_before=_not_before(said, expires_at),
        extra=extra,
    )


def _scope(profile: SignIn, said: Json, old: Tokens | None) -> str:
    """Left out, it is what was asked for (RFC 6749 §5.1). Where the client registers itself, less than asked for is useless."""
    told = said.get("scope")
    if isinstance(told, list):
        told = " ".join(part for part in told if isinstance(part, str))
    if not isinstance(told, str) or not _SCOPE.match(told):
        return old.scope if old is not None else " ".join(profile.scopes)
    missing = set(profile.scopes) - IDENTITY_SCOPES - set(told.split())
    if profile.dynamic and missing:
        raise OAuthError(
            Kind.BAD_REQUEST if old is None else Kind.ACCOUNT_REJECTED,
            f"The provider did not grant {', '.join(sorted(missing))}; sign in again and allow it.",
            code="invalid_scope",
            terminal=True,
        )
    return told


def _expiry(said: Json, access: str, now_ms: int) -> int | None:
    """In the future by our clock, else it would be renewed again and again. None: never, or nobody knows."""
    seconds = _number(said.get("expires_in"))
    if seconds is not None:
        return now_ms + int(min(seconds, _LONGEST_LIFE_S) * 1000) if seconds > 0 else None
    claims = jwt_claims(access)
    begun, end = moment(claims.get("iat")), moment(claims.get("exp"))
    if end is None or (begun or 0) <= now_ms < end:
        return end
    # It was made just now, so our clock is wrong: how long it holds is right all the same.
    return now_ms + end - begun if begun is not None and begun < end else None


def _not_before(said: Json, expires_at: int | None) -> int:
    """Never later than the token's end, else it could not be refreshed at all."""
    earliest = moment(said.get("earliest_refresh_at")) or 0
    return min(earliest, expires_at) if expires_at is not None else earliest


def jwt_claims(token: str) -> Json:
    """What a JWT says, unverified: good for its times, never for who somebody is. {} when it is none."""
    if token.count(".") != 2 or len(token) > LONGEST_TOKEN:
        return {}
    from jose import JWTError, jwt  # here, because it imports all of cryptography

    try:
        return dict(jwt.get_unverified_claims(token))
    except (JWTError, ValueError, RecursionError):
        return {}


def _token(value: Any, name: str, *, required: bool = False) -> str:
    if value is None or value == "":
        if required:
            raise _unusable(f"an empty {name}")
        return ""
    if not isinstance(value, str) or len(value) > LONGEST_TOKEN or not _TOKEN.match(value):
        raise _unusable(f"an unreadable {name}")
    return value


def _unusable(what: str) -> OAuthError:
    return OAuthError(Kind.UPSTREAM_FAILED, f"The provider answered the sign-in with {what}.")


# ---------------------------------------------------------------- Refusals


def refusal(profile: SignIn, status: int, said: Json, headers: Mapping[str, str], old: Tokens | None, hide: Sequence[str]) -> OAuthError:
    code, words = _error_code(said), _words(said, old, hide)
    why = f"status {status}" + (f", {code}" if code else "") + (f": {words}" if words else "")
    if code in PENDING:
        slow = code == "slow_down"
        return OAuthError(Kind.ACCOUNT_REJECTED, "The code was not typed yet.", code=code, pending=True, slow_down=slow)
    if status == 429:
        wait = stated_wait(headers, "")
        text = "The provider limits how often it may be asked for tokens"
        return OAuthError(Kind.ACCOUNT_RATE_LIMITED, f"{text} ({why}).", None, code, wait, status, stated=wait is not None)
    if status >= 500 or 300 <= status < 400 or status == 408:
        return OAuthError(Kind.UPSTREAM_FAILED, f"The provider could not answer the sign-in ({why}).", None, code, upstream_status=status)
    if 200 <= status < 300 and not code:
        return _unusable("something that is no token")
    dead = status == 401 or code in profile.dead or str(status) in profile.dead
    fix = FIXES.get(code, "sign in again" if dead or old is None else "it is tried again later")
    kind = Kind.BAD_REQUEST if old is None else Kind.ACCOUNT_REJECTED if dead else Kind.UPSTREAM_FAILED
    return OAuthError(
        kind, f"The provider refused the sign-in ({why}): {fix}.", None, code, upstream_status=status, terminal=dead or old is None
    )


def _error_code(said: Json) -> str:
    """The standard's `error`; OpenAI's error.code, error.type; AWS's __type, whose names become the standard's ones."""
    error = said.get("error")
    inner = error if isinstance(error, dict) else {}
    for value in (
        inner.get("code"),
        inner.get("type"),
        error,
        said.get("__type"),
        said.get("code") if inner or said.get("message") else None,
    ):
        if isinstance(value, str) and value:
            name = value.rsplit("#", 1)[-1].split(":", 1)[0]
            if name.endswith("Exception"):
                name = _CAPITAL.sub("_", name.removesuffix("Exception")).lower()
            return name if ERROR_CODE.match(name) else "refused"
    return "refused" if error else ""


def _words(said: Json, old: Tokens | None, hide: Sequence[str]) -> str:
    error = said.get("error")
    inner = error.get("message") if isinstance(error, dict) else None
    found = next(
        (text for text in (said.get("error_description"), inner, said.get("message"), said.get("detail")) if isinstance(text, str)), ""
    )
    for secret in (*hide, *((old.refresh_token, old.access_token, old.client_secret, old.id_token) if old else ())):
        found = secrets.scrub(found, secret)
    return " ".join(secrets.scrub(found, "").split())[:300]


# ---------------------------------------------------------------- Values


def read_object(body: bytes) -> Json:
    """The answer as a JSON object; {} when it is none, or larger than any such answer is."""
    if len(body) > LONGEST_ANSWER:
        return {}
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def read_answer(body: bytes, flavour: str) -> Json:
    """The same, with the names as the standard writes them."""
    said = read_object(body)
    return {_CAPITAL.sub("_", name).lower(): value for name, value in said.items()} if flavour in CAMEL else said


def text_of(said: Json, name: str) -> str:
    value = said.get(name)
    return value if isinstance(value, str) and len(value) <= LONGEST_TOKEN and _TOKEN.match(value) else ""


def _number(value: Any) -> float | None:
    """A finite number; some providers write it as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str) or (isinstance(value, str) and len(value) > 20):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def bounded(value: Any, least: int, most: int, otherwise: int) -> int:
    number = _number(value)
    return otherwise if number is None else int(min(max(number, least), most))


def moment(value: Any) -> int | None:
    """A Unix time in seconds or milliseconds, or an ISO date → ms."""
    number = _number(value)
    if number is not None:
        at = number if number > _MS_FROM else number * 1000
        return int(at) if 0 < at < 10**14 else None
    if not isinstance(value, str) or len(value) > 40:
        return None
    try:
        date = datetime.fromisoformat(value)
    except ValueError:
        return None
    return int((date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() * 1000)
