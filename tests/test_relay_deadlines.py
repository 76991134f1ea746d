"""How long an answer is waited for (relay.py, `Deadlines`)."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from omni_connector.gateway import Gateway
from tests.relaying import House
from tests.serving import Answer
from tests.test_relay import chat

SILENT: dict[str, Answer] = {
    "accepts and says nothing": Answer(hang=True),
    "stops in the middle": Answer(pieces=[b'{"id":'], hang=True),
}


@pytest.fixture
async def house(migrated_home: Path, tmp_path: Path) -> AsyncIterator[House]:
    gateway = await Gateway.open(Path(shutil.copytree(migrated_home, tmp_path / "home")), {})
    gateway.ledger.start()
    house = House(gateway)
    yield house
    await asyncio.gather(*gateway._tasks)
    await gateway.ledger.close()
    await gateway.close()


@pytest.mark.parametrize("fault", SILENT.values(), ids=SILENT)
async def test_a_whole_answer_that_does_not_come_is_given_by_another(house: House, fault: Answer) -> None:  # C-101
    house.set(whole=0.05)
    await house.account("a", fault)
    await house.account("b", chat())
    client = await house.ask()
    assert (client.status, house.network.asked) == (200, ["a", "b"])


async def test_a_whole_answer_that_falls_silent_is_not_waited_for_to_the_end(house: House) -> None:
    house.set(idle=0.05)
    await house.account("a", SILENT["stops in the middle"])
    client = await house.ask()
    assert client.status == 504 and "silent" in client.error["message"]


async def test_where_nobody_else_could_answer_a_whole_answer_is_waited_for(house: House) -> None:
    house.set(whole=0.01)

    async def thinks() -> Answer:
        await asyncio.sleep(0.05)
        return chat()

    await house.account("a", thinks)
    assert (await house.ask()).status == 200
