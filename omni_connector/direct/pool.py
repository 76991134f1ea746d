"""Connections to providers: opened when needed, kept for the next request, closed when they have rested too long."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping

from aiohappyeyeballs import start_connection

from omni_connector.direct.address import Key, Target, target_of
from omni_connector.direct.answer import Answer
from omni_connector.direct.connection import Connection
from omni_connector.direct.faults import CertificateInvalid, ConnectTimeout, DirectError, HandshakeFailed, NothingAnswers
from omni_connector.direct.head import head_of
from omni_connector.direct.names import Info, Names
from omni_connector.direct.tls import Trust

REST_S = 4.5
"""How long a connection rests before it is closed: common servers drop theirs after five seconds (uvicorn)."""
NEXT_ADDRESS_S = 0.25
"""When the next address is tried while the one before does not answer (RFC 8305 §5)."""
LAST_S = 2.0
"""How long `close` waits for the transports to be gone."""


class Pool:
    """Of one event loop. Any number of connections: accounts have limits of their own."""

    def __init__(self, *, connect_timeout: float | None, agent: str, names: Names | None = None, trust: Trust | None = None) -> None:
        """`connect_timeout`: seconds for name, connection and TLS together; `agent`: the User-Agent of requests that name none."""
        self.connect_timeout = connect_timeout
        self._agent = agent
        self._loop = asyncio.get_running_loop()
        self._names = names or Names()
        self._resting: dict[Key, list[Connection]] = {}
        self._open: set[Connection] = set()
        self._living: set[Connection] = set()
        """The open ones, and those whose transports are not gone yet."""
        self._trust = trust or Trust()
        self._sweeping: asyncio.TimerHandle | None = None
        self._emptied: asyncio.Future[None] | None = None

    async def ask(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, *, fresh: bool = False, unpacks: bool = True
    ) -> Answer:
        """Sends, and waits for status and headers. `fresh`: on a connection that was never used; `unpacks`: compressed answers.

        Raises DirectError, and ValueError for a URL or a header that cannot be sent.
        """
        target = target_of(url)
        head = head_of(method, target, headers, len(body), self._agent)
        connection = (None if fresh else self._rested(target.key)) or await self._connect(target)
        answer = connection.ask(head, body, target.shown, is_head=method == "HEAD", unpacks=unpacks)
        try:
            await answer.begun()
        except BaseException:
            answer.close()
            raise
        return answer

    @property
    def occupied(self) -> int:
        """Connections that an answer is still expected on."""
        return len(self._open) - sum(map(len, self._resting.values()))

    async def close(self) -> None:
        """Cuts off every connection, also those in use."""
        if self._sweeping is not None:
            self._sweeping.cancel()
        self._names.close()
        self._emptied = self._loop.create_future()
        for connection in tuple(self._open):
            connection.abort()
        if self._living:  # a loop that ends before they are gone would warn of them
            await asyncio.wait((self._emptied,), timeout=LAST_S)

    # ------------------------------------------------------------ called by connections

    def rest(self, connection: Connection) -> None:
        if self._emptied is not None:
            connection.abort()
            return
        connection.since = self._loop.time()
        resting = self._resting.get(connection.key)
        if resting is None:
            self._resting[connection.key] = [connection]
        else:
            resting.append(connection)
        if self._sweeping is None:
            self._sweeping = self._loop.call_later(REST_S, self._sweep)

    def gone(self, connection: Connection) -> None:
        self._open.discard(connection)
        resting = self._resting.get(connection.key)
        if resting is not None and connection in resting:
            resting.remove(connection)
            if not resting:
                del self._resting[connection.key]

    def closed(self, connection: Connection) -> None:
        self._living.discard(connection)
        if self._emptied is not None and not self._living and not self._emptied.done():
            self._emptied.set_result(None)

    # ------------------------------------------------------------ within

    def _rested(self, key: Key) -> Connection | None:
        """The one that was used last: the others may grow old."""
        resting = self._resting.get(key)
        if resting is None:
            return None
        connection = resting.pop()
        if not resting:
            del self._resting[key]
        if connection.is_open and self._loop.time() - connection.since < REST_S:
            return connection
        connection.abort()
        return self._rested(key)

    def _sweep(self) -> None:
        self._sweeping = None
        until = self._loop.time() - REST_S
        for connection in [one for resting in self._resting.values() for one in resting if one.since <= until]:
            connection.abort()
        if self._resting:
            oldest = min(resting[0].since for resting in self._resting.values())
            self._sweeping = self._loop.call_at(oldest + REST_S, self._sweep)

    async def _connect(self, target: Target) -> Connection:
        is_tls, host, port = target.key
        try:
            async with asyncio.timeout(self.connect_timeout):
                found = await self._names.find(host, port)
                context = await self._trust.context() if is_tls else None
                try:
                    connection = await self._open_one(target.key, found, context)
                except (OSError, RuntimeError) as error:
                    self._names.forget(host, port)
                    raise _reason(error) from error
        except TimeoutError as error:
            raise ConnectTimeout from error
        self._open.add(connection)
        self._living.add(connection)
        return connection

    async def _open_one(self, key: Key, found: list[Info], context: ssl.SSLContext | None) -> Connection:
        sock = await start_connection(found, happy_eyeballs_delay=NEXT_ADDRESS_S)
        name = key[1].rstrip(".") if context is not None else None
        _, connection = await self._loop.create_connection(
            lambda: Connection(self, key, self._loop), sock=sock, ssl=context, server_hostname=name
        )
        return connection


def _reason(error: OSError | RuntimeError) -> DirectError:
    if isinstance(error, ssl.CertificateError):
        return CertificateInvalid()
    return HandshakeFailed() if isinstance(error, ssl.SSLError) else NothingAnswers()
