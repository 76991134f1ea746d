"""The dashboard read in another language, in a real browser.

The walk serves a table whose Chinese is the English in brackets: what stands outside of them was forgotten, unless the server said it.
"""

from __future__ import annotations

import json
import re
from typing import Any

from .conftest import BUSY_MS, PAINTED
from .test_loading import VIEWS
from .texts_of import strings, table

WALK = {
    "mixed": [*VIEWS, "routing?model=auto", "activity/req_999000x", "activity?status=failed"],
    "empty": ["overview", "activity", "playground", "accounts", "keys", "routing", "limits", "prices", "alerts", "usage", "quota"],
    "login": ["overview"],
}
DIALOGS: dict[str, str] = {
    "help": "{}",
    "more": "{}",
    "connect": "{}",
    "connect a key": "{kind: 'connect', provider: 'openai'}",
    "connect a server": "{kind: 'connect', provider: 'ollama'}",
    "connect a program": "{kind: 'connect', provider: 'command'}",
    "connect anything": "{kind: 'connect', provider: 'custom'}",
    "edit": "{id: accounts[0].id}",
    "edit a program": "{kind: 'edit', id: accounts.find((one) => one.label === 'claude-code').id}",
    "sign-in": "{provider: 'codex'}",
    "create-key": "{}",
    "edit-key": "{id: 'key_2'}",
    "edit-name": "{what: 'chains', name: '', entry: null, onDone() {}}",
    "edit-provider": "{id: 'groq'}",
    "edit-channel": "{kinds: alerts.channel_kinds, alertKinds: alerts.kinds}",
    "edit-limit": "{}",
    "edit-price": "{}",
    "reprice": "{}",
    "import-file": "{}",
    "export-file": "{}",
    "setup-client": "{client: clients[0]}",
    "undo-client": "{client: clients[0]}",
}
OPEN = """async (kind) => {
  const { openDialog } = await import("/static/ui.js");
  const told = {};
  for (const what of ["accounts", "alerts", "clients"]) told[what] = await (await fetch("/api/" + what)).json();
  const { accounts: { accounts }, alerts, clients: { clients } } = told;
  openDialog(kind, PROPS);
}"""
READ = """(within) => {
  const found = [];
  const root = document.querySelector(within) || document.body;
  const walk = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  const passed = "script, style, code, pre, kbd, textarea, .mono, body [lang], datalist";
  for (let node = walk.nextNode(); node; node = walk.nextNode()) {
    const at = node.parentElement;
    if (at && !at.closest(passed) && (at.tagName === "OPTION" || at.getClientRects().length)) found.push(node.data);
  }
  for (const name of ["aria-label", "title", "placeholder", "alt"]) {
    for (const node of root.querySelectorAll(`[${name}]`)) if (!node.closest("body [lang]")) found.push(node.getAttribute(name));
  }
  return found;
}"""
QUIET = "() => !__asking && !!document.querySelector('main h1') && !document.querySelector('.loading, .skeleton')"
SETTLED = "() => !document.querySelector('main .skeleton') && !!document.querySelector('main h1')"
LISTEN = """
window.__heard = [];
window.__asking = 0;
const ask = window.fetch, Source = window.EventSource;
window.fetch = async (...args) => {
  __asking += 1;
  try {
    const answer = await ask(...args);
    if (String(args[0]).startsWith("/api/")) __heard.push(await answer.clone().text());
    return answer;
  } finally {
    setTimeout(() => (__asking -= 1), 50); // What it was asked for may ask for more.
  }
};
window.EventSource = class extends Source {
  constructor(address) {
    super(address);
    this.addEventListener("snapshot", (event) => __heard.push(event.data));
  }
};
"""
BRACKETED = re.compile(r"⟦[^⟧]*⟧")
WORD = re.compile(r"[A-Za-z][a-z']+")
NAMED = re.compile(r"^\{.*\}$|\S*[\w)][/_.:=@*…-]\S*|\S*\d\S*|[A-Z]{2,}s?\b")
"""JSON, paths, ids, figures with their units, abbreviations."""
NAMES = ("omni-connector", "Base URL", "OpenAI Chat", "OpenAI Responses", "Anthropic Messages", "Claude Code", "Authorization: Bearer")
"""That are the same in every language: products, formats, keys."""


def bracketed(text: str) -> str:
    """Each piece for itself: what stands between them was put in, or is code."""
    pieces = re.split(r"(\{\w+\}|`[^`]*`)", text)
    return "".join(piece if i % 2 or not piece else f"⟦{piece}⟧" for i, piece in enumerate(pieces))


def test_nothing_is_left_in_english(mock: Any, browser: Any) -> None:  # C-96
    """Every view and dialog, on the largest world of the mock."""
    context = browser.new_context(locale="zh-CN", reduced_motion="reduce", viewport={"width": 1440, "height": 1000})
    heard: set[str] = set()
    page = context.new_page()
    page.set_default_timeout(BUSY_MS)
    page.route("**/static/texts/zh.json", lambda route: route.fulfill(json={text: bracketed(text) for text in table()}))
    page.add_init_script(LISTEN)
    faults: list[str] = []
    for scenario, views in WALK.items():
        mock.tell("scenario", name=scenario)
        for view in views:
            page.goto(f"{mock.url}/?{scenario}#/{view}")
            page.evaluate(PAINTED)
            page.wait_for_function(QUIET)
            faults += [f"{scenario} {view}: {text}" for text in forgotten(page, "body", heard)]
    mock.tell("scenario", name="mixed")
    page.goto(f"{mock.url}/?dialogs#/jobs")
    page.wait_for_function(SETTLED)
    for name, make in DIALOGS.items():
        kind = found[1] if (found := re.search(r"kind: '([\w-]+)'", make)) else name
        page.evaluate(OPEN.replace("PROPS", make), kind)
        page.wait_for_selector("dialog[open]")
        page.wait_for_function(QUIET)
        page.evaluate("document.querySelectorAll('dialog details').forEach((one) => (one.open = true))")
        faults += [f"dialog {name}: {text}" for text in forgotten(page, "dialog", heard)]
        page.evaluate("import('/static/ui.js').then(({ closeDialog }) => closeDialog())")
        page.wait_for_selector("dialog", state="detached")
    context.close()
    assert not faults, "\n".join(["still in English:", *sorted(set(faults))])


def forgotten(page: Any, within: str, heard: set[str]) -> list[str]:
    """Texts with two or more words outside of the brackets that nobody but the page can have said."""
    for answer in page.evaluate("__heard.splice(0)"):
        heard.update(strings(json.loads(answer)) if answer[:1] in "[{" else ())
    longest = sorted((word for word in {*heard, *NAMES} if re.search(r"\w\W+\w|^[A-Z]", word) and len(word) > 2), key=len, reverse=True)
    single = {word.lower() for text in heard if len(text) < 40 for word in WORD.findall(text)}
    left = []
    read = page.evaluate(READ, within)
    assert len(read) > 5, "nothing was read"
    for text in read:
        rest = BRACKETED.sub(" ", text)
        if not WORD.search(rest):
            continue
        for words in longest:
            rest = rest.replace(words, " ")
        rest = NAMED.sub(" ", rest)
        if len([word for word in WORD.findall(rest) if word.lower() not in single]) >= 2:
            left.append(" ".join(text.split()))
    return left


# ---------------------------------------------------------------- Chinese itself


def test_a_page_in_chinese(mock: Any, open_page: Any) -> None:  # C-96
    page = open_page("mixed", "overview", locale="zh-CN", viewport={"width": 360, "height": 800})
    page.get_by_role("heading", name="概览", exact=True).wait_for()
    assert page.evaluate("document.documentElement.lang") == "zh-CN"
    assert page.title() == "概览 · omni-connector"
    for view in VIEWS:
        page.goto(f"{mock.url}/#/{view}")
        page.wait_for_function(SETTLED)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, view
        assert re.search(r"[\u4e00-\u9fff]", page.locator("main h1").first.inner_text()), view


def test_the_language_is_switched_where_one_looks(mock: Any, open_page: Any) -> None:  # C-96
    """In the side foot, in the palette and under More; the next page remembers."""
    page = open_page("busy", "settings")
    page.get_by_role("button", name="Language: 中文").click()
    page.get_by_role("heading", name="设置", exact=True).wait_for()
    page.reload()
    page.get_by_role("heading", name="设置", exact=True).wait_for()
    page.keyboard.press("Control+k")
    page.get_by_role("dialog").get_by_role("combobox").fill("english")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Settings", exact=True).wait_for()

    page.set_viewport_size({"width": 360, "height": 800})
    page.get_by_role("button", name="More").click()
    page.get_by_role("dialog").get_by_role("button", name="Language: 中文").click()
    page.get_by_role("button", name="更多").wait_for()


def test_the_language_is_switched_before_one_is_signed_in(open_page: Any) -> None:
    page = open_page("login", "overview", locale="zh-CN", errors_expected=True)
    page.get_by_label("密码").wait_for()
    page.get_by_role("button", name="语言：English").click()
    page.get_by_label("Password").wait_for()


def test_unsaved_settings_are_asked_about_first(mock: Any, open_page: Any) -> None:
    page = open_page("busy", "settings")
    page.get_by_label("max_attempts").fill("9")
    page.get_by_role("button", name="Language: 中文").click()
    dialog = page.get_by_role("dialog", name="Discard unsaved settings?")
    dialog.get_by_role("button", name="Cancel").click()
    assert page.get_by_label("max_attempts").input_value() == "9"
    page.get_by_role("button", name="Language: 中文").click()
    dialog.get_by_role("button", name="Discard").click()
    page.get_by_role("heading", name="设置", exact=True).wait_for()


def test_without_its_table_the_page_is_in_english(browser: Any, mock: Any) -> None:
    mock.tell("scenario", name="busy")
    context = browser.new_context(locale="zh-CN")
    page = context.new_page()
    page.route("**/static/texts/zh.json", lambda route: route.fulfill(status=503, body="down"))
    page.goto(f"{mock.url}/#/overview")
    page.get_by_role("heading", name="Overview").wait_for()
    context.close()
