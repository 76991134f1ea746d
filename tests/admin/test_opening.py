"""What a page begins with: everything at once, and without what cannot be read while the database is away. C-98, R-13"""

from __future__ import annotations

from typing import Any

import pytest

from omni_connector.admin import Admin
from omni_connector.spill import Spill
from omni_connector.store.files import Away
from tests.admin.conftest import NOW, House


@pytest.fixture
async def lived_in(house: House, admin: Admin) -> None:
    await admin.add_account({"provider": "groq", "label": "beta", "api_key": "gsk_1234567890", "discover": False})
    await admin.add_account({"provider": "demo", "label": "alpha", "priority": 3})
    await admin.create_key({"name": "laptop"})


async def test_everything_comes_at_once(lived_in: None, admin: Admin) -> None:
    told = await admin.opening()
    assert (told["accounts"], told["keys"]) == ((await admin.accounts())["accounts"], (await admin.keys())["keys"])
    assert told["providers"] == (await admin.providers())["providers"]
    assert (told["requests"], told["unread"], told["system"]["database_away"]) == ([], [], None)


async def test_what_cannot_be_read_is_left_out_and_named(
    lived_in: None, house: House, admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await admin.opening()
    asked: list[Any] = []

    async def away(read: Any) -> None:
        asked.append(read)
        raise Away("The PostgreSQL database does not answer.")

    with monkeypatch.context() as patched:
        patched.setattr(house.db, "run", away)
        told = await admin.opening()
        assert [(row["label"], row["status"]) for row in told["accounts"]] == [("alpha", "ready"), ("beta", "ready")]
        assert (told["accounts"], told["keys"], told["providers"]) == (before["accounts"], before["keys"], before["providers"])
        assert (told["requests"], told["unread"]) == ([], ["activity", "requests"])
        assert told["system"]["database_away"] == {"since": NOW, "bytes": 0, "rows": 0, "new_requests": False}
        assert len(asked) <= 2, "each read that waits for a machine that is gone makes the page wait"
        house.now += 60_000
        assert (await admin.system())["database_away"]["since"] == NOW
    assert (await admin.opening())["system"]["database_away"] is None


async def test_the_spill_file_knows_better_since_when(house: House, admin: Admin, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    async def away(_read: Any) -> None:
        raise Away("gone")

    admin.spill = Spill(tmp_path, "p1", lambda: admin.settings, lambda: house.now, server=True)
    monkeypatch.setattr(house.db, "run", away)
    assert (await admin.system())["database_away"]["new_requests"] is True
    admin.spill.since, admin.spill.rows = NOW - 5000, 7
    assert (await admin.system())["database_away"] == {"since": NOW - 5000, "bytes": 0, "rows": 7, "new_requests": True}
