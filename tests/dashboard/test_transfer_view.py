"""What is found on this machine, files in and files out, in a real browser: on the real server, and where providers' terms are asked
for, on the mock."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install 'omni-connector[test]'")
from playwright.sync_api import expect


@pytest.fixture(autouse=True)
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user with Claude Code, whose program only says that somebody is signed in."""
    program = tmp_path / "bin" / "claude"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho '{\"loggedIn\": true}'\n")
    program.chmod(0o755)
    home = tmp_path / "user"
    (home / ".qwen").mkdir(parents=True)
    (home / ".qwen" / "oauth_creds.json").write_text("{}")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    return home


def shot(page: Any, name: str) -> None:
    if folder := os.environ.get("DASHBOARD_SHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png")


def test_what_is_found_is_one_tick_away(product: str, open_page: Any) -> None:  # O-03
    page = open_page("", "overview", url=product)
    found = page.get_by_role("region", name="Found on this machine")
    expect(found.get_by_text("Qwen's sign-in was switched off")).to_be_visible()
    expect(found.get_by_label("Qwen Code")).to_be_disabled()
    expect(found.get_by_role("button", name="Import")).to_be_disabled()
    found.get_by_label("Claude Code").check()
    shot(page, "found")
    found.get_by_role("button", name="Import 1").click()
    expect(page.get_by_text("1 account imported.")).to_be_visible()
    expect(page.get_by_role("cell", name=re.compile("^claude-code"))).to_be_visible()


FINDING = {
    "id": "codex",
    "kind": "sign-in",
    "provider": "codex",
    "title": "Codex",
    "where": "/home/me/.codex/auth.json",
    "who": "ada@example.org",
    "auth": "oauth",
    "already": None,
    "warning": "Codex would be signed out.",
    "importable": True,
    "why_not": "",
    "models": [],
}


def test_terms_are_read_before_a_sign_in_is_imported(open_page: Any) -> None:
    sent: list[Any] = []
    switched: list[Any] = []

    def answer(route: Any) -> None:
        sent.append(json.loads(route.request.post_data))
        code = ["connector_off", "notice", ""][len(sent) - 1]
        ask = {"provider": "codex", "provider_label": "Codex", "code": code, "message": f"<b>terms</b> {code}"}
        told = {"added": int(not code), "updated": 0, "accounts": [], "asks": [ask] if code else []}
        route.fulfill(json=told)

    def config(route: Any) -> None:
        if route.request.method == "POST":
            switched.append(json.loads(route.request.post_data))
        route.fulfill(json={"settings": [{"name": "connectors", "value": ["kiro"]}]})

    page = open_page("empty", "accounts")
    page.route("**/api/config", config)
    page.route("**/api/accounts/discover", lambda route: route.fulfill(json={"found": [FINDING]}))
    page.route("**/api/accounts/import", answer)
    page.get_by_role("button", name="Connect account").first.click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("Codex would be signed out.")).to_have_count(0)
    dialog.get_by_label("Codex").check()
    expect(dialog.get_by_text("Codex would be signed out.")).to_be_visible()
    for code in ("connector_off", "notice"):
        dialog.get_by_role("button", name="Import 1").click()
        expect(dialog.get_by_text(f"<b>terms</b> {code}")).to_be_visible()
        expect(dialog.get_by_role("button", name="Import 1")).to_be_disabled()
        dialog.get_by_label("I have read this").check()
    shot(page, "found-terms")
    dialog.get_by_role("button", name="Import 1").click()
    expect(page.get_by_text("1 account imported.")).to_be_visible()
    assert [body["acknowledged"] for body in sent] == [[], [], ["codex"]]
    assert switched == [{"connectors": ["kiro", "codex"]}]


def test_a_file_in_and_a_file_out(product: str, open_page: Any, tmp_path: Path) -> None:  # P-14, P-26, P-27
    page = open_page("", "accounts", url=product, errors_expected=True)
    page.get_by_role("button", name="Import", exact=True).click()
    dialog = page.get_by_role("dialog")
    upload = dialog.get_by_label("File, chosen or dropped here")
    upload.set_input_files({"name": "x.json", "mimeType": "application/json", "buffer": b"no json"})
    expect(dialog.get_by_role("alert")).to_contain_text("not valid JSON")
    entries = [{"provider": "demo", "label": "<img src=x>", "auth": "none"}, {"provider": "nobody", "label": "other"}]
    upload.set_input_files({"name": "y.json", "mimeType": "application/json", "buffer": json.dumps(entries).encode()})
    expect(dialog.get_by_role("status")).to_contain_text("1 added, 1 failed")
    expect(dialog.get_by_role("status")).to_contain_text("there is no provider 'nobody'")
    shot(page, "import")
    dialog.get_by_role("button", name="Import").click()
    expect(page.get_by_role("cell", name=re.compile("^<img src=x>"))).to_be_visible()

    page.get_by_role("button", name="Export", exact=True).click()
    dialog.get_by_label("Admin key").fill("omniadm-wrong")
    dialog.get_by_role("button", name="Export").click()
    expect(dialog.get_by_role("alert")).to_contain_text("admin.key")
    dialog.get_by_label("Admin key").fill((tmp_path / "home" / "admin.key").read_text().strip())
    shot(page, "export")
    with page.expect_download() as download:
        dialog.get_by_role("button", name="Export").click()
    assert download.value.suggested_filename.startswith("omni-connector-accounts-")
    said = json.loads(Path(download.value.path()).read_text())
    assert [one["label"] for one in said["accounts"]] == ["<img src=x>"]
