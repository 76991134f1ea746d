"""`omni-connector key …`: the keys that programs use (`omni-…`). Shown once, stored hashed. (O-05, J-16)"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from omni_connector.cli.base import Group, Stop, json_option, near, words
from omni_connector.cli.budget import budget_of, budget_options, limit_options, limits_of, names_budget, plain
from omni_connector.cli.desk import Desk, ask, at_desk, base_url
from omni_connector.cli.output import budget_words, facts, note, say, show, table, when

Json = dict[str, Any]
F = TypeVar("F", bound=Callable[..., Any])
NO_LIMIT = "none"


@click.group(cls=Group)
def key() -> None:
    """Create, list, limit, edit, rotate and revoke the omni- keys that your programs use."""


_FIELDS = (
    click.option("--expires", metavar="WHEN", help="A span (12h, 30d, 8w), a date (2027-01-31), or 'never' (default)."),
    click.option("--models", metavar="A,B", help="Only these models."),
    click.option("--providers", metavar="A,B", help="Only these providers."),
    limit_options,
    budget_options,
)


def _fields(command: F) -> F:
    for option in reversed(_FIELDS):
        command = option(command)
    return command


@key.command()
@click.option("--name", default="", help="What it is for: laptop, ci, … (default: key, key-2, …).")
@_fields
@json_option
def create(as_json: bool, **limits: Any) -> None:
    """Create a key. It is shown this once; only its hash is kept.

    \b
    Examples:
      omni-connector key create --name laptop
      omni-connector key create --name ci --expires 30d --models "gpt-5-mini" --budget 5 --period week
      export OPENAI_API_KEY=$(omni-connector key create --name shell)
    """
    answer = ask("create_key", _body(limits) | budget_of(limits))
    show(answer, as_json, _show_minted)


def _show_minted(answer: Json) -> None:
    say(answer["key"])
    note(f"This is key {answer['name']!r}. It is shown only now; only its hash is kept.")
    note(f'Use it with base URL {base_url()}/v1 and model "auto".')


@key.command()
@click.argument("key", metavar="KEY")
@click.option("--name", help="Another name.")
@_fields
@json_option
def edit(key: str, as_json: bool, **limits: Any) -> None:
    """Change what a key may do, at once. What you do not name stays; 'none' takes a limit away.

    \b
    Examples:
      omni-connector key edit ci --budget 10
      omni-connector key edit ci --zone Europe/Berlin --soft
      omni-connector key edit laptop --rpm 60 --models none --expires never
    """
    changes = _body(limits)
    if not changes and not names_budget(limits):
        raise click.UsageError("Nothing to change. Name a limit, such as --budget, --rpm or --expires (see --help).")

    async def work(desk: Desk) -> Json:
        found = await find_key(desk, key)
        return await desk.call("edit_key", found["id"], changes | budget_of(limits, found["budget"] and plain(found["budget"])))

    show(at_desk(work), as_json, _show_facts)


def _body(limits: Json) -> Json:
    """Options → key body without its budget; an option that was not given is not in it."""
    body: Json = {name: limits[name] for name in ("name", "models", "providers") if limits[name]}
    if limits["expires"]:
        body["expires_at"] = None if limits["expires"] == "never" else limits["expires"]
    for name in ("models", "providers"):
        if name in body:
            body[name] = None if body[name] == NO_LIMIT else words(body[name])
    return body | limits_of(limits)


@key.command("list")
@json_option
def list_keys(as_json: bool) -> None:
    """All keys, newest first, without the keys themselves."""
    show(ask("keys"), as_json, _show_list)


def _show_list(answer: Json) -> None:
    if not answer["keys"]:
        say("No key yet. Create one: omni-connector key create --name laptop")
        return
    rows = [
        (k["name"], k["hint"], k["status"], when(k["created_at"]), when(k["expires_at"]), when(k["last_used_at"]), k["id"])
        for k in answer["keys"]
    ]
    table(("NAME", "KEY", "STATUS", "CREATED", "EXPIRES", "LAST USED", "ID"), rows)


@key.command("show")
@click.argument("key", metavar="KEY")
@json_option
def show_key(key: str, as_json: bool) -> None:
    """One key by name, id or hint: its limits and its standing."""

    async def work(desk: Desk) -> Json:
        return await find_key(desk, key)

    show(at_desk(work), as_json, _show_facts)


def _show_facts(k: Json) -> None:
    facts(
        (
            ("name", k["name"]),
            ("key", k["hint"]),
            ("status", k["status"]),
            ("created", when(k["created_at"])),
            ("expires", when(k["expires_at"]) if k["expires_at"] else "never"),
            ("revoked", when(k["revoked_at"]) if k["revoked_at"] else None),
            ("last used", when(k["last_used_at"])),
            ("models", k["models"]),
            ("providers", k["providers"]),
            ("requests a minute", k["rpm"]),
            ("tokens a minute", k["tpm"]),
            ("at the same time", k["max_in_flight"]),
            ("budget", budget_words(k["budget"])),
            ("id", k["id"]),
        )
    )


@key.command()
@click.argument("key", metavar="KEY")
@json_option
def revoke(key: str, as_json: bool) -> None:
    """Stop a key for good. The next request with it is refused."""

    async def work(desk: Desk) -> Json:
        return await desk.call("revoke_key", (await find_key(desk, key))["id"])

    show(at_desk(work), as_json, lambda k: say(f"Key {k['name']!r} ({k['hint']}) is revoked."))


@key.command()
@click.argument("key", metavar="KEY")
@json_option
def rotate(key: str, as_json: bool) -> None:
    """Replace a key by a new one with the same name and limits. The old one stops at once."""

    async def work(desk: Desk) -> Json:
        return await desk.call("rotate_key", (await find_key(desk, key))["id"])

    show(at_desk(work), as_json, _show_minted)


async def find_key(desk: Desk, wanted: str) -> Json:
    """A key by id, hint or name. A name that several keys have means the one that is not revoked. Raises Stop."""
    keys: list[Json] = (await desk.call("keys"))["keys"]
    for field in ("id", "hint", "name"):
        found = [k for k in keys if k[field] == wanted]
        usable = [k for k in found if k["status"] != "revoked"] or found
        if len(usable) == 1:
            return usable[0]
        if usable:
            raise Stop(f"{len(usable)} keys have the {field} {wanted!r}. Name one by its id: {', '.join(k['id'] for k in usable)}.")
    raise Stop(f"There is no key {wanted!r}{near(wanted, [k['name'] for k in keys])}. See: omni-connector key list")
