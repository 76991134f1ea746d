"""Streams whose end the books do not take: the disk fills up while they run."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from omni_connector.gateway import Gateway
from tests.live.answers import CHAT, MESSAGES, Said
from tests.live.answers_more import GEMINI, RESPONSES
from tests.relaying import Client, House

Json = dict[str, Any]
OK = Said("all is well")


@pytest.fixture
async def house(migrated_home: Path, tmp_path: Path) -> AsyncIterator[House]:
    gateway = await Gateway.open(Path(shutil.copytree(migrated_home, tmp_path / "home")), {})
    gateway.ledger.start()
    yield House(gateway)
    await asyncio.gather(*gateway._tasks)
    await gateway.ledger.close()
    await gateway.close()


@pytest.mark.parametrize("wire", [CHAT, MESSAGES, GEMINI, RESPONSES])
@pytest.mark.parametrize("theirs", [CHAT, MESSAGES])
async def test_a_stream_whose_row_cannot_be_closed_has_no_clean_end(
    house: House, monkeypatch: pytest.MonkeyPatch, wire: str, theirs: str
) -> None:
    """The disk fills up while it runs: its last bytes, which are held back for the books, are an error."""
    from omni_connector import ledger

    monkeypatch.setattr(ledger, "RETRIES", ())
    await house.account("a", OK.answer(theirs, True), provider="groq" if theirs == CHAT else "anthropic")
    real = house.gateway.ledger._write

    async def full(opens: Sequence[Json], settles: Sequence[Json], *more: Any) -> Any:
        if settles:
            raise OSError("disk full")
        return await real(opens, settles, *more)

    house.gateway.ledger._write = full
    asked: Json = {"input": "hi"} if wire == RESPONSES else {"contents": [{"parts": [{"text": "hi"}]}]} if wire == GEMINI else {}
    call = house.call(wire=wire, streamed=True, **asked)
    client = Client()
    await house.gateway.relay.run(replace(call, model="test-model", stream=True) if wire == GEMINI else call, client)
    house.gateway.ledger._write = real
    assert (client.status, client.ended) == (200, True)
    last = client.body.rstrip().split(b"\n\n")[-1].split(b"\r\n\r\n")[-1]
    assert b"put on record" in last, client.body
