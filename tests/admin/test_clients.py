"""The same writers for the dashboard: in the home of whom the server runs as."""

from __future__ import annotations

from pathlib import Path

import pytest

from omni_connector.admin import Admin
from omni_connector.errors import GatewayError, Kind
from omni_connector.local_logins import Machine


async def test_from_the_list_to_set_up_and_back(admin: Admin, tmp_path: Path) -> None:  # P-57, P-10
    user = tmp_path / "user"
    (user / ".codex").mkdir(parents=True)
    admin.machine = Machine(user, {})
    rows = {row["name"]: row for row in (await admin.clients())["clients"]}
    assert (rows["codex"]["state"], rows["codex"]["installed"]) == ("not set up", "~/.codex")
    assert '+base_url = "http://127.0.0.1:38471/v1"' in rows["codex"]["diff"]
    assert rows["cursor"]["steps"]
    assert (await admin.keys())["keys"] == []
    assert (await admin.setup_client("codex", {"dry_run": True}))["applied"] is False
    told = await admin.setup_client("codex", None)
    assert told["applied"]
    rows = {row["name"]: row for row in (await admin.clients())["clients"]}
    assert (rows["codex"]["state"], rows["codex"]["undoable"], rows["codex"]["diff"]) == ("points here", True, "")
    assert (await admin.undo_client("codex", {"dry_run": True}))["undone"] is False
    assert (await admin.undo_client("codex", {}))["key_revoked"]
    assert list(user.rglob("*")) == [user / ".codex"]


async def test_what_cannot_be_changed_is_said_in_the_list(admin: Admin, tmp_path: Path) -> None:
    (tmp_path / ".codex").mkdir()
    (tmp_path / ".codex/config.toml").write_text("a = ")
    admin.machine = Machine(tmp_path, {})
    row = next(row for row in (await admin.clients())["clients"] if row["name"] == "codex")
    assert row["state"] == "unreadable"
    assert "not valid TOML" in row["blocked"]
    with pytest.raises(GatewayError) as caught:
        await admin.setup_client("codex", {})
    assert caught.value.kind is Kind.CONFLICT


async def test_mistakes_are_named(admin: Admin, tmp_path: Path) -> None:
    admin.machine = Machine(tmp_path, {})
    for name, body, kind in (("nope", {}, Kind.NOT_FOUND), ("codex", {"home": "/root"}, Kind.BAD_REQUEST), ("codex", [], Kind.BAD_REQUEST)):
        with pytest.raises(GatewayError) as caught:
            await admin.setup_client(name, body)
        assert caught.value.kind is kind
    with pytest.raises(GatewayError, match="nothing to undo"):
        await admin.undo_client("codex", {})
    admin.machine = Machine(None, {})
    assert (await admin.clients())["clients"] == []
    with pytest.raises(GatewayError, match="no home folder"):
        await admin.setup_client("codex", {})
