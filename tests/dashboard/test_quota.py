"""What is left, as people see it: small bars with their end and a look ahead, calm where nobody tells. P-05, P-30, J-08"""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect

WIDE = {"viewport": {"width": 1700, "height": 900}}
HOUR = 3_600_000


def window(name: str, used: Any, model: str = "", **more: Any) -> dict[str, Any]:
    row = {"name": name, "used": used, "limit": 100, "unit": "%", "resets_at": int(time.time() * 1000) + 4 * HOUR, "state": "live"}
    return {**row, "forecast": None, **({"model": model} if model else {}), **more}


def row(page: Any, label: str) -> Any:
    return page.locator("table.accounts tbody tr", has=page.get_by_role("button", name=label, exact=True))


def test_windows_plan_and_a_look_ahead(mock: Any, open_page: Any) -> None:  # P-05
    page = open_page("busy", "accounts", **WIDE)
    quota = [
        window("week", 9, "gpt-*"),
        window("week", 97, "gemini-*", forecast={"ends_at": int(time.time() * 1000) + HOUR, "words": "x"}),
        window("5h", None, "claude-*", state="unknown"),
        window("5h", 70, "gemini-*", state="stale"),
    ]
    mock.tell("account", id="acc_2", plan="Google AI Pro", quota=quota)
    mine = row(page, "claude-work")
    expect(mine).to_contain_text("Google AI Pro")
    bars = mine.get_by_role("meter")
    expect(bars).to_have_count(2)
    expect(bars.first).to_have_accessible_name("week gemini-* quota")
    expect(bars.first).to_have_attribute("aria-valuenow", "97")
    expect(mine.get_by_text(re.compile(r"^ends (\w+ )?\d\d:\d\d at this pace$"))).to_be_visible()
    expect(mine).to_contain_text("4 h")
    mine.get_by_role("button", name="2 more").click()
    expect(bars).to_have_count(3)
    expect(mine.get_by_text("gpt-*")).to_be_visible()
    expect(mine).to_contain_text("claude-*5h unknown")
    mine.get_by_role("button", name="fewer").click()
    expect(bars).to_have_count(2)


def test_unknown_is_said_and_the_button_asks(mock: Any, open_page: Any) -> None:  # P-30
    page = open_page("busy", "accounts", **WIDE)
    mine = row(page, "openai")
    expect(mine.locator(".c-quota")).to_have_text("unknown")
    button = page.get_by_role("button", name="Refresh quota of openai")
    expect(button).to_have_count(0)  # nobody could be asked
    mock.tell("account", id="acc_1", can_refresh=True)
    button.click()
    expect(page.get_by_text("openai was asked what is left.")).to_be_visible()
    expect(mine.locator(".c-quota")).to_have_text("4.20 USD left")
    assert mock.calls("POST")[-1]["path"] == "/api/accounts/acc_1/refresh"


def test_a_balance_is_set_by_hand_where_the_provider_tells_none(mock: Any, open_page: Any) -> None:  # J-08
    page = open_page("busy", "accounts", **WIDE)
    page.get_by_role("button", name="Edit openai").click()
    page.get_by_text("Advanced").click()
    page.get_by_label("Balance").fill("12.5 eur")
    page.get_by_role("button", name="Note it now").click()
    expect(page.get_by_text("Balance noted.")).to_be_visible()
    assert mock.calls("PATCH")[-1]["body"] == {"balance": {"amount": "12.5", "currency": "eur"}}
    page.get_by_role("button", name="Close").click()
    mock.tell("account", id="acc_1", balance={"amount": "12.5", "currency": "EUR", "manual": True, "set_at": 1})
    expect(row(page, "openai").locator(".c-quota")).to_have_text("12.50 EUR left set by you")
    page.get_by_role("button", name="Edit kimi").click()
    page.get_by_text("Advanced").click()
    expect(page.get_by_label("Balance")).to_have_count(0)  # the provider tells it
