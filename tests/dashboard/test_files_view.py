"""The Files section of Settings, in a real browser on the real server."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install 'omni-connector[test]'")
from playwright.sync_api import expect

from .conftest import until


def test_files_are_listed_shown_packed_and_removed(product: str, open_page: Any, tmp_path: Path) -> None:  # C-84…C-87, P-37
    home = tmp_path / "home"
    (home / "endpoints.toml").write_text('[openai]\napi_key = "hush-hush-hush"\nbase_url = "https://proxy.example/v1"\n')
    page = open_page("", "settings", url=product)
    section = page.get_by_role("region", name="Files")
    with page.expect_download() as download:
        section.get_by_role("button", name="Download all").click()
    download.value.save_as(tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        assert b"hush" not in archive.read("endpoints.toml")
    section.get_by_role("button", name="List the files").click()
    keys = section.get_by_role("row").filter(has_text="master.key")
    expect(keys).to_be_visible()
    expect(keys.get_by_role("button")).to_have_count(0)
    mine = section.get_by_role("row").filter(has_text="endpoints.toml")
    mine.get_by_role("button", name="Show").click()
    expect(section.get_by_text("proxy.example")).to_be_visible()
    expect(section.get_by_text("hush-hush-hush")).to_have_count(0)
    if folder := os.environ.get("DASHBOARD_SHOTS"):
        page.screenshot(path=Path(folder) / "files.png", full_page=True)
    mine.get_by_role("button", name="Remove").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(mine).to_have_count(0)
    until(page, lambda: not (home / "endpoints.toml").exists())
