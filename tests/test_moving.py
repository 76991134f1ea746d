"""The installation in another database: what must be so before, and that it works there after."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from omni_connector import homelock, spill
from omni_connector.admin import now_ms
from omni_connector.errors import GatewayError
from omni_connector.gateway import Gateway
from omni_connector.moving import move
from omni_connector.store.files import Away
from tests.postgres import Server


async def go(home: Path, url: str, env: dict[str, str] | None = None) -> dict[str, Any]:
    return await move(home, env or {}, url, resume=False, now=now_ms(), tell=lambda _: None)


async def test_an_installation_moves_to_postgresql_and_back(migrated_home: Path, tmp_path: Path, postgres: Server) -> None:  # J-12
    home = Path(shutil.copytree(migrated_home, tmp_path / "home"))
    gateway = await Gateway.open(home, {})
    await gateway.admin.add_account({"provider": "groq", "label": "main", "api_key": "gsk_x", "models": ["llama"], "discover": False})
    await gateway.close()
    url = await postgres.fresh(blank=True)
    told = await go(home, url)
    assert told["tables"]["accounts"] == 1 and told["rows"] >= 2 and told["to"] == url
    env = {"OMNI_DATABASE_URL": url}
    there = await Gateway.open(home, env)
    assert [account.secret for account in there.snapshot.accounts] == ["gsk_x"]
    await there.admin.set_config({"strategy": "cost"})
    await there.serve(jobs=False)
    with pytest.raises(GatewayError, match="in use"):
        await go(home, f"sqlite:///{tmp_path}/back.db", env)
    other = Path(shutil.copytree(migrated_home, tmp_path / "other"))
    with pytest.raises(GatewayError, match="1 processes work on postgresql"):
        await go(other, f"sqlite:///{tmp_path}/back.db", env)
    await there.close()
    assert (await go(home, f"sqlite:///{tmp_path}/back.db", env))["sha256"] != told["sha256"]
    back = await Gateway.open(home, {"OMNI_DATABASE_URL": f"sqlite:///{tmp_path}/back.db"})
    assert (back.settings.strategy, [account.label for account in back.snapshot.accounts]) == ("cost", ["main"])
    await back.close()
    postgres.done(url)


async def test_what_is_wrong_is_said_before_anything_is_changed(migrated_home: Path, tmp_path: Path) -> None:
    pytest.importorskip("asyncpg")
    home, target = Path(shutil.copytree(migrated_home, tmp_path / "home")), f"sqlite:///{tmp_path}/there.db"
    with pytest.raises(GatewayError, match="no database yet"):
        await go(tmp_path, target)
    with pytest.raises(GatewayError, match="the database in use"):
        await go(home, f"sqlite:///{home}/omni.db")
    with pytest.raises(GatewayError, match=r"not a database address|names no file"):
        await go(home, "nonsense")
    with pytest.raises(Away, match="does not answer"):
        await go(home, "postgresql://127.0.0.1:1/x")
    hold = homelock.share(home)
    with pytest.raises(GatewayError, match="in use"):
        await go(home, target)
    hold.release()
    (home / "spill").mkdir()
    (home / "spill" / f"prc_1-1{spill.ENDING}").write_bytes(b"x")
    with pytest.raises(GatewayError, match="wait in"):
        await go(home, target)
    assert not (tmp_path / "there.db").exists()
