"""`omni-connector quota`: what is left on the accounts, as their providers tell it. (P-05, J-07)"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from omni_connector.cli.base import Stop, json_option, near
from omni_connector.cli.desk import ask
from omni_connector.cli.output import note, say, show, table, when

Json = dict[str, Any]
TITLES = ("ACCOUNT", "PLAN", "WINDOW", "MODEL", "USED", "RESETS", "STATE")
NONE = "none"


@click.command()
@click.argument("label", required=False)
@json_option
def quota(label: str | None, as_json: bool) -> None:
    """Quota windows, balance and plan of your accounts. LABEL shows one of them.

    The server asks providers in the background (setting quota_refresh_interval); 'backend refresh ACCOUNT' asks at once. What a provider
    does not tell is unknown, not zero.

    \b
    Examples:
      omni-connector quota
      omni-connector quota work --json
    """
    answer = ask("quota")
    if label is not None:
        found = [a for a in answer["accounts"] if label in (a["label"], a["id"])]
        if not found:
            known = [a["label"] for a in answer["accounts"]]
            raise Stop(f"There is no account {label!r}{near(label, known)}. See: omni-connector backend list")
        answer = {**answer, "accounts": found}
    show(answer, as_json, show_quota)


def show_quota(answer: Json) -> None:
    if not answer["accounts"]:
        say("No account yet. Connect one: omni-connector backend add")
        return
    table(TITLES, [row for account in answer["accounts"] for row in _rows(account)])
    for account in answer["accounts"]:
        for line in _notes(account):
            note(f"{account['label']}: {line}")


def show_refreshed(account: Json) -> None:
    """After `backend refresh`."""
    say(account["message"])
    table(TITLES, _rows(account))
    for line in _notes(account):
        note(line)


def _rows(account: Json) -> list[tuple[object, ...]]:
    label, plan = account["label"], account["plan"] or "–"
    rows: list[tuple[object, ...]] = [
        (label, plan, w["name"], w.get("model") or "all", used(w), when(w["resets_at"]), w["state"]) for w in account["quota"]
    ]
    told = balance_words(account["balance"], " left")
    if told:
        state = "set by you" if account["balance"].get("manual") else "live"
        rows.append((label, plan, "balance", "all", told, "–", state))
    return rows or [(label, plan, "–", "–", "unknown", "–", "–")]


def _notes(account: Json) -> Iterator[str]:
    yield from (f"{w['forecast']['words']}." for w in account["quota"] if w.get("forecast"))
    if account["quota_error"]:
        yield f"not everything was answered: {account['quota_error']}"


def used(window: Json) -> str:
    """ "37 %", "1,125 of 1,500 requests", "unknown"."""
    of, limit, unit = window.get("used"), window.get("limit"), window.get("unit") or ""
    if of is None or not limit or window.get("state") == "unknown":
        return "unknown"
    share = 100 * of / limit
    return f"{share:.0f} %" if unit == "%" else f"{of:,.10g} of {limit:,.10g} {unit} ({share:.0f} %)"


def balance_words(told: Json | None, left: str = "") -> str:
    """What is left on the account, in the provider's words and currency; `left` stands behind the amounts."""
    if told is None:
        return ""
    amounts = [f"{item['amount']} {item['currency']}" for item in told.get("items") or (told,)]
    said = f" (as you set it on {when(told.get('set_at'))})" if told.get("manual") else ""
    return ", ".join(amounts) + left + said + (" (not usable)" if told.get("usable") is False else "")


def balance_of(text: str | None) -> Json:
    """`--balance`: "12.50 USD" → the field of an account body."""
    if text is None:
        return {}
    amount, _, currency = text.strip().partition(" ")
    return {"balance": None if text.strip() == NONE else {"amount": amount, **({"currency": currency.strip()} if currency.strip() else {})}}
