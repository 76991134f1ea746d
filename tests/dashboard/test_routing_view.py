"""Routing: chains whose tiers are dragged, the model of requests that name none, names that models can be found by."""

from __future__ import annotations

import re
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install 'omni-connector[test]'")
from playwright.sync_api import expect

from .conftest import until


def tiers(page: Any) -> list[list[str]]:
    board = page.get_by_role("group", name="Tiers of careful")
    return [tier.locator(".member").all_inner_texts() for tier in board.locator(".tier").all()]


def saved(page: Any, mock: Any, wanted: list[list[str]]) -> None:
    """Waits until the server has been told: what is moved is shown before it is sent."""
    until(page, lambda: [call["body"] for call in mock.calls("PUT")][-1:] == [{"tiers": wanted}])


def test_members_of_a_chain_are_moved_by_the_arrow_keys(mock: Any, open_page: Any) -> None:  # O-04, R-46
    page = open_page("busy", "routing")
    member = page.locator(".member", has_text="openai")
    member.focus()
    for wanted in (
        [["claude-work"], ["openai"], ["groq-free"]],
        [["claude-work"], ["groq-free", "openai"]],
        [["claude-work"], ["groq-free"], ["openai"]],
        [["claude-work"], ["groq-free"], ["openai"]],  # the end
    ):
        page.keyboard.press("ArrowRight")
        expect(member).to_be_focused()
        until(page, lambda wanted=wanted: tiers(page) == wanted)
    expect(member).to_have_attribute("aria-label", "openai: tier 3 of 3")
    expect(page.get_by_role("status").filter(has_text="openai: tier 3 of 3")).to_have_count(1)
    page.keyboard.press("ArrowLeft")
    saved(page, mock, [["claude-work"], ["groq-free", "openai"]])
    page.reload()
    expect(member).to_be_visible()
    until(page, lambda: tiers(page) == [["claude-work"], ["groq-free", "openai"]])


def test_members_of_a_chain_are_dragged(mock: Any, open_page: Any) -> None:  # O-04, R-46
    page = open_page("busy", "routing")
    board = page.get_by_role("group", name="Tiers of careful")
    page.locator(".member", has_text="openai").drag_to(board.locator(".tier").nth(1))
    expect(board.locator(".tier").nth(1)).to_contain_text("openai")
    until(page, lambda: tiers(page) == [["claude-work"], ["groq-free", "openai"]])
    page.locator(".member", has_text="groq-free").drag_to(board.locator(".tier-gap").last)
    expect(board.locator(".tier")).to_have_count(3)
    saved(page, mock, [["claude-work"], ["openai"], ["groq-free"]])


def test_the_model_of_requests_that_name_none(mock: Any, open_page: Any) -> None:  # O-04, C-96
    page = open_page("busy", "routing")
    field = page.get_by_label("Default model")
    expect(field).to_have_value("auto")
    form = page.locator("form", has=field)
    expect(form.get_by_role("button", name="Save")).to_be_disabled()
    field.fill("gpt-5.1")
    page.keyboard.press("Enter")
    expect(page.get_by_text("applies to every new request")).to_be_visible()
    assert mock.calls("POST")[-1]["body"] == {"default_model": "gpt-5.1"}
    expect(field).to_have_value("gpt-5.1")


def test_models_are_found_by_what_they_can(open_page: Any) -> None:
    page = open_page("busy", "models", viewport={"width": 1440, "height": 900})
    row = page.locator("table.models tbody tr")
    expect(row.filter(has_text="gpt-5.1")).to_contain_text(re.compile("images\\s*thinks"))
    page.get_by_label("Search models").fill("images openai")
    expect(row.filter(has_text="gpt-5.1")).to_have_count(1)
    expect(row.filter(has_text="llama")).to_have_count(0)
