"""Importing: findings of this machine and files of any format, written in chunks, with a report for every entry."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jose import jwt

from omni_connector import providers, transfer
from omni_connector.admin import TestResult
from omni_connector.admin.imports import CHUNK, FEW
from omni_connector.errors import GatewayError, Kind
from omni_connector.gateway import Gateway
from omni_connector.local_logins import Machine
from omni_connector.snapshot import Account
from omni_connector.store import accounts as table
from omni_connector.tokens import decode
from tests.code_assist_server import PROJECT, CodeAssist
from tests.serving import Answer, FakeUpstream, Seen
from tests.signing import Place, opened_place

Json = dict[str, Any]
PLAIN: Json = {"provider": "groq", "email": "g@x.org", "token": {"access_token": "gsk-SECRET-1"}}
PLAN: Json = {
    "provider": "codex",
    "email": "c@x.org",
    "enabled": False,
    "token": {"access_token": "at-SECRET", "refresh_token": "rt-SECRET"},
}


@pytest.fixture
async def place(migrated_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Place]:
    async with opened_place(migrated_home, tmp_path / "home", monkeypatch) as place:
        yield place


@pytest.fixture
def gateway(place: Place) -> Gateway:
    return place.gateway


async def bring(gateway: Gateway, content: Any, **more: Any) -> Json:
    return await gateway.admin.import_accounts({"content": content, "discover": False, **more})


async def there(gateway: Gateway) -> dict[str, Account]:
    stored = await gateway.db.run(lambda conn: table.list_accounts(conn, gateway.vault))
    return {account.label: account for account in stored}


def counts(told: Json) -> tuple[int, int, int, int]:
    return told["added"], told["updated"], told["skipped"], told["failed"]


# ---------------------------------------------------------------- The report


async def test_every_entry_is_reported(gateway: Gateway) -> None:  # P-27, P-28
    events: list[str] = []
    gateway.admin._publish = lambda name, value: events.append(f"{name} {value['label']}")
    told = await bring(gateway, json.dumps([PLAIN, {"provider": "claude", "token": PLAN["token"]}, {"x": 1}]))
    assert (told["format"], told["total"], counts(told)) == ("oneproxy", 3, (1, 0, 0, 2))
    assert [(row["where"], row["outcome"], row["label"]) for row in told["accounts"]] == [
        ("entry 2", "failed", ""),
        ("entry 3", "failed", ""),
        ("entry 1", "added", "g@x.org"),
    ]
    assert "Claude Code" in told["accounts"][0]["why"]
    account = (await there(gateway))["g@x.org"]
    assert (account.id, account.provider, account.secret) == (told["accounts"][2]["id"], "groq", "gsk-SECRET-1")
    assert events == ["account g@x.org"]
    assert counts(await bring(gateway, [PLAIN])) == (0, 0, 1, 0)


async def test_a_dry_run_changes_nothing(gateway: Gateway) -> None:
    told = await bring(gateway, [PLAIN], dry_run=True)
    assert (counts(told), told["dry_run"], told["accounts"][0]["id"]) == ((1, 0, 0, 0), True, None)
    assert await there(gateway) == {}
    content = {"format": "omni-connector", "accounts": [], "aliases": {"fast": ["groq"]}, "settings": {"strategy": "cost"}}
    told = await bring(gateway, content, dry_run=True, settings=True)
    assert (told["also"]["aliases"], told["also"]["settings"]) == (["fast"], ["strategy"])
    assert (await gateway.admin.config())["aliases"] == {}


async def test_conflicts(gateway: Gateway) -> None:
    await bring(gateway, [PLAIN])
    other = {**PLAIN, "token": {"access_token": "gsk-SECRET-2"}}
    assert counts(await bring(gateway, [other])) == (0, 0, 1, 0)
    assert counts(await bring(gateway, [other], on_conflict="rename")) == (1, 0, 0, 0)
    assert set(await there(gateway)) == {"g@x.org", "g@x.org-2"}
    third = {**PLAIN, "enabled": False, "token": {"access_token": "gsk-SECRET-3"}}
    assert counts(await bring(gateway, [third], on_conflict="update")) == (0, 1, 0, 0)
    changed = (await there(gateway))["g@x.org"]
    assert (changed.secret, changed.enabled) == ("gsk-SECRET-3", False)


@pytest.mark.parametrize(
    "body",
    [
        *({}, {"ids": ["x"], "content": []}, {"ids": ["no such"]}, {"ids": [5]}, {"colour": 1}, [], None),
        *({"content": "no json"}, {"content": {}}, {"content": 5}, {"content": []}, {"content": [], "on_conflict": "burn"}),
    ],
    ids=str,
)
async def test_what_cannot_be_imported_at_all(gateway: Gateway, body: Any) -> None:
    with pytest.raises(GatewayError) as error:
        await gateway.admin.import_accounts(body)
    assert error.value.kind is Kind.BAD_REQUEST


# ---------------------------------------------------------------- What the user has to decide


async def test_a_sign_in_is_asked_for_first(gateway: Gateway) -> None:
    told = await bring(gateway, [PLAN, PLAIN])
    assert (counts(told), [ask["code"] for ask in told["asks"]]) == ((1, 0, 0, 1), ["connector_off"])
    await gateway.admin.set_config({"connectors": ["codex"]})
    told = await bring(gateway, [PLAN, PLAIN])
    assert [(ask["provider"], ask["code"]) for ask in told["asks"]] == [("codex", "notice")]
    assert "pooling" in told["asks"][0]["message"]
    assert [row["code"] for row in told["accounts"]] == ["notice", ""]
    dry = await bring(gateway, [PLAN], acknowledged=["openai-codex"], dry_run=True)
    assert (counts(dry), dry["asks"]) == ((1, 0, 0, 0), [])
    assert (await bring(gateway, [PLAN]))["asks"], "a dry run stores no answer"
    told = await bring(gateway, [PLAN, PLAIN], acknowledged=["codex"])
    assert counts(told) == (1, 0, 1, 0)
    account = (await there(gateway))["c@x.org"]
    kept = decode(account.secret)
    assert kept is not None
    assert (account.auth, account.enabled, kept.refresh_token, account.options["signed_in"]) == ("oauth", False, "rt-SECRET", False)
    assert (await bring(gateway, [PLAN]))["asks"] == [], "asked once"


async def test_removing_an_imported_sign_in_does_not_sign_the_other_program_out(place: Place) -> None:
    entry = {"provider": "mock", "label": "m", "auth": "oauth", "tokens": place.server.issue()}
    told = await bring(place.gateway, [entry])
    assert counts(told) == (1, 0, 0, 0)
    await place.gateway.admin.remove_account(told["accounts"][0]["id"])
    await place.gateway.onboarding.close()
    assert place.server.count("revoke") == 0


# ---------------------------------------------------------------- Google


@pytest.fixture
async def google(place: Place, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Json]:
    """gemini-cli's file, whose access token has ended. Its token address is the mock's, and Code Assist takes what that one gives."""
    upstream, assist = FakeUpstream(), CodeAssist()

    def answer(seen: Seen) -> Answer:
        token = seen.headers["authorization"].removeprefix("Bearer ")
        assist.token = token if place.server.good(token) else "another"
        return assist(seen)

    await upstream.start()
    upstream.answer(answer)
    row = providers.get("gemini-cli")
    assert row.sign_in is not None
    profile = replace(row.sign_in, token=place.server.endpoints()["token"], user_info="", opt_in=False, notice="")
    monkeypatch.setattr(providers, "PROVIDERS", {**providers.PROVIDERS, "gemini-cli": replace(row, sign_in=profile, base_url=upstream.url)})
    yield {
        "access_token": "ended",
        "refresh_token": place.server.issue()["refresh_token"],
        "expiry_date": 1000,
        "scope": "https://www.googleapis.com/auth/cloud-platform",
        "id_token": jwt.encode({"azp": "client-1", "email": "ada@example.org"}, "x"),
    }
    await upstream.stop()


async def test_gemini_s_file_is_renewed_and_set_up(place: Place, google: Json) -> None:  # C-63
    told = await bring(place.gateway, json.dumps(google), client_id="client-1")
    assert counts(told) == (1, 0, 0, 0), told["accounts"]
    account = (await there(place.gateway))["ada@example.org"]
    kept = decode(account.secret)
    assert kept is not None
    assert place.server.good(kept.access_token)
    assert (kept.client_id, account.options["project"], account.options["identity"]["email"]) == ("client-1", PROJECT, "ada@example.org")
    assert (await bring(place.gateway, google, client_id="client-1"))["skipped"] == 1
    assert place.server.count("refresh") == 1


async def test_google_s_sign_in_wants_the_client_it_was_issued_to(place: Place, google: Json) -> None:
    nobody = await bring(place.gateway, google)
    assert "GEMINI_OAUTH_CLIENT_ID" in nobody["accounts"][0]["why"]
    other = await bring(place.gateway, google, client_id="client-2", client_secret="s")
    assert "issued to the OAuth client client-1" in other["accounts"][0]["why"]
    assert place.server.count("refresh") == 0


# ---------------------------------------------------------------- From this machine


async def test_a_finding_is_imported_by_its_id(gateway: Gateway, tmp_path: Path) -> None:  # P-22
    cache = tmp_path / "user" / ".aws" / "sso" / "cache"
    cache.mkdir(parents=True)
    token = {"accessToken": "aoa-SECRET", "refreshToken": "aor-SECRET", "authMethod": "social", "expiresAt": "2030-01-01T00:00:00Z"}
    (cache / "kiro-auth-token.json").write_text(json.dumps(token))
    gateway.admin.machine = Machine(tmp_path / "user", {"GROQ_API_KEY": "gsk-SECRET-9"})
    body = {"ids": ["kiro", "env:GROQ_API_KEY", "kiro"], "discover": False}
    told = await gateway.admin.import_accounts(body)
    assert (told["format"], counts(told), told["asks"][0]["code"]) == ("found", (1, 0, 0, 1), "connector_off")
    await gateway.admin.set_config({"connectors": ["kiro"]})
    told = await gateway.admin.import_accounts({**body, "acknowledged": ["kiro"]})
    assert counts(told) == (1, 0, 1, 0)
    accounts = await there(gateway)
    assert (accounts["kiro"].auth, accounts["groq"].secret) == ("oauth", "gsk-SECRET-9")
    shown = {one["id"]: one["already"] for one in (await gateway.admin.discover())["found"]}
    assert shown == {"kiro": accounts["kiro"].id, "env:GROQ_API_KEY": accounts["groq"].id}
    assert (cache / "kiro-auth-token.json").read_text() == json.dumps(token), "nothing is changed there"


# ---------------------------------------------------------------- Large, hostile, interrupted


async def test_ten_thousand_accounts(gateway: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "omni")
    entries = [{**PLAIN, "email": f"u{n}@x.org", "token": {"access_token": f"gsk-SECRET-{n:05}"}} for n in range(transfer.MOST_ACCOUNTS)]
    transactions = 0
    tx = gateway.db.tx

    async def counted(work: Any) -> Any:
        nonlocal transactions
        transactions += 1
        return await tx(work)

    gateway.db.tx = counted  # type: ignore[method-assign]
    told = await bring(gateway, entries)
    assert (counts(told), told["chunks"]) == ((10_000, 0, 0, 0), 10_000 // CHUNK)
    assert transactions == told["chunks"]
    assert len(gateway.snapshot.accounts) == 10_000
    assert counts(await bring(gateway, entries)) == (0, 0, 10_000, 0)
    assert "SECRET" not in caplog.text


async def test_an_import_that_broke_off_goes_on(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [{**PLAIN, "email": f"u{n}@x.org", "token": {"access_token": f"gsk-{n:05}"}} for n in range(CHUNK * 2)]
    done = 0
    tx = gateway.db.tx

    async def broken(work: Any) -> Any:
        nonlocal done
        done += 1
        if done == 2:
            raise OSError("the disk is full")
        return await tx(work)

    monkeypatch.setattr(gateway.db, "tx", broken)
    with pytest.raises(OSError, match="disk"):
        await bring(gateway, entries)
    monkeypatch.undo()
    assert len(await there(gateway)) == CHUNK
    assert counts(await bring(gateway, entries)) == (CHUNK, 0, CHUNK, 0)


async def test_a_label_taken_meanwhile_costs_one_entry_only(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [{**PLAIN, "email": f"u{n}@x.org", "token": {"access_token": f"gsk-{n:05}"}} for n in range(3)]
    insert_all, rounds = table.insert_all, 0

    def raced(conn: Any, vault: Any, accounts: Any) -> set[str]:
        nonlocal rounds
        rounds += 1
        if rounds == 1:
            raise GatewayError(Kind.CONFLICT, "A label was taken by another process meanwhile.")
        return {account.id for account in accounts if account.label == "u1@x.org"} or insert_all(conn, vault, accounts)

    monkeypatch.setattr(table, "insert_all", raced)
    told = await bring(gateway, entries)
    assert counts(told) == (2, 0, 0, 1)
    assert [row["label"] for row in told["accounts"] if row["outcome"] == "failed"] == ["u1@x.org"]


async def test_names_that_would_lead_elsewhere(gateway: Gateway) -> None:
    names = ["../../etc/passwd", "a\r\nset-cookie: x=y", "<script>alert(1)</script>", "\x00\x1b[31m", "x" * 100_000, "\u202eevil"]
    entries = [{"provider": "groq", "email": name, "token": {"access_token": f"gsk-{n}"}} for n, name in enumerate(names)]
    told = await bring(gateway, entries)
    assert told["added"] == len(names)
    for label in await there(gateway):
        assert "/" not in label
        assert all(char.isprintable() or char == "\u202e" for char in label)
        assert 0 < len(label) <= 64


# ---------------------------------------------------------------- Our own export


async def test_our_export_moves_to_another_home(gateway: Gateway, tmp_path: Path) -> None:  # P-14, P-26, P-27
    admin = gateway.admin
    await gateway.admin.set_config({"connectors": ["codex"]})
    await bring(gateway, [PLAN, PLAIN], acknowledged=["codex"])
    await admin.edit_account((await there(gateway))["g@x.org"].id, {"priority": 7, "headers": {"x-a": "b"}, "discover": False})
    await admin.set_alias("fast", {"targets": ["groq"]})
    await admin.set_chain("best", {"tiers": [["g@x.org"], ["c@x.org"]]})
    told = await admin.export_accounts({"passphrase": "correct horse", "include": ["aliases", "chains", "settings"]})
    assert "SECRET" not in told["content"]
    other = await Gateway.open(tmp_path / "other", {})
    try:
        with pytest.raises(GatewayError, match="passphrase"):
            await bring(other, told["content"])
        await other.admin.set_config({"connectors": ["codex"]})
        report = await bring(other, told["content"], passphrase="correct horse", acknowledged=["codex"])
        also = {"aliases": ["fast"], "chains": ["best"], "prices": [], "limits": [], "settings": [], "left_out": []}
        assert (counts(report), report["also"]) == ((2, 0, 0, 0), also)
        before, after = await there(gateway), await there(other)
        moment: Json = {"id": "", "created_at": 0, "updated_at": 0}
        assert {name: replace(account, **moment) for name, account in after.items()} == {
            name: replace(account, **moment) for name, account in before.items()
        }
        again = await bring(other, told["content"], passphrase="correct horse", settings=True)
        assert (counts(again), again["also"]["settings"], len(again["also"]["left_out"])) == ((0, 0, 2, 0), ["connectors"], 2)
    finally:
        await other.close()


@pytest.mark.parametrize(("number", "asked"), [(FEW, FEW), (FEW + 1, 0)])
async def test_only_few_accounts_are_asked_for_their_models(gateway: Gateway, number: int, asked: int) -> None:
    seen: list[str] = []

    async def ask(account: Account) -> TestResult:
        seen.append(account.label)
        return TestResult(True, 200, "fine", ("model-a",))

    gateway.admin._test_account = ask
    entries = [{"provider": "groq", "label": f"g{n}", "api_key": f"gsk-{n}"} for n in range(number)]
    await gateway.admin.import_accounts({"content": entries})
    assert len(seen) == asked
    assert sum(account.discovered == ("model-a",) for account in (await there(gateway)).values()) == asked


async def test_an_account_without_its_credential_waits(gateway: Gateway) -> None:
    content = {"format": "omni-connector", "accounts": [{"provider": "groq", "label": "g", "auth": "api_key"}]}
    told = await bring(gateway, content)
    assert "without its key" in told["accounts"][0]["why"]
    account = (await there(gateway))["g"]
    assert account.state == "needs_login"
    full = await bring(gateway, [{"provider": "groq", "label": "g", "api_key": "gsk-1"}], on_conflict="update")
    assert counts(full) == (0, 1, 0, 0)
    assert (await there(gateway))["g"].state == "ok"
