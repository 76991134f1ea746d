"""`omni-connector backend import` and `backend export`: accounts from other programs and files, and into files. (P-14, P-26…P-28, P-38)"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from omni_connector.cli import prompts
from omni_connector.cli.base import Stop, json_option
from omni_connector.cli.desk import ask
from omni_connector.cli.output import few, note, say, show, table
from omni_connector.errors import GatewayError

Json = dict[str, Any]

MOST_BYTES = 16 << 20
SHOWN = 40
"""Rows of a report that are shown; of what failed, all."""
FOLDERS = ("antigravity", "gemini", "kiro", "kimi")
"""Folders whose name says whose `oauth_creds.json` it is (configs/antigravity/oauth_creds.json). (C-64)"""


# ---------------------------------------------------------------- In


@click.command("import")
@click.argument("file", required=False)
@click.option("--found", metavar="ID", multiple=True, help="Import this one of what is found on this machine. Repeatable.")
@click.option("--all", "every", is_flag=True, help="Import all that is found and not connected yet.")
@click.option("--provider", help="Whose sign-in the file holds, where it does not say so itself.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option(
    "--on-conflict", type=click.Choice(["skip", "rename", "update"]), default="skip", help="Where there is such an account (default: skip)."
)
@click.option("--settings", is_flag=True, help="Take over the settings in the file as well.")
@click.option("--client-from-cli", is_flag=True, help="Google sign-ins: take the OAuth client from the installed gemini-cli.")
@click.option("--passphrase-env", metavar="NAME", help="Passphrase of an encrypted export, from this environment variable.")
@click.option("--discover/--no-discover", default=True, help="Ask the providers for their models at once (default: yes).")
@click.option("--yes", "-y", is_flag=True, help="Accept providers' terms, switch their sign-ins on, and do not ask.")
@json_option
def import_(file: str | None, as_json: bool, yes: bool, **given: Any) -> None:
    """Bring accounts in: from FILE ('-': standard input), or from what other programs keep on this machine.

    Without arguments it lists what is found, and on a terminal lets you pick. Nothing is changed there. Some sign-ins can live in one
    place only: it is said when the other program would be signed out. Files: exports of omni-connector, OneProxy and one-api, files of
    CLIProxyAPI, provider_pools.json, and the sign-ins of Codex, Gemini CLI, Antigravity, Kimi and Kiro.

    \b
    Examples:
      omni-connector backend import
      omni-connector backend import --found codex --found env:OPENAI_API_KEY
      omni-connector backend import accounts.json --dry-run
      ssh old-machine omni-connector backend export --plain | omni-connector backend import -
    """
    if file is not None and (given["found"] or given["every"]):
        raise click.UsageError("Give a FILE, or --found and --all, not both.")
    body: Json = {name: given[name] for name in ("dry_run", "on_conflict", "settings", "client_from_cli", "discover")}
    if file is not None:
        body |= {"content": _content(file), "provider": given["provider"] or _hint(file)}
        body |= {"passphrase": secret_of(given["passphrase_env"])} if given["passphrase_env"] else {}
    else:
        body["ids"] = _ids(given["found"], given["every"], yes=yes, as_json=as_json)
        if not body["ids"]:
            return
    told = _import(body, yes=yes, as_json=as_json)
    show(told, as_json, show_report)
    click.get_current_context().exit(1 if told["failed"] else 0)


def _import(body: Json, *, yes: bool, as_json: bool) -> Json:
    """The report, when the user has decided all that is for him to decide: an import that is repeated goes on."""
    answered: set[str] = set()
    first: Json | None = None
    while True:
        try:
            told = ask("import_accounts", body)
        except GatewayError as error:
            if error.code != "passphrase_needed" or not prompts.terminal() or as_json:
                raise
            body = {**body, "passphrase": prompts.secret("Passphrase of the export:")}
            continue
        # What came in at first is "skipped" the second time.
        told = told if first is None else _joined(first, told)
        open_asks = [one for one in told["asks"] if f"{one['provider']} {one['code']}" not in answered]
        if not open_asks or (not yes and (as_json or not prompts.terminal())):
            return told
        answered |= {f"{one['provider']} {one['code']}" for one in open_asks}
        accepted = [one for one in open_asks if _accepts(one, yes=yes)]
        if not accepted:
            return told
        # Terms that were not shown yet, behind a sign-in that is off, are asked for in the next round.
        names = {one["provider"] for one in accepted if one["code"] == "notice"}
        body = {**body, "acknowledged": sorted({*body.get("acknowledged", []), *names})}
        _switch_on(sorted(one["provider"] for one in accepted if one["code"] == "connector_off"))
        first = told


def _accepts(one: Json, *, yes: bool) -> bool:
    note(one["message"])
    question = "Import under these terms?" if one["code"] == "notice" else f"Switch {one['provider']} on?"
    return yes or prompts.confirm(question, default=False)


def _switch_on(names: Sequence[str]) -> None:
    if names:
        rows = ask("config")["settings"]
        on = next((list(row["value"]) for row in rows if row["name"] == "connectors"), [])
        ask("set_config", {"connectors": sorted({*on, *names})})


def _joined(first: Json, second: Json) -> Json:
    """One report of two runs over the same entries: what the first one did stays done."""
    rows = [
        before if before["outcome"] in ("added", "updated") else after
        for before, after in zip(_in_order(first), _in_order(second), strict=True)
    ]
    counts = {name: sum(row["outcome"] == name for row in rows) for name in ("added", "updated", "skipped", "failed")}
    return {**second, **counts, "accounts": rows}


def _in_order(told: Json) -> list[Json]:
    """By entry, and the accounts of one entry as they came: what failed may stand elsewhere in the second report."""
    return sorted(told["accounts"], key=lambda row: str(row["where"]))


# ---------------------------------------------------------------- What is found


def _ids(found: Sequence[str], every: bool, *, yes: bool, as_json: bool) -> list[str]:
    """The ids to import; [] when there is nothing to do but to list."""
    there = ask("discover")
    if found and not every:
        for one in there["found"]:
            if one["id"] in found and one["warning"]:
                note(f"{one['title']}: {one['warning']}")
        return list(found)
    fresh = [one for one in there["found"] if one["importable"] and not one["already"]]
    if every:
        left = [one["id"] for one in fresh if one["warning"] and not _shares(one, yes=yes, as_json=as_json)]
        if left:
            note(f"Left out, since the other program would be signed out (--yes or --found imports them): {', '.join(left)}")
        return [*found, *(one["id"] for one in fresh if one["id"] not in left)]
    show(there, as_json, show_found)
    if as_json or not prompts.terminal() or not fresh:
        return []
    titles = {f"{one['title']}{' · ' + one['who'] if one['who'] else ''} ({one['id']})": one for one in fresh}
    picked = [titles[title] for title in prompts.several("Import which?", [(title, not one["warning"]) for title, one in titles.items()])]
    return [one["id"] for one in picked if not one["warning"] or _shares(one, yes=yes, as_json=False)]


def _shares(one: Json, *, yes: bool, as_json: bool) -> bool:
    """Whether a sign-in is imported that another program goes on with."""
    if yes:
        return True
    if as_json or not prompts.terminal():
        return False
    note(f"{one['title']}: {one['warning']}")
    return prompts.confirm(f"Import {one['title']} all the same?", default=False)


def show_found(answer: Json) -> None:
    if not answer["found"]:
        say("Nothing was found on this machine. Connect an account: omni-connector backend add")
        return
    rows = [(one["id"], one["title"], one["who"] or few(one["models"]), _standing(one), one["where"]) for one in answer["found"]]
    table(("ID", "WHAT", "WHO", "STANDING", "WHERE"), rows)
    for one in answer["found"]:
        if one["why_not"]:
            note(f"{one['id']}: {one['why_not']}")
        elif one["warning"] and not one["already"]:
            note(f"{one['id']}: {one['warning']}")


def _standing(one: Json) -> str:
    return "connected" if one["already"] else "can be imported" if one["importable"] else "not imported"


def show_report(told: Json) -> None:
    would = "would be " if told["dry_run"] else ""
    parts = [f"{told[name]} {would if name != 'failed' else ''}{name}" for name in ("added", "updated", "skipped", "failed") if told[name]]
    say(f"{', '.join(parts) or 'Nothing to do'}.")
    rows = [row for row in told["accounts"] if row["outcome"] == "failed"]
    rows += [row for row in told["accounts"] if row["outcome"] != "failed"][: max(0, SHOWN - len(rows))]
    if rows:
        table(
            ("ENTRY", "LABEL", "PROVIDER", "OUTCOME", "WHY"),
            [(row["where"], row["label"], row["provider"], row["outcome"], row["why"] or row["note"]) for row in rows],
        )
    if len(rows) < told["total"]:
        note(f"and {told['total'] - len(rows)} more (--json shows all)")
    for part in ("aliases", "chains", "prices", "limits", "settings"):
        if told["also"][part]:
            say(f"{part}: {', '.join(told['also'][part])}")
    for line in told["also"]["left_out"]:
        note(f"Left out: {line}")
    for one in told["asks"]:
        note(f"{one['message']} To accept this, add --yes.")


# ---------------------------------------------------------------- Out


@click.command("export")
@click.argument("file", required=False)
@click.option("--format", "form", type=click.Choice(["omni", "oneproxy"]), default="omni", help="omni (default) or oneproxy.")
@click.option("--passphrase-env", metavar="NAME", help="Encrypt it with the passphrase in this environment variable.")
@click.option("--plain", is_flag=True, help="Do not encrypt it.")
@click.option("--no-secrets", is_flag=True, help="Leave keys and sign-ins out.")
@click.option("--with-settings", is_flag=True, help="Settings as well, but for secret ones.")
@click.option("--force", is_flag=True, help="Overwrite FILE; write credentials to a terminal.")
@json_option
def export(
    file: str | None, form: str, passphrase_env: str | None, plain: bool, no_secrets: bool, with_settings: bool, force: bool, as_json: bool
) -> None:
    """Write all accounts to FILE (0600), encrypted with a passphrase or --plain; without FILE to standard output.

    \b
    Examples:
      omni-connector backend export accounts.json
      BACKUP=… omni-connector backend export accounts.json --passphrase-env BACKUP
      omni-connector backend export --plain --format oneproxy > accounts.json
    """
    if plain and passphrase_env:
        raise click.UsageError("--plain and --passphrase-env exclude each other.")
    to_stdout = file in (None, "-")
    if to_stdout and as_json:
        raise click.UsageError("--json tells about the file: name a FILE.")
    if to_stdout and sys.stdout.isatty() and not no_secrets and not force:
        raise click.UsageError("Credentials are not written to a terminal. Name a FILE, or add --force.")
    target = Path(file or "-")
    if not to_stdout and not force and (target.exists() or target.is_symlink()):
        raise Stop(f"{target} is there already. Choose another name, or add --force.")
    passphrase = "" if plain or no_secrets else new_passphrase(passphrase_env)
    include = ["aliases", "chains", "prices", "limits", *(["settings"] if with_settings else [])]
    body = {"format": form, "secrets": not no_secrets, "include": include, "passphrase": passphrase, "download": False}
    told = ask("export_accounts", body)
    content = told.pop("content")
    if told["warning"]:
        note(told["warning"])
    if told["left_out"]:
        note(f"{told['left_out']} accounts are left out: this format has no word for them.")
    if to_stdout:
        sys.stdout.write(content)
        return
    write_private(target, content)
    show({**told, "file": str(target)}, as_json, lambda answer: say(f"{answer['accounts']} accounts are in {target}."))


def new_passphrase(variable: str | None, otherwise: str = ", or say --plain") -> str:
    """From the environment variable, else asked for twice. `otherwise`: what else one could do, for the words where nobody can answer."""
    if variable:
        return secret_of(variable)
    if not prompts.terminal():
        raise click.UsageError(f"Encrypt it with --passphrase-env NAME{otherwise}.")
    first = prompts.secret("Passphrase (8 characters or more):")
    if prompts.secret("The same again:") != first:
        raise Stop("The two passphrases differ. Nothing was written.")
    return first


def secret_of(variable: str) -> str:
    """What an environment variable holds. Raises UsageError where that is nothing."""
    found = os.environ.get(variable, "")
    if not found:
        raise click.UsageError(f"--passphrase-env: the environment variable {variable} is not set or empty.")
    return found


def write_private(target: Path, content: str) -> None:
    """A 0600 file, whole or not at all; what stood there is replaced, not written through."""
    part = target.with_name(f".{target.name}.{secrets.token_hex(6)}")
    try:
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise Stop(f"{target} cannot be written ({error.strerror}).") from error


# ---------------------------------------------------------------- Files


def _content(name: str) -> str:
    try:
        if name == "-":
            data = sys.stdin.buffer.read(MOST_BYTES + 1)
        else:
            with Path(name).open("rb") as file:
                data = file.read(MOST_BYTES + 1)
    except IsADirectoryError:
        raise Stop(f"{name} is a folder. Import its files one by one; ~/.cli-proxy-api is found by 'backend import' itself.") from None
    except OSError as error:
        raise Stop(f"{name} cannot be read ({error.strerror}).") from error
    if len(data) > MOST_BYTES:
        raise Stop(f"{name} is larger than {MOST_BYTES >> 20} MB.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Stop(f"{name} is no text in UTF-8, so it holds no accounts.") from None


def _hint(name: str) -> str:
    path = Path(name)
    return path.parent.name if path.name == "oauth_creds.json" and path.parent.name in FOLDERS else ""
