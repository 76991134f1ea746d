"""What a sign-in needs from the process, and what it is begun with."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import field
from typing import Any

from omni_connector.oauth import Client
from omni_connector.onboarding.signed import Fetch, Signed
from omni_connector.providers import Endpoints
from omni_connector.secrets import Vault
from omni_connector.settings import Settings
from omni_connector.snapshot import Account
from omni_connector.store.engine import Database
from omni_connector.values import dataclass

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Doors:
    """What sign-ins need from the process. `keep` stores an account and returns its id; `address` is where the dashboard is reached
    ("" on the command line)."""

    db: Database
    vault: Vault
    fetch: Fetch
    settings: Callable[[], Settings]
    endpoints: Callable[[], Endpoints]
    accounts: Callable[[], Sequence[Account]]
    env: Mapping[str, str]
    keep: Callable[[Signed], Awaitable[str]]
    address: str
    now: Callable[[], int]
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


@dataclass(frozen=True, slots=True)
class Asked:
    """What a sign-in is begun with. `account`: the one to renew. `address`: the dashboard's, as the asking browser knows it.
    `session`: proof of the dashboard session that begins it, "" when there is none (admin key, command line)."""

    label: str = ""
    account: Account | None = None
    way: str = ""
    headless: bool = False
    acknowledged: bool = False
    client: Client = field(default_factory=lambda: Client(""))
    client_from_cli: bool = False
    options: Json = field(default_factory=dict)
    proxy_url: str = field(default="", repr=False)
    address: str = ""
    session: str = field(default="", repr=False)
