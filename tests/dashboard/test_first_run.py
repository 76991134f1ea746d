"""The first run without a mouse: Tab, Enter, Space, arrows and letters alone. The focus can be seen at every step and is never lost.

Each way of connecting is begun so: the demo to the end, a key, what was found on this machine, a sign-in.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install 'omni-connector[test]'")
from playwright.sync_api import expect

from .conftest import PAINTED, copied, send

FOCUS = """() => {
  const node = document.activeElement;
  const style = getComputedStyle(node);
  const labels = node.labels ? [...node.labels].map((label) => label.innerText).join(" ") : "";
  const outlined = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0;
  return {
    tag: node.tagName,
    name: (node.getAttribute("aria-label") || labels || node.innerText || node.getAttribute("name") || "").trim(),
    seen: node.matches(":focus-visible") && (outlined || style.boxShadow !== "none"),
    html: node.outerHTML.slice(0, 160),
  };
}"""
MOST_TABS, MOST_FRAMES = 60, 120


class Keyboard:
    """One page and its keyboard. After each key the focus is somewhere, and it shows."""

    def __init__(self, page: Any) -> None:
        self.page = page

    def press(self, key: str) -> dict[str, Any]:
        self.page.keyboard.press(key)
        return self.look()

    def type(self, text: str) -> None:
        self.page.keyboard.type(text)

    def look(self) -> dict[str, Any]:
        for _ in range(MOST_FRAMES):
            found: dict[str, Any] = self.page.evaluate(FOCUS)
            if found["tag"] != "BODY":
                break
            self.page.evaluate(PAINTED)
        else:
            pytest.fail("the focus is lost")
        if found["tag"] != "MAIN":  # the beginning of another view
            assert found["seen"], f"the focus does not show: {found['html']}"
        return found

    def to(self, name: str, key: str = "Tab") -> None:
        """Goes on to the control of this name, from wherever the focus is. Behind the last one is the browser's own bar."""
        passed = []
        for _ in range(MOST_TABS):
            found = self.page.evaluate(FOCUS)
            passed.append(found["name"][:40])
            if found["tag"] != "BODY" and re.search(name, found["name"]):
                self.look()
                return
            self.page.keyboard.press(key)
        pytest.fail(f"{name!r} is not reached: {passed}")

    def on(self, name: str) -> None:
        for _ in range(MOST_FRAMES):
            if re.search(name, self.look()["name"]):
                return
            self.page.evaluate(PAINTED)
        pytest.fail(f"the focus is not on {name!r} but on {self.look()}")


def begin(page: Any) -> tuple[Keyboard, Any]:
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    keyboard = Keyboard(page)
    keyboard.to("^Connect account")
    keyboard.press("Enter")
    keyboard.on("Search providers")
    return keyboard, page.get_by_role("dialog")


def test_from_the_empty_page_to_the_light(mock: Any, open_page: Any) -> None:  # O-03, O-05, J-26, C-94, C-98
    page = open_page("empty")
    keyboard, dialog = begin(page)
    keyboard.type("demo")
    keyboard.press("Enter")
    expect(dialog.get_by_role("heading", name="Connect Demo")).to_be_visible()
    keyboard.to("^Test$")
    keyboard.press("Enter")
    expect(dialog.get_by_role("status")).to_contain_text("Works")
    keyboard.on("^Test$")
    keyboard.to("^Connect$")
    keyboard.press("Space")
    expect(dialog).to_have_count(0)
    keyboard.look()

    keyboard.to("^Create key")
    keyboard.press("Enter")
    keyboard.on("^Name")
    keyboard.type("laptop")
    keyboard.press("Enter")
    expect(dialog.get_by_text("Shown once.")).to_be_visible()
    keyboard.on("^Copy key")
    key = str(dialog.get_by_test_id("fresh-key").inner_text())
    keyboard.press("Enter")
    expect(dialog.get_by_role("button", name="Copied", exact=True)).to_be_visible()
    assert copied(page, key) == key
    keyboard.to("^curl")
    keyboard.press("ArrowRight")
    expect(dialog.get_by_role("tab", name="OpenAI SDK")).to_have_attribute("aria-selected", "true")
    keyboard.press("ArrowLeft")
    keyboard.to("^Copy curl snippet")
    keyboard.press("Space")
    snippet = copied(page, "curl ")
    assert f"Bearer {key}" in snippet
    keyboard.to("^I have copied it")
    keyboard.press("Enter")
    expect(dialog).to_have_count(0)
    keyboard.look()

    expect(page.get_by_text("Waiting for the first request")).to_be_visible()
    body = json.loads(snippet.split("-d '")[1].removesuffix("'"))
    send(mock.url, "/v1/chat/completions", body, Authorization=f"Bearer {key}")
    expect(page.get_by_text("The first request arrived.")).to_be_visible()
    keyboard.to("^Send it from here")
    keyboard.press("Enter")
    expect(page.get_by_text("Hello from the demo provider.")).to_be_visible()
    keyboard.on("^Send it from here")
    keyboard.to("^See why it went there", "Shift+Tab")
    keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Attempts")).to_be_visible()
    keyboard.look()


def test_with_a_key(mock: Any, open_page: Any) -> None:  # O-03, C-94
    page = open_page("empty", "accounts", errors_expected=True)
    keyboard, dialog = begin(page)
    keyboard.type("openai")
    keyboard.press("Enter")
    keyboard.on("^API key")
    keyboard.type("sk-wrong")
    keyboard.to("^Test$")
    keyboard.press("Enter")
    expect(dialog.get_by_text("OpenAI answered 401")).to_be_visible()
    keyboard.on("^Test$")
    keyboard.to("^API key", "Shift+Tab")
    keyboard.type("sk-good")
    keyboard.press("Enter")  # a form is sent from any of its fields; what was not tested is said first
    expect(dialog.get_by_text("has not been tested")).to_be_visible()
    keyboard.press("Enter")
    expect(dialog).to_have_count(0)
    keyboard.look()
    expect(page.get_by_role("button", name="openai", exact=True)).to_be_visible()


def test_with_what_was_found(open_page: Any) -> None:  # O-03
    page = open_page("mixed", "accounts")
    keyboard, dialog = begin(page)
    found = dialog.get_by_role("region", name="Found on this machine")
    expect(found.get_by_role("checkbox").first).to_be_visible()
    page.keyboard.press("Tab")
    while keyboard.page.evaluate("document.activeElement.type !== 'checkbox'"):
        keyboard.press("Tab")
    keyboard.press("Space")
    keyboard.to("^Import 1")
    keyboard.press("Enter")
    keyboard.look()
    keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    keyboard.on("^Connect account")


def test_with_a_sign_in(open_page: Any) -> None:  # O-03, C-95
    page = open_page("mixed", "accounts")
    keyboard, dialog = begin(page)
    keyboard.type("codex")
    keyboard.press("Enter")
    expect(dialog.get_by_role("heading", name=re.compile("^Sign in to"))).to_be_visible()
    keyboard.to("code$")
    keyboard.press("Enter")
    expect(dialog.get_by_test_id("user-code")).to_be_visible()
    keyboard.look()
    keyboard.to("^Copy code")
    keyboard.press("Enter")
    keyboard.to("^Cancel")
    keyboard.press("Enter")
    expect(dialog).to_have_count(0)
    keyboard.on("^Connect account")


def test_a_row_that_goes_leaves_the_focus_to_its_neighbour(open_page: Any) -> None:
    page = open_page("busy", "accounts")
    expect(page.get_by_role("button", name="kimi", exact=True)).to_be_visible()
    keyboard = Keyboard(page)
    page.keyboard.press("j")
    for _ in range(MOST_TABS):
        if keyboard.press("Tab")["name"] == "Remove kimi":
            break
    keyboard.press("Enter")
    keyboard.to("^Remove$")
    keyboard.press("Enter")
    expect(page.get_by_role("button", name="kimi", exact=True)).to_have_count(0)
    assert keyboard.look()["tag"] == "BUTTON"
    assert page.evaluate("document.activeElement.closest('tbody') !== null")
