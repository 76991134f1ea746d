"""A local command connected, tested and edited in a real browser, on the real server."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install 'omni-connector[test]'")
from playwright.sync_api import expect


def shot(page: Any, name: str) -> None:
    if folder := os.environ.get("DASHBOARD_SHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png")


def test_a_command_is_connected_argument_by_argument(product: str, open_page: Any, tmp_path: Path) -> None:  # R-14, O-03
    script = tmp_path / "my tool.py"
    script.write_text("print('yes')")
    page = open_page("", "accounts", url=product)
    page.get_by_role("button", name="Connect").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Local command").click()
    dialog.get_by_label("Command", exact=True).select_option("codex-exec")
    expect(dialog.get_by_text("codex exec --json")).to_be_visible()
    expect(dialog.get_by_label("Name")).to_have_value("codex-exec")
    shot(page, "command-preset")
    dialog.get_by_label("Command", exact=True).select_option("generic")
    for place, text in enumerate([sys.executable, str(script), "; rm -rf /", '["-m", "{model}"]']):
        dialog.get_by_role("button", name="Add argument").click()
        dialog.get_by_label("Program" if place == 0 else f"Argument {place}", exact=True).fill(text)
    dialog.get_by_label("Name").fill("my tool")
    dialog.get_by_role("button", name="Test").click()
    expect(dialog.get_by_role("status")).to_contain_text("Works")
    shot(page, "command-own")
    dialog.get_by_role("button", name="Connect").click()
    expect(page.get_by_role("cell", name=re.compile("^my tool"))).to_be_visible()

    shown = page.evaluate("fetch('/api/accounts').then((answer) => answer.json())")["accounts"][0]
    assert shown["auth"] == "cli"
    argv = [sys.executable, str(script), "; rm -rf /", ["-m", "{model}"]]
    assert shown["options"]["command"] == {"argv": argv, "input": "text"}


def test_claude_code_is_one_click_and_a_failed_test_says_why(product: str, open_page: Any) -> None:  # C-06
    page = open_page("", "accounts", url=product)
    page.get_by_role("button", name="Connect").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Claude Code").click()
    expect(dialog.get_by_text("Anthropic's terms for Claude Code apply")).to_be_visible()
    dialog.get_by_text("Advanced").click()
    dialog.get_by_label("Program").fill("/no/such/claude")
    dialog.get_by_role("button", name="Test").click()
    expect(dialog.get_by_role("alert")).to_contain_text("/no/such/claude")
    shot(page, "command-claude")
    dialog.get_by_role("button", name="Connect").click()
    dialog.get_by_role("button", name="Save anyway").click()
    expect(page.get_by_role("cell", name=re.compile("^claude-code"))).to_be_visible()


def test_what_a_program_is_given_stays_when_it_is_edited(product: str, open_page: Any, tmp_path: Path) -> None:
    script = tmp_path / "tool.py"
    script.write_text("import os, sys\nsys.exit(os.environ['TOKEN'] != 'tok-SECRET')")
    argv = [sys.executable, "-I", str(script)]
    page = open_page("", "accounts", url=product)
    expect(page.get_by_role("navigation").first).to_be_visible()  # the page has its session
    post = """([path, body]) => import('/static/api.js').then((api) => api.post(path, body))"""
    command = {"argv": argv, "check": argv, "set": {"TOKEN": "tok-SECRET"}}
    added = page.evaluate(post, ["/api/accounts", {"provider": "command", "label": "given", "options": {"command": command}}])
    assert added["test"]["ok"], added
    page.get_by_role("button", name="Edit given").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("renamed")
    dialog.get_by_role("button", name="Test").click()
    expect(dialog.get_by_role("status")).to_contain_text("ended well")
    dialog.get_by_role("button", name="Save").click()
    expect(page.get_by_role("cell", name=re.compile("^renamed"))).to_be_visible()
    assert "SECRET" not in page.content()
    assert page.evaluate(post, [f"/api/accounts/{added['id']}/test", {}])["ok"]
