"""The admin API under the names that other gateways' users know, and what a change in one process means for the others."""

from __future__ import annotations

import asyncio
import io
import zipfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from omni_connector.gateway import Gateway
from tests.desk import Desk, closed, opened

Json = dict[str, Any]
Ask = Callable[..., Any]


@pytest.fixture
async def desk(migrated_home: Path, tmp_path: Path) -> AsyncIterator[Desk]:
    desk = await opened(migrated_home, tmp_path / "home")
    yield desk
    await closed(desk)


@pytest.fixture
def ask(desk: Desk) -> Ask:
    async def asked(method: str, path: str, body: Any = None) -> tuple[int, Json]:
        answer = await desk.ask(method, path, body, **desk.admin)
        return answer.status_code, await answer.get_json()

    return asked


async def test_an_account_by_its_provider(ask: Ask) -> None:  # C-69, C-70, C-71
    _, made = await ask("POST", "/api/accounts", {"provider": "demo", "label": "one", "discover": False})
    for wanted in ("one", made["id"]):
        at = f"/api/providers/demo/{wanted}"
        assert (await ask("GET", at))[1]["id"] == made["id"]
        assert (await ask("PUT", at, {"priority": 7}))[1]["priority"] == 7
        assert (await ask("PATCH", at, {"priority": 8}))[1]["priority"] == 8
        assert (await ask("POST", f"{at}/disable"))[1]["status"] == "disabled"
        assert (await ask("POST", f"{at}/enable"))[1]["status"] == "ready"
        assert (await ask("POST", f"{at}/test"))[1]["ok"] is True
        assert (await ask("POST", f"{at}/probe"))[0] == 200
    for at in ("openai/one", "demo/onw", "nosuch/one"):
        assert (await ask("PUT", f"/api/providers/{at}", {"priority": 1}))[0] == 404
    assert "'one'" in (await ask("GET", "/api/providers/demo/onw"))[1]["error"]["message"]
    assert (await ask("DELETE", "/api/providers/demo/one"))[1] == {"id": made["id"], "label": "one", "removed": True}
    assert (await ask("GET", "/api/accounts"))[1] == {"accounts": []}


async def test_the_configuration_is_read_changed_and_read_anew(ask: Ask, desk: Desk) -> None:  # C-74, C-75, C-76, R-50
    assert (await ask("POST", "/api/config", {"strategy": "cost", "retention_days": 7}))[0] == 200
    values = {setting["name"]: setting["value"] for setting in (await ask("GET", "/api/config"))[1]["settings"]}
    assert (values["strategy"], values["retention_days"], desk.gateway.settings.strategy) == ("cost", 7, "cost")
    assert (await ask("POST", "/api/config", {"strategy": "luck", "retention_days": 8}))[0] == 400
    assert desk.gateway.settings.retention_days == 7, "all or none"
    assert (await ask("POST", "/api/reload-config"))[1]["version"] > 0


async def test_what_runs(ask: Ask) -> None:  # C-78, C-79
    _, system = await ask("GET", "/api/system")
    assert system["memory_mb"] > 1 and system["cpu_s"] > 0 and system["uptime_s"] >= 0
    _, mode = await ask("GET", "/api/service-mode")
    assert mode["mode"] in ("single", "none") and mode["version"] == system["version"]


async def test_files_go_out_with_their_secrets_masked(ask: Ask, desk: Desk) -> None:  # C-84…C-87
    (desk.gateway.home / ".env").write_text("OPENAI_API_KEY=hush-hush-hush\n")
    (desk.gateway.home / "logs" / "a b.log.1").write_text("old\n")
    status, told = await ask("GET", "/api/upload-configs")
    assert status == 200 and {".env", "master.key", "logs/a b.log.1"} <= {row["path"] for row in told["files"]}
    assert "hush" not in (await ask("GET", "/api/upload-configs/view/.env"))[1]["content"]
    assert (await ask("GET", "/api/upload-configs/view/master.key"))[0] == 403
    assert (await ask("GET", "/api/upload-configs/view/logs%2Fa%20b.log.1"))[1]["content"] == "old\n"
    answer = await desk.ask("GET", "/api/upload-configs/download-all", **desk.admin)
    assert answer.content_type == "application/zip"
    with zipfile.ZipFile(io.BytesIO(await answer.get_data(as_text=False))) as archive:
        assert b"hush" not in archive.read(".env") and "master.key" not in archive.namelist()
    assert (await ask("DELETE", "/api/upload-configs/delete/logs/a%20b.log.1"))[1]["removed"] is True
    assert not (desk.gateway.home / "logs" / "a b.log.1").exists()
    assert (await desk.ask("GET", "/api/upload-configs")).status_code == 401


CHANGES: tuple[tuple[str, str, str, Json | None, Callable[[Gateway], object], object], ...] = (
    ("settings", "POST", "/api/config", {"strategy": "lru"}, lambda g: g.settings.strategy, "lru"),
    ("an account", "POST", "/api/accounts", {"provider": "demo", "label": "two", "discover": False}, lambda g: "two" in _labels(g), True),
    ("a key", "POST", "/api/keys", {"name": "late"}, lambda g: "late" in {key.name for key in g.snapshot.keys.values()}, True),
    ("an alias", "PUT", "/api/aliases/fast", {"targets": ["demo"]}, lambda g: "fast" in g.snapshot.aliases, True),
    ("a chain", "PUT", "/api/chains/safe", {"tiers": [["one"]]}, lambda g: "safe" in g.snapshot.chains, True),
    ("a price", "PUT", "/api/prices/gpt-x", {"input": "1", "output": "2"}, lambda g: [p.pattern for p in g.snapshot.prices], ["gpt-x"]),
    ("a limit", "PUT", "/api/limits/installation", {"rpm": 9}, lambda g: [one.rpm for one in g.snapshot.limits], [9]),
    ("a provider", "POST", "/api/providers/demo/disable", None, lambda g: bool(g.snapshot.accounts[0].switched_off), True),
    ("the router", "POST", "/v1/router/config/strategy/cost", None, lambda g: g.settings.strategy, "cost"),
)


def _labels(gateway: Gateway) -> set[str]:
    return {account.label for account in gateway.snapshot.accounts}


async def test_a_change_is_one_in_every_process(desk: Desk, ask: Ask) -> None:
    """Two gateways on one home: what one is told holds in the other before anybody could ask twice."""
    other = await Gateway.open(desk.gateway.home, {})
    moved = asyncio.Event()

    async def follow(version: int) -> None:
        await other._moved(version)
        moved.set()

    await other.db.watch(follow, since=other.snapshot.version)
    try:
        assert (await ask("POST", "/api/accounts", {"provider": "demo", "label": "one", "discover": False}))[0] == 201
        for what, method, path, body, look, wanted in CHANGES:
            status, told = await ask(method, path, body)
            assert status in (200, 201), (what, told)
            async with asyncio.timeout(30):
                while look(other) != wanted:
                    moved.clear()
                    await moved.wait()
    finally:
        await other.close()
