"""Whether there is a newer release, as the dashboard asks."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from omni_connector import __version__
from omni_connector.errors import GatewayError, Kind

ROOT = Path(__file__).resolve().parents[2]


def install(home: Path, version: str) -> None:
    """A release as install.sh leaves it, as far as looking needs it."""
    folder = home / "releases" / version
    shutil.copytree(ROOT / "migrations/versions", folder / "migrations/versions", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / ".omni-release").write_text(f"version={version}\n")
    shutil.copy(ROOT / "install.sh", folder)
    (home / "current").symlink_to(f"releases/{version}")


async def test_what_is_offered_is_told(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    home = house.admin.process.home
    install(home, "0.0.9")
    monkeypatch.setenv("OMNI_ARCHIVE_URL", str(ROOT))
    told = await house.admin.check_update()
    assert (told["present"], told["offered"], told["update"]) == ("0.0.9", __version__, True)
    assert told["schema"]["moves"] is False
    assert told["command"] == "omni-connector update"


async def test_why_nothing_can_be_told(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMNI_ARCHIVE_URL", raising=False)
    with pytest.raises(GatewayError, match="that install") as caught:
        await house.admin.check_update()
    assert caught.value.kind is Kind.CONFLICT
    install(house.admin.process.home, "0.0.9")
    with pytest.raises(GatewayError, match="No address of releases is set"):
        await house.admin.check_update()
