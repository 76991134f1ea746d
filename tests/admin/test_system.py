from typing import Any

import pytest

from omni_connector.admin import Admin
from omni_connector.errors import GatewayError, Kind
from omni_connector.settings import SETTINGS
from omni_connector.store import jobs
from tests.admin.conftest import NOW, House


async def test_the_process_describes_itself(house: House, admin: Admin) -> None:  # C-78
    system = await admin.system()
    assert (system["uptime_s"], system["in_flight"], system["base_url"]) == (5, 0, "http://localhost:38471")
    assert system["memory_mb"] > 1
    assert system["database"] == f"sqlite:///{house.db.path}"
    account = await admin.add_account({"provider": "demo"})
    house.pool.acquire(house.pool.accounts[account["id"]], "demo-chat", NOW)
    assert (await admin.system())["in_flight"] == 1


async def test_jobs_can_be_run_and_stopped(house: House, admin: Admin) -> None:
    job = await house.db.tx(lambda conn: jobs.ensure(conn, "retention", "", 3_600_000, None, NOW, due_at=NOW + 60_000))
    assert [(j["kind"], j["interval_s"], j["due_at"]) for j in (await admin.jobs())["jobs"]] == [("retention", 3600, NOW + 60_000)]
    assert (await admin.run_job(job.id))["due_at"] == NOW
    assert (await admin.cancel_job(job.id))["state"] == "paused"
    with pytest.raises(GatewayError) as caught:
        await admin.run_job("job_none")
    assert caught.value.kind is Kind.NOT_FOUND


def value(config: dict[str, Any], name: str) -> tuple[Any, str]:
    row = next(s for s in config["settings"] if s["name"] == name)
    return row["value"], row["source"]


async def test_a_setting_is_effective_at_once_and_can_be_forgotten(admin: Admin) -> None:
    assert len((await admin.config())["settings"]) == len(SETTINGS)
    changed = await admin.set_config({"strategy": "cost", "max_attempts": 2})
    assert value(changed, "strategy") == ("cost", "database")
    assert value(changed, "max_attempts") == (2, "database")
    assert value(await admin.set_config({"strategy": None}), "strategy") == ("auto", "default")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"strategy": "luck"}, "strategy"),
        ({"max_attempts": 0}, "max_attempts"),
        ({"stratgy": "cost"}, "stratgy"),
        ({"max_attempts": 2, "strategy": {}}, "strategy"),
        ({"database_url": "sqlite:////tmp/other.db"}, "database_url"),
        ({"default_model": "\ud800"}, None),
        ({}, None),
        ([], None),
    ],
)
async def test_settings_are_all_stored_or_none(admin: Admin, body: Any, param: str | None) -> None:
    with pytest.raises(GatewayError) as caught:
        await admin.set_config(body)
    assert (caught.value.kind, caught.value.param) == (Kind.BAD_REQUEST, param)
    assert value(await admin.config(), "max_attempts") == (4, "default")


async def test_aliases(admin: Admin) -> None:
    await admin.set_alias("fast", {"targets": ["groq/llama", "demo"]})
    assert (await admin.alias("fast"))["targets"] == ["groq/llama", "demo"]
    assert (await admin.config())["aliases"] == {"fast": ["groq/llama", "demo"]}
    await admin.remove_alias("fast")
    with pytest.raises(GatewayError) as caught:
        await admin.alias("fast")
    assert caught.value.kind is Kind.NOT_FOUND


async def test_an_alias_may_shadow_a_name_and_still_lead_to_it(admin: Admin) -> None:
    await admin.set_alias("gpt-5", {"targets": ["gpt-5", "groq/llama"]})
    assert (await admin.alias("gpt-5"))["targets"] == ["gpt-5", "groq/llama"]


@pytest.mark.parametrize("tiers", [[], "a", [[]], [["a"], "b"], [["a"], [1]], [["a"], [""]], [["a"]] * 51, None])
async def test_a_chain_that_is_none_is_refused_in_its_own_words(admin: Admin, tiers: Any) -> None:
    with pytest.raises(GatewayError, match="tier") as caught:
        await admin.set_chain("main", {"tiers": tiers})
    assert (caught.value.kind, caught.value.param) == (Kind.BAD_REQUEST, "tiers")
    assert "model names" not in caught.value.message


async def test_chains(admin: Admin) -> None:
    tiers = [["a", "b"], ["c"]]
    assert (await admin.set_chain("main", {"tiers": tiers}))["tiers"] == tiers
    assert (await admin.chain("main"))["tiers"] == (await admin.config())["chains"]["main"] == tiers
    assert (await admin.remove_chain("main"))["removed"] is True


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("fast", {"targets": []}),
        ("fast", {"targets": ["fast"]}),
        ("fast", {"targets": [1]}),
        ("fast", {"tragets": ["a"]}),
        ("a/b", {"targets": ["c"]}),
        ("a b", {"targets": ["c"]}),
        ("fast", "c"),
    ],
)
async def test_names_that_could_mean_something_else_are_refused(admin: Admin, name: str, body: Any) -> None:
    with pytest.raises(GatewayError) as caught:
        await admin.set_alias(name, body)
    assert caught.value.kind is Kind.BAD_REQUEST
