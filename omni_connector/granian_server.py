"""`serve --server granian`: granian's own HTTP (hyper, rustls), on our own listening sockets and in our own event loop.

What differs is said in docs/listeners.md: hyper's rules for what it refuses, idle connections that end with their listener at once, and a
renewed certificate that comes with a new acceptor.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from pathlib import Path
from typing import Any

from granian.constants import HTTPModes, Interfaces, SSLProtocols, TaskImpl
from granian.http import HTTP1Settings
from granian.net import SocketHolder  # type: ignore[attr-defined]
from granian.server.embed import Server
from hypercorn.config import Config as Limits

from omni_connector.certificates import Certificate
from omni_connector.http1 import fault
from omni_connector.listeners import BACKLOG

log = logging.getLogger("omni.http")

AT_ONCE = 1 << 20
"""Requests that may run at the same time; accounts and keys have limits of their own."""


class OnSocket(Server):
    """An embedded granian that takes a socket instead of an address."""

    def __init__(self, listener: socket.socket, app: Any, **more: Any) -> None:
        super().__init__(
            app, interface=Interfaces.ASGINL, http=HTTPModes.http1, websockets=False, backlog=BACKLOG, log_enabled=False, **more
        )
        self._listener = listener

    def _init_shared_socket(self) -> None:
        self._ssp: Any = None
        self._shd: Any = SocketHolder(self._listener.detach(), False, BACKLOG)  # type: ignore[call-arg]


class GranianServer:
    """granian on one listener."""

    def __init__(self, app: Any, limits: Limits) -> None:
        self._app = app
        self._limits = limits
        self._running: set[asyncio.Task[Any]] = set()
        self._servers: dict[asyncio.Task[None], OnSocket] = {}
        self._listener: socket.socket | None = None
        self._certificate: Certificate | None = None

    async def open(self, listener: socket.socket, certificate: Certificate | None) -> None:
        self._listener, self._certificate = listener, certificate
        self._begin()

    def _begin(self) -> None:
        assert self._listener is not None
        tls: dict[str, Any] = {}
        if self._certificate is not None:
            cert, key = self._certificate.files
            tls = {"ssl_cert": Path(cert), "ssl_key": Path(key), "ssl_protocol_min": SSLProtocols.tls12}
        head_ms = int(self._limits.keep_alive_timeout * 1000)
        server = OnSocket(
            self._listener.dup(),
            self._answer,
            task_impl=TaskImpl.asyncio,
            backpressure=AT_ONCE,
            http1_settings=HTTP1Settings(header_read_timeout=head_ms, max_buffer_size=self._limits.h11_max_incomplete_size),
            **tls,
        )
        task = asyncio.ensure_future(server.serve())
        self._servers[task] = server
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._servers[task]
        if not task.cancelled() and task.exception() is not None:
            log.error("granian ended", exc_info=task.exception())

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        """hyper leaves to an app what other servers refuse. Without a Host it tells an empty one, and of HTTP/1.0 that it is "1"."""
        if scope["http_version"] == "1":
            scope = {**scope, "http_version": "1.0"}
        headers = [header for header in scope["headers"] if header != (b"host", b"")]
        status = fault(scope["http_version"], scope["raw_path"] + scope["query_string"], headers)
        if status:
            await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0"), (b"connection", b"close")]})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        try:
            await self._app(scope, receive, send)
        except Exception:
            log.exception("Error in ASGI Framework")
            raise
        finally:
            self._running.discard(task)

    def shut(self) -> None:
        for server in self._servers.values():
            server.stop()  # type: ignore[no-untyped-call]
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    async def terminate(self) -> None:
        """They did when it was shut."""

    def abort(self) -> None:
        """Connections end with the apps that answer on them, and the acceptor with its connections."""
        for task in tuple(self._running):
            task.cancel()

    async def empty(self) -> None:
        while waited := {*self._running, *self._servers}:
            await asyncio.wait(waited)

    async def renew(self) -> None:
        """The next acceptor has the new certificate; then the one before it ends."""
        before = tuple(self._servers.values())
        with contextlib.suppress(AssertionError):
            self._begin()
        for server in before:
            server.stop()  # type: ignore[no-untyped-call]
