"""Builds the immutable picture of the configuration (`omni_connector/snapshot.py`) in one read transaction."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

import sqlalchemy as sa

from omni_connector.secrets import Vault
from omni_connector.snapshot import Account, Snapshot
from omni_connector.store import accounts, keys, settings


def load_snapshot(conn: sa.Connection, vault: Vault, complete: Callable[[Account], Account] | None = None) -> Snapshot:
    """`complete` adds the facts of the provider's row to an account; storage does not know providers.

    Raises SecretsError when a stored secret does not decrypt.
    """
    found = accounts.list_accounts(conn, vault)
    return Snapshot(
        version=settings.config_version(conn),
        accounts=found if complete is None else tuple(complete(account) for account in found),
        keys=MappingProxyType({key.hash: key for key in keys.list_keys(conn)}),
        cooldowns=accounts.list_cooldowns(conn),
        settings=MappingProxyType(settings.all_settings(conn)),
        aliases=MappingProxyType(settings.get_aliases(conn)),
        chains=MappingProxyType(settings.get_chains(conn)),
    )
