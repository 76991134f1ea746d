"""`omni-connector files …`: what lies in OMNI_HOME, looked at, removed or packed, with every secret masked. (C-84…C-87, P-37)"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from omni_connector.cli.base import Group, Stop, json_option
from omni_connector.cli.desk import ask
from omni_connector.cli.office import home, local_gateway
from omni_connector.cli.output import count, note, say, show, table, when

Json = dict[str, Any]


@click.group(cls=Group)
def files() -> None:
    """The files of OMNI_HOME: configuration, logs, copies. Secrets are masked in all that is shown, and keys are never opened."""


@files.command("list")
@json_option
def list_files(as_json: bool) -> None:
    """Every file, what it is, and whether it can be shown or removed."""
    show(ask("config_files"), as_json, _show)


def _show(answer: Json) -> None:
    marks = {True: "yes", False: "–"}
    rows = [
        (one["path"], one["kind"], count(one["bytes"]), when(one["changed_at"]), marks[one["shown"]], marks[one["removable"]])
        for one in answer["files"]
    ]
    table(("FILE", "KIND", "BYTES", "CHANGED", "SHOWN", "REMOVABLE"), rows, right=("BYTES",))
    note(f"In {answer['home']}.")


@files.command("show")
@click.argument("path")
@json_option
def show_file(path: str, as_json: bool) -> None:
    """The text of PATH, as 'files list' names it; of a long one its end."""
    show(ask("config_file", path), as_json, lambda one: say(one["content"].rstrip("\n")))


@files.command()
@click.argument("path")
@json_option
def remove(path: str, as_json: bool) -> None:
    """Remove PATH. What would be missed (keys, database, .env) is refused."""
    show(ask("remove_config_file", path), as_json, lambda one: say(f"{one['path']} is removed."))


@files.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--force", is_flag=True, help="Replace FILE where there is one.")
@json_option
def download(file: Path, force: bool, as_json: bool) -> None:
    """All that is shown, as it is shown, in one ZIP: to send along with a question."""
    if file.exists() and not force:
        raise Stop(f"{file} is there already. Give --force to replace it.")
    data = _archive()
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as target:
            target.write(data)
    except OSError as error:
        raise Stop(f"{file} cannot be written ({error.strerror}).") from error
    show({"file": str(file), "bytes": len(data)}, as_json, lambda one: say(f"{one['file']} is written ({count(one['bytes'])} bytes)."))


def _archive() -> bytes:
    """The files are on this machine: a server is not needed to read them."""
    import asyncio

    async def pack() -> bytes:
        async with local_gateway(home()) as gateway:
            return bytes(await gateway.admin.config_archive())

    return asyncio.run(pack())
