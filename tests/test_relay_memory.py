"""A request that is over is gone at once, body and all: the collector looks seldom, and a failed request may have been a large one."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from omni_connector.errors import GatewayError, Kind
from omni_connector.gateway import Gateway
from omni_connector.underway import Job
from tests.live.answers import CHAT, Said
from tests.relaying import Client, House
from tests.serving import Answer

SAID = Said("all is well " * 20)
STREAM = SAID.answer(CHAT, True)
PIECES = STREAM.pieces


async def out_of_order() -> Answer:
    raise GatewayError(Kind.UPSTREAM_FAILED, "nothing answers.")


OUTCOMES: dict[str, Any] = {
    "whole": SAID.answer(CHAT, False),
    "streamed": STREAM,
    "silent for a while": Answer(pieces=[*PIECES[:3], 0.05, *PIECES[3:]], headers=STREAM.headers),
    "broken off": Answer(pieces=PIECES[:3], headers=STREAM.headers, cut=True),
    "silent for too long": Answer(pieces=PIECES[:3], headers=STREAM.headers, hang=True),
    "refused": Answer(status=400, pieces=[b'{"error":{"message":"no"}}']),
    "out of order": out_of_order,
    "never begun": Answer(hang=True),
    "unknown": None,
    "the client left": Answer(pieces=PIECES[:3], headers=STREAM.headers, hang=True),
}


@pytest.fixture
async def house(migrated_home: Path, tmp_path: Path) -> AsyncIterator[House]:
    gateway = await Gateway.open(Path(shutil.copytree(migrated_home, tmp_path / "home")), {})
    gateway.ledger.start()
    yield House(gateway)
    await asyncio.gather(*gateway._tasks)
    await gateway.ledger.close()
    await gateway.close()


async def _serve(house: House, **said: Any) -> None:
    with contextlib.suppress(asyncio.CancelledError):  # as app.py does for a client that left
        await house.gateway.relay.run(house.call(**said), Client())


@pytest.mark.parametrize("outcome", OUTCOMES)
async def test_nothing_is_left_of_a_request(house: House, outcome: str) -> None:
    for label in ("first", "second"):
        await house.account(label, OUTCOMES[outcome] or STREAM)
    house.set(max_attempts=2, first_byte=0.05, idle=0.1, keepalive=0.02, total=2)
    model = "nobody-has-it" if outcome == "unknown" else "test-model"
    gc.collect()
    gc.disable()
    try:
        task = asyncio.create_task(_serve(house, stream=outcome != "whole", model=model))
        if outcome == "the client left":
            await asyncio.sleep(0.03)
            task.cancel("left")
        await asyncio.wait([task])
        del task
        await asyncio.gather(*house.gateway._tasks)
        await asyncio.sleep(0)
        jobs = [one for one in gc.get_objects() if isinstance(one, Job)]
        assert not jobs
    finally:
        gc.enable()
