"""`omni-connector limit …`: what everything together, a provider or a model may use. (R-19)"""

from __future__ import annotations

from typing import Any

import click

from omni_connector.cli.base import Group, Stop, json_option, near
from omni_connector.cli.budget import budget_of, budget_options, limit_options, limits_of, names_budget, plain
from omni_connector.cli.desk import Desk, ask, at_desk
from omni_connector.cli.output import budget_words, count, money, say, show, table, when

Json = dict[str, Any]
SCOPES = ("installation", "provider", "model")
ELSEWHERE = {"account": "backend edit LABEL", "backend": "backend edit LABEL", "key": "key edit NAME"}
"""Where the limits of what is no scope here are set."""
EXAMPLES = {"provider": "openai", "model": "gpt-4o"}
COUNTS = (("rpm", "requests a minute"), ("tpm", "tokens a minute"), ("max_in_flight", "at the same time"))


@click.group(cls=Group)
def limit() -> None:
    """Limit what everything together, a provider or a model may use: money in a period, requests and tokens a minute."""


@limit.command("list")
@json_option
def list_limits(as_json: bool) -> None:
    """The limits, and what is used of them. (Those of accounts and keys: 'backend show', 'key show'.)"""
    show(ask("limits"), as_json, _show_list)


def _show_list(answer: Json) -> None:
    if not answer["limits"]:
        say("No limit is set. Set one: omni-connector limit set installation --budget 50 --period month")
        return
    titles = ("LIMIT OF", "BUDGET", "SPENT", "IN FLIGHT", "RENEWED", "REQUESTS/MIN", "TOKENS/MIN", "AT ONCE")
    table(titles, [_row(one) for one in answer["limits"]], right=("SPENT", "IN FLIGHT", *titles[5:]))


def _row(one: Json) -> tuple[Any, ...]:
    budget = one["budget"] or {}
    spent, held = (money(budget[name]) if name in budget else None for name in ("spent_usd", "held_usd"))
    return (
        _what(one),
        budget_words(plain(budget)) if budget else None,
        spent,
        held,
        when(budget.get("resets_at")) if budget else None,
        *(count(one[name]) if one[name] is not None else None for name, _ in COUNTS),
    )


def _what(one: Json) -> str:
    return "installation" if one["scope"] == "installation" else f"{one['scope']} {one['subject']}"


@limit.command("set")
@click.argument("scope", metavar="installation|provider|model")
@click.argument("name", required=False)
@budget_options
@limit_options
@json_option
def set_one(scope: str, name: str | None, as_json: bool, **given: Any) -> None:
    """Set a limit. What you do not name stays as it is; 'none' takes it away.

    Of all limits that apply to a request (its key's, the account's, the model's, the provider's, the installation's), every one must
    let it through. A model is named by its id or its family (claude-sonnet-4.5 is every date and route of it), whoever serves it.

    \b
    Examples:
      omni-connector limit set installation --budget 50 --period month --zone Europe/Berlin
      omni-connector limit set installation --budget 5 --period day --mode soft
      omni-connector limit set provider openai --rpm 60 --tpm 200000
      omni-connector limit set model gpt-4o --budget 2 --period day --max-in-flight 4
      omni-connector limit set provider openai --tpm none
    """
    _checked(scope, name)
    counts = limits_of(given)
    if not counts and not names_budget(given):
        raise click.UsageError("Name what to limit: --budget, --rpm, --tpm or --max-in-flight (see --help).")

    async def work(desk: Desk) -> Json:
        known = await _known(desk, scope, name)
        budget = plain(known["budget"]) if known.get("budget") else None
        body = {"budget": budget, **{field: known.get(field) for field, _ in COUNTS}, **counts, **budget_of(given, budget)}
        if known and all(value is None for value in body.values()):
            raise Stop(f"Nothing would be left of it. Remove it: omni-connector limit remove {scope}{f' {name}' if name else ''}")
        return await _change(desk, "set", scope, name, body)

    show(at_desk(work), as_json, lambda one: say(f"{_what(one).capitalize()}: {_words(one)}. It holds from now on."))


def _words(one: Json) -> str:
    said = [
        budget_words(one["budget"] and plain(one["budget"])),
        *(f"{count(one[name])} {words}" for name, words in COUNTS if one[name] is not None),
    ]
    return "; ".join(filter(None, said))


@limit.command()
@click.argument("scope", metavar="installation|provider|model")
@click.argument("name", required=False)
@json_option
def remove(scope: str, name: str | None, as_json: bool) -> None:
    """Remove a limit: as much as it likes, from now on."""
    _checked(scope, name)

    async def work(desk: Desk) -> Json:
        return await _change(desk, "remove", scope, name)

    show(at_desk(work), as_json, lambda one: say(f"The limit of {_what(one)} is removed."))


def _checked(scope: str, name: str | None) -> None:
    """Raises UsageError where the two arguments name no limit, with what would."""
    if scope in ELSEWHERE:
        raise click.UsageError(f"The limits of {scope}s are set with: omni-connector {ELSEWHERE[scope]}")
    if scope not in SCOPES:
        raise click.UsageError(f"There is no {scope!r} to limit{near(scope, SCOPES)}. Say installation, provider or model.")
    if scope == "installation" and name:
        raise click.UsageError(f"The installation has no name: leave {name!r} out, or say 'provider {name}' or 'model {name}'.")
    if scope != "installation" and not name:
        raise click.UsageError(f"Which {scope}? Such as: omni-connector limit set {scope} {EXAMPLES[scope]} --budget 5")


async def _known(desk: Desk, scope: str, name: str | None) -> Json:
    """The limit as it is; {} where there is none. A provider's other names are the server's business."""
    wanted = (name or "").strip() if scope == "model" else (name or "").strip().lower()
    if scope == "provider":
        wanted = (await desk.call("provider", wanted))["id"]
    return next((one for one in (await desk.call("limits"))["limits"] if (one["scope"], one["subject"]) == (scope, wanted)), {})


async def _change(desk: Desk, verb: str, scope: str, name: str | None, *body: Json) -> Json:
    if scope == "installation":
        return await desk.call(f"{verb}_installation_limit", *body)
    return await desk.call(f"{verb}_limit", scope, name, *body)
