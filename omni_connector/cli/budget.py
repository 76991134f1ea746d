"""Budgets on the command line: the options of every command that sets one, and what they say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

Json = dict[str, Any]
F = TypeVar("F", bound=Callable[..., Any])

NONE = "none"
MODES = ("hard", "soft")
PERIODS = ("day", "week", "month", "total")
OPTIONS = ("budget", "period", "zone", "mode", "soft")
PARTS = ("amount", "period", "zone", "mode")
COUNTS: Mapping[str, str] = {
    "rpm": "Requests a minute",
    "tpm": "Tokens a minute, prompt and answer",
    "max_in_flight": "Requests at the same time",
}
_OPTIONS = (
    click.option("--budget", metavar="DOLLARS", help="What it may spend in one period ('none': no budget)."),
    click.option("--period", type=click.Choice(PERIODS), help="Period of the budget (default: month)."),
    click.option(
        "--zone", metavar="AREA/CITY", help="Time zone in which days, weeks and months begin, such as Europe/Berlin (default: UTC)."
    ),
    click.option("--mode", type=click.Choice(MODES), help="When it is spent: hard refuses (default), soft only tells."),
    click.option("--soft", is_flag=True, help="The same as --mode soft."),
)


def budget_options(command: F) -> F:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def budget_of(given: Mapping[str, Any], known: Json | None = None) -> Json:
    """The budget's options → {"budget": …}, or {} when none was given. Of `known`, the budget that is there, what is not named stays.
    Raises UsageError when there would be no amount."""
    amount, period, zone, mode, soft = (given.get(name) for name in OPTIONS)
    if soft and mode == "hard":
        raise click.UsageError("--soft is the same as --mode soft: give one of both.")
    mode = "soft" if soft else mode
    named = {name: value for name, value in zip(PARTS, (amount, period, zone, mode), strict=True) if value is not None}
    if not named:
        return {}
    if amount == NONE:
        return {"budget": None}
    if amount is None and known is None:
        option = next(name for name in OPTIONS[1:] if given.get(name))
        raise click.UsageError(f"--{option} needs --budget.")
    return {"budget": {**plain(known or {}), **named}}


def names_budget(given: Mapping[str, Any]) -> bool:
    return any(given.get(name) for name in OPTIONS)


def plain(budget: Mapping[str, Any]) -> Json:
    """A budget as it was set, without what the answers add."""
    return {name: budget[name] for name in PARTS if name in budget}


def limit_options(command: F) -> F:
    for name in reversed(list(COUNTS)):
        option = click.option(f"--{name.replace('_', '-')}", metavar="N", callback=whole, help=f"{COUNTS[name]} ('none': no limit).")
        command = option(command)
    return command


def whole(ctx: click.Context, param: click.Parameter, text: str | None) -> int | str | None:
    """Callback of an option that takes a whole number, or 'none'."""
    if text is None or text == NONE:
        return text
    if not text.isdecimal():
        raise click.UsageError(f"{param.opts[0]}: a whole number or 'none', not {text!r}.", ctx)
    return int(text)


def limits_of(given: Mapping[str, Any]) -> Json:
    """rpm, tpm and max_in_flight; 'none' → None, what was not given is not there."""
    found = {name: given.get(name) for name in COUNTS}
    return {name: None if value == NONE else value for name, value in found.items() if value is not None}
