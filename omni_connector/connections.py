"""The connections of the default server. HTTP/1.1 is served here, on the loop's own transports: read by `http1`, said by `speaking`.
HTTP/2 (where ALPN chose it) and WebSockets are Hypercorn's, as it comes: such a connection is handed over to it.

What arrives is dealt with where it arrives, and what an app says is written where it says it: nobody is awaited, and no task wakes, but
where something has to wait. So a request costs one task, its app's.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, cast
from urllib.parse import unquote

from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.typing import LifespanState
from hypercorn.utils import parse_socket_addr, wrap_app

from omni_connector.http1 import BAD, Asked, Parser, Piece, is_websocket
from omni_connector.speaking import CLOCK, WITHOUT_WORDS, Answer

Scope = dict[str, Any]
Message = dict[str, Any]
App = Callable[[Scope, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]

TELLS_END = "omni.end"
"""The extension of a scope that is `Exchange.on_end`."""
SAYS = "omni.say"
"""The extension of a scope that is `Exchange.say`: a piece of a body on a shorter way than ASGI's."""
AHEAD = 256 * 1024
"""Bytes of a body that may wait for the app before no more is read."""
LAST_WORDS_S = 1.0
"""What a client that is sending still says meanwhile is read, and thrown away: cut off at once, it would not get to read its answer."""
CUT_S = 0.5
"""An app that is cut off may say so; after that its client has read it, or does not."""


class Hall:
    """What the connections of one listener share."""

    def __init__(self, app: App, config: Config) -> None:
        self.app = app
        self.config = config
        self.context = WorkerContext(None)
        self.connections: set[Connection] = set()
        self.left = asyncio.Event()
        """Somebody has left."""


class Exchange(Answer):
    """One request and its answer, as the app has them."""

    __slots__ = ("_changed", "_gone", "_is_more", "_line", "_pieces", "_size", "_tell")

    def __init__(self, line: Connection, asked: Asked, is_last: bool) -> None:
        super().__init__(asked, is_last)
        self._line = line
        self._pieces: list[bytes] = []
        """Of the body, that the app has not asked for yet."""
        self._size = 0
        self._is_more = True
        self._gone = False
        self._changed: asyncio.Event | None = None
        self._tell: Callable[[], None] | None = None

    async def run(self, app: App, scope: Scope) -> None:
        try:
            await app(scope, self.receive, self.send)
        except Exception:  # noqa: BLE001 - whatever an app raises ends its request, and nothing else
            await self._line.hall.config.log.exception("Error in ASGI Framework")
        finally:
            scope["extensions"].clear()  # whoever keeps the scope does not keep us
            self._tell = None
            self._line.ended(self)

    # ------------------------------------------------------------ what the client says

    def hear(self, data: bytes, more: bool) -> None:
        self._pieces.append(data)
        self._size += len(data)
        self._is_more = more
        self._wake()

    @property
    def is_full(self) -> bool:
        """The app is to take what it has before it gets more."""
        return self._is_more and (self._size > AHEAD or len(self._pieces) >= self._line.hall.config.max_app_queue_size)

    async def receive(self) -> Message:
        """The end waits for nobody, and is told as often as it is asked for."""
        while not self._pieces:
            if self._gone or self.done:
                return {"type": "http.disconnect"}
            if self._changed is None:
                self._changed = asyncio.Event()
            self._changed.clear()
            await self._changed.wait()
        pieces = self._pieces
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self._pieces, self._size = [], 0
        self._line.read_on()
        return {"type": "http.request", "body": body, "more_body": self._is_more}

    def leave(self) -> None:
        """The client says no more, and may be gone."""
        self._gone = True
        self._wake()
        if self._tell is not None:
            self._line.loop.call_soon(self._told)

    def on_end(self, tell: Callable[[], None] | None) -> None:
        """`tell` is called when `receive` would say that the client is gone, and soon if it is already; never from within what the app
        says. Not for the end of the answer, which the app knows. None: nobody wants to know it any more."""
        self._tell = tell
        if self._gone and tell is not None:
            self._line.loop.call_soon(self._told)

    def _told(self) -> None:
        tell, self._tell = self._tell, None
        if tell is not None:
            tell()

    def _wake(self) -> None:
        if self._changed is not None:
            self._changed.set()

    # ------------------------------------------------------------ what the app says

    async def send(self, message: Message) -> None:
        line, kind = self._line, message["type"]
        if line.is_over:
            await asyncio.sleep(0)  # an app without end would not let us hear that its client is gone
        elif kind == "http.response.body" and self.begun and not self.done:
            data = self.piece(bytes(message.get("body", b"")))
            if data:
                line.write(data)
            if not line.writable.is_set():
                await line.writable.wait()
            if not message.get("more_body", False):
                line.write(self.end())
                self._wake()
                line.answered(self)
        elif kind == "http.response.start" and not self.begun:
            line.hold(self.head(int(message["status"]), message.get("headers", ())))
        else:
            raise RuntimeError(f"{kind} is not what comes next in an answer")

    def say(self, data: bytes) -> bool:
        """A piece of a body whose length nobody knows, on its way at once; False, and nothing is said, where that is not so simple."""
        line = self._line
        if not data or not self.chunked or self.done or line.is_over or not line.writable.is_set():
            return False
        line.write(b"%x\r\n%s\r\n" % (len(data), data))
        return True


class Connection(asyncio.Protocol):
    """From the first byte to the last. It ends when nothing was asked for `keep_alive_timeout`, and when `hang_up` finds it idle."""

    _transport: asyncio.Transport

    def __init__(self, hall: Hall) -> None:
        self.hall = hall
        self.loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()
        """Apps start in it, whoever runs when a request is read."""
        self._parser = Parser(hall.config.h11_max_incomplete_size)
        self._later: deque[Asked | Piece | int | None] = deque()
        """What was heard and waits for the answer before it. None: the client says no more."""
        self._exchange: Exchange | None = None
        """The one whose answer is not out yet."""
        self._running: dict[Exchange, asyncio.Task[None]] = {}
        self._asked_times = 0
        self._more = False
        """Of the request's body is to come."""
        self._gone = False
        """Nothing more is heard."""
        self._over = False
        """Nothing more is said."""
        self._lost = self._is_paused = False
        self._held = b""
        """The head of an answer, until the next turn of the loop: with what follows it is one packet instead of two."""
        self.writable = asyncio.Event()
        """Set while the client reads what it is told."""
        self.writable.set()
        self._handed: asyncio.Task[None] | None = None
        self._idle_since: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    # ------------------------------------------------------------ begin and end

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.hall.connections.add(self)
        tls = transport.get_extra_info("ssl_object")
        socket = transport.get_extra_info("socket")
        try:
            self._client, self._server = (parse_socket_addr(socket.family, name) for name in (socket.getpeername(), socket.getsockname()))
        except OSError:  # the client is gone
            self._transport.abort()
            return
        self._scheme = "http" if tls is None else "https"
        if tls is not None and tls.selected_alpn_protocol() == "h2":
            self._hand_over(b"")
        else:
            self._idle()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = self._gone = self._over = True
        self._later.clear()
        self._held = b""
        self._idle_since = None
        self.writable.set()
        if self._exchange is not None:
            self._exchange.leave()
        self._leave()

    def _leave(self) -> None:
        """Once the client is gone and all apps have ended."""
        if self._lost and not self._running:
            if self._timer is not None:
                self._timer.cancel()
            self.hall.connections.discard(self)
            self.hall.left.set()

    def _close(self, *, is_sending: bool = False) -> None:
        """`is_sending`: more comes from the client."""
        self._write_held()
        self._over = True
        self._later.clear()
        self.read_on()  # that the client has closed too is heard only where somebody reads
        with contextlib.suppress(NotImplementedError, OSError, RuntimeError):  # TLS has no halves, and the client may be gone
            self._transport.write_eof()
        if is_sending and not self._gone and self._transport.can_write_eof():
            self.loop.call_later(LAST_WORDS_S, self._transport.close)
        else:
            self._transport.close()
        self._await_silence()  # a transport closes only when its client has read everything

    def abort(self) -> None:
        """The end, now. An app that is cut off may say so."""
        tasks = list(self._running.values())
        if self._handed is not None:
            tasks.append(self._handed)
        for task in tasks:
            self.loop.call_soon(task.cancel)  # cancelled before its first step it would never say that it ended
        if self._exchange is None and self._handed is None:
            self._transport.abort()
        else:
            self.loop.call_later(CUT_S, self._transport.abort)

    # ------------------------------------------------------------ what is heard

    def data_received(self, data: bytes) -> None:
        if not self._over:
            self._hear(self._parser.feed(data))

    def eof_received(self) -> bool:
        """True leaves our half open, for the answer (not of TLS, which has no halves)."""
        if not self._over:
            self._hear((None,))
        return self._scheme == "http" and not self._over

    def _hear(self, said: Iterable[Asked | Piece | int | None]) -> None:
        later = self._later
        later.extend(said)
        while later and not self._over:
            one = later.popleft()
            if isinstance(one, tuple):
                self._piece(*one)
            elif one is None:
                self._end()
            elif self._exchange is not None and not self._more:
                later.appendleft(one)
                break
            elif isinstance(one, int):
                self._refuse(one)
            elif is_websocket(one):
                self._switch(one)
                return
            else:
                self._ask(one)
        if (later or (self._exchange is not None and self._exchange.is_full)) and not (self._is_paused or self.is_over):
            self._is_paused = True
            self._transport.pause_reading()

    def read_on(self) -> None:
        """Where nothing waits any more."""
        if self._is_paused and not self._later and not self._transport.is_closing():
            self._is_paused = False
            self._transport.resume_reading()

    def _ask(self, asked: Asked) -> None:
        self._idle_since = None
        self._more = True
        self._asked_times += 1
        exchange = self._exchange = Exchange(self, asked, self._asked_times >= self.hall.config.keep_alive_max_requests)
        path, _, query = asked.target.partition(b"?")
        scope: Scope = {
            "type": "http",
            "http_version": asked.version,
            "asgi": {"spec_version": "2.1", "version": "3.0"},
            "method": asked.method,
            "scheme": self._scheme,
            "path": unquote(path.decode("ascii")),
            "raw_path": path,
            "query_string": query,
            "root_path": self.hall.config.root_path,
            "headers": asked.headers,
            "client": self._client,
            "server": self._server,
            "state": {},
            "extensions": {TELLS_END: exchange.on_end, SAYS: exchange.say},
        }
        self._running[exchange] = self.loop.create_task(exchange.run(self.hall.app, scope), context=self._context.copy())
        if asked.expects:
            self.write(b"HTTP/1.1 100 \r\ndate: %s\r\n\r\n" % CLOCK.date())

    def _piece(self, data: bytes, more: bool) -> None:
        self._more = more
        if self._exchange is not None:
            self._exchange.hear(data, more)

    def _end(self) -> None:
        self._gone = True
        if not self._parser.is_between and (self._exchange is None or self._more):
            self._refuse(BAD)
        elif self._exchange is None:
            self._close()
        else:
            self._exchange.leave()

    def _refuse(self, status: int) -> None:
        exchange, answer = self._exchange, self._exchange or Answer()
        if not answer.begun:
            self.write(answer.head(status, WITHOUT_WORDS))
        if exchange is not None:
            exchange.leave()
        self._close(is_sending=True)

    # ------------------------------------------------------------ what is said

    def hold(self, head: bytes) -> None:
        if not self._over:
            self._held = head
            self.loop.call_soon(self._write_held)

    def _write_held(self) -> None:
        if self._held:
            self.write(b"")

    def write(self, data: bytes) -> None:
        """Nothing, to whoever is gone."""
        if self._held:
            data, self._held = self._held + data, b""
        if data and not self.is_over:
            self._transport.write(data)

    @property
    def is_over(self) -> bool:
        """Nothing more is said, or to nobody."""
        return self._over or self._transport.is_closing()

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def answered(self, exchange: Exchange) -> None:
        """The answer is out: the connection goes on only when both sides are through with it."""
        if self._exchange is not exchange or self._over:
            return
        self._exchange = None
        if not exchange.keep or self._more or self._gone or self.hall.context.terminated.is_set():
            self._close(is_sending=self._more or bool(self._later))
            return
        self._idle()
        if self._later:
            self._hear(())
        self.read_on()

    def ended(self, exchange: Exchange) -> None:
        """Its app."""
        del self._running[exchange]
        if self._exchange is exchange:
            self._exchange = None
            if not self._over:
                if not exchange.begun and not self._gone:
                    self.write(exchange.head(500, WITHOUT_WORDS))
                self._close(is_sending=self._more)
        self._leave()

    # ------------------------------------------------------------ Hypercorn's part

    def _switch(self, asked: Asked) -> None:
        """To a WebSocket, from its handshake on."""
        head = [f"{asked.method} ".encode(), asked.target, f" HTTP/{asked.version}\r\n".encode()]
        head += [b"%s: %s\r\n" % header for header in asked.headers]
        self._hand_over(b"".join((*head, b"\r\n", self._parser.rest)))

    def _hand_over(self, heard: bytes) -> None:
        """`heard`: what was read already."""
        self._write_held()
        self._idle_since = None
        is_over = bool(self._later)  # nothing but the end can follow what is no HTTP/1.1
        self._later.clear()
        self.read_on()
        reader = asyncio.StreamReader(loop=self.loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=self.loop)
        protocol.connection_made(self._transport)
        self._transport.set_protocol(protocol)
        if heard:
            reader.feed_data(heard)
        if is_over:
            reader.feed_eof()
        writer = asyncio.StreamWriter(self._transport, protocol, reader, self.loop)
        self._handed = self.loop.create_task(self._serve_stream(reader, writer), context=self._context.copy())

    async def _serve_stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hall = self.hall
        app = wrap_app(cast(Any, hall.app), 0, "asgi")
        try:
            with contextlib.suppress(asyncio.CancelledError):  # by `abort`, whose caller waits for us
                await TCPServer(app, self.loop, hall.config, hall.context, LifespanState({}), reader, writer)
        except Exception:  # noqa: BLE001 - as of an app: it ends this connection, and nothing else
            await hall.config.log.exception("Error in ASGI Framework")
        finally:
            self._lost = True
            self._leave()

    # ------------------------------------------------------------ silence

    def _idle(self) -> None:
        if self.hall.context.terminated.is_set():
            self._close()
        else:
            self._await_silence()

    def _await_silence(self) -> None:
        self._idle_since = self.loop.time()
        if self._timer is None:
            self._timer = self.loop.call_later(self.hall.config.keep_alive_timeout, self._look)

    def _look(self) -> None:
        """The timer is not moved with every request: it looks how long the silence is by now."""
        self._timer = None
        if self._idle_since is None:
            return
        ends = self._idle_since + self.hall.config.keep_alive_timeout
        if self.loop.time() < ends:
            self._timer = self.loop.call_at(ends, self._look)
        elif self._over:
            self._transport.abort()
        else:
            self._close()

    def hang_up(self) -> None:
        """Ends the connection if nobody waits for an answer."""
        if self._idle_since is not None and not self._over:
            self._close()
