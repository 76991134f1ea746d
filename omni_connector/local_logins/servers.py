"""Servers of models that answer on their ports of this machine."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from omni_connector import providers
from omni_connector.local_logins.findings import Finding
from omni_connector.providers import Provider
from omni_connector.transfer import Draft

SERVERS = ("ollama", "lmstudio", "llamacpp", "vllm")
"""Rows whose own address is a port of this machine."""

Ask = Callable[[Provider], Awaitable[Sequence[str] | None]]
"""A row → the models that its own address lists, None when nothing of the kind answers there. Keeps its own deadline."""


async def servers(ask: Ask) -> list[Finding]:
    """All ports at once. A port that a program of another kind listens on is no finding."""
    rows = [providers.PROVIDERS[name] for name in SERVERS if name in providers.PROVIDERS]
    answers = await asyncio.gather(*(ask(row) for row in rows))
    return [_finding(row, tuple(models)) for row, models in zip(rows, answers, strict=True) if models is not None]


def _finding(row: Provider, models: tuple[str, ...]) -> Finding:
    draft = Draft(row.id, auth="none", where=row.base_url)
    return Finding(row.id, "server", row.id, f"{row.label} on this machine", row.base_url, auth="none", models=models, draft=draft)
