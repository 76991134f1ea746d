"""Files of frames: whole or not at all, locked by who writes them, torn at any byte."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from omni_connector import frames as frames_module
from omni_connector.frames import Frame, FrameFile, framed, inherit, left, process_of

ENDING = ".books"


def file(folder: Path, name: str = "prc_1-1") -> FrameFile:
    return FrameFile.create(folder / f"{name}{ENDING}")


def test_what_is_torn_at_any_byte_ends_the_file(tmp_path: Path) -> None:
    written = [framed([{"id": "a"}], [], []), framed([], [{"id": "a", "n": 1}], [{"k": b"x"}])]
    whole = b"".join(written)
    for cut in range(len(whole) + 1):
        one = file(tmp_path, f"prc_1-{cut}")
        one.append(whole[:cut])
        assert len(list(one.frames(0))) == (0 if cut < len(written[0]) else 1 if cut < len(whole) else 2)
        one.close()


def test_a_file_has_its_name_when_it_is_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[Path]] = []
    rename = Path.rename

    def looked(self: Path, target: Path) -> Path:
        seen.append(left(tmp_path, ENDING))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", looked)
    mine = file(tmp_path)
    assert seen == [[]] and left(tmp_path, ENDING) == [mine.path]
    assert mine.path.stat().st_mode & 0o777 == 0o600
    assert FrameFile.take_over(mine.path) is None, "its process lives"
    mine.close()
    taken = FrameFile.take_over(mine.path)
    assert taken is not None
    taken.remove()
    assert left(tmp_path, "") == [] and process_of(mine.path) == "prc_1"


def test_a_disk_that_refuses_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = file(tmp_path)
    mine.append(framed([{"id": "a"}], [], []))
    flush = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda handle: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="space"):
        mine.append(framed([{"id": "b"}], [], []))
    monkeypatch.setattr(os, "fdatasync", flush)
    mine.append(framed([{"id": "c"}], [], []))
    assert [row["id"] for frame in mine.frames(0) for row in frame.opens] == ["a", "c"]
    mine.close()


async def test_one_that_cannot_be_carried_over_stays_and_holds_up_no_other(tmp_path: Path) -> None:
    for name in ("prc_a-1", "prc_b-1", "prc_c-1"):
        one = file(tmp_path, name)
        one.append(framed([{"id": name}], [], []))
        if name != "prc_c-1":
            one.close()
    told: list[tuple[str, str, bool]] = []

    async def carry(name: str, frames: Sequence[Frame], process_id: str, last: bool, soon: bool) -> None:
        if process_id == "prc_a":
            raise OSError("the database is away")
        told.append((frames[0].opens[0]["id"], process_id, last))

    async def forget(name: str) -> None:
        await asyncio.sleep(0)

    await inherit(tmp_path, ENDING, carry, forget, lambda process_id: process_id != "prc_b")
    assert told == [("prc_b-1", "prc_b", False)]
    assert [path.name for path in left(tmp_path, ENDING)] == ["prc_a-1.books", "prc_c-1.books"]
    one.close()


async def test_a_process_s_files_wait_for_those_before_them(tmp_path: Path) -> None:
    locked = file(tmp_path, "prc_a-9")
    for name in ("prc_a-10", "prc_b-9", "prc_b-10"):
        one = file(tmp_path, name)
        one.append(framed([{"id": name}], [], []))
        one.close()
    told: list[tuple[str, bool]] = []

    async def carry(name: str, frames: Sequence[Frame], process_id: str, last: bool, soon: bool) -> None:
        told.append((frames[0].opens[0]["id"], last))

    async def forget(name: str) -> None:
        await asyncio.sleep(0)

    await inherit(tmp_path, ENDING, carry, forget, lambda process_id: True)
    assert told == [("prc_b-9", False), ("prc_b-10", True)]
    locked.close()


async def test_a_fact_that_cannot_be_forgotten_ends_no_start(tmp_path: Path) -> None:
    one = file(tmp_path)
    one.append(framed([{"id": "a"}], [], []))
    one.close()
    one.close()

    async def carry(name: str, frames: Sequence[Frame], process_id: str, last: bool, soon: bool) -> None:
        await asyncio.sleep(0)

    async def forget(name: str) -> None:
        raise OSError("the database is away")

    await inherit(tmp_path, ENDING, carry, forget, lambda process_id: True)
    assert left(tmp_path, "") == []


async def test_what_a_kill_left_of_a_beginning_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / f"prc_1-1{ENDING}.part").touch()

    async def never(*said: object) -> None:
        raise AssertionError

    await inherit(tmp_path, ENDING, never, never, lambda process_id: True)
    assert left(tmp_path, "") == []


def test_files_of_two_kinds_do_not_share_their_beginnings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = Path.rename

    def meanwhile(self: Path, target: Path) -> Path:
        monkeypatch.setattr(Path, "rename", rename)
        made.append(FrameFile.create(tmp_path / "prc_1-1.other"))
        return rename(self, target)

    made: list[FrameFile] = []
    monkeypatch.setattr(Path, "rename", meanwhile)
    made.append(file(tmp_path))
    assert {path.name for path in left(tmp_path, "")} == {f"prc_1-1{ENDING}", "prc_1-1.other"}
    for one in made:
        one.close()


def test_a_file_that_is_gone_by_the_time_it_is_locked_is_not_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = file(tmp_path)
    lock = frames_module._lock

    def late(handle: int) -> bool:
        mine.remove()
        return lock(handle)

    monkeypatch.setattr(frames_module, "_lock", late)
    assert FrameFile.take_over(mine.path) is None


def test_a_folder_that_cannot_be_flushed_makes_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name could be gone after a power cut, and all that was durable in it."""

    def broken(handle: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="output"):
        file(tmp_path)
    assert left(tmp_path, "") == []
