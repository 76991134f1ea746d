import asyncio
import os
import socket
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from omni_connector import doctor
from omni_connector.command import Commands
from omni_connector.doctor import Finding, examine, verdict
from omni_connector.gateway import Gateway
from omni_connector.providers import PROVIDERS, complete
from omni_connector.providers.sign_ins import only_one
from omni_connector.secrets import SecretsError
from omni_connector.settings import Settings
from omni_connector.snapshot import Account, ClientKey, Cooldown, ProviderSettings, Snapshot
from omni_connector.store.refreshes import Refresh
from omni_connector.tokens import Tokens

NOW = 1_795_000_000_000
READY = complete(Account("acc_1", "openai", "work", secret="sk-1", discovered=("gpt-5",)))


@dataclass(frozen=True)
class Running:
    pid: int
    url: str


@pytest.fixture(autouse=True)
def any_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMNI_PORT", "0")  # the usual one may be taken on this machine


def of(findings: list[Finding], what: str) -> Finding:
    return next(f for f in findings if f.what == what)


async def make_home(home: Path) -> None:
    gateway = await Gateway.open(home)
    await gateway.admin.add_account({"provider": "openai", "api_key": "sk-abcdefgh12345678", "discover": False})
    await gateway.close()


async def test_nothing_there_yet(omni_home: Path) -> None:
    findings = await examine(omni_home, None)
    assert of(findings, "home").level == "fail"
    assert "--init-only" in of(findings, "home").fix
    assert not omni_home.exists(), "looking creates nothing"


async def test_a_sound_home(omni_home: Path) -> None:
    await make_home(omni_home)
    findings = await examine(omni_home, None)
    assert verdict(findings)
    for what in ("python", "libraries", "home", "disk", "master key", "database", "secrets", "accounts", "server", "port"):
        assert of(findings, what).level == "ok", what
    assert of(findings, "keys").level == "warn"
    assert "sk-abcdefgh" not in str(findings)


async def test_what_others_can_read_is_named(omni_home: Path) -> None:
    await make_home(omni_home)
    omni_home.chmod(0o755)
    (omni_home / "admin.key").chmod(0o644)
    fixes = [f.fix for f in await examine(omni_home, None) if f.what == "home"]
    assert fixes == [f"chmod 700 '{omni_home}'", f"chmod 600 '{omni_home / 'admin.key'}'"]


async def test_a_lost_master_key_is_not_replaced(omni_home: Path) -> None:
    await make_home(omni_home)
    (omni_home / "master.key").unlink()
    findings = await examine(omni_home, None)
    assert (of(findings, "master key").level, verdict(findings)) == ("fail", False)
    assert not (omni_home / "master.key").exists()


async def test_another_master_key_is_found_out(omni_home: Path, tmp_path: Path) -> None:
    await make_home(omni_home)
    other = await Gateway.open(tmp_path / "other")
    await other.close()
    (omni_home / "master.key").write_bytes((tmp_path / "other" / "master.key").read_bytes())
    assert of(await examine(omni_home, None), "secrets").level == "fail"


async def test_a_damaged_database_is_said(omni_home: Path) -> None:
    await make_home(omni_home)
    for extra in ("omni.db-wal", "omni.db-shm"):
        (omni_home / extra).unlink(missing_ok=True)
    (omni_home / "omni.db").write_bytes(b"not a database at all" * 500)
    finding = of(await examine(omni_home, None), "database")
    assert finding.level == "fail"
    assert "backups" in finding.message


async def test_a_setting_that_cannot_be_used(omni_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await make_home(omni_home)
    monkeypatch.setenv("OMNI_PORT", "many")
    assert "OMNI_PORT" in of(await examine(omni_home, None), "settings").message


async def test_a_port_of_somebody_else_and_a_stale_note(omni_home: Path) -> None:
    omni_home.mkdir()
    (omni_home / "server.json").write_text("{}")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        settings = Settings(port=taken.getsockname()[1])
        found = await doctor.listening(omni_home, {}, settings, None)
    assert [(f.what, f.level) for f in found] == [("server", "warn"), ("port", "fail")]


@pytest.mark.parametrize(
    ("status", "body", "level"),
    [
        (200, f'{{"version":"{doctor.__version__}"}}', "ok"),
        (200, '{"version":"0.0.1"}', "warn"),
        (401, "{}", "fail"),
        (500, "{}", "fail"),
    ],
)
async def test_the_server_s_health(omni_home: Path, status: int, body: str, level: str) -> None:
    omni_home.mkdir()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        writer.write((head + body).encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    found = await doctor.listening(omni_home, {"OMNI_ADMIN_KEY": "k"}, Settings(), Running(os.getpid(), url))
    server.close()
    await server.wait_closed()
    assert [(f.what, f.level) for f in found] == [("server", level)]


async def test_a_server_that_does_not_answer(omni_home: Path) -> None:
    found = await doctor.listening(omni_home, {"OMNI_ADMIN_KEY": "k"}, Settings(), Running(os.getpid(), "http://127.0.0.1:1"))
    assert (found[0].level, "does not answer" in found[0].message) == ("fail", True)


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
    finding = doctor.accounts(Snapshot(accounts=(account,), cooldowns=cooldowns), NOW)[0]
    assert (finding.what, finding.level) == ("account work", level)
    assert said in finding.message
    assert "'work'" in finding.fix


def test_accounts_in_all() -> None:
    assert doctor.accounts(Snapshot(), NOW)[0].level == "warn"
    assert doctor.accounts(Snapshot(accounts=(READY,)), NOW) == [Finding("ok", "accounts", "1 connected, all ready.")]
    assert doctor.accounts(Snapshot(accounts=(replace(READY, enabled=False),)), NOW)[-1].level == "fail"


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
    assert doctor.accounts(Snapshot(accounts=(account,)), NOW)[0].fix.endswith(fix)


def test_who_holds_an_account_back() -> None:  # P-48
    used, other = signed_in(), replace(signed_in(), id="acc_4", label="second", created_at=NOW)
    picture = Snapshot(accounts=only_one((used, other), PROVIDERS))
    (finding,) = doctor.accounts(picture, NOW)
    assert (finding.what, finding.level) == ("account second", "warn")
    assert "as its terms want; that is work" in finding.message
    assert finding.fix == "Nothing to do. To use this one instead: omni-connector backend disable 'work'"
    off = {"openai": ProviderSettings("openai", enabled=False)}
    (finding, _) = doctor.accounts(
        Snapshot(accounts=(replace(READY, enabled=False, switched_off="provider openai is switched off"),), providers=off), NOW
    )
    assert finding.fix == "omni-connector provider enable openai"


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    picture = Snapshot(accounts=(CLAUDE,))
    (finding,) = doctor.accounts(picture, NOW, {}, Commands(tmp_path, {"PATH": str(tmp_path)}).locate)
    assert (finding.level, "no program 'claude'" in finding.message) == ("fail", True)
    assert finding.fix == "omni-connector backend edit 'work' --program /PATH/TO/IT"
    unfinished = complete(Account("acc_2", "command", "work", auth="cli", options={"command": {"preset": "gcloud"}}))
    (finding, *_) = doctor.accounts(Snapshot(accounts=(unfinished,)), NOW, {}, lambda _: "")
    assert "in place of ENDPOINT_ID" in finding.message or finding.message.startswith("None of its models")
    assert doctor.accounts(picture, NOW, {}, lambda _: "/usr/bin/claude")[0].level == "ok"


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
    (finding,) = doctor.accounts(Snapshot(accounts=(account,)), NOW, {"acc_3": last} if last else {})
    assert (finding.what, finding.level) == ("account work", level)
    assert said in finding.message
    assert finding.fix.endswith("backend login chatgpt 'work'")
    assert "at-secret" not in str(finding)


def test_how_long_tokens_live() -> None:
    lasting = signed_in(refresh_token="r", expires_at=NOW + 45 * 60_000)
    picture = Snapshot(accounts=(lasting, READY))
    assert doctor.accounts(picture, NOW, {}) == [Finding("ok", "accounts", "2 connected, all ready.")]
    (finding,) = doctor.sign_ins_ahead(picture, NOW)
    assert finding == Finding("ok", "sign-ins", "1 signed in; the first access token ends in 45 min. A running server renews them.")
    assert doctor.sign_ins_ahead(Snapshot(accounts=(READY,)), NOW) == []
    assert [doctor.span(ms) for ms in (1, 119 * 60_000, 47 * 3_600_000, 72 * 3_600_000)] == ["1 min", "119 min", "47 h", "3 days"]


def test_keys() -> None:
    key = ClientKey("key_1", "a", "omni-…", "h", NOW)
    for keys, level in (({}, "warn"), ({"h": key}, "ok"), ({"h": replace(key, expires_at=NOW)}, "warn")):
        assert doctor.client_keys(Snapshot(keys=keys), NOW)[0].level == level


def test_the_machine(tmp_path: Path) -> None:
    assert doctor.python_version((3, 10, 1)).level == "fail"
    assert [doctor.disk(tmp_path, free).level for free in (10 * 1024**3, 500 * 1024**2, 1)] == ["ok", "warn", "fail"]

    def none_installed(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    assert doctor.libraries(none_installed)[0].level == "fail"
    assert doctor.launcher(str(tmp_path)).level == "warn"
    (tmp_path / "omni-connector").write_text("#!/bin/sh\n")
    (tmp_path / "omni-connector").chmod(0o755)
    assert doctor.launcher(str(tmp_path)).level == "ok"


async def test_a_check_that_breaks_is_a_finding() -> None:
    async def breaks() -> list[Finding]:
        raise SecretsError("cannot be read")

    assert await doctor._safely("secrets", breaks) == [Finding("fail", "secrets", "cannot be read")]
