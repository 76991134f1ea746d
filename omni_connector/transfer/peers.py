"""Accounts in the formats of other gateways, one entry at a time: OneProxy's list (P-28), the files in CLIProxyAPI's token folder (P-38),
one-api's channels, and AIClient-2-API's provider_pools.json (C-65)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from omni_connector import providers
from omni_connector.oauth.answers import jwt_claims
from omni_connector.transfer import programs
from omni_connector.transfer.shapes import Draft, Entry, Json, Problem, identity, key, label, mapping, options, text, tokens

SIGNED: Mapping[str, str] = {
    **dict.fromkeys(("gemini", "gemini-cli", "google", "vertex-gemini"), "gemini-cli"),
    **dict.fromkeys(("codex", "openai", "openai-codex"), "codex"),
    **dict.fromkeys(("antigravity", "gemini-antigravity"), "antigravity"),
    **dict.fromkeys(("kimi", "kimi-code"), "kimi-code"),
    "kiro": "kiro",
}
"""A provider's name elsewhere → ours, for an entry with the tokens of a sign-in."""
KEYED: Mapping[str, str] = {"gemini-cli": "gemini", "codex": "openai", "claude": "anthropic", "kimi-code": "kimi-code"}
"""The same for an entry with a key, where it is another than `providers.canonical` says."""
REFUSED: Mapping[str, str] = {"claude": programs.CLAUDE, "anthropic": programs.CLAUDE, "qwen": programs.QWEN}
"""Whose sign-ins are not taken, and why."""


def signed_in(name: str, said: Mapping[str, Any], where: str, called: str) -> Entry:
    """An entry with tokens under OAuth's own names. `called`: its label."""
    if name in REFUSED:
        return Problem(where, REFUSED[name], called, name)
    provider = SIGNED.get(name)
    if provider is None:
        return Problem(where, f"There is no sign-in at {name!r} here.", called, name)
    if provider == "kiro":
        return _kiro(said, where)
    got = tokens(said, programs.ends(said) or jwt_claims(text(said, "access_token", most=65_536)).get("exp"))
    if got is None:
        return Problem(where, "It holds no token that could be used.", called, provider)
    facts = programs.openai_identity(said) if provider == "codex" else identity(said)
    kept = options(identity=facts, project=text(said, "project_id"), device_id=text(said, "device_id"))
    return Draft(provider, called or label(facts.get("email")), "oauth", tokens=got, fields=kept, where=where)


def _kiro(said: Mapping[str, Any], where: str) -> Entry:
    """Kiro's own names are in camel case; the gateways write some of them as the standard does."""
    names = {"accessToken": "access_token", "refreshToken": "refresh_token", "profileArn": "profile_arn", "authMethod": "auth_method"}
    own = {name: said.get(name) or said.get(other) for name, other in names.items()}
    own |= {name: said[name] for name in ("region", "clientId", "clientSecret", "email") if said.get(name)}
    return programs.kiro({**own, "expiresAt": said.get("expires_at") or said.get("expiresAt")}, where)


def keyed(name: str, secret: str, where: str, called: str) -> Entry:
    if not secret:
        return Problem(where, "It holds no key and no sign-in.", called, name)
    return Draft(KEYED.get(name, name), called, secret=secret, where=where)


# ---------------------------------------------------------------- OneProxy


def oneproxy(said: Mapping[str, Any], where: str) -> Entry:
    """{provider, email, enabled, token {access_token, refresh_token, expires_at}}; an account with a key has it as access_token or
    api_key."""
    name, token = text(said, "provider").lower(), mapping(said.get("token"))
    called = label(said.get("email")) or label(said.get("name"))
    plain = key(said, "api_key", "key") or key(token, "api_key")
    access = text(token, "access_token", most=65_536)
    if not plain and not token.get("refresh_token") and (name not in SIGNED or access.startswith(("sk-", "AIza", "ksk_"))):
        plain = key(token, "access_token")
    found = keyed(name, plain, where, called) if plain else signed_in(name, {**token, "email": said.get("email")}, where, called)
    return _with(found, enabled=said.get("enabled") is not False, prefix=text(said, "prefix"))


# ---------------------------------------------------------------- CLIProxyAPI


def cli_proxy(said: Mapping[str, Any], where: str) -> Entry:
    """A file of its token folder: `type` names the provider, the tokens stand beside it or (Gemini) in `token`."""
    name = text(said, "type").lower()
    called = label(said.get("email")) or label(said.get("label"))
    inner = mapping(said.get("token"))
    found = (
        keyed(name, plain, where, called)
        if (plain := key(said, "api_key")) and not said.get("refresh_token")
        else signed_in(name, {**inner, **{field: value for field, value in said.items() if field != "token"}}, where, called)
    )
    return _with(found, enabled=said.get("disabled") is not True, prefix=text(said, "prefix"), proxy_url=text(said, "proxy_url", most=2048))


def _with(entry: Entry, **fields: Any) -> Entry:
    if isinstance(entry, Draft):
        entry.fields.update({name: value for name, value in fields.items() if value not in ("", True)})
    return entry


# ---------------------------------------------------------------- one-api

CHANNELS: Mapping[int, tuple[str, str]] = {
    # its number for a kind of channel → provider here, and the region that its address means
    1: ("openai", ""),
    14: ("anthropic", ""),
    16: ("glm", "bigmodel"),
    17: ("qwen", "china"),
    20: ("openrouter", ""),
    24: ("gemini", ""),
    25: ("kimi", "china"),
    27: ("minimax", "china"),
    28: ("mistral", ""),
    29: ("groq", ""),
    30: ("ollama", ""),
}
"""Only up to 32: above that one-api and the programs made of it count differently, so an address has to tell."""
DEFAULT_HOSTS: Mapping[int, str] = {
    2: "https://oa.api2d.net",
    4: "https://api.closeai-proxy.xyz",
    5: "https://api.openai-sb.com",
    6: "https://api.openaimax.com",
    7: "https://api.ohmygpt.com",
    9: "https://api.caipacity.com",
    10: "https://api.aiproxy.io",
    12: "https://api.api2gpt.com",
    13: "https://api.aigc2d.com",
    31: "https://api.lingyiwanwu.com",
    32: "https://api.stepfun.com",
}
"""Services that speak OpenAI's API, where the channel names no address of its own."""
OTHER_FORMATS = frozenset({3, 11, 15, 18, 19, 21, 22, 23, 26, 33, 34})
"""Channels with an API of their own (Azure, Baidu, Xunfei, AWS …)."""
ENABLED = 1
MOST_KEYS = 1000
"""Of one channel."""


def one_api(said: Mapping[str, Any], where: str) -> list[Entry]:
    """A channel; one account for each of its keys, which stand in lines."""
    called, kind = label(said.get("name")), said.get("type")
    address = text(said, "base_url", most=2048)
    secrets = [line.strip() for line in str(said.get("key") or "")[: 1 << 20].splitlines() if line.strip()][:MOST_KEYS]
    number = kind if isinstance(kind, int) and not isinstance(kind, bool) else -1
    provider, region = _channel(number, address)
    if not provider:
        named = "its API is not known here" if number in OTHER_FORMATS else "it names no address that is known here"
        return [Problem(where, f"A channel of type {number}: {named}. Add it by hand.", called)]
    if not secrets and provider != "ollama":
        return [Problem(where, "It has no key: one-api leaves keys out of what it lists. Take them from its database.", called, provider)]
    fields = _channel_fields(said, provider, region, address or DEFAULT_HOSTS.get(number, ""))
    found: list[Entry] = []
    for secret in secrets or [""]:
        if not key({"key": secret}, "key") and secret:
            found.append(Problem(where, "Its key holds blanks or strange characters.", called, provider))
        else:
            auth = "api_key" if secret else "none"
            found.append(Draft(provider, called, auth, secret, fields=dict(fields), where=where))
    return found


def _channel(number: int, address: str) -> tuple[str, str]:
    """Provider and region, ("", "") when nothing tells; an address that is a provider's own tells most."""
    if found := by_host(address):
        return found
    if number in CHANNELS:
        return CHANNELS[number]
    speaks_openai = number == 8 or number in DEFAULT_HOSTS or number > 32
    return ("custom-openai", "") if speaks_openai and number not in OTHER_FORMATS and (address or number in DEFAULT_HOSTS) else ("", "")


def by_host(address: str) -> tuple[str, str] | None:
    """The provider whose own host this is, and which of its regions."""
    host = _host(address)
    for row in providers.PROVIDERS.values() if host else ():
        if row.sign_in is not None and not row.env:
            continue  # a host that a sign-in shares with the keys of another row
        for region, url in (row.regions or {"": row.base_url}).items():
            if _host(url) == host:
                return row.id, region
    return None


def _host(url: str) -> str:
    try:
        return urlsplit(url).netloc.lower()
    except ValueError:
        return ""


def _channel_fields(said: Mapping[str, Any], provider: str, region: str, address: str) -> Json:
    own = by_host(address) is not None
    fields: Json = {"base_url": address} if address and not own else {}
    if region and not fields:
        fields |= options(region=region)
    models = said.get("models")
    if isinstance(models, str) and models.strip():
        fields["models"] = [name.strip() for name in models[: 1 << 18].split(",") if name.strip()]
    if renamed := _renamed(said.get("model_mapping")):
        fields["model_map"] = renamed
    if said.get("status") not in (ENABLED, None):
        fields["enabled"] = False
    if isinstance(said.get("priority"), int) and abs(said["priority"]) <= 1000:
        fields["priority"] = int(said["priority"])
    if isinstance(said.get("weight"), int) and 1 <= said["weight"] <= 1000:
        fields["weight"] = int(said["weight"])
    return fields


def _renamed(value: Any) -> dict[str, str]:
    """`model_mapping`: a JSON object in a text."""
    try:
        said = json.loads(value) if isinstance(value, str) and len(value) < 1 << 18 else value
    except (ValueError, RecursionError):
        return {}
    return {name: target for name, target in mapping(said).items() if isinstance(target, str) and name.strip() and target.strip()}


# ---------------------------------------------------------------- AIClient-2-API

POOLS: Mapping[str, str] = {
    "openai-custom": "custom-openai",
    "openairesponses-custom": "custom-responses",
    "claude-custom": "custom-anthropic",
    "gemini-custom": "custom-gemini",
    "openai-novita": "custom-openai",
}
"""Its name for a kind of provider → ours, where the entries hold keys."""
PLAIN: Mapping[str, tuple[str, str]] = {
    "api.openai.com": ("custom-openai", "openai"),
    "api.anthropic.com": ("custom-anthropic", "anthropic"),
    "generativelanguage.googleapis.com": ("custom-gemini", "gemini"),
}
"""A vendor's own host → the custom kind that names it there, and the vendor's row here."""


def pool(kind: str, said: Mapping[str, Any], where: str) -> Entry:
    """One entry of provider_pools.json. Its names begin with the kind in capitals (OPENAI_API_KEY); what is in a file of its own has to
    be imported from there, since no path is followed."""
    called = label(said.get("customName")) or label(said.get("uuid"))
    for name, value in said.items():
        if name.endswith(("_CREDS_FILE_PATH", "_TOKEN_FILE_PATH")) and isinstance(value, str):
            shown = text(said, name) or "?"
            return Problem(where, f"Its sign-in is in another file ({shown}). No path is followed: import that file itself.", called, kind)
    secret = next((key(said, name) for name in said if name.endswith("_API_KEY")), "")
    address = next((text(said, name, most=2048) for name in said if name.endswith("_BASE_URL")), "")
    if not secret:
        return Problem(where, "It holds no key.", called, kind)
    provider = POOLS.get(kind.lower(), providers.canonical(kind)[0])
    own = next((row for host, (custom, row) in PLAIN.items() if custom == provider and _host(address) in ("", host)), "")
    fields: Json = {} if own or not address else {"base_url": address}
    if said.get("isDisabled") is True:
        fields["enabled"] = False
    note = "The list of models that it does not support is not taken over." if said.get("notSupportedModels") else ""
    return Draft(own or provider, called, secret=secret, fields=fields, where=where, note=note)
