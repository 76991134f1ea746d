"""`omni-connector setup [CLIENT]`: points a program at us, shows every change first, and takes it back. (P-57)"""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

import click

from omni_connector.cli import prompts
from omni_connector.cli.base import Stop, json_option
from omni_connector.cli.desk import Desk, at_desk, base_url, running
from omni_connector.cli.office import environment, home
from omni_connector.cli.output import note, say, show, table

Json = dict[str, Any]


@click.command()
@click.argument("client", required=False)
@click.option("--dry-run", is_flag=True, help="Only show what would change.")
@click.option("--undo", is_flag=True, help="Give the files back as they were before.")
@click.option("--model", metavar="M", default="", help="The model it asks for (default: auto).")
@click.option("--key", metavar="K", default="", help="A key you have (default: one is made, named after the client).")
@click.option("--key-env", metavar="NAME", default="", help="The same, out of an environment variable: it stands in no history.")
@click.option("--url", metavar="U", default="", help="Another gateway's address (default: this one's).")
@click.option("--yes", "-y", is_flag=True, help="Do not ask; the shell's startup files may be written, too.")
@click.option("--no-test", is_flag=True, help="Make no request at the end.")
@json_option
@click.pass_context
def setup(ctx: click.Context, /, client: str | None, as_json: bool, **given: Any) -> None:
    """Set a program up to use omni-connector: claude-code, codex, gemini-cli, opencode, aider, continue, cursor, cline, zed, llm,
    openai-env, other. Without a name: all of them, and where each points.

    The changes are shown first. Former files are kept beside the new ones, and --undo gives them back byte for byte.

    \b
    Examples:
      omni-connector setup
      omni-connector setup claude-code --dry-run
      omni-connector setup codex --model gpt-5
      omni-connector setup codex --undo
    """
    if client is None:
        if any(value for value in given.values()):
            raise click.UsageError("Name the client as well. 'omni-connector setup' alone lists them.")
        show(_listed(), as_json, _show_list)
        return
    if given["undo"]:
        answer = at_desk(lambda desk: _undo(desk, client, given, as_json))
        show(answer, as_json, _show_undone)
        return
    answer = at_desk(lambda desk: _set_up(desk, client, given, as_json))
    show(answer, as_json, _show_done)
    ctx.exit(1 if answer.get("proof") and answer["proof"]["ok"] is False else 0)


def _places() -> Any:
    from omni_connector import local_logins
    from omni_connector.clients import setting_up

    # The environment of whoever calls, not the server's: it is their programs that are set up.
    env = {**environment(home()), **os.environ}
    return setting_up.places_of(local_logins.machine(env).home, home(), env)


def _here() -> str:
    from omni_connector.clients import base

    server = running(home())
    return base(server.client_url if server is not None else base_url())


def _key(given: Json) -> str:
    if not given["key_env"]:
        return str(given["key"])
    if given["key"]:
        raise click.UsageError("--key and --key-env exclude each other.")
    key = os.environ.get(given["key_env"], "").strip()
    if not key:
        raise click.UsageError(f"--key-env: the variable {given['key_env']} is not set.")
    return key


# ---------------------------------------------------------------- The list


def _listed() -> Json:
    from omni_connector.clients import setting_up

    return {"url": _here(), "clients": setting_up.listed(_places(), _here())}


def _show_list(answer: Json) -> None:
    rows = [(c["name"], c["state"], c["url"] or None, c["model"] or None, c["installed"] or None, c["label"]) for c in answer["clients"]]
    table(("CLIENT", "STATE", "POINTS TO", "MODEL", "FOUND HERE", "NAME"), rows)
    for one in answer["clients"]:
        if one["why"]:
            note(f"{one['name']}: {one['why']}")
    note(f"We are at {answer['url']}. Set one up: omni-connector setup NAME   (--dry-run shows what would change)")


# ---------------------------------------------------------------- Setting up


async def _set_up(desk: Desk, name: str, given: Json, as_json: bool) -> Json:
    from omni_connector import clients
    from omni_connector.clients import proof, setting_up

    client, places, here = clients.get(name), _places(), _here()
    asks = prompts.terminal() and not as_json and not given["yes"] and not given["dry_run"]
    wants_startup = bool(given["yes"] or given["dry_run"] or asks)
    asked = setting_up.Asked(given["url"], _key(given), given["model"], wants_startup, not given["no_test"])
    intent = await setting_up.intend(client, places, here, asked, desk)
    if given["dry_run"]:
        return {**setting_up.told(intent), "applied": False, "proof": None}
    if not as_json and intent.diff:
        say(intent.diff.rstrip("\n"))
    if asks and intent.changes:
        if not await asyncio.to_thread(prompts.confirm, f"Write this for {client.label}?"):
            raise Stop("Nothing was written.")
        if any(change.startup for change in intent.changes):
            files = ", ".join(places.short(change.path) for change in intent.changes if change.startup)
            if not await asyncio.to_thread(prompts.confirm, f"Also {files}, which your shell reads at its start?", default=False):
                asked = setting_up.Asked(asked.url, asked.key, asked.model, False, asked.prove)
                intent = await setting_up.intend(client, places, here, asked, desk)
    serving = running(home()) is not None and desk.place == "server"
    prove = proof.by_http if serving or given["url"] else None
    answer = await setting_up.set_up(intent, desk, prove, time.time_ns() // 1_000_000)
    left = not intent.asked.startup and any(change.startup for change in clients.plan(client, places, intent.wanted))
    if left and not asks:
        answer["notes"] = [*answer["notes"], "Your shell's startup files were left alone. With --yes they read it, too."]
    return answer


def _show_done(answer: Json) -> None:
    if answer["proof"] is None:
        say(answer["diff"].rstrip("\n") or f"{answer['label']}: nothing would change.")
        for line in answer["steps"]:
            say(line)
        note("Nothing was written.")
        return
    for file in answer["files"]:
        say(f"{'made' if file['action'] == 'create' else 'changed'} {file['path']}")
    if answer["applied"] and not answer["files"]:
        say(f"{answer['label']} is set up already.")
    key = answer["key"]
    say(f"key {key['hint']}" + (f", made for it and named {key['name']!r}" if key.get("new") and key.get("name") else ""))
    for line in answer["steps"]:
        say(line)
    proof = answer["proof"]
    say(f"{'✓' if proof['ok'] else '–' if proof['ok'] is None else '✗'} {proof['words']}")
    for line in answer["notes"]:
        note(line)
    if answer["applied"]:
        note(f"To take it back: omni-connector setup {answer['client']} --undo")


# ---------------------------------------------------------------- Taking it back


async def _undo(desk: Desk, name: str, given: Json, as_json: bool) -> Json:
    from omni_connector import clients
    from omni_connector.clients import setting_up
    from omni_connector.errors import GatewayError

    try:
        undoing = setting_up.intend_undo(clients.get(name), _places(), keep_later=given["yes"])
    except GatewayError as error:
        if not as_json and error.details.get("diff"):
            say(str(error.details["diff"]).rstrip("\n"))
        raise
    if given["dry_run"]:
        return {**undoing.told(), "undone": False}
    if prompts.terminal() and not as_json and not given["yes"]:
        say(undoing.told()["diff"].rstrip("\n"))
        if not await asyncio.to_thread(prompts.confirm, "Give these files back as they were?"):
            raise Stop("Nothing was written.")
    return await setting_up.take_back(undoing, desk)


def _show_undone(answer: Json) -> None:
    if not answer["undone"]:
        say(answer["diff"].rstrip("\n"))
        note("Nothing was written.")
        return
    for file in answer["files"]:
        say(f"{'deleted' if file['action'] == 'delete' else 'restored'} {file['path']}")
    if answer.get("key_revoked"):
        say("The key that was made for it is revoked.")
    note("The files are as they were before.")
