"""doctor: accounts that do not serve, sign-ins that end, and keys."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from omni_connector.command import Commands
from omni_connector.doctor.accounts import accounts, client_keys, sign_ins_ahead
from omni_connector.doctor.finding import Finding, span
from omni_connector.providers import PROVIDERS, complete
from omni_connector.providers.sign_ins import only_one
from omni_connector.snapshot import Account, ClientKey, Cooldown, ProviderSettings, Snapshot
from omni_connector.store.refreshes import Refresh
from omni_connector.tokens import Tokens

NOW = 1_795_000_000_000
READY = complete(Account("acc_1", "openai", "work", secret="sk-1", discovered=("gpt-5",)))


@pytest.mark.parametrize(
    ("account", "cooldowns", "level", "said"),
    [
        (replace(READY, enabled=False), (), "warn", "switched off"),
        (replace(READY, state="needs_login", state_reason="401"), (), "fail", "new login: 401"),
        (replace(READY, wire=""), (), "fail", "no provider 'openai'"),
        (replace(READY, discovered=(), default_models=()), (), "warn", "None of its models"),
        (READY, (Cooldown("acc_1", "", NOW + 61_000, "stated", "rate limited"),), "warn", "for 2 min more: rate limited"),
        (READY, (Cooldown("acc_1", "", NOW + 61_000, "terminal", "no credit"),), "warn", "until you act: no credit"),
    ],
)
def test_accounts_that_do_not_serve(account: Account, cooldowns: tuple[Cooldown, ...], level: str, said: str) -> None:
    finding = accounts(Snapshot(accounts=(account,), cooldowns=cooldowns), NOW)[0]
    assert (finding.what, finding.level) == ("account work", level)
    assert said in finding.message
    assert "'work'" in finding.fix


def test_accounts_in_all() -> None:
    assert accounts(Snapshot(), NOW)[0].level == "warn"
    assert accounts(Snapshot(accounts=(READY,)), NOW) == [Finding("ok", "accounts", "1 connected, all ready.")]
    assert accounts(Snapshot(accounts=(replace(READY, enabled=False),)), NOW)[-1].level == "fail"


CLAUDE = complete(Account("acc_2", "claude-code", "work", auth="cli"))


def signed_in(**tokens: Any) -> Account:
    return complete(Account("acc_3", "chatgpt", "work", auth="oauth", secret=Tokens("at-secret", **tokens).encode(), discovered=("m",)))


@pytest.mark.parametrize(
    ("account", "fix"),
    [
        (replace(READY, state="needs_login"), "backend edit 'work' --key-env NAME"),
        (replace(signed_in(), state="needs_login"), "backend login chatgpt 'work'"),
        (
            replace(CLAUDE, state="needs_login"),
            "(in a terminal, as the user of the server), then: omni-connector backend test 'work'",
        ),
        (complete(Account("a", "command", "work", options={"command": {"argv": ["x"]}}, state="needs_login")), "backend test 'work'"),
    ],
)
def test_a_new_login_is_made_where_it_can_be(account: Account, fix: str) -> None:
    assert accounts(Snapshot(accounts=(account,)), NOW)[0].fix.endswith(fix)


def test_who_holds_an_account_back() -> None:  # P-48
    used, other = signed_in(), replace(signed_in(), id="acc_4", label="second", created_at=NOW)
    picture = Snapshot(accounts=only_one((used, other), PROVIDERS))
    (finding,) = accounts(picture, NOW)
    assert (finding.what, finding.level) == ("account second", "warn")
    assert "as its terms want; that is work" in finding.message
    assert finding.fix == "Nothing to do. To use this one instead: omni-connector backend disable 'work'"
    off = {"openai": ProviderSettings("openai", enabled=False)}
    (finding, _) = accounts(
        Snapshot(accounts=(replace(READY, enabled=False, switched_off="provider openai is switched off"),), providers=off), NOW
    )
    assert finding.fix == "omni-connector provider enable openai"


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    picture = Snapshot(accounts=(CLAUDE,))
    (finding,) = accounts(picture, NOW, {}, Commands(tmp_path, {"PATH": str(tmp_path)}).locate)
    assert (finding.level, "no program 'claude'" in finding.message) == ("fail", True)
    assert finding.fix == "omni-connector backend edit 'work' --program /PATH/TO/IT"
    unfinished = complete(Account("acc_2", "command", "work", auth="cli", options={"command": {"preset": "gcloud"}}))
    (finding, *_) = accounts(Snapshot(accounts=(unfinished,)), NOW, {}, lambda _: "")
    assert "in place of ENDPOINT_ID" in finding.message or finding.message.startswith("None of its models")
    assert accounts(picture, NOW, {}, lambda _: "/usr/bin/claude")[0].level == "ok"


@pytest.mark.parametrize(
    ("account", "last", "level", "said"),
    [
        (replace(signed_in(), secret="sk-1"), None, "fail", "never signed in"),
        (signed_in(expires_at=NOW - 3 * 3_600_000), None, "fail", "ended 3 h ago"),
        (signed_in(expires_at=NOW + 90 * 60_000), None, "warn", "ends in 90 min"),
        (signed_in(refresh_token="r"), Refresh("acc_3", error="invalid_client", failures=3), "warn", "3 times in a row: invalid_client"),
    ],
)
def test_sign_ins_that_will_not_last(account: Account, last: Refresh | None, level: str, said: str) -> None:
    (finding,) = accounts(Snapshot(accounts=(account,)), NOW, {"acc_3": last} if last else {})
    assert (finding.what, finding.level) == ("account work", level)
    assert said in finding.message
    assert finding.fix.endswith("backend login chatgpt 'work'")
    assert "at-secret" not in str(finding)


def test_how_long_tokens_live() -> None:
    lasting = signed_in(refresh_token="r", expires_at=NOW + 45 * 60_000)
    picture = Snapshot(accounts=(lasting, READY))
    assert accounts(picture, NOW, {}) == [Finding("ok", "accounts", "2 connected, all ready.")]
    (finding,) = sign_ins_ahead(picture, NOW)
    assert finding == Finding("ok", "sign-ins", "1 signed in; the first access token ends in 45 min. A running server renews them.")
    assert sign_ins_ahead(Snapshot(accounts=(READY,)), NOW) == []
    assert [span(ms) for ms in (1, 119 * 60_000, 47 * 3_600_000, 72 * 3_600_000)] == ["1 min", "119 min", "47 h", "3 days"]


def test_keys() -> None:
    key = ClientKey("key_1", "a", "omni-…", "h", NOW)
    for keys, level in (({}, "warn"), ({"h": key}, "ok"), ({"h": replace(key, expires_at=NOW)}, "warn")):
        assert client_keys(Snapshot(keys=keys), NOW)[0].level == level
