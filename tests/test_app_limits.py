"""Limits over HTTP, ids with slashes included."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.desk import closed, opened


async def test_set_and_removed_by_route(migrated_home: Path, tmp_path: Path) -> None:
    desk = await opened(migrated_home, tmp_path / "home")
    admin: Any = desk.admin
    name = "meta-llama/llama-3 70b?"
    model, whole = f"/api/limits/model/{quote(name, safe='')}", "/api/limits/installation"
    assert (await desk.ask("PUT", model, {"rpm": 3})).status_code in (401, 403)
    answer = await desk.ask("PUT", model, {"rpm": 3}, **admin)
    assert (answer.status_code, (await answer.get_json())["subject"]) == (200, name)
    body = {"budget": {"amount": "9.50", "period": "week", "zone": "Asia/Kolkata", "mode": "soft"}}
    assert (await desk.ask("PUT", whole, body, **admin)).status_code == 200
    assert (await desk.ask("PUT", "/api/limits/account/work", {"rpm": 3}, **admin)).status_code in (404, 405)
    assert (await desk.ask("PUT", "/api/limits/provider/opnai", {"rpm": 3}, **admin)).status_code == 404
    refused = await desk.ask("PUT", whole, {}, **admin)
    assert (refused.status_code, "DELETE" in await refused.get_data(as_text=True)) == (400, True)
    listed = (await (await desk.ask("GET", "/api/limits", **admin)).get_json())["limits"]
    assert [(one["scope"], one["subject"], one["rpm"]) for one in listed] == [("installation", "", None), ("model", name, 3)]
    assert {field: listed[0]["budget"][field] for field in body["budget"]} == body["budget"]
    for path in (model, whole):
        assert (await desk.ask("DELETE", path, **admin)).status_code == 200
        assert (await desk.ask("DELETE", path, **admin)).status_code == 404
    await closed(desk)
