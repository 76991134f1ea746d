from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from omni_connector.command import process
from tests.command.programs import Workshop


@pytest.fixture
async def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Workshop]:
    """Afterwards nothing of a run is left: neither a process nor a folder."""
    monkeypatch.setattr(process, "GRACE_S", 0.2)
    shop = Workshop(tmp_path)
    yield shop
    await shop.commands.close()
    assert not list((shop.home / "commands").glob("run-*"))
