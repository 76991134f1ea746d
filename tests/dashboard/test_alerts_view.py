"""The alerts view on the real server: the empty page, a channel added by its form, tested, changed and removed. J-09"""

from __future__ import annotations

import os
import re
import sqlite3
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install 'omni-connector[test]'")
from playwright.sync_api import expect

CLIPPED = "[...document.querySelectorAll('.sheet')].filter((s) => s.scrollWidth > s.clientWidth).map((s) => s.innerText.slice(0, 80))"
HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture
def robot() -> Iterator[Any]:
    """A Slack-like receiver on this machine: `heard` bodies, answers "ok" while `good`."""

    class Handler(BaseHTTPRequestHandler):
        heard: ClassVar[list[bytes]] = []
        good = True

        def do_POST(self) -> None:
            self.heard.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200 if self.good else 404)
            self.end_headers()
            self.wfile.write(b"ok" if self.good else b"no_service")

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    Handler.url = f"http://127.0.0.1:{server.server_port}/services/secret-token-1"  # type: ignore[attr-defined]
    yield Handler
    server.shutdown()
    thread.join()
    server.server_close()


def begin_alert(home: Path) -> None:
    """As a process that looked at the accounts would have written it."""
    with sqlite3.connect(home / "omni.db", timeout=30) as db:
        row = ("alr_00000000000000000001", "budget_reached", "key_1", f"key {HOSTILE} has spent its budget", int(time.time() * 1000))
        db.execute("INSERT INTO alerts (id, kind, subject, message, at) VALUES (?, ?, ?, ?, ?)", row)
    db.close()


def test_a_channel_is_added_tested_changed_and_removed(product: str, open_page: Any, robot: Any, tmp_path: Path) -> None:
    page = open_page("", "alerts", url=product, errors_expected=True)
    expect(page.get_by_text("Nobody is told yet")).to_be_visible()
    expect(page.get_by_text("Nothing is wrong")).to_be_visible()
    page.evaluate("import('/static/api.js').then((api) => api.post('/api/config', { alert_private_targets: true }))")

    page.get_by_role("button", name="Add channel").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Add channel").click()
    expect(dialog.get_by_text("The address is missing.")).to_be_visible()
    dialog.get_by_label("Kind").select_option("slack")
    expect(dialog.get_by_label("Secret")).to_have_count(0)
    dialog.get_by_label("Address").fill("ftp://nowhere")
    dialog.get_by_role("button", name="Add channel").click()
    expect(dialog.get_by_role("alert")).to_contain_text("http")
    dialog.get_by_label("Address").fill(robot.url)
    dialog.get_by_label("Name").fill(HOSTILE.replace("/", ""))
    dialog.get_by_label("Low balance").check()
    dialog.get_by_role("button", name="Add channel").click()
    row = page.locator("tr", has_text="Slack · 127.0.0.1")
    expect(row).to_contain_text("Low balance")

    row.get_by_role("button", name="Test").click()
    expect(page.get_by_text("took the test message")).to_be_visible()
    expect(row).to_contain_text("heard")
    assert b"omni-connector: Test" in robot.heard[0]
    robot.good = False
    row.get_by_role("button", name="Test").click()
    expect(row).to_contain_text("it answers 404: no_service")

    row.get_by_role("button", name=re.compile("^Edit")).click()
    dialog.get_by_label("Name").fill("team")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_have_count(0)
    expect(row).to_contain_text("team")
    row.get_by_role("switch").click()
    expect(row.get_by_role("switch")).to_have_attribute("aria-checked", "false")

    begin_alert(tmp_path / "home")
    page.reload()
    expect(page.get_by_text("1 open")).to_be_visible()
    expect(page.get_by_text(f"key {HOSTILE} has spent its budget")).to_be_visible()
    assert "secret-token" not in page.content()
    shots = Path(os.environ.get("DASHBOARD_SHOTS", tmp_path))
    for width, theme in ((360, "dark"), (900, "light"), (1280, "dark")):
        page.emulate_media(color_scheme=theme)
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"it scrolls sideways at {width} px"
        assert page.evaluate(CLIPPED) == [], f"it cuts a table at {width} px"
        page.screenshot(path=shots / f"alerts-{width}-{theme}.png")

    row.get_by_role("button", name=re.compile("^Remove")).click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(page.get_by_text("Nobody is told yet")).to_be_visible()
    page.keyboard.press("g")
    page.keyboard.press("o")
    page.keyboard.press("g")
    page.keyboard.press("l")
    expect(page.get_by_role("heading", name="Alerts", exact=True)).to_be_visible()
