"""Prices of one's own on the real server: set, changed, removed and taken back, from the models view too; the past priced anew."""

from __future__ import annotations

import os
import re
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install 'omni-connector[test]'")
from playwright.sync_api import expect

from omni_connector.secrets import new_id

HOSTILE = "<img src=x onerror=alert(1)>*"
ADD = """import('/static/api.js').then((api) =>
  api.post('/api/accounts', { provider: 'openai', label: 'work', api_key: 'sk-1', discover: false, models: ['gpt-4o', 'made-up'] }))"""


def book(home: Path, account: str) -> None:
    """Requests as a process that answered them would have written them: one with a price of the list, one that nobody knows."""
    at = int(time.time() * 1000) - 3_600_000
    sql = """INSERT INTO requests (id, process_id, state, started_at, settled_at, outcome, account_id, provider, model, input, output,
             cost_nano, price_source) VALUES (?, 'p', 'settled', ?, ?, 'ok', ?, 'openai', ?, 1000000, 0, ?, ?)"""
    rows = [("gpt-4o", 2_500_000_000, "genai-prices 0"), ("gpt-4o", 2_500_000_000, "genai-prices 0"), ("made-up", None, "unknown")]
    with sqlite3.connect(home / "omni.db", timeout=30) as db:
        for model, cost, source in rows:
            db.execute(sql, (new_id("req", at), at, at, account, model, cost, source))
    db.close()


def test_prices_are_set_changed_removed_and_taken_back(product: str, open_page: Any, shoot: Any) -> None:
    page = open_page("", "prices", url=product, errors_expected=True)
    expect(page.get_by_text("No price of your own")).to_be_visible()
    page.evaluate(ADD)
    page.get_by_role("button", name="Set a price").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_role("alert")).to_have_count(2)
    dialog.get_by_label("Model").fill(HOSTILE)
    dialog.get_by_label("Where").select_option("Account work")
    dialog.get_by_label("Read", exact=True).fill("1.25")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_role("alert")).to_contain_text("Both together")
    dialog.get_by_label("Written", exact=True).fill("10")
    dialog.get_by_label("Read from the cache").fill("0.125")
    shoot(page, "price-dialog")
    dialog.get_by_role("button", name="Save").click()
    row = page.locator("tr", has_text=HOSTILE)
    expect(row).to_contain_text("account work")
    expect(row).to_contain_text("$0.125")

    page.get_by_role("button", name="Set a price").click()
    dialog.get_by_label("Model").fill("*")
    dialog.get_by_label("Where").select_option("Provider OpenAI")
    dialog.get_by_label("Paid by subscription").check()
    dialog.get_by_role("button", name="Save").click()
    expect(page.get_by_text("subscription: an answer costs nothing more")).to_be_visible()
    expect(dialog).to_have_count(0)

    page.keyboard.press("g")
    page.keyboard.press("m")
    page.get_by_role("button", name="Set the price of gpt-4o").first.click()
    expect(dialog.get_by_label("Model")).to_have_value("gpt-4o")
    dialog.get_by_label("Read", exact=True).fill("3")
    dialog.get_by_label("Written", exact=True).fill("12")
    dialog.get_by_role("button", name="Save").click()
    page.get_by_role("link", name="Your prices").click()
    mine = page.locator("tr", has_text="gpt-4o")
    expect(mine).to_contain_text("$12")
    shoot(page, "prices")

    row.get_by_role("button", name=re.compile("^Edit")).click()
    expect(dialog.get_by_label("Read from the cache")).to_have_value("0.125")
    dialog.get_by_label("Read from the cache").fill("")
    dialog.get_by_role("button", name="Save").click()
    expect(row).not_to_contain_text("$0.125")
    row.get_by_role("button", name=re.compile("^Remove")).click()
    expect(row).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect(row).to_contain_text("$1.25")
    expect(row).to_contain_text("account work")


def test_the_past_is_priced_anew_after_it_was_shown(product: str, open_page: Any, shoot: Any, tmp_path: Path) -> None:
    page = open_page("", "prices", url=product, errors_expected=True)
    page.get_by_text("No price of your own").wait_for()
    page.evaluate(ADD)
    account = page.evaluate("fetch('/api/accounts').then((answer) => answer.json())")["accounts"][0]["id"]
    book(tmp_path / "home", account)
    page.get_by_role("button", name="Price the past anew").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Show the difference").click()
    expect(dialog.get_by_text("3 requests looked at: nothing would change.")).to_be_visible()
    expect(dialog).to_contain_text("1 have no known price")
    page.keyboard.press("Escape")
    page.evaluate("""import('/static/api.js').then((api) => api.put('/api/prices/*', { input: '10', output: '20' }))""")
    expect(page.locator("tr", has_text="everywhere")).to_contain_text("$20")

    page.get_by_role("button", name="Price the past anew").click()
    dialog.get_by_label("Requests of").select_option("From a day on")
    expect(dialog.get_by_label("From")).to_have_value(re.compile(r"\d{4}-\d\d-\d\d"))
    dialog.get_by_role("button", name="Show the difference").click()
    expect(dialog.locator("tr", has_text="gpt-4o")).to_contain_text("$5.00$20.00")
    expect(dialog.locator("tr", has_text="made-up")).to_contain_text("unknown$10.00")
    shoot(page, "reprice")
    dialog.get_by_role("button", name="Change 3 requests").click()
    expect(dialog.get_by_role("status")).to_contain_text("3 requests were priced anew")
    expect(dialog.get_by_role("status")).to_contain_text("They cost $5.00 before, and $30.00 now.")
    shots = Path(os.environ.get("DASHBOARD_SHOTS", tmp_path))
    page.screenshot(path=shots / "reprice-done.png")
    dialog.get_by_role("button", name="Close").last.click()
    page.get_by_role("button", name="Price the past anew").click()
    dialog.get_by_role("button", name="Show the difference").click()
    expect(dialog.get_by_text("nothing would change")).to_be_visible()
