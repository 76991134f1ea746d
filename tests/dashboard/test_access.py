"""Every view for those who do not see it, or use no mouse: axe finds nothing, hostile names stay text."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect

from .conftest import PAINTED  # noqa: E402
from .test_loading import VIEWS  # noqa: E402

WRONG = """async (rules) => {
  document.getAnimations().forEach((one) => one.finish()); // Colours on their way are nobody's colours.
  const told = await axe.run(document, { resultTypes: ["violations"], ...(rules ? { runOnly: rules } : {}) });
  return told.violations.map((one) => one.id + ": " + one.nodes.slice(0, 3).map((node) => node.html.slice(0, 160)).join(" | "));
}"""
DIALOGS = [("clients", "Set up Codex"), ("clients", "Undo"), ("overview", "Find anything")]


@pytest.fixture(scope="module")
def axe() -> str:
    spec = find_spec("axe_playwright_python")
    if spec is None or spec.origin is None:
        pytest.skip("axe is not installed: pip install axe-playwright-python")
    return (Path(spec.origin).parent / "axe.min.js").read_text()


COLOURS = ["color-contrast", "link-in-text-block"]
"""What axe looks for that another theme may change."""


@pytest.mark.parametrize("scenario", ["mixed", "empty"])
def test_axe_finds_nothing(open_page: Any, axe: str, scenario: str) -> None:
    page = open_page(scenario, "overview", color_scheme="light", viewport={"width": 1280, "height": 900})
    page.evaluate(axe)
    found = {}
    for view in VIEWS:
        page.evaluate(f"location.hash = '#/{view}'")
        expect(page.locator(".nav [aria-current=page]")).to_have_attribute("href", f"#/{view}")
        expect(page.locator(".loading")).to_have_count(0)  # until then the view before stays
        expect(page.locator("main h1")).to_be_visible()
        expect(page.locator("main .skeleton")).to_have_count(0)
        for theme, rules in (("dark", COLOURS), ("light", None)):
            page.emulate_media(color_scheme=theme)
            page.evaluate(PAINTED)
            if wrong := page.evaluate(WRONG, rules):
                found[f"{view}, {theme}"] = wrong
    assert not found


def test_axe_finds_nothing_in_dialogs(open_page: Any, axe: str) -> None:
    page = open_page("busy", "overview", errors_expected=True, viewport={"width": 1280, "height": 900})
    page.evaluate(axe)
    for view, button in DIALOGS:
        page.evaluate(f"location.hash = '#/{view}'")
        page.get_by_role("button", name=button).first.click()
        expect(page.get_by_role("dialog")).to_be_visible()
        expect(page.get_by_role("dialog").locator(".skeleton")).to_have_count(0)
        expect(page.get_by_role("dialog").locator("button:disabled")).to_have_count(0)
        assert page.evaluate(WRONG) == [], button
        page.keyboard.press("Escape")


def test_names_from_outside_stay_text(open_page: Any) -> None:
    page = open_page("hostile", "usage")
    for view in ("usage", "usage?by=model", "quota", "jobs", "clients", "playground"):
        page.evaluate(f"location.hash = '#/{view}'")
        expect(page.locator("main h1")).to_have_text(view.partition("?")[0].capitalize())
        expect(page.locator("main .skeleton")).to_have_count(0)
        assert page.evaluate("window.__pwned") is None, view
        assert page.locator("main img").count() == 0, view
