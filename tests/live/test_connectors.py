"""Every provider that is signed in to, from the first page to its removal: a real server process, its provider played by strict mocks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.live.connecting import TABLE, Connector, Street, clean, opened, text
from tests.live.processes import Json, soon

pytestmark = pytest.mark.slow

EACH = pytest.mark.parametrize("connector", TABLE, ids=lambda one: f"{one.provider}{'-device' if one.device else ''}")


@pytest.fixture
async def street(connector: Connector, tmp_path: Path) -> AsyncIterator[Street]:
    async with opened(connector, tmp_path) as street:
        yield street


@EACH
async def test_from_the_first_page_to_its_removal(street: Street) -> None:  # P-02, P-03, P-18, P-20, P-21, P-22, P-23, O-03, C-66
    row = street.row
    start = f"/api/oauth/{row.provider}/start"
    if row.opt_in:
        off = await street.call("POST", start, street.body)
        assert (off.status, off.json["error"]["code"]) == (403, "connector_off")
        assert f"config set connectors {row.provider}" in off.json["error"]["message"]
        await street.server.admin("POST", "/api/config", {"connectors": [row.provider]})
        unread = await street.call("POST", start, street.body)
        assert (unread.status, unread.json["error"]["code"]) == (409, "notice")
    account = await street.finish(await street.begin())
    again = await street.call("POST", start, street.body)
    assert again.status == 200, "the notice is acknowledged once"
    await street.call("POST", f"/api/oauth/flows/{again.json['flow_id']}/cancel")

    answer = await street.said()
    assert answer.status == 200 and answer.whole, answer.body
    assert "Good day." in text(answer.body) and b"[DONE]" in answer.body

    if row.quota:
        await street.call("POST", f"/api/accounts/{account['id']}/refresh")
        seen = await street.until(account["id"], lambda one: one["quota"])
        used = [(window["used"], window["limit"]) for window in seen["quota"] if window["limit"]]
        assert (12, 100) in used or (0.12, 1) in used, seen["quota"]

    if not row.lasting:
        await street.later(account["id"])
        asked = [street.said() for _ in range(5)]
        assert all("Good day." in text(one.body) for one in await asyncio.gather(*asked))
        assert (street.login.count("refresh"), street.login.reused) == (1, [])

    await _revoked_and_back(street, account)
    removed = await street.call("DELETE", f"/api/accounts/{account['id']}")
    assert removed.status == 200
    if row.revokes:
        await soon(lambda: "revoke" in [call.name for call in street.login.calls])
        assert street.login.last("revoke").status == 200
        assert set(street.login.families.values()) == {"revoked"}
    assert (await street.said()).status in (404, 503)
    for path in ("/api/accounts", "/api/requests", "/api/system", "/api/jobs", "/api/quota"):
        clean(street, (await street.call("GET", path)).body.decode(), path)
    clean(street, street.server.output.read_text(), "the log")
    for file in filter(Path.is_file, street.home.rglob("*")):
        clean(street, file.read_bytes().decode("latin-1"), file.name)


async def _revoked_and_back(street: Street, account: Json) -> None:
    """The user takes it back at the provider: the account says so, and one click is all it takes."""
    if not street.row.lasting:
        await street.later(account["id"])
    street.login.revoke_all()
    answer = await street.said()
    assert answer.status == 503
    clean(street, answer.body.decode(), "the answer")
    lost = await street.until(account["id"], lambda one: one["status"] in ("needs_login", "locked"))
    clean(street, json.dumps(lost), "the account")
    if not street.row.lasting:
        assert lost["status"] == "needs_login" and "sign in again" in lost["status_reason"].lower()
        refreshes = street.login.count("refresh")
        for _ in range(3):
            assert (await street.said()).status == 503
        assert street.login.count("refresh") == refreshes, "it is not asked for in vain"
    renewed = await street.finish(await street.begin(account=account["id"]))
    assert renewed["id"] == account["id"]
    assert "Good day." in text((await street.said()).body)
