"""The command palette: things by name, pages, actions, by keyboard alone."""

from __future__ import annotations

from typing import Any

import pytest

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect

from .conftest import until  # noqa: E402


def palette(page: Any, text: str = "") -> Any:
    page.keyboard.press("Control+k")
    box = page.get_by_role("dialog", name="Command palette")
    expect(box).to_be_visible()
    page.keyboard.type(text)
    return box


def test_accounts_keys_models_pages_and_actions_by_name(open_page: Any, shoot: Any) -> None:
    page = open_page("busy", "overview")
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    box = palette(page)
    expect(box.get_by_role("combobox")).to_be_focused()
    expect(box.get_by_role("option").first).to_contain_text("openai")  # things first
    shoot(page, "palette")
    for text, first in [
        ("claude-w", "claude-work"),
        ("nightly", "nightly job"),
        ("qwen3", "qwen3:32b"),
        ("usa", "Usage"),
        ("dark", "Dark theme"),
    ]:
        box.get_by_role("combobox").fill(text)
        expect(box.get_by_role("option").first).to_contain_text(first)
    box.get_by_role("combobox").fill("clw")  # letters in order are enough
    expect(box.get_by_role("option", name="claude-work").first).to_be_visible()
    box.get_by_role("combobox").fill("zzzz")
    expect(box.get_by_text("Nothing fits “zzzz”.")).to_be_visible()


def test_it_is_walked_and_run_by_keyboard(mock: Any, open_page: Any) -> None:
    page = open_page("busy", "overview")
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    box = palette(page, "quota")
    box.get_by_role("option", name="Quota").first.wait_for()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Quota")).to_be_visible()
    expect(box).to_have_count(0)

    box = palette(page, "claude-work")
    page.keyboard.press("ArrowDown")
    field = box.get_by_role("combobox")
    chosen = box.get_by_role("option", selected=True)
    assert field.get_attribute("aria-activedescendant") == chosen.get_attribute("id")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog", name="Edit claude-work")).to_be_visible()
    page.keyboard.press("Control+k")  # an open form is not thrown away
    expect(page.get_by_role("dialog")).to_have_count(1)
    page.keyboard.press("Escape")

    palette(page, "switch off claude")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_have_count(0)
    until(page, lambda: [call["path"] for call in mock.calls("POST")][-1:] == ["/api/accounts/acc_2/disable"])
    palette(page, "light theme")
    page.keyboard.press("Enter")
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    palette(page, "try gpt-5.1")
    page.keyboard.press("Enter")
    expect(page.get_by_role("combobox", name="Model")).to_have_value("gpt-5.1")
    page.get_by_label("Message").focus()
    palette(page)  # also while typing
    page.keyboard.press("Control+k")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_help_names_it_and_the_mouse_finds_it(open_page: Any) -> None:
    page = open_page("busy", "overview", viewport={"width": 1280, "height": 900})
    page.get_by_role("button", name="Find anything").click()
    page.get_by_role("option", name="Keyboard shortcuts").click()
    help_page = page.get_by_role("dialog", name="Keyboard")
    expect(help_page).to_contain_text("Find anything")
    expect(help_page).to_contain_text("Playground")


def test_names_from_outside_stay_text(open_page: Any) -> None:
    page = open_page("hostile", "overview")
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    box = palette(page)
    expect(box.get_by_role("option").first).to_contain_text("<img src=x")
    assert page.evaluate("window.__pwned") is None
