"""The sign-in of one account: the row's profile, or what the account's own options describe. Pure but for one random id."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from omni_connector.providers import user_oauth
from omni_connector.providers.addresses import filled
from omni_connector.providers.provider import Provider, SignIn
from omni_connector.snapshot import Account

DEVICE = "device_id"
"""The option that names this account's "device" where a provider wants one: made up once, and kept."""


def sign_in_of(row: Provider, options: Mapping[str, Any]) -> SignIn | None:
    """How an account with these options signs in at this provider; None: it does not.

    Raises GatewayError BAD_REQUEST for options that describe no sign-in where they should (user_oauth.py).
    """
    found = row.sign_in
    if found is None:
        return None
    if found.described:
        return user_oauth.profile(options)
    return replace(found, headers=filled(found.headers, options)) if found.headers else found


def signing(row: Provider, options: Mapping[str, Any]) -> Provider:
    """The row with that sign-in. Raises as `sign_in_of`."""
    found = sign_in_of(row, options)
    return row if found is row.sign_in else replace(row, sign_in=found)


def only_one(accounts: Iterable[Account], rows: Mapping[str, Provider]) -> tuple[Account, ...]:
    """The accounts, with all but the first that is enabled switched off where the provider's terms forbid more than one at a time.
    The oldest counts; to use another, switch that one off."""
    given = tuple(accounts)
    used: dict[str, Account] = {}
    for account in sorted(given, key=lambda account: (account.created_at, account.id)):
        row = rows.get(account.provider)
        if account.enabled and row is not None and row.sign_in is not None and row.sign_in.single:
            used.setdefault(row.id, account)
    return tuple(_switched_off(account, used.get(account.provider)) for account in given)


def _switched_off(account: Account, used: Account | None) -> Account:
    if used is None or account.id == used.id or not account.enabled:
        return account
    why = f"only one account of {account.provider} is used at a time, as its terms want; that is {used.label}"
    return replace(account, enabled=False, switched_off=why, own=account.own or account)


def made_up(row: Provider, options: Mapping[str, Any]) -> dict[str, str]:
    """Options that a new account of this provider needs and nobody gives: a random id of its own, which says nothing of the machine."""
    wanted = row.sign_in is not None and f"{{{DEVICE}}}" in row.sign_in.headers.values()
    return {DEVICE: str(uuid.uuid4())} if wanted and not options.get(DEVICE) else {}
