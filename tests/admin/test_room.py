from pathlib import Path

import pytest

from omni_connector import settings
from omni_connector.admin import Admin, Process, now_ms
from omni_connector.store import settings as table
from tests.admin.conftest import House


async def test_a_change_is_durable_and_effective_before_it_is_answered(house: House) -> None:
    await house.admin._change(lambda conn: table.set_setting(conn, "strategy", "cost"))
    assert house.admin.settings.strategy == "cost"
    assert await house.db.run(table.all_settings) == {"strategy": "cost"}


async def test_a_change_that_fails_leaves_nothing(house: House) -> None:
    def breaks(conn: object) -> None:
        table.set_setting(conn, "strategy", "cost")  # type: ignore[arg-type]
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        await house.admin._change(breaks)
    assert await house.db.run(table.all_settings) == {}


async def test_it_works_without_a_pool_and_without_providers(house: House, tmp_path: Path) -> None:
    admin = Admin(
        house.db,
        house.vault,
        settings.Settings(),
        snapshot=lambda: house.snapshot,
        reload=house.reload,
        publish=lambda name, value: None,
        process=Process(now_ms(), tmp_path, ""),
    )
    added = await admin.add_account({"provider": "openai", "api_key": "sk-abcdefgh12345678"})
    assert added["test"]["ok"] is False
    assert "Not tested" in added["test"]["message"]
    assert (added["status"], added["in_flight"]) == ("ready", 0)
    assert (await admin.system())["in_flight"] == 0
