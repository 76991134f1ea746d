"""`omni-connector usage` and `omni-connector models`: what was spent, and what can be asked for."""

from __future__ import annotations

from typing import Any

import click

from omni_connector.cli.base import json_option, near
from omni_connector.cli.desk import ask
from omni_connector.cli.output import count, few, money, note, say, show, table, when

Json = dict[str, Any]
GROUPS = ("account", "model", "provider", "key", "client", "day", "hour")
_TOKENS = ("input", "cache_read", "cache_write", "output", "reasoning")


@click.command()
@click.option("--group", type=click.Choice(GROUPS), default="account", show_default=True, help="One line per …")
@click.option("--from", "from_", metavar="WHEN", help="A span back (24h, 7d), a date, or 'today' (default: 30d).")
@click.option("--to", metavar="WHEN", help="The same forms (default: now).")
@click.option("--provider", metavar="ID", help="Only of this provider.")
@click.option("--zone", metavar="NAME", help="Time zone of days and dates, for example Europe/Berlin (default: UTC).")
@click.option("--csv", "as_csv", is_flag=True, help="Lines for a spreadsheet.")
@click.option("--reconcile", is_flag=True, help="What providers say that each day cost, beside these books.")
@json_option
def usage(
    group: str, from_: str | None, to: str | None, provider: str | None, zone: str | None, as_csv: bool, reconcile: bool, as_json: bool
) -> None:
    """Requests, tokens and exact cost, by account, model, provider, key, client, day or hour (UTC)."""
    if reconcile:
        show(ask("reconciliations", {}), as_json, _show_days)
        return
    query = {"group": group, "from": from_, "to": to, "zone": zone}
    answer = ask("usage_of", provider, query) if provider else ask("usage", query)
    if as_csv and not as_json:
        from omni_connector.admin.sheets import usage_csv

        print(usage_csv(answer), end="")
        return
    show(answer, as_json, _show_usage)


def _show_usage(answer: Json) -> None:
    if not answer["rows"]:
        say("No request in this period.")
        return
    total = {**answer["total"], "name": "total"}
    rows = [
        (row["name"] or "–", count(row["requests"]), count(row["failed"]), *(count(row[name]) for name in _TOKENS), money(row["cost_usd"]))
        for row in (*answer["rows"], total)
    ]
    titles = (answer["group"].upper(), "REQUESTS", "FAILED", "INPUT", "CACHED", "WRITTEN", "OUTPUT", "THOUGHT", "COST")
    table(titles, rows, right=titles[1:])
    note(f"{when(answer['from'])} to {when(answer['to'])}.")
    if float(total.get("worth_usd") or 0):
        note(f"What subscriptions paid for would have cost {money(total['worth_usd'])} by the token.")
    if total["unpriced"]:
        some = "1 request has" if total["unpriced"] == 1 else f"{count(total['unpriced'])} requests have"
        note(f"{some} no known price and {'is' if total['unpriced'] == 1 else 'are'} not in the cost.")


def _show_days(answer: Json) -> None:
    rows = [
        (d["day"], d["account"]["label"], money(d["theirs_usd"]), money(d["ours_usd"]), money(d["difference_usd"]), d["state"])
        for d in answer["days"]
    ]
    if rows:
        table(("DAY (UTC)", "ACCOUNT", "PROVIDER", "BOOKS", "DIFFERENCE", "STATE"), rows, right=("PROVIDER", "BOOKS", "DIFFERENCE"))
    else:
        say("No day has been compared yet.")
    for day in answer["days"]:
        if day["state"] != "equal":
            note(f"{day['day']} {day['account']['label']}: {day['words']}.")
    for account in answer["accounts"]:
        if account["words"]:
            note(f"{account['label']}: {account['words']}.")


@click.command()
@click.argument("text", required=False)
@json_option
def models(text: str | None, as_json: bool) -> None:
    """Models that your accounts serve. TEXT shows only names that contain it.

    Ask for any of them by name, for "auto", or for PROVIDER/MODEL and LABEL/MODEL.
    """
    answer = ask("provider_models")
    found = [m for m in answer["models"] if text is None or text.lower() in m["id"].lower()]
    if text and not found and not as_json:
        note(f"No model's name contains {text!r}{near(text, [m['id'] for m in answer['models']])}.")
    show({"models": found}, as_json, _show_models)


def _show_models(answer: Json) -> None:
    if not answer["models"]:
        say("No models. Connect an account: omni-connector backend add")
        return
    rows = [
        (m["id"], few(m["accounts"]), count(m["context_window"]), _price(m["input_usd_per_mtok"]), _price(m["output_usd_per_mtok"]))
        for m in answer["models"]
    ]
    table(("MODEL", "ACCOUNTS", "WINDOW", "$/M IN", "$/M OUT"), rows, right=("WINDOW", "$/M IN", "$/M OUT"))


def _price(usd: str | None) -> str:
    return "–" if usd is None else usd
