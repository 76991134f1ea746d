"""What becomes of each entry of a file, decided before anything is written."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_connector.admin.importing import RUNS, Known, OnConflict, Ready, Row, account_of, decide, marks
from omni_connector.errors import GatewayError
from omni_connector.providers import command_values
from omni_connector.providers.command_values import MASK
from omni_connector.snapshot import Account
from omni_connector.tokens import Tokens
from omni_connector.transfer import Draft

NOW = 1_795_000_000_000


def key(secret: str = "sk-1", label: str = "work", provider: str = "openai", **more: Any) -> Draft:
    return Draft(provider, label, secret=secret, where="e", **more)


def signed(refresh: str = "rt-1", label: str = "", provider: str = "codex", **identity: str) -> Draft:
    return Draft(provider, label, "oauth", tokens=Tokens(f"at-{refresh}", refresh), fields={"options": {"identity": identity}}, where="e")


def stored(*drafts: Draft) -> list[Account]:
    return [account_of(draft, NOW)[0] for draft in drafts]


def plan(draft: Draft, known: Known, on_conflict: OnConflict = "skip") -> tuple[str, str]:
    found = decide(draft, known, on_conflict, NOW)
    if isinstance(found, Row):
        return found.outcome, found.label
    return ("added" if found.changes is None else "updated"), found.account.label


# ---------------------------------------------------------------- Draft → account


def test_a_key_and_a_sign_in() -> None:
    account, note = account_of(key(fields={"models": ["a"], "priority": 3, "enabled": False}), NOW)
    assert (account.auth, account.secret, account.models, account.priority, account.enabled, note) == (
        "api_key",
        "sk-1",
        ("a",),
        3,
        False,
        "",
    )
    account, _ = account_of(signed(email="a@b.c"), NOW)
    assert (account.auth, account.options["identity"], account.options["signed_in"]) == ("oauth", {"email": "a@b.c"}, False)
    assert Tokens("at-rt-1", "rt-1").encode() == account.secret
    device = account_of(signed(provider="kimi-code"), NOW)[0].options["device_id"]
    assert len(device) == 36


def test_without_its_credential_an_account_waits_for_one() -> None:
    for draft, auth in ((key(""), "api_key"), (Draft("codex", "x", "oauth"), "oauth")):
        account, _ = account_of(draft, NOW)
        assert (account.auth, account.state, account.secret) == (auth, "needs_login", "")


def test_a_command_of_a_file_is_switched_off() -> None:
    own: Any = {"options": {"command": {"argv": ["sh", "-c", "rm -rf ~"]}}}
    with pytest.raises(GatewayError):
        account_of(Draft("command", "x", "cli", fields={"options": {"command": {"argv": "rm -rf ~"}}}), NOW)
    account, note = account_of(Draft("command", "x", "cli", fields=own), NOW)
    assert (account.enabled, note) == (False, RUNS)
    for more in (
        {"program": "/tmp/x"},
        {"set": {"LD_PRELOAD": "/tmp/x.so"}},
        {"cwd": "/tmp"},
        {"check": ["sh"]},
        {"env": ["AWS_SECRET_ACCESS_KEY"]},
    ):
        fields = {"options": {"command": {"preset": "codex-exec", **more}}}
        assert not account_of(Draft("command", "x", "cli", fields=fields), NOW)[0].enabled, more
    assert account_of(Draft("claude-code", "cc", "cli"), NOW)[0].enabled
    assert account_of(Draft("command", "cc", "cli", fields={"options": {"command": {"preset": "codex-exec"}}}), NOW)[0].enabled


@pytest.mark.parametrize(
    "draft",
    [
        key(provider="nobody"),
        key("line\nbreak"),
        key(fields={"base_url": "javascript:alert(1)"}),
        key(fields={"base_url": "http://user:pw@host"}),
        key(fields={"headers": {"x\r\ny": "z"}}),
        key(fields={"proxy_url": "file:///etc/passwd"}),
        key(fields={"options": {"endpoints": {"token": "ftp://x"}}}),
        key(fields={"priority": "high"}),
        key(fields={"models": ["x" * 300]}),
        key(fields={"budget": {"amount": "NaN"}}),
        key(provider="custom-openai"),
        signed(provider="openai"),
        Draft("openai", "x", "cli"),
    ],
    ids=str,
)
def test_what_is_wrong_in_a_body_is_wrong_in_a_file(draft: Draft) -> None:
    with pytest.raises(GatewayError):
        account_of(draft, NOW)
    assert plan(draft, Known(())) == ("failed", draft.label)


def test_a_reason_repeats_no_secret() -> None:
    found = decide(key(fields={"base_url": "https://x.test/v1 ?key=sk-proj-0123456789SECRET"}), Known(()), "skip", NOW)
    assert isinstance(found, Row)
    assert "SECRET" not in found.why


def test_a_person_s_facts_are_short_texts() -> None:
    draft = signed(email="a@b.c", account_id="x\r\nset-cookie: y", name="n" * 500)
    draft.fields["options"]["identity"]["subject"] = ["x"]
    assert account_of(draft, NOW)[0].options["identity"] == {"email": "a@b.c"}


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=8), inner, max_size=2),
    max_leaves=6,
)
FIELDS = (
    "base_url",
    "models",
    "prefix",
    "model_map",
    "enabled",
    "priority",
    "weight",
    "max_in_flight",
    "rpm",
    "tpm",
    "budget",
    "headers",
    "proxy_url",
)
OPTIONS = ("identity", "region", "wire", "endpoints", "command", "oauth", "features_add", "project", "device_id", "sso_region")


@given(
    st.sampled_from(
        ["openai", "glm", "ollama", "codex", "kiro", "gemini-cli", "command", "claude-code", "custom-oauth", "custom-openai", "demo"]
    ),
    st.sampled_from(["api_key", "oauth", "cli", "none"]),
    st.dictionaries(st.sampled_from(FIELDS), ANY),
    st.dictionaries(st.sampled_from(OPTIONS), ANY),
)
def test_any_fields_make_an_account_or_a_reason(provider: str, auth: str, fields: Any, options: Any) -> None:
    known = Known(())
    tokens = Tokens("a", "r") if auth == "oauth" else None
    found = decide(
        Draft(provider, "x", auth, "sk-1" if auth == "api_key" else "", tokens, {**fields, "options": options}), known, "skip", NOW
    )
    assert isinstance(found, Ready) or (found.outcome == "failed" and found.why)


# ---------------------------------------------------------------- What is there already


def test_the_same_credential_is_stored_once() -> None:
    known = Known(stored(key(), signed(email="a@b.c"), Draft("ollama", "box", "none")))
    assert plan(key(label="other"), known) == ("skipped", "other")
    assert plan(key(label="other"), known, "rename") == ("skipped", "other")
    assert plan(key(label="other"), known, "update") == ("updated", "work")
    assert plan(key(label="other", fields={"base_url": "https://api.openai.com/v1"}), known) == ("skipped", "other")
    assert plan(key(label="other", fields={"base_url": "https://proxy.test/v1"}), known) == ("added", "other")
    assert plan(key(label="more", provider="groq"), known) == ("added", "more")
    assert plan(signed("rt-1", "x"), known) == ("skipped", "x")
    assert plan(signed("rt-2", "x", email="A@B.c "), known) == ("skipped", "x")
    assert plan(signed("rt-3", "x", email="a@b.c", account_id="w-1"), Known(stored(signed(email="a@b.c", account_id="w-2")))) == (
        "added",
        "x",
    )
    assert plan(Draft("ollama", "y", "none", fields={"base_url": "http://127.0.0.1:11434/v1"}), known) == ("skipped", "y")


def test_labels() -> None:
    assert plan(key("sk-2"), Known(stored(key()))) == ("skipped", "work")
    assert plan(key("sk-2"), Known(stored(key())), "rename") == ("added", "work-2")
    assert plan(key("sk-2"), Known(stored(key())), "update") == ("updated", "work")
    assert plan(key("gsk", provider="groq"), Known(stored(key())), "update") == ("skipped", "work")
    known = Known(())
    assert [plan(key(f"sk-{n}", label=""), known)[1] for n in range(3)] == ["openai", "openai-2", "openai-3"]
    # Two of one file that share a name are no conflict with anything of the user's.
    known = Known(())
    assert [plan(key(f"sk-{n}", label="x" * 64), known) for n in range(2)] == [("added", "x" * 64), ("added", "x" * 62 + "-2")]
    twice = decide(key("sk-0", label="z"), known, "update", NOW)
    assert isinstance(twice, Row)
    assert "twice" in twice.why


def test_an_update_changes_what_the_file_says() -> None:
    there = replace(stored(key(fields={"priority": 5}))[0], options={"region": "", "kept": 1}, prefix="p")
    found = decide(key("sk-2", fields={"models": ["m"], "options": {"new": 2}}), Known([there]), "update", NOW)
    assert isinstance(found, Ready)
    assert found.changes == {
        "models": ("m",),
        "options": {"region": "", "kept": 1, "new": 2},
        "auth": "api_key",
        "secret": "sk-2",
        "key_hint": found.account.key_hint,
        "state": "ok",
        "state_reason": "",
    }
    bare = decide(key("", fields={"priority": 1}), Known([there]), "update", NOW)
    assert isinstance(bare, Ready)
    assert bare.changes == {"priority": 1}


ELSEWHERE = {"base_url": "https://collector.example/v1", "options": {"endpoints": {"inference": "https://collector.example/v1"}}}


@pytest.mark.parametrize("draft", [key("", label="work", fields=ELSEWHERE), key("", provider="codex", auth="oauth", fields=ELSEWHERE)])
def test_a_file_without_a_credential_does_not_say_where_the_stored_one_goes(draft: Draft) -> None:
    there = replace(stored(key("sk-OWN"))[0], provider=draft.provider)
    found = decide(draft, Known([there]), "update", NOW)
    assert isinstance(found, Ready)
    assert (found.changes, "stay as they are" in found.note) == ({}, True)


def test_one_person_at_two_servers_is_two_accounts() -> None:
    def at(server: str, refresh: str) -> Draft:
        described = {"authorization": f"{server}/authorize", "token": f"{server}/token", "client_id": "c"}
        options = {"oauth": described, "endpoints": {"inference": f"{server}/v1"}, "identity": {"email": "a@b.c"}}
        return Draft("custom-oauth", "", "oauth", tokens=Tokens(f"at-{refresh}", refresh), fields={"options": options}, where="e")

    known = Known(stored(at("https://one.example", "rt-1")))
    assert plan(at("https://two.example", "rt-2"), known, "update")[0] == "added"
    assert plan(at("https://one.example", "rt-3"), known, "update")[0] == "updated"


def test_a_command_needs_no_key() -> None:
    account, note = account_of(Draft("claude-code", "mine", where="e"), NOW)
    assert (account.state, note) == ("ok", "")


def test_marks_hold_no_secret() -> None:
    for account in stored(key("sk-SECRET"), signed("rt-SECRET")):
        assert "SECRET" not in " ".join(marks(account))


def test_ten_thousand_of_one_name_find_their_labels() -> None:
    known = Known(())
    labels = {plan(key(f"sk-{n}", label="same"), known)[1] for n in range(3000)}
    assert len(labels) == 3000


def program(label: str = "cc", token: str = "tok-SECRET", **command: Any) -> Draft:
    fields = {"options": {"command": {"set": {"TOKEN": token}, **command}}}
    return Draft("claude-code", label, "cli", fields=fields, where="e")


def test_the_values_of_a_program_are_its_credential() -> None:
    account, note = account_of(program(), NOW)
    assert ("SECRET" in str(account.options), command_values.values(account), account.state, note) == (
        False,
        {"TOKEN": "tok-SECRET"},
        "ok",
        RUNS,
    )
    assert plan(program(label="other"), Known([account])) == ("skipped", "other")
    assert plan(program(label="other", token="tok-2"), Known([account]))[0] == "added"
    assert "SECRET" not in " ".join(marks(account))
    bare, note = account_of(program(token=MASK), NOW)
    assert (bare.state, bare.secret, "TOKEN" in note) == ("needs_login", "", True)
    found = decide(program(token="tok-2"), Known([account]), "update", NOW)
    assert isinstance(found, Ready)
    assert (found.changes or {})["secret"] == '{"TOKEN": "tok-2"}'


def test_a_file_without_the_values_does_not_say_which_program_gets_the_stored_ones() -> None:
    there = account_of(program(), NOW)[0]
    elsewhere = decide(program(token=MASK, program="/tmp/x"), Known([there]), "update", NOW)
    assert isinstance(elsewhere, Ready)
    assert (elsewhere.changes, "stay as they are" in elsewhere.note) == ({}, True)
    silent = decide(Draft("claude-code", "cc", "cli", fields={"priority": 2, "options": {}}, where="e"), Known([there]), "update", NOW)
    assert isinstance(silent, Ready)
    changes = silent.changes or {}
    assert (changes["priority"], changes.keys() & {"secret", "options"}) == (2, set())
