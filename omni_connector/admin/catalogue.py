"""Operations that show what could be used: providers with their accounts and health, models with their prices. (C-67, C-68)"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from omni_connector import catalog, prices, providers, usage
from omni_connector.admin.accounts import Accounts
from omni_connector.onboarding.starting import GOOGLE_PROJECT, is_on
from omni_connector.providers import Provider
from omni_connector.providers.bill_readers import READERS
from omni_connector.providers.command_presets import PRESETS
from omni_connector.routing.resolve import PURPOSES
from omni_connector.snapshot import Account, ProviderSettings

Json = dict[str, Any]
CAPABILITIES = (("vision", "images"), ("documents", "documents"), ("audio", "audio"), ("completions", "completions"))
"""Word of providers.FEATURES that a conversing model has, unless "no_…" says the contrary → what it is called here."""
PURPOSE_NAMES: Mapping[str, str] = {"openai-embeddings": "embeddings", "gemini-embeddings": "embeddings"}
"""What models that are no conversation are for, where the wire's name is not the word."""
STATUSES = ("ready", "cooling", "locked", "needs_login", "disabled", "error")


class Catalogue(Accounts):
    async def providers(self) -> Json:
        """GET /api/providers: all of them, whether used or not."""
        accounts = (await self.accounts())["accounts"]
        return {"providers": [self._provider_json(row, accounts) for row in providers.PROVIDERS.values()]}

    async def provider(self, provider_id: str) -> Json:
        """GET /api/providers/{type}: the same entry, its accounts whole. NOT_FOUND with near names."""
        row = providers.get(provider_id)
        accounts = (await self.accounts())["accounts"]
        mine = [account for account in accounts if account["provider"] == row.id]
        return {**self._provider_json(row, accounts), "account_list": mine}

    def _provider_json(self, row: Provider, accounts: Iterable[Json]) -> Json:
        given = self._snapshot().providers.get(row.id, ProviderSettings(row.id))
        return _provider_json(row, given, accounts, self.settings.connectors)

    async def provider_models(self, provider_id: str | None = None) -> Json:
        """GET /api/provider-models[/{type}]: models of the accounts that are switched on, in order of their names.

        Prices are those of the first account, in dollars per million tokens: the user's own (`price_override`), else the list price of its
        provider; null: unknown (law 9).
        """
        wanted = None if provider_id is None else providers.get(provider_id).id
        serving: dict[str, list[Account]] = {}
        for account in self._snapshot().accounts:
            if account.enabled and (wanted is None or account.provider == wanted):
                for model in dict.fromkeys((*account.known_models, *account.model_map)):
                    serving.setdefault(model, []).append(account)
        # In a thread: the price data takes a quarter of a second to load the first time.
        return {"models": await asyncio.to_thread(_models, serving)}


def _models(serving: dict[str, list[Account]]) -> list[Json]:
    return [_model_json(model, accounts) for model, accounts in sorted(serving.items())]


def _model_json(model: str, accounts: list[Account]) -> Json:
    sent = accounts[0].model_map.get(model, model)
    found, own = catalog.lookup(providers.price_id(accounts[0]), sent), prices.rates(accounts[0], sent)
    listed = (found and found.input_usd_per_mtok, found and found.output_usd_per_mtok)
    read, written = listed if own is None else (_per_mtok(own.input), _per_mtok(own.output))
    return {
        "id": model,
        "providers": list(dict.fromkeys(account.provider for account in accounts)),
        "accounts": [account.label for account in accounts],
        "context_window": None if found is None else found.context_window,
        "max_output": None if found is None else found.max_output,
        "input_usd_per_mtok": _decimal(read),
        "output_usd_per_mtok": _decimal(written),
        "price_override": own is not None,
        "levels": _levels(model, accounts),
        "capabilities": _capabilities(model, accounts),
    }


def _levels(model: str, accounts: list[Account]) -> dict[str, list[str]]:
    """Provider → the thinking levels that `provider/level/model` may name there; providers without a choice are left out."""
    known = {account.provider: catalog.levels(account.model_map.get(model, model), account.features) for account in accounts}
    return {provider: list(levels) for provider, levels in known.items() if levels}


def _capabilities(model: str, accounts: list[Account]) -> list[str]:
    """What some account may be asked for with this model, in order of the words. Of pictures, documents and sound a provider says it of
    some of its models, so this one may refuse them all the same; what is unknown is left out. A model that is no conversation has the
    one thing it is for."""
    name = model.lower()
    purposes = {PURPOSE_NAMES.get(wire, wire) for wire, marks in PURPOSES.items() if any(mark in name for mark in marks)}
    if purposes:
        return sorted(purposes)
    found: set[str] = set()
    for account in accounts:
        sent = account.model_map.get(model, model)
        words = account.features | catalog.profile(sent)
        if "ocr" in words:
            found.add("ocr")
            continue
        found |= {name for word, name in CAPABILITIES if word in words and f"no_{word}" not in words}
        if "always_thinking" in words or catalog.levels(sent, account.features):
            found.add("thinking")
    return sorted(found)


def _per_mtok(rate: usage.Rate | None) -> Decimal | None:
    return None if rate is None else rate.base * usage.PER_MILLION


def _decimal(value: Any) -> str | None:
    return None if value is None else f"{value.normalize():f}"


def _presets(row: Provider) -> Json | None:
    """What the dashboard needs to offer a command: presets by name, those of the row's own name alone where there is one."""
    if not row.command:
        return None
    names = [row.id] if row.id in PRESETS else [name for name in PRESETS if name not in providers.PROVIDERS]
    told = {name: PRESETS[name] for name in names}
    return {name: {"label": it.label, "about": it.about, "argv": it.command.get("argv", []), "edit": it.edit} for name, it in told.items()}


def _sign_in(row: Provider, connectors: Sequence[str]) -> Json | None:
    """How an account is connected by signing in, for whoever offers it; None where it is not."""
    profile = row.sign_in
    if profile is None or row.retired:
        return None
    return {
        "ways": list(profile.ways),
        "notice": profile.notice,
        "own_client": profile.own_client,
        "client_env": [list(pair) for pair in profile.client_env],
        "project": row.id in GOOGLE_PROJECT,
        "described": profile.described,
        "on": is_on(row, profile, connectors),
    }


def _usage_key(row: Provider) -> Json | None:
    """Which second key may read what the provider bills (`needs`), and what `options.usage_project` names (`part`); None: none can."""
    found = READERS.get(row.bill)
    return None if found is None else {"needs": found.needs, "part": found.part}


def _provider_json(row: Provider, given: ProviderSettings, accounts: Iterable[Json], connectors: Sequence[str] = ()) -> Json:
    """`label` and `base_url` are those in force, `default_label` and `default_base_url` the row's; `name` is what was set, or ""."""
    mine = [account for account in accounts if account["provider"] == row.id]
    counted = Counter(account["status"] for account in mine)
    return {
        "id": row.id,
        "label": given.name or row.label,
        "default_label": row.label,
        "name": given.name,
        "enabled": given.enabled,
        "wire": row.wire,
        "base_url": given.base_url or row.base_url,
        "default_base_url": row.base_url,
        "model_map": dict(given.model_map),
        "regions": dict(row.regions),
        "auth": "none" if row.auth == "none" else "api_key",
        "key_url": row.key_url,
        "key_hint": row.key_hint,
        "docs_url": row.docs_url,
        "terms": row.terms,
        "local": row.local,
        "custom": row.custom,
        "demo": row.demo,
        "command": _presets(row),
        "sign_in": _sign_in(row, connectors),
        "usage_key": _usage_key(row),
        "retired": row.retired,
        "env": list(row.env),
        "default_models": list(row.default_models),
        "notes": row.notes,
        "accounts": [account["id"] for account in mine],
        "health": {status: counted.get(status, 0) for status in STATUSES},
    }
