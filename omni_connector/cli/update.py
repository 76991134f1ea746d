"""`omni-connector update` and `rollback`, also as --update (--upd) and --rollback. (O-07, O-08)"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from omni_connector.cli import prompts
from omni_connector.cli.base import Stop, json_option
from omni_connector.cli.office import home, plain_errors
from omni_connector.cli.output import facts, note, say, show

Json = dict[str, Any]


@click.command()
@click.option("--check", is_flag=True, help="Only tell what is offered; change nothing.")
@click.option("--from", "source", default="", metavar="SOURCE", help="A .tar.gz/.tgz/.zip archive, a URL of one, or a checkout.")
@click.option("--sha256", default="", metavar="HEX", help="The archive's checksum; required for a URL that is not the default one.")
@click.option("--activate", "name", default="", hidden=True, help="A release that install.sh has built already.")
@json_option
def update(check: bool, source: str, sha256: str, name: str, as_json: bool) -> None:
    """Bring omni-connector to a newer release: built beside the present one, tried on a copy of your data, then switched to.

    Each step is told. The release before goes on serving until the new one has proved itself; when that fails, it stays. Broken off in
    any step, the same command goes on. Without --from, the address in OMNI_ARCHIVE_URL is used.

    \b
    Examples:
      omni-connector update --check
      omni-connector update --from omni-connector-1.2.0.tar.gz
      omni-connector update --from https://files.example.org/omni-connector-1.2.0.tar.gz --sha256 HEX
    """
    from omni_connector.updating import steps

    source = _local(source, sha256)
    with plain_errors():
        if check:
            show(steps.check(home(), os.environ, source, sha256), as_json, _show_check)
            return
        told = steps.update(home(), os.environ, note if as_json else _tell, source=source, sha256=sha256, name=name)
    show(told, as_json, _show_done)


def _tell(step: str) -> None:
    """At once, in a pipe too: install.sh and whoever waits see how far it is."""
    say(step)
    sys.stdout.flush()


def _local(source: str, sha256: str) -> str:
    """A path from here: install.sh runs elsewhere. Raises click.UsageError."""
    if source and "://" not in source:
        return str(Path(source).absolute())
    if source and not sha256 and source != os.environ.get("OMNI_ARCHIVE_URL", ""):
        raise click.UsageError("--from a URL needs --sha256 HEX.")
    return source


def _show_check(told: Json) -> None:
    schema = told["schema"]
    facts(
        (
            ("installed", told["present"]),
            ("offered", f"{told['offered']}, from {told['source']}"),
            ("schema", f"{schema['present']} → {schema['offered']}: a copy is kept" if schema["moves"] else "stays"),
            ("before", told["previous"]),
        )
    )
    if told["unfinished"]:
        note("An update was begun and not finished: omni-connector update goes on with it.")
    note("To update: omni-connector update" if told["update"] else "There is nothing newer.")


def _show_done(told: Json) -> None:
    if not told["updated"]:
        return
    say(f"{told['before']} → {told['version']}. Keys, settings and clients stay as they are.")
    for name, number in told.get("lost", {}).items():
        say(f"  left behind: {number} {name}")
    say("To go back: omni-connector rollback")


@click.command()
@click.option("--yes", is_flag=True, help="Do not ask, also where rows would be left behind.")
@json_option
def rollback(yes: bool, as_json: bool) -> None:
    """Go back to the release before. Nothing is lost unless the schema of the database moved: then what would be is told, and asked.

    \b
    Examples:
      omni-connector rollback
      omni-connector rollback --yes --json
    """
    from omni_connector.updating import steps

    def agreed(facts: Json) -> bool:
        lost = ", ".join(f"{number} {name}" for name, number in facts["lost"].items())
        note(f"{facts['version']} cannot read the present database. It would go on with {facts['copy']}.")
        note(
            f"Left behind, in a folder of backups/: {lost}, and what else changed since. Sign-ins renewed since may have to be done again."
        )
        if yes:
            return True
        if not prompts.terminal():
            raise Stop(f"Going back leaves behind {lost}. Say --yes to do it; the present database is kept in backups/.")
        return prompts.confirm("Go back all the same?", default=False)

    with plain_errors():
        told = steps.rollback(home(), os.environ, note if as_json else _tell, agreed)
    show(told, as_json, _show_done)
