"""What doctor finds, and how its checks are made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from omni_connector.errors import GatewayError
from omni_connector.secrets import SecretsError
from omni_connector.settings import Settings, SettingsError
from omni_connector.snapshot import Snapshot
from omni_connector.values import dataclass

Json = dict[str, Any]
Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    level: Level
    what: str
    message: str
    fix: str = ""

    def as_json(self) -> Json:
        return {"level": self.level, "what": self.what, "message": self.message, "fix": self.fix}


class Server(Protocol):
    """What server.json says about a server whose process is alive."""

    @property
    def pid(self) -> int: ...
    @property
    def url(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Patient:
    """What is examined. `picture`: None where the database cannot be read; `server`: None where none runs."""

    home: Path
    env: Mapping[str, str]
    settings: Settings
    picture: Snapshot | None
    server: Server | None


Check = Callable[[Patient], Awaitable[Sequence[Finding]]]
"""One examination. It only looks, and takes no longer than a few seconds; what it raises becomes a finding."""


def verdict(findings: Iterable[Finding]) -> bool:
    """True when nothing fails; warnings are no failures."""
    return all(finding.level != "fail" for finding in findings)


async def safely(what: str, found: Awaitable[Sequence[Finding]]) -> list[Finding]:
    """A check that breaks is a finding itself, so that the others are still made."""
    try:
        return list(await found)
    except GatewayError as error:
        return [Finding("fail", what, error.message)]
    except (OSError, SettingsError, SecretsError) as error:
        return [Finding("fail", what, str(error))]


def span(ms: int) -> str:
    """A length of time in words: "25 min", "3 h", "4 days"."""
    minutes = max(1, round(ms / 60_000))
    if minutes < 120:
        return f"{minutes} min"
    return f"{round(minutes / 60)} h" if minutes < 2880 else f"{round(minutes / 1440)} days"
