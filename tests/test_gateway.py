"""One process put together: opened, reloaded, changed from outside, closed. No HTTP."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from omni_connector import gateway as module
from omni_connector import secrets, settings
from omni_connector.errors import GatewayError, Kind
from omni_connector.gateway import Gateway, now_ms
from omni_connector.routing.health import RULES
from omni_connector.routing.resolve import Candidate
from omni_connector.snapshot import Cooldown
from omni_connector.store import accounts as account_rows
from omni_connector.store import homes, kept
from omni_connector.store import keys as key_rows
from omni_connector.store import requests as request_rows
from omni_connector.store import settings as setting_rows
from omni_connector.store.engine import Database
from omni_connector.store.files import Away

Json = dict[str, Any]


@pytest.fixture
def home(migrated_home: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(migrated_home, tmp_path / "home"))


@pytest.fixture
async def gateway(home: Path) -> AsyncIterator[Gateway]:
    """Serving, but for the clock of its jobs."""
    gateway = await Gateway.open(home, {})
    await gateway.serve(jobs=False)
    yield gateway
    await gateway.close()


async def account(gateway: Gateway, label: str = "main", **more: Any) -> str:
    body = {"provider": "groq", "label": label, "api_key": f"gsk_{label}", "models": ["llama"], "discover": False, **more}
    return str((await gateway.admin.add_account(body))["id"])


def candidate(gateway: Gateway, account_id: str, model: str = "llama") -> Candidate:
    return Candidate(gateway.pool.accounts[account_id], model)


async def background(gateway: Gateway) -> None:
    """Until what was begun in the background is done."""
    while gateway._tasks:
        await asyncio.gather(*gateway._tasks, return_exceptions=True)


async def until(holds: Callable[[], bool]) -> None:
    for _ in range(6000):
        if holds():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it never happened")


# ---------------------------------------------------------------- Open and close


async def test_a_first_start_makes_everything_and_the_next_one_finds_it(tmp_path: Path) -> None:  # J-13, R-20
    home = tmp_path / "new"
    first = await Gateway.open(home, {})
    key, version = first.admin_key, first.snapshot.version
    await account(first)
    await first.close()
    assert home.stat().st_mode & 0o777 == 0o700
    for name in ("master.key", "admin.key", "omni.db"):
        assert (home / name).stat().st_mode & 0o777 == 0o600
    again = await Gateway.open(home, {})
    assert again.admin_key == key
    assert again.snapshot.version > version
    assert [each.secret for each in again.snapshot.accounts] == ["gsk_main"]
    await again.close()


async def test_a_wrong_master_key_is_said_and_changes_nothing(home: Path) -> None:
    gateway = await Gateway.open(home, {})
    await account(gateway)
    await gateway.close()
    (home / "master.key").unlink()
    before = (home / "omni.db").read_bytes()
    with pytest.raises(secrets.SecretsError, match="master"):
        await Gateway.open(home, {})
    assert (home / "omni.db").read_bytes() == before


async def test_a_bad_setting_is_said_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(settings.SettingsError, match="OMNI_PORT"):
        await Gateway.open(tmp_path / "home", {"OMNI_PORT": "many"})


async def test_closing_right_after_serving_does_not_hang(home: Path) -> None:
    gateway = await Gateway.open(home, {})
    await gateway.serve(jobs=False)
    async with asyncio.timeout(30):
        await gateway.close()


async def test_a_start_that_fails_half_way_leaves_nothing_running(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = await Gateway.open(home, {})

    async def broken() -> str:
        raise OSError("disk full")

    monkeypatch.setattr(gateway.jobs, "recover", broken)
    with pytest.raises(OSError, match="disk full"):
        await gateway.serve(jobs=False)
    before = asyncio.all_tasks()
    await gateway.close()
    assert len(asyncio.all_tasks()) < len(before)


async def test_what_was_used_is_on_disk_after_closing(home: Path) -> None:
    gateway = await Gateway.open(home, {})
    await gateway.serve(jobs=False)
    account_id = await account(gateway)
    key_id = (await gateway.admin.create_key({"name": "k"}))["id"]
    gateway.note_used(key_id, 1_800_000_000_000)
    gateway.standing.worked(candidate(gateway, account_id), 5)
    await gateway.close()
    database = await Database.open(f"sqlite:///{home / 'omni.db'}")
    assert (await database.run(key_rows.list_keys))[0].last_used_at == 1_800_000_000_000
    (stored,) = await database.run(lambda conn: account_rows.list_accounts(conn, gateway.vault))
    assert stored.last_used_at is not None
    await database.close()


async def test_noting_what_was_used_survives_a_bad_moment(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TOUCH_S", 0.001)
    gateway = await Gateway.open(home, {})
    calls = 0

    async def touch() -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise OSError("locked")

    monkeypatch.setattr(gateway, "_touch", touch)
    await gateway.serve(jobs=False)
    await until(lambda: calls > 3)
    await gateway.close()


async def test_the_pages_hear_that_the_database_is_away(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing can be written, this is the one thing to tell."""
    monkeypatch.setattr(module, "TOUCH_S", 0.001)
    gateway = await Gateway.open(home, {})

    async def touch() -> None:
        raise Away("gone")

    monkeypatch.setattr(gateway, "_touch", touch)
    await gateway.serve(jobs=False)
    gateway.spill.since, gateway.spill.rows = 1_800_000_000_000, 7
    stream = gateway.live.stream(dict)
    events = b"".join([await anext(stream), await asyncio.wait_for(anext(stream), 30)])
    assert b"event: system" in events and b'"since":1800000000000' in events and b'"rows":7' in events
    await stream.aclose()
    gateway.spill.since = None
    await gateway.close()


# ---------------------------------------------------------------- Configuration


async def test_another_processes_change_is_live_at_once(gateway: Gateway, home: Path) -> None:  # R-18, P-17, J-16
    other = await Gateway.open(home, {})
    key = (await other.admin.create_key({"name": "from outside"}))["key"]
    account_id = await account(other)
    await other.admin.set_config({"max_attempts": 7})
    await until(lambda: gateway.relay.deadlines.max_attempts == 7)
    assert secrets.hash_key(key) in gateway.snapshot.keys
    assert list(gateway.pool.accounts) == [account_id]
    await other.admin.remove_account(account_id)
    await until(lambda: not gateway.pool.accounts)
    await other.close()


async def test_dashboards_hear_of_it(gateway: Gateway, home: Path) -> None:  # C-98
    stream = gateway.live.stream(dict)
    await anext(stream)
    other = await Gateway.open(home, {})
    account_id = await account(other)
    await until(lambda: account_id in gateway.pool.accounts)
    heard = b""
    async with asyncio.timeout(30):
        while b"event: account\n" not in heard:
            heard += await anext(stream)
        await other.admin.remove_account(account_id)
        while b"event: account-removed\n" not in heard:
            heard += await anext(stream)
    await stream.aclose()
    await other.close()


async def test_a_change_that_cannot_be_used_leaves_the_picture_whole(gateway: Gateway, home: Path) -> None:
    """A setting that another version stored, or an endpoints file that is gone: old picture or new picture, never half of each."""
    await account(gateway, "first")
    before = gateway.snapshot
    await gateway.db.tx(lambda conn: setting_rows.set_setting(conn, "strategy", "no such strategy"))
    with pytest.raises(settings.SettingsError):
        await gateway.reload()
    assert gateway.snapshot.version == before.version
    assert gateway.admin.settings is gateway.settings
    await gateway.db.tx(lambda conn: setting_rows.set_setting(conn, "strategy", "lru"))
    await gateway.reload()
    assert (gateway.settings.strategy, gateway.snapshot.version > before.version) == ("lru", True)
    with pytest.raises((settings.SettingsError, GatewayError)):
        await gateway.admin.set_config({"endpoints_file": str(home / "gone.toml")})
    await gateway.admin.set_config({"endpoints_file": ""})
    second = await account(gateway, "second")
    assert second in gateway.pool.accounts


async def test_reloads_that_overlap_end_with_the_newest(gateway: Gateway) -> None:
    for number in range(20):
        await gateway.db.tx(lambda conn, n=number: setting_rows.set_setting(conn, "max_attempts", str(n + 1)))
        await asyncio.gather(*(gateway.reload() for _ in range(3)))
    assert gateway.settings.max_attempts == 20


async def test_a_key_in_the_environment_becomes_an_account_once(home: Path) -> None:  # C-56, C-57, C-58
    env = {
        "GROQ_API_KEY": " gsk_from_env ",
        "MISTRAL_API_KEY": "   ",
        "OPENAI_API_KEY": "sk-from-env",
        "OPENAI_BASE_URL": "https://openai.example/v1",
        "CLAUDE_API_KEY": "sk-ant-from-env",
        "CLAUDE_BASE_URL": "https://claude.example",
        "GEMINI_API_KEY": "AIza-from-env",
        "GEMINI_BASE_URL": "https://gemini.example",
    }
    gateway = await Gateway.open(home, env)
    for _ in range(2):
        await gateway.add_environment_accounts()
    found = {each.provider: (each.label, each.secret, each.base_url) for each in gateway.snapshot.accounts}
    assert found.pop("groq")[1:] == ("gsk_from_env", "")
    assert {provider: rest for provider, (_, *rest) in found.items()} == {
        "openai": ["sk-from-env", "https://openai.example/v1"],
        "anthropic": ["sk-ant-from-env", "https://claude.example/v1"],
        "gemini": ["AIza-from-env", "https://gemini.example/v1beta"],
    }
    assert {label for label, *_ in found.values()} <= {"env", "env-openai", "env-anthropic", "env-gemini"}
    await gateway.close()


async def test_what_the_user_removed_does_not_come_back_with_the_next_start(home: Path) -> None:
    gateway = await Gateway.open(home, {"GROQ_API_KEY": "gsk_1"})
    await gateway.add_environment_accounts()
    (added,) = gateway.snapshot.accounts
    await gateway.admin.remove_account(added.id)
    await gateway.add_environment_accounts()
    assert gateway.snapshot.accounts == ()
    await gateway.close()
    again = await Gateway.open(home, {"GROQ_API_KEY": "gsk_2"})
    await again.add_environment_accounts()
    assert [each.secret for each in again.snapshot.accounts] == ["gsk_2"], "another key is another account"
    await again.close()


# ---------------------------------------------------------------- What the relay reports


async def test_a_cooldown_outlives_the_process_and_is_lifted_by_a_success(home: Path) -> None:  # J-05, J-06, C-103
    gateway = await Gateway.open(home, {})
    account_id = await account(gateway)
    gateway.standing.failed(candidate(gateway, account_id), GatewayError(Kind.UPSTREAM_FAILED, "boom", upstream_status=500))
    assert gateway.pool.available(candidate(gateway, account_id).account, "llama", now_ms()) is not None
    await background(gateway)
    await gateway.close()

    again = await Gateway.open(home, {})
    (cooldown,) = again.snapshot.cooldowns
    assert (cooldown.account_id, cooldown.scope, cooldown.source) == (account_id, "model:llama", "guessed")
    assert again.pool.available(candidate(again, account_id).account, "llama", now_ms()) is not None
    again.standing.worked(candidate(again, account_id), 0)
    assert again.pool.available(candidate(again, account_id).account, "llama", now_ms()) is None
    await background(again)
    await again.reload()
    assert again.snapshot.cooldowns == ()
    await again.close()


async def test_a_success_that_was_under_way_before_proves_nothing(gateway: Gateway) -> None:
    account_id = await account(gateway)
    chosen = candidate(gateway, account_id)
    gateway.standing.failed(chosen, GatewayError(Kind.UPSTREAM_UNREACHABLE, "gone"))
    gateway.standing.worked(chosen, 60_000)
    assert gateway.pool.cooldown(account_id, "") is not None
    assert [beat["ok"] for beat in gateway.pool.heartbeat(account_id)] == [False, True]


async def test_good_news_are_no_news_of_what_failed_after_they_were_asked_for(gateway: Gateway) -> None:
    account_id = await account(gateway)
    chosen, asked_at = candidate(gateway, account_id), now_ms() - 1000
    gateway.standing.failed(chosen, GatewayError(Kind.UPSTREAM_UNREACHABLE, "gone"))
    assert not await gateway.standing.store_recovery(account_id, "", asked_at), "it failed again here, and that is not written yet"
    assert gateway.pool.cooldown(account_id, "") is not None
    await background(gateway)
    gateway.pool.clear(account_id, "")
    assert not await gateway.standing.store_recovery(account_id, "", asked_at), "it failed in a process that this one has not heard of"
    await gateway.reload()
    (held,) = gateway.snapshot.cooldowns
    assert await gateway.standing.store_recovery(account_id, "", held.created_at)
    await gateway.reload()
    assert (gateway.snapshot.cooldowns, gateway.pool.cooldowns(account_id)) == ((), [])


async def test_what_a_probe_learned_is_on_the_account(gateway: Gateway) -> None:
    account_id = await account(gateway)
    money = {"amount": "5.00", "currency": "USD", "usable": True, "items": []}
    await gateway.standing.store_learned(account_id, ("a", "b"), None)
    await gateway.standing.store_learned(account_id, (), money)
    version = gateway.snapshot.version
    await gateway.standing.store_learned(account_id, ("a", "b"), money)
    assert gateway.snapshot.version == version
    told = await gateway.admin.account(account_id)
    assert (told["discovered"], told["balance"]) == (["a", "b"], money)


async def test_a_probe_that_costs_is_a_row_of_its_account(gateway: Gateway) -> None:
    account_id = (await gateway.admin.add_account({"provider": "demo", "label": "play", "models": ["demo-chat"], "discover": False}))["id"]
    reason = RULES[Kind.UPSTREAM_FAILED].reason
    gateway.pool.cool(Cooldown(account_id, "", now_ms() + 600_000, "guessed", reason, created_at=now_ms() - 1))
    assert (await gateway.admin.account(account_id))["can_probe"] is True
    assert (await gateway.admin.probe(account_id))["job"] is not None
    await gateway.jobs.tick()
    (row,) = (await gateway.admin.requests())["requests"]
    assert (row["client"], row["key"]["id"], row["outcome"], row["route"]) == ("probe", None, "ok", f"probe: is play back? ({reason})")
    told = await gateway.admin.account(account_id)
    assert (told["status"], told["can_probe"], told["requests_today"]) == ("ready", False, 1)


async def test_a_time_the_provider_stated_is_kept(gateway: Gateway) -> None:
    account_id = await account(gateway)
    chosen = candidate(gateway, account_id)
    gateway.standing.failed(chosen, GatewayError(Kind.ACCOUNT_RATE_LIMITED, "slow", retry_after=90, stated=True))
    gateway.standing.worked(chosen, 0)
    held = gateway.pool.cooldown(account_id, "model:llama")
    assert held is not None and held.source == "stated"
    assert 89_000 < held.until_at - now_ms() <= 90_000


async def test_a_storm_of_failures_writes_little_and_keeps_the_latest_end(gateway: Gateway) -> None:
    """Hundreds of requests that fail together once made hundreds of transactions, and as many reloads when they were refused."""
    account_id = await account(gateway)
    chosen = candidate(gateway, account_id)
    before = gateway.snapshot.version
    for number in range(200):
        gateway.standing.failed(chosen, GatewayError(Kind.ACCOUNT_RATE_LIMITED, "slow", retry_after=90 + number, stated=True))
        gateway.standing.failed(chosen, GatewayError(Kind.ACCOUNT_REJECTED, "no", upstream_status=401))
        await asyncio.sleep(0)
    await background(gateway)
    await gateway.reload()
    assert gateway.snapshot.version - before < 50
    ends = {cooldown.scope: cooldown for cooldown in gateway.snapshot.cooldowns}
    assert 288_000 < ends["model:llama"].until_at - now_ms() <= 289_000
    assert ends[""].source == "terminal"
    assert (await gateway.admin.account(account_id))["status"] == "needs_login"


async def test_a_refused_credential_needs_a_login_until_it_is_replaced(gateway: Gateway) -> None:
    account_id = await account(gateway)
    chosen = candidate(gateway, account_id)
    refusal = GatewayError(Kind.ACCOUNT_REJECTED, "Incorrect API key provided: sk-abcdefgh12345678", upstream_status=401)
    gateway.standing.failed(chosen, refusal)
    await background(gateway)
    told = await gateway.admin.account(account_id)
    assert told["status"] == "needs_login"
    assert "sk-abcdefgh12345678" not in told["status_reason"]
    await gateway.admin.edit_account(account_id, {"api_key": "gsk_new", "discover": False})
    assert (await gateway.admin.account(account_id))["status"] == "ready"

    # An answer to the old credential comes late: it says nothing about the new one.
    gateway.standing.failed(chosen, refusal)
    await background(gateway)
    assert (await gateway.admin.account(account_id))["status"] == "ready"


@pytest.mark.parametrize("kind", [Kind.BAD_REQUEST, Kind.CONTEXT_TOO_LONG, Kind.CONTENT_FILTERED, Kind.CLIENT_LEFT, Kind.RATE_LIMITED])
async def test_a_callers_fault_leaves_no_mark(gateway: Gateway, kind: Kind) -> None:
    account_id = await account(gateway)
    gateway.standing.failed(candidate(gateway, account_id), GatewayError(kind, "x", upstream_status=400))
    assert gateway.pool.cooldowns(account_id) == []
    assert gateway.pool.heartbeat(account_id) == []


async def test_an_account_that_was_removed_meanwhile_harms_nobody(gateway: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    account_id = await account(gateway)
    chosen = candidate(gateway, account_id)
    await gateway.admin.remove_account(account_id)
    for kind in (Kind.UPSTREAM_FAILED, Kind.ACCOUNT_REJECTED):
        gateway.standing.failed(chosen, GatewayError(kind, "x"))
    gateway.standing.worked(chosen, 1)
    await background(gateway)
    assert "background work failed" not in caplog.text
    assert await gateway.db.run(account_rows.list_cooldowns) == ()


async def test_the_user_overrules_a_cooldown(gateway: Gateway) -> None:
    account_id = await account(gateway)
    gateway.standing.failed(candidate(gateway, account_id), GatewayError(Kind.ACCOUNT_UNPAID, "no credit"))
    await background(gateway)
    assert (await gateway.admin.account(account_id))["status"] == "locked"
    assert (await gateway.admin.clear_cooldown(account_id))["status"] == "ready"
    await gateway.reload()
    assert gateway.pool.cooldowns(account_id) == []


async def test_background_work_that_fails_is_logged_and_forgotten(gateway: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    async def broken() -> None:
        raise RuntimeError("no luck")

    gateway._spawn(broken())
    await background(gateway)
    assert "no luck" in caplog.text
    assert not gateway._tasks


async def test_a_cooldown_of_another_process_counts_here(gateway: Gateway, home: Path) -> None:
    account_id = await account(gateway)
    other = await Gateway.open(home, {})
    held = Cooldown(account_id, "", now_ms() + 60_000, "stated", "limit of the week", created_at=now_ms())
    await other.db.tx(lambda conn: account_rows.extend_cooldown(conn, held))
    await until(lambda: gateway.pool.cooldown(account_id, "") == held)
    await other.close()


async def test_a_changed_proxy_setting_is_effective_at_once(gateway: Gateway) -> None:  # C-61, R-18
    gateway.env = {**gateway.env, "HTTPS_PROXY": "http://127.0.0.1:3128"}
    await gateway.admin.add_account({"provider": "openai", "api_key": "sk-0123456789", "discover": False})
    await gateway.admin.set_config({"use_system_proxy_openai": True})
    assert [account.proxy_url for account in gateway.snapshot.accounts] == ["http://127.0.0.1:3128"]
    assert [account.proxy_url for account in gateway.pool.accounts.values()] == ["http://127.0.0.1:3128"]
    await gateway.admin.set_config({"use_system_proxy_openai": False})
    assert [account.proxy_url for account in gateway.snapshot.accounts] == [""]


@pytest.mark.parametrize(("provider", "setting"), [("openai", "openai"), ("anthropic", "claude"), ("gemini", "gemini")])
async def test_each_family_has_a_proxy_switch(home: Path, provider: str, setting: str) -> None:  # C-61
    """Under the names that AIClient2API gave the variables."""
    gateway = await Gateway.open(home, {f"USE_SYSTEM_PROXY_{setting.upper()}": "true", "HTTPS_PROXY": "http://127.0.0.1:3128"})
    for label in ("openai", "anthropic", "gemini"):
        await gateway.admin.add_account({"provider": label, "label": label, "api_key": "sk-0123456789", "discover": False})
    assert {account.provider for account in gateway.snapshot.accounts if account.proxy_url} == {provider}
    await gateway.close()


async def test_what_is_kept_is_sealed_and_there_when_the_row_is_settled(gateway: Gateway) -> None:  # C-23
    row = {"id": "req_1", "started_at": 1, "process_id": gateway.process_id}
    keep = {"kind": "response", "key_id": "key_1", "id": "resp_1", "created_at": 1, "value": {"input": [], "response": {"id": "resp_1"}}}
    never = {**keep, "id": "x" * 300}
    gateway.ledger.open(row)
    await gateway.ledger.settle({"id": "req_1", "settled_at": 2, "outcome": "ok"}, await gateway._seal([keep, never]))
    assert (await gateway.db.run(lambda conn: request_rows.get(conn, "req_1")) or {})["outcome"] == "ok"
    (found,) = await gateway.db.run(lambda conn: kept.get(conn, "response", "key_1", ["resp_1", "x" * 300]))
    assert kept.open_(gateway.vault, "response", "resp_1", found["value"]) == keep["value"]


async def test_what_was_used_is_noted_later_when_the_database_refuses(
    migrated_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = await Gateway.open(Path(shutil.copytree(migrated_home, tmp_path / "home")), {})
    added = await gateway.admin.add_account({"provider": "openai", "label": "a", "api_key": "sk-0123456789", "discover": False})
    now = now_ms()
    gateway.planner.homes.settle("conversation", added["id"], 10, now)
    gateway.note_used(added["id"], now)

    async def refuse(_: Any) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as full:
        full.setattr(gateway.db, "tx", refuse)
        with pytest.raises(OSError, match="disk full"):
            await gateway._touch()
    await gateway._touch()
    assert await gateway.db.run(homes.load) == [("conversation", added["id"], now, 10)]
    (account,) = [one for one in await gateway.db.run(lambda conn: account_rows.list_accounts(conn, gateway.vault)) if one.label == "a"]
    assert account.last_used_at == now
    await gateway.close()


async def test_what_was_learned_of_estimates_survives_a_restart(migrated_home: Path, tmp_path: Path) -> None:
    home = Path(shutil.copytree(migrated_home, tmp_path / "learning"))
    first = await Gateway.open(home, {})
    await first.serve(jobs=False)
    first.calibration.learn("gpt-5", 10_000, 14_000)
    learned = first.calibration.known()
    await first.close()
    second = await Gateway.open(home, {})
    await second.serve(jobs=False)
    try:
        assert second.calibration.known() == learned
        likely = second.calibration.likely("gpt-5", 1_000)
        assert second.planner.likely("gpt-5", 1_000) == second.counter.likely("gpt-5", 1_000) == likely > 1_000
    finally:
        await second.close()


async def test_the_database_is_waited_for_where_nothing_can_be_written_down_beside_it(gateway: Gateway) -> None:
    assert gateway.db.patience_s == 3
    await gateway.admin.set_config({"database_wait_s": 1.5})
    assert gateway.db.patience_s == 1.5
    await gateway.admin.set_config({"spill_mb": 0})
    assert gateway.db.patience_s == 0
