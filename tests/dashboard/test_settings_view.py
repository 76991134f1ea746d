"""All settings of the product as a form: found by a word, in the reader's language, and typed text survives what happens meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

from omni_connector.admin.files import SORTS
from omni_connector.admin.limits import EVERYTHING
from omni_connector.alerts import KINDS
from omni_connector.settings import SETTINGS

from .texts_of import table

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect

UNCHECKED = """[...document.querySelectorAll('main input:not([type=checkbox])')].filter((one) => one.spellcheck).map((one) => one.name)"""


def test_every_setting_is_there_and_found_by_a_word(open_page: Any, shoot: Any) -> None:  # C-96, P-12, P-13, P-31
    page = open_page("mixed", "settings", viewport={"width": 1280, "height": 900})
    labels = page.locator(".setting label")
    expect(labels).to_have_count(len(SETTINGS))
    assert sorted(labels.all_inner_texts()) == sorted(row.name for row in SETTINGS)
    tls = page.locator("section", has=page.get_by_role("heading", name="TLS", exact=True))
    assert tls.locator("label").all_inner_texts() == ["client_tls_cert", "client_tls_key", "admin_tls_cert", "admin_tls_key"]
    for secret in ("required_api_key", "monitor_key"):
        expect(page.get_by_label(secret, exact=True)).to_have_attribute("type", "password")
    assert page.evaluate(UNCHECKED) == []
    search = page.get_by_role("searchbox", name="Find a setting")
    search.fill("dingtalk secret")
    expect(labels).to_have_count(0)
    expect(page.get_by_text("No setting is called that.")).to_be_visible()
    search.fill("robot signed")
    expect(labels).to_have_text(["alert_ding_secret"])
    search.fill("")
    shoot(page, "settings")


def test_what_is_typed_survives_a_lost_connection_and_a_search(mock: Any, open_page: Any) -> None:  # C-96
    page = open_page("busy", "settings", errors_expected=True)
    page.get_by_label("max_attempts").fill("7")
    page.get_by_label("New password").fill("a long enough one")
    mock.tell("request")
    with page.expect_response(lambda answer: answer.url.endswith("/api/config")):  # read anew after the connection was lost
        mock.tell("drop")
    expect(page.get_by_label("max_attempts")).to_have_value("7")
    expect(page.get_by_label("New password")).to_have_value("a long enough one")
    page.get_by_label("default_model").fill("gpt-5.1")
    search = page.get_by_role("searchbox", name="Find a setting")
    search.fill("kept")
    expect(page.get_by_label("max_attempts")).to_have_count(0)
    search.press("Enter")  # looks, and does not save
    expect(page.get_by_text("2 changes not saved")).to_be_visible()
    assert not [call for call in mock.calls("POST") if call["path"] == "/api/config"]
    page.get_by_label("kept_days").fill("x")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("A whole number.")).to_be_visible()
    expect(page.get_by_label("max_attempts")).to_have_value("7")  # what is wrong is in sight, and all the rest


def test_settings_in_chinese(open_page: Any) -> None:
    page = open_page("mixed", "settings", locale="zh-CN")
    expect(page.get_by_role("heading", name="监听")).to_be_visible()
    help_of = page.locator(".setting", has=page.get_by_label("max_attempts", exact=True)).locator("p")
    expect(help_of).to_have_text("一个请求最多尝试的账号数。")
    page.get_by_role("searchbox", name="查找设置").fill("钉钉")
    expect(page.locator(".setting label")).to_have_text(["alert_ding"])


def test_what_the_server_says_from_its_tables_has_a_chinese_row() -> None:
    """Titles of alerts, kinds of files and why some are not shown, the name of the widest limit."""
    said = {*KINDS.values(), *(row.kind for row in SORTS), *(row.why for row in SORTS if row.why), EVERYTHING}
    assert sorted(said - set(table())) == []
