"""`omni-connector client …` and `omni-connector admin …`: who may enter, and where. (R-21…R-30)

Most of it is settings under friendlier names, so it is the same as `config set` and as the dashboard's form.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import click

from omni_connector.cli.base import Group, Stop, json_option
from omni_connector.cli.desk import ask
from omni_connector.cli.output import note, say, show

Json = dict[str, Any]
Side = Literal["client", "admin"]
DEFAULT = "default"
SWITCH = click.Choice(["on", "off"])
FILE = click.Path(exists=True, dir_okay=False, readable=True, resolve_path=True, path_type=Path)


@click.group(cls=Group)
def client() -> None:
    """The client API's door: its key, its address, its certificate."""


@click.group(cls=Group)
def admin() -> None:
    """The door of the admin API and the dashboard: key, password, address, certificate; open or closed."""


# ---------------------------------------------------------------- keys


@client.command("key")
@click.argument("key")
@json_option
def client_key(key: str, as_json: bool) -> None:
    """Make KEY the key named "client", in place of the one before; '-' reads it from standard input.

    Keys with names, limits and expiry are made by 'omni-connector key create'.
    """
    answer = ask("client_key", {"key": _given(key)})
    show(answer, as_json, lambda told: say(f"The client key is {told['hint']} from now on; the one before is refused."))


@client.command("regen")
@json_option
def client_regen(as_json: bool) -> None:
    """Make a new random key named "client" and print it, this once. The one before is refused from now on."""
    show(ask("client_key", {}), as_json, lambda told: say(told["key"]))


@admin.command("key")
@click.argument("key")
@json_option
def admin_key(key: str, as_json: bool) -> None:
    """Make KEY the admin key; '-' reads it from standard input. Every dashboard session ends."""
    show(ask("admin_key", {"key": _given(key)}), as_json, lambda told: say(f"The admin key in {told['file']} is the new one."))


@admin.command("regen")
@json_option
def admin_regen(as_json: bool) -> None:
    """Make a new random admin key and print it. The one before is refused from now on, and every dashboard session ends."""
    show(ask("admin_key", {}), as_json, lambda told: say(told["key"]))


def _given(key: str) -> str:
    return sys.stdin.readline().strip() if key == "-" else key


@admin.command()
@click.option("--stdin", "from_stdin", is_flag=True, help="Read the password from standard input instead of asking for it.")
@click.option("--remove", is_flag=True, help="Remove the password: the dashboard opens without a login again, on this machine only.")
@json_option
def password(from_stdin: bool, remove: bool, as_json: bool) -> None:
    """Set the dashboard's password. It is wanted before other machines may reach anything; every session ends."""
    if remove and from_stdin:
        raise click.UsageError("Give either --stdin or --remove.")
    text = "" if remove else _asked_password(from_stdin)
    answer = ask("admin_password", {"password": text})
    show(answer, as_json, lambda told: say("The password is set." if told["password_set"] else "There is no password any more."))


def _asked_password(from_stdin: bool) -> str:
    if from_stdin:
        text = sys.stdin.readline().rstrip("\r\n")
        if not text:
            raise Stop("Standard input is empty: no password was given.")
        return text
    if not sys.stdin.isatty():
        raise Stop("There is no terminal to ask for the password on. Pipe it in: omni-connector admin password --stdin")
    return str(click.prompt("New password", hide_input=True, confirmation_prompt=True, err=True))


# ---------------------------------------------------------------- switches


@client.command("auth")
@click.argument("switch", type=SWITCH)
@json_option
def client_auth(switch: str, as_json: bool) -> None:
    """Whether clients need a key. 'off' counts for programs of this machine only; all others need one in any case."""
    _set({"client_auth": switch == "on"}, as_json, lambda _: f"client auth is {switch}")
    if switch == "off":
        note("Every program on this machine can use your accounts now, and spend.")


@admin.command("state")
@click.argument("switch", type=SWITCH)
@json_option
def admin_state(switch: str, as_json: bool) -> None:
    """Open or close the admin API and the dashboard. Commands go on working: on the database, where it is closed."""
    _set({"admin_state": switch == "on"}, as_json, lambda _: f"the admin side is {'open' if switch == 'on' else 'closed'}")


# ---------------------------------------------------------------- addresses and certificates


def _doors(group: Group, side: Side) -> None:
    what = "client API" if side == "client" else "admin API and dashboard"

    @group.command("bind", help=f"Give the {what} a listener of its own, ADDRESS:PORT; '{DEFAULT}' gives that up again.")
    @click.argument("addr")
    @json_option
    def bind(addr: str, as_json: bool) -> None:
        _set({f"{side}_bind": None if addr == DEFAULT else addr}, as_json, lambda told: f"{side} bind: {told[f'{side}_bind'] or DEFAULT}")

    @group.command("tls", help=f"Speak TLS on the listener of the {what}. Renewed files are taken over without a restart.")
    @click.argument("cert", type=FILE)
    @click.argument("key", type=FILE)
    @json_option
    def tls(cert: Path, key: Path, as_json: bool) -> None:
        _set({f"{side}_tls_cert": str(cert), f"{side}_tls_key": str(key)}, as_json, lambda _: f"{side} tls is on")

    @group.command("tls-off", help=f"Speak plainly again on the listener of the {what}.")
    @json_option
    def tls_off(as_json: bool) -> None:
        _set({f"{side}_tls_cert": None, f"{side}_tls_key": None}, as_json, lambda _: f"{side} tls is off")


def _set(changes: Json, as_json: bool, words: Callable[[Json], str]) -> None:
    answer = ask("set_config", changes)
    rows = {row["name"]: row for row in answer["settings"] if row["name"] in changes}
    show({name: row["value"] for name, row in rows.items()}, as_json, lambda told: say(words(told)))
    for row in rows.values():
        if row["source"] == "environment":
            note(f"It is stored, but the environment variable {row['env']} comes first.")


_doors(client, "client")
_doors(admin, "admin")
