"""Backups over HTTP: only for the owner, who says so once more, and the file leaves nothing behind."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from omni_connector import backup
from tests.desk import Desk, closed, error_of, opened

WORDS = "correct horse"


@pytest.fixture
async def desk(migrated_home: Path, tmp_path: Path) -> AsyncIterator[Desk]:
    desk = await opened(migrated_home, tmp_path / "home")
    yield desk
    await closed(desk)


async def test_a_session_alone_takes_nothing_away(desk: Desk, tmp_path: Path) -> None:  # P-61
    assert (await desk.ask("POST", "/api/backup", {"passphrase": WORDS})).status_code == 401
    assert (await desk.ask("GET", "/api/backups")).status_code == 401
    await desk.sign_in()
    bodies: tuple[Any, ...] = ({"passphrase": WORDS}, {"passphrase": WORDS, "admin_key": "omniadm-wrong"}, [])
    for body in bodies:
        answer = await desk.ask("POST", "/api/backup", body)
        assert (answer.status_code, (await error_of(answer))["code"]) == (403, "key_again")
    assert not list((tmp_path / "home" / "backups").iterdir())
    assert (await (await desk.ask("GET", "/api/backups")).get_json())["snapshots"] == []


async def test_the_file_is_what_can_be_restored(desk: Desk, tmp_path: Path) -> None:
    await desk.sign_in()
    short = await desk.ask("POST", "/api/backup", {"passphrase": "short", "admin_key": desk.gateway.admin_key})
    assert (short.status_code, (await error_of(short))["param"]) == (400, "passphrase")
    answer = await desk.ask("POST", "/api/backup", {"passphrase": WORDS, "admin_key": desk.gateway.admin_key})
    data = await answer.get_data()
    assert (answer.status_code, int(answer.headers["content-length"])) == (200, len(data))
    assert answer.headers["content-disposition"].endswith('.backup"')
    assert answer.headers["cache-control"] == "no-store"
    (tmp_path / "b").write_bytes(data)
    assert backup.read(tmp_path / "b", WORDS, tmp_path / "out.db")["master_keys"] == (tmp_path / "home" / "master.key").read_text()
    assert not list((tmp_path / "home" / "backups").iterdir())


async def test_for_the_command_line_it_waits_in_its_folder(desk: Desk, tmp_path: Path) -> None:
    said: Any = {"passphrase": WORDS, "download": False}
    told = await (await desk.ask("POST", "/api/backup", said, authorization=desk.admin["authorization"])).get_json()
    assert (tmp_path / "home" / "backups" / told["file"]).stat().st_size == told["bytes"]
