from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from omni_connector import backup
from omni_connector.errors import GatewayError
from tests.admin.conftest import NOW, House

WORDS = "correct horse"


@pytest.fixture
def folder(house: House) -> Path:
    made = house.admin.process.home / "backups"
    made.mkdir(exist_ok=True, parents=True)
    return made


async def test_a_backup_waits_under_a_seal(house: House, folder: Path) -> None:  # P-61
    told = await house.admin.backup({"passphrase": WORDS})
    assert (told["made_at"], told["bytes"]) == (NOW, (folder / told["file"]).stat().st_size)
    assert [path.name for path in folder.iterdir()] == [told["file"]], "the copy in the clear is gone"
    facts = backup.read(folder / told["file"], WORDS, folder / "out.db")
    assert facts["master_keys"] == house.vault.written()


async def test_without_a_good_passphrase_nothing_is_copied(house: House, folder: Path) -> None:
    bodies: tuple[Any, ...] = ({}, {"passphrase": "short"}, {"passphrase": 5}, [])
    for body in bodies:
        with pytest.raises(GatewayError, match=r"passphrase|object"):
            await house.admin.backup(body)
    assert not list(folder.iterdir())


async def test_the_ring_is_daily_and_keeps_a_week(house: House, folder: Path) -> None:
    (folder / "omni-7.db").write_bytes(b"1234")
    assert await house.admin.backups() == {"snapshots": [{"name": "omni-7.db", "made_at": 7, "bytes": 4}], "kept": 7, "every_h": 24}
