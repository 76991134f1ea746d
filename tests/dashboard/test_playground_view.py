"""Chat through /v1 from the page: the key stays in memory, answers are streamed, text of a model is text and nothing else."""

from __future__ import annotations

import re
from typing import Any

import pytest

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect

from .conftest import until  # noqa: E402

DESK = {"viewport": {"width": 1280, "height": 900}}
DOT = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
    "0000000c4944415408d763f8cfc000000301010018dd8db00000000049454e44ae426082"
)
MARKDOWN = """async (text) => {
  const { blocks } = await import("/static/markdown.js");
  return blocks(text);
}"""


def ask(page: Any, text: str) -> None:
    page.get_by_label("Message").fill(text)
    page.keyboard.press("Enter")


def sent(page: Any) -> list[dict[str, Any]]:
    """What goes to /v1, as it goes: headers and body."""
    bodies: list[dict[str, Any]] = []
    page.on("request", lambda r: bodies.append({**r.post_data_json, "headers": r.headers}) if "/v1/chat" in r.url else None)
    return bodies


def test_an_answer_with_thinking_a_picture_its_route_and_cost(open_page: Any, shoot: Any) -> None:
    page = open_page("busy", "playground", **DESK)
    bodies = sent(page)
    page.get_by_label("Model").fill("openai/gpt-5.1")
    page.get_by_text("Options").click()
    page.get_by_label("System prompt").fill("Be short.")
    page.get_by_label("Thinking").select_option("High")
    page.locator("input[type=file]").set_input_files({"name": "dot.png", "mimeType": "image/png", "buffer": DOT})
    expect(page.get_by_role("img", name="dot.png")).to_be_visible()
    ask(page, "What is it?")
    answer = page.locator(".answer")
    expect(answer.locator(".md-list li").first).to_contain_text("First one")
    expect(answer.get_by_label("Code in python")).to_have_text('print("hello")')
    expect(answer.locator(".thought-text")).not_to_be_visible()
    answer.get_by_text("Thinking").click()
    expect(answer.locator(".thought-text")).to_contain_text("Let me think")
    expect(answer.locator(".way")).to_contain_text("openai first of 4 by health and load")
    expect(answer.locator(".way")).to_contain_text("1.8k → 412 tokens")
    expect(answer.locator(".way")).to_contain_text("$0.0012")  # from the books, once they know
    expect(answer.get_by_role("link", name="why")).to_have_attribute("href", re.compile("^#/activity/req_"))
    system, user = bodies[0]["messages"]
    assert system == {"role": "system", "content": "Be short."}
    assert [part["type"] for part in user["content"]] == ["text", "image_url"]
    assert user["content"][1]["image_url"]["url"].startswith("data:image/png;base64,")
    assert (bodies[0]["model"], bodies[0]["reasoning_effort"], bodies[0]["stream"]) == ("openai/gpt-5.1", "high", True)
    shoot(page, "playground")

    ask(page, "And again?")
    expect(answer).to_have_count(2)
    until(page, lambda: len(bodies) == 2)
    assert [message["role"] for message in bodies[1]["messages"]] == ["system", "user", "assistant", "user"]
    page.get_by_role("link", name="Activity").click()
    page.get_by_role("link", name="Playground").click()
    expect(answer).to_have_count(2)  # leaving loses nothing
    page.get_by_role("button", name="New", exact=True).click()
    expect(page.get_by_text("Ask anything")).to_be_visible()


def test_the_key_is_short_lived_one_row_and_in_memory_only(mock: Any, open_page: Any) -> None:
    page = open_page("busy", "playground", errors_expected=True, **DESK)
    bodies = sent(page)
    ask(page, "hello")
    expect(page.get_by_text("It is done.")).to_be_visible()
    made = mock.calls("POST")[0]
    assert made["path"] == "/api/keys"
    assert made["body"] == {"name": "dashboard playground", "expires_at": "1h"}
    key = bodies[0]["headers"]["authorization"].removeprefix("Bearer ")
    assert key.startswith("omni-")
    assert "cookie" not in bodies[0]["headers"]
    assert key not in page.content()
    assert key not in page.evaluate("JSON.stringify({...localStorage, ...sessionStorage, hash: location.hash})")
    page.reload()  # another page, another secret, the same row
    ask(page, "hello")
    expect(page.get_by_text("It is done.")).to_be_visible()
    assert [call["path"].rpartition("/")[2] for call in mock.calls("POST")] == ["keys", "rotate"]
    assert bodies[1]["headers"]["authorization"] != bodies[0]["headers"]["authorization"]

    page.get_by_text("Options").click()
    page.get_by_label("Key", exact=True).select_option("A key of yours")
    page.get_by_label("Your key").fill("omni-unknown")
    ask(page, "hello")
    expect(page.get_by_role("alert")).to_contain_text("The omni-key is unknown.")
    assert bodies[-1]["headers"]["authorization"] == "Bearer omni-unknown"


def test_stopped_refused_and_broken_off(open_page: Any) -> None:
    page = open_page("busy", "playground", errors_expected=True, **DESK)
    ask(page, "slow")
    expect(page.get_by_text("It begins")).to_be_visible()
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text("Stopped by you.")).to_be_visible()
    ask(page, "refuse")
    expect(page.get_by_role("alert")).to_contain_text("No account can serve")
    ask(page, "broken")
    expect(page.get_by_role("alert").last).to_contain_text("The provider broke off.")
    expect(page.locator(".answer").last).to_contain_text("It is done.")  # what came stays
    page.get_by_role("button", name="Ask again").click()
    expect(page.locator(".answer")).to_have_count(3)


def test_a_client_api_with_a_listener_of_its_own_is_told(mock: Any, open_page: Any) -> None:
    page = open_page("busy", "playground", errors_expected=True, **DESK)
    apart = {"authenticated": True, "login_needed": False, "csrf": "mock-csrf-token", "version": "0.1.0", "base_url": "http://127.0.0.1:3"}
    page.route("**/api/session", lambda route: route.fulfill(json=apart))
    page.route("**/v1/chat/**", lambda route: route.fulfill(status=404, json={"error": {"message": "There is nothing at this path."}}))
    page.reload()
    ask(page, "hello")
    expect(page.get_by_role("alert")).to_contain_text("The client API is at http://127.0.0.1:3, apart from the dashboard")


def test_two_models_side_by_side(open_page: Any, shoot: Any) -> None:
    page = open_page("busy", "playground?model=gpt-5.1", **DESK)
    bodies = sent(page)
    expect(page.get_by_role("combobox", name="Model")).to_have_value("gpt-5.1")
    page.get_by_role("button", name="Compare two").click()
    ask(page, "hello")
    expect(page.get_by_text("Choose the second model first.")).to_be_visible()
    assert not bodies
    page.get_by_role("combobox", name="Second model").fill("claude-sonnet-4-5")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_text("It is done.")).to_have_count(2)
    assert [body["model"] for body in bodies] == ["gpt-5.1", "claude-sonnet-4-5"]
    assert len({body["headers"]["authorization"] for body in bodies}) == 1
    shoot(page, "playground-two")
    page.get_by_role("button", name="One model").click()
    expect(page.get_by_text("It is done.")).to_have_count(1)


def test_what_a_model_says_stays_text(open_page: Any) -> None:
    page = open_page("busy", "playground", **DESK)
    ask(page, "hostile")
    expect(page.locator(".md-code pre")).to_contain_text("<script>")
    assert page.evaluate("window.__pwned") is None
    assert page.locator(".answer :is(img, script, a[href^=javascript])").count() == 0


def test_markdown_at_every_cut(open_page: Any) -> None:
    """A stream may stop anywhere: nothing is lost, and an open fence is code."""
    page = open_page("empty", "settings")
    text = "# One\n\ntwo `x`\n- a\n  - b\n1. c\n\n~~~js\n# no heading\n- no item\n~~~\n| a | b |\n| - | - |\nlast"
    kinds = [block["kind"] for block in page.evaluate(MARKDOWN, text)]
    assert kinds == ["heading", "text", "list", "code", "table", "text"]
    for cut in range(len(text)):
        told = page.evaluate(MARKDOWN, text[:cut])
        assert all(block["kind"] in {"heading", "text", "list", "code", "table"} for block in told)
    assert page.evaluate(MARKDOWN, "```\nopen")[0] == {"kind": "code", "language": "", "text": "open"}


def test_on_the_product(product: str, open_page: Any) -> None:
    page = open_page("", "playground", url=product, errors_expected=True, **DESK)
    expect(page.get_by_text("No model to talk to yet")).to_be_visible()
    page.evaluate(
        """import('/static/api.js').then((api) => api.post('/api/accounts', { provider: 'demo', label: 'démo', auth: 'none' }))"""
    )
    ask(page, "Say hello.")
    way = page.locator(".answer .way")
    expect(way).to_contain_text("démo")
    expect(way).to_contain_text("$0")
    way.get_by_role("link", name="why").click()
    expect(page.get_by_text("dashboard playground")).to_be_visible()
