"""From a checked body to an account: the rules that hold between fields and the provider's row. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import UNSET

from omni_connector import providers
from omni_connector.admin import bodies
from omni_connector.errors import GatewayError, bad_request
from omni_connector.providers import WIRES, Provider, aliyun_ocr, command_values, sign_ins
from omni_connector.secrets import key_hint, new_id
from omni_connector.snapshot import EMPTY, Account, ProviderSettings

Json = dict[str, Any]
USAGE_KEY = "usage_key"


def provider_of(provider_id: str) -> Provider:
    try:
        return providers.get(provider_id)
    except GatewayError as error:
        raise bad_request(f"provider: {error.message}", "provider") from None


def new_account(
    given: bodies.NewAccount,
    label: str,
    now: int,
    shared: Mapping[str, ProviderSettings] = EMPTY,
    known: Mapping[str, str | None] = EMPTY,
) -> Account:
    """A checked body → the account it describes, with a new id. `shared`: what is set for its provider counts for whether it is
    complete, and is no part of it. `known`: what masked values of a command's environment stand for. Raises BAD_REQUEST."""
    provider = provider_of(given.provider)
    # An older name of a provider may mean one of its regions ("bigmodel" is GLM's Chinese host).
    region = providers.canonical(given.provider)[1]
    options = {"region": region, **given.options} if region else given.options
    if given.auth == "oauth":
        how = f"POST /api/oauth/{provider.id}/start, or omni-connector backend login {provider.id}"
        raise bad_request(f"auth: an account of kind 'oauth' is connected by signing in: {how}.", "auth")
    if given.auth == "cli" and not provider.command:
        raise bad_request(f"auth: {provider.label} is no program of this machine, so 'cli' cannot be used here.", "auth")
    secret, hint = _key(given.api_key, provider)
    options = checked_options(options, provider)
    if provider.command:
        options, secret = command_values.put_away(options, known)
    options, usage_key = _usage_key(options, "")
    account = Account(
        id=new_id("acc", now),
        provider=provider.id,
        label=label,
        auth="cli" if provider.command else "none" if not secret and (given.auth == "none" or _keyless(provider)) else "api_key",
        secret=secret,
        base_url=_base_url(given.base_url, provider),
        models=bodies.names(given.models, "models"),
        prefix=bodies.prefix(given.prefix),
        model_map=_model_map(given.model_map),
        enabled=given.enabled,
        priority=bodies.at_least(given.priority, -1000, "priority", 1000) or 0,
        weight=bodies.at_least(given.weight, 1, "weight", 1000) or 1,
        max_in_flight=bodies.at_least(given.max_in_flight, 1, "max_in_flight"),
        rpm=bodies.at_least(given.rpm, 1, "rpm"),
        tpm=bodies.at_least(given.tpm, 1, "tpm"),
        budget=bodies.budget(given.budget),
        headers=bodies.headers(given.headers),
        proxy_url=bodies.proxy_url(given.proxy_url),
        options=options,
        usage_key=usage_key,
        key_hint=hint,
        created_at=now,
        updated_at=now,
    )
    must_be_complete(providers.complete(account, shared), provider)
    return account


def must_be_complete(account: Account, provider: Provider) -> None:
    """Whether the account has what its provider needs to be called at all."""
    if account.auth == "api_key" and not account.secret:
        where = f" Get one at {provider.key_url}." if provider.key_url else ""
        raise bad_request(f"api_key: {provider.label} needs an API key.{where}", "api_key")
    if provider.auth == "signed":
        try:
            aliyun_ocr.access_key(account.secret)
        except GatewayError as error:
            raise bad_request(f"api_key: {error.message}", "api_key") from None
    if provider.command:
        return
    if not account.base_url and not provider.base_url and not (account.options.get("endpoints") or {}).get("inference"):
        raise bad_request(f"base_url: {provider.label} has no address of its own. Give one, such as https://host/v1.", "base_url")


def _key(text: str, provider: Provider) -> tuple[str, str]:
    """(The key, its hint)."""
    secret = bodies.api_key(text)
    if secret and provider.command:
        raise bad_request(f"api_key: {provider.label} keeps its own sign-in and gets no key.", "api_key")
    return secret, key_hint(secret) if secret else ""


def _keyless(provider: Provider) -> bool:
    """Own servers often want no key; whether a custom one does, only its owner knows."""
    return provider.auth == "none" or provider.local or provider.custom


def _base_url(text: str, provider: Provider) -> str:
    return providers.normalise_base_url(text, provider) if text.strip() else ""


def _model_map(values: Mapping[str, str] | None) -> dict[str, str]:
    pairs = values or {}
    bodies.names([*pairs, *pairs.values()], "model_map")
    return {name.strip(): target.strip() for name, target in pairs.items()}


def checked_options(options: Json, provider: Provider) -> Json:
    """The options with a fixed vocabulary are checked; others ride along for the connector that reads them."""
    spoken = WIRES if provider.custom else (provider.wire, *provider.faces)
    choices = {"region": tuple(provider.regions), "wire": tuple(dict.fromkeys(spoken))}
    for name, allowed in choices.items():
        value = options.get(name)
        if value is not None and value not in allowed:
            known = f"one of {', '.join(allowed)}" if allowed else f"{provider.label} has none"
            raise bad_request(f"options.{name}: {known}, not {value!r}.", f"options.{name}")
    if provider.command:
        providers.commands.template(provider.id, options)
    if options.get("oauth") is not None:
        sign_ins.sign_in_of(provider, options)
    endpoints = options.get("endpoints") or {}
    if not isinstance(endpoints, dict):
        raise bad_request("options.endpoints: an object of name and URL.", "options.endpoints")
    for name, url in endpoints.items():
        providers.check_url(str(url), f"options.endpoints.{name}")
    return options


def changed_fields(patch: bodies.AccountPatch, provider: Provider) -> Json:
    """The fields of Account a patch sets, checked. `null` stands for the empty value."""
    changes: Json = {}
    checks: dict[str, Callable[[Any], object]] = {
        "label": bodies.label,
        "base_url": lambda v: _base_url(v or "", provider),
        "models": lambda v: bodies.names(v, "models"),
        "prefix": lambda v: bodies.prefix(v or ""),
        "model_map": _model_map,
        "enabled": bool,
        "priority": lambda v: bodies.at_least(v, -1000, "priority", 1000),
        "weight": lambda v: bodies.at_least(v, 1, "weight", 1000),
        "max_in_flight": lambda v: bodies.at_least(v, 1, "max_in_flight"),
        "rpm": lambda v: bodies.at_least(v, 1, "rpm"),
        "tpm": lambda v: bodies.at_least(v, 1, "tpm"),
        "budget": bodies.budget,
        "balance": bodies.balance,
        "headers": bodies.headers,
        "proxy_url": bodies.proxy_url,
        "options": lambda v: checked_options(v or {}, provider),
    }
    for name, checked in checks.items():
        value = getattr(patch, name)
        if value is not UNSET:
            changes[name] = checked(value)
    if patch.api_key is not UNSET:
        secret, hint = _key(patch.api_key, provider)
        if not provider.command:
            changes |= {"secret": secret, "key_hint": hint, "auth": "none" if not secret and _keyless(provider) else "api_key"}
    return changes


def moved_values(account: Account, changes: Json) -> Json:
    """What else changes when an account is edited: a second key leaves the options; the values of a command's environment stand in its
    credential, also those that an older row has in its options. Raises BAD_REQUEST."""
    own = account.own or account
    if own.auth != "cli":
        if "options" not in changes:
            return {}
        options, usage_key = _usage_key(changes["options"], own.usage_key)
        return {"options": options, "usage_key": usage_key}
    options, secret = command_values.put_away(changes.get("options", own.options), command_values.known(own))
    return {name: value for name, value in (("options", options), ("secret", secret)) if name in changes or value != getattr(own, name)}


def _usage_key(options: Json, known: str) -> tuple[Json, str]:
    """(The options without `usage_key`, that key): it is kept encrypted and never shown. Masked it stays as it is known, left out it is
    gone. Raises BAD_REQUEST."""
    rest = {name: value for name, value in options.items() if name != USAGE_KEY}
    given = options.get(USAGE_KEY)
    if given is None or given == "":
        return rest, ""
    field = f"options.{USAGE_KEY}"
    if not isinstance(given, str):
        raise bad_request(f"{field}: a key as text.", field)
    if given == command_values.MASK:
        if not known:
            raise bad_request(f"{field}: give its value; {command_values.MASK} keeps one, and there is none.", field)
        return rest, known
    return rest, bodies.api_key(given)


def changed_settings(patch: bodies.ProviderPatch, provider: Provider) -> Json:
    """The fields of ProviderSettings a patch sets, checked. `null` stands for the empty value."""
    checks: dict[str, Callable[[Any], object]] = {
        "enabled": bool,
        "base_url": lambda v: _base_url(v or "", provider),
        "model_map": _model_map,
        "name": lambda v: bodies.shown_name(v or ""),
    }
    return {name: checked(value) for name, checked in checks.items() if (value := getattr(patch, name)) is not UNSET}


def key_warning(provider: Provider, secret: str) -> str | None:
    """What looks wrong with a key. Never a refusal: providers change their keys' shapes without asking us."""
    if not secret or provider.command:
        return None
    if secret.startswith(("omni-", "omniadm-")):
        return "This is a key of omni-connector itself, not one of the provider."
    if re.match(r"(?i)bearer\s|['\"]|export\s|\w+=", secret) or re.search(r"\s", secret):
        return "The key holds more than a key (quotes, 'Bearer', a variable name or a space). Paste only the key."
    start, dots, _ = provider.key_hint.partition("…")
    if start and dots and not secret.startswith(start):
        return f"Keys of {provider.label} usually begin with {start!r}; this one does not."
    return None
