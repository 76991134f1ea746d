import asyncio
import os
import socket
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

import pytest

from omni_connector import doctor
from omni_connector.doctor import Finding, examine, verdict
from omni_connector.gateway import Gateway
from omni_connector.providers import complete
from omni_connector.secrets import SecretsError
from omni_connector.settings import Settings
from omni_connector.snapshot import Account, ClientKey, Cooldown, Snapshot

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
