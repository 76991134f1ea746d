"""Prices over HTTP, ids with slashes and patterns included."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.desk import closed, opened


async def test_set_and_removed_by_route(migrated_home: Path, tmp_path: Path) -> None:
    desk = await opened(migrated_home, tmp_path / "home")
    admin: Any = desk.admin
    name = "meta-llama/llama-3*?"
    path = f"/api/prices/{quote(name, safe='')}"
    answer = await desk.ask("PUT", path, {"input": "0.1", "output": 0.2, "provider": "groq"}, **admin)
    assert (answer.status_code, (await answer.get_json())["pattern"]) == (200, name)
    assert (await desk.ask("PUT", path, {"input": "0.1"}, **admin)).status_code == 400
    assert (await desk.ask("PUT", path, {"per_request": "1"})).status_code in (401, 403)
    listed = await (await desk.ask("GET", "/api/prices", **admin)).get_json()
    assert [(p["pattern"], p["provider"], p["output"]) for p in listed["prices"]] == [(name, "groq", "0.2")]
    looked = await desk.ask("POST", "/api/prices/reprice", {"from": "1d"}, **admin)
    assert (await looked.get_json())["dry_run"] is True, "nothing is changed unasked"
    assert (await desk.ask("DELETE", path, **admin)).status_code == 404
    assert (await desk.ask("DELETE", f"{path}?provider=groq", **admin)).status_code == 200
    await closed(desk)
