"""`partitions` from the command line."""

from __future__ import annotations

import asyncio

import pytest

from tests.cli.conftest import Cli
from tests.postgres import Server


def test_sqlite_has_none(cli: Cli) -> None:
    said = cli("partitions", "--months", "2")
    assert said.code == 1 and "SQLite" in said.err


def test_months_are_made_ahead_and_shown(cli: Cli, postgres: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    url = asyncio.run(postgres.fresh())
    monkeypatch.setenv("OMNI_DATABASE_URL", url)
    before = cli("partitions", "--json").json
    assert before["made"] == [] and before["partitions"][0]["from"] is None
    told = cli("partitions", "--months", "12", "--json").json
    assert len(told["partitions"]) == 14 and len(told["made"]) == 9
    assert cli("partitions", "--months", "12").out.count("requests_y") == 13
    asyncio.run(postgres.drop(url))
