"""What a look at the machine gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Any, Literal

from omni_connector.transfer import Draft, Problem
from omni_connector.values import dataclass

Json = dict[str, Any]
Kind = Literal["sign-in", "key", "program", "server"]

SHARED = (
    "{program} keeps using this sign-in too. Each renewal replaces it, so sooner or later one of the two is signed out. To keep both, sign "
    "in here anew instead."
)
"""Said where a refresh token is good for one use."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Where to look. `home`: of the user's programs, None: nowhere. `env`: the variables in force."""

    home: Path | None
    env: Mapping[str, str]

    @property
    def path(self) -> str:
        """Where programs are; nothing of the process's own environment."""
        return self.env.get("PATH", "")

    def folder(self, variable: str, *default: str) -> Path | None:
        """The folder that a variable names, else one below the home; None where there is neither."""
        named = self.env.get(variable, "").strip() if variable else ""
        if named and Path(named).is_absolute():
            return Path(named)
        return None if self.home is None else self.home.joinpath(*default)


@dataclass(frozen=True, slots=True)
class Finding:
    """`who`: an email or a plan, nothing secret. `why_not`: why it cannot be imported. `draft`: what an import makes of it."""

    id: str
    kind: Kind
    provider: str
    title: str
    where: str
    who: str = ""
    auth: str = ""
    warning: str = ""
    why_not: str = ""
    models: tuple[str, ...] = ()
    draft: Draft | None = field(default=None, repr=False)

    @property
    def importable(self) -> bool:
        return self.draft is not None and not self.why_not

    def as_json(self, already: str = "") -> Json:
        """`already`: the id of the account that it is connected as."""
        return {
            "id": self.id,
            "kind": self.kind,
            "provider": self.provider,
            "title": self.title,
            "where": self.where,
            "who": self.who,
            "auth": self.auth,
            "already": already or None,
            "warning": self.warning,
            "importable": self.importable,
            "why_not": self.why_not,
            "models": list(self.models),
        }


def of_entry(entry: Draft | Problem, finding_id: str, title: str, where: str, warning: str = "") -> Finding:
    """A file's entry as a finding."""
    if isinstance(entry, Problem):
        return Finding(finding_id, "sign-in", entry.provider, title, where, auth="oauth", why_not=entry.why)
    person = entry.identity
    who = " · ".join(str(person[name]) for name in ("email", "plan") if person.get(name))
    return Finding(
        finding_id, "sign-in", entry.provider, title, where, who, entry.auth, warning if entry.auth == "oauth" else "", draft=entry
    )
