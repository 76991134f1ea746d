"""Names of hosts → addresses, kept for some minutes."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from omni_connector.direct.faults import NameUnknown

KEPT_S = 300
MOST = 1000

Info = tuple[int, int, int, str, tuple[Any, ...]]
"""One row of getaddrinfo: family, type, protocol, canonical name, address."""
LookUp = Callable[[str, int], Awaitable[Sequence[Info]]]
"""Raises OSError for an unknown name."""


async def look_up(host: str, port: int) -> Sequence[Info]:
    """The system's own answer."""
    loop = asyncio.get_running_loop()
    return await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)


class Names:
    """Of one event loop. Those who ask for the same name at once share one lookup."""

    def __init__(self, look_up: LookUp = look_up, kept_s: float = KEPT_S) -> None:
        """`kept_s`: seconds for which an answer is believed; 0: every connection asks."""
        self._look_up = look_up
        self._kept_s = kept_s
        self._kept: dict[tuple[str, int], tuple[float, list[Info]]] = {}
        self._asked: dict[tuple[str, int], asyncio.Task[list[Info]]] = {}

    async def find(self, host: str, port: int) -> list[Info]:
        """Never empty; every call begins with another address, so that load spreads. Raises NameUnknown."""
        literal = _literal(host, port)
        if literal is not None:
            return [literal]
        key = (host, port)
        until, found = self._kept.get(key, (0.0, []))
        if until <= asyncio.get_running_loop().time():
            found = await self._ask(key)
        first = found.pop(0)
        found.append(first)
        return [first, *found[:-1]]

    def forget(self, host: str, port: int) -> None:
        """Nothing took a connection there: it may have moved."""
        self._kept.pop((host, port), None)

    async def _ask(self, key: tuple[str, int]) -> list[Info]:
        asked = self._asked.get(key)
        if asked is None:
            asked = self._asked[key] = asyncio.create_task(self._look(key))
            asked.add_done_callback(lambda task: task.cancelled() or task.exception())  # who asked may have left
        try:
            return await asyncio.shield(asked)
        except OSError as error:
            raise NameUnknown from error

    async def _look(self, key: tuple[str, int]) -> list[Info]:
        try:
            found = list(await self._look_up(*key))
        finally:
            del self._asked[key]
        if not found:
            raise OSError("no address")
        self._kept.pop(key, None)
        if len(self._kept) >= MOST:
            del self._kept[next(iter(self._kept))]
        self._kept[key] = (asyncio.get_running_loop().time() + self._kept_s, found)
        return found

    def close(self) -> None:
        for task in self._asked.values():
            task.cancel()


def _literal(host: str, port: int) -> Info | None:
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return None
    if ip.version == 4:
        return socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port)
    if ip.scope_id is not None:
        return None  # the system knows the number of the interface
    return socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port, 0, 0)
