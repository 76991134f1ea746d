"""Who signed in: id_tokens verified (OpenID Connect Core §3.1.3.7), discovery, and the few facts about a person that are shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from omni_connector.errors import Kind
from omni_connector.oauth.answers import jwt_claims, read_object
from omni_connector.oauth.shapes import LONGEST_TOKEN, Json, OAuthError
from omni_connector.providers.provider import EMPTY, SignIn
from omni_connector.tokens import Tokens
from omni_connector.wire.retry_after import stated_wait

ALGORITHM = "RS256"
"""The only one accepted: what a token says about its own algorithm is the oldest hole of JWTs."""
LEEWAY_S = 120
"""How far the clocks of two machines may differ ("a few minutes", RFC 7519 §4.1.4)."""
CLOCK = "clock"
"""`OAuthError.code` of an id_token about which only the time is wrong: it may be ours that is."""
MOST_KEYS = 100
OPENAI = "https://api.openai.com/"

PLACES: Mapping[str, tuple[tuple[str, str], ...]] = {
    # what is shown → (name of the object in the claims, "" for the claims themselves; name in it), the first that is there
    "email": (("", "email"), (f"{OPENAI}profile", "email"), ("", "preferred_username")),
    "subject": (("", "sub"), ("", "id"), (f"{OPENAI}auth", "chatgpt_user_id"), (f"{OPENAI}auth", "user_id")),
    "name": (("", "name"), ("", "login"), ("", "given_name")),
    "plan": ((f"{OPENAI}auth", "chatgpt_plan_type"), ("", "plan")),
    "account_id": ((f"{OPENAI}auth", "chatgpt_account_id"),),
}
FOUND: Mapping[str, str] = {
    "authorization_endpoint": "authorization",
    "token_endpoint": "token",
    "jwks_uri": "jwks",
    "revocation_endpoint": "revoke",
    "userinfo_endpoint": "user_info",
    "device_authorization_endpoint": "device",
}
"""Discovery's names → ours."""

_PLAIN = re.compile(r"[\w.@:+/-]{1,200}\Z", re.ASCII)
"""What may stand in a header (`Provider.identity_headers`)."""


# ---------------------------------------------------------------- Discovery and keys


def discovered(
    profile: SignIn, addresses: Mapping[str, str], status: int, body: bytes, headers: Mapping[str, str] = EMPTY
) -> Mapping[str, str]:
    """The addresses with what the issuer publishes about itself (`asking.discovery_request`) where there was none yet: replaced ones
    stay. Raises OAuthError when the document is another issuer's, or names addresses that are not https (a loopback issuer's aside)
    or, for a client that registers itself, not the issuer's own host."""
    _answered(status, headers, "its addresses")
    said = read_object(body)
    issuer = addresses["issuer"].rstrip("/")
    if not isinstance(said.get("issuer"), str) or said["issuer"].rstrip("/") != issuer:
        raise _distrusted("what it publishes about itself (openid-configuration) is not its own")
    found = dict(addresses)
    for theirs, ours in FOUND.items():
        url = said.get(theirs)
        if found.get(ours) or not isinstance(url, str) or len(url) > 2048:
            continue
        if _origin(url) != _origin(issuer) and (profile.dynamic or not url.startswith("https://")):
            raise _distrusted(f"its {theirs} is on another host")
        found[ours] = url
    return MappingProxyType(found)


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


def parse_jwks(status: int, body: bytes, headers: Mapping[str, str] = EMPTY) -> Json:
    """The key set, bounded. Raises OAuthError."""
    _answered(status, headers, "its signing keys")
    keys = read_object(body).get("keys")
    if not isinstance(keys, list):
        raise _distrusted("its signing keys cannot be read")
    return {"keys": [key for key in keys[:MOST_KEYS] if isinstance(key, dict)]}


def _answered(status: int, headers: Mapping[str, str], what: str) -> None:
    """A provider that is down or busy is no impostor, and comes back. Raises OAuthError."""
    if 200 <= status < 300:
        return
    wait = stated_wait(headers, "") if status in (429, 503) else None
    kind = Kind.ACCOUNT_RATE_LIMITED if status == 429 else Kind.UPSTREAM_FAILED
    text = f"The provider could not tell {what} (status {status}). Try again in a while."
    raise OAuthError(kind, text, retry_after=wait, upstream_status=status, stated=wait is not None)


# ---------------------------------------------------------------- id_tokens


def verify_id_token(
    profile: SignIn,
    addresses: Mapping[str, str],
    client_id: str,
    id_token: str,
    jwks: Mapping[str, Any],
    nonce: str,
    now_ms: int,
    *,
    subject: str = "",
) -> Json:
    """The claims of a genuine id_token: RS256 by a key of the issuer; iss, aud (and azp), exp, iat and sub are there and right.

    `nonce`: of the sign-in, "" for a refresh. `subject`: who it was so far; another one is refused. `addresses["issuer"]` is whom we
    trust. Raises OAuthError, code "unknown_key" when the key is not among `jwks` (fetch them anew, once), CLOCK when all is right but
    the time.
    """
    from jose import jws  # here, because it imports all of cryptography
    from jose.exceptions import JOSEError

    key = _key(id_token, jwks)
    try:
        payload = jws.verify(id_token, key, algorithms=[ALGORITHM])
    except (JOSEError, ValueError, TypeError) as error:
        raise _distrusted("the id_token's signature is not its own") from error
    # Checked here and not by jose: against the clock that is passed in, and strictly (it lets claims be missing).
    claims = read_object(payload)
    problem = _claims_problem(claims, addresses.get("issuer") or profile.issuer, client_id, nonce)
    if problem:
        raise _distrusted(f"the id_token {problem}")
    if subject and claims["sub"] != subject:
        raise _distrusted("the id_token is about somebody else than before")
    if problem := _time_problem(claims, now_ms / 1000):
        raise _distrusted(f"the id_token {problem}", CLOCK)
    return claims


def _key(id_token: str, jwks: Mapping[str, Any]) -> Json:
    if len(id_token) > LONGEST_TOKEN:
        raise _distrusted("the id_token is far too long")
    from jose import jws
    from jose.exceptions import JOSEError

    try:
        header = jws.get_unverified_header(id_token)
    except (JOSEError, ValueError) as error:
        raise _distrusted("the id_token is none") from error
    if header.get("alg") != ALGORITHM:
        raise _distrusted(f"the id_token is not signed with {ALGORITHM}")
    usable = [
        key
        for key in jwks.get("keys", ())
        if key.get("kty") == "RSA" and key.get("alg", ALGORITHM) == ALGORITHM and key.get("use") != "enc"
    ]
    kid = header.get("kid")
    fitting = [key for key in usable if key.get("kid") == kid] if kid is not None else usable
    if len(fitting) != 1:
        raise _distrusted("the id_token is signed with a key it does not publish", "unknown_key")
    return dict(fitting[0])


def _claims_problem(claims: Json, issuer: str, client_id: str, nonce: str) -> str:
    audience = claims.get("aud")
    many = audience if isinstance(audience, list) else [audience]
    if not issuer or claims.get("iss") not in (issuer, issuer.rstrip("/"), f"{issuer.rstrip('/')}/"):
        return "comes from another issuer"
    if not client_id or client_id not in many:
        return "was issued to another client"
    if claims.get("azp", client_id) != client_id or (len(many) > 1 and "azp" not in claims):
        return "was issued for another client"
    times = [claims.get("exp"), claims.get("iat"), claims.get("nbf", 0)]
    if not all(isinstance(at, int | float) and not isinstance(at, bool) for at in times):
        return "does not say from when and until when it holds"
    if not isinstance(claims.get("sub"), str) or not claims["sub"]:
        return "does not say who it is about"
    if nonce and claims.get("nonce") != nonce:
        return "belongs to another sign-in"
    return ""


def _time_problem(claims: Json, now: float) -> str:
    if now > claims["exp"] + LEEWAY_S:
        return "is expired; check this machine's clock"
    if max(claims["iat"], claims.get("nbf", 0)) > now + LEEWAY_S:
        return "is from the future; check this machine's clock"
    return ""


def _distrusted(why: str, code: str | None = None) -> OAuthError:
    return OAuthError(Kind.BAD_REQUEST, f"The provider's answer is not trusted: {why}. Begin the sign-in again.", code=code)


# ---------------------------------------------------------------- What is shown


def identity(profile: SignIn, tokens: Tokens, claims: Mapping[str, Any] | None = None, info: Mapping[str, Any] | None = None) -> Json:
    """What is kept in the account's `options.identity`: email, subject, name, plan, account_id, profile_arn, as far as known.

    `claims`: of a verified id_token; `info`: the user-info answer. Without claims, and for a profile without issuer, the tokens' own
    claims are taken: they came from the token address itself over TLS (OpenID Connect Core §3.1.3.7, 6).
    """
    sources: list[Mapping[str, Any]] = [claims] if claims is not None else []
    if claims is None and not profile.issuer:
        sources += [jwt_claims(tokens.id_token), jwt_claims(tokens.access_token)]
    sources += [info] if info is not None else []
    found: Json = {}
    for name, places in PLACES.items():
        value = next((text for source in sources for place in places if (text := _at(source, place))), "")
        if value and (name != "account_id" or _PLAIN.match(value)):
            found[name] = value
    arn = tokens.extra.get("profile_arn")
    if isinstance(arn, str) and _PLAIN.match(arn):
        found["profile_arn"] = arn
    return found


def _at(source: Mapping[str, Any], place: tuple[str, str]) -> str:
    holder = source.get(place[0]) if place[0] else source
    if not isinstance(holder, Mapping) or (place[1] == "email" and holder.get("email_verified") is False):
        return ""
    value = holder.get(place[1])
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value) if abs(value) < 10**20 else ""
    return value.strip() if isinstance(value, str) and value.isprintable() and len(value) <= 200 else ""
