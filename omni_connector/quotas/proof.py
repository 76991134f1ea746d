"""What a good answer about the quota says about the cooldowns that were only guessed. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from omni_connector import providers
from omni_connector.errors import GatewayError, Kind
from omni_connector.routing import quota
from omni_connector.routing.candidates import Candidate
from omni_connector.routing.health import MODEL_SCOPE, holds, kind_of
from omni_connector.snapshot import Account, Cooldown

if TYPE_CHECKING:
    from omni_connector.quotas.asking import Answer

RATE_MS = 60_000
"""Limits of rate are those of a minute: a quota that is not spent says nothing about a younger refusal."""


def proven(cooldown: Cooldown, account: Account, answer: Answer, now: int, family: Callable[[str], str]) -> bool:
    """Whether the answer shows that a guess is over: the host is there again; or the windows that count for the refused model are
    all known, and none is spent. `account` as it is after the answer."""
    if cooldown.source != "guessed" or not holds(cooldown, now):
        return False
    kind = kind_of(cooldown)
    if kind is Kind.UPSTREAM_UNREACHABLE:
        return _host(account) in answer.hosts
    if kind is not Kind.ACCOUNT_RATE_LIMITED or now - cooldown.created_at < RATE_MS or not answer.windows:
        return False
    model = cooldown.scope.removeprefix(MODEL_SCOPE)
    windows = quota.windows(Candidate(replace(account, quota=tuple(answer.windows)), model), family)  # type: ignore[arg-type]
    left = [quota.left(window, now) for window in windows]
    return bool(left) and all(share is not None and share > 0 for share in left)


def _host(account: Account) -> str:
    try:
        return urlsplit(providers.base_url(providers.get(account.provider), account)).netloc
    except GatewayError:
        return ""
