"""A session that ends under someone's hands, and a page that nobody looks at: nothing typed is lost, nothing runs for nobody. C-98"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install 'omni-connector[test]'")
from playwright.sync_api import expect

from .conftest import stand_still, until


def dialog_of(page: Any, button: str) -> Any:
    page.get_by_role("button", name=button).first.click()
    return page.get_by_role("dialog")


def connect(page: Any) -> Any:
    dialog = dialog_of(page, "Connect account")
    dialog.get_by_label("Search providers").fill("mistral")
    dialog.get_by_role("button", name="Mistral", exact=True).click()
    return dialog


def alias(page: Any) -> Any:
    dialog = dialog_of(page, "New alias")
    dialog.get_by_label("Name").fill("swift")
    return dialog


def price(page: Any) -> Any:
    dialog = dialog_of(page, "Set a price")
    dialog.get_by_label("Read", exact=True).fill("1.25")
    dialog.get_by_label("Written", exact=True).fill("10")
    return dialog


def limit(page: Any) -> Any:
    dialog = dialog_of(page, "Set a limit")
    dialog.get_by_label("Of").select_option("model")
    dialog.get_by_label("Budget").fill("2")
    return dialog


FORMS: dict[str, tuple[str, Callable[[Any], Any], str, str, str]] = {
    "connect": ("accounts", connect, "API key", "sk-typed-by-hand", "Test"),
    "key": ("keys", lambda page: dialog_of(page, "Create key"), "Name", "typed by hand", "Create key"),
    "limit": ("limits", limit, "Model", "typed/by-hand", "Save"),
    "price": ("prices", price, "Model", "typed/by-hand", "Save"),
    "settings": ("settings", lambda page: page.locator("body"), "max_attempts", "7", "Save"),
    "routing": ("routing", alias, "Targets", "typed/by-hand", "Save"),
    "account": ("accounts", lambda page: dialog_of(page, "Edit kimi"), "Name", "typed by hand", "Save"),
}
"""Form → its view, how it opens, a field of it, what is typed there, and the button that sends it."""


@pytest.mark.parametrize("form", FORMS)
def test_a_form_outlives_the_session(mock: Any, open_page: Any, form: str) -> None:
    view, opened, field, text, button = FORMS[form]
    page = open_page("login", view, errors_expected=True)
    page.get_by_label("Password").fill("correct horse")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    at = opened(page)
    at.get_by_label(field, exact=True).fill(text)
    send = at.get_by_role("button", name=button, exact=True).last
    expect(send).to_be_enabled()
    sending = send.element_handle()
    mock.tell("signout")
    sending.evaluate("(one) => one.click()")  # itself: the page may notice meanwhile, and then what asks for the password lies on top
    again = page.get_by_role("dialog", name="Signed out")
    expect(again.get_by_label("Password")).to_be_focused()
    before = len(mock.tell("calls")["calls"])
    again.get_by_label("Password").fill("correct horse")
    page.keyboard.press("Enter")
    expect(again).to_have_count(0)
    assert at.get_by_label(field, exact=True).input_value() == text
    with page.expect_request(lambda request: request.method in ("POST", "PUT", "PATCH")) as sent:
        send.click()
    assert sent.value.response().status != 401
    assert text in (sent.value.post_data or "") or text in unquote(sent.value.url)
    assert len(mock.tell("calls")["calls"]) > before


# ---------------------------------------------------------------- Nobody looks

HIDE = """(hidden) => {
  Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


def test_a_hidden_page_lets_go_of_its_stream_and_begins_anew(mock: Any, open_page: Any) -> None:
    page = open_page("busy", "keys")
    page.clock.install()
    page.reload()
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    until(page, lambda: mock.tell("calls")["listeners"] == 1)  # those of the tests before are gone
    stand_still(page)
    page.evaluate(HIDE, True)
    page.clock.fast_forward(15_000)
    assert mock.tell("calls")["listeners"] == 1, "a glance elsewhere is no reason"
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    page.clock.fast_forward(6_000)
    expect(page.get_by_text("Paused", exact=True)).to_be_visible()
    with page.expect_response("**/api/accounts"):
        page.clock.fast_forward(60_000)  # the number in the favicon stays true
    until(page, lambda: mock.tell("calls")["listeners"] == 0)
    page.clock.resume()
    mock.tell("account", id="acc_1", label="renamed meanwhile")  # nobody hears it
    page.evaluate(HIDE, False)
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    page.evaluate("location.hash = '#/accounts'")
    expect(page.get_by_role("button", name="renamed meanwhile", exact=True)).to_be_visible()


def test_a_page_that_slept_is_told_everything_again(mock: Any, open_page: Any) -> None:
    """The line died while the machine slept; no close was ever heard. What is said after waking is a snapshot."""
    page = open_page("busy", "activity")
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    page.clock.install()
    page.clock.fast_forward(3_600_000)
    mock.tell("request", id="req_999900x", model_requested="while-asleep")
    mock.tell("drop")
    page.clock.fast_forward(2_000)
    expect(page.get_by_text("while-asleep")).to_be_visible()
    expect(page.get_by_text("Live", exact=True)).to_be_visible()


def test_a_stale_page_reloads_itself_when_nobody_looks_and_once(mock: Any, open_page: Any) -> None:
    page = open_page("busy", "keys")
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    page.evaluate("window.__old = true")
    mock.tell("version", version="0.2.0")
    page.get_by_role("button", name="Create key").first.click()
    page.get_by_role("dialog").get_by_label("Name").fill("half typed")
    page.evaluate(HIDE, True)
    assert page.evaluate("window.__old") is True, "not under an open form"
    page.evaluate(HIDE, False)
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert page.evaluate("window.__old") is True, "not under someone's eyes"
    with page.expect_navigation():
        page.evaluate(HIDE, True)
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    page.evaluate("window.__old = true")
    mock.tell("version", version="0.2.0")  # the mock still hands out the old page: once is enough
    page.evaluate(HIDE, True)
    expect(page.get_by_role("heading", name="Keys")).to_be_visible()
    assert page.evaluate("window.__old") is True
