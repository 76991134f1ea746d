"""A migrated database for each test, on both engines (tests/postgres.py finds a PostgreSQL)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from omni_connector.secrets import Vault
from omni_connector.store import schema
from omni_connector.store.engine import Database
from tests import quick


@pytest.fixture(autouse=True)
def every_migration_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "upgrade", quick.really())


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a freshly migrated database: copying them is faster than migrating for every test."""
    path = tmp_path_factory.mktemp("template") / "omni.db"
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.begin() as conn:
        schema.upgrade(conn)
    engine.dispose()
    return path.read_bytes()


@pytest.fixture(params=["sqlite", "postgres"])
async def db(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    if request.param == "sqlite":
        path = tmp_path / "omni.db"
        path.write_bytes(request.getfixturevalue("sqlite_template"))
        database = await Database.open(f"sqlite:///{path}")
        yield database
        await database.close()
        return
    server = request.getfixturevalue("postgres")
    url = await server.fresh()
    database = await Database.open(url)
    yield database
    await database.close()
    server.done(url)


@pytest.fixture
async def lite(tmp_path: Path, sqlite_template: bytes) -> AsyncIterator[Database]:
    """SQLite only, for what is about its file."""
    path = tmp_path / "omni.db"
    path.write_bytes(sqlite_template)
    database = await Database.open(f"sqlite:///{path}")
    yield database
    await database.close()


@pytest.fixture
def vault() -> Vault:
    return Vault({"k1": b"1" * 32}, "k1")
