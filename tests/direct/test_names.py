"""Names are looked up once for all who ask, and kept for a while."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

import pytest

from omni_connector.direct import names as module
from omni_connector.direct.faults import NameUnknown
from omni_connector.direct.names import Info, Names, look_up

A: Info = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 80))
B: Info = (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("2001:db8::1", 80, 0, 0))


class Book:
    """A look-up that counts and can be held up."""

    def __init__(self, *found: Info) -> None:
        self.found = list(found)
        self.asked: list[str] = []
        self.open = asyncio.Event()
        self.open.set()

    async def __call__(self, host: str, port: int) -> Sequence[Info]:
        self.asked.append(host)
        await self.open.wait()
        if not self.found:
            raise socket.gaierror(-2, "unknown")
        return tuple(self.found)


async def test_literal_addresses_are_not_looked_up() -> None:
    names = Names(Book())
    assert await names.find("127.0.0.1", 8) == [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 8))]
    assert await names.find("::1", 8) == [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", 8, 0, 0))]


async def test_one_look_up_for_all_and_for_a_while() -> None:
    book = Book(A, B)
    names = Names(book)
    book.open.clear()
    asking = [asyncio.create_task(names.find("h", 80)) for _ in range(3)]
    await asyncio.sleep(0)
    asking[0].cancel()  # the others still wait for it
    await asyncio.sleep(0)
    book.open.set()
    assert [await one for one in asking[1:]] == [[A, B], [B, A]], "each begins with another address"
    assert await names.find("h", 80) == [A, B]
    assert book.asked == ["h"]
    names.forget("h", 80)
    await names.find("h", 80)
    assert book.asked == ["h"] * 2
    names = Names(book, 0)
    for _ in range(2):
        await names.find("h", 80)
    assert book.asked == ["h"] * 4


async def test_an_unknown_name_is_asked_again() -> None:
    book = Book()
    names = Names(book)
    for _ in range(2):
        with pytest.raises(NameUnknown):
            await names.find("h", 80)
    book.found = [A]
    assert await names.find("h", 80) == [A]


async def test_no_more_names_are_kept_than_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 2)
    book = Book(A)
    names = Names(book)
    for host in ("a", "b", "c", "c", "b", "a"):
        await names.find(host, 80)
    assert book.asked == ["a", "b", "c", "a"]


async def test_closing_ends_what_is_asked() -> None:
    book = Book(A)
    book.open.clear()
    names = Names(book)
    asking = asyncio.create_task(names.find("h", 80))
    await asyncio.sleep(0)
    names.close()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_the_system_knows_this_machine() -> None:
    assert {info[4][0] for info in await look_up("localhost", 80)} <= {"127.0.0.1", "::1"}
