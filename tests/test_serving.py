"""Listeners with a tiny app behind them: what a client on the line sees when they move or end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from omni_connector.listeners import Place, Side, Sockets
from omni_connector.proxies import networks
from omni_connector.serving import Doors, Face, quiet_about_handshakes
from omni_connector.settings import SettingsError
from tests.live.processes import Line

PLACE = Place("both", "127.0.0.1", 0)


class Stage:
    """An app whose answers to /slow wait, and doors for it."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.sockets = Sockets({})
        self.seen: list[dict[str, Any]] = []
        self.doors = Doors(self.app, self.sockets, side_of, lambda: (), lambda: 5.0)

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        self.seen.append(scope)
        if scope["path"] == "/slow":
            await self.go.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok", "more_body": False})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.doors.places[-1][1]}"


def side_of(path: str) -> Side:
    return "client" if path.startswith("/v1/") else "both" if path == "/health" else "admin"


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    found = Stage()
    assert await found.doors.follow([PLACE])
    yield found
    found.go.set()
    await found.doors.end(1.0)
    found.sockets.close()


async def test_what_runs_goes_on_where_nobody_is_let_in_any_more(stage: Stage) -> None:
    async with Line.open(stage.url) as busy, Line.open(stage.url) as idle:
        assert (await idle.ask("GET", "/a")).status == 200
        busy.writer.write(busy.request("GET", "/slow"))
        while len(stage.seen) < 2:
            await asyncio.sleep(0)
        old = stage.url
        assert not await stage.doors.follow([PLACE])
        assert await stage.doors.follow([Place("both", "localhost", 0)])
        assert stage.url != old
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", int(old.rpartition(":")[2]))
        again = await idle.ask("GET", "/a")
        assert (again.status, again.headers["connection"]) == (200, "close")
        assert await idle.closed()
        stage.go.set()
        reply = await busy.reply()
        assert (reply.status, reply.body, reply.headers["connection"]) == (200, b"ok", "close")


async def test_a_listener_changes_its_side_at_the_same_address(stage: Stage) -> None:
    port = stage.doors.places[0][1]
    assert await stage.doors.follow([Place("client", "127.0.0.1", 0)])
    assert stage.doors.places[0][1] == port
    for path, status in (("/v1/models", 200), ("/health", 200), ("/", 404), ("/api/system", 404)):
        async with Line.open(stage.url) as line:
            reply = await line.ask("GET", path)
            assert reply.status == status, path
    assert b"There is no GET /api/system here" in reply.body


async def test_nothing_changes_when_one_place_cannot_be_had(stage: Stage) -> None:
    taken = stage.doors.places[0][1]
    with pytest.raises(OSError):
        await stage.doors.follow([Place("client", "localhost", 0), Place("admin", "127.0.0.1", taken)])
    with pytest.raises(SettingsError):
        await stage.doors.follow([Place("client", "localhost", 0), Place("admin", "localhost", 0, "/nowhere.pem", "/nowhere.key")])
    assert [place for place, _ in stage.doors.places] == [PLACE] and len(stage.sockets.all()) == 1
    async with Line.open(stage.url) as line:
        assert (await line.ask("GET", "/")).status == 200


async def test_the_end_is_prompt_for_those_who_wait_and_hard_for_those_who_stay(stage: Stage) -> None:
    async with Line.open(stage.url) as idle, Line.open(stage.url) as busy:
        assert (await idle.ask("GET", "/a")).status == 200
        busy.writer.write(busy.request("GET", "/slow"))
        while len(stage.seen) < 2:
            await asyncio.sleep(0)
        await stage.doors.end(0.05)
        assert await idle.closed()
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            assert (await busy.reply()).status >= 500


async def test_a_trusted_proxy_names_the_client() -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["client"][0])

    face = Face(app, "both", side_of, lambda: networks(("127.0.0.1",)))
    await face({"type": "http", "path": "/", "client": ("127.0.0.1", 1), "headers": [(b"x-forwarded-for", b"192.0.2.1")]}, app, app)  # type: ignore[arg-type]
    assert seen == ["192.0.2.1"]


async def test_a_body_with_two_lengths_is_refused() -> None:
    """By whatever server reads it: not all of them look."""
    told: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        told.append("the app was asked")

    async def send(message: Any) -> None:
        told.append((message.get("status"), dict(message.get("headers", ())).get(b"connection")))

    face = Face(app, "both", side_of, lambda: ())
    for names in ((b"content-length", b"transfer-encoding"), (b"Transfer-Encoding", b"Content-Length")):
        scope = {"type": "http", "method": "POST", "path": "/v1/messages", "headers": [(name, b"5") for name in names]}
        await face(scope, app, send)  # type: ignore[arg-type]
    assert told == [(400, b"close"), (None, None)] * 2


async def test_who_speaks_no_tls_is_none_of_our_errors() -> None:
    import ssl

    told: list[dict[str, Any]] = []

    class Loop:
        def default_exception_handler(self, context: dict[str, Any]) -> None:
            told.append(context)

    for error in (ssl.SSLError("no"), ConnectionResetError(), ValueError()):
        quiet_about_handshakes(Loop(), {"exception": error})  # type: ignore[arg-type]
    assert [type(context["exception"]) for context in told] == [ValueError]
