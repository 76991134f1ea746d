"""The client API's POSTs at the door (`ClientApi`), as an ASGI server hands them over: message by message, without a socket.

What real sockets add to it is in tests/live/test_hostile_http.py and tests/live/test_leaving.py.
"""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import app as module
from omni_connector.connections import TELLS_END
from omni_connector.gateway import Gateway
from tests.desk import HERE, Desk, closed, opened
from tests.live.answers import CHAT, Said
from tests.relaying import House
from tests.serving import Answer

Json = dict[str, Any]
PATH = "/v1/chat/completions"
BODY = json.dumps({"model": "test-model", "messages": [{"role": "user", "content": "hi"}]}).encode()
ALL = {"type": "http.request", "body": BODY, "more_body": False}
GONE = {"type": "http.disconnect"}


def piece(data: bytes, *, more: bool = True) -> Json:
    return {"type": "http.request", "body": data, "more_body": more}


@dataclass
class Line:
    """One request as a server hands it over. `coming`: what the client still sends; then it waits for its answer. `pause`: seconds before
    each message, the last of which comes again and again then."""

    desk: Desk
    coming: list[Json] = field(default_factory=list)
    pause: float = 0.0
    leaves: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the client hangs up after all that it sent."""
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    left_when_told: int = -1
    """Messages of the client that nobody had taken when the answer began."""
    tells: bool = False
    """As our own server does, by calling `tell`."""
    tell: Callable[[], None] | None = None

    def on_end(self, tell: Callable[[], None] | None) -> None:
        self.tell = tell

    async def receive(self) -> Json:
        await asyncio.sleep(self.pause)
        if not self.coming:
            await self.leaves.wait()
            return GONE
        return self.coming.pop(0) if len(self.coming) > 1 or not self.pause else self.coming[0]

    async def send(self, message: Json) -> None:
        if message["type"] == "http.response.start":
            self.status, self.left_when_told = message["status"], len(self.coming)
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        self.body += message.get("body", b"")

    async def run(self, key: str = "", *, method: str = "POST", path: str = PATH, **headers: str) -> Line:
        sent = {"host": "localhost:38471", **({"authorization": f"Bearer {key}"} if key else {}), **headers}
        scope = {
            "type": "http", "method": method, "path": path, "query_string": b"", "headers": [
                (name.replace("_", "-").encode(), value.encode()) for name, value in sent.items()
            ], **HERE, "extensions": {TELLS_END: self.on_end} if self.tells else {},
        }  # fmt: skip
        app: Any = self.desk.app.asgi_app
        async with asyncio.timeout(30):
            await app(scope, self.receive, self.send)
        return self

    @property
    def words(self) -> str:
        return str(json.loads(self.body)["error"]["message"])


async def asked(desk: Desk, *coming: Json, key: str = "", **more: Any) -> Line:
    return await Line(desk, list(coming or [ALL])).run(key, **more)


@pytest.fixture
async def desk(migrated_home: Path, tmp_path: Path) -> AsyncIterator[Desk]:
    desk = await opened(migrated_home, tmp_path / "home", OMNI_BODY_LIMIT_MB="1")
    yield desk
    await closed(desk)


@pytest.fixture
async def key(desk: Desk) -> str:
    return str((await desk.gateway.admin.create_key({"name": "client"}))["key"])


async def rows(gateway: Gateway) -> Sequence[Json]:
    found: list[Json] = (await gateway.admin.requests({}))["requests"]
    return found


# ---------------------------------------------------------------- The head


async def test_only_a_post_is_taken(desk: Desk, key: str) -> None:
    for method in ("GET", "PUT", "DELETE", "OPTIONS"):
        line = await asked(desk, key=key, method=method)
        assert (line.status, line.headers["allow"]) == (405, "POST"), method


async def test_a_compressed_body_is_refused_in_words(desk: Desk, key: str) -> None:
    line = await asked(desk, piece(gzip.compress(BODY), more=False), key=key, content_encoding="gzip")
    assert line.status == 415 and "Compressed request bodies are not taken" in line.words
    assert (await asked(desk, key=key, content_encoding="identity")).status == 503, "nobody is connected"


async def test_who_is_refused_is_heard_out_first(desk: Desk, key: str) -> None:
    """A client that is still sending would not see the answer."""
    for line in (
        await asked(desk, piece(b"{"), piece(b" " * 1000), piece(b"}", more=False)),
        await asked(desk, piece(b"{"), piece(b"}", more=False), method="PUT", key=key),
    ):
        assert line.status in (401, 405) and line.left_when_told == 0
    assert (await asked(desk, piece(b"{"), GONE)).status == 0, "who has left is told nothing"


async def test_a_key_that_another_process_has_just_made_opens(desk: Desk) -> None:
    other = await Gateway.open(desk.gateway.home, {})
    key = (await other.admin.create_key({"name": "new"}))["key"]
    await other.close()
    desk.gateway.has_siblings = True
    assert (await asked(desk, key=key)).status == 503, "the key is good, nobody is connected"


async def test_the_last_use_of_a_key_is_known(desk: Desk, key: str) -> None:
    await asked(desk, key=key)
    await desk.gateway.catch_breath()
    (shown,) = (await desk.gateway.admin.keys())["keys"]
    assert shown["last_used_at"] is not None


# ---------------------------------------------------------------- The body


async def test_a_body_is_as_large_as_the_limit_and_no_larger(desk: Desk, key: str) -> None:
    mega = 1 << 20
    fits = BODY + b" " * (mega - len(BODY))
    assert (await asked(desk, piece(fits[:1000]), piece(fits[1000:], more=False), key=key)).status == 503, "nobody is connected"
    line = await asked(desk, piece(fits), piece(b" "), piece(b" ", more=False), key=key)
    assert line.status == 413 and "larger than 1 MB" in line.words
    assert line.left_when_told == 0, "read to its end, so that the client sees it"
    assert len(await rows(desk.gateway)) == 1


async def test_a_body_that_does_not_come_is_not_waited_for(desk: Desk, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BODY_S", 0.3)
    silent, stopped, dribbling = Line(desk, []), Line(desk, [piece(b"{")]), Line(desk, [piece(b" ")], pause=0.02)
    for line in (silent, stopped, dribbling):
        await line.run(key)
        assert line.status == 408 and "did not come" in line.words
    assert not await rows(desk.gateway), "nothing was asked, so nothing is booked"


async def test_who_leaves_before_the_body_is_complete_is_not_served(desk: Desk, key: str) -> None:
    assert (await asked(desk, piece(BODY), GONE, key=key)).status == 0
    assert not await rows(desk.gateway)


# ---------------------------------------------------------------- The answer


@pytest.mark.parametrize("tells", [False, True], ids=["asked", "told"])
@pytest.mark.parametrize("begun", [False, True], ids=["waiting", "streaming"])
async def test_who_hangs_up_ends_the_request_wherever_it_is(desk: Desk, key: str, begun: bool, tells: bool) -> None:
    house = House(desk.gateway)
    said = [block for block in Said("all is well").answer(CHAT, True).pieces if isinstance(block, bytes)][:3]
    await house.account("a", Answer(200, {"content-type": "text/event-stream"}, [*said] if begun else [], hang=True))
    line = Line(desk, [piece(BODY[:-1] + b',"stream":true}', more=False)])
    line.tells = tells
    run = asyncio.create_task(line.run(key))
    async with asyncio.timeout(30):
        while not (line.body if begun else house.network.exchanges):
            await asyncio.sleep(0)
    if tells:
        assert line.tell is not None
        line.tell()
    else:
        line.leaves.set()
    await run
    assert line.tell is None, "nobody is told of what is over"
    assert bool(line.status) == begun and all(exchange.closed for exchange in house.network.exchanges)
    await desk.gateway.ledger.rest()
    (row,) = await rows(desk.gateway)
    assert (row["outcome"], row["flag"], row["http_status"]) == ("client_left", "CLIENT_LEFT", 499)


async def test_every_answer_names_the_request_and_may_not_be_guessed_at(desk: Desk, key: str) -> None:
    house = House(desk.gateway)
    await house.account("a", Said("all is well").answer(CHAT, False))
    served, refused = await asked(desk, key=key), await asked(desk)
    assert (served.status, served.headers["x-omni-account"], refused.status) == (200, "a", 401)
    assert served.headers["x-omni-request-id"] == (await rows(desk.gateway))[0]["id"]
    assert {line.headers["x-content-type-options"] for line in (served, refused)} == {"nosniff"}
