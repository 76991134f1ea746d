from dataclasses import replace
from typing import Any

import pytest

from omni_connector.admin import shapes
from omni_connector.admin.shapes import Activity, TestResult
from omni_connector.chat import Usage
from omni_connector.record import Attempt, Record
from omni_connector.snapshot import Account, ClientKey, Cooldown

NOW = 1_795_000_000_000
ACCOUNT = Account("acc_1", "openai", "work", secret="sk-secret", headers={"x-hidden": "hidden"}, proxy_url="http://u:pw@proxy")


def standing(account: Account, cooldowns: list[Cooldown], families: set[str]) -> tuple[Any, ...]:
    shown = shapes.account(account, "OpenAI", cooldowns, Activity(), NOW, families)
    return shown["status"], shown["status_reason"], shown["cooldown"] and shown["cooldown"]["scope"]


def cooldown(scope: str = "", source: Any = "stated", until: int = NOW + 60_000) -> Cooldown:
    return Cooldown("acc_1", scope, until, source, "rate limited")


@pytest.mark.parametrize(
    ("account", "cooldowns", "families", "expected"),
    [
        (ACCOUNT, [], set(), ("ready", "", None)),
        (replace(ACCOUNT, enabled=False), [cooldown()], set(), ("disabled", "Switched off.", "account")),
        (replace(ACCOUNT, state="needs_login", state_reason="401"), [], set(), ("needs_login", "401", None)),
        (replace(ACCOUNT, state="error", state_reason="gone"), [], set(), ("error", "gone", None)),
        (ACCOUNT, [cooldown()], {"a"}, ("cooling", "rate limited", "account")),
        (ACCOUNT, [cooldown(source="terminal")], {"a"}, ("locked", "rate limited", "account")),
        (ACCOUNT, [cooldown(until=NOW)], {"a"}, ("ready", "", None)),
        # One of two families: the account still serves, and says what it does not.
        (ACCOUNT, [cooldown("model:a")], {"a", "b"}, ("ready", "Cooling for a: rate limited", "model:a")),
        (ACCOUNT, [cooldown("model:a"), cooldown("model:b")], {"a", "b"}, ("cooling", "rate limited", "model:a")),
    ],
)
def test_the_standing_of_an_account(account: Account, cooldowns: list[Cooldown], families: set[str], expected: tuple[Any, ...]) -> None:
    assert standing(account, cooldowns, families) == expected


def test_an_account_is_shown_without_its_secrets() -> None:
    shown = shapes.account(ACCOUNT, "OpenAI", [], Activity(), NOW)
    assert shown["proxy"] is True
    for secret in ("sk-secret", "hidden", "pw"):
        assert secret not in str(shown)


def test_a_key_is_shown_without_its_hash() -> None:
    shown = shapes.key(ClientKey("key_1", "laptop", "omni-Ab…", "f00d", NOW - 10, expires_at=NOW), NOW)
    assert shown["status"] == "expired"
    assert "f00d" not in str(shown)


def test_a_stored_row_looks_like_a_live_one() -> None:
    record = Record("req_1", NOW, "prc_1", "openai-chat", "/v1/chat/completions", "curl", "key_1", "laptop")
    record.attempts.append(Attempt("work", "openai", "gpt-5", 200, 12))
    record.account_id, record.account_label, record.provider, record.model = "acc_1", "work", "openai", "gpt-5"
    record.end(NOW + 100, "ok", 200)
    record.usage = Usage(3, None, None, 5)
    row = {**record.opened(), **record.settled()}
    assert shapes.request(row) == record.view()


def test_an_open_row_has_no_ending() -> None:
    shown = shapes.request({"id": "req_1", "started_at": NOW, "state": "open", "wire": "openai-chat", "stream": 1})
    assert (shown["state"], shown["outcome"], shown["error"], shown["cost"]["usd"], shown["stream"]) == ("open", None, None, None, True)


def test_result_of_a_test() -> None:
    assert TestResult(False, 401, "no", latency_ms=3).as_json() == {
        "ok": False,
        "status": 401,
        "message": "no",
        "models": [],
        "latency_ms": 3,
    }
