"""The life of a request whose bytes only pass (pictures, sounds, verdicts), and what an answer leaves for later ones."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from omni_connector import relay as module
from omni_connector.errors import GatewayError, Kind
from omni_connector.gateway import Gateway
from omni_connector.relay import LEFT
from tests.live.answers import CHAT, Said
from tests.live.answers_more import RESPONSES, told
from tests.relaying import Client, House
from tests.serving import Answer, whole

Json = dict[str, Any]
ENDPOINTS = {"speech": "/v1/audio/speech", "image": "/v1/images/generations", "transcription": "/v1/audio/transcriptions"}
SOUND, EVENTS, JSON = {"content-type": "audio/mpeg"}, {"content-type": "text/event-stream"}, {"content-type": "application/json"}
PARTIAL = b'data: {"type":"image_generation.partial_image","b64_json":"AAAA"}\n\n'
FAILED = b'event: error\ndata: {"type":"error","error":{"message":"out of paint","type":"server_error"}}\n\n'
BUSY = b'{"error":{"message":"out of paint","type":"server_error"}}'


@pytest.fixture
async def house(migrated_home: Path, tmp_path: Path) -> AsyncIterator[House]:
    gateway = await Gateway.open(Path(shutil.copytree(migrated_home, tmp_path / "home")), {})
    gateway.ledger.start()
    house = House(gateway)
    yield house
    await asyncio.gather(*gateway._tasks)
    await gateway.ledger.close()
    await gateway.close()


async def ask(house: House, kind: str, *, streamed: bool = False) -> Client:
    client = Client()
    call = replace(house.call(streamed=streamed), wire=kind, endpoint=ENDPOINTS[kind], headers={"content-type": "application/json"})
    async with asyncio.timeout(30):
        await house.gateway.relay.run(call, client)
    assert all(exchange.closed for exchange in house.network.exchanges)
    assert house.gateway.relay.active == 0
    return client


# ---------------------------------------------------------------- Before the first byte, another account may


@pytest.mark.parametrize(
    ("kind", "streamed", "answer"),
    [
        ("speech", False, Answer(200, SOUND, [])),
        ("speech", False, Answer(204, {}, [])),
        ("speech", False, Answer(200, JSON, [BUSY])),
        ("speech", False, Answer(200, SOUND, [], cut=True)),
        ("image", False, Answer(200, JSON, [])),
        ("image", False, Answer(200, JSON, [BUSY])),
        ("image", False, Answer(200, JSON, [b'{"data":['], cut=True)),
        ("image", True, Answer(200, JSON, [BUSY])),
        ("image", True, Answer(200, EVENTS, [FAILED])),
        ("image", True, Answer(200, EVENTS, [b": still painting\n\n"])),
        ("image", True, Answer(500, JSON, [BUSY])),
    ],
)
async def test_what_failed_before_it_began_is_done_by_another(house: House, kind: str, streamed: bool, answer: Answer) -> None:
    await house.account("a", answer)
    await house.account("b", Answer(200, SOUND, [b"good", b" bytes"]))
    client = await ask(house, kind, streamed=streamed)
    assert (client.status, client.body, client.ended) == (200, b"good bytes", True)
    assert (client.headers["content-type"], client.headers["x-omni-attempts"]) == ("audio/mpeg", "2")
    row = await house.row()
    assert (row["outcome"], [each["kind"] for each in row["attempts"]]) == ("ok", ["upstream_failed", None])
    assert house.cooling() == {"a"}


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (404, "Unknown request URL: POST /openai/v1/audio/speech."),
        (405, "Method Not Allowed"),
        (501, "not implemented"),
        (404, "The model `test-model` does not exist"),
        (403, "You are not allowed to generate embeddings from this model"),
    ],
)
async def test_what_an_account_does_not_do_takes_nothing_else_from_it(house: House, status: int, words: str) -> None:
    """Else any client could stop conversations with a model by asking it for pictures."""
    no = whole({"error": {"message": words, "type": "invalid_request_error"}}, status)
    await house.account("a", no, Said("all is well").answer(CHAT, False))
    await house.account("b", Answer(200, SOUND, [b"la"]))
    client = await ask(house, "speech")
    assert (client.status, client.body, house.network.asked) == (200, b"la", ["a", "b"])
    assert house.cooling() == set()
    assert (await house.ask(wire=CHAT)).headers["x-omni-account"] == "a"


async def test_who_has_an_endpoint_means_the_request_by_a_404(house: House) -> None:
    """Else one client's wrong voice would take the endpoint from all others, for as long as such an answer is believed."""
    sound = Answer(200, SOUND, [b"la"])
    await house.account("a", sound, whole({"detail": "Voice 'alois' not found"}, 404), sound)
    statuses = [(await ask(house, "speech")).status for _ in range(3)]
    assert (statuses[0], statuses[2]) == (200, 200) and statuses[1] >= 400
    assert (len(house.network.asked), house.cooling()) == (3, set())


async def test_a_transcript_of_silence_is_empty_and_good(house: House) -> None:
    await house.account("a", Answer(200, {"content-type": "text/plain; charset=utf-8"}, []))
    client = await ask(house, "transcription")
    assert (client.status, client.body, (await house.row())["outcome"]) == (200, b"", "ok")


async def test_a_picture_told_whole_although_a_stream_was_asked_for(house: House) -> None:
    usage = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
    await house.account("a", whole({"data": [{"b64_json": "AAAA"}], "usage": usage}))
    client = await ask(house, "image", streamed=True)
    assert client.json["data"] and client.headers["content-type"] == "application/json"
    assert ((await house.row())["usage"]["output"], (await house.row())["usage"]["source"]) == (4, "reported")


async def test_bytes_of_sounds_are_no_tokens(house: House) -> None:
    """Also where the process dies before the provider has told any: the row then counts what was estimated at first."""
    await house.account("a", Answer(200, SOUND, [b"x"]))
    opened: list[Json] = []
    real = house.gateway.ledger.open

    def opening(row: Json) -> asyncio.Future[None]:
        opened.append(row)
        return real(row)

    house.gateway.ledger.open = opening  # type: ignore[method-assign]
    await ask(house, "speech")
    await house.ask(wire=CHAT)
    assert [row["est_input"] > 0 for row in opened] == [False, True]


# ---------------------------------------------------------------- After it, the client must notice


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        ("speech", Answer(200, SOUND, [b"half a s"], cut=True)),
        ("image", Answer(200, EVENTS, [PARTIAL, PARTIAL[:20]], cut=True)),
        ("image", Answer(200, EVENTS, [PARTIAL, PARTIAL[:-1], b"\n" + FAILED])),
    ],
)
async def test_half_of_an_answer_never_ends_well(house: House, kind: str, answer: Answer) -> None:
    """Nothing can be said in the middle of a sound or of an event, so the connection breaks off."""
    await house.account("a", answer)
    client = await ask(house, kind, streamed=kind == "image")
    assert (client.status, client.ended) == (200, False)
    row = await house.row()
    assert (row["outcome"], row["flag"], row["usage"]["source"]) == ("cut", "UPSTREAM", "none")
    assert house.cooling() == {"a"}


@pytest.mark.parametrize("answer", [Answer(200, EVENTS, [PARTIAL, FAILED]), Answer(200, EVENTS, [PARTIAL], cut=True)])
async def test_between_events_the_failure_is_told(house: House, answer: Answer) -> None:
    await house.account("a", answer)
    client = await ask(house, "image", streamed=True)
    assert client.ended and client.body.startswith(PARTIAL)
    error = json.loads(client.body.removeprefix(PARTIAL).removeprefix(b"data: "))["error"]
    assert error["message"].endswith(("out of paint", "broke off."))
    assert (await house.row())["outcome"] == "cut"


async def test_a_client_that_leaves_a_sound(house: House) -> None:
    await house.account("a", Answer(200, SOUND, [b"la"], hang=True))
    client = Client()
    call = replace(house.call(), wire="speech", endpoint=ENDPOINTS["speech"], headers={"content-type": "application/json"})
    run = asyncio.create_task(house.gateway.relay.run(call, client))
    while not client.body:
        await asyncio.sleep(0)
    run.cancel(LEFT)
    with pytest.raises(asyncio.CancelledError):
        await run
    assert house.network.exchanges[0].closed
    while house.gateway.ledger.waiting:
        await asyncio.sleep(0)
    await house.gateway.ledger.settle({"id": "none", "settled_at": 1})
    row = await house.row()
    assert (row["outcome"], row["usage"]["source"]) == ("client_left", "none")


# ---------------------------------------------------------------- What is left for later requests costs no answer


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("fault", ["kept_rows", "seal", "settle"])
async def test_an_answer_that_cannot_be_kept_is_an_answer(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fault: str, streamed: bool
) -> None:  # C-23
    async def broken(*_: Any, **__: Any) -> Any:
        raise GatewayError(Kind.BAD_REQUEST, "no JSON after all")

    def refused(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("deep inside")

    if fault == "kept_rows":
        monkeypatch.setattr(module, "kept_rows", refused)
    elif fault == "seal":
        house.gateway.relay._doors = replace(house.gateway.relay._doors, seal=broken)
    else:
        house.gateway.relay._doors = replace(house.gateway.relay._doors, price=refused)
    await house.account("a", told(Said("all is well"), RESPONSES, streamed), provider="openai-responses")
    client = await house.ask(wire=RESPONSES, streamed=streamed, input="hi", messages=None)
    assert client.status == 200 and b"all is well" in client.body
    assert (await house.row())["outcome"] == "ok"
    assert "cannot be kept" in caplog.text or fault == "settle"


async def test_who_leaves_while_the_answer_is_being_put_by_still_has_a_settled_row(house: House) -> None:
    gate = asyncio.Event()

    async def slow(rows: Any) -> Any:
        gate.set()
        await asyncio.get_running_loop().create_future()

    house.gateway.relay._doors = replace(house.gateway.relay._doors, seal=slow)
    await house.account("a", told(Said("all is well"), RESPONSES, False), provider="openai-responses")
    run = asyncio.create_task(house.gateway.relay.run(house.call(wire=RESPONSES, input="hi", messages=None), Client()))
    await asyncio.wait_for(gate.wait(), 30)
    run.cancel(LEFT)
    with pytest.raises(asyncio.CancelledError):
        await run
    await house.gateway.ledger.settle({"id": "none", "settled_at": 1})
    assert (await house.row())["outcome"] == "client_left"
