import asyncio
import contextlib
import signal
import sys

import pytest
import uvloop

from omni_connector.command import process as room
from omni_connector.command.process import LAST_WORDS, Process, exited, finish, quoted, tell


def test_only_the_last_words_are_kept_and_quoted() -> None:
    said = Process()
    said.pipe_data_received(2, b"a" * 10_000)
    said.pipe_data_received(2, b"\nfirst \t line\n\n\x1b second\nlast line \xff\n")
    assert len(said.errors) <= LAST_WORDS
    assert quoted(said.errors).endswith("/ first line / \x1b second / last line \ufffd")
    assert quoted(b" \n") == ""


async def test_who_ignores_the_polite_word_is_ended_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "GRACE_S", 0.1)
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    transport, said = await asyncio.get_running_loop().subprocess_exec(Process, sys.executable, "-c", stubborn, start_new_session=True)
    while not said.take():
        said.changed.clear()
        await said.changed.wait()
    await finish(transport, said)
    await exited(said, 5)  # on a busy machine a killed process is heard of later than the little that is waited here
    # 255: closing the transport has heard of its end before the watcher did, who then does not know how it was.
    assert transport.get_returncode() in (-signal.SIGKILL, 255)


def test_who_has_ended_already_need_hear_nothing() -> None:
    """The server's event loop knows that the pipe is closed, and refuses to write to it."""

    async def scene() -> bytes:
        transport, said = await asyncio.get_running_loop().subprocess_exec(Process, sys.executable, "-c", "print('done')")
        pipe = transport.get_pipe_transport(0)
        while said.open or said.exited_at is None or not pipe.is_closing():  # type: ignore[union-attr]
            said.changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.02):
                    await said.changed.wait()
        tell(transport, b"x" * 100_000)
        await finish(transport, said)
        return said.take()

    assert uvloop.run(scene()) == b"done\n"
