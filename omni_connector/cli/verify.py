"""`omni-connector verify`: small real requests to your own accounts, in each client format, and a matrix of what works."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

import click

from omni_connector.cli import prompts
from omni_connector.cli.base import Stop, json_option, near
from omni_connector.cli.desk import Desk, at_desk, running
from omni_connector.cli.office import home
from omni_connector.cli.output import count, money, note, say, show, table

Json = dict[str, Any]
KEY_NAME, KEY_LIVES = "verify", "2h"
"""The temporary key; it ends by itself where this command is killed before it can revoke it."""
SETTLING_S, SETTLING_TIMES = 0.1, 50
"""The books are read once the last request is settled, which takes a moment longer than its answer."""
FORMATS = ("chat", "responses", "anthropic", "gemini")
SCENARIOS = ("whole", "streamed", "tools", "json", "system", "picture", "usage", "models")


def _cap(_: click.Context, __: click.Parameter, value: str) -> str:
    try:
        amount = Decimal(value.removeprefix("$"))
    except InvalidOperation:
        raise click.BadParameter(f"{value!r} is no amount in dollars, such as 0.05.") from None
    if not amount.is_finite() or not 0 < amount <= 1000:
        raise click.BadParameter("it must be more than 0 and at most 1000 dollars.")
    return f"{amount:f}"


@click.command()
@click.argument("accounts", nargs=-1, metavar="[ACCOUNT]…")
@click.option("--max-cost", default="0.05", show_default=True, metavar="USD", callback=_cap, help="Stop before more is spent in all.")
@click.option("--only", multiple=True, type=click.Choice(SCENARIOS), help="Only this scenario. Repeatable.")
@click.option("--format", "formats", multiple=True, type=click.Choice(FORMATS), help="Only this client format. Repeatable.")
@click.option("--model", default="", help="Ask this model (default: the cheapest known one of each account).")
@click.option("--yes", "-y", is_flag=True, help="Do not ask before the first request.")
@click.option("--list", "only_list", is_flag=True, help="Show the scenarios and what would be asked; send nothing.")
@json_option
@click.pass_context
def verify(
    ctx: click.Context,
    accounts: Sequence[str],
    max_cost: str,
    only: Sequence[str],
    formats: Sequence[str],
    model: str,
    yes: bool,
    only_list: bool,
    as_json: bool,
) -> None:
    """Send small real requests to your accounts (default: all that are enabled), and show what works in a matrix.

    Each account is asked as a program would, in the formats of OpenAI (chat and responses), Anthropic and Gemini. It costs what these
    requests cost; the server itself refuses whatever would pass --max-cost. Calls without a known price cannot be counted: you
    are told how many. The demo account is asked when it is named, or alone. Exit code 1 when something failed.

    \b
    Examples:
      omni-connector verify --list                  what would be asked, of whom
      omni-connector verify                         all enabled accounts, for at most $0.05
      omni-connector verify work --only tools --only json --format anthropic
    """
    wanted = [name for name in SCENARIOS if not only or name in only]
    spoken = [name for name in FORMATS if not formats or name in formats]

    async def work(desk: Desk) -> Json:
        tried = await _tried(desk, accounts, model)
        plan = {"accounts": [_told(one) for one in tried], "formats": spoken, "scenarios": _described(wanted), "max_cost_usd": max_cost}
        if only_list:
            return plan
        url = _server(desk)
        await _agree(tried, wanted, spoken, max_cost, yes, as_json)
        return await _verified(desk, url, tried, wanted, spoken, max_cost, as_json)

    answer = at_desk(work)
    show(answer, as_json, _show_plan if only_list else _show_matrix)
    if not only_list and not answer["ok"]:
        ctx.exit(1)


# ---------------------------------------------------------------- Before the first request


async def _tried(desk: Desk, names: Sequence[str], model: str) -> list[Any]:
    """The accounts to ask, each with its model. Raises UsageError for an unknown one, Stop where there is none."""
    from omni_connector.verifying import Tried, cheapest

    known = (await desk.call("accounts"))["accounts"]
    chosen = [_named(name, known) for name in dict.fromkeys(names)]
    if not names:
        enabled = [account for account in known if account["enabled"]]
        chosen = [account for account in enabled if not account["demo"]] or enabled
    if not chosen:
        raise Stop("No account is enabled. Connect one: omni-connector backend add")
    prices = _prices((await desk.call("provider_models"))["models"])
    tried = []
    for account in chosen:
        asked = model or cheapest(account["serves"], prices)
        why = "" if asked else "it lists no model that chats; name one with --model"
        tried.append(Tried(account["label"], account["provider"], asked, account["demo"], why))
    return tried


def _named(name: str, known: Sequence[Json]) -> Json:
    for field in ("label", "id"):
        found = next((account for account in known if account[field] == name), None)
        if found is not None:
            return found
    raise click.UsageError(f"There is no account {name!r}{near(name, [account['label'] for account in known])}.")


def _prices(models: Sequence[Json]) -> dict[str, float]:
    """Model → dollars for a million tokens read and written, where both are known."""
    figures = {row["id"]: (row["input_usd_per_mtok"], row["output_usd_per_mtok"]) for row in models}
    return {name: float(read) + float(written) for name, (read, written) in figures.items() if read is not None and written is not None}


def _server(desk: Desk) -> str:
    server = running(home())
    if server is None or desk.place != "server":
        raise Stop("The server is not running, and only it can answer. Start it: omni-connector serve")
    return server.client_url or server.url


def _requests(tried: Sequence[Any], wanted: Sequence[str], spoken: Sequence[str]) -> int:
    from omni_connector.verifying import SCENARIOS as KNOWN

    each = [KNOWN[name] for name in wanted]
    return sum(one.requests for account in tried for one in each if not account.why and not (account.demo and one.demo)) * len(spoken)


async def _agree(tried: Sequence[Any], wanted: Sequence[str], spoken: Sequence[str], max_cost: str, yes: bool, as_json: bool) -> None:
    """Nobody pays without having said so. Raises Stop."""
    if yes:
        return
    names = ", ".join(f"{one.account} ({one.model})" for one in tried if not one.why)
    words = f"Up to {count(_requests(tried, wanted, spoken))} small real requests to {names}, for at most ${max_cost} in all"
    if as_json or not prompts.terminal():
        raise Stop(f"{words}: add --yes to send them (--list shows them).", 2)
    if not await asyncio.to_thread(prompts.confirm, f"{words}. Send them?"):
        raise Stop("Nothing was sent.")


# ---------------------------------------------------------------- The requests


async def _verified(
    desk: Desk, url: str, tried: Sequence[Any], wanted: Sequence[str], spoken: Sequence[str], max_cost: str, as_json: bool
) -> Json:
    from omni_connector import verifying
    from omni_connector.upstream import Upstream

    def told(cell: verifying.Cell) -> None:
        if not as_json and prompts.terminal():
            note(f"{cell.account} {cell.format} {cell.scenario}: {cell.outcome}")

    budget = {"amount": max_cost, "period": "total"}
    key = await desk.call("create_key", {"name": KEY_NAME, "expires_at": KEY_LIVES, "budget": budget})
    try:
        upstream = Upstream()
        await upstream.open()
        try:
            cells = await verifying.verify(upstream, url, key["key"], tried, spoken, wanted, told)
        finally:
            await upstream.close()
        rows = await _settled(desk, key["id"])
    finally:
        await desk.call("revoke_key", key["id"])
    outcomes = Counter(cell.outcome for cell in cells)
    return {
        "ok": not outcomes["failed"],
        "max_cost_usd": max_cost,
        **_spent(rows),
        "outcomes": {name: outcomes[name] for name in ("ok", "failed", "cannot", "skipped")},
        "accounts": [{**_told(one), **_spent([row for row in rows if row["account"]["label"] == one.account])} for one in tried],
        "scenarios": list(wanted),
        "cells": [cell.as_json() for cell in cells],
    }


async def _settled(desk: Desk, key_id: str) -> list[Json]:
    """The rows of the key, once all are settled; what stays open then counts as of unknown price."""
    rows: list[Json] = []
    for _ in range(SETTLING_TIMES):
        rows, before = [], None
        while True:
            page = await desk.call("requests", {"key": key_id, "limit": "500", **({"before": before} if before else {})})
            rows += page["requests"]
            before = page["next"]
            if before is None:
                break
        if all(row["state"] == "settled" for row in rows):
            break
        await asyncio.sleep(SETTLING_S)
    return rows


def _spent(rows: Sequence[Json]) -> Json:
    """Known prices are added; `unpriced` counts the answers that have none. A refusal costs nothing."""
    prices = [row["cost"]["usd"] for row in rows if row["outcome"] == "ok" or row["cost"]["usd"] is not None or row["state"] != "settled"]
    known = [Decimal(price) for price in prices if price is not None]
    return {"cost_usd": f"{sum(known, Decimal(0)):.6f}", "unpriced": len(prices) - len(known), "requests": len(rows)}


# ---------------------------------------------------------------- What is shown


def _told(one: Any) -> Json:
    return {"account": one.account, "provider": one.provider, "model": one.model, "why": one.why}


def _described(names: Sequence[str]) -> list[Json]:
    from omni_connector.verifying import SCENARIOS as KNOWN

    return [{"name": name, "says": KNOWN[name].says, "requests": KNOWN[name].requests} for name in names]


def _show_plan(plan: Json) -> None:
    table(("SCENARIO", "WHAT IS ASKED FOR", "REQUESTS"), [(s["name"], s["says"], s["requests"]) for s in plan["scenarios"]], ("REQUESTS",))
    say()
    table(("ACCOUNT", "PROVIDER", "MODEL"), [(a["account"], a["provider"], a["model"] or a["why"]) for a in plan["accounts"]])
    note(f"Each in the formats {', '.join(plan['formats'])}, for at most ${plan['max_cost_usd']} in all. Nothing was sent.")


def _show_matrix(answer: Json) -> None:
    fields: dict[tuple[str, str, str], dict[str, str]] = {}
    for cell in answer["cells"]:
        fields.setdefault((cell["account"], cell["model"], cell["format"]), {})[cell["scenario"]] = cell["outcome"]
    titles = ("ACCOUNT", "MODEL", "FORMAT", *(name.upper() for name in answer["scenarios"]))
    table(titles, [(*row, *(found[name] for name in answer["scenarios"])) for row, found in fields.items()])
    reasons = _reasons(answer["cells"])
    if reasons:
        say()
        for line in reasons:
            say(line)
    say()
    for one in answer["accounts"]:
        say(f"{one['account']}: {_cost(one)}")
    say(f"in all: {_cost(answer)}, of at most ${answer['max_cost_usd']}")
    said = [f"{number} {name}" for name, number in answer["outcomes"].items() if number]
    note(f"{', '.join(said)}. `omni-connector logs --requests` shows each request; the temporary key is revoked.")


def _reasons(cells: Sequence[Mapping[str, str]]) -> list[str]:
    """One line for each reason; what several formats or scenarios share is said once."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for cell in cells:
        if cell["why"]:
            found.setdefault((cell["account"], cell["outcome"], cell["why"]), []).append(f"{cell['format']} {cell['scenario']}")
    return [f"{account}, {', '.join(_few(places))}: {outcome}: {why}" for (account, outcome, why), places in found.items()]


def _few(places: Sequence[str]) -> list[str]:
    return list(places) if len(places) <= 4 else [*places[:3], f"{len(places) - 3} more"]


def _cost(one: Json) -> str:
    unknown = f", and {one['unpriced']} without a known price" if one["unpriced"] else ""
    return f"{money(one['cost_usd'])} for {count(one['requests'])} request{'' if one['requests'] == 1 else 's'}{unknown}"
