"""`omni-connector provider …`: what holds for all accounts of a provider. (J-03, J-22, J-23, R-17)"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from omni_connector.cli.accounts import NONE, pair
from omni_connector.cli.base import Group, json_option
from omni_connector.cli.desk import ask
from omni_connector.cli.output import facts, note, say, show, table

Json = dict[str, Any]


@click.group(cls=Group)
def provider() -> None:
    """Switch providers on and off; give one an address, a name, or its own model ids, for all its accounts."""


@provider.command("list")
@click.option("--used", is_flag=True, help="Only those that an account is connected to, or that something was set for.")
@json_option
def list_providers(used: bool, as_json: bool) -> None:
    """All providers: switch, accounts, address."""
    answer = ask("providers")
    if used:
        answer = {"providers": [p for p in answer["providers"] if p["accounts"] or _changed(p)]}
    show(answer, as_json, _show_list)


def _changed(p: Json) -> bool:
    return not p["enabled"] or bool(p["name"] or p["model_map"]) or p["base_url"] != p["default_base_url"]


def _show_list(answer: Json) -> None:
    if not answer["providers"]:
        say("No account is connected yet. Connect one: omni-connector backend add")
        return
    rows = [
        (p["id"], p["label"], p["enabled"], len(p["accounts"]), p["health"]["ready"], p["base_url"] or None, len(p["model_map"]))
        for p in answer["providers"]
    ]
    titles = ("PROVIDER", "NAME", "ON", "ACCOUNTS", "READY", "ADDRESS", "NAMES MAPPED")
    table(titles, rows, right=("ACCOUNTS", "READY", "NAMES MAPPED"))


@provider.command("show")
@click.argument("provider")
@json_option
def show_one(provider: str, as_json: bool) -> None:
    """One provider: what holds for all its accounts, and the accounts."""
    show(ask("provider", provider), as_json, _show_facts)


def _show_facts(p: Json) -> None:
    replaced = f" (instead of {p['default_base_url']})" if p["default_base_url"] not in ("", p["base_url"]) else ""
    facts(
        (
            ("provider", p["id"]),
            ("name", f"{p['label']} ({p['default_label']})" if p["name"] else p["label"]),
            ("switched on", p["enabled"]),
            ("address", f"{p['base_url']}{replaced}"),
            ("names mapped", p["model_map"]),
            ("accounts", [f"{a['label']} ({a['status']})" for a in p["account_list"]]),
            ("keys", p["key_url"]),
            ("documentation", p["docs_url"]),
        )
    )


@provider.command()
@click.argument("provider")
@click.option("--name", help="Shown instead of its own name ('none': its own).")
@click.option("--base-url", metavar="URL", help="Another address, for all its accounts that have none themselves ('none': its own).")
@click.option(
    "--map",
    "model_map",
    metavar="NAME=ID",
    multiple=True,
    help="Answer NAME with the provider's model ID. Repeatable; the whole map ('none': empty).",
)
@json_option
def edit(provider: str, name: str | None, base_url: str | None, model_map: Sequence[str], as_json: bool) -> None:
    """Change what holds for all accounts of PROVIDER. What you do not name stays; an account's own settings win.

    \b
    Examples:
      omni-connector provider edit openai --map gpt-4o=gpt-4.1 --map fast=gpt-4.1-mini
      omni-connector provider edit anthropic --base-url http://gateway.lan:9000/anthropic
      omni-connector provider edit openai --base-url none
    """
    body: Json = {field: "" if text == NONE else text for field, text in (("name", name), ("base_url", base_url)) if text is not None}
    if model_map:
        body["model_map"] = {} if tuple(model_map) == (NONE,) else dict(pair(entry, "=", "--map") for entry in model_map)
    if not body:
        raise click.UsageError("Nothing to change. Name --name, --base-url or --map (see --help).")
    show(ask("edit_provider", provider, body), as_json, _show_facts)


@provider.command()
@click.argument("provider")
@json_option
def enable(provider: str, as_json: bool) -> None:
    """Use its accounts again; each keeps its own switch."""
    show(ask("enable_provider", provider), as_json, lambda p: say(f"{p['label']} is switched on."))


@provider.command()
@click.argument("provider")
@json_option
def disable(provider: str, as_json: bool) -> None:
    """Use none of its accounts; new requests go elsewhere at once."""
    show(ask("disable_provider", provider), as_json, _show_disabled)


def _show_disabled(p: Json) -> None:
    say(f"{p['label']} is switched off.")
    if p["accounts"]:
        note(f"Not used until 'omni-connector provider enable {p['id']}': {', '.join(a['label'] for a in p['account_list'])}.")
