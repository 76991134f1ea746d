"""Providers: whom we talk to, as data. The registry, and what an account takes over from its row.

PROVIDERS, get(id), complete(account)            the rows; a row's facts written into an account
endpoint, request_headers, normalise_base_url    where a request goes and what its headers say (addresses.py)
models_request, parse_models, balance_request, parse_balance     the free questions (listing.py)
demo                                             the built-in provider that needs no network
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from difflib import get_close_matches
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from omni_connector import tokens
from omni_connector.errors import GatewayError, Kind
from omni_connector.providers import command_values, commands, demo
from omni_connector.providers import reported_cost as reported
from omni_connector.providers.addresses import (
    Endpoints,
    base_url,
    check_url,
    endpoint,
    load_endpoints,
    normalise_base_url,
    project_of,
    region_of,
    request_headers,
)
from omni_connector.providers.command_presets import PRESETS
from omni_connector.providers.listing import (
    ModelList,
    balance_request,
    list_models,
    models_body,
    models_request,
    parse_balance,
    parse_models,
)
from omni_connector.providers.overlay import overlay
from omni_connector.providers.provider import FEATURES, WIRES, Balance, Face, Provider, SignIn, Way
from omni_connector.providers.remembered import Remembered
from omni_connector.providers.rows import ALIASES, ROWS
from omni_connector.snapshot import EMPTY, Account, Json, ProviderSettings

__all__ = [
    "ALIASES",
    "FEATURES",
    "PROVIDERS",
    "WIRES",
    "Balance",
    "Endpoints",
    "Face",
    "ModelList",
    "Provider",
    "SignIn",
    "Way",
    "balance_request",
    "base_url",
    "canonical",
    "check_url",
    "commands",
    "complete",
    "demo",
    "endpoint",
    "facing",
    "forget",
    "get",
    "list_models",
    "load_endpoints",
    "local_options",
    "models_body",
    "models_request",
    "normalise_base_url",
    "parse_balance",
    "parse_models",
    "price_id",
    "project",
    "providers_markdown",
    "region_of",
    "reported_cost",
    "request_headers",
]

PROVIDERS: Mapping[str, Provider] = MappingProxyType({row.id: row for row in ROWS})

NO_FEATURES: frozenset[str] = frozenset()


@lru_cache(maxsize=256)
def canonical(provider_id: str) -> tuple[str, str]:
    """A provider's name in any case, old names included → (id, region that the name means or ""). Unknown names come back as
    they are."""
    name = provider_id.strip().lower()
    return ALIASES.get(name, (name if name in PROVIDERS else provider_id, ""))


def get(provider_id: str) -> Provider:
    """The row of a provider, by id or an older name. GatewayError NOT_FOUND listing near names."""
    found = PROVIDERS.get(canonical(provider_id)[0])
    if found is not None:
        return found
    near = get_close_matches(provider_id.lower(), [*PROVIDERS, *ALIASES], n=3, cutoff=0.5)
    hint = f"; did you mean {' or '.join(near)}?" if near else f"; known: {', '.join(PROVIDERS)}"
    raise GatewayError(Kind.NOT_FOUND, f"there is no provider {provider_id!r}{hint}", param="provider", code="provider_not_found")


def complete(account: Account, shared: Mapping[str, ProviderSettings] = EMPTY) -> Account:
    """The account with the facts of its provider's row: wire, features, default_models, open_models, demo; and under what was set
    for its provider as a whole (`shared`, by id; see overlay.py).

    Options of the account change them: "wire" (one the provider speaks; any known one for custom providers), "features_add",
    "features_remove". An older provider name becomes the id, with its region. Unknown provider: no wire, no features; the
    caller marks the account as an error.
    """
    provider_id, region = canonical(account.provider)
    row = PROVIDERS.get(provider_id)
    if row is None:
        return replace(account, wire="", features=NO_FEATURES, default_models=(), open_models=False, demo=False)
    options = account.options if not region or account.options.get("region") else {**account.options, "region": region}
    wire, features = _wire(row, options.get("wire"))
    features = (features | _words(options.get("features_add"))) - _words(options.get("features_remove"))
    completed = replace(
        account,
        provider=row.id,
        options=options,
        wire=wire,
        features=features,
        default_models=row.default_models,
        open_models=row.open_models,
        demo=row.demo,
        stands_in_for=row.stands_in_for,
        **_access(account),
    )
    completed = replace(completed, **commands.facts(completed)) if row.command else completed
    return overlay(completed, row, shared[row.id]) if row.id in shared else completed


def _access(account: Account) -> dict[str, Any]:
    """The credential of now: the key, or the access token of the sign-in. A command's values are for its program alone."""
    if account.auth == "cli":
        return {}
    found = tokens.decode(account.secret) if account.auth == "oauth" and account.secret else None
    return {"access": account.secret} if found is None else {"access": found.access_token, "access_until": found.expires_at}


def local_options(account: Account) -> Json:
    """What a provider inside this process or on this machine is told beside the request: the demo's options, a command's template
    with the values of its environment. Never shown."""
    row = PROVIDERS.get(account.provider)
    if row is None or not row.command:
        return account.options.get("demo") or {}
    return {"account": account.id, "provider": row.id, "command": command_values.filled(account).get("command")}


def project(account: Account) -> str:
    """The provider's project that calls of this account belong to; "" where it has none."""
    row = PROVIDERS.get(account.provider)
    return "" if row is None else project_of(row, account)


def facing(account: Account, wire: str) -> Account:
    """The account as it speaks `wire`, where its provider does too: what a client of that format sends then passes untouched.
    An account with an address or a format of its own stays as it is."""
    row = PROVIDERS.get(account.provider)
    if row is None or wire == account.wire or wire not in row.faces or account.base_url or account.options.get("wire"):
        return account
    return _FACING.of(account, wire, lambda: complete(replace(account, options={**account.options, "wire": wire})))


_FACING: Remembered[Account] = Remembered()
_PRICE_IDS: Remembered[str | None] = Remembered()


def forget() -> None:
    """What is remembered of accounts goes: there is a new configuration."""
    _FACING.clear()
    _PRICE_IDS.clear()


def _wire(row: Provider, asked: object) -> tuple[str, frozenset[str]]:
    if not isinstance(asked, str) or asked == row.wire:
        return row.wire, row.features
    if asked in row.faces:
        return asked, row.faces[asked].features
    if row.custom and asked in WIRES:
        return asked, NO_FEATURES
    return row.wire, row.features


def _words(value: object) -> frozenset[str]:
    return frozenset(word for word in value if isinstance(word, str)) if isinstance(value, list | tuple) else NO_FEATURES


def price_id(account: Account) -> str | None:
    """What `usage.price` wants to know: options.price_id, else that of the account's region, else the row's."""
    return _PRICE_IDS.of(account, "", lambda: _price_id(account))


def _price_id(account: Account) -> str | None:
    provider_id, meant = canonical(account.provider)
    row = PROVIDERS.get(provider_id)
    own = account.options.get("price_id")
    if isinstance(own, str) and own:
        return own
    if row is None:
        return None
    region = meant if meant and not account.options.get("region") else region_of(row, account)
    return row.region_price_ids.get(region, row.price_id)


def reported_cost(account: Account, raw: Mapping[str, Any]) -> Decimal | None:
    """Dollars that the provider says an answer took; None: it does not say. `raw`: the answer's own usage block."""
    row = PROVIDERS.get(account.provider)
    return None if row is None else reported.read(row, account, raw)


# ---------------------------------------------------------------- docs/providers.md

HEAD = """# Providers

Generated from `omni_connector/providers/rows.py`; do not edit. An account may replace any address (`base_url`, `options.endpoints`),
choose a region (`options.region`) or a second wire format (`options.wire`), and add or remove features (`options.features_add`,
`options.features_remove`). A feature that is not listed is unknown, not absent. A key that stands in the environment becomes
an account labelled `env`; `OPENAI_BASE_URL`, `CLAUDE_BASE_URL` and `GEMINI_BASE_URL` name the address it is for,
unless that is this server's own.
"""


def providers_markdown() -> str:
    """The text of docs/providers.md."""
    parts = [HEAD, "\n| id | name | wire format | key from the environment | prices |\n|---|---|---|---|---|\n"]
    for row in ROWS:
        env = ", ".join(f"`{name}`" for name in row.env) or "–"
        parts.append(f"| [`{row.id}`](#{row.id}) | {row.label} | {row.wire} | {env} | {row.price_id or 'unknown'} |\n")
    parts.extend(_section(row) for row in ROWS)
    parts.append("\n## Other names\n\n")
    parts.extend(f"- `{name}` → `{target}`{f', region `{region}`' if region else ''}\n" for name, (target, region) in ALIASES.items())
    parts.append("\n## Commands\n\nPresets, under `options.command.preset` of a `command` account:\n\n")
    parts.extend(f"- `{name}`: {preset.about}\n" for name, preset in PRESETS.items())
    parts.append("\n## Demo models\n\n")
    parts.extend(f"- `{model}`: {meaning}\n" for model, meaning in demo.MODELS.items())
    parts.append("\nOptions, under `options.demo` of the account:\n\n")
    parts.extend(f"- `{name}`: {meaning}\n" for name, meaning in demo.OPTIONS.items())
    parts.append("\n## Features\n\n| word | the provider … |\n|---|---|\n")
    parts.extend(f"| `{word}` | {meaning} |\n" for word, meaning in FEATURES.items())
    return "".join(parts)


def _section(row: Provider) -> str:
    lines = [f"\n## {row.id}\n\n{row.label}. {row.terms}\n\n"]
    for name, url in (row.regions or {"": row.base_url}).items():
        if url:
            lines.append(f"- address{f' `{name}`' if name else ''}: `{url}`\n")
    for wire, face in row.faces.items():
        lines.extend(f"- speaks {wire} too{f' (`{name}`)' if name else ''}: `{url}`\n" for name, url in face.urls.items())
    facts = {"key": row.key_url, "key looks like": row.key_hint and f"`{row.key_hint}`", "documentation": row.docs_url}
    lines.extend(f"- {name}: {value}\n" for name, value in facts.items() if value)
    lines.append(f"- features: {', '.join(f'`{word}`' for word in sorted(row.features)) or 'none known'}\n")
    if row.default_models:
        lines.append(f"- models tried first: {', '.join(f'`{model}`' for model in row.default_models)}\n")
    if row.notes:
        lines.append(f"- note: {row.notes}\n")
    return "".join(lines)
