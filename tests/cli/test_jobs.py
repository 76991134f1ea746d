from __future__ import annotations

import asyncio
from pathlib import Path

from omni_connector.cli import office
from omni_connector.store import jobs as table
from tests.cli.conftest import Cli


def make_jobs(home: Path) -> None:
    async def make() -> None:
        async with office.local_gateway(home) as gateway:
            for kind, key in (("snapshot", ""), ("quota", "acc_1"), ("quota", "acc_2")):
                await gateway.db.tx(lambda conn, kind=kind, key=key: table.ensure(conn, kind, key, None, None, 1, due_at=1 << 41))  # type: ignore[misc]

    asyncio.run(make())


def test_jobs_are_listed_run_and_paused(cli: Cli, omni_home: Path) -> None:
    assert "No job yet" in cli("jobs").out
    make_jobs(omni_home)
    assert [line.split()[0] for line in cli("jobs", "list").out.splitlines()[1:]] == ["quota/acc_1", "quota/acc_2", "snapshot"]
    assert cli("jobs", "--json").json == cli("jobs", "list", "--json").json
    paused = cli("jobs", "cancel", "snapshot", "--json").json
    assert paused["state"] == "paused"
    assert "is due now" in cli("jobs", "run", paused["id"]).out
    assert "No server runs" in cli("jobs", "run", "quota/acc_2").err
    assert cli("jobs", "cancel", "quota/acc_2").out.endswith("omni-connector jobs run quota/acc_2\n")


def test_a_wrong_job_names_near_ones(cli: Cli, omni_home: Path) -> None:
    make_jobs(omni_home)
    for name, said in (("snapshott", "'snapshot'"), ("quota", "quota/acc_1, quota/acc_2"), ("x", "jobs")):
        result = cli("jobs", "run", name)
        assert (result.code, result.err.count("\n")) == (1, 1)
        assert said in result.err
