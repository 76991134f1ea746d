"""provider_health: what a monitor asks, from memory alone. (C-77)"""

from __future__ import annotations

from typing import Any

import pytest

from omni_connector.admin import Admin
from omni_connector.errors import GatewayError, Kind
from omni_connector.snapshot import Cooldown
from tests.admin.conftest import NOW, House


async def connect(admin: Admin, provider: str, label: str, **more: Any) -> str:
    body = {"provider": provider, "label": label, "discover": False, **({} if provider == "demo" else {"api_key": "gsk_hidden-77"}), **more}
    return str((await admin.add_account(body))["id"])


async def test_healthy_while_somebody_can_serve(house: House, admin: Admin) -> None:  # C-77
    assert (await admin.provider_health())["healthy"] is False, "nobody is connected"
    first = await connect(admin, "groq", "first", priority=5)
    second = await connect(admin, "groq", "second")
    await connect(admin, "demo", "off", enabled=False)
    told = await admin.provider_health()
    assert (told["status"], told["healthy"], told["ready"], told["total"], told["unhealthy_ratio"]) == ("ok", True, 2, 2, 0.0)
    assert [row["label"] for row in told["providers"]["groq"]["accounts"]] == ["first", "second"]
    assert (told["providers"]["demo"]["status"], told["providers"]["demo"]["counts"]["disabled"]) == ("empty", 1)
    house.pool.cool(Cooldown(first, "", NOW + 1000, "stated", "slow down"))
    told = await admin.provider_health()
    assert (told["status"], told["healthy"], told["unhealthy_ratio"]) == ("degraded", True, 0.5)
    house.pool.cool(Cooldown(second, "", NOW + 1000, "stated", "slow down"))
    assert (await admin.provider_health())["healthy"] is False
    house.now = NOW + 1000
    assert (await admin.provider_health())["healthy"] is True, "a cooldown that is over is none"
    assert "hidden-77" not in str(told)


async def test_a_monitor_says_how_much_may_be_out_and_of_whom(house: House, admin: Admin) -> None:
    cool = await connect(admin, "groq", "cool")
    await connect(admin, "groq", "well")
    await connect(admin, "demo", "demo")
    house.pool.cool(Cooldown(cool, "", NOW + 1000, "stated", "slow down"))
    for params, healthy in (
        ({"max_unhealthy": "0.5"}, True),
        ({"max_unhealthy": "0.1"}, False),
        ({"provider": "groq", "unhealthRatioThreshold": "0.4"}, False),
        ({"provider": "demo", "unhealthRatioThreshold": "0"}, True),
        ({"account": "cool"}, False),
        ({"customName": "well"}, True),
        ({"account": cool, "provider": "groq"}, False),
    ):
        assert (await admin.provider_health(params))["healthy"] is healthy, params
    assert (await admin.provider_health({"provider": "demo"}))["providers"].keys() == {"demo"}


@pytest.mark.parametrize(
    ("params", "kind", "said"),
    [
        ({"max_unhealthy": "many"}, Kind.BAD_REQUEST, "a share from 0 to 1"),
        ({"max_unhealthy": "nan"}, Kind.BAD_REQUEST, "a share from 0 to 1"),
        ({"unhealthRatioThreshold": "50"}, Kind.BAD_REQUEST, "unhealthRatioThreshold"),
        ({"providr": "demo"}, Kind.BAD_REQUEST, "provider"),
        ({"provider": "nobody"}, Kind.NOT_FOUND, "nobody"),
        ({"provider": "groq"}, Kind.NOT_FOUND, "No account"),
        ({"account": "gone"}, Kind.NOT_FOUND, "gone"),
    ],
)
async def test_a_monitor_that_asks_wrongly_is_told(admin: Admin, params: dict[str, str], kind: Kind, said: str) -> None:
    with pytest.raises(GatewayError, match=said) as caught:
        await admin.provider_health(params)
    assert caught.value.kind is kind
