"""What is left, account by account: windows with their end, whether they last, honest about what is old or not told."""

from __future__ import annotations

import time
from typing import Any

import pytest

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect

HOUR = 3_600_000
OUTLOOK = """async (windows) => {
  const { outlook } = await import("/static/views/quota.js");
  return windows.map((one) => outlook(one, Date.now()).kind);
}"""


def window(name: str, used: float | None, ends_h: float | None, **more: Any) -> dict[str, Any]:
    ends = None if ends_h is None else int(time.time() * 1000 + ends_h * HOUR)
    return {"name": name, "used": used, "limit": 100, "unit": "%", "resets_at": ends, "state": "live", "forecast": None, **more}


def card(page: Any, label: str) -> Any:
    return page.get_by_role("article", name=label, exact=True)


def test_windows_money_and_those_who_tell_nothing(open_page: Any, shoot: Any) -> None:  # P-05
    page = open_page("mixed", "quota", viewport={"width": 1280, "height": 900})
    codex = card(page, "codex")
    expect(codex).to_contain_text("ChatGPT Plus")
    expect(codex.get_by_role("meter", name="5h used")).to_have_attribute("aria-valuenow", "71")
    expect(codex).to_contain_text("at this pace")
    expect(codex).to_contain_text("lasts")
    old = card(page, "antigravity")
    expect(old).to_contain_text("old figure")
    expect(old).to_contain_text("unknown")
    expect(old).to_contain_text("Antigravity answered 503.")
    expect(old.get_by_role("meter", name="5h gemini-3-flash* used").locator("xpath=..")).to_contain_text("≈ 3%")
    expect(card(page, "deepseek")).to_contain_text("0.12 CNY")
    expect(page.locator(".q-silent")).to_contain_text("claude-code")
    labels = page.get_by_role("article").evaluate_all("(cards) => cards.map((card) => card.getAttribute('aria-label'))")
    assert labels.index("codex") < labels.index("openrouter")  # what ends at this pace comes first
    shoot(page, "quota")


def test_whether_it_lasts(open_page: Any) -> None:
    """The provider's word, the server's forecast, and where both are silent the pace of the window so far; nothing is made up."""
    page = open_page("busy", "quota")
    windows = [
        (window("5h", 20, 1), "lasts"),  # four of five hours are over
        (window("5h", 90, 1), "ends"),
        (window("5h", 3, 4.9), "early"),
        (window("week", 0, 100), "lasts"),
        (window("5h", 100, 1), "spent"),
        (window("5h", None, 1, state="unknown"), "unknown"),
        (window("5h", 50, 1, state="stale"), "unknown"),
        (window("credits", 50, None), "unknown"),
        (window("credits", 50, None, forecast={"ends_at": 1, "words": ""}), "ends"),
        (window("5h", 50, -1), "unknown"),  # it has begun anew, and nobody said with what
    ]
    assert page.evaluate(OUTLOOK, [one for one, _ in windows]) == [kind for _, kind in windows]


def test_refreshed_one_and_all(mock: Any, open_page: Any) -> None:  # P-30
    page = open_page("mixed", "quota", viewport={"width": 1280, "height": 900})
    page.get_by_role("button", name="Refresh quota of deepseek").click()
    expect(page.get_by_text("deepseek was asked what is left.")).to_be_visible()
    expect(card(page, "deepseek")).to_contain_text("4.20 USD")
    before = len(mock.calls("POST"))
    page.get_by_role("button", name="Refresh all").click()
    expect(page.get_by_text("asked, 1 did not answer fully.")).to_be_visible()
    paths = [call["path"] for call in mock.calls("POST")[before:]]
    assert len(paths) == len(set(paths)) == page.get_by_role("button", name="Refresh quota of").count()
    mock.tell("account", id="acc_a", quota=[window("5h", 99, 2)])  # live
    expect(card(page, "codex").get_by_role("meter", name="5h used")).to_have_attribute("aria-valuenow", "99")


def test_nobody_to_ask(open_page: Any) -> None:
    page = open_page("empty", "quota")
    expect(page.get_by_text("No account to ask")).to_be_visible()
    page.get_by_role("button", name="Connect account").click()
    expect(page.get_by_role("dialog")).to_be_visible()
