"""Sign-ins that other programs of the user keep on this machine, and Claude Code, which is connected as a program. (P-22, P-38)

Places by reference "Upstream protocol facts", §4, §6A, §7, §9 and §13; Kimi's by what others read there.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from omni_connector import providers
from omni_connector.errors import GatewayError
from omni_connector.local_logins.files import Unreadable, names, read_object
from omni_connector.local_logins.findings import SHARED, Finding, Machine, of_entry
from omni_connector.providers import kiro_login
from omni_connector.transfer import Draft, Problem, read_value
from omni_connector.transfer import programs as files
from omni_connector.transfer.shapes import Entry, Json, mapping, text

MOST_FILES = 200
"""Of CLIProxyAPI's token folder."""
_PLAIN_NAME = re.compile(r"[\w.@+-]{1,150}\Z", re.ASCII)
KIRO_DATABASES = ((".local", "share", "kiro-cli", "data.sqlite3"), ("Library", "Application Support", "kiro-cli", "data.sqlite3"))


def programs(machine: Machine) -> Iterator[Finding]:
    for look in (_claude, _codex, _gemini, _kiro, _kimi, _qwen, _cli_proxy):
        yield from (_known(finding) for finding in look(machine))


def _known(finding: Finding) -> Finding:
    """A sign-in at a provider that this version does not know is shown, but not taken."""
    if finding.provider in providers.PROVIDERS or finding.why_not:
        return finding
    return replace(finding, draft=None, why_not=f"There is no provider {finding.provider!r} here.")


def _read(
    path: Path | None, finding_id: str, title: str, provider: str, parse: Callable[[Json], list[Entry]], warning: str = ""
) -> Iterator[Finding]:
    """The findings in one file; one with `why_not` when it is there and cannot be used."""
    if path is None:
        return
    try:
        said = read_object(path)
        if said is None:
            return
        entries = parse(said)
    except Unreadable as error:
        entries = [Problem(str(path), str(error), provider=provider)]
    for number, entry in enumerate(entries):
        other = f"-{entry.provider}" if provider and entry.provider != provider else f"#{number + 1}" if number and not provider else ""
        yield of_entry(entry, finding_id + other, title, str(path), warning)


# ---------------------------------------------------------------- One program each


def _claude(machine: Machine) -> Iterator[Finding]:
    """The program itself; of its sign-in only that it is there."""
    program = shutil.which("claude", path=machine.path) if machine.path else None
    folder = machine.folder("CLAUDE_CONFIG_DIR", ".claude")
    file = None if folder is None else folder / ".credentials.json"
    try:
        said = None if file is None else read_object(file)
    except Unreadable:
        said = {}
    plan = text(mapping(mapping(said).get("claudeAiOauth")), "subscriptionType")
    who = f"signed in{f' · {plan}' if plan else ''}" if said is not None else ""
    if program is not None:
        draft = Draft("claude-code", auth="cli", where=program)
        yield Finding("claude-code", "program", "claude-code", "Claude Code", program, who, "cli", draft=draft)
    elif said is not None:
        yield Finding("claude-code", "sign-in", "claude-code", "Claude Code", str(file), who, "oauth", why_not=files.CLAUDE)


def _codex(machine: Machine) -> Iterator[Finding]:
    folder = machine.folder("CODEX_HOME", ".codex")
    path = None if folder is None else folder / "auth.json"
    yield from _read(path, "codex", "Codex", "codex", lambda said: files.codex(said, str(path)), SHARED.format(program="Codex"))


def _gemini(machine: Machine) -> Iterator[Finding]:
    """Google's refresh tokens stay good, so nobody is signed out."""
    home = machine.folder("GEMINI_CLI_HOME")
    path = None if home is None else home / ".gemini" / "oauth_creds.json"
    yield from _read(path, "gemini-cli", "Gemini CLI", "gemini-cli", lambda said: [files.google(said, str(path), "gemini-cli")])


def _kiro(machine: Machine) -> Iterator[Finding]:
    cache = machine.folder("", ".aws", "sso", "cache")
    path = None if cache is None else cache / kiro_login.FILE

    def parse(said: Json) -> list[Entry]:
        assert cache is not None
        name = kiro_login.registration_file(said)
        return [files.kiro(said, str(path), read_object(cache / name) if name else None)]

    yield from _read(path, "kiro", "Kiro", "kiro", parse, SHARED.format(program="Kiro"))
    for parts in KIRO_DATABASES:
        database = machine.folder("", *parts)
        if database is not None and database.is_file() and not database.is_symlink():
            why = "kiro-cli keeps its sign-in in a database of its own, which is not read. Sign in here, or use an API key."
            yield Finding("kiro-cli", "sign-in", "kiro", "Kiro CLI", str(database), auth="oauth", why_not=why)


def _kimi(machine: Machine) -> Iterator[Finding]:
    for number, (variable, place) in enumerate((("KIMI_CODE_HOME", ".kimi-code"), ("KIMI_SHARE_DIR", ".kimi"))):
        folder = machine.folder(variable, place)
        path = None if folder is None else folder / "credentials" / "kimi-code.json"
        yield from _read(
            path,
            "kimi" if number == 0 else "kimi-cli",
            "Kimi Code" if number == 0 else "Kimi CLI",
            "kimi-code",
            lambda said, path=path: [files.kimi(said, str(path))],  # type: ignore[misc]
            SHARED.format(program="Kimi's own program"),
        )


def _qwen(machine: Machine) -> Iterator[Finding]:
    path = machine.folder("", ".qwen", "oauth_creds.json")
    yield from _read(path, "qwen", "Qwen Code", "qwen", lambda said: [Problem(str(path), files.QWEN, provider="qwen")])


def _cli_proxy(machine: Machine) -> Iterator[Finding]:
    """The token folder of CLIProxyAPI: one sign-in a file."""
    folder = machine.folder("", ".cli-proxy-api")
    if folder is None:
        return
    for name in names(folder, ".json", MOST_FILES):
        shown = name if _PLAIN_NAME.match(name) else re.sub(r"[^\w.@+-]", "_", name, flags=re.ASCII)[:150]
        title, warning = f"CLIProxyAPI: {shown}", SHARED.format(program="CLIProxyAPI")
        yield from _read(folder / name, f"cli-proxy-api:{shown}", title, "", _any, warning)


def _any(said: Json) -> list[Entry]:
    try:
        found = read_value(said)
    except GatewayError as error:
        raise Unreadable(error.message) from error
    return [*found.accounts, *found.problems]
