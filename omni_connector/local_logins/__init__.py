"""What is on this machine that could be connected: sign-ins of other programs, their programs, keys in the environment, and servers that
answer on their ports. Only looked at; nothing is changed, and no credential is in anything that is shown.

`find(machine)` looks at files and variables; `servers(ask)` asks the ports. Both give `Finding`s, whose `draft` is what an import uses.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from omni_connector.local_logins.findings import Finding, Machine
from omni_connector.local_logins.keys import keys
from omni_connector.local_logins.programs import programs
from omni_connector.local_logins.servers import servers

__all__ = ["Finding", "Machine", "find", "machine", "servers"]


def machine(env: Mapping[str, str]) -> Machine:
    """The machine as the environment describes it; without a HOME no file is looked for."""
    home = next((env[name] for name in ("HOME", "USERPROFILE") if env.get(name)), "")
    return Machine(Path(home) if home else None, env)


def find(machine: Machine) -> list[Finding]:
    """Reads a few small files: call it in a thread."""
    return [*programs(machine), *keys(machine)]
