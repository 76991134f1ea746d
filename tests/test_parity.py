"""Command line, admin API and dashboard can do the same: what one of the three faces has, the others have, or a reason says why not.

Nothing here is remembered: commands are walked through click, routes through the table behind /openapi.json (which test_building holds to
the routes that are served), and the dashboard's calls are read from its sources. (R-17)
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase

import click

from omni_connector.cli.desk import OPERATIONS as DESK
from omni_connector.cli.shell import root
from omni_connector.openapi import OPERATIONS
from omni_connector.root import ROOT

COMMANDS: Mapping[str, str] = {
    "admin *": "client_key admin_key admin_password set_config config",
    "alerts add": "add_alert_channel",
    "alerts edit": "edit_alert_channel",
    "alerts list": "alerts",
    "alerts remove": "alert_channels remove_alert_channel",
    "alerts test": "test_alert_channel",
    "backend add": "add_account test_unsaved",
    "backend clear-cooldown": "clear_cooldown",
    "backend disable": "disable",
    "backend edit": "edit_account",
    "backend enable": "enable",
    "backend export": "export_accounts",
    "backend gemini-oauth-login": "adopt_sign_in start_sign_in",
    "backend import": "discover import_accounts",
    "backend list": "accounts",
    "backend login": "start_sign_in sign_in complete_sign_in",
    "backend models": "edit_account",
    "backend probe": "probe",
    "backend refresh": "refresh",
    "backend remove": "remove_account",
    "backend show": "account",
    "backend test": "test",
    "backup": "backup",
    "chain list": "config",
    "chain remove": "remove_chain",
    "chain set": "set_chain",
    "client *": "client_key set_config config",
    "completion": "– writes no more than what the shell needs",
    "config alias": "set_alias remove_alias",
    "config default-model": "set_config",
    "config get": "config",
    "config list": "config",
    "config reload": "reload_config",
    "config set": "set_config",
    "config strategy": "set_config",
    "doctor": "– examines the machine of who asks, also where no server starts",
    "explain": "explain",
    "files download": "config_files",
    "files list": "config_files",
    "files remove": "remove_config_file",
    "files show": "config_file",
    "jobs cancel": "cancel_job",
    "jobs list": "jobs",
    "jobs run": "run_job",
    "key create": "create_key",
    "key edit": "edit_key",
    "key list": "keys",
    "key revoke": "revoke_key",
    "key rotate": "rotate_key",
    "key show": "keys",
    "limit list": "limits",
    "limit remove": "remove_limit remove_installation_limit",
    "limit set": "set_limit set_installation_limit",
    "logs": "requests",
    "migrate-to": "– copies the database, so no server may run",
    "partitions": "– makes tables, as the role that owns the database",
    "models": "provider_models",
    "open": "– is the way to the dashboard",
    "price list": "prices",
    "price remove": "remove_price",
    "price reprice": "reprice",
    "price set": "set_price",
    "provider disable": "disable_provider",
    "provider edit": "edit_provider",
    "provider enable": "enable_provider",
    "provider list": "providers",
    "provider show": "provider",
    "quota": "quota",
    "reload": "change_service",
    "restore": "– replaces the database, so no server may run",
    "rollback": "– replaces the program that would answer",
    "serve": "– is the server",
    "service *": "– belongs to the machine's service manager",
    "setup": "– works on the files of the machine it is called on; the server does it for its own machine",
    "status": "system config",
    "stop": "– ends the server",
    "update": "– replaces the program that would answer",
    "usage": "usage usage_of reconciliations",
    "verify": "accounts provider_models create_key revoke_key requests",
}
"""Command → the operations of the admin API that it calls, or, behind a dash, why it calls none."""

NO_COMMAND: Mapping[str, str] = {
    "GET /api/session": "the dashboard's own sign-in",
    "POST /api/session/link": "`open` calls it",
    "POST /api/log*": "the dashboard's own sign-in",
    "GET /api/hello": "asked by Claude Code",
    "POST /api/upload-oauth-credentials": "another name of /api/accounts/import",
    "POST /api/providers/{provider_id}/generate-auth-url": "another name of /api/oauth/{provider_id}/start",
    "* /api/providers/{provider_id}/{wanted}*": "another name of /api/accounts/{account_id}",
    "POST /api/providers/{provider_id}/health-check": "`backend test --all`",
    "POST /api/providers/{provider_id}/reset-health": "`backend clear-cooldown`, account by account",
    "GET /api/provider-models/{provider_id}": "`models` filters",
    "GET /api/aliases/{name}": "`config list` shows all",
    "GET /api/chains/{name}": "`chain list` shows all",
    "GET /api/upload-configs/download-all": "`files download` packs them itself: they are on this machine",
    "* /api/clients*": "`setup` does it on the machine it is called on",
    "GET /api/agent-prompt": "`setup other` prints it",
    "* /v1/router/config*": "other names of accounts, settings, aliases and chains",
    "GET /v1/router/status": "`status` and `backend list`",
    "GET /v1/router/usage": "`usage`",
    "POST /api/update/check": "`update --check` looks by itself: it also works where no server starts",
    "POST /api/jobs/tick": "for a clock outside of us, where no process stays up",
    "GET /api/events": "what the dashboard lives on",
    "GET /provider_health": "for monitors",
    "GET /metrics": "for monitors",
}
"""Routes that are no operation of the command line, and why."""

NO_FORM: Mapping[str, str] = {
    "POST /api/session/link": "`open` asks for it",
    "GET /api/hello": "asked by Claude Code",
    "GET /api/accounts/export": "the same as POST, for a plain link",
    "POST /api/oauth/{provider_id}/adopt": "tokens that another program of this machine got: only a command sees them",
    "POST /api/upload-oauth-credentials": "another name of /api/accounts/import",
    "POST /api/providers/{provider_id}/generate-auth-url": "another name of /api/oauth/{provider_id}/start",
    "* /api/providers/{provider_id}/{wanted}*": "another name of /api/accounts/{account_id}",
    "POST /api/providers/{provider_id}/health-check": "each account has its test",
    "POST /api/providers/{provider_id}/reset-health": "each account has its button",
    "GET /api/providers*": "they come with the events",
    "GET /api/provider-models/{provider_id}": "the list filters",
    "GET /api/accounts/{account_id}": "they come with the events",
    "GET /api/system": "it comes with the events",
    "GET /api/aliases/{name}": "they come with the settings",
    "GET /api/chains/{name}": "they come with the settings",
    "GET /api/alerts/channels": "they come with the alerts",
    "GET /api/usage/{provider_id}": "usage is shown by account, model or provider, each with its share",
    "POST /api/client-key": "the Keys view makes, replaces and revokes keys; this is for one known from elsewhere",
    "POST /api/admin-key": "the dashboard is opened without it: who needs another one is at a terminal",
    "* /api/service-mode": "what runs is told by /api/system; a reload is for who has just changed the program",
    "POST /api/reload-config": "changes need no reload; it is there for other programs' habits",
    "* /v1/router/config*": "other names of accounts, settings, aliases and chains",
    "GET /v1/router/*": "other names of what it shows",
    "POST /api/jobs/tick": "for a clock outside of us, where no process stays up",
    "GET /provider_health": "for monitors",
    "GET /metrics": "for monitors",
}
"""Routes that the dashboard does not call, and why."""

_CALL = re.compile(
    r"""(?:\b(?P<name>get|post|patch|put|del|call|fetch|EventSource)\(\s*(?:"(?P<verb>[A-Z]+)",\s*)?)?"""
    r"""(?P<text>`/[^`]*`|"/[^"\n]*")"""
)
_VERBS = {"get": "GET", "post": "POST", "patch": "PATCH", "put": "PUT", "del": "DELETE", "EventSource": "GET"}


def commands() -> Iterator[str]:
    def walk(command: click.Command, path: list[str]) -> Iterator[str]:
        if isinstance(command, click.Group):
            for name, inner in command.commands.items():
                yield from walk(inner, [*path, name])
        else:
            yield " ".join(path)

    yield from walk(root, [])


def routes() -> list[str]:
    return [operation.call for operation in OPERATIONS if operation.access == "admin" or operation.path.startswith("/api")]


def dashboard_calls() -> list[tuple[str, re.Pattern[str]]]:
    """(method, "" where the source does not say; a pattern of paths) of every address in the dashboard's sources."""
    found = []
    for path in [*ROOT.glob("static/*.js"), *ROOT.glob("static/views/*.js")]:
        source = path.read_text("utf-8")
        for hit in _CALL.finditer(source):
            text = hit["text"][1:-1].partition("?")[0] if hit["text"][0] == '"' else hit["text"][1:-1]
            if text.startswith(("/api", "/v1/router")):
                # What is given a name first is called with something behind it as well.
                more = "(?:/[^/]+)?" if source[: hit.start()].endswith("= ") else ""
                found.append((hit["verb"] or _VERBS.get(hit["name"] or "", ""), re.compile(_pattern(text) + more)))
    return found


def _pattern(text: str) -> str:
    """Of a template: `${a ? "x" : "y"}` is one of the words, any other insertion anything but a slash; to an open end more is
    added in the source."""
    parts = re.split(r"(\$\{[^}]*\})", text)
    made = ""
    for part in parts:
        if part.startswith("${"):
            words = re.findall(r'"([a-z-]+)"', part)
            made += f"(?:{'|'.join(words)})" if words else "[^/]*"
        else:
            made += re.escape(part.partition("?")[0])
    return made + (".*" if made.endswith("/") else "")


def test_every_command_has_its_operations_or_a_reason() -> None:
    told = {command: next((row for pattern, row in COMMANDS.items() if fnmatchcase(command, pattern)), None) for command in commands()}
    assert not [command for command, row in told.items() if row is None], "a command without a row in COMMANDS"
    named = {name for row in told.values() if row and not row.startswith("–") for name in row.split()}
    assert sorted(named - DESK.keys()) == [], "an operation that the desk does not know"
    assert sorted(DESK.keys() - named - UNCALLED.keys()) == [], "an operation that no command calls"
    spoken = {
        node.value
        for path in (ROOT / "omni_connector" / "cli").glob("*.py")
        if path.name != "desk.py"
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    ends = tuple(piece for piece in spoken if re.fullmatch(r"(_[a-z]+)+", piece))  # f"{verb}_limit"
    assert [name for name in sorted(named - spoken) if not name.endswith(ends)] == [], (
        "COMMANDS names an operation that no command's source does"
    )


UNCALLED = {
    "request": "`logs --requests` shows the rows",
    "backups": "`restore` names the copies",
    "service_mode": "`status` tells it",
    "cancel_sign_in": "Ctrl-C ends the command, and the sign-in expires by itself",
}
"""Operations of the desk that no command calls, and why."""


def test_every_route_has_a_command_or_a_reason() -> None:
    known = {(method, path.replace("{}", "X")) for method, path in DESK.values()}
    assert _unexplained(routes(), lambda method, path: any(method == verb and _is(at, path) for verb, at in known), NO_COMMAND) == []


def _is(at: str, path: str) -> bool:
    """Whether the desk's address, its arguments X, is this path of the document."""
    return re.fullmatch(at.replace("X", "[^/]+"), re.sub(r"\{\w+\}", "X", path)) is not None


def test_every_route_has_a_form_or_a_reason() -> None:
    calls = dashboard_calls()
    assert len(calls) > 50

    def is_called(method: str, path: str) -> bool:
        shown = re.sub(r"\{\w+\}", "X", path)
        return any(verb in ("", method) and pattern.fullmatch(shown) for verb, pattern in calls)

    assert _unexplained(routes(), is_called, NO_FORM) == []


def test_the_dashboard_calls_nothing_that_is_not_there() -> None:
    spelled = [(operation.method, re.sub(r"\{\w+\}", "X", operation.path)) for operation in OPERATIONS]
    lost = [
        (verb, pattern.pattern)
        for verb, pattern in dashboard_calls()
        if not any(verb in ("", method) and pattern.fullmatch(path) for method, path in spelled)
    ]
    assert not lost


def _unexplained(calls: list[str], is_there: object, reasons: Mapping[str, str]) -> list[str]:
    """Calls without a counterpart and without a reason, and reasons that nothing needs."""
    assert callable(is_there)
    missing = [call for call in calls if not is_there(*call.split(" ", 1))]
    unexplained = [call for call in missing if not any(fnmatchcase(call, pattern) for pattern in reasons)]
    stale = [pattern for pattern in reasons if not any(fnmatchcase(call, pattern) for call in missing)]
    return unexplained + [f"needless reason: {pattern}" for pattern in stale]
