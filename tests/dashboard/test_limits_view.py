"""Limits on the real server: set, changed, removed and taken back; those of accounts and keys beside them. R-19"""

from __future__ import annotations

import re
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install 'omni-connector[test]'")
from playwright.sync_api import expect

HOSTILE = "<img src=x onerror=alert(1)>"
ADD = f"""import('/static/api.js').then(async (api) => {{
  const limits = {{ rpm: 30, tpm: 90000, budget: {{ amount: '20', period: 'week' }} }};
  await api.post('/api/accounts', {{ provider: 'groq', label: 'work', api_key: 'gsk_1', discover: false, ...limits }});
  await api.post('/api/keys', {{ name: '{HOSTILE}', budget: {{ amount: '0', period: 'day', mode: 'soft' }} }});
}})"""
BERLIN = {"timezone_id": "Europe/Berlin"}


def test_limits_are_set_changed_removed_and_taken_back(product: str, open_page: Any, shoot: Any) -> None:
    page = open_page("", "limits", url=product, errors_expected=True, **BERLIN)
    expect(page.get_by_text("Nothing is limited yet")).to_be_visible()
    page.get_by_role("button", name="Set a limit").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_role("alert")).to_contain_text("Give a budget")
    dialog.get_by_label("Budget").fill("5,50")
    dialog.get_by_label("Tokens per minute").fill("1e6")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_role("alert")).to_have_count(2)
    dialog.get_by_label("Budget").fill("$50.50")
    dialog.get_by_label("Tokens per minute").fill("")
    expect(dialog.get_by_label("Time zone")).to_have_value("Europe/Berlin")
    shoot(page, "limit-dialog")
    dialog.get_by_role("button", name="Save").click()
    row = page.locator("tr", has_text="Everything")
    expect(row).to_contain_text("$50.50 this month")

    page.get_by_role("button", name="Set a limit").click()
    expect(dialog.get_by_label("Of")).to_have_value("provider")
    dialog.get_by_label("Provider", exact=True).select_option("openai")
    dialog.get_by_label("Requests per minute").fill("60")
    dialog.get_by_role("button", name="Save").click()
    expect(page.locator("tr", has_text="OpenAI")).to_contain_text("60")
    page.get_by_role("button", name="Set a limit").click()
    dialog.get_by_label("Of").select_option("model")
    dialog.get_by_label("Model").fill(f"meta/{HOSTILE}")
    dialog.get_by_label("Budget").fill("2")
    dialog.get_by_label("Period").select_option("total")
    expect(dialog.get_by_label("Time zone")).to_be_disabled()
    dialog.get_by_label("When it is spent").select_option("soft")
    dialog.get_by_role("button", name="Save").click()
    model = page.locator("tr", has_text=f"meta/{HOSTILE}")
    expect(model).to_contain_text("$2 in total")
    expect(model).to_contain_text("soft")

    page.evaluate(ADD)
    expect(page.locator("tr", has_text="work")).to_contain_text("$0 of $20 this week")
    expect(page.locator("tr", has_text="key").filter(has_text=HOSTILE)).to_contain_text("$0 today")
    shoot(page, "limits")

    row.get_by_role("button", name=re.compile("^Edit")).click()
    expect(dialog.get_by_label("Budget")).to_have_value("50.50")
    dialog.get_by_label("Requests per minute").fill("600")
    dialog.get_by_role("button", name="Save").click()
    expect(row).to_contain_text("600")
    expect(row).to_contain_text("$50.50")
    row.get_by_role("button", name=re.compile("^Remove")).click()
    expect(row).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect(row).to_contain_text("600")
    expect(row).to_contain_text("$50.50 this month")
    stored = page.evaluate("fetch('/api/limits').then((answer) => answer.json())")["limits"][0]["budget"]
    assert {name: stored[name] for name in ("amount", "period", "zone")} == {"amount": "50.50", "period": "month", "zone": "Europe/Berlin"}


def test_accounts_and_keys_are_limited_where_they_are_edited(product: str, open_page: Any, shoot: Any) -> None:
    page = open_page("", "limits", url=product, errors_expected=True, **BERLIN)
    page.get_by_text("None is limited.").wait_for()
    page.evaluate(ADD)
    dialog = page.get_by_role("dialog")
    page.get_by_role("button", name="Edit account work").click()
    expect(dialog.get_by_label("Budget")).to_have_value("20")
    expect(dialog.get_by_label("Time zone")).to_have_value("UTC")
    dialog.get_by_label("Budget").fill("7")
    dialog.get_by_label("Most in flight").fill("0")
    dialog.get_by_role("button", name="Save", exact=True).click()
    expect(dialog.get_by_role("alert")).to_contain_text("A whole number from 1")
    dialog.get_by_label("Most in flight").fill("3")
    dialog.get_by_label("Time zone").select_option("Asia/Tokyo")
    dialog.get_by_role("button", name="Save", exact=True).click()
    account = page.locator("tr", has_text="work")
    expect(account).to_contain_text("$0 of $7 this week")
    stored = page.evaluate("fetch('/api/accounts').then((answer) => answer.json())")["accounts"][0]
    assert (stored["rpm"], stored["tpm"], stored["max_in_flight"]) == (30, 90_000, 3)
    assert (stored["budget"]["zone"], stored["budget"].get("mode")) == ("Asia/Tokyo", None)
    page.keyboard.press("g")
    page.keyboard.press("a")
    expect(account).to_contain_text("at most 30 requests/min · 90k tokens/min")
    expect(account.get_by_role("meter", name="Budget of work, spent")).to_be_visible()

    page.keyboard.press("g")
    page.keyboard.press("k")
    key = page.locator("tr", has_text=HOSTILE)
    expect(key).to_contain_text("soft")
    key.get_by_role("button", name=re.compile("^Edit")).click()
    expect(dialog.get_by_label("When it is spent")).to_have_value("soft")
    dialog.get_by_label("Name").fill("laptop")
    dialog.get_by_label("Budget").fill("")
    dialog.get_by_label("Requests per minute").fill("12")
    shoot(page, "key-dialog")
    dialog.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("tr", has_text="laptop")).to_contain_text("12 requests/min")
    stored = page.evaluate("fetch('/api/keys').then((answer) => answer.json())")["keys"][0]
    assert (stored["name"], stored["budget"], stored["rpm"], stored["expires_at"]) == ("laptop", None, 12, None)
    shoot(page, "keys")
