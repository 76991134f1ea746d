"""Keys of providers in the environment, under the names that their rows list."""

from __future__ import annotations

from collections.abc import Iterator

from omni_connector import providers
from omni_connector.local_logins.findings import Finding, Machine
from omni_connector.providers import Provider
from omni_connector.transfer import Draft
from omni_connector.transfer.shapes import key


def keys(machine: Machine) -> Iterator[Finding]:
    """One finding for each variable; several that hold one key are one."""
    for row in providers.PROVIDERS.values():
        seen: set[str] = set()
        for name in row.env:
            value = machine.env.get(name, "").strip()
            if value and value not in seen:
                seen.add(value)
                yield _finding(row, name, value)


def _finding(row: Provider, name: str, value: str) -> Finding:
    title, where = f"{row.label}: key in the environment", f"environment variable {name}"
    secret = key({"key": value}, "key")
    if not secret or secret.startswith(("omni-", "omniadm-")):
        why = "It is a key of omni-connector itself." if secret else "It holds blanks or strange characters."
        return Finding(f"env:{name}", "key", row.id, title, where, auth="api_key", why_not=why)
    return Finding(f"env:{name}", "key", row.id, title, where, auth="api_key", draft=Draft(row.id, secret=secret, where=where))
