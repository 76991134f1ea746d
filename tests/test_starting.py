"""What a start takes along: a server imports what its first requests need, everything else when somebody asks for it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from omni_connector import server
from omni_connector.root import ROOT

LATER = {
    "alembic": "only a database of another schema needs it (store/schema.py)",
    "genai_prices": "the price table is read instead (price_table.py)",
    "pydantic": "of genai_prices",
    "jose": "sessions of the dashboard and sign-ins, with most of cryptography behind it",
    "apscheduler": "the clock of the jobs, wound up when the server serves (jobs.py)",
    "sqlalchemy.dialects.postgresql": "on SQLite (store/prebuilt.py)",
    "asyncpg": "on SQLite",
    "cryptography.x509": "of jose",
    "opentelemetry": "only where traces are sent",
    "tarfile": "of updates",
    "questionary": "of the command line",
    "rich": "of the command line",
    "omni_connector.clients": "setting up programs (admin/clients.py)",
    "omni_connector.openapi": "/openapi.json",
    "omni_connector.updating": "looking for a release",
    "omni_connector.doctor": "of the command line",
    "omni_connector.verifying": "of the command line",
    "omni_connector.cli.backend": "one command needs no other's module (cli/shell.py)",
    "uvicorn": "another server",
    "granian": "another server",
}
"""Module → why no start needs it. Each costs milliseconds and memory; together they were a third of both."""
SERVE = """
import json, sys
from omni_connector.cli.shell import root
root.commands["serve"]
import asyncio, app
from pathlib import Path
from omni_connector.gateway import Gateway
async def main():
    gateway = await Gateway.open(Path(sys.argv[1]))
    site = app.Assembled(gateway)
    await gateway.serve()
    await gateway._prices_loaded()
    names = sorted(sys.modules)
    await gateway.close()
    print(json.dumps(names))
asyncio.run(main())
"""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The modules of a process that is ready to serve, of a home that is there already."""
    home = tmp_path_factory.mktemp("home")
    for _ in range(2):  # the first one makes database and price table
        done = subprocess.run([sys.executable, "-c", SERVE, str(home)], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("name", LATER)
def test_a_start_does_without(loaded: set[str], name: str) -> None:
    assert name not in loaded, LATER[name]


def test_the_list_names_what_there_is(loaded: set[str]) -> None:
    assert "quart" in loaded and len(loaded) > 500
    missing = [name for name in LATER if name.startswith("omni_connector.") and not _is_there(name)]
    assert not missing


def _is_there(name: str) -> bool:
    place = Path(ROOT, *name.split("."))
    return place.is_dir() or place.with_suffix(".py").is_file()


def test_workers_share_what_each_would_import() -> None:
    """A name that is gone would only be seen where several workers start."""
    for name in server.SHARED:
        __import__(name)
