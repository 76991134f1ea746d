"""Text from outside in every field of every view and dialog: it stays text, breaks nothing, and cannot pass for ours. C-98, P-06

The page reads the largest world of the mock, and whatever JSON it reads gets a hostile word into each field that somebody outside may fill.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install 'omni-connector[test]'")

from .conftest import BUSY_MS, PAINTED
from .test_languages import DIALOGS, OPEN
from .test_loading import VIEWS

WORDS = {
    "markup": '"><img src=x onerror="window.__pwned=1"><script>window.__pwned=1</script><svg onload=window.__pwned=1>{{7*7}}${7*7}`',
    "link": "javascript:window.__pwned=1//",
    "turned": "admin\u202egnp.exe\u2066\u202d",
    "long": "W" * 10_000,
    "strange": "\U0001f469\u200d\U0001f467 z\u0335\u0334\u0321\u031b\u200b\u200d\ufeff\u6f22\u5b57\0\x07\ud83d",
}
"""Of the last one: a family as one sign, letters with marks upon marks, nothing that is seen, and half of a character."""
FIELDS = [
    *("label", "name", "message", "reason", "status_reason", "words", "why", "text", "error", "last_error", "flag", "client", "model"),
    *("model_requested", "route", "path", "terms", "hint", "key_hint", "help", "title", "diff", "url", "command", "note", "notes", "steps"),
    *("docs_url", "key_url", "source", "told", "email", "plan", "quota_error", "discovered", "models", "accounts", "dropped", "account"),
    *("server", "home", "database", "python", "policy", "unit", "reply"),
]
POISON = """
(() => {
  const WORD = %s, FIELDS = new Set(%s), parse = JSON.parse;
  const put = (text) => (text ? text + WORD : text);
  const poison = (value) => {
    if (Array.isArray(value)) return value.forEach(poison);
    if (!value || typeof value !== "object") return;
    for (const [name, inner] of Object.entries(value)) {
      if (!FIELDS.has(name)) poison(inner);
      else if (typeof inner === "string") value[name] = put(inner);
      else if (Array.isArray(inner) && inner.every((one) => typeof one === "string")) value[name] = inner.map(put);
      else poison(inner);
    }
  };
  JSON.parse = (text, reviver) => {
    const value = parse(text, reviver);
    poison(value);
    return value;
  };
  for (const name of ["alert", "confirm", "prompt"]) window[name] = () => (window.__pwned = name);
})();
"""
WRONG = """(within) => {
  const root = document.querySelector(within);
  const found = window.__pwned ? ["it ran: " + window.__pwned] : [];
  const tell = (what, text) => found.push(what + ": " + String(text).slice(0, 80));
  const turns = /[\\u202a-\\u202e\\u2066-\\u2069]/;
  const named = (one) => `${one.parentElement.localName}.${one.parentElement.className} > ${one.localName}.${one.className}`;
  for (const node of root.querySelectorAll("img, script, iframe, object, base, [onload], [onerror]")) tell("markup", node.outerHTML);
  for (const node of root.querySelectorAll("a[href]")) {
    if (!/^(#|https?:|\\/|blob:)/.test(node.getAttribute("href"))) tell("link", node.getAttribute("href"));
  }
  for (const node of root.querySelectorAll("[title], [aria-label]")) if (turns.test(node.title + node.ariaLabel)) tell("turns", node.title);
  const walk = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  for (let node = walk.nextNode(); node; node = walk.nextNode()) if (turns.test(node.data)) tell("turns", node.data);
  const blame = (box) => {
    const edge = box.getBoundingClientRect().right + 1;
    return [...box.querySelectorAll("*")].filter((one) => one.getBoundingClientRect().right > edge).slice(-3).map(named).join(" | ");
  };
  if (document.documentElement.scrollWidth > innerWidth) found.push("scrolls sideways: " + blame(document.body));
  for (const box of root.querySelectorAll(".sheet, .dialog-body")) {
    if (box.scrollWidth > box.clientWidth + 1) found.push(`cut: ${box.className}: ${blame(box)}`);
  }
  return found;
}"""
READY = "() => !document.querySelector('.loading, main .skeleton') && !!document.querySelector('main h1')"


def poisoned(mock: Any, browser: Any, word: str, width: int, faults: list[str]) -> Any:
    mock.tell("scenario", name="mixed")
    context = browser.new_context(reduced_motion="reduce", viewport={"width": width, "height": 900})
    context.add_init_script(POISON % (json.dumps(WORDS[word]), json.dumps(FIELDS)))
    page = context.new_page()
    page.set_default_timeout(BUSY_MS)
    page.on("pageerror", lambda error: faults.append(f"page error: {error}"))
    page.goto(f"{mock.url}/#/jobs")
    page.wait_for_function(READY)
    return page


@pytest.mark.parametrize("word", WORDS)
def test_what_comes_from_outside_is_text_in_every_view(mock: Any, browser: Any, word: str) -> None:
    faults: list[str] = []
    page = poisoned(mock, browser, word, 1280, faults)
    for view in [*VIEWS, "routing?model=auto", "activity/req_999000x"]:
        page.evaluate("(view) => (location.hash = '#/' + view)", view)
        page.wait_for_function(READY)
        for width in (1280, 360):
            page.set_viewport_size({"width": width, "height": 900})
            page.evaluate(PAINTED)
            faults += [f"{view} at {width}: {text}" for text in page.evaluate(WRONG, "main")]
    page.context.close()
    assert not faults, "\n".join(dict.fromkeys(faults))


@pytest.mark.parametrize("word", ["markup", "turned", "long"])
def test_what_comes_from_outside_is_text_in_every_dialog(mock: Any, browser: Any, word: str) -> None:
    faults: list[str] = []
    page = poisoned(mock, browser, word, 700, faults)
    for name, make in DIALOGS.items():
        kind = make.partition("kind: '")[2].partition("'")[0] or name
        props = make.replace("one.label === 'claude-code'", "one.label.startsWith('claude-code')")
        page.evaluate(OPEN.replace("PROPS", props), kind)
        page.wait_for_selector("dialog[open]")
        page.wait_for_function("() => !document.querySelector('.loading, dialog .skeleton')")
        page.evaluate("document.querySelectorAll('dialog details').forEach((one) => (one.open = true))")
        page.evaluate(PAINTED)
        faults += [f"dialog {name}: {text}" for text in page.evaluate(WRONG, "dialog")]
        page.evaluate("import('/static/ui.js').then(({ closeDialog }) => closeDialog())")
        page.wait_for_selector("dialog", state="detached")
    page.context.close()
    assert not faults, "\n".join(dict.fromkeys(faults))
