"""What a name resolves to: accounts with a model each, in tiers, and whether a client key may use them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Literal

from omni_connector.snapshot import Account, ClientKey
from omni_connector.values import dataclass

ResolutionKind = Literal[
    "auto",
    "default",
    "cost-priority",
    "intelligence-priority",
    "claude",
    "provider",
    "model",
    "provider_model",
    "label",
    "prefix",
    "alias",
    "chain",
]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One account and the upstream's own id of the model. `model` is "" when nothing is known to ask it for.
    `level`: how much it is to think (one of chat.LEVELS), "" when the name does not say."""

    account: Account
    model: str
    level: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        return self.account.id, self.model, self.level

    @property
    def name(self) -> str:
        """`provider/label`, as people read it."""
        return f"{self.account.provider}/{self.account.label}"


Tiers = tuple[tuple[Candidate, ...], ...]
"""A tier is exhausted before the next begins."""


@dataclass(frozen=True, slots=True)
class Resolution:
    """What a name means now. `requested` is the name as asked (the default model's when none was named)."""

    kind: ResolutionKind
    requested: str
    tiers: Tiers
    note: str = ""

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        return tuple(candidate for tier in self.tiers for candidate in tier)


def once(tiers: Iterable[Sequence[Candidate]]) -> Tiers:
    """Each candidate only where it comes first; empty tiers are gone."""
    seen: set[tuple[str, str, str]] = set()
    kept = []
    for tier in tiers:
        fresh = {candidate.key: candidate for candidate in tier if candidate.key not in seen}
        seen.update(fresh)
        if fresh:
            kept.append(tuple(fresh.values()))
    return tuple(kept)


def key_refuses(key: ClientKey | None, requested: str, candidate: Candidate) -> str | None:
    """Why this key may not use the candidate; None: it may. A model is allowed by the name asked for or by the name served."""
    if key is None or (key.models is None and key.providers is None):
        return None
    provider = candidate.account.provider
    if key_closes(key, provider):
        return f"this omni-key may not use provider {provider}"
    served = [requested, candidate.model, f"{provider}/{candidate.model}"]
    if candidate.level:
        served.append(f"{provider}/{candidate.level}/{candidate.model}")
    if key.models is not None and not any(_matches(name, key.models) for name in served):
        return f"this omni-key may not use model {candidate.model or requested}"
    return None


def key_closes(key: ClientKey | None, provider: str) -> bool:
    """Is the whole provider closed to this key?"""
    return key is not None and key.providers is not None and provider.lower() not in {p.lower() for p in key.providers}


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name.lower(), pattern.lower()) for pattern in patterns)
