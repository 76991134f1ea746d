"""Our own format: what is written comes back, and nothing secret is in it unless it is asked for."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from hypothesis import given

from omni_connector import transfer
from omni_connector.providers import command_values
from omni_connector.snapshot import Account
from omni_connector.tokens import Tokens
from omni_connector.transfer import ours
from omni_connector.transfer.shapes import Draft, Problem
from tests.transfer.test_shapes import ANY

NOW = 1_795_000_000_000
TOKENS = Tokens("at-SECRET", "rt-SECRET", NOW, "id-SECRET", "openid", "client", "cs-SECRET", 5, 6, {"profile_arn": "arn"})
GIVEN = {"argv": ["tool"], "set": {"TOKEN": "tok-SECRET"}}
PUT_AWAY = command_values.put_away({"command": GIVEN})
OLDER = Account("acc_6", "command", "older", "cli", options={"command": GIVEN})
ACCOUNTS = (
    Account(
        "acc_1", "openai", "work", secret="sk-SECRET", base_url="https://x.test/v1", models=("a", "b"), prefix="p", model_map={"m": "n"},
        enabled=False, priority=3, weight=2, max_in_flight=4, rpm=5, tpm=6, budget={"amount": "5", "period": "day"},
        headers={"x-h": "h-SECRET"}, proxy_url="http://u:pw-SECRET@proxy", options={"region": ""}, key_hint="sk-…CRET",
    ),
    Account("acc_2", "codex", "plan", "oauth", TOKENS.encode(), options={"identity": {"email": "a@b.c"}, "project": "p"}),
    Account("acc_3", "ollama", "box", "none", base_url="http://10.0.0.5:11434/v1"),
    Account("acc_4", "claude-code", "cc", "cli"),
    Account("acc_5", "command", "own", "cli", PUT_AWAY[1], options=PUT_AWAY[0]),
)  # fmt: skip


def test_everything_comes_back() -> None:  # P-26, P-27
    said = ours.document(
        ACCOUNTS, NOW, secrets=True, aliases={"fast": ("groq/x",)}, chains={"c": (("a", "b"), ("d",))}, settings={"strategy": "auto"}
    )
    found = transfer.read(json.dumps(said).encode())
    assert (found.format, found.problems) == ("omni", ())
    work, plan, box, program, own = found.accounts
    assert (own.fields["options"], own.secret) == ({"command": GIVEN}, "")
    assert (work.label, work.provider, work.secret, work.auth, work.whole) == ("work", "openai", "sk-SECRET", "api_key", True)
    for name in (*ours.PLAIN, *ours.SECRET):
        assert work.fields[name] == json.loads(msgspec.json.encode(getattr(ACCOUNTS[0], name))), name
    assert plan.tokens == TOKENS
    assert plan.identity == {"email": "a@b.c"}
    assert (box.auth, box.fields["base_url"], program.auth) == ("none", "http://10.0.0.5:11434/v1", "cli")
    assert (found.aliases, found.chains, found.settings) == ({"fast": ["groq/x"]}, {"c": [["a", "b"], ["d"]]}, {"strategy": "auto"})
    assert said["warning"] == ours.WARNING


def test_without_secrets_there_are_none() -> None:  # P-14
    said = ours.document(ACCOUNTS, NOW, secrets=False)
    assert "SECRET" not in json.dumps([said, ours.document([OLDER], NOW, secrets=False)])
    assert said["accounts"][4]["options"]["command"]["set"] == {"TOKEN": command_values.MASK}
    assert {"warning", "aliases", "chains", "settings"} & said.keys() == set()
    work = transfer.read(json.dumps(said).encode()).accounts[0]
    assert not work.has_credential


def test_oneproxy_s_list_reads_back() -> None:  # P-28
    listed = ours.listed(ACCOUNTS)
    assert [entry["provider"] for entry in listed] == ["openai", "codex"]
    assert listed[1] == {
        "provider": "codex",
        "email": "a@b.c",
        "enabled": True,
        "token": {"access_token": "at-SECRET", "refresh_token": "rt-SECRET", "expires_at": "2026-11-18T11:06:40Z"},
    }
    found = transfer.read(json.dumps(listed).encode())
    assert found.format == "oneproxy"
    assert [(draft.provider, draft.auth) for draft in found.accounts] == [("openai", "api_key"), ("codex", "oauth")]
    google = Account("a", "gemini-cli", "g", "oauth", TOKENS.encode())
    assert ours.listed([google])[0]["provider"] == "gemini"


@given(ANY, ANY)
def test_wrong_types_are_problems_or_left_out(value: Any, options: Any) -> None:
    row = {"provider": "openai", "label": value, "auth": value, "api_key": value, "tokens": value, "options": options, "enabled": value}
    assert isinstance(ours.account(row, "x"), Draft | Problem)
    assert isinstance(ours.account(value, "x"), Problem | Draft)
    assert isinstance(ours.read({"accounts": value, "aliases": value, "chains": value, "settings": value}), transfer.Imported)
    document = ours.read({"accounts": [row], "aliases": value})
    assert isinstance(document.aliases, dict)
