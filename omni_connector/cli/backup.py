"""`omni-connector backup` and `restore`: everything in one sealed file, and back. (P-61)"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import click

from omni_connector.cli import prompts
from omni_connector.cli.base import Stop, json_option
from omni_connector.cli.desk import ask, running
from omni_connector.cli.office import home, plain_errors
from omni_connector.cli.output import facts, note, say, show, when
from omni_connector.cli.transfer import new_passphrase, secret_of

Json = dict[str, Any]

_PASSPHRASE = click.option("--passphrase-env", metavar="NAME", help="The passphrase, from this environment variable.")


@click.command()
@click.argument("file")
@_PASSPHRASE
@click.option("--force", is_flag=True, help="Overwrite FILE.")
@json_option
def backup(file: str, passphrase_env: str | None, force: bool, as_json: bool) -> None:
    """Write everything (accounts, keys, settings, books, master key, admin key, .env) to FILE, encrypted with a passphrase. 0600.

    The server may run meanwhile. Not in it: logs, and the copies in backups/.

    \b
    Examples:
      omni-connector backup omni.backup
      WORDS=… omni-connector backup /mnt/usb/omni.backup --passphrase-env WORDS --json
    """
    from omni_connector.backup import move

    target = Path(file)
    if not force and (target.exists() or target.is_symlink()):
        raise Stop(f"{target} is there already. Choose another name, or add --force.")
    if not target.absolute().parent.is_dir():
        raise Stop(f"There is no folder {target.absolute().parent}.")
    passphrase = new_passphrase(passphrase_env, otherwise="")
    told = ask("backup", {"passphrase": passphrase, "download": False})
    move(home() / "backups" / told["file"], target)
    answer = {"file": str(target), "bytes": told["bytes"], "made_at": told["made_at"]}
    show(answer, as_json, lambda _: _written(target, told["bytes"]))


def _written(target: Path, size: int) -> None:
    say(f"Everything is in {target} ({size / 1e6:.1f} MB).")
    note("Keep the passphrase: without it nobody can open the file, you included.")


@click.command()
@click.argument("file", required=False)
@click.option("--snapshot", metavar="NAME", help="A copy in backups/ instead of a FILE.")
@_PASSPHRASE
@click.option("--keep-files", is_flag=True, help="Leave .env and the admin key of this machine as they are.")
@click.option("--force", is_flag=True, hidden=True)
@json_option
def restore(file: str | None, snapshot: str | None, passphrase_env: str | None, keep_files: bool, force: bool, as_json: bool) -> None:
    """Put a backup FILE, or a copy of the daily ring, in place of the present database. The server must be stopped.

    A FILE also brings its .env, its admin key and its master key. It is examined before anything is changed, and what is there now is
    kept in backups/before-restore-…, from where --snapshot brings it back.

    \b
    Examples:
      omni-connector restore omni.backup
      omni-connector restore --snapshot omni-1795000000000.db
    """
    from omni_connector.restoring import restore as carry_out

    if (file is None) == (snapshot is None):
        raise click.UsageError(
            "Name a FILE, or a copy in backups/ with --snapshot." if file is None else "Give a FILE or --snapshot, not both."
        )
    server = running(home())
    if server is not None:
        why = " --force does not help: the server would go on writing into the old file." if force else ""
        raise Stop(f"The server is running (process {server.pid}).{why} Stop it first: omni-connector stop")
    source = None if file is None else Path(file)
    if source is not None and not source.is_file():
        raise Stop(f"There is no file {source}.")
    passphrase = "" if source is None else _passphrase(passphrase_env)
    with plain_errors():
        told = asyncio.run(
            carry_out(home(), os.environ, file=source, copy=snapshot or "", passphrase=passphrase, keep_files=keep_files, now_ms=_now_ms())
        )
    show(told, as_json, _restored)


def _passphrase(variable: str | None) -> str:
    if variable:
        return secret_of(variable)
    if not prompts.terminal():
        raise click.UsageError("Give its passphrase with --passphrase-env NAME.")
    return prompts.secret("Passphrase of the backup:")


def _now_ms() -> int:
    from omni_connector.admin import now_ms

    return now_ms()


def _restored(told: Json) -> None:
    migrated = told["schema"] != told["schema_before"]
    facts(
        (
            ("restored", f"{told['accounts']} accounts, {told['keys']} keys"),
            ("as of", when(told["made_at"]) if told["made_at"] else None),
            ("schema", f"{told['schema_before']} → {told['schema']}" if migrated else told["schema"]),
            ("database", told["database"]),
            ("also", ", ".join(told["files"]) or None),
            ("kept before", told["kept"]),
        )
    )
    if told["kept"]:
        note(f"To undo this: omni-connector restore --snapshot {Path(told['kept']).name}")
    note("Start the server: omni-connector")
