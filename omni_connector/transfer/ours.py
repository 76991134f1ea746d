"""Our own format, and OneProxy's list as we write it.

{"format": "omni-connector", "version": 1, "exported_at": ms, "secrets": bool, "warning": "", "accounts": […], "aliases": {name: […]},
 "chains": {name: [[…]]}, "settings": {name: text},
 "prices": [{"pattern", "account": label or null, "provider" or null, the rates as text, "subscription"}],
 "limits": [{"scope", "subject", "budget", "rpm", "tpm", "max_in_flight"}]}

An account is the account body of the admin API (CONTRACT §5) with "auth"; its credential is `api_key`, or `tokens` for a sign-in;
a command's stands in `options.command.set`. Without secrets these, `headers` and `proxy_url` are left out (of `set` the names stay).
A reader ignores fields that it does not know.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from omni_connector import providers
from omni_connector import tokens as token_values
from omni_connector.providers import command_values
from omni_connector.snapshot import Account, Limit, PriceOverride
from omni_connector.transfer.shapes import Draft, Entry, Imported, Json, Problem, label, mapping, text, tokens

FORMAT = "omni-connector"
VERSION = 1
WARNING = "This file holds working credentials in plain text. Whoever has it can use your accounts."
PLAIN = (
    "base_url", "models", "prefix", "model_map", "enabled", "priority", "weight", "max_in_flight", "rpm", "tpm", "budget", "options",
)  # fmt: skip
"""Fields of the account body that hold nothing secret, once `options.command.set` is masked."""
SECRET = ("headers", "proxy_url")
RATES = ("input", "output", "cache_read", "cache_write", "per_request")
LIMIT = ("scope", "subject", "budget", "rpm", "tpm", "max_in_flight")
TOKEN_FIELDS = ("refreshed_at", "not_before")
AUTHS = ("api_key", "oauth", "cli", "none")


# ---------------------------------------------------------------- Writing


def document(
    accounts: Iterable[Account],
    now: int,
    *,
    secrets: bool,
    aliases: Mapping[str, Iterable[str]] | None = None,
    chains: Mapping[str, Iterable[Iterable[str]]] | None = None,
    settings: Mapping[str, str] | None = None,
    prices: Iterable[PriceOverride] | None = None,
    limits: Iterable[Limit] | None = None,
) -> Json:
    """The document that `read` understands. None: that part is left out. Of prices, those of accounts that are not in it are."""
    accounts = list(accounts)
    labels = {account.id: account.label for account in accounts}
    parts = {"aliases": aliases, "chains": chains, "settings": settings}
    rows = {
        "prices": None if prices is None else [said for entry in prices if (said := _price(entry, labels)) is not None],
        "limits": None if limits is None else [{name: getattr(entry, name) for name in LIMIT} for entry in limits],
    }
    return {
        "format": FORMAT,
        "version": VERSION,
        "exported_at": now,
        "secrets": secrets,
        **({"warning": WARNING} if secrets else {}),
        "accounts": [_account(account, secrets) for account in accounts],
        **{name: msgspec.to_builtins(dict(part)) for name, part in parts.items() if part is not None},
        **{name: part for name, part in rows.items() if part},
    }


def _price(entry: PriceOverride, labels: Mapping[str, str]) -> Json | None:
    """By the account's label: ids are of one installation only. None for an account that is not in the file."""
    kind, _, name = entry.scope.partition(":")
    if kind == "account" and name not in labels:
        return None
    rates = {rate: f"{value:f}" for rate in RATES if (value := getattr(entry, rate)) is not None}
    whose = {"account": labels[name]} if kind == "account" else {"provider": name} if kind == "provider" else {}
    return {"pattern": entry.pattern, **whose, **rates, **({"subscription": True} if entry.subscription else {})}


def _account(account: Account, secrets: bool) -> Json:
    said: Json = {"provider": account.provider, "label": account.label, "auth": account.auth}
    said |= {name: msgspec.to_builtins(getattr(account, name)) for name in PLAIN}
    if account.auth == "cli":
        # The values of its environment stand where they are given.
        said["options"] = command_values.filled(account) if secrets else command_values.shown(account.options)
    if not secrets:
        return said | ({"key_hint": account.key_hint} if account.key_hint else {})
    said |= {name: value for name in SECRET if (value := msgspec.to_builtins(getattr(account, name)))}
    kept = token_values.decode(account.secret) if account.auth == "oauth" else None
    if kept is not None:
        return said | {"tokens": msgspec.to_builtins(kept)}
    return said | ({"api_key": account.secret} if account.secret and account.auth != "cli" else {})


def listed(accounts: Iterable[Account]) -> list[Json]:
    """OneProxy's list (P-28). What it has no word for (addresses, models, options) is left out, and whole accounts that are nothing
    without it: commands, keyless servers, custom providers."""
    return [entry for account in accounts if (entry := _listed(account)) is not None]


def _listed(account: Account) -> Json | None:
    kept = token_values.decode(account.secret) if account.auth == "oauth" else None
    row = providers.PROVIDERS.get(account.provider)
    if not account.secret or account.auth == "cli" or (account.auth == "oauth" and kept is None) or row is None or row.custom:
        return None
    person = mapping(account.options.get("identity"))
    token: Json = {"access_token": account.secret, "refresh_token": "", "expires_at": None}
    if kept is not None:
        token = {"access_token": kept.access_token, "refresh_token": kept.refresh_token, "expires_at": _date(kept.expires_at)}
    return {
        "provider": "gemini" if account.provider == "gemini-cli" else account.provider,
        "email": text(person, "email") or account.label,
        "enabled": account.enabled,
        "token": token,
    }


def _date(at: int | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# ---------------------------------------------------------------- Reading


def read(said: Json) -> Imported:
    """A document of ours, whatever its version says: what is not known is left out. `accounts` may be anything."""
    rows = said.get("accounts")
    entries = [account(row, f"account {number}") for number, row in enumerate(rows, 1)] if isinstance(rows, list) else []
    parts = {name: mapping(said.get(name)) for name in ("aliases", "chains", "settings")}
    return Imported(
        "omni",
        tuple(entry for entry in entries if isinstance(entry, Draft)),
        tuple(entry for entry in entries if isinstance(entry, Problem)),
        **parts,
        prices=_listed_rows(said.get("prices"), "pattern"),
        limits=_listed_rows(said.get("limits"), "scope"),
    )


def _listed_rows(value: Any, needed: str) -> tuple[Json, ...]:
    """Rows that say at least what they are about; the rest is checked where it is taken over."""
    return tuple(row for row in value if isinstance(row, dict) and isinstance(row.get(needed), str)) if isinstance(value, list) else ()


def account(said: Any, where: str) -> Entry:
    """One account; its fields are checked where it becomes one."""
    if not isinstance(said, dict) or not text(said, "provider"):
        return Problem(where, "It names no provider.")
    provider, called = text(said, "provider"), label(said.get("label"))
    auth = text(said, "auth")
    auth = auth if auth in AUTHS else "api_key"
    fields = {name: said[name] for name in (*PLAIN, *SECRET) if said.get(name) is not None}
    if not isinstance(fields.get("options", {}), dict):
        return Problem(where, "Its options are no object.", called, provider)
    secret = said.get("api_key") if isinstance(said.get("api_key"), str) and auth == "api_key" else ""
    kept = _tokens(mapping(said.get("tokens"))) if auth == "oauth" else None
    return Draft(provider, called, auth, secret or "", kept, fields, where, whole=True)


def _tokens(said: Json) -> token_values.Tokens | None:
    numbers = {name: said[name] for name in TOKEN_FIELDS if type(said.get(name)) is int and 0 <= said[name] < 10**14}
    return tokens(said, said.get("expires_at"), extra=mapping(said.get("extra")), **numbers)
