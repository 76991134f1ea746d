"""The files in which programs keep their sign-ins: Codex, Gemini CLI, Kimi, Kiro, and those whose sign-in is not taken (Claude Code,
Qwen). Field names by reference "Upstream protocol facts", §4, §6A, §7, §9, §10b and §13; of Kimi's file by what others read there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omni_connector.errors import GatewayError
from omni_connector.oauth.answers import jwt_claims, moment
from omni_connector.providers import kiro_login
from omni_connector.transfer.shapes import Draft, Entry, Json, Problem, identity, key, label, mapping, options, text, tokens

CLAUDE = (
    "Claude's subscription sign-ins belong to Claude Code alone and are not taken over. Connect the installed Claude Code instead: "
    "omni-connector backend add claude-code"
)
QWEN = (
    "Qwen's sign-in was switched off by its provider on 2026-04-15. Use a key of Alibaba Model Studio: omni-connector backend add qwen "
    "--key-env DASHSCOPE_API_KEY"
)
ANTIGRAVITY_SCOPES = ("/auth/cclog", "/auth/experimentsandconfigs")
"""What a sign-in of Antigravity may do and one of Gemini CLI may not: their files are the same otherwise."""
OPENAI_CLAIMS = "https://api.openai.com/auth"
OPENAI_PROFILE = "https://api.openai.com/profile"


def codex(said: Mapping[str, Any], where: str) -> list[Entry]:
    """`auth.json`: a ChatGPT sign-in, an API key of OpenAI, or both."""
    found: list[Entry] = []
    if plain := key(said, "OPENAI_API_KEY"):
        found.append(Draft("openai", secret=plain, where=where))
    kept = mapping(said.get("tokens"))
    if got := tokens(kept, _jwt_end(kept)):
        facts = openai_identity(kept)
        found.append(Draft("codex", label(facts.get("email")), "oauth", tokens=got, fields=options(identity=facts), where=where))
    return found or [Problem(where, "Codex is not signed in there, or keeps its sign-in in the system's keyring.", provider="codex")]


def openai_identity(said: Mapping[str, Any]) -> Json:
    """Who an OpenAI sign-in belongs to, by its own file and id_token: not verified, since the file is the user's own."""
    claims = jwt_claims(text(said, "id_token", most=65_536))
    auth, profile = mapping(claims.get(OPENAI_CLAIMS)), mapping(claims.get(OPENAI_PROFILE))
    facts = {
        "email": text(said, "email") or text(claims, "email") or text(profile, "email"),
        "subject": text(claims, "sub"),
        "plan": text(auth, "chatgpt_plan_type"),
        "account_id": text(said, "account_id") or text(auth, "chatgpt_account_id"),
    }
    return {name: value for name, value in facts.items() if value and value.isascii()}


def _jwt_end(said: Mapping[str, Any]) -> Any:
    return jwt_claims(text(said, "access_token", most=65_536)).get("exp")


def google(said: Mapping[str, Any], where: str, provider: str = "") -> Entry:
    """`oauth_creds.json` of Gemini CLI or Antigravity (expiry_date in ms), or a credentials file of Google's libraries. `provider`: whose
    it is, where that is known; else its scopes tell. (C-63, C-64)"""
    ends = next((said[name] for name in ("expiry_date", "expiry", "expires_at") if said.get(name)), None)
    got = tokens(said, ends)
    scope = "" if got is None else got.scope
    named = provider or ("antigravity" if any(mark in scope for mark in ANTIGRAVITY_SCOPES) else "gemini-cli")
    if got is None or not got.refresh_token:
        return Problem(where, "It holds no refresh token, so it would end within the hour. Sign in there again.", provider=named)
    claims = jwt_claims(got.id_token)
    facts = {**identity({"email": claims.get("email"), "subject": claims.get("sub")}), **identity({"email": said.get("email")})}
    kept = options(identity=facts, project=text(said, "project_id", "project"))
    return Draft(named, label(facts.get("email")), "oauth", tokens=got, fields=kept, where=where)


def kimi(said: Mapping[str, Any], where: str) -> Entry:
    """`kimi-code.json`: access_token, refresh_token, expires_at in seconds."""
    got = tokens(said, said.get("expires_at") or said.get("expired"))
    if got is None:
        return Problem(where, "It holds no sign-in.", provider="kimi-code")
    facts = identity({"email": said.get("email"), "subject": jwt_claims(got.access_token).get("sub")})
    kept = options(identity=facts, device_id=text(said, "device_id"))
    return Draft("kimi-code", label(facts.get("email")), "oauth", tokens=got, fields=kept, where=where)


def kiro(said: Mapping[str, Any], where: str, registration: Json | None = None) -> Entry:
    """`kiro-auth-token.json`, and the client registration beside it for AWS SSO. (P-22)"""
    own = registration if registration is not None else said if said.get("clientId") else None
    try:
        got, found = kiro_login.read_login(dict(said), None if own is None else dict(own))
    except GatewayError as error:
        return Problem(where, error.message, provider="kiro")
    claims = jwt_claims(got.access_token)
    facts = identity({"email": claims.get("email") or claims.get("preferred_username"), "subject": claims.get("sub")})
    facts |= identity({"email": said.get("email")}) | found.pop("identity", {})
    return Draft("kiro", label(facts.get("email")), "oauth", tokens=got, fields=options(identity=facts, **found), where=where)


def ends(said: Mapping[str, Any]) -> Any:
    """When an access token ends, in any of the ways that other gateways write it; seconds from a `timestamp` included."""
    for name in ("expires_at", "expired", "expiry_date", "expiry", "expiresAt"):
        if moment(said.get(name)) is not None:
            return said[name]
    span, at = said.get("expires_in"), moment(said.get("timestamp"))
    if isinstance(span, int | float) and not isinstance(span, bool) and 0 < span < 10**9 and at is not None:
        return at + int(span * 1000)
    return None
