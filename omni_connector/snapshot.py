"""The immutable picture of the configuration that every request is answered from.

Built by one read transaction (`store/snapshot.py`), replaced as a whole when `config_version` moves (DESIGN.md, law 5).
Pure values: the hot path reads these and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Literal, TypedDict

from omni_connector.values import dataclass

Json = dict[str, Any]
EMPTY: Mapping[str, Any] = MappingProxyType({})


class Quota(TypedDict, total=False):
    """One window of an account's quota, as its provider told it; every field may be missing or null."""

    name: str
    """"5h", "week"."""
    model: str
    """The window is of this model only: its id, its family, or a pattern of either ("claude-opus-*"). Missing: of all models."""
    used: float | None
    limit: float | None
    unit: str
    resets_at: int | None
    """ms UTC."""
    state: Literal["live", "stale", "estimated", "unknown"]
    source: Literal["headers"]
    """Told by an ordinary answer's headers, or by a refusal; missing: asked for."""


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
    rpm: int | None = None
    tpm: int | None = None
    budget: Json | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    proxy_url: str = field(default="", repr=False)
    options: Json = field(default_factory=dict)
    state: Literal["ok", "needs_login", "error"] = "ok"
    state_reason: str = ""
    quota: tuple[Quota, ...] = ()
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
    stands_in_for: tuple[str, ...] = ()
    """Providers whose name means this account too, while none of theirs is connected ("gemini" a Gemini CLI sign-in)."""
    usage_key: str = field(default="", repr=False)
    """A second credential, which may read what the provider says was spent (`options.usage_key`, write-only)."""
    access: str = field(default="", repr=False)
    """What proves us to the provider: the key itself, or the access token of a sign-in."""
    access_until: int | None = None
    """Until when (ms) `access` is good; None: it does not say."""
    # What was set for the whole provider is part of `enabled`, `base_url` and `model_map` in the snapshot.
    own: Account | None = field(default=None, repr=False)
    """The account by itself, before that; None: it is the same."""
    prices: tuple[PriceOverride, ...] = ()
    """What the user set as prices of models and holds here: for everybody, for the provider, for this account."""
    switched_off: str = ""
    """Why it is not `enabled` although its own switch may be on ("provider groq is switched off")."""

    @property
    def known_models(self) -> tuple[str, ...]:
        """The models this account serves, best first: the user's choice, else what the provider listed, else the row's."""
        return self.models or self.discovered or self.default_models


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """What the user set for a provider as a whole, all its accounts. Empty: as its row says."""

    id: str
    enabled: bool = True
    base_url: str = ""
    """Instead of the row's address, for accounts that name none themselves."""
    model_map: Mapping[str, str] = field(default_factory=dict)
    """Name asked for → the provider's own id; an account's own map wins."""
    name: str = ""
    """Shown instead of the row's label."""
    updated_at: int = 0


@dataclass(frozen=True, slots=True)
class PriceOverride:
    """What a model costs by the user's word: dollars per million tokens, and per request. None: not said."""

    pattern: str
    """A model's own id, its family, or a pattern of either with "*" and "?"."""
    scope: str = ""
    """"account:<id>", "provider:<id>", or "": everywhere."""
    input: Decimal | None = None
    output: Decimal | None = None
    cache_read: Decimal | None = None
    cache_write: Decimal | None = None
    per_request: Decimal | None = None
    subscription: bool = False
    """It is paid for otherwise: an answer costs nothing. Rates beside it say what it would be worth by the token."""
    updated_at: int = 0

    @property
    def rated(self) -> bool:
        """Whether any rate is said."""
        rates = (self.input, self.output, self.cache_read, self.cache_write, self.per_request)
        return any(rate is not None for rate in rates)

    def holds_for(self, account_id: str | None, provider: str | None) -> bool:
        return self.scope in ("", f"account:{account_id}", f"provider:{provider}")


Scope = Literal["installation", "provider", "model", "account", "key"]


@dataclass(frozen=True, slots=True)
class Limit:
    """What a scope may use; every limit that applies to a request must let it through. None: as much as it likes."""

    scope: Scope
    subject: str = ""
    """The provider's id, the model's own id or its family, the account's id, the key's id; "" for the installation."""
    budget: Json | None = None
    """{"amount": decimal text in dollars, "period": day | week | month | total, "zone": an IANA name (missing: UTC),
    "mode": "soft" tells and lets through (missing: hard)}."""
    rpm: int | None = None
    """Requests a minute."""
    tpm: int | None = None
    """Tokens a minute, prompt and answer."""
    max_in_flight: int | None = None
    updated_at: int = 0


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
    met: dict[str, ClientKey] = field(default_factory=dict, init=False, repr=False, compare=False)
    """Keys as they were sent → which of `keys` they are (`auth`). In memory only; another snapshot begins with none."""
    cooldowns: tuple[Cooldown, ...] = ()
    settings: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    """As stored; `settings.load` gives them types."""
    providers: Mapping[str, ProviderSettings] = field(default_factory=lambda: EMPTY)
    """By id; only those that something was set for."""
    prices: tuple[PriceOverride, ...] = ()
    limits: tuple[Limit, ...] = ()
    """Of the installation, of providers and of models; accounts and keys carry their own."""
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: EMPTY)
    chains: Mapping[str, tuple[tuple[str, ...], ...]] = field(default_factory=lambda: EMPTY)
