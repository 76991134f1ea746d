"""The accounts: table and cards, edited where they stand, moved by mouse and by keyboard; and the key that reads a provider's bill."""

from __future__ import annotations

import re
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install 'omni-connector[test]'")
from playwright.sync_api import expect

from .conftest import until

ADD = """import('/static/api.js').then((api) =>
  api.post('/api/accounts', { provider: 'openai', label: 'work', api_key: 'sk-abcdefgh12345678', discover: false }))"""
LOOSE = """[...document.querySelectorAll("input:not([type=checkbox], [type=radio], [type=file]), textarea")]
  .filter((node) => node.spellcheck || node.getAttribute("autocapitalize") !== "off").map((node) => node.outerHTML.slice(0, 120))"""


def order(page: Any) -> list[str]:
    expect(page.locator("tbody [data-row]").first).to_be_visible()
    return [str(name) for name in page.locator("tbody [data-row]").all_inner_texts()]


def test_what_stands_in_a_row_is_edited_there(mock: Any, open_page: Any) -> None:  # J-24, J-25
    page = open_page("busy", "accounts", viewport={"width": 1700, "height": 900})
    page.get_by_role("button", name="kimi", exact=True).hover()
    page.get_by_role("button", name="Priority of kimi").click()
    field = page.get_by_role("textbox", name="Priority of kimi")
    field.fill("many")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("A whole number.")
    field.fill("7")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Priority of kimi")).to_be_focused()
    until(page, lambda: mock.calls("PATCH")[-1:] == [{"method": "PATCH", "path": "/api/accounts/acc_4", "body": {"priority": 7}}])

    page.get_by_role("button", name="Rename kimi").click()
    name = page.get_by_role("textbox", name="Rename kimi")
    name.fill("openai")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("already called openai")
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="kimi", exact=True)).to_be_visible()
    page.get_by_role("button", name="Rename kimi").click()
    name.fill("moon")
    page.get_by_role("heading", name="Accounts").click()  # leaving it keeps what was typed
    expect(page.get_by_role("button", name="moon", exact=True)).to_be_visible()
    page.get_by_role("button", name="Most in flight of moon").click()
    page.keyboard.type("4")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Most in flight of moon")).to_contain_text("4")
    until(page, lambda: [call["body"] for call in mock.calls("PATCH")] == [{"priority": 7}, {"label": "moon"}, {"max_in_flight": 4}])


def test_priority_is_moved_by_the_arrow_keys(mock: Any, open_page: Any) -> None:
    """Out of its equals, past the next ones, into the next; the focus goes along; what was moved can be taken back."""
    page = open_page("busy", "accounts")
    before = order(page)
    last = before[-1]
    grip = page.get_by_role("button", name=re.compile(f"^Move {last},"))
    grip.focus()
    page.keyboard.press("ArrowUp")
    expect(page.get_by_text(re.compile(f"^{last} has priority"))).to_be_visible()
    expect(grip).to_be_focused()
    until(page, lambda: order(page) == [before[0], last, *before[1:-1]])  # the first has a priority of 10, the others of 0
    for key, priority in (("ArrowUp", 10), ("ArrowDown", 1), ("ArrowDown", 0), ("ArrowDown", -1)):
        page.keyboard.press(key)
        expect(grip).to_have_attribute("aria-label", f"Move {last}, priority {priority}")
        expect(grip).to_be_focused()
        expect(page.get_by_text(f"{last} has priority {priority}", exact=False).last).to_be_visible()  # it is saved
    moved = [call["body"] for call in mock.calls("PATCH")]
    assert [body["priority"] for body in moved] == [1, 10, 1, 0, -1]
    page.get_by_role("button", name="Undo").click()
    expect(grip).to_have_attribute("aria-label", f"Move {last}, priority 0")


def test_priority_is_dragged(mock: Any, open_page: Any) -> None:
    page = open_page("mixed", "accounts")
    first, second, third = order(page)[:3]
    assert first == "claude-api-of-the-research-team"  # it alone has a priority
    grip = page.get_by_role("button", name=re.compile(f"^Move {third},"))
    row = page.locator("tbody tr", has=page.get_by_role("button", name=first, exact=True))
    page.locator("tbody tr", has=page.get_by_role("button", name=third, exact=True)).hover()
    box = row.bounding_box()
    grip.drag_to(row, target_position={"x": 60, "y": box["height"] / 2})  # among its equals
    expect(grip).to_have_attribute("aria-label", f"Move {third}, priority 10")
    page.locator("tbody tr", has=page.get_by_role("button", name=second, exact=True)).hover()
    other = page.get_by_role("button", name=re.compile(f"^Move {second},"))
    other.drag_to(page.locator("tbody tr").first, target_position={"x": 60, "y": 3})  # before them all
    expect(other).to_have_attribute("aria-label", f"Move {second}, priority 11")
    until(page, lambda: order(page)[0] == second)
    until(page, lambda: [call["body"] for call in mock.calls("PATCH")] == [{"priority": 10}, {"priority": 11}])


def test_cards_are_remembered_and_rows_are_found(mock: Any, open_page: Any) -> None:  # J-24
    page = open_page("mixed", "accounts", viewport={"width": 1280, "height": 900})
    page.get_by_role("button", name="Show as cards").click()
    cards = page.locator(".account-cards > li")
    expect(cards).to_have_count(11)
    expect(cards.first.get_by_role("switch")).to_be_visible()
    page.reload()
    expect(cards).to_have_count(11)
    page.get_by_label("Search accounts").fill("needs")
    expect(cards).to_have_count(1)
    page.get_by_label("Search accounts").fill("")
    page.get_by_label("Provider", exact=True).select_option("groq")
    expect(cards).to_have_count(1)
    expect(page).to_have_url(re.compile("provider=groq$"))
    page.get_by_role("button", name="Clear", exact=True).click()
    page.get_by_role("button", name="Show as a table").click()
    expect(page.locator("table.accounts tbody tr")).to_have_count(11)


def test_an_account_is_switched_tested_and_reconnected_from_its_row(mock: Any, open_page: Any) -> None:  # J-27, P-29, C-94
    page = open_page("busy", "accounts")
    page.get_by_role("switch", name="openai in use").click()
    expect(page.get_by_role("switch", name="openai in use")).not_to_be_checked()
    page.get_by_role("button", name="Test openai").click()
    expect(page.get_by_text("openai answers in 240 ms")).to_be_visible()
    page.get_by_role("button", name="Reconnect").click()
    expect(page.get_by_role("dialog").get_by_label("API key")).to_be_focused()
    assert [call["path"] for call in mock.calls("POST")] == ["/api/accounts/acc_1/disable", "/api/accounts/acc_1/test"]


def test_the_key_that_reads_the_bill(product: str, open_page: Any) -> None:
    """Write-only: set, kept when nothing is typed, changed beside it, removed."""
    page = open_page("", "accounts", url=product, errors_expected=True)
    expect(page.get_by_role("heading", name="Accounts")).to_be_visible()
    page.evaluate(ADD)
    dialog = page.get_by_role("dialog")

    def edited() -> Any:
        page.get_by_role("button", name="Edit work").click()
        dialog.get_by_text("The provider's bill").click()
        return dialog.get_by_label("Key that reads the bill")

    def saved() -> Any:
        dialog.get_by_role("button", name="Save", exact=True).click()
        expect(dialog).to_have_count(0)
        return page.evaluate("fetch('/api/accounts').then((answer) => answer.json())")["accounts"][0]["options"]

    key = edited()
    expect(dialog.get_by_text("an admin key (sk-admin-…) of the organisation")).to_be_visible()
    assert page.evaluate(LOOSE) == []
    assert key.get_attribute("type") == "password"
    key.fill("sk admin")
    dialog.get_by_role("button", name="Save", exact=True).click()
    expect(dialog.get_by_role("alert")).to_contain_text("no spaces")
    key.fill("sk-admin-verysecret")
    options = saved()
    assert list(options) == ["usage_key"]
    assert "verysecret" not in str(options)
    key = edited()
    assert key.input_value() == ""
    expect(key).to_have_attribute("placeholder", "set (kept when left empty)")
    assert "verysecret" not in page.content()
    dialog.get_by_label("Only this part").fill("proj_1")
    assert saved() == {**options, "usage_project": "proj_1"}
    edited()
    dialog.get_by_label("remove the key").check()
    assert saved() == {}


DIALOGS = [
    ("accounts", "Edit openai"),
    ("keys", "Create key"),
    ("routing", "New chain"),
    ("providers", "Edit OpenAI"),
    ("accounts", "Import"),
]


def test_no_field_is_spelt_or_capitalised_for_the_user(open_page: Any) -> None:
    page = open_page("busy", "overview")
    for path, button in DIALOGS:
        page.evaluate(f"location.hash = '#/{path}'")
        page.get_by_role("button", name=button).first.click()
        expect(page.get_by_role("dialog")).to_be_visible()
        assert page.evaluate(LOOSE) == [], button
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)
