"""The Backup section of Settings, in a real browser on the real server."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install 'omni-connector[test]'")
from playwright.sync_api import expect

from omni_connector import backup

WORDS = "correct horse"


def test_everything_in_one_file(product: str, open_page: Any, tmp_path: Path) -> None:  # P-61
    page = open_page("", "settings", url=product, errors_expected=True)
    section = page.get_by_role("region", name="Backup")
    expect(section.get_by_text("there is no copy yet")).to_be_visible()
    button = section.get_by_role("button", name="Download backup")
    expect(button).to_be_disabled()
    section.get_by_label("Passphrase of the file").fill(WORDS)
    section.get_by_label("Admin key").fill("omniadm-wrong")
    button.click()
    expect(section.get_by_text("This file holds credentials")).to_be_visible()
    section.get_by_label("Admin key").fill((tmp_path / "home" / "admin.key").read_text().strip())
    with page.expect_download() as download:
        button.click()
    assert download.value.suggested_filename.endswith(".backup")
    download.value.save_as(tmp_path / "b")
    assert "master_keys" in backup.read(tmp_path / "b", WORDS, tmp_path / "out.db")
    if folder := os.environ.get("DASHBOARD_SHOTS"):
        page.screenshot(path=Path(folder) / "backup.png", full_page=True)


def test_the_copies_are_listed_with_their_command(open_page: Any) -> None:
    page = open_page("busy", "settings")
    table = page.get_by_role("table", name="Copies of the database")
    expect(table.get_by_text("5.4 MB")).to_be_visible()
    expect(table.get_by_role("button", name="Copy")).to_be_visible()
    if folder := os.environ.get("DASHBOARD_SHOTS"):
        page.screenshot(path=Path(folder) / "copies.png", full_page=True)
