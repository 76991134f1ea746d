"""What the user set for a provider as a whole, laid over its accounts. Pure."""

from __future__ import annotations

from dataclasses import replace

from omni_connector.providers.addresses import named_endpoint
from omni_connector.providers.provider import EMPTY, Provider
from omni_connector.snapshot import Account, ProviderSettings


def overlay(account: Account, row: Provider, given: ProviderSettings) -> Account:
    """The account as it is used. What it says itself wins and stays in `own`; only the provider's switch is above its own.

    The address replaces that of the row: not for an account that names one (`base_url`, `options.endpoints.inference`), and not
    for one that chose the provider's second wire format where that has addresses of its own.
    """
    return replace(
        account,
        own=account,
        enabled=account.enabled and given.enabled,
        switched_off="" if given.enabled else f"provider {row.id} is switched off",
        base_url=account.base_url if _has_address(account, row) else given.base_url,
        model_map={**given.model_map, **account.model_map},
    )


def _has_address(account: Account, row: Provider) -> bool:
    face = row.faces.get(account.wire)
    elsewhere = face is not None and row.base_url not in face.urls.values()
    return bool(account.base_url or named_endpoint("inference", row, account, EMPTY)) or elsewhere
