"""The dashboard's files by themselves: vendored code is what it claims to be, nothing needs a build, the network or a looser policy."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

from omni_connector import paths
from omni_connector.settings import SETTINGS

STATIC = Path(__file__).resolve().parents[2] / "static"
VENDOR = STATIC / "vendor"
OURS = sorted(p for p in STATIC.rglob("*") if p.suffix in {".js", ".css", ".html"} and VENDOR not in p.parents)


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_vendored_files_match_their_record() -> None:
    packages = json.loads((VENDOR / "VENDOR.json").read_text())["packages"]
    recorded = {"VENDOR.json", "README.md"}
    for package in packages:
        assert package["version"], package["name"]
        assert package["licence"], package["name"]
        assert sha(VENDOR / package["licence_file"]) == package["licence_sha256"], package["name"]
        recorded.add(package["licence_file"])
        for file in package["files"]:
            assert sha(VENDOR / file["file"]) == file["sha256"], f"{file['file']} is not the file that VENDOR.json describes"
            recorded.add(file["file"])
    assert {str(p.relative_to(VENDOR)) for p in VENDOR.rglob("*") if p.is_file()} == recorded


def test_every_icon_used_is_in_the_sprite() -> None:
    known = set(re.findall(r'<symbol id="([^"]+)"', (VENDOR / "lucide.svg").read_text()))
    text = "\n".join(path.read_text() for path in OURS)
    used = set(re.findall(r'\b(?:icon|name)="([a-z][a-z0-9-]+)"', text)) & {*known, *re.findall(r'<\$\{Icon\} name="([a-z0-9-]+)"', text)}
    assert used <= known
    assert set(re.findall(r'icon="([a-z0-9-]+)"', text)) <= known


@pytest.mark.parametrize("path", OURS, ids=lambda p: str(p.relative_to(STATIC)))
def test_source_keeps_the_policy(path: Path) -> None:
    """No inline script or style, no HTML from strings, nothing from outside, no bare imports (they would need an import map)."""
    text = path.read_text()
    if path.suffix == ".html":
        assert not re.search(r"<script(?![^>]*\bsrc=)", text)
        assert not re.search(r"\sstyle=|\son\w+=|<style", text)
        assert not re.search(r'(?:src|href)="(?!/static/)', text)
    if path.suffix == ".js":
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|dangerouslySetInnerHTML|\beval\(|new Function", text)
        assert all(target.startswith(".") for target in re.findall(r'\bfrom "([^"]+)"', text))
    if path.suffix == ".css":
        assert "url(" not in text
        assert "@import" not in text


def test_every_format_of_the_client_api_has_a_name() -> None:
    named = set(re.findall(r'^  "?([a-z-]+)"?: \{ name: (?:t\()?"', (STATIC / "protocols.js").read_text(), re.M))
    assert {*paths.POSTS.values(), "gemini-generate", "gemini-embeddings"} <= named


def test_settings_stand_in_the_group_that_a_user_looks_in() -> None:
    """The first group whose pattern fits has the setting, so a wide pattern must not take what belongs further down."""
    groups = re.findall(r'^  \[(?:t\()?"([^"]+)"\)?, /(.+?)/[,\]]', (STATIC / "views/settings.js").read_text(), re.M)
    found: dict[str, set[str]] = {}
    for setting in SETTINGS:
        title = next(title for title, pattern in groups if re.search(pattern, setting.name))
        found.setdefault(title, set()).add(setting.name)
    assert found["Kept answers"] == {"responses_store", "kept_days"}
    out = {"wait_for_account_s", "max_error_count", "guessed_cooldown_max_s", "filtered_falls_over"}
    assert found["Routing"] >= out | {"strategy", "default_model"}
    assert found["Accounts that are out"] == {"probe_first_s", "probe_max_s", "probe_billed_per_day"}
    assert found["Media by URL"] == {"fetch_media", "fetch_private_media", "fetch_media_mb", "fetch_media_timeout_s"}
    assert {"connect_timeout_s", "first_byte_timeout_s", "idle_timeout_s", "total_timeout_s"} <= found["Time limits and retries"]
    assert {"host", "port", "client_bind", "admin_bind"} <= found["Listening"]  # P-31
    assert found["TLS"] == {"client_tls_cert", "client_tls_key", "admin_tls_cert", "admin_tls_key"}  # P-13
    assert {"allow_remote", "client_auth"} <= found["Who may enter"]  # P-12
    assert {"retention_days", "retention_rows", "keep_requests_mb", "snapshot_hours"} <= found["Retention"]
    assert {"prompt_log_mode", "prompt_log_days"} <= found["Log of prompts and answers"]
    assert not found.get("Other"), "each setting has its place: GROUPS of static/views/settings.js"
