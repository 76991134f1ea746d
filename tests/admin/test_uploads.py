"""What a request to import brings: instructions, the file itself, or a form with it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from omni_connector.admin.uploads import asked
from omni_connector.errors import GatewayError

FILE = b'[{"provider": "gemini", "token": {}}]'


def form(*parts: tuple[str, bytes, bool]) -> tuple[bytes, str]:
    body = b""
    for name, value, is_file in parts:
        body += b'--XX\r\nContent-Disposition: form-data; name="' + name.encode() + b'"'
        body += (b'; filename="../../x.json"' if is_file else b"") + b"\r\n\r\n" + value + b"\r\n"
    return body + b"--XX--\r\n", "multipart/form-data; boundary=XX"


def test_a_body_that_says_what_to_do() -> None:
    for body in ({"ids": ["codex"], "dry_run": True}, {"content": [1], "on_conflict": "update"}, {"content": "text"}):
        assert asked(json.dumps(body).encode(), "application/json", {}) == body


def test_a_body_that_is_the_file_itself() -> None:
    query = {
        "dry_run": "1",
        "on_conflict": "rename",
        "provider": "gemini",
        "acknowledged": "codex, kiro",
        "passphrase": "in a log",
        "x": "y",
    }
    found = asked(FILE, "application/json", query)
    assert found == {"content": FILE, "dry_run": True, "on_conflict": "rename", "provider": "gemini", "acknowledged": ["codex", "kiro"]}
    for raw in (b'{"data": []}', b"{broken", b'{"ids": 1, "tokens": {}}', b"\xff", b"[" * 100_000):
        assert asked(raw, "", {}) == {"content": raw}


def test_a_form_with_the_file() -> None:  # C-90
    body, kind = form(
        ("provider", b"antigravity", False), ("file", FILE, True), ("passphrase", b"correct horse", False), ("dry_run", b"0", False)
    )
    assert asked(body, kind, {"provider": "gemini"}) == {
        "content": FILE,
        "provider": "antigravity",
        "passphrase": "correct horse",
        "dry_run": False,
    }


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        form(("provider", b"x", False)),
        form(("file", FILE, True), ("file", FILE, True)),
        (b"--XX\r\n", "multipart/form-data; boundary=XX"),
        (FILE, "multipart/form-data"),
        (b"", "application/json"),
        (b"  ", ""),
    ],
    ids=range(6),
)
def test_what_brings_nothing(body: Any, kind: str) -> None:
    with pytest.raises(GatewayError):
        asked(body, kind, {})
