"""Importing and exporting over HTTP: who may take credentials away, and in what shapes a file comes (CONTRACT §3, §5)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.desk import Desk, closed, error_of, opened

Json = dict[str, Any]
FILE = json.dumps([{"provider": "groq", "email": "../g@x.org", "enabled": True, "token": {"access_token": "gsk-SECRET"}}]).encode()


@pytest.fixture
async def desk(migrated_home: Path, tmp_path: Path) -> AsyncIterator[Desk]:
    desk = await opened(migrated_home, tmp_path / "home")
    desk.gateway.admin._test_account = None
    yield desk
    await closed(desk)


async def filled(desk: Desk) -> None:
    answer = await desk.ask("POST", "/api/accounts/import", FILE, **desk.admin)
    assert answer.status_code == 200


# ---------------------------------------------------------------- In


async def test_a_file_as_the_body(desk: Desk) -> None:
    dry = await desk.ask("POST", "/api/accounts/import?dry_run=1", FILE, content_type="application/json", **desk.admin)
    assert (await dry.get_json())["dry_run"] is True
    told = await (await desk.ask("POST", "/api/accounts/import", FILE, **desk.admin)).get_json()
    assert (told["added"], told["accounts"][0]["label"]) == (1, ".. g@x.org")
    assert "SECRET" not in json.dumps(told)


async def test_uploaded_credentials_are_the_same_function(desk: Desk) -> None:  # C-90
    body = b'--XX\r\nContent-Disposition: form-data; name="file"; filename="../../../etc/cron.d/x"\r\n\r\n' + FILE
    body += b'\r\n--XX\r\nContent-Disposition: form-data; name="provider"\r\n\r\ngemini-cli-oauth\r\n--XX--\r\n'
    answer = await desk.ask("POST", "/api/upload-oauth-credentials", body, content_type="multipart/form-data; boundary=XX", **desk.admin)
    assert (await answer.get_json())["added"] == 1


async def test_what_was_found_by_its_id(desk: Desk) -> None:
    assert (await (await desk.ask("GET", "/api/accounts/discover", **desk.admin)).get_json())["found"] == []
    answer = await desk.ask("POST", "/api/accounts/import", {"ids": ["codex"]}, **desk.admin)
    assert (answer.status_code, (await error_of(answer))["param"]) == (400, "ids")


@pytest.mark.parametrize("path", ["/api/accounts/import", "/api/upload-oauth-credentials", "/api/accounts/export"])
async def test_nobody_else_may(desk: Desk, path: str) -> None:
    assert (await desk.ask("POST", path, FILE)).status_code == 401
    await desk.sign_in()
    desk.csrf = "wrong"
    assert (await desk.ask("POST", path, FILE)).status_code == 403
    key = (await desk.gateway.admin.create_key({}))["key"]
    assert (await desk.ask("POST", path, FILE, authorization=f"Bearer {key}")).status_code == 401
    assert (await desk.ask("GET", "/api/accounts/discover", signed=False)).status_code == 401


# ---------------------------------------------------------------- Out


async def test_a_session_alone_takes_nothing_away(desk: Desk) -> None:
    await filled(desk)
    await desk.sign_in()
    for method, body in (("GET", None), ("POST", {}), ("POST", {"admin_key": "omniadm-wrong"}), ("POST", {"password": "x"}), ("POST", [])):
        answer = await desk.ask(method, "/api/accounts/export", body)
        assert (answer.status_code, (await error_of(answer))["code"]) == (403, "key_again"), body
        assert b"SECRET" not in await answer.get_data()
    for secret in ("admin_key", "password", "passphrase"):  # an address stands in histories and logs: none is read from there
        answer = await desk.ask("GET", f"/api/accounts/export?{secret}={desk.gateway.admin_key}")
        assert (answer.status_code, (await error_of(answer))["code"]) == (403, "key_again"), secret
    again = await desk.ask("POST", "/api/accounts/export", {"admin_key": desk.gateway.admin_key})
    assert (again.status_code, b"gsk-SECRET" in await again.get_data()) == (200, True)


async def test_the_password_again(desk: Desk) -> None:
    await filled(desk)
    await desk.ask("POST", "/api/admin-password", {"password": "correct horse"}, **desk.admin)
    await desk.log_in("correct horse")
    assert (await desk.ask("GET", "/api/accounts/export")).status_code == 403
    wrong = await desk.ask("POST", "/api/accounts/export", {"password": "wrong horse"})
    assert (wrong.status_code, (await error_of(wrong))["code"]) == (401, "wrong_password")
    right = await desk.ask("POST", "/api/accounts/export", {"password": "correct horse", "passphrase": "battery staple"})
    assert (right.status_code, b"SECRET" in await right.get_data()) == (200, False)
    for _ in range(6):
        last = await desk.ask("POST", "/api/accounts/export", {"password": "wrong horse"})
    assert last.status_code == 429


async def test_the_file_and_what_its_headers_say(desk: Desk) -> None:  # P-26
    await filled(desk)
    answer = await desk.ask("GET", "/api/accounts/export?format=oneproxy", **desk.admin)
    assert json.loads(await answer.get_data())[0]["token"]["access_token"] == "gsk-SECRET"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-disposition"].startswith('attachment; filename="omni-connector-accounts-')
    assert "plain text" in answer.headers["x-omni-warning"]
    told = await (await desk.ask("POST", "/api/accounts/export", {"download": False}, **desk.admin)).get_json()
    assert (told["accounts"], json.loads(told["content"])["format"]) == (1, "omni-connector")


async def test_without_credentials_a_session_is_enough(desk: Desk) -> None:
    await filled(desk)
    await desk.sign_in()
    for answer in (
        await desk.ask("GET", "/api/accounts/export?secrets=0&include="),
        await desk.ask("POST", "/api/accounts/export", {"secrets": False}),
    ):
        assert answer.status_code == 200
        assert b"SECRET" not in await answer.get_data()
    for body in ({"secrets": 0}, {"secrets": None}, {"secrets": "false"}):
        assert (await desk.ask("POST", "/api/accounts/export", body)).status_code == 403
