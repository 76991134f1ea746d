"""Accounts on the command line: options → body, the questions of `backend add`, and how accounts are shown."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Sequence
from typing import Any

import click

from omni_connector.cli import prompts
from omni_connector.cli.base import Stop, near, words
from omni_connector.cli.budget import budget_of, limits_of
from omni_connector.cli.commands import ask_command, command_of
from omni_connector.cli.desk import Desk, ask
from omni_connector.cli.output import budget_words, count, facts, few, money, note, say, table, when
from omni_connector.cli.quota import balance_words, used

Json = dict[str, Any]
NONE = "none"
WHO = ("email", "name", "subject", "account_id")
"""Of an identity, what people recognise themselves by, best first."""
KEY_WARNING = (
    "A key on the command line is seen by other users of this machine and stays in the shell's history; prefer --key-env or --key-stdin."
)


# ---------------------------------------------------------------- Options → body


def body_of(given: Json) -> Json:
    """What the options of `add` and `edit` say, as an account body; an option that was not given is not in it."""
    body: Json = {}
    for name in ("label", "base_url", "prefix", "proxy_url", "priority", "weight"):
        if given[name] is not None:
            body[name] = given[name]
    if given["models"] is not None:
        body["models"] = [] if given["models"] == NONE else words(given["models"])
    body |= limits_of(given)
    if given["model_map"]:
        body["model_map"] = dict(pair(entry, "=", "--map") for entry in given["model_map"])
    if given["header"]:
        body["headers"] = dict(pair(entry, ":", "--header") for entry in given["header"])
    body |= budget_of(given)
    options = option_values(given["option"])
    if given["region"]:
        options["region"] = given["region"]
    if command := command_of(given.get("command"), given.get("preset"), given.get("program")):
        options["command"] = command
    if options:
        body["options"] = options
    key = _key(given["api_key"], given["key_env"], given["key_stdin"])
    if key is not None:
        body["api_key"] = key
    if not given["discover"]:
        body["discover"] = False
    return body


def option_values(entries: Sequence[str]) -> Json:
    """`--option NAME=JSON`, repeated → {name: value}."""
    return {name: _value(text) for name, text in (pair(entry, "=", "--option") for entry in entries)}


def _key(api_key: str | None, key_env: str | None, key_stdin: bool) -> str | None:
    if sum((api_key is not None, key_env is not None, key_stdin)) > 1:
        raise click.UsageError("Give one of --api-key, --key-env and --key-stdin.")
    if api_key is not None:
        note(KEY_WARNING)
        return api_key
    if key_env is not None:
        if not os.environ.get(key_env, "").strip():
            raise click.UsageError(f"--key-env: the environment variable {key_env} is not set or empty.")
        return os.environ[key_env]
    if not key_stdin:
        return None
    line = prompts.secret("API key:") if prompts.terminal() else sys.stdin.readline()
    if not line.strip():
        raise click.UsageError("--key-stdin: standard input is empty.")
    return line


def pair(entry: str, mark: str, option: str) -> tuple[str, str]:
    """`NAME=VALUE` of an option → both, trimmed. Raises UsageError naming the option."""
    name, found, value = entry.partition(mark)
    if not found or not name.strip():
        raise click.UsageError(f"{option}: write NAME{mark}VALUE, not {entry!r}.")
    return name.strip(), value.strip()


def _value(text: str) -> Any:
    """JSON where it is JSON, else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text


# ---------------------------------------------------------------- The questions of `backend add`


def wizard(body: Json, ask_for_missing: bool) -> Json:
    """The body with what was missing. Without a terminal: UsageError naming the option that is missing."""
    from omni_connector import providers
    from omni_connector.errors import GatewayError

    asked = False
    if not body["provider"] and (command := body.get("options", {}).get("command")):
        # The command says whose it is: only Claude Code's preset is a provider of its own.
        body["provider"] = command.get("preset") if command.get("preset") in providers.PROVIDERS else "command"
    if not body["provider"]:
        if not ask_for_missing:
            raise click.UsageError(
                "Missing provider. Name one, such as 'backend add openai --key-env OPENAI_API_KEY' or 'backend add demo'."
            )
        body["provider"] = prompts.select("Which provider?", [(row.id, _title(row)) for row in providers.PROVIDERS.values()])
        asked = True
    try:
        row = providers.get(body["provider"])
    except GatewayError as error:
        raise click.UsageError(f"provider: {error.message}") from None
    if row.command:
        asked = ask_command(body, row, ask_for_missing) or asked
    elif not row.base_url and "base_url" not in body and "options" not in body:
        if not ask_for_missing:
            raise click.UsageError(f"Missing --base-url: {row.label} has no address of its own.")
        body["base_url"] = prompts.text("Address (such as https://host/v1):")
        asked = True
    if "api_key" not in body and row.auth != "none" and not row.local:
        if not ask_for_missing and not row.custom:
            raise click.UsageError(_missing_key(row))
        if ask_for_missing:
            body["api_key"] = _ask_key(row)
            asked = True
    if asked:
        body = _ask_rest(body, row)
    return body


def _title(row: Any) -> str:
    kind = "looks around without a key" if row.demo else "your own server" if row.local or row.custom else ""
    return f"{row.label}  ({row.id}{', ' + kind if kind else ''})"


def _missing_key(row: Any) -> str:
    found = next((name for name in row.env if os.environ.get(name)), None)
    hint = f" {found} is set: --key-env {found} uses it." if found else f" Keys: {row.key_url}" if row.key_url else ""
    return f"Missing the API key of {row.label}: give --key-env NAME, --key-stdin or --api-key KEY.{hint}"


def _ask_key(row: Any) -> str:
    if row.terms:
        note(row.terms)
    found = next((name for name in row.env if os.environ.get(name)), None)
    if found and prompts.confirm(f"Use the key in the environment variable {found}?"):
        return os.environ[found]
    if row.key_url:
        note(f"Keys: {row.key_url}")
    return prompts.secret(f"API key ({row.key_hint or 'empty: none'}):")


def _ask_rest(body: Json, row: Any) -> Json:
    """Region and label, then the account is tried: nothing is saved that its owner did not see work, or insist on."""
    if len(row.regions) > 1 and "region" not in body.get("options", {}) and "base_url" not in body:
        region = prompts.select("Region?", [(name, f"{name}  {url}") for name, url in row.regions.items()])
        body["options"] = {**body.get("options", {}), "region": region}
    if "label" not in body:
        body["label"] = prompts.text("Label (empty: the provider's id):")
    if body.get("discover", True):
        result = ask("test_unsaved", body)
        show_test({"label": body["label"] or row.id, **result})
        if not result["ok"] and not prompts.confirm("Save it all the same?", default=False):
            raise click.Abort
    return body


# ---------------------------------------------------------------- Finding and showing


async def find_account(desk: Desk, wanted: str) -> Json:
    """An account by label or id. Raises Stop with near labels."""
    accounts: list[Json] = (await desk.call("accounts"))["accounts"]
    for field in ("label", "id"):
        for account in accounts:
            if account[field] == wanted:
                return account
    raise Stop(f"There is no account {wanted!r}{near(wanted, [a['label'] for a in accounts])}. See: omni-connector backend list")


async def probe_one(desk: Desk, wanted: str) -> Json:
    """{"job", "message", "label"}. Where no server runs, nobody asks yet: the job waits for it, and the message says so."""
    account = await find_account(desk, wanted)
    told = await desk.call("probe", account["id"])
    if told["job"] and desk.place == "database":
        told = {**told, "message": f"{account['label']} is asked as soon as the server runs. Start it: omni-connector"}
    return {**told, "label": account["label"]}


def show_probe(told: Json) -> None:
    say(told["message"])
    if told["job"]:
        note(f"What came of it: omni-connector backend show {shlex.quote(told['label'])}")


def show_list(answer: Json) -> None:
    if not answer["accounts"]:
        say("No account yet. Connect one: omni-connector backend add (the built-in demo needs no key: backend add demo)")
        return
    rows = [
        (
            a["label"],
            a["provider_label"],
            a["status"],
            few(a["models"] or a["discovered"] or a.get("serves", ())),
            a["priority"],
            a["in_flight"],
            count(a["requests_today"]),
            money(a["cost_today"]),
        )
        for a in answer["accounts"]
    ]
    titles = ("LABEL", "PROVIDER", "STATUS", "MODELS", "PRIORITY", "IN FLIGHT", "TODAY", "COST TODAY")
    table(titles, rows, right=titles[4:])
    for account in answer["accounts"]:
        if account["status"] not in ("ready", "disabled"):
            note(f"{account['label']}: {account['status_reason']}")


def show_account(a: Json) -> None:
    cooldown = a["cooldown"]
    identity, command = a["options"].get("identity") or {}, a["options"].get("command") or {}
    rest = {name: value for name, value in a["options"].items() if name not in ("identity", "command", "signed_in")}
    facts(
        (
            ("label", a["label"]),
            ("provider", f"{a['provider_label']} ({a['provider']}){' – demo' if a['demo'] else ''}"),
            ("status", a["status"]),
            ("reason", a["status_reason"]),
            ("cooling until", f"{when(cooldown['until'])} ({cooldown['source']}, {cooldown['scope']})" if cooldown else None),
            ("key", a["key_hint"]),
            ("signed in as", next((identity[name] for name in WHO if identity.get(name)), None)),
            ("access until", f"{when(a['access_until'])}, renewed by itself" if a.get("access_until") else None),
            ("runs", _command(a["provider"], command) if a["auth"] == "cli" else None),
            ("address", a["base_url"]),
            ("models", a["models"]),
            ("discovered", a["discovered"]),
            ("serves", a.get("serves") if not (a["models"] or a["discovered"]) else None),
            ("prefix", a["prefix"]),
            ("names mapped", a["model_map"]),
            ("priority", a["priority"]),
            ("weight", a["weight"]),
            ("at the same time", a["max_in_flight"]),
            ("requests a minute", a["rpm"]),
            ("tokens a minute", a["tpm"]),
            ("plan", a["plan"]),
            ("quota", [_window(w) for w in a["quota"]]),
            ("balance", balance_words(a["balance"])),
            ("budget", budget_words(a["budget"])),
            ("options", json.dumps(rest, ensure_ascii=False) if rest else None),
            ("proxy", "yes" if a["proxy"] else None),
            ("in flight", a["in_flight"]),
            ("requests today", count(a["requests_today"])),
            ("cost today", money(a["cost_today"])),
            ("last used", when(a["last_used_at"])),
            ("added", when(a["created_at"])),
            ("id", a["id"]),
        )
    )


def _command(provider: str, command: Json) -> str:
    """ "preset codex-exec (/opt/codex)", "llm -m {model}", and what else was set. Of its environment only names: values may be secret."""
    from omni_connector.providers.command_presets import PRESETS

    line = shlex.join(word for element in command.get("argv", ()) for word in ([element] if isinstance(element, str) else element))
    preset = command.get("preset") or (provider if provider in PRESETS else "")
    named = " ".join(filter(None, (f"preset {preset}" if preset else "", f"({command['program']})" if command.get("program") else "")))
    rest = {name: value for name, value in command.items() if name not in ("argv", "preset", "program")}
    rest |= {"set": sorted(rest["set"])} if rest.get("set") else {}
    return ", ".join(filter(None, (named, line, json.dumps(rest, ensure_ascii=False) if rest else "")))


def _window(window: Json) -> str:
    of = f" of {window['model']}" if window.get("model") else ""
    return f"{window['name']}{of}: {used(window)}" + (f" until {when(window['resets_at'])}" if window["resets_at"] else "")


def show_saved(a: Json) -> None:
    """After add and edit."""
    say(f"{a['label']} ({a['provider_label']}) is saved. Status: {a['status']}.")
    if a.get("warning"):
        note(a["warning"])
    if a.get("test"):
        show_test({"label": a["label"], **a["test"]})


def show_test(result: Json) -> None:
    took = f" ({result['latency_ms']} ms)" if result["latency_ms"] else ""
    say(f"{result['label']}: {'works' if result['ok'] else 'FAILED'}. {result['message']}{took}")
    if result.get("warning"):
        note(result["warning"])


def show_tests(results: list[Json]) -> None:
    for result in results:
        show_test(result)
