"""What the activity view hands over to the browser and to the server."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install 'omni-connector[test]'")
from playwright.sync_api import expect


def test_what_is_filtered_is_what_is_exported(mock: Any, open_page: Any) -> None:  # P-06
    page = open_page("busy", "activity?status=failed")
    for label in ("Format", "Account", "Status"):
        expect(page.get_by_label(label, exact=True)).to_be_visible()
    expect(page.get_by_placeholder("Any model")).to_be_visible()
    export = page.get_by_role("link", name="Export CSV")
    expect(export).to_have_attribute("href", "/api/requests?status=failed&format=csv")
    page.get_by_role("button", name="Clear").click()
    expect(export).to_have_attribute("href", "/api/requests?format=csv")
    expect(page.get_by_role("link", name="Export JSON")).to_have_attribute("href", "/api/requests?format=jsonl")


def test_the_node_is_named_where_there_are_several(mock: Any, open_page: Any) -> None:  # J-12
    page = open_page("busy", "activity", viewport={"width": 1700, "height": 900})
    mock.tell("request", id="req_999600x", node="desk")
    row = page.locator("tr", has=page.locator('a[href="#/activity/req_999600x"]'))
    expect(row.locator(".c-client")).to_have_text("laptop · OpenAI/Python 3.3.0")
    mock.tell("nodes", names=["desk", "shelf", "shelf"])
    expect(row.locator(".c-client")).to_have_text("laptop · OpenAI/Python 3.3.0 desk")
    row.get_by_role("link").click()
    facts = page.locator(".facts div", has=page.get_by_text("Node", exact=True))
    expect(facts).to_have_text("Nodedesk")
    page.goto(page.url.partition("#")[0] + "#/settings")
    expect(page.locator(".facts div", has=page.get_by_text("Nodes", exact=True))).to_have_text("Nodesdesk, shelf × 2")
