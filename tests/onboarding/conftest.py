"""A place to sign in for every test of this folder."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.signing import Place, opened_place


@pytest.fixture
async def place(migrated_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Place]:
    async with opened_place(migrated_home, tmp_path / "home", monkeypatch) as place:
        yield place
