"""`omni-connector price …`: what models cost you, where the price list is wrong or silent, and the books priced anew."""

from __future__ import annotations

from typing import Any

import click

from omni_connector.cli import prompts
from omni_connector.cli.base import Group, Stop, json_option
from omni_connector.cli.desk import ask
from omni_connector.cli.output import count, money, note, say, show, table

Json = dict[str, Any]
RATES = ("input", "output", "cache_read", "cache_write", "per_request")
KEPT = {
    "reported": "the provider said what they took",
    "continued": "two accounts share each of them",
    "removed": "their account is gone, and no price of yours names it",
    "unknown": "the price list does not know their price any more",
}
"""Why a row keeps its cost."""


@click.group(cls=Group)
def price() -> None:
    """Set what models cost you: your own rates, a price per request, or a subscription."""


@price.command("list")
@json_option
def list_prices(as_json: bool) -> None:
    """Your prices, in dollars per million tokens. Models without one cost what the price list says."""
    show(ask("prices"), as_json, _show_list)


def _show_list(answer: Json) -> None:
    if not answer["prices"]:
        say("No price is set: the price list's hold. Set one: omni-connector price set MODEL --input 1.25 --output 10")
        return
    titles = ("MODEL", "WHERE", "INPUT", "OUTPUT", "CACHE READ", "CACHE WRITE", "PER REQUEST")
    table(titles, [(p["pattern"], _where(p), *_rates(p)) for p in answer["prices"]], right=titles[2:])


def _where(p: Json) -> str:
    if p["account"] is not None:
        return f"account {p['account']['label'] or p['account']['id'] + ' (removed)'}"
    return f"provider {p['provider']}" if p["provider"] else "everywhere"


def _rates(p: Json) -> list[str | None]:
    rates: list[str | None] = [p[name] for name in RATES]
    return ["subscription", *rates[1:]] if p["subscription"] and not any(rates) else rates


@price.command("set")
@click.argument("model")
@click.option("--input", "input_", metavar="USD", help="A million tokens read.")
@click.option("--output", metavar="USD", help="A million tokens written.")
@click.option("--cache-read", metavar="USD", help="A million tokens read from the cache (else: as --input).")
@click.option("--cache-write", metavar="USD", help="A million tokens written to the cache (else: as --input).")
@click.option("--per-request", metavar="USD", help="Each answer, beside its tokens.")
@click.option(
    "--subscription", is_flag=True, help="It is paid for otherwise: an answer costs nothing. Rates beside it say what it is worth."
)
@click.option("--account", metavar="LABEL", help="Only for this account.")
@click.option("--provider", metavar="ID", help="Only for the accounts of this provider.")
@json_option
def set_one(model: str, input_: str | None, as_json: bool, **options: Any) -> None:
    """Set the price of MODEL: an id, a family such as claude-sonnet-4.5, or a pattern such as 'gpt-5*'.

    The nearest price holds: for the account before the provider before everywhere; then the id before the family before a pattern.

    \b
    Examples:
      omni-connector price set qwen3-max --input 1.2 --output 6
      omni-connector price set 'gpt-5*' --account work --input 1 --output 8 --cache-read 0.1
      omni-connector price set '*' --account plan --subscription
    """
    body = {name: value for name, value in {"input": input_, **options}.items() if value}
    show(ask("set_price", model, body), as_json, lambda p: say(f"{p['pattern']} ({_where(p)}): {_words(p)}. It holds from now on."))


def _words(p: Json) -> str:
    rates = ", ".join(f"{name.replace('_', ' ')} ${p[name]}" for name in RATES if p[name] is not None)
    if p["subscription"]:
        return f"subscription, $0 (worth {rates})" if rates else "subscription, $0"
    return rates


@price.command()
@click.argument("model")
@click.option("--account", metavar="LABEL", help="The one for this account.")
@click.option("--provider", metavar="ID", help="The one for this provider.")
@json_option
def remove(model: str, as_json: bool, **whose: str | None) -> None:
    """Remove the price that was set for MODEL: the next nearest holds, in the end the price list's."""
    body = {name: value for name, value in whose.items() if value}
    show(ask("remove_price", model, body), as_json, lambda p: say(f"The price of {p['pattern']} ({_where(p)}) is removed."))


@price.command()
@click.option("--from", "from_", metavar="TIME", required=True, help="Requests from then on: a date, or a span such as 30d.")
@click.option("--to", metavar="TIME", default="now", help="… and before then (else: now).")
@click.option("--dry-run", is_flag=True, help="Only show the difference.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask after showing it.")
@json_option
def reprice(from_: str, to: str, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Price the requests of a period anew, by your prices of today; the difference is shown first.

    A request whose price the provider itself reported keeps it.
    """
    told = ask("reprice", {"from": from_, "to": to, "dry_run": True})
    if not as_json:
        _show_difference(told)
    if not dry_run and told["changed"]:
        if not yes and not prompts.terminal():
            raise Stop("Nothing was changed: nobody is here to ask. Give --yes, or --dry-run to look only.")
        if not yes and not prompts.confirm(f"Change {count(told['changed'])} requests?", default=False):
            raise Stop("Nothing was changed.")
        told = ask("reprice", {"from": told["from"], "to": told["to"], "dry_run": False})
        note(f"{count(told['changed'])} requests were priced anew.")
    if as_json:
        show(told, True, _show_difference)


def _show_difference(told: Json) -> None:
    if told["models"]:
        rows = [(m["provider"], m["model"], *_sums(m)) for m in told["models"]]
        titles = ("PROVIDER", "MODEL", "REQUESTS", "COST NOW", "THEN")
        table(titles, [*rows, ("all", f"{count(told['rows'])} looked at", count(told["changed"]), *_sums(told)[1:])], right=titles[2:])
    else:
        say(f"{count(told['rows'])} requests looked at: nothing would change.")
    if told["unpriced_after"]:
        note(f"{count(told['unpriced_after'])} requests have no known price and are not in the cost.")
    for word, rows in told["kept"].items():
        note(f"{count(rows)} requests keep their cost: {KEPT.get(word, word)}.")


def _sums(one: Json) -> tuple[str, str, str]:
    return count(one["rows"]), money(one["before_usd"]), money(one["after_usd"])
