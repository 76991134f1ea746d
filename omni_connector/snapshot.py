"""The immutable picture of the configuration that every request is answered from.

Built by one read transaction (`store/snapshot.py`), replaced as a whole when `config_version` moves (DESIGN.md, law 5).
Pure values: the hot path reads these and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

Json = dict[str, Any]
EMPTY: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Account:
    """One credential at a provider: the balanced unit. `secret` and `headers` never leave the process but to the upstream."""

    id: str
    provider: str
    label: str
    auth: Literal["api_key", "oauth", "cli", "none"] = "api_key"
    secret: str = field(default="", repr=False)
    """The API key, or a JSON document of tokens for auth "oauth"."""
    base_url: str = ""
    """Replaces the provider's own address when not empty."""
    models: tuple[str, ...] = ()
    """Chosen by the user, best first. Empty: whatever the provider lists."""
    discovered: tuple[str, ...] = ()
    """What the provider's model list said when it was last asked."""
    prefix: str = ""
    model_map: Mapping[str, str] = field(default_factory=dict)
    """Name asked for → the provider's own id."""
    enabled: bool = True
    priority: int = 0
    """Higher is tried first."""
    weight: int = 1
    max_in_flight: int | None = None
    budget: Json | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    proxy_url: str = field(default="", repr=False)
    options: Json = field(default_factory=dict)
    state: Literal["ok", "needs_login", "error"] = "ok"
    state_reason: str = ""
    quota: tuple[Json, ...] = ()
    balance: Json | None = None
    key_hint: str = ""
    created_at: int = 0
    updated_at: int = 0
    last_used_at: int | None = None
    # Facts of the provider's row, copied here so that routing needs no catalogue.
    wire: str = ""
    features: frozenset[str] = frozenset()
    default_models: tuple[str, ...] = ()
    open_models: bool = False
    """True: any model name may be sent (self-hosted and custom providers without a complete list)."""
    demo: bool = False

    @property
    def known_models(self) -> tuple[str, ...]:
        """The models this account serves, best first: the user's choice, else what the provider listed, else the row's."""
        return self.models or self.discovered or self.default_models


@dataclass(frozen=True, slots=True)
class Cooldown:
    """Why an account (scope "") or one of its model families (scope "model:<family>") is out, and until when (ms)."""

    account_id: str
    scope: str
    until_at: int
    source: Literal["stated", "guessed", "terminal"]
    reason: str
    step: int = 0
    created_at: int = 0


@dataclass(frozen=True, slots=True)
class ClientKey:
    """A key we issued, without the key: only its hash is known."""

    id: str
    name: str
    hint: str
    hash: str = field(repr=False)
    created_at: int
    expires_at: int | None = None
    revoked_at: int | None = None
    models: tuple[str, ...] | None = None
    providers: tuple[str, ...] | None = None
    rpm: int | None = None
    tpm: int | None = None
    max_in_flight: int | None = None
    budget: Json | None = None
    last_used_at: int | None = None

    def status(self, now: int) -> Literal["active", "expired", "revoked"]:
        if self.revoked_at is not None:
            return "revoked"
        if self.expires_at is not None and self.expires_at <= now:
            return "expired"
        return "active"


@dataclass(frozen=True, slots=True)
class Snapshot:
    version: int = 0
    accounts: tuple[Account, ...] = ()
    keys: Mapping[str, ClientKey] = field(default_factory=lambda: EMPTY)
    """By hash."""
    cooldowns: tuple[Cooldown, ...] = ()
    settings: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    """As stored; `settings.load` gives them types."""
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: EMPTY)
    chains: Mapping[str, tuple[tuple[str, ...], ...]] = field(default_factory=lambda: EMPTY)
