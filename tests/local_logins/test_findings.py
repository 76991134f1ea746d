"""What is shown of a finding, and where a machine is looked at."""

from __future__ import annotations

import json
from pathlib import Path

from omni_connector import local_logins
from omni_connector.local_logins.findings import Finding, Machine, of_entry
from omni_connector.tokens import Tokens
from omni_connector.transfer import Draft, Problem

DRAFT = Draft(
    "codex", auth="oauth", tokens=Tokens("at-SECRET", "rt-SECRET"), fields={"options": {"identity": {"email": "a@b.c", "plan": "plus"}}}
)


def test_nothing_secret_is_shown() -> None:
    found = of_entry(DRAFT, "codex", "Codex", "/home/me/.codex/auth.json", "careful")
    shown = found.as_json("acc_1")
    assert "SECRET" not in json.dumps(shown) + repr(found)
    assert (shown["who"], shown["importable"], shown["already"], shown["warning"]) == ("a@b.c · plus", True, "acc_1", "careful")
    assert set(shown) >= {"id", "kind", "provider", "title", "where", "who", "auth", "already", "warning", "importable", "why_not"}


def test_a_problem_is_shown_with_its_reason() -> None:
    found = of_entry(Problem("x", "Sign in there.", provider="codex"), "codex", "Codex", "f")
    assert (found.importable, found.why_not) == (False, "Sign in there.")
    assert not Finding("x", "key", "openai", "t", "w").importable


def test_where_to_look() -> None:
    machine = Machine(Path("/home/me"), {"CODEX_HOME": "/srv/codex", "CLAUDE_CONFIG_DIR": "relative/one", "PATH": "/bin"})
    assert machine.folder("CODEX_HOME", ".codex") == Path("/srv/codex")
    assert machine.folder("CLAUDE_CONFIG_DIR", ".claude") == Path("/home/me/.claude")
    assert Machine(None, {}).folder("", ".codex") is None
    assert machine.path == "/bin"


def test_without_a_home_no_file_is_looked_for() -> None:
    assert local_logins.machine({}).home is None
    assert local_logins.machine({"HOME": "/home/me"}).home == Path("/home/me")
    assert local_logins.find(local_logins.machine({})) == []
