"""The dashboard in a real browser (Debian's chromium), against the mock admin side and under the product's Content-Security-Policy.

`DASHBOARD_SHOTS=DIR pytest tests/dashboard` keeps the screenshots.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install 'omni-connector[test]'")
from playwright.sync_api import expect

from .conftest import FITS, PAINTED, copied, send, stand_still

HOSTILE = '<img src=x onerror="window.__pwned=1"><script>window.__pwned=1</script>'
BACKGROUND = """() => {
  const pixel = document.createElement("canvas").getContext("2d");
  pixel.fillStyle = getComputedStyle(document.body).backgroundColor;
  pixel.fillRect(0, 0, 1, 1);
  return pixel.getImageData(0, 0, 1, 1).data[0];
}"""
VIEWS = ["overview", "accounts", "keys", "activity", "activity/req_998999x", "models", "routing?model=auto", "settings"]


def create_key(page: Any, name: str) -> str:
    page.get_by_role("button", name="Create key").first.click()
    page.get_by_role("dialog").get_by_label("Name").fill(name)
    page.get_by_role("dialog").get_by_role("button", name="Create key").click()
    return str(page.get_by_role("dialog").get_by_test_id("fresh-key").inner_text())


def walk_first_run(page: Any, url: str) -> None:
    """Empty page → demo account → key, shown once → snippet, copied → the light turns on → the row appears in activity."""
    expect(page.get_by_role("heading", name="One key for every AI account you own")).to_be_visible()
    page.get_by_role("button", name="Try the demo provider").click()
    expect(page.get_by_role("cell", name=re.compile("^demo demo Demo"))).to_be_visible()

    key = create_key(page, "laptop")
    assert key.startswith("omni-")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("Shown once.")).to_be_visible()
    dialog.get_by_role("button", name="Copy curl snippet").click()
    snippet = copied(page, "curl ")
    assert snippet.startswith(f"curl {url}/v1/chat/completions")
    assert f"Authorization: Bearer {key}" in snippet
    for tab, part in [
        ("OpenAI SDK", f'base_url="{url}/v1"'),
        ("Anthropic SDK", f'base_url="{url}"'),
        ("Claude Code", "ANTHROPIC_BASE_URL"),
    ]:
        dialog.get_by_role("tab", name=tab).click()
        expect(dialog.get_by_role("tabpanel")).to_contain_text(part)
        expect(dialog.get_by_role("tabpanel")).to_contain_text(key)
    dialog.get_by_role("tab", name="Tell your agent").click()
    expect(dialog.get_by_role("tabpanel")).to_contain_text(f"API key: {key}")
    dialog.get_by_role("button", name="I have copied it").click()

    expect(page.get_by_text("Waiting for the first request")).to_be_visible()
    body = json.loads(snippet.split("-d '")[1].removesuffix("'"))
    send(url, "/v1/chat/completions", body, Authorization=f"Bearer {key}")
    expect(page.get_by_text("The first request arrived.")).to_be_visible()
    expect(page.get_by_label("demo: 0 of the last 1 attempts failed")).to_be_visible()

    page.keyboard.press("g")
    page.keyboard.press("t")
    expect(page.locator("table.requests tbody tr")).to_have_count(1)
    send(url, "/v1/chat/completions", body, Authorization=f"Bearer {key}")
    expect(page.locator("table.requests tbody tr")).to_have_count(2)
    expect(page.locator("table.requests tbody tr").first).to_contain_text("Answered")

    page.reload()
    expect(page.locator("table.requests tbody tr")).to_have_count(2)
    assert key not in page.content()
    assert key not in page.evaluate("JSON.stringify({...localStorage, ...sessionStorage})")


def test_first_run_from_empty_page_to_live_request(mock: Any, open_page: Any) -> None:
    walk_first_run(open_page("empty"), mock.url)


def test_first_run_on_the_product(product: str, open_page: Any) -> None:  # O-02, O-03, O-05, O-06, C-98
    walk_first_run(open_page("", url=product), product)


def test_hostile_text_stays_text(open_page: Any) -> None:
    page = open_page("hostile")
    for view in ["overview", "accounts", "keys", "activity", "activity/req_hostile", "models", "routing?model=x", "settings"]:
        page.evaluate(f"location.hash = '#/{view}'")
        if view != "settings":
            expect(page.locator("main")).to_contain_text(HOSTILE)
        assert page.evaluate("window.__pwned") is None, view
        assert page.locator("main img, main script").count() == 0, view
    page.get_by_role("button", name="As JSON").count()
    page.evaluate("location.hash = '#/accounts/acc_h'")
    expect(page.get_by_role("dialog")).to_contain_text(HOSTILE)
    assert page.evaluate("window.__pwned") is None


def test_connect_tests_before_saving_and_never_posts_a_secret_back(mock: Any, open_page: Any) -> None:  # O-03, C-94, P-03, P-33
    page = open_page("empty", "accounts", errors_expected=True)
    page.get_by_role("button", name="Connect account").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Search providers").fill("openai")
    dialog.get_by_role("button", name="OpenAI", exact=True).click()
    dialog.get_by_label("API key").fill("sk-wrong")
    dialog.get_by_role("button", name="Test").click()
    expect(dialog.get_by_text("OpenAI answered 401")).to_be_visible()
    expect(dialog.get_by_text("Incorrect API key provided")).to_be_visible()
    dialog.get_by_role("button", name="Connect", exact=True).click()
    expect(dialog.get_by_role("button", name="Save anyway")).to_be_visible()
    assert [call["path"] for call in mock.calls("POST")] == ["/api/accounts/test"]

    dialog.get_by_label("API key").fill("sk-good")
    dialog.get_by_role("button", name="Test").click()
    expect(dialog.get_by_text("42 models")).to_be_visible()
    dialog.get_by_role("button", name="Connect", exact=True).click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    created = mock.calls("POST")[-1]["body"]
    assert {"provider": "openai", "label": "openai", "auth": "api_key", "api_key": "sk-good"}.items() <= created.items()

    page.get_by_role("button", name="Edit openai").click()
    assert page.get_by_label("API key").input_value() == ""
    assert page.get_by_label("API key").get_attribute("type") == "password"
    page.get_by_role("dialog").get_by_text("Advanced").click()
    page.get_by_role("dialog").get_by_label("Priority").fill("7")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert mock.calls("PATCH")[-1]["body"] == {"priority": 7}
    assert "sk-good" not in page.content()


def test_problems_come_first_with_their_button(mock: Any, open_page: Any) -> None:
    page = open_page("busy")
    strip = page.get_by_role("group", name="kimi needs a new key")
    expect(strip).to_be_visible()
    expect(page.get_by_text("the provider said so")).to_be_visible()
    assert page.locator("#favicon").get_attribute("href").startswith("data:image/svg+xml")
    strip.get_by_role("button", name="Reconnect").click()
    expect(page.get_by_label("API key")).to_be_focused()
    page.get_by_label("API key").fill("sk-new")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_label("Problems")).to_have_count(0)
    expect(page.locator("#favicon")).to_have_attribute("href", "/static/icons/favicon.svg")


def test_removing_can_be_undone_and_is_sent_when_the_page_goes(mock: Any, open_page: Any) -> None:
    page = open_page("busy", "accounts")
    row = page.get_by_role("button", name="kimi", exact=True)

    def remove() -> None:
        page.get_by_role("button", name="Remove kimi").click()
        page.get_by_role("dialog").get_by_role("button", name="Remove").click()
        expect(row).to_have_count(0)

    remove()
    page.get_by_role("button", name="Undo").click()
    expect(row).to_be_visible()
    assert mock.calls("DELETE") == []
    remove()
    page.reload()
    expect(page.get_by_role("button", name="openai", exact=True)).to_be_visible()
    expect(row).to_have_count(0)
    assert [call["path"] for call in mock.calls("DELETE")] == ["/api/accounts/acc_4"]


def test_rows_answer_why(mock: Any, open_page: Any) -> None:  # P-06
    page = open_page("busy", "activity?status=failed")
    expect(page.locator("table.requests tbody tr")).to_have_count(2)
    page.get_by_role("link", name="kimi-k2").first.click()
    expect(page.get_by_text("cooling for 31 s: rate limited, stated by the provider")).to_be_visible()
    expect(page.get_by_text("No connected account can serve kimi-k2 now")).to_be_visible()
    page.get_by_role("button", name="Copy as JSON").click()
    assert json.loads(copied(page, "flag"))["flag"] == "NO_ACCOUNT"
    page.go_back()
    expect(page.get_by_label("Status")).to_have_value("failed")
    page.get_by_role("button", name="Clear").click()
    page.get_by_role("button", name="Load older").click()
    expect(page.locator("table.requests tbody tr")).to_have_count(100)


def test_calls_that_are_no_conversation_have_names_and_no_invented_numbers(mock: Any, open_page: Any) -> None:  # P-06
    page = open_page("busy", "activity")
    page.get_by_label("Format").select_option(label="Speech")
    rows = page.locator("table.requests tbody tr")
    expect(rows).to_have_count(1)
    expect(rows.first).to_contain_text("gpt-4o-mini-ttsSpeech")
    expect(page).to_have_url(re.compile("protocol=speech$"))
    mock.tell("request", protocol="openai-chat", model_requested="elsewhere")
    mock.tell("request", protocol="speech", model_requested="here")
    expect(rows.first).to_contain_text("here")
    expect(rows).to_have_count(2)

    page.get_by_role("link", name="gpt-4o-mini-tts").click()
    used = page.locator("section", has=page.get_by_role("heading", name="Tokens and cost"))
    expect(used).to_contain_text("not reported")
    expect(used).to_contain_text("unknown")
    assert not re.search(r"\b0\b", used.inner_text()), "what nobody reported is not 0"
    expect(page.get_by_text("Speech, streamed")).to_be_visible()


CURLS = [
    ("speech", "/v1/audio/speech", True, ['"voice":"alloy"', "-o speech.mp3", '"model":"auto"']),
    ("openai-embeddings", "/openai/v1/embeddings", False, ["/openai/v1/embeddings", '"input":"…"']),
    ("image", "/v1/images/edits", False, ["-F 'prompt=…'", "-F image=@picture.png"]),
    ("transcription", "/v1/audio/transcriptions", False, ["-F 'model=auto'", "-F file=@speech.mp3"]),
    ("gemini-generate", "/v1beta/models/auto:streamGenerateContent", True, ["auto:streamGenerateContent?alt=sse'", '"contents"']),
    ("gemini-embeddings", "/v1/models/m:batchEmbedContents", False, ['{"requests":[{"content"']),
    ("rerank", "/v1/rerank`id`", False, ["/v1/chat/completions", '"messages"']),
]
"""Protocol, path, whether it streams → what its curl has to say."""


def test_a_request_is_copied_as_the_curl_of_its_own_format(mock: Any, open_page: Any) -> None:
    page = open_page("busy")
    for number, (protocol, path, stream, parts) in enumerate(CURLS):
        mock.tell("request", id=f"req_copy{number}", protocol=protocol, path=path, stream=stream)
        page.evaluate(f"location.hash = '#/activity/req_copy{number}'")
        page.get_by_role("button", name="Copy as curl").click()
        told = copied(page, parts[0])
        assert [part for part in parts if part not in told] == [], told
        assert "stream" not in told.split("-d '")[-1], protocol
        page.evaluate("location.hash = '#/keys'")
        expect(page.get_by_role("heading", name="Keys", level=1)).to_be_visible()


def test_thinking_levels_are_chips_of_their_model(mock: Any, open_page: Any) -> None:  # P-52
    """Both what the server knows of a model and what another gateway lists as models of their own; never rows in their hundreds."""
    variants = ["openai/low/gpt-5-mini", "openai/high/gpt-5-mini", "groq/high/qwen3:32b", "ollama/high/qwen3:32b"]
    page = open_page("busy", "models")
    mock.tell("account", id="acc_5", discovered=["qwen3:32b", *variants, "vendor/high/lonely"])
    rows = page.locator("table.models tbody tr")
    expect(rows.filter(has_text="vendor/high/lonely")).to_have_count(1)
    expect(rows).to_have_count(8)
    chips = page.get_by_role("group", name="Thinking levels of gpt-5.1").get_by_role("button")
    assert chips.all_inner_texts() == ["none", "low", "medium", "high"]
    page.get_by_role("button", name="Copy openai/high/gpt-5.1").click()
    assert copied(page, "gpt-5.1") == "openai/high/gpt-5.1"
    expect(page.get_by_text("openai/high/gpt-5.1 copied.")).to_be_visible()
    page.get_by_role("button", name="Copy openai/low/gpt-5-mini").click()
    assert copied(page, "gpt-5-mini") == "openai/low/gpt-5-mini"
    folded = page.get_by_role("button", name="Copy groq/high/qwen3:32b")
    expect(folded).to_be_hidden()
    page.get_by_text("thinking, at 2 providers").click()
    expect(folded).to_be_visible()
    page.get_by_label("Search models").fill("xhigh")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("claude-sonnet-4-5")


def test_new_rows_do_not_move_what_is_under_the_pointer(mock: Any, open_page: Any) -> None:  # C-98
    page = open_page("busy", "activity")
    first = page.locator("table.requests tbody tr").first
    expect(first).to_contain_text("gpt-5.1")
    first.hover()
    mock.tell("request", model_requested="fresh-model")
    pill = page.get_by_role("button", name="1 new")
    expect(pill).to_be_visible()
    assert page.get_by_text("fresh-model").count() == 0
    pill.click()
    expect(first).to_contain_text("fresh-model")


def test_keyboard_alone(open_page: Any) -> None:
    page = open_page("busy")
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    for key, title in [
        ("a", "Accounts"),
        ("k", "Keys"),
        ("m", "Models"),
        ("r", "Routing"),
        ("s", "Settings"),
        ("o", "Overview"),
        ("t", "Activity"),
    ]:
        page.keyboard.press("g")
        page.keyboard.press(key)
        expect(page.get_by_role("heading", name=title, level=1)).to_be_visible()
    expect(page.locator("table.requests tbody tr").first).to_be_visible()
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    page.keyboard.press("j")
    focused = page.locator("table.requests tbody tr").nth(1).locator("[data-row]")
    expect(focused).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_text("on attempt 2")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("heading", name="Activity", level=1)).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("kimi-k2")
    expect(page).to_have_url(re.compile("text=kimi-k2$"))
    expect(page.get_by_label("Search in activity")).to_have_value("kimi-k2")
    expect(page.locator("table.requests tbody tr")).not_to_have_count(50)


def test_login_and_a_session_that_ends(mock: Any, open_page: Any) -> None:
    page = open_page("login", "accounts", errors_expected=True)
    page.get_by_label("Password").fill("guess")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("That is not the password.")).to_be_visible()
    page.get_by_label("Password").fill("correct horse")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Edit kimi").click()
    page.get_by_role("dialog").get_by_label("Name").fill("kimi-renamed")
    save = page.get_by_role("button", name="Save", exact=True).element_handle()
    mock.tell("signout")
    save.evaluate("(button) => button.click()")  # itself: the page may notice meanwhile, and then what asks for the password lies on top
    again = page.get_by_role("dialog", name="Signed out")
    again.get_by_label("Password").fill("correct horse")
    again.get_by_role("button", name="Sign in").click()
    expect(again).to_have_count(0)
    assert page.get_by_role("textbox", name="Name").input_value() == "kimi-renamed"
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("button", name="kimi-renamed", exact=True)).to_be_visible()


def test_says_reconnecting_after_five_seconds_and_recovers(mock: Any, open_page: Any) -> None:
    page = open_page("busy", errors_expected=True)
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    stand_still(page)
    mock.tell("refuse", on=True)
    expect(page.get_by_text("Connecting", exact=True)).to_be_visible()
    expect(page.get_by_text("Reconnecting to the server")).to_have_count(0)
    page.clock.fast_forward(5500)
    expect(page.get_by_text("Reconnecting to the server")).to_be_visible()
    page.get_by_role("button", name="Try now").click()
    expect(page.get_by_text("Reconnecting to the server")).to_be_visible()
    mock.tell("refuse", on=False)
    page.clock.resume()
    page.clock.fast_forward(20_000)  # the longest wait between two tries
    expect(page.get_by_text("Live", exact=True)).to_be_visible()


def test_settings_save_only_what_changed(mock: Any, open_page: Any) -> None:  # C-96, O-04, P-32
    page = open_page("busy", "settings")
    expect(page.get_by_label("port", exact=True)).to_be_disabled()
    kept = page.locator("section", has=page.get_by_role("heading", name="Kept answers"))
    expect(kept.get_by_role("switch", name="responses_store")).to_be_checked()
    expect(kept.get_by_label("kept_days")).to_have_value("30")
    media = page.locator("section", has=page.get_by_role("heading", name="Media by URL"))
    expect(media.get_by_label("fetch_media_timeout_s")).to_have_value("15")
    page.get_by_label("max_attempts").fill("x")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("A whole number.")).to_be_visible()
    page.get_by_label("max_attempts").fill("6")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Settings saved.")).to_be_visible()
    assert mock.calls("POST")[-1]["body"] == {"max_attempts": 6}
    page.get_by_label("strategy", exact=True).select_option("fill-first")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_label("strategy", exact=True)).to_have_value("fill-first")
    expect(page.get_by_role("group", name="Unsaved settings")).to_have_count(0)
    assert mock.calls("POST")[-1]["body"] == {"strategy": "fill-first"}
    expect(page.get_by_text("careful")).to_have_count(0)  # chains and aliases have one place, where they can be changed
    page.get_by_role("link", name="Chains and aliases").click()
    expect(page.get_by_role("button", name="careful", exact=True)).to_be_visible()


def test_the_router_explains_itself_before_anything_is_sent(mock: Any, open_page: Any) -> None:  # O-19
    page = open_page("busy", "routing", errors_expected=True)
    page.get_by_label("Model", exact=True).fill("auto")
    page.get_by_role("button", name="Explain").click()
    answer = page.get_by_role("region", name="What would happen")
    expect(answer).to_contain_text("would try 3 candidates, and leave out 3")
    first = answer.locator("ol.ranks > li").first
    expect(first).to_contain_text("openai")
    expect(first).to_contain_text("affinity+30")
    assert "price" not in first.inner_text(), "a part that says nothing takes no place"
    expect(answer.get_by_role("list", name="Left out")).to_contain_text("Rate limit reached for model llama-3.3-70b.")
    expect(page).to_have_url(re.compile(r"#/routing\?model=auto$"))

    page.locator("summary", has_text="Request").click()
    page.get_by_label("Body").fill("{")
    page.get_by_role("button", name="Explain").click()
    expect(page.get_by_text("Not valid JSON")).to_be_visible()
    page.get_by_label("Body").fill('{"messages": []}')
    page.get_by_label("Format").select_option(label="Anthropic Messages")
    page.get_by_label("Key", exact=True).select_option(label="laptop")
    page.get_by_role("button", name="Explain").click()
    expect(answer).to_be_visible()
    asked = mock.calls("POST")[-1]
    assert (asked["path"], asked["body"]) == (
        "/v1/router/explain",
        {"model": "auto", "wire": "anthropic-messages", "key": "key_1", "body": {"messages": []}},
    )
    page.get_by_label("Model", exact=True).fill("nope")
    page.keyboard.press("Enter")
    expect(page.get_by_text("No connected account serves a model named 'nope'.")).to_be_visible()
    expect(answer).to_have_count(0)


def test_a_request_says_why_it_went_where_it_went(mock: Any, open_page: Any) -> None:  # O-19
    page = open_page("busy", "activity")
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    mock.tell("request", id="req_why", state="open", outcome=None)
    page.evaluate("location.hash = '#/activity/req_why'")
    expect(page.get_by_role("heading", name="Attempts")).to_be_visible()
    ranks = page.get_by_role("list", name="Why this account")
    expect(ranks).to_have_count(0)
    mock.tell("request", id="req_why")  # the news that it is over bring no plan: the page reads it from the books
    expect(ranks.locator("> li")).to_have_count(2)
    expect(ranks.locator("> li").nth(1)).to_contain_text("spare")
    expect(ranks.locator("> li").nth(1)).to_contain_text("load-30")
    expect(ranks.locator("> li").nth(1)).to_contain_text("tier 2")
    expect(page.get_by_text("And 3 more.")).to_be_visible()


def test_an_account_that_is_out_can_be_asked_now(mock: Any, open_page: Any) -> None:
    page = open_page("busy", "accounts")
    buttons = page.get_by_role("button", name=re.compile("^Ask now whether .* is back$"))
    expect(buttons).to_have_count(1)  # of the two that are out, groq-free is back when its provider said
    expect(page.get_by_role("button", name="Clear cooldown of groq-free")).to_be_visible()
    page.get_by_role("button", name="Ask now whether kimi is back").click()
    expect(page.get_by_text("kimi is asked now whether it is back.")).to_be_visible()
    assert mock.calls("POST")[-1]["path"] == "/api/accounts/acc_4/probe"
    page.set_viewport_size({"width": 1600, "height": 900})
    expect(page.get_by_text("49.59 USD left")).to_be_visible()


def test_strategy_chains_and_aliases_are_changed_in_place(mock: Any, open_page: Any) -> None:  # O-04
    page = open_page("busy", "routing", errors_expected=True)
    expect(page.get_by_role("radio", name="Auto")).to_be_checked()
    page.get_by_role("radio", name="Cost").check()
    expect(page.get_by_text("applies to every new request")).to_be_visible()
    assert mock.calls("POST")[-1]["body"] == {"strategy": "cost"}

    page.get_by_role("button", name="Edit careful").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Tiers")).to_have_value("claude-work, openai\ngroq-free")
    dialog.get_by_label("Tiers").fill("groq-free\n claude-work ,openai,\n\nworkstation::qwen3:32b")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_have_count(0)
    assert mock.calls("PUT")[-1] == {
        "method": "PUT",
        "path": "/api/chains/careful",
        "body": {"tiers": [["groq-free"], ["claude-work", "openai"], ["workstation::qwen3:32b"]]},
    }
    expect(page.get_by_text("workstation::qwen3:32b")).to_be_visible()

    page.get_by_role("button", name="New alias").click()
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_text("At least one.")).to_be_visible()
    dialog.get_by_label("Name").fill("smart")
    dialog.get_by_label("Targets").fill("openai/gpt-5.1\nclaude-work")
    dialog.get_by_role("button", name="Save").click()
    expect(page.get_by_role("button", name="smart", exact=True)).to_be_visible()
    assert mock.calls("PUT")[-1]["body"] == {"targets": ["openai/gpt-5.1", "claude-work"]}
    page.get_by_role("button", name="Remove smart").click()
    dialog.get_by_role("button", name="Remove").click()
    expect(page.get_by_role("button", name="smart", exact=True)).to_have_count(0)


def test_fits_and_has_both_themes(open_page: Any) -> None:
    page = open_page("busy", viewport={"width": 360, "height": 900})
    shots = os.environ.get("DASHBOARD_SHOTS")
    for view in VIEWS:
        page.evaluate(f"location.hash = '#/{view}'")
        expect(page.locator(".loading")).to_have_count(0)  # until then the view before stays
        expect(page.locator("main h1")).to_be_visible()
        expect(page.locator(".skeleton")).to_have_count(0)
        for width, theme in ((900, "dark"), (1280, "light"), (1920, "dark"), (360, "dark"), (360, "light")):
            page.emulate_media(color_scheme=theme)
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate(FITS) == [], f"{view} at {width} px"
            assert (page.evaluate(BACKGROUND) > 200) is (theme == "light"), view
            if shots:
                page.screenshot(path=Path(shots) / f"{re.sub('[/?=]', '-', view)}-{width}-{theme}.png")


def test_password_is_set_asked_for_and_removed_on_the_product(product: str, open_page: Any) -> None:
    page = open_page("", "settings", url=product, errors_expected=True)
    card = page.locator("section", has=page.get_by_role("heading", name="Password"))
    card.get_by_label("New password").fill("correct horse")
    card.get_by_role("button", name="Set password").click()
    expect(card.get_by_role("button", name="Change password")).to_be_visible()

    page.context.clear_cookies()
    page.reload()
    page.get_by_label("Password").fill("wrong horse")
    page.keyboard.press("Enter")
    expect(page.get_by_text("The password is wrong.")).to_be_visible()
    page.get_by_label("Password").fill("correct horse")
    page.keyboard.press("Enter")
    expect(card.get_by_label("Current password")).to_be_visible()

    card.get_by_label("Current password").fill("correct horse")
    card.get_by_role("button", name="Remove password").click()
    expect(card.get_by_role("button", name="Set password")).to_be_visible()


def test_every_view_says_that_the_database_is_away(mock: Any, open_page: Any) -> None:
    page = open_page("busy", "keys")
    expect(page.get_by_role("heading", name="Keys")).to_be_visible()
    told = {"since": 1_700_000_000_000, "bytes": 4096, "rows": 12, "new_requests": True}
    mock.tell("away", told=told)
    strip = page.get_by_role("status").filter(has_text="The database is away since")
    expect(strip).to_contain_text("Requests go on. 12 rows wait in the spill file")
    page.goto(f"{mock.url}/#/overview")
    expect(strip).to_have_count(1)
    mock.tell("away", told=told | {"rows": 1, "new_requests": False})
    expect(strip).to_contain_text("new ones are refused. 1 row waits")
    mock.tell("away", told=None)
    expect(strip).to_have_count(0)


DIALOG_COLOURS = """() => [...document.querySelectorAll("dialog, dialog *")].map((node) => {
  const { color, backgroundColor, borderTopColor, fill } = getComputedStyle(node);
  return [node.tagName, color, backgroundColor, borderTopColor, fill].join(" ");
})"""


def test_an_open_dialog_follows_the_theme(mock: Any, open_page: Any) -> None:
    """In the next frame nothing in it has the colours from before; where motion is reduced, none fades either."""
    page = open_page("busy", "overview", color_scheme="light", viewport={"width": 360, "height": 900})

    def opened() -> Any:
        page.get_by_role("button", name="More").click()
        return page.get_by_role("dialog", name="More")

    dialog = opened()
    dialog.get_by_role("radio", name="Dark").click()
    page.get_by_role("dialog").get_by_role("heading").hover()
    page.evaluate(PAINTED)
    switched = page.evaluate(DIALOG_COLOURS)
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    opened().get_by_role("radio", name="Dark").focus()
    page.get_by_role("dialog").get_by_role("heading").hover()
    page.evaluate(PAINTED)
    assert switched == page.evaluate(DIALOG_COLOURS)
