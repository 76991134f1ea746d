from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
from pathlib import Path

import pytest

from omni_connector.store import files
from omni_connector.store import settings as rows
from omni_connector.store.engine import Database, DatabaseError


def test_a_new_file_is_private_and_in_wal_mode(tmp_path: Path) -> None:
    path = tmp_path / "omni.db"
    old = os.umask(0)
    try:
        files.prepare(path, 1 << 20)
        with sqlite3.connect(path) as conn:
            conn.execute("CREATE TABLE t (x)")
            assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {0o600}
            assert conn.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        conn.close()
    finally:
        os.umask(old)


@pytest.mark.parametrize("damage", ["text", "torn"])
async def test_a_damaged_file_is_reported_and_left_alone(tmp_path: Path, sqlite_template: bytes, damage: str) -> None:
    path = tmp_path / "omni.db"
    content = b"not a database " * 1000 if damage == "text" else sqlite_template[: len(sqlite_template) // 2] + os.urandom(4096)
    path.write_bytes(content)
    with pytest.raises(DatabaseError, match=r"omni\.db is damaged .* Nothing was changed.*backups/"):
        await Database.open(f"sqlite:///{path}")
    assert path.read_bytes()[100:] == content[100:]


def test_a_start_looks_only_for_a_while(tmp_path: Path) -> None:
    path = tmp_path / "omni.db"
    with sqlite3.connect(path) as conn:
        conn.execute("CREATE TABLE t (x)")
        conn.executemany("INSERT INTO t VALUES (?)", [(number,) for number in range(200_000)])
    conn.close()
    files.prepare(path, 60)
    content = bytearray(path.read_bytes())
    content[-4096:] = os.urandom(4096)
    path.write_bytes(content)
    files.prepare(path, -1)  # the time is over before it began
    with pytest.raises(files.Damaged):
        files.prepare(path, 60)
    assert not files.is_sound(path)


def test_whether_somebody_has_it_open(tmp_path: Path) -> None:
    path = tmp_path / "omni.db"
    assert not files.is_held(path)
    files.prepare(path, 1)
    assert not files.is_held(path)
    conn = sqlite3.connect(path)
    conn.execute("SELECT count(*) FROM sqlite_master").fetchone()
    assert files.is_held(path)
    conn.close()
    assert not files.is_held(path)
    assert files.revision(path) is None


async def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match=r"nowhere/omni\.db cannot be opened"):
        await Database.open(f"sqlite:///{tmp_path}/nowhere/omni.db")


async def test_integrity_finds_damage_that_came_later(lite: Database) -> None:
    await lite.integrity()
    path = lite.path
    assert path is not None
    await lite.tx(lambda conn: [rows.set_setting(conn, str(number), "x" * 500) for number in range(200)])
    await lite.close()
    content = bytearray(path.read_bytes())
    content[-3 * 4096 : -4096] = os.urandom(2 * 4096)
    path.write_bytes(content)
    with pytest.raises(DatabaseError, match="damaged"):
        files.quick_check(path)


async def test_a_snapshot_is_whole_and_private_while_others_write(lite: Database, tmp_path: Path) -> None:
    async def write() -> None:
        for number in range(30):
            await lite.tx(lambda conn, number=number: rows.set_setting(conn, "count", str(number)))

    writing = asyncio.create_task(write())
    target = tmp_path / "copy.db"
    await lite.snapshot_to(target)
    await lite.snapshot_to(target)  # replaces the former one
    await writing
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert not list(tmp_path.glob("*.part"))
    copy = await Database.open(f"sqlite:///{target}")
    # A transaction is in it whole or not at all: the value and the version it moved agree.
    assert int((await copy.run(rows.all_settings)).get("count", -1)) + 1 == await copy.run(rows.config_version)
    await copy.close()


async def test_a_snapshot_that_fails_leaves_the_old_one(lite: Database, tmp_path: Path) -> None:
    target = tmp_path / "folder" / "copy.db"
    with pytest.raises(DatabaseError):
        await lite.snapshot_to(target)
    assert not target.exists()
