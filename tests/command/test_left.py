"""After a crash: what runs for nobody ends, what runs for somebody goes on."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from omni_connector.command import left
from omni_connector.command.process import Process, finish
from tests.command.programs import is_running

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="who a process is, is read in /proc")


def folder(base: Path, name: str, owner: str, group: str = "") -> Path:
    made = base / f"run-{name}"
    made.mkdir(parents=True)
    (made / left.OWNER).write_text(owner)
    (made / left.GROUP).write_text(group)
    return made


async def test_what_runs_for_nobody_is_ended_and_removed(tmp_path: Path) -> None:
    sleeps = (sys.executable, "-c", "import time; time.sleep(60)")
    transport, process = await asyncio.get_running_loop().subprocess_exec(Process, *sleeps, start_new_session=True)
    try:
        pid, ours = transport.get_pid(), left.who(os.getpid())
        before = f"{os.getpid()} 1"  # the same id, another process
        over = folder(tmp_path, "over", before, left.who(pid))
        mine = folder(tmp_path, "mine", ours, left.who(pid))
        half = folder(tmp_path, "half", "12")
        left.tidy(mine)
        assert is_running(pid)
        folder(tmp_path, "reused", before, f"{pid} 1")
        (over / left.GROUP).write_text(f"{pid} 1")
        left.tidy(tmp_path)
        assert is_running(pid), "its id is used again by somebody else"
        assert sorted(path.name for path in tmp_path.iterdir()) == ["run-half", "run-mine"]
        folder(tmp_path, "over", before, left.who(pid))
        left.tidy(tmp_path)
        while process.exited_at is None:
            process.changed.clear()
            await process.changed.wait()
        assert transport.get_returncode() == -signal.SIGKILL
        os.utime(half, (1, 1))
        left.tidy(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == [mine.name]
    finally:
        await finish(transport, process)


def test_a_process_that_is_not_there_is_nobody(tmp_path: Path) -> None:
    assert left.who(2**22 + 1) == ""
    left.tidy(tmp_path / "nowhere")
