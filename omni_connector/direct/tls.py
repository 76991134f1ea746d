"""Whom TLS trusts, read once."""

from __future__ import annotations

import asyncio
import ssl


def make_context() -> ssl.SSLContext:
    """TLS that trusts what the system trusts and speaks HTTP/1.1 only. Reads the roots from disk: 20 ms."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


class Trust:
    """Of one event loop. The context is made with the first connection that needs it, beside the loop."""

    def __init__(self) -> None:
        self._made: asyncio.Future[ssl.SSLContext] | None = None

    async def context(self) -> ssl.SSLContext:
        if self._made is None:
            self._made = asyncio.ensure_future(asyncio.to_thread(make_context))
        return await asyncio.shield(self._made)
