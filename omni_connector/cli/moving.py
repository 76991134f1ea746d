"""`omni-connector migrate-to`: everything into another database, and back. (J-12)"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from omni_connector.cli.base import Stop, json_option
from omni_connector.cli.desk import running
from omni_connector.cli.office import environment, home, plain_errors
from omni_connector.cli.output import facts, note, show

if TYPE_CHECKING:
    from omni_connector.store.copying import Step

Json = dict[str, Any]


@click.command("migrate-to")
@click.argument("url", required=False)
@click.option("--url-env", metavar="NAME", help="The address, from this environment variable: other users of this machine cannot see it.")
@click.option("--resume", is_flag=True, help="Go on with a copy that was interrupted.")
@json_option
def migrate_to(url: str | None, url_env: str | None, resume: bool, as_json: bool) -> None:
    """Copy everything into another database: from SQLite to PostgreSQL, or back. The server must be stopped.

    URL is postgresql://USER:PASSWORD@HOST/NAME or sqlite:////absolute/path/omni.db; the database must be there and empty. All rows are
    copied, then compared with the source one by one. The present database stays as it is, and in use until OMNI_DATABASE_URL names the
    other one. Keys and logs in OMNI_HOME stay where they are.

    \b
    Examples:
      omni-connector migrate-to postgresql://omni:…@db.example.org/omni?sslmode=verify-full
      TARGET=postgresql://… omni-connector migrate-to --url-env TARGET
      omni-connector migrate-to sqlite:////home/me/.omni-connector/back.db
    """
    from omni_connector.admin import now_ms
    from omni_connector.moving import moved

    if (url is None) == (url_env is None):
        raise click.UsageError("Give the URL of the other database, or --url-env NAME.")
    wanted = url or os.environ.get(url_env or "", "")
    if not wanted:
        raise click.UsageError(f"The variable {url_env} is empty.")
    server = running(home())
    if server is not None:
        raise Stop(f"The server is running (process {server.pid}). Stop it first: omni-connector stop")
    watcher = _Watcher(quiet=as_json)
    with plain_errors():
        told = moved(home(), environment(home()), wanted, resume=resume, now=now_ms(), tell=watcher)
    show(told, as_json, _told)


class _Watcher:
    """One line, written over on a terminal, a line for each table elsewhere."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._terminal = sys.stderr.isatty()

    def __call__(self, step: Step) -> None:
        if self._quiet or (not self._terminal and step.done < step.total) or not step.total:
            return
        text = f"{step.phase} {step.table}: {step.done} of {step.total}"
        if self._terminal:
            print(f"\r\x1b[K{text}", end="\n" if step.done >= step.total else "", file=sys.stderr, flush=True)
        else:
            note(text)


def _told(told: Json) -> None:
    facts((("from", told["from"]), ("to", told["to"]), ("rows", f"{told['rows']}, each compared"), ("sha256", told["sha256"])))
    note("To use it, put this line into .env in OMNI_HOME (with the password), or set it in the environment, and start the server:")
    note(f"  OMNI_DATABASE_URL={told['to']}")
