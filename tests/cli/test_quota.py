"""`omni-connector quota`, `backend refresh`, `backend edit --balance`. P-05, P-30, J-08"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from omni_connector.cli.office import home, local_gateway
from omni_connector.cli.quota import balance_of, balance_words, used
from omni_connector.store import accounts as rows
from tests.cli.conftest import Cli


def tell(label: str, **left: Any) -> None:
    async def write() -> None:
        async with local_gateway(home()) as gateway:
            account_id = next(account.id for account in gateway.snapshot.accounts if account.label == label)
            await gateway.db.tx(lambda conn: rows.set_left(conn, account_id, **left))

    asyncio.run(write())


def test_one_line_a_window(cli: Cli) -> None:  # P-05
    assert "backend add" in cli("quota").out
    cli("backend", "add", "demo", "--label", "calm")
    cli("backend", "add", "demo", "--label", "busy")
    end = int(time.time() * 1000) + 3_600_000
    window = {"name": "day", "used": 1125.0, "limit": 1500, "unit": "requests", "resets_at": end, "state": "live", "model": "gemini-*"}
    tell("busy", quota=lambda stored: [window], plan="pro", balance={"amount": "5.00", "currency": "USD"})
    lines = cli("quota").out.splitlines()
    assert lines[0].split() == ["ACCOUNT", "PLAN", "WINDOW", "MODEL", "USED", "RESETS", "STATE"]
    assert "busy" in lines[1] and "pro" in lines[1] and "gemini-*" in lines[1] and "1,125 of 1,500 requests (75 %)" in lines[1]
    assert "5.00 USD left" in lines[2]
    assert lines[3].split()[:2] == ["calm", "–"] and "unknown" in lines[3]
    assert len(cli("quota", "busy", "--json").json["accounts"]) == 1
    assert "did you mean 'busy'" in cli("quota", "bussy").err
    shown = cli("backend", "show", "busy").out
    assert "day of gemini-*: 1,125 of 1,500 requests (75 %) until" in shown and "pro" in shown


def test_refresh(cli: Cli) -> None:  # P-30
    cli("backend", "add", "demo", "--label", "calm")
    assert "There is nobody to ask what is left on calm" in cli("backend", "refresh", "calm").out
    endpoints = '{"balance": "http://127.0.0.1:9/x"}'
    cli(
        "backend", "add", "deepseek", "--label", "deep", "--api-key", "sk-0123456789", "--option", f"endpoints={endpoints}", "--no-discover"
    )
    told = cli("backend", "refresh", "deep")
    assert (told.code, "deep did not tell" in told.out, "not everything was answered" in told.err) == (0, True, True)


def test_a_balance_by_hand(cli: Cli) -> None:  # J-08
    cli("backend", "add", "demo", "--label", "calm")
    assert cli("backend", "edit", "calm", "--balance", "12.50 EUR").code == 0
    assert "12.50 EUR left (as you set it on" in cli("quota").out
    assert cli("backend", "edit", "calm", "--balance", "much").code == 2
    assert cli("backend", "edit", "calm", "--balance", "none", "--json").json["balance"] is None


@pytest.mark.parametrize(
    ("window", "words"),
    [
        ({"used": 37.4, "limit": 100, "unit": "%", "state": "live"}, "37 %"),
        ({"used": 0, "limit": 60, "unit": "requests", "state": "stale"}, "0 of 60 requests (0 %)"),
        ({"used": None, "limit": None, "unit": "%", "state": "unknown"}, "unknown"),
        ({"used": 4, "limit": 0}, "unknown"),
        ({"used": 3, "limit": 9, "state": "unknown"}, "unknown"),
    ],
)
def test_unknown_is_not_zero(window: Any, words: str) -> None:  # P-05
    assert used(window) == words


def test_words_and_bodies() -> None:
    items = [{"amount": "5", "currency": "USD"}, {"amount": "7", "currency": "CNY"}]
    assert balance_words({**items[0], "usable": False, "items": items}) == "5 USD, 7 CNY (not usable)"
    assert balance_words({"amount": "5", "currency": "EUR", "manual": True, "set_at": 0}, " left").startswith(
        "5 EUR left (as you set it on"
    )
    assert (balance_words(None), balance_of(None), balance_of("none")) == ("", {}, {"balance": None})
    assert balance_of(" 5 ") == {"balance": {"amount": "5"}}
