"""Builds the immutable picture of the configuration (`omni_connector/snapshot.py`) in one read transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import sqlalchemy as sa

from omni_connector.secrets import Vault
from omni_connector.snapshot import Account, PriceOverride, ProviderSettings, Snapshot
from omni_connector.store import accounts, keys, limits, prices, providers, settings

Complete = Callable[[Account, Mapping[str, ProviderSettings]], Account]


def load_snapshot(conn: sa.Connection, vault: Vault, complete: Complete | None = None) -> Snapshot:
    """`complete` adds the facts of the provider's row, and what was set for the provider, to an account; storage does not know providers.

    Raises SecretsError when a stored secret does not decrypt.
    """
    overrides = prices.list_prices(conn)
    found = tuple(_priced(account, overrides) for account in accounts.list_accounts(conn, vault))
    shared = MappingProxyType(providers.list_providers(conn))
    return Snapshot(
        version=settings.config_version(conn),
        accounts=found if complete is None else tuple(complete(account, shared) for account in found),
        keys=MappingProxyType({key.hash: key for key in keys.list_keys(conn)}),
        cooldowns=accounts.list_cooldowns(conn),
        settings=MappingProxyType(settings.all_settings(conn)),
        providers=shared,
        prices=overrides,
        limits=limits.list_limits(conn),
        aliases=MappingProxyType(settings.get_aliases(conn)),
        chains=MappingProxyType(settings.get_chains(conn)),
    )


def _priced(account: Account, overrides: Sequence[PriceOverride]) -> Account:
    mine = tuple(entry for entry in overrides if entry.holds_for(account.id, account.provider))
    return replace(account, prices=mine) if mine else account
