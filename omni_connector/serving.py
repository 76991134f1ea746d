"""HTTP on the listeners of one process: opened, changed and closed while requests run (a `Server` reads and writes the connections).

A listener that is given up stops accepting at once; what runs there goes on, every further answer says `Connection: close`, so that its
client comes back elsewhere, and what is idle is hung up after a moment. So neither a changed address nor a reload loses a request.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

import h11
from hypercorn.config import Config
from hypercorn.protocol.h11 import H11Protocol

from omni_connector.call import error_answer, lower
from omni_connector.certificates import LOOK_S, Certificate
from omni_connector.connections import Connection, Hall
from omni_connector.errors import GatewayError, Kind, bad_request
from omni_connector.listeners import BACKLOG, Opener, Place, Side
from omni_connector.paths import wire_of
from omni_connector.proxies import Network, seen_through

log = logging.getLogger("omni.http")

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LINGER_S = 2.0
"""A connection on which nothing is asked is hung up so long after its listener was given up: a busy client has moved by then."""
PATIENCE_S = 3.0
"""For connections that do not end when they are told to."""
SETTLE_S = 0.2
"""Who was accepted a moment ago may still be shaking hands: only then is he seen."""
CLOSE = (b"connection", b"close")
SHOWN_PATH = 200


def settings_of_http() -> Config:
    config = Config()
    config.accesslog = None
    config.errorlog = log
    config.include_server_header = False
    config.keep_alive_timeout = 75
    config.keep_alive_max_requests = 1_000_000
    config.h11_max_incomplete_size = 256 * 1024
    config.backlog = BACKLOG
    return config


async def _stays_http1(self: H11Protocol, event: h11.Request) -> None:
    """Plain HTTP never becomes HTTP/2 (over TLS, ALPN chooses). A proxy that passes `Upgrade: h2c` on would be a tunnel for requests that
    it does not see: they would come from its address, without the headers that tell whose they are. Hypercorn has no switch for it."""


H11Protocol._check_protocol = _stays_http1  # type: ignore[method-assign]


class Face:
    """The app as one listener shows it: only the paths of its side, the client as a trusted proxy names it."""

    def __init__(self, app: App, side: Side, side_of: Callable[[str], Side], proxies: Callable[[], Sequence[Network]]) -> None:
        self._app = app
        self._side = side
        self._side_of = side_of
        self._proxies = proxies
        self.leaving = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and _two_lengths(scope["headers"]):
            await refused(scope, send, bad_request("A body has one length: Content-Length or Transfer-Encoding, not both."))
            return
        scope = seen_through(scope, self._proxies())
        send = self._closing(send)
        if self._side != "both" and scope["type"] == "http" and self._side_of(scope["path"]) not in ("both", self._side):
            words = f"There is no {scope['method']} {scope['path'][:SHOWN_PATH]} here."
            await refused(scope, send, GatewayError(Kind.NOT_FOUND, words))
            return
        await self._app(scope, receive, send)

    def _closing(self, send: Send) -> Send:
        """Asked when the answer begins: a request that ran before its listener was given up ends its connection too."""

        async def told(message: Message) -> None:
            if self.leaving and message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), CLOSE]}
            await send(message)

        return told


def _two_lengths(headers: Sequence[tuple[bytes, bytes]]) -> bool:
    """A proxy before us may believe the other one, and take the rest of the body for a request (RFC 9112 §6.1 lets us refuse)."""
    names = [name.lower() for name, _ in headers]
    return b"transfer-encoding" in names and b"content-length" in names


async def refused(scope: Scope, send: Send, error: GatewayError) -> None:
    """Answers for the app, and ends the connection."""
    status, headers, body = error_answer(wire_of(scope["path"], lower(scope["headers"])), error, None)
    headers = [*headers, (b"content-length", str(len(body)).encode()), (b"x-content-type-options", b"nosniff"), CLOSE]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


class Server(Protocol):
    """What reads and writes the connections of one listener."""

    async def open(self, listener: socket.socket, certificate: Certificate | None) -> None: ...

    def shut(self) -> None:
        """Accepts nobody any more; whoever is there goes on."""

    async def terminate(self) -> None:
        """Connections end as soon as nobody waits for an answer on them."""

    def abort(self) -> None:
        """All that is left ends now."""

    async def empty(self) -> None:
        """Until nobody is there."""

    async def renew(self) -> None:
        """The certificate was loaded anew."""


class HypercornServer:
    """Hypercorn, its HTTP/1.1 served by `connections`."""

    def __init__(self, app: App, config: Config) -> None:
        self._hall = Hall(app, config)
        self._server: asyncio.Server | None = None

    async def open(self, listener: socket.socket, certificate: Certificate | None) -> None:
        tls: dict[str, Any] = {}
        if certificate is not None:
            tls = {"ssl": certificate.context, "ssl_handshake_timeout": self._hall.config.ssl_handshake_timeout}
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Connection(self._hall), sock=listener, backlog=BACKLOG, **tls)

    def shut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def terminate(self) -> None:
        await self._hall.context.terminated.set()
        for connection in tuple(self._hall.connections):
            connection.hang_up()

    def abort(self) -> None:
        for connection in tuple(self._hall.connections):
            connection.abort()

    async def empty(self) -> None:
        while self._hall.connections:
            self._hall.left.clear()
            await self._hall.left.wait()

    async def renew(self) -> None:
        """The context in use was changed."""


Make = Callable[[App], Server]
"""A server for one listener, around the app as that listener shows it."""


class Door:
    """One open listener."""

    def __init__(self, place: Place, face: Face, make: Make) -> None:
        self.place = place
        self.port = place.port
        self._face = face
        self._server = make(face)
        self.certificate = Certificate(place.cert, place.key) if place.cert else None

    async def open(self, listener: socket.socket) -> None:
        self.port = listener.getsockname()[1]
        await self._server.open(listener, self.certificate)

    async def renew(self) -> None:
        """Looks whether the certificate was renewed, and takes it over."""
        if self.certificate is not None and await asyncio.to_thread(self.certificate.renewed):
            await self._server.renew()

    def part(self) -> None:
        """Goes on, but every answer ends its connection: busy clients hold none that could be cut later."""
        self._face.leaving = True

    def shut(self) -> None:
        """Accepts nobody any more; whoever is there goes on."""
        self.part()
        self._server.shut()

    async def retire(self, grace: float, linger: float = LINGER_S) -> None:
        """Shut, wait for what runs (`grace` seconds at most), then end. `linger`: for connections on which nothing runs."""
        self.shut()
        began = asyncio.get_running_loop().time()
        await asyncio.sleep(SETTLE_S)
        await self._empty(min(linger, grace))
        await self._server.terminate()
        await self._empty(max(0.0, grace - (asyncio.get_running_loop().time() - began)))
        await self.end(PATIENCE_S)

    async def end(self, patience: float) -> None:
        """Shut, idle connections at once, all others after `patience` seconds."""
        self.shut()
        await self._server.terminate()
        await self._empty(patience)
        self._server.abort()
        await self._empty(1.0)

    async def _empty(self, within: float) -> None:
        """Until nobody is there."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._server.empty()


class Doors:
    """All listeners of this process. `grace`: seconds that requests on a listener that is given up may take."""

    def __init__(
        self,
        app: App,
        opener: Opener,
        side_of: Callable[[str], Side],
        proxies: Callable[[], Sequence[Network]],
        grace: Callable[[], float],
        make: Make | None = None,
    ) -> None:
        self._app = app
        config = settings_of_http()
        self._make = make or (lambda app: HypercornServer(app, config))
        self._opener = opener
        self._side_of = side_of
        self._proxies = proxies
        self._grace = grace
        self._open: list[Door] = []
        self._leaving: dict[asyncio.Task[None], Door] = {}
        self._changing = asyncio.Lock()

    @property
    def places(self) -> list[tuple[Place, int]]:
        """What is open, each with its real port."""
        return [(door.place, door.port) for door in self._open]

    async def follow(self, places: Sequence[Place]) -> bool:
        """Opens what is new, then gives up what is not wanted; False when all was so already. Changes nothing when it raises: OSError for
        an address that cannot be had, SettingsError for a certificate."""
        async with self._changing:
            there = {door.place: door for door in self._open}
            if list(there) == list(places):
                return False
            fresh: dict[Place, Door] = {}
            try:
                for place in places:
                    if place not in there:
                        fresh[place] = await self._opened(place)
            except BaseException:
                for door in fresh.values():
                    await door.end(0)
                await asyncio.to_thread(self._opener.keep_only, [door.place.address for door in self._open])
                raise
            self._open = [fresh.get(place) or there[place] for place in places]
            for place, door in there.items():
                if place not in places:
                    self._retire(door)
            await asyncio.to_thread(self._opener.keep_only, [place.address for place in places])
            return True

    async def _opened(self, place: Place) -> Door:
        door = Door(place, Face(self._app, place.side, self._side_of, self._proxies), self._make)
        listener = await asyncio.to_thread(self._opener.take, place.address)
        try:
            await door.open(listener)
        except BaseException:
            listener.close()
            raise
        return door

    def _retire(self, door: Door) -> None:
        door.shut()
        task = asyncio.create_task(door.retire(self._grace()), name="listener ends")
        self._leaving[task] = door
        task.add_done_callback(self._leaving.pop)

    async def look_at_certificates(self) -> None:
        for door in tuple(self._open):
            await door.renew()

    async def watch(self) -> None:
        """For ever: certificates that are renewed are taken over."""
        while True:
            await asyncio.sleep(LOOK_S)
            await self.look_at_certificates()

    def part(self) -> None:
        for door in self._open:
            door.part()

    async def retire(self, grace: float, linger: float = LINGER_S) -> None:
        """All of them: for a process whose work goes on in another one."""
        await asyncio.gather(*(door.retire(grace, linger) for door in self._open), *self._leaving)

    async def end(self, patience: float = PATIENCE_S) -> None:
        leaving = dict(self._leaving)
        for task in leaving:
            task.cancel()
        await asyncio.gather(*leaving, return_exceptions=True)
        await asyncio.gather(*(door.end(patience) for door in (*self._open, *leaving.values())))


def quiet_about_handshakes(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """An exception handler of the loop: whoever speaks no TLS, or hangs up in the middle of it, is none of our errors."""
    if not isinstance(context.get("exception"), ssl.SSLError | ConnectionError):
        loop.default_exception_handler(context)
