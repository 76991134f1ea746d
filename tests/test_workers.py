from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator

import pytest

from omni_connector.listeners import listen
from omni_connector.workers import Channel, answer


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, Channel]]:
    ours, theirs = socket.socketpair()
    ear, mouth = os.pipe()
    yield ours, Channel(theirs, ear, 0)
    for handle in (ours, theirs):
        handle.close()
    for number in (ear, mouth):
        os.close(number)


def asked(line: socket.socket) -> dict[str, object]:
    return dict(json.loads(line.recv(4096)))


def test_a_socket_travels_beside_its_answer(ends: tuple[socket.socket, Channel]) -> None:
    ours, channel = ends
    questions = []
    with listen("127.0.0.1", 0) as listener:

        def supervise() -> None:
            questions.append(asked(ours))
            answer(ours, {}, listener)

        thread = threading.Thread(target=supervise)
        thread.start()
        with channel.take(("127.0.0.1", 0)) as found:
            assert found.getsockname() == listener.getsockname() and not found.get_inheritable()
        thread.join()
    assert questions == [{"do": "take", "host": "127.0.0.1", "port": 0}]


def test_what_cannot_be_opened_is_an_error_as_if_it_were_ours(ends: tuple[socket.socket, Channel]) -> None:
    ours, channel = ends
    answer(ours, {"errno": 98, "error": "Address already in use"})
    with pytest.raises(OSError, match="Address already in use") as told:
        channel.take(("127.0.0.1", 1))
    assert told.value.errno == 98


def test_answers_may_come_in_pieces_and_signs_of_life_want_none(ends: tuple[socket.socket, Channel]) -> None:
    ours, channel = ends
    channel.alive()
    assert asked(ours) == {"do": "alive"}

    def supervise() -> None:
        asked(ours)
        for piece in (b'{"pid"', b": 5", b"}\n"):
            ours.sendall(piece)

    thread = threading.Thread(target=supervise)
    thread.start()
    assert channel.crew() == {"pid": 5}
    thread.join()


def test_a_supervisor_that_is_gone_is_an_error(ends: tuple[socket.socket, Channel]) -> None:
    ours, channel = ends
    ours.close()
    with pytest.raises(OSError):
        channel.crew()
    channel.alive()
