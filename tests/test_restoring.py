"""Backups come back: in another home, over a damaged database, after a kill at any step; and what was there is kept."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from omni_connector import backup, homelock, restoring
from omni_connector.errors import GatewayError
from omni_connector.gateway import Gateway
from omni_connector.store import files, schema
from omni_connector.store.engine import Database
from omni_connector.store.files import Damaged

Json = dict[str, Any]
WORDS = "correct horse"
NOW = 1_795_000_000_000


async def labels(home: Path) -> list[str]:
    """The accounts of a home, each with its key decrypted."""
    gateway = await Gateway.open(home, {})
    try:
        assert all(account.secret == "sk-" + account.label * 8 for account in gateway.snapshot.accounts)
        return sorted(account.label for account in gateway.snapshot.accounts)
    finally:
        await gateway.close()


async def add(home: Path, label: str) -> None:
    gateway = await Gateway.open(home, {})
    gateway.admin._test_account = None
    await gateway.admin.add_account({"provider": "openai", "label": label, "api_key": "sk-" + label * 8, "discover": False})
    await gateway.close()


async def sealed(home: Path, target: Path) -> Path:
    gateway = await Gateway.open(home, {})
    told = await gateway.admin.backup({"passphrase": WORDS})
    backup.move(home / "backups" / told["file"], target)
    await gateway.close()
    return target


@pytest.fixture
async def old(migrated_home: Path, tmp_path: Path) -> Path:
    """A home with the account `one`, and its backup beside it."""
    shutil.copytree(migrated_home, tmp_path / "old")
    await add(tmp_path / "old", "one")
    await sealed(tmp_path / "old", tmp_path / "b")
    return tmp_path / "old"


async def restore(home: Path, tmp_path: Path, passphrase: str = WORDS) -> Json:
    return await restoring.restore(home, {}, file=tmp_path / "b", passphrase=passphrase, now_ms=NOW)


def picture(home: Path) -> dict[str, bytes]:
    return {str(path.relative_to(home)): path.read_bytes() for path in home.rglob("*") if path.is_file()}


def tear(database: Path) -> None:
    """Pages in the middle become noise."""
    content = bytearray(database.read_bytes())
    content[4096 * 3 : 4096 * 12] = os.urandom(4096 * 9)
    database.write_bytes(content)


async def test_to_another_machine(old: Path, tmp_path: Path) -> None:  # P-61, R-12
    told = await restore(tmp_path / "new", tmp_path)
    assert (told["accounts"], told["kept"]) == (1, None)
    assert await labels(tmp_path / "new") == ["one"]
    assert not (tmp_path / "new" / restoring.READY).exists()


async def test_another_master_key_is_kept_and_goes_on_opening_its_copies(old: Path, tmp_path: Path) -> None:
    new = tmp_path / "new"
    await add(new, "two")
    gateway = await Gateway.open(new, {})
    await gateway.db.snapshot_to(new / "backups" / f"omni-{NOW}.db")
    await gateway.close()
    own = (new / "master.key").read_text()
    told = await restore(new, tmp_path)
    assert await labels(new) == ["one"]
    assert (Path(told["kept"]) / "master.key").read_text() == own
    # Back to what was there before the restore, and to a copy of the ring: both were written with the other key.
    before = await restoring.restore(new, {}, copy=Path(told["kept"]).name, now_ms=NOW)
    assert await labels(new) == ["two"]
    assert before["kept"] != told["kept"]
    await restore(new, tmp_path)
    await restoring.restore(new, {}, copy=f"omni-{NOW}.db", now_ms=NOW)
    assert await labels(new) == ["two"]


@pytest.mark.parametrize("fault", ["passphrase", "truncated", "no file", "newer", "no database", "wrong key", "full"])
async def test_what_cannot_be_restored_changes_nothing(old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    new = tmp_path / "new"
    await add(new, "two")
    copy = tmp_path / "copy.db"
    files.snapshot(old / "omni.db", copy)
    keys = (old / "master.key").read_text()
    said = "does not open"
    match fault:
        case "truncated":
            (tmp_path / "b").write_bytes((tmp_path / "b").read_bytes()[:-1000])
            said = "damaged"
        case "no file":
            (tmp_path / "b").unlink()
            said = "cannot be read"
        case "newer":
            with sqlite3.connect(copy) as conn:
                conn.execute("UPDATE alembic_version SET version_num = '9999'")
            conn.close()
            said = "newer release"
        case "no database":
            copy.write_bytes(b"x" * 9000)
            monkeypatch.setattr(files, "revision", lambda path, real=files.revision: "1" if path == copy else real(path))
            said = "damaged, or none"
        case "wrong key":
            keys = "other:" + "A" * 43 + "=\n"
            said = "was encrypted with master key"
        case "full":
            monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10))
            said = "Free some space"
    if fault in ("newer", "no database", "wrong key"):
        backup.write(tmp_path / "b", copy, keys, WORDS, 5)
    before = picture(new)
    with pytest.raises(Exception, match=said):
        await restore(new, tmp_path, "wrong horse" if fault == "passphrase" else WORDS)
    assert picture(new) == before
    assert await labels(new) == ["two"]


async def test_a_database_in_use_is_left_alone(old: Path, tmp_path: Path) -> None:
    gateway = await Gateway.open(old, {})
    await gateway.reload()
    with pytest.raises(GatewayError, match="in use"):
        await restore(old, tmp_path)
    await gateway.close()
    assert await labels(old) == ["one"]


async def test_damage_stops_the_start_and_names_the_way_back(old: Path) -> None:
    gateway = await Gateway.open(old, {})
    for number in range(3):
        await gateway.db.snapshot_to(old / "backups" / f"omni-{NOW + number}.db")
    await gateway.close()
    tear(old / "backups" / f"omni-{NOW + 2}.db")
    tear(old / "omni.db")
    torn = (old / "omni.db").read_bytes()
    with pytest.raises(Damaged, match=rf"is damaged.*omni-connector restore --snapshot omni-{NOW + 1}\.db$"):
        await Gateway.open(old, {})
    assert (old / "omni.db").read_bytes() == torn
    told = await restoring.restore(old, {}, copy=f"omni-{NOW + 1}.db", now_ms=NOW)
    assert told["made_at"] == NOW + 1
    assert await labels(old) == ["one"]
    assert (Path(told["kept"]) / "omni.db").read_bytes() == torn
    assert (old / "backups" / f"omni-{NOW + 1}.db").exists()


async def test_without_a_good_copy_it_says_so(old: Path) -> None:
    tear(old / "omni.db")
    with pytest.raises(Damaged, match="no good copy"):
        await Gateway.open(old, {})
    for name in ("nothing.db", "../omni.db", ".."):
        with pytest.raises(GatewayError, match="There is no copy"):
            await restoring.restore(old, {}, copy=name, now_ms=NOW)


class Killed(BaseException):
    pass


async def test_a_kill_at_any_step_leaves_the_old_or_the_new(old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every rename and every deletion is an instant to die at; the next start has one of the two, whole, and opens its secrets."""
    await add(tmp_path / "seed", "two")
    seen: list[list[str]] = []
    for step in range(100):
        home = tmp_path / f"home{step}"
        shutil.copytree(tmp_path / "seed", home)
        left = step
        with monkeypatch.context() as patch:

            def dying(name: str) -> Any:
                real = getattr(Path, name)

                def act(self: Path, *args: Any, **more: Any) -> Any:
                    nonlocal left
                    if left == 0:
                        raise Killed  # and so does everything that would still clean up
                    left -= 1
                    return real(self, *args, **more)

                return act

            for name in ("replace", "unlink"):
                patch.setattr(Path, name, dying(name))
            try:
                await restore(home, tmp_path)
            except Killed:
                pass
            else:
                break
        seen.append(await labels(home))
        assert not (home / restoring.NOTE).exists()
        shutil.rmtree(home)
    else:
        pytest.fail("it never got through")
    assert ["two"] in seen
    assert ["one"] in seen
    assert seen == sorted(seen, reverse=True), "once it is decided it stays so"


async def test_the_log_beside_a_database_goes_with_it(old: Path, tmp_path: Path) -> None:
    """A process that was killed leaves a -wal: with another database it would be poison."""
    (old / "omni.db-wal").write_bytes(b"not a log")
    said = {name: str(old / name) for name in ("ready", "kept")} | {"database": str(old / "omni.db"), "keys": ""}
    (old / "ready").write_bytes(b"new")
    restoring._write(old / restoring.NOTE, json.dumps(said))
    assert restoring.finish(old)
    assert ((old / "omni.db").read_bytes(), (old / "kept" / "omni.db-wal").read_bytes()) == (b"new", b"not a log")
    assert not (old / "omni.db-wal").exists()
    assert not restoring.finish(old)


async def test_an_older_schema_is_migrated(old: Path, tmp_path: Path) -> None:
    from alembic import command
    from alembic.config import Config

    db = await Database.open(f"sqlite:///{old / 'omni.db'}")

    def down(conn: Any) -> None:
        config = Config()
        config.set_main_option("script_location", str(schema.MIGRATIONS))
        config.attributes["connection"] = conn
        command.downgrade(config, "0006")

    await db.tx(down)
    await db.snapshot_to(tmp_path / "copy.db")
    await db.close()
    backup.write(tmp_path / "b", tmp_path / "copy.db", (old / "master.key").read_text(), WORDS, 5)
    told = await restore(tmp_path / "new", tmp_path)
    assert (told["schema_before"], told["schema"]) == ("0006", schema.head())
    assert await labels(tmp_path / "new") == ["one"]


async def test_postgres_has_its_own_tools(tmp_path: Path) -> None:
    with pytest.raises(GatewayError, match="pg_restore"):
        restoring.place(tmp_path, {"OMNI_DATABASE_URL": "postgresql://h/d"})


# ---------------------------------------------------------------- The small files of the home


def small_files(home: Path) -> dict[str, bytes]:
    return {name: (home / name).read_bytes() for name in backup.FILES if (home / name).exists()}


async def test_settings_and_the_admin_key_move_along_and_come_back(old: Path, tmp_path: Path) -> None:  # P-61, R-12
    (old / ".env").write_bytes(b"OMNI_PORT=4001 # mine\n")
    await sealed(old, tmp_path / "b")
    new = tmp_path / "new"
    await add(new, "two")
    mine = small_files(new)
    assert set(mine) == {"admin.key"}
    told = await restore(new, tmp_path)
    assert sorted(told["files"]) == [".env", "admin.key"]
    assert small_files(new) == small_files(old)
    assert {(new / name).stat().st_mode & 0o777 for name in backup.FILES} == {0o600}
    assert (Path(told["kept"]) / "admin.key").read_bytes() == mine["admin.key"]
    undone = await restoring.restore(new, {}, copy=Path(told["kept"]).name, now_ms=NOW)
    assert small_files(new) == mine, "what was not there is gone again"
    assert await labels(new) == ["two"]
    again = await restoring.restore(new, {}, copy=Path(undone["kept"]).name, now_ms=NOW)
    assert small_files(new) == small_files(old)
    assert sorted(again["files"]) == [".env", "admin.key"]
    kept = await restoring.restore(new, {}, copy=Path(told["kept"]).name, keep_files=True, now_ms=NOW)
    assert kept["files"] == []
    assert small_files(new) == small_files(old)


async def test_a_settings_file_that_cannot_be_read_changes_nothing(old: Path, tmp_path: Path) -> None:
    for content, said in ((b"\xff\xfe", "UTF-8"), (b"not a line", "line 1")):
        backup.write(tmp_path / "b", old / "omni.db", (old / "master.key").read_text(), WORDS, 5, {".env": content})
        before = picture(old)
        with pytest.raises(Exception, match=said):
            await restore(old, tmp_path)
        assert picture(old) == before


async def test_the_database_goes_where_the_restored_settings_have_it(old: Path, tmp_path: Path) -> None:
    (old / ".env").write_text(f"OMNI_DATABASE_URL=sqlite:///{tmp_path}/data/books.db\n")
    copy = tmp_path / "copy.db"
    files.snapshot(old / "omni.db", copy)
    backup.write(tmp_path / "b", copy, (old / "master.key").read_text(), WORDS, 5, backup.home_files(old))
    new = tmp_path / "new"
    with pytest.raises(GatewayError, match="--keep-files"):
        await restore(new, tmp_path)
    assert not (new / ".env").exists()
    (tmp_path / "data").mkdir()
    told = await restore(new, tmp_path)
    assert told["database"] == str(tmp_path / "data" / "books.db")
    assert await labels(new) == ["one"]
    assert not (new / "omni.db").exists()


async def test_a_backup_of_before_small_files_still_restores(old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "copy.db"
    files.snapshot(old / "omni.db", copy)
    real = json.dumps

    def without(value: Any, **more: Any) -> str:
        return real({name: part for name, part in value.items() if name != "files"}, **more)

    with monkeypatch.context() as patch:
        patch.setattr(json, "dumps", without)
        backup.write(tmp_path / "b", copy, (old / "master.key").read_text(), WORDS, 5)
    assert "files" not in backup.look(tmp_path / "b", WORDS)
    told = await restore(tmp_path / "new", tmp_path)
    assert (told["accounts"], told["files"]) == (1, [])


async def test_one_restore_at_a_time_and_no_start_meanwhile(old: Path, tmp_path: Path) -> None:
    with homelock.alone(old):
        with pytest.raises(GatewayError, match="restore is under way"):
            await restore(old, tmp_path)
        with pytest.raises(GatewayError, match="restore is under way"):
            homelock.share(old, 0)
    assert await labels(old) == ["one"]
    first, second = await asyncio.gather(restore(old, tmp_path), restore(old, tmp_path), return_exceptions=True)
    assert sorted(isinstance(one, GatewayError) for one in (first, second)) == [False, True]
    assert await labels(old) == ["one"]


async def test_a_start_carries_out_what_was_decided_and_two_starts_do_it_once(old: Path, tmp_path: Path) -> None:
    note = {"database": str(old / "omni.db"), "ready": str(old / "none"), "keys": "", "kept": str(old / "kept"), "put": [".env"]}
    (old / restoring.READY).mkdir()
    (old / restoring.READY / ".env").write_text("OMNI_PORT=4002\n")
    restoring._write(old / restoring.NOTE, json.dumps(note))
    holds = await asyncio.gather(*(asyncio.to_thread(restoring.enter, old) for _ in range(4)))
    assert (old / ".env").read_text() == "OMNI_PORT=4002\n"
    assert not (old / restoring.NOTE).exists()
    for hold in holds:
        hold.release()


async def test_a_copy_of_an_older_release_is_put_back_by_the_next_start(old: Path) -> None:  # O-11
    """It is not migrated on the way: the release that starts next is to read it."""
    copy = old / "backups/before.db"
    files.snapshot(old / "omni.db", copy)
    with closing(sqlite3.connect(copy)) as conn:
        conn.execute("UPDATE alembic_version SET version_num = '0000'")
        conn.commit()
    kept = restoring.put_back(old, {}, copy, NOW)
    assert files.revision(old / "omni.db") == schema.head() and not kept.exists()
    assert restoring.finish(old) and not restoring.finish(old)
    assert files.revision(old / "omni.db") == "0000" and files.revision(kept / "omni.db") == schema.head()
    copy.write_bytes(b"no database")
    with pytest.raises(GatewayError):
        restoring.put_back(old, {}, copy, NOW)
    assert not (old / restoring.NOTE).exists()
