"""The providers view on the real server: the list with its switches, and what is set for a provider as a whole. J-22, J-23, J-03"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install 'omni-connector[test]'")
from playwright.sync_api import expect

CLIPPED = "[...document.querySelectorAll('.sheet')].filter((s) => s.scrollWidth > s.clientWidth).map((s) => s.innerText.slice(0, 80))"
ADD = """import('/static/api.js').then((api) =>
  api.post('/api/accounts', { provider: 'groq', label: 'work', api_key: 'gsk_1', discover: false }))"""


def test_providers_are_switched_and_edited(product: str, open_page: Any, tmp_path: Path) -> None:
    page = open_page("", "providers", url=product, errors_expected=True)
    expect(page.get_by_role("heading", name="Providers")).to_be_visible()
    expect(page.locator("tr", has_text="openrouter")).to_be_visible()  # nothing is connected: all are shown
    page.evaluate(ADD)
    row = page.locator("tbody tr")
    expect(row).to_have_count(1)
    expect(row).to_contain_text("work")

    row.get_by_role("button", name=re.compile("^Edit")).click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("For all its accounts: work")
    dialog.get_by_label("Model names").fill("fast llama")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_role("alert")).to_contain_text("“fast llama”")
    dialog.get_by_label("Model names").fill("fast = llama-3.1-8b-instant\n big=llama-3.3-70b-versatile ")
    dialog.get_by_label("Address").fill("ftp://nowhere")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_role("alert")).to_contain_text("http")
    dialog.get_by_label("Address").fill("http://gateway.lan:9000")
    dialog.get_by_label("Name", exact=False).first.fill("Fast <b>ones</b>")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_have_count(0)
    expect(row).to_contain_text("Fast <b>ones</b>")
    expect(row).to_contain_text("gateway.lan:9000")
    expect(row.locator("td").nth(3)).to_have_text("2")

    row.get_by_role("button", name=re.compile("^Edit")).click()
    expect(dialog.get_by_label("Model names")).to_have_value("big = llama-3.3-70b-versatile\nfast = llama-3.1-8b-instant")
    expect(dialog.get_by_label("Address")).to_have_value("http://gateway.lan:9000/v1")
    dialog.get_by_label("Address").fill("")
    dialog.get_by_role("button", name="Save").click()
    expect(row).to_contain_text("api.groq.com")

    row.get_by_role("switch").click()
    expect(row.get_by_role("switch")).to_have_attribute("aria-checked", "false")
    expect(row).to_contain_text("Off")
    shots = Path(os.environ.get("DASHBOARD_SHOTS", tmp_path))
    for width, theme in ((360, "dark"), (900, "light"), (1280, "dark")):
        page.emulate_media(color_scheme=theme)
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"it scrolls sideways at {width} px"
        assert page.evaluate(CLIPPED) == [], f"it cuts a table at {width} px"
        page.screenshot(path=shots / f"providers-{width}-{theme}.png")

    row.get_by_role("link", name="work").click()  # J-24
    expect(page.get_by_role("heading", name="Accounts")).to_be_visible()
    expect(page.get_by_label("Provider", exact=True)).to_have_value("groq")
    page.keyboard.press("g")
    page.keyboard.press("a")
    expect(page.locator("tr", has_text="work")).to_contain_text("Provider groq is switched off.")
    page.keyboard.press("g")
    page.keyboard.press("p")
    page.get_by_role("button", name=re.compile("^Show all")).click()
    expect(page.locator("tr", has_text="openrouter")).to_be_visible()
    page.get_by_role("searchbox").fill("fast")
    expect(row).to_have_count(1)
    expect(row).to_contain_text("groq")
