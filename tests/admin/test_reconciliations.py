from __future__ import annotations

import json
from typing import Any

import pytest

from omni_connector.admin import Admin
from omni_connector.errors import GatewayError
from omni_connector.providers.command_values import MASK
from omni_connector.store import reconciliations as table
from tests.admin.conftest import House

KEY = "sk-admin-0123456789"
WORK = {"provider": "openai", "label": "work", "api_key": "sk-0123456789abcdef", "discover": False}


async def key_of(house: House) -> str:
    (account,) = house.snapshot.accounts
    assert "usage_key" not in account.options
    return account.usage_key


async def test_a_second_key_is_written_and_never_shown(house: House, admin: Admin) -> None:
    added = await admin.add_account({**WORK, "options": {"usage_key": KEY, "usage_project": "proj_1"}})
    assert added["options"] == {"usage_key": MASK, "usage_project": "proj_1"} and await key_of(house) == KEY
    seen = json.dumps([added, await admin.accounts(), house.events, await admin.reconciliations()])
    assert KEY not in seen

    async def edit(options: dict[str, Any]) -> str:
        await admin.edit_account(added["id"], {"options": options, "discover": False})
        return await key_of(house)

    assert await edit({**added["options"], "usage_project": "proj_2"}) == KEY, "sent back as it was shown, it stays"
    await admin.edit_account(added["id"], {"label": "home"})
    assert await key_of(house) == KEY
    assert await edit({"usage_key": "sk-admin-new"}) == "sk-admin-new" and await edit({}) == ""
    for wrong in (MASK, 5):
        with pytest.raises(GatewayError) as caught:
            await edit({"usage_key": wrong})
        assert caught.value.param == "options.usage_key"


async def test_the_days_and_who_is_compared(house: House, admin: Admin) -> None:
    work = await admin.add_account({**WORK, "options": {"usage_key": KEY}})
    await admin.add_account({**WORK, "label": "plain", "provider": "anthropic"})
    await admin.add_account({**WORK, "label": "other", "provider": "groq"})
    day = {"provider": "openai", "state": "differs", "scope": "organisation", "words": "…", "unpriced": 0, "at": 5}
    for name, theirs, when in ((work["id"], 2_000_000_000, "2026-11-16"), ("acc_gone", None, "2026-11-15"), (work["id"], 1, "2026-01-01")):
        row = {**day, "account_id": name, "label": "gone", "day": when, "theirs_nano": theirs, "ours_nano": 500_000_000}
        await house.db.tx(lambda conn, row=row: table.put(conn, row))  # type: ignore[misc]
    told = await admin.reconciliations()
    first, second = told["days"]
    assert (first["day"], first["account"]["label"], first["theirs_usd"], first["ours_usd"], first["difference_usd"]) == (
        "2026-11-16", "work", "2.000000", "0.500000", "1.500000",
    )  # fmt: skip
    assert (second["account"]["label"], second["theirs_usd"], second["difference_usd"]) == ("gone", None, None)
    assert [(one["label"], one["compared"]) for one in told["accounts"]] == [("plain", False), ("work", True)]
    assert "this key may not read usage" in told["accounts"][0]["words"] and told["accounts"][1]["words"] == ""
    assert len((await admin.reconciliations({"days": "400"}))["days"]) == 3
    for wrong in ({"days": "0"}, {"days": "x"}, {"since": "1"}):
        with pytest.raises(GatewayError):
            await admin.reconciliations(wrong)
