"""`serve --server uvicorn`: uvicorn's connections, which read as `http1` does, on our own listeners.

uvicorn keeps its writer, its flow control and its timers. What it reads leniently (no Host, an upgrade with a body, a head without end or
that dribbles) would make it another server than the default one, so reading is ours, and a client that closed its half gets its answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable
from typing import Any, cast
from urllib.parse import unquote

from hypercorn.config import Config as Limits
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.utils import is_ssl
from uvicorn.server import ServerState

from omni_connector.certificates import Certificate
from omni_connector.connections import LAST_WORDS_S, SAYS, TELLS_END
from omni_connector.http1 import BAD, Asked, Parser, is_websocket
from omni_connector.listeners import BACKLOG
from omni_connector.speaking import CLOCK

log = logging.getLogger("omni.http")
Message = dict[str, Any]


class State(ServerState):
    """Of all connections of one listener."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.terminated = False
        self.left = asyncio.Event()
        super().__init__()

    @property
    def default_headers(self) -> list[tuple[bytes, bytes]]:
        return [(b"date", CLOCK.date())]

    @default_headers.setter
    def default_headers(self, _: object) -> None:
        """uvicorn's own date is a second old."""


class Cycle(RequestResponseCycle):
    """One request and its answer."""

    def __init__(self, line: Spoken, **given: Any) -> None:
        super().__init__(**given)
        self.gone = False
        """The client says no more, but may listen still."""
        self._told_all = False
        self._line = line
        self._tell: Callable[[], None] | None = None
        self.scope["extensions"] = cast(Any, {SAYS: self.say, TELLS_END: self.on_end})

    async def run_asgi(self, app: Any) -> None:
        try:
            await app(self.scope, self.receive, self.send)
        except Exception:
            log.exception("Error in ASGI Framework")
        finally:
            if not self.response_started and not self.disconnected:
                self._line.say(500)
            elif not self.response_complete:
                self.transport.close()
            self.on_response = lambda: None
            self._tell = None
            self.scope["extensions"].clear()  # the way back to us, who have this scope: no ring is to wait for the collector

    def leave(self, *, for_good: bool) -> None:
        """The client says no more; `for_good`: nor does it listen."""
        self.gone = True
        self.disconnected = self.disconnected or for_good
        self.message_event.set()
        if self._tell is not None:
            self._line.loop.call_soon(self._told)

    def on_end(self, tell: Callable[[], None] | None) -> None:
        """As `connections.Exchange.on_end`."""
        self._tell = tell
        if tell is None:
            return
        if self.gone:
            self._line.loop.call_soon(self._told)
        elif not (self.more_body or self._line.pipeline):  # nobody may ask `receive` any more, and the end is read as the body is
            self.flow.resume_reading()

    def _told(self) -> None:
        tell, self._tell = self._tell, None
        if tell is not None:
            tell()

    def say(self, data: bytes) -> bool:
        """As `connections.Exchange.say`."""
        if not data or not self.chunked_encoding or not self.response_started or self.response_complete or self.disconnected:
            return False
        if self.flow.write_paused or self.transport.is_closing() or self.scope["method"] == "HEAD":
            return False
        self.transport.write(b"%x\r\n%s\r\n" % (len(data), data))
        return True

    async def receive(self) -> Any:
        if self.waiting_for_100_continue and not (self.disconnected or self.transport.is_closing()):
            self.transport.write(b"HTTP/1.1 100 \r\ndate: %s\r\n\r\n" % CLOCK.date())
            self.waiting_for_100_continue = False
        while not self.disconnected and not self.response_complete:
            if self.body or not (self.more_body or self._told_all):
                message = {"type": "http.request", "body": bytes(self.body), "more_body": self.more_body}
                self._told_all = not self.more_body
                self.body.clear()
                return message
            if self.gone:
                break
            if not self._line.pipeline:  # whoever asks ahead waits, however often the app listens for his end
                self.flow.resume_reading()
            self.message_event.clear()
            await self.message_event.wait()
        return {"type": "http.disconnect"}


class Spoken(HttpToolsProtocol):
    """One connection."""

    def __init__(self, config: Config, state: State) -> None:
        super().__init__(config, state, {})
        self.logger = log
        self._state = state
        self._heard = Parser(state.limits.h11_max_incomplete_size)
        self._refusal = 0
        self._is_over = False
        """Nothing more is said."""
        self._asked_times = 0
        self._served: Cycle | None = None
        """Whose app was started last: `cycle` may wait behind it."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if self._state.terminated:
            transport.close()
        else:
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        self.pipeline.clear()
        if self._served is not None and not self._served.response_complete:
            self._served.leave(for_good=True)
        self._served = self.cycle = cast(Any, None)  # they lead back to us: no ring is to wait for the collector
        self._state.left.set()

    def _await_head(self) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    # ------------------------------------------------------------ what is read

    def data_received(self, data: bytes) -> None:
        for said in self._heard.feed(data):
            if isinstance(said, Asked):
                self._unset_keepalive_if_required()
                self._ask(said)
            elif isinstance(said, tuple):
                self._piece(*said)
            else:
                self._refuse(said)

    def eof_received(self) -> Any:
        """True leaves our half open, for the answer."""
        if not self._heard.is_between and not self._refusal:
            self._refuse(BAD)
        if self.cycle is None or self.cycle.response_complete:
            return False
        cycle = cast(Cycle, self.cycle)
        cycle.keep_alive = False
        cycle.leave(for_good=False)
        return not is_ssl(self.transport)

    def _ask(self, asked: Asked) -> None:
        path, _, query = asked.target.partition(b"?")
        self._asked_times += 1
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": asked.version,
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "root_path": "",
            "method": asked.method,
            "path": unquote(path.decode("ascii")),
            "raw_path": path,
            "query_string": query,
            "headers": asked.headers,
            "state": {},
        }
        before = self.cycle
        cycle = Cycle(
            self,
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=log,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self._state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=asked.expects,
            keep_alive=asked.keep and not is_websocket(asked) and self._asked_times < self._state.limits.keep_alive_max_requests,
            on_response=self.on_response_complete,
        )
        cycle.more_body = not is_websocket(asked)
        self.cycle = cycle
        if before is None or before.response_complete:
            self._start_asgi_task(cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._served = cycle
        super()._start_asgi_task(cycle, app)

    def _piece(self, data: bytes, more: bool) -> None:
        cycle = self.cycle
        if cycle.response_complete:
            return
        cycle.body += data
        cycle.more_body = more
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

    # ------------------------------------------------------------ what is said

    def _refuse(self, status: int) -> None:
        """Once everything before has been answered."""
        self._refusal = status
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            if self.pipeline or not cycle.more_body:
                return
            cast(Cycle, cycle).leave(for_good=True)
            if cycle.response_started:
                self.transport.close()
                return
        self._unset_keepalive_if_required()
        self.say(status)

    def say(self, status: int) -> None:
        """An answer without words, and the end of the connection."""
        if self._is_over:
            return
        self._is_over = True
        head = b"HTTP/1.1 %d \r\ncontent-length: 0\r\nconnection: close\r\ndate: %s\r\n\r\n"
        self.transport.write(head % (status, CLOCK.date()))
        if not self.transport.can_write_eof():
            self.transport.close()
            return
        with contextlib.suppress(OSError):  # the client has left altogether, and the words reset the connection
            self.transport.write_eof()
        self.loop.call_later(LAST_WORDS_S, self.transport.close)

    def on_response_complete(self) -> None:
        cycle = self.cycle
        if cycle.response_complete and cycle.more_body:  # its end would be taken for the next request
            self.transport.close()
        super().on_response_complete()
        if self._refusal and not self.transport.is_closing() and self.cycle.response_complete:
            self._refuse(self._refusal)


class UvicornServer:
    """uvicorn on one listener."""

    def __init__(self, app: Any, limits: Limits) -> None:
        self._limits = limits
        self._config = Config(
            app,
            interface="asgi3",
            http=Spoken,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            timeout_keep_alive=cast(int, limits.keep_alive_timeout),
        )
        self._config.load()
        self._state = State(limits)
        self._server: asyncio.Server | None = None

    async def open(self, listener: socket.socket, certificate: Certificate | None) -> None:
        tls: dict[str, Any] = {}
        if certificate is not None:
            tls = {"ssl": certificate.context, "ssl_handshake_timeout": self._limits.ssl_handshake_timeout}
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Spoken(self._config, self._state), sock=listener, backlog=BACKLOG, **tls)

    def shut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def terminate(self) -> None:
        self._state.terminated = True
        for connection in tuple(self._state.connections):
            cast(Spoken, connection).shutdown()

    def abort(self) -> None:
        for task in tuple(self._state.tasks):
            task.cancel()
        for connection in tuple(self._state.connections):
            cast(Spoken, connection).transport.abort()

    async def empty(self) -> None:
        while self._state.tasks:
            await asyncio.wait(self._state.tasks)
        while self._state.connections:
            self._state.left.clear()
            await self._state.left.wait()

    async def renew(self) -> None:
        """The context in use was changed."""
