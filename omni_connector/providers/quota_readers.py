"""Who reads what is left on an account, by the name that a provider's row gives (`Provider.quota`).

A reader is a module with
    requests(provider, account, endpoints) -> [(method, address, headers, body), …]     questions that cost nothing; [] where there are none
    read(answers) -> (windows, plan)                                                    parsed JSON, None for a question that failed
A window: {"name", "used", "limit", "unit", "resets_at" ms | None, "state", "model"?} (`snapshot.Quota`). What an answer does not say is
None with the state "unknown", never 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from omni_connector.providers import (
    quota_code_assist,
    quota_codex,
    quota_glm,
    quota_headers,
    quota_kimi,
    quota_kiro,
    quota_openrouter,
    quota_refusals,
)
from omni_connector.providers.addresses import Endpoints
from omni_connector.providers.provider import EMPTY, Provider
from omni_connector.snapshot import Account

Json = dict[str, Any]
Question = tuple[str, str, dict[str, str], bytes]
"""(method, address, headers, body)."""


class Reader(Protocol):
    def requests(self, provider: Provider, account: Account, endpoints: Endpoints = EMPTY) -> list[Question]: ...
    def read(self, answers: Sequence[Any]) -> tuple[list[Json], str]: ...


READERS: Mapping[str, Reader] = {
    "code-assist": quota_code_assist,
    "codex": quota_codex,
    "kimi": quota_kimi,
    "glm": quota_glm,
    "openrouter": quota_openrouter,
    "kiro": quota_kiro,
}
HARVESTERS: Mapping[str, Callable[[Mapping[str, str]], list[Json]]] = {"codex": quota_codex.harvest}
"""Readers that know headers of their own, which every answer of their provider has."""
OWN_MARKERS = frozenset({"x-codex-primary-used-percent", "x-codex-secondary-used-percent"})
"""Some header of a harvester."""
MARKERS = quota_headers.MARKERS | OWN_MARKERS


def questions(provider: Provider, account: Account, endpoints: Endpoints = EMPTY) -> list[Question]:
    """What is asked; [] where the provider tells nothing. Raises GatewayError for an address that cannot be used."""
    reader = READERS.get(provider.quota)
    return [] if reader is None else reader.requests(provider, account, endpoints)


def read(provider: Provider, answers: Sequence[Any]) -> tuple[list[Json], str]:
    """The answers to `questions` → windows and the plan's name, "" when it is not told."""
    reader = READERS.get(provider.quota)
    return ([], "") if reader is None else reader.read(answers)


def tells(headers: Mapping[str, str]) -> bool:
    """Whether `harvest` would find anything. Cheap: it stands in the way of every answer."""
    return not MARKERS.isdisjoint(headers)


def harvest(provider: Provider, headers: Mapping[str, str], now: int, model: str = "") -> list[Json]:
    """What the headers (lower-case names) of an ordinary answer tell. `model`: whom it was of, for limits that are each model's own."""
    own = HARVESTERS.get(provider.quota)
    return (own(headers) if own is not None else []) + quota_headers.read(headers, now, model)


def refused(body: Any, now: int, model: str = "") -> list[Json]:
    """What the body (parsed JSON) of a 429 tells."""
    return quota_refusals.read(body, now, model)
