import json
from pathlib import Path
from typing import Any

import pytest

from omni_connector.admin import Admin, TestResult
from omni_connector.errors import GatewayError, Kind
from omni_connector.providers import local_options
from omni_connector.providers.command_values import MASK
from omni_connector.snapshot import Account, Cooldown
from omni_connector.store import accounts as table
from omni_connector.store import books, jobs, requests
from tests.admin.conftest import NOW, House

KEY = "sk-proj-abcdefghijklmnopqrstuvwx1234"
OPENAI = {"provider": "openai", "api_key": KEY}


async def test_an_added_account_is_effective_told_and_asked_for_its_models(house: House, admin: Admin) -> None:
    added = await admin.add_account(OPENAI)
    assert (added["label"], added["status"], added["discovered"]) == ("openai", "ready", ["model-a", "model-b"])
    assert added["test"]["ok"] is True
    assert house.snapshot.accounts[0].secret == KEY
    assert house.asked[0].secret == KEY
    assert house.events[-1][0] == "account"
    assert house.events[-1][1]["discovered"] == ["model-a", "model-b"]
    assert await admin.account(added["id"]) == (await admin.accounts())["accounts"][0]


async def test_without_discover_nobody_is_asked(house: House, admin: Admin) -> None:
    added = await admin.add_account({**OPENAI, "discover": False})
    assert "test" not in added
    assert house.asked == []


async def test_labels_are_unique_and_made_up_where_none_is_given(admin: Admin) -> None:
    first, second = await admin.add_account({"provider": "demo"}), await admin.add_account({"provider": "demo"})
    assert [first["label"], second["label"]] == ["demo", "demo-2"]
    for call in (admin.add_account({"provider": "demo", "label": " demo "}), admin.edit_account(second["id"], {"label": "demo"})):
        with pytest.raises(GatewayError, match="'demo'") as caught:
            await call
        assert (caught.value.kind, caught.value.param) == (Kind.CONFLICT, "label")


async def test_no_answer_and_no_event_holds_a_secret(house: House, admin: Admin) -> None:
    hidden = {"headers": {"x-token": "header-secret"}, "proxy_url": "http://u:proxy-secret@127.0.0.1:3128"}
    account = await admin.add_account({**OPENAI, **hidden})
    answers = [
        account,
        await admin.edit_account(account["id"], {"api_key": "sk-other-secret"}),
        await admin.test(account["id"]),
        await admin.accounts(),
        await admin.providers(),
        await admin.config(),
        await admin.remove_account(account["id"]),
    ]
    text = json.dumps([answers, house.events])
    for secret in (KEY, "header-secret", "proxy-secret", "sk-other-secret"):
        assert secret not in text


async def test_a_refused_credential_needs_a_login_and_a_new_one_ends_that(house: House, admin: Admin) -> None:
    house.says = TestResult(False, 401, "OpenAI answered 401: Incorrect API key")
    account = await admin.add_account(OPENAI)
    assert (account["status"], account["status_reason"]) == ("needs_login", "OpenAI answered 401: Incorrect API key")
    house.says = TestResult(True, 200, "fine", ("model-a",))
    edited = await admin.edit_account(account["id"], {"api_key": KEY + "9"})
    assert (edited["status"], edited["discovered"]) == ("ready", ["model-a"])


async def test_another_program_or_address_is_tried_like_a_new_key(house: House, admin: Admin) -> None:
    house.says = TestResult(False, 401, "Claude Code is not signed in.")
    account = await admin.add_account({"provider": "claude-code"})
    assert account["status"] == "needs_login"
    house.says = TestResult(True, None, "ended well")
    same = await admin.edit_account(account["id"], {"options": {"price_id": "anthropic"}})
    assert (same["status"], same.get("test")) == ("needs_login", None), "nothing that matters here was changed"
    edited = await admin.edit_account(account["id"], {"options": {"price_id": "anthropic", "command": {"program": "/opt/claude"}}})
    assert (edited["status"], edited["test"]["ok"]) == ("ready", True)
    moved = await admin.add_account({"provider": "moonshot", "api_key": KEY, "discover": False})
    assert (await admin.edit_account(moved["id"], {"options": {"region": "china"}}))["test"]["ok"]


async def test_a_bad_connection_changes_no_state(house: House, admin: Admin) -> None:
    account = await admin.add_account(OPENAI)
    house.says = TestResult(False, None, "nothing answers")
    assert (await admin.test(account["id"]))["ok"] is False
    assert (await admin.account(account["id"]))["status"] == "ready"
    assert (await admin.account(account["id"]))["discovered"] == ["model-a", "model-b"]


async def test_an_unsaved_account_is_tried_and_not_stored(house: House, admin: Admin) -> None:
    result = await admin.test_unsaved({"provider": "openai", "api_key": "zzz"})
    assert result["models"] == ["model-a", "model-b"]
    assert "usually begin with" in result["warning"]
    assert (await admin.accounts())["accounts"] == []
    assert house.events == []


async def test_disable_enable_and_remove(house: House, admin: Admin) -> None:  # C-70, C-71, P-29
    account = await admin.add_account(OPENAI)
    assert (await admin.disable(account["id"]))["status"] == "disabled"
    assert house.snapshot.accounts[0].enabled is False
    assert (await admin.enable(account["id"]))["status"] == "ready"
    await admin.remove_account(account["id"])
    assert house.snapshot.accounts == ()
    assert house.events[-1] == ("account-removed", {"id": account["id"]})
    with pytest.raises(GatewayError) as caught:
        await admin.enable(account["id"])
    assert caught.value.kind is Kind.NOT_FOUND


async def test_clearing_lets_an_account_back_in(house: House, admin: Admin) -> None:
    account = await admin.add_account(OPENAI)
    row = Cooldown(account["id"], "", NOW + 60_000, "stated", "rate limited", created_at=NOW)
    await house.db.tx(lambda conn: table.extend_cooldown(conn, row))
    await house.reload()
    # One that only this process knows so far counts as well.
    house.pool.cool(Cooldown(account["id"], "model:model-a", NOW + 90_000, "guessed", "overloaded", created_at=NOW))
    cooling = await admin.account(account["id"])
    assert (cooling["status"], cooling["cooldown"]["source"], len(cooling["cooldowns"])) == ("cooling", "stated", 2)
    cleared = await admin.clear_cooldown(account["id"])
    assert (cleared["status"], cleared["cooldown"], cleared["cooldowns"]) == ("ready", None, [])
    assert house.pool.cooldowns(account["id"]) == []


async def test_clearing_takes_back_a_refusal_that_is_not_shown_yet(house: House, admin: Admin) -> None:  # C-73
    """The row is written by whoever failed, or by another process; this one's picture follows a moment later."""
    account = await admin.add_account(OPENAI)
    await house.db.tx(lambda conn: table.set_state(conn, account["id"], "needs_login", "revoked"))
    assert house.snapshot.accounts[0].state == "ok"
    (cleared,) = (await admin.reset_health("openai"))["accounts"]
    assert (cleared["status"], house.snapshot.accounts[0].state) == ("ready", "ok")


async def test_a_probe_is_due_now_where_there_is_something_to_ask(house: House, admin: Admin) -> None:
    """Also when its time is far away; nobody is asked who is well, switched off, or has a time from the provider."""
    account = await admin.add_account(OPENAI)

    async def asked() -> tuple[bool, str]:
        offered = (await admin.account(account["id"]))["can_probe"]
        told = await admin.probe(account["id"])
        assert offered is (told["job"] is not None), "it is offered exactly where it does something"
        return offered, told["message"]

    assert await asked() == (False, f"Nothing keeps {account['label']} out that could be asked about.")
    house.pool.cool(Cooldown(account["id"], "", NOW + 600_000, "guessed", "overloaded", created_at=NOW))
    await house.db.tx(lambda conn: jobs.wake(conn, "probe", account["id"], NOW, NOW + 300_000))
    assert (await asked())[0]
    told = await admin.probe(account["id"])
    assert {name: told["job"][name] for name in ("kind", "key", "state", "due_at")} == {
        "kind": "probe",
        "key": account["id"],
        "state": "ready",
        "due_at": NOW,
    }
    assert [job["id"] for job in (await admin.jobs())["jobs"]] == [told["job"]["id"]], "one job an account"
    await admin.set_config({"probe_max_s": 0})
    assert (await asked())[1].endswith("probe_max_s is 0.")
    house.pool.cool(Cooldown(account["id"], "", NOW + 900_000, "stated", "rate limited", created_at=NOW))
    assert "said when it is back, in 15 min" in (await asked())[1]
    await admin.disable(account["id"])
    assert (await asked())[1].endswith("is switched off.")
    await admin.enable(account["id"])
    await admin.clear_cooldown(account["id"])
    await admin.set_config({"probe_max_s": 3600})
    assert not (await asked())[0]
    await house.db.tx(lambda conn: table.set_state(conn, account["id"], "needs_login", "revoked"))
    await house.reload()
    assert (await asked())[0], "a refused credential may be taken again, without a cooldown too"
    with pytest.raises(GatewayError) as caught:
        await admin.probe("acc_none")
    assert caught.value.kind is Kind.NOT_FOUND


async def test_a_patch_changes_what_it_names_and_clears_by_null(house: House, admin: Admin) -> None:
    account = await admin.add_account({**OPENAI, "models": ["gpt-5"], "max_in_flight": 2, "rpm": 3, "tpm": 4, "budget": {"amount": 5}})
    assert (account["rpm"], account["tpm"]) == (3, 4)
    house.now += 1000
    house.asked.clear()
    edited = await admin.edit_account(account["id"], {"priority": 7, "models": None, "max_in_flight": None, "rpm": None, "budget": None})
    assert (edited["rpm"], edited["tpm"]) == (None, 4)
    assert (edited["priority"], edited["models"], edited["max_in_flight"], edited["budget"]) == (7, [], None, None)
    assert house.asked == []  # nothing that a test could find out has changed
    assert house.snapshot.accounts[0].updated_at == house.now
    assert (await admin.edit_account(account["id"], {}))["priority"] == 7
    with pytest.raises(GatewayError, match="'provider'"):
        await admin.edit_account(account["id"], {"provider": "groq"})


async def test_today_is_counted_and_an_unknown_price_is_not_zero(house: House, admin: Admin) -> None:
    account = await admin.add_account(OPENAI)
    opened = {"id": "req_1", "started_at": NOW, "process_id": "p", "account_id": account["id"], "account_label": "openai"}
    closed = {"id": "req_1", "settled_at": NOW + 9, "outcome": "ok", "account_id": account["id"], "input": 3, "output": 4}
    await house.db.tx(lambda conn: requests.insert_open(conn, [opened]))
    await house.db.tx(lambda conn: books.settle(conn, [closed]))
    shown = await admin.account(account["id"])
    assert (shown["requests_today"], shown["cost_today"]) == (1, None)
    assert shown["heartbeat"][0]["ok"] is True


async def test_a_provider_s_accounts_are_checked_and_reset_together(house: House, admin: Admin) -> None:  # C-72, C-73
    account = await admin.add_account(OPENAI)
    await admin.add_account({"provider": "demo"})
    house.says = TestResult(False, 403, "denied")
    results = (await admin.health_check("openai"))["results"]
    assert [(r["label"], r["ok"]) for r in results] == [("openai", False)]
    assert (await admin.account(account["id"]))["status"] == "needs_login"
    assert [a["status"] for a in (await admin.reset_health("openai"))["accounts"]] == ["ready"]


async def test_what_a_program_is_given_is_stored_encrypted_and_never_told(house: House, admin: Admin, tmp_path: Path) -> None:
    hidden = "tok-SECRET-0123456789"
    command = {"program": "/opt/claude", "set": {"ANTHROPIC_AUTH_TOKEN": hidden, "MODE": "plain"}}
    added = await admin.add_account({"provider": "claude-code", "options": {"command": command}})
    masked = {"ANTHROPIC_AUTH_TOKEN": MASK, "MODE": MASK}
    shown = {"program": "/opt/claude", "set": masked}
    assert (added["options"]["command"], added["key_hint"], added.get("warning")) == (shown, "", None)
    assert local_options(house.asked[-1])["command"] == command

    async def edited(**given: str) -> Any:
        return await admin.edit_account(added["id"], {"options": {"command": {"program": "/opt/claude", "set": given}}})

    told = [added, await admin.accounts(), await admin.edit_account(added["id"], {"label": "cc", "api_key": ""})]
    assert "test" not in told[-1]
    kept = await edited(**masked)
    assert "test" not in kept, "nothing was changed"
    house.says = TestResult(False, 401, "not signed in")
    await admin.test(added["id"])
    house.says = TestResult(True, 200, "fine")
    other = await edited(ANTHROPIC_AUTH_TOKEN=MASK, MODE="another-SECRET")
    assert (other["status"], other["test"]["ok"]) == ("ready", True), "another value is another credential"
    assert local_options(house.asked[-1])["command"]["set"] == {"ANTHROPIC_AUTH_TOKEN": hidden, "MODE": "another-SECRET"}
    tried = {"provider": "claude-code", "options": {"command": {**command, "set": {"ANTHROPIC_AUTH_TOKEN": MASK}}}}
    told += [kept, other, await admin.test_unsaved({**tried, "id": added["id"]})]
    assert local_options(house.asked[-1])["command"]["set"] == {"ANTHROPIC_AUTH_TOKEN": hidden}
    for body in (tried, {**tried, "api_key": "sk-1"}):
        with pytest.raises(GatewayError):
            await admin.test_unsaved(body)
    with pytest.raises(GatewayError) as refused:
        await edited(NEW=MASK)
    assert refused.value.param == "options.command.set.NEW"
    removed = await edited(ANTHROPIC_AUTH_TOKEN=MASK)
    assert removed["options"]["command"]["set"] == {"ANTHROPIC_AUTH_TOKEN": MASK}
    assert local_options(house.snapshot.accounts[0])["command"]["set"] == {"ANTHROPIC_AUTH_TOKEN": hidden}
    told += [removed, (await admin.export_accounts({"secrets": False}))["content"]]
    assert "SECRET" not in json.dumps([*told, house.events])
    files = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"ANTHROPIC_AUTH_TOKEN" in files
    assert b"SECRET" not in files


async def test_an_older_row_s_values_serve_and_move_with_the_next_change(house: House, admin: Admin) -> None:
    command = {"argv": ["tool"], "set": {"TOKEN": "tok-SECRET-1"}}
    older = Account("acc_old", "command", "old", "cli", options={"command": command})
    await house.db.tx(lambda conn: table.insert(conn, house.vault, older))
    await house.reload()
    assert "SECRET" not in json.dumps(await admin.accounts())
    assert local_options(house.snapshot.accounts[0])["command"] == command
    await admin.edit_account("acc_old", {"priority": 3})
    moved = house.snapshot.accounts[0]
    assert "SECRET" not in str(moved.options)
    assert local_options(moved)["command"] == command
