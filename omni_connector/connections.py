"""HTTP/1.1 connections of Hypercorn without h11: what comes and goes there is in `speaking`.

One timer for each connection takes the place of a task for each request. Hypercorn keeps what it does well: the socket, TLS, HTTP/2 (where
ALPN chose it), WebSockets, and its words to an app.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from ssl import SSLError
from typing import Any, cast

from hypercorn.asyncio.task_group import TaskGroup
from hypercorn.asyncio.tcp_server import MAX_RECV, TCPServer
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.typing import ConnectionState
from hypercorn.utils import parse_socket_addr

from omni_connector.speaking import Head, Http1, Refused

Message = dict[str, Any]

TELLS_END = "omni.end"
"""The extension of a scope that is `Inbox.on_end`."""
SAYS = "omni.say"
"""The extension of a scope that is `Http1.say` for its answer: a piece of a body on a shorter way than ASGI's."""
ROOM = 8192
"""Bytes that may wait in a transport before whoever has more to say must wait: below the mark where it lets writers go on."""
LAST_WORDS_S = 1.0
"""What a refused client says meanwhile is read, and thrown away."""


class Inbox:
    """What an app is told: no more than `room` messages wait; the end never does, and is told as often as it is asked for."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._messages: deque[Message] = deque()
        self._gone = False
        self._changed: set[asyncio.Future[None]] = set()
        self._tell: Callable[[], None] | None = None

    def on_end(self, tell: Callable[[], None] | None) -> None:
        """`tell` is called when the client is gone, and soon if it is already. None: nobody wants to know it any more."""
        self._tell = tell
        if self._gone and tell is not None:
            asyncio.get_running_loop().call_soon(self._told)

    def _told(self) -> None:
        tell, self._tell = self._tell, None
        if tell is not None:
            tell()

    async def put(self, message: Message) -> None:
        if message["type"] == "http.disconnect":
            self._gone = True
            if self._tell is not None:
                # Not from here: this may be the very task that is to hear of it, which is writing to the client.
                asyncio.get_running_loop().call_soon(self._told)
        while len(self._messages) >= self._room and not self._gone:
            await self._wait()
        if not self._gone:
            self._messages.append(message)
        self._wake()

    async def get(self) -> Message:
        while not self._messages:
            if self._gone:
                return {"type": "http.disconnect"}
            await self._wait()
        self._wake()
        return self._messages.popleft()

    async def _wait(self) -> None:
        changed = asyncio.get_running_loop().create_future()
        self._changed.add(changed)
        try:
            await changed
        finally:
            self._changed.discard(changed)

    def _wake(self) -> None:
        for changed in self._changed:
            if not changed.done():
                changed.set_result(None)


class Crew(TaskGroup):
    """The apps that run for one connection."""

    http: Http1 | None = None
    """What is said on it."""

    async def spawn_app(self, app: Any, config: Any, scope: Any, send: Any) -> Any:
        if scope["type"] != "http":
            return await super().spawn_app(app, config, scope, send)
        inbox = Inbox(config.max_app_queue_size)
        scope["extensions"] = {**(scope.get("extensions") or {}), TELLS_END: inbox.on_end}
        if self.http is not None:
            scope["extensions"][SAYS] = partial(self.http.say, self.http.stream)
        self.spawn(_run, app, config, scope, inbox.get, send)
        return inbox.put


async def _run(app: Any, config: Any, scope: Any, receive: Any, send: Callable[[None], Awaitable[None]]) -> None:
    try:
        await app(scope, receive, send, None, None)
    except Exception:  # noqa: BLE001 - whatever an app raises ends its request, and nothing else
        await config.log.exception("Error in ASGI Framework")
    finally:
        scope["extensions"].clear()  # the way to the stream, which has this scope: no ring is to wait for the collector
        await send(None)


class Connection(TCPServer):
    """From the first byte to the last. It ends when nothing was asked for `keep_alive_timeout`, and when `hang_up` finds it idle."""

    def __init__(self, *given: Any) -> None:
        """As TCPServer."""
        super().__init__(*given)
        self._held = b""
        self._idle_since: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        tls = self.writer.get_extra_info("ssl_object")
        if tls is not None and tls.selected_alpn_protocol() == "h2":
            await TCPServer(self.app, self.loop, self.config, self.context, self.state, self.reader, self.writer)
            return
        try:
            socket = self.writer.get_extra_info("socket")
            client, server = (parse_socket_addr(socket.family, name) for name in (socket.getpeername(), socket.getsockname()))
            crew = Crew(self.loop)
            async with crew:
                state = ConnectionState(self.state)
                http = Http1(self.app, self.config, self.context, crew, state, tls is not None, client, server, self.protocol_send)
                http.write = self.write
                crew.http = http
                self.protocol = cast(Any, http)
                self._idle(True)
                await self._read(http)
        except OSError:
            pass  # the client is gone
        finally:
            if self._timer is not None:
                self._timer.cancel()
            await self._close()

    async def _read(self, http: Http1) -> None:
        while not self.reader.at_eof():
            try:
                data = await self.reader.read(MAX_RECV)
            except (OSError, SSLError):
                break
            await http.handle(RawData(data))
        await http.handle(Closed())

    async def protocol_send(self, event: Event) -> None:
        if isinstance(event, Head):
            self._held = event.data
            self.loop.call_soon(self._write_held)
        elif isinstance(event, RawData):
            data, self._held = self._held + event.data, b""
            try:
                self.writer.write(data)
                await self.writer.drain()
            except (ConnectionError, RuntimeError):
                await self.protocol.handle(Closed())
        elif isinstance(event, Updated):
            self._idle(event.idle)
        elif isinstance(event, Refused) and self.writer.can_write_eof():
            self._write_held()
            self.writer.write_eof()
            self.loop.call_later(LAST_WORDS_S, self.writer.close)
        elif isinstance(event, Closed):
            await self._close()

    def write(self, data: bytes) -> bool:
        """Writes at once; False, and nothing is written, where somebody might have to wait."""
        transport = self.writer.transport
        if transport.is_closing() or transport.get_write_buffer_size() > ROOM:
            return False
        if self._held:
            data, self._held = self._held + data, b""
        transport.write(data)
        return True

    def _write_held(self) -> None:
        if self._held:
            data, self._held = self._held, b""
            with contextlib.suppress(ConnectionError, RuntimeError):  # whoever reads or writes next finds out
                self.writer.write(data)

    async def _close(self) -> None:
        self._write_held()
        await super()._close()

    # ------------------------------------------------------------ silence

    def _idle(self, is_idle: bool) -> None:
        if not is_idle:
            self._idle_since = None
            return
        self._idle_since = self.loop.time()
        if self.context.terminated.is_set():
            self.hang_up()
        elif self._timer is None:
            self._timer = self.loop.call_later(self.config.keep_alive_timeout, self._look)

    def _look(self) -> None:
        """The timer is not moved with every request: it looks how long the silence is by now."""
        self._timer = None
        if self._idle_since is None:
            return
        ends = self._idle_since + self.config.keep_alive_timeout
        if self.loop.time() >= ends:
            self.hang_up()
        else:
            self._timer = self.loop.call_at(ends, self._look)

    def hang_up(self) -> None:
        """Ends the connection if nobody waits for an answer."""
        if self._idle_since is not None:
            self._write_held()
            self.writer.close()
