"""Programs of this machine: where each points, what would change, done and taken back; the words for an agent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect

from .conftest import copied  # noqa: E402

DESK = {"viewport": {"width": 1280, "height": 900}}


def row(page: Any, label: str) -> Any:
    return page.locator("table.clients tbody tr", has_text=label)


def test_a_program_is_set_up_after_its_diff_was_shown(mock: Any, open_page: Any, shoot: Any) -> None:
    page = open_page("busy", "clients", **DESK)
    expect(page.get_by_text("1 program points here")).to_be_visible()
    expect(row(page, "Codex")).to_contain_text("https://api.openai.com/v1")
    expect(row(page, "Gemini CLI")).to_contain_text("line 4: a comma is missing")
    expect(page.get_by_role("button", name="Set up Gemini CLI")).to_be_disabled()
    shoot(page, "clients")
    page.get_by_role("button", name="Set up Codex").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.locator(".diff .minus")).to_have_text('-model = "gpt-5.5"\n')
    dialog.get_by_label("Model").fill("openai/gpt-5.1")
    expect(dialog.locator(".diff")).to_contain_text('+model = "openai/gpt-5.1"')
    shoot(page, "client-setup")
    dialog.get_by_role("button", name="Set up").click()
    expect(dialog.get_by_role("status")).to_contain_text("1 file written. It works: account 'openai' answered")
    dialog.get_by_role("button", name="Done").click()
    bodies = [call["body"] for call in mock.calls("POST")]
    assert all(body["dry_run"] for body in bodies[:-1])
    assert bodies[-1] == {"startup": True, "model": "openai/gpt-5.1"}


def test_by_hand_and_a_wrong_model(open_page: Any) -> None:
    page = open_page("busy", "clients", errors_expected=True, **DESK)
    page.get_by_role("button", name="Steps for Cursor").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Settings, Models: put in the address and the key.")
    dialog.get_by_label("Model").fill("bad")
    expect(dialog.get_by_role("alert")).to_contain_text("plain characters")
    dialog.get_by_label("Model").fill("")
    expect(dialog.get_by_role("alert")).to_have_count(0)
    dialog.get_by_role("button", name="Make a key").click()
    expect(dialog.locator(".keybox")).to_contain_text("omni-pasted")


def test_taken_back_also_where_the_file_changed_since(mock: Any, open_page: Any) -> None:
    page = open_page("busy", "clients", errors_expected=True, **DESK)
    row(page, "Claude Code").get_by_role("button", name="Undo").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("alert")).to_contain_text("was changed since it was set up")
    dialog.get_by_role("button", name="Take out only our lines").click()
    expect(dialog.locator(".diff")).to_be_visible()
    dialog.get_by_role("button", name="Take it back").click()
    expect(page.get_by_text("Claude Code is as it was before. Its key is revoked.")).to_be_visible()
    assert mock.calls("POST")[-1]["body"] == {"keep_later": True}


def test_the_words_for_an_agent(open_page: Any) -> None:  # O-06
    page = open_page("busy", "clients", **DESK)
    page.get_by_role("button", name="Copy", exact=True).last.click()
    assert copied(page, "omni-connector").startswith("Connect to omni-connector")


@pytest.fixture
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user with Codex, and nothing of the machine's own settings."""
    home = tmp_path / "user"
    (home / ".codex").mkdir(parents=True)
    (home / ".codex/config.toml").write_text('model = "gpt-5.5"  # mine\n')
    for name in ("CODEX_HOME", "CLAUDE_CONFIG_DIR", "XDG_CONFIG_HOME", "GEMINI_CLI_HOME", "OPENCODE_CONFIG", "ZDOTDIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    return home


def test_codex_set_up_and_taken_back_on_the_product(own_home: Path, product: str, open_page: Any) -> None:  # P-10
    page = open_page("", "clients", url=product, errors_expected=True, **DESK)
    expect(row(page, "Codex")).to_contain_text("Not set up")
    page.evaluate(
        """import('/static/api.js').then((api) => api.post('/api/accounts', { provider: 'demo', label: 'demo', auth: 'none' }))"""
    )
    file = own_home / ".codex/config.toml"
    before = file.read_bytes()
    page.get_by_role("button", name="Set up Codex").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.locator(".diff")).to_contain_text("omni-(a new key)")
    assert file.read_bytes() == before
    dialog.get_by_role("button", name="Set up").click()
    expect(dialog.get_by_role("status")).to_contain_text("It works: account 'demo' answered")
    dialog.get_by_role("button", name="Done").click()
    expect(row(page, "Codex")).to_contain_text("Points here")
    assert product.rpartition(":")[2] in file.read_text()
    row(page, "Codex").get_by_role("button", name="Undo").click()
    page.get_by_role("dialog").get_by_role("button", name="Take it back").click()
    expect(row(page, "Codex")).not_to_contain_text("Points here")
    assert file.read_bytes() == before
