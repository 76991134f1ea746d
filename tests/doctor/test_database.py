"""doctor, from home to database: `examine` in whole, on homes that are sound and homes that are not."""

from pathlib import Path
from typing import Any

import pytest

from omni_connector.doctor import Finding, Patient, examine, verdict
from omni_connector.doctor.database import months
from omni_connector.gateway import Gateway
from omni_connector.store import partitions
from omni_connector.store.engine import Database


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
    findings = await examine(omni_home, None, offline=True)
    assert of(findings, "home").level == "fail"
    assert "--init-only" in of(findings, "home").fix
    assert not omni_home.exists(), "looking creates nothing"


async def test_a_sound_home(omni_home: Path) -> None:
    await make_home(omni_home)
    findings = await examine(omni_home, None, offline=True)
    assert verdict(findings)
    for what in ("python", "libraries", "home", "disk", "master key", "database", "secrets", "accounts", "server", "port"):
        assert of(findings, what).level == "ok", what
    assert of(findings, "keys").level == "warn"
    assert "sk-abcdefgh" not in str(findings)


async def test_what_others_can_read_is_named(omni_home: Path) -> None:
    await make_home(omni_home)
    omni_home.chmod(0o755)
    (omni_home / "admin.key").chmod(0o644)
    fixes = [f.fix for f in await examine(omni_home, None, offline=True) if f.what == "home"]
    assert fixes == [f"chmod 700 '{omni_home}'", f"chmod 600 '{omni_home / 'admin.key'}'"]


async def test_a_lost_master_key_is_not_replaced(omni_home: Path) -> None:
    await make_home(omni_home)
    (omni_home / "master.key").unlink()
    findings = await examine(omni_home, None, offline=True)
    assert (of(findings, "master key").level, verdict(findings)) == ("fail", False)
    assert not (omni_home / "master.key").exists()


async def test_another_master_key_is_found_out(omni_home: Path, tmp_path: Path) -> None:
    await make_home(omni_home)
    other = await Gateway.open(tmp_path / "other")
    await other.close()
    (omni_home / "master.key").write_bytes((tmp_path / "other" / "master.key").read_bytes())
    assert of(await examine(omni_home, None, offline=True), "secrets").level == "fail"


async def test_a_damaged_database_is_said(omni_home: Path) -> None:
    await make_home(omni_home)
    for extra in ("omni.db-wal", "omni.db-shm"):
        (omni_home / extra).unlink(missing_ok=True)
    (omni_home / "omni.db").write_bytes(b"not a database at all" * 500)
    finding = of(await examine(omni_home, None, offline=True), "database")
    assert finding.level == "fail"
    assert "backups" in finding.message


async def test_a_setting_that_cannot_be_used(omni_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await make_home(omni_home)
    monkeypatch.setenv("OMNI_PORT", "many")
    assert "OMNI_PORT" in of(await examine(omni_home, None, offline=True), "settings").message


async def test_further_checks_are_made_last_and_may_break(omni_home: Path) -> None:
    await make_home(omni_home)

    async def seen(patient: Patient) -> list[Finding]:
        assert patient.picture is not None
        return [Finding("ok", "clients", f"{len(patient.picture.accounts)} account")]

    async def breaks(patient: Patient) -> list[Finding]:
        raise OSError("no such folder")

    findings = await examine(omni_home, None, {"clients": seen, "others": breaks}, offline=True)
    assert findings[-2:] == [Finding("ok", "clients", "1 account"), Finding("fail", "others", "no such folder")]


async def test_damage_deep_in_the_file_names_the_copy_to_go_back_to(omni_home: Path) -> None:
    await make_home(omni_home)
    gateway = await Gateway.open(omni_home)
    await gateway.db.snapshot_to(omni_home / "backups" / "omni-1795000000000.db")
    await gateway.close()
    content = bytearray((omni_home / "omni.db").read_bytes())
    content[4096 * 3 : 4096 * 12] = b"\xa5" * (4096 * 9)
    (omni_home / "omni.db").write_bytes(content)
    finding = of(await examine(omni_home, None, offline=True), "database")
    assert (finding.level, finding.fix) == ("fail", "omni-connector restore --snapshot omni-1795000000000.db")
    assert "The newest good copy is of 2026-11-18" in finding.message
    assert "doctor" not in finding.message


async def test_a_month_without_a_table_is_told(postgres: Any) -> None:
    url = await postgres.fresh()
    db = await Database.open(url)
    assert await months(db) == []
    for part in await db.run(partitions.parts):
        await db.tx(lambda conn, one=part: partitions.drop(conn, one, 0, None))  # type: ignore[misc]
    (found,) = await months(db)
    assert found.level == "warn" and "requests_default" in found.message and "--months" in found.fix
    await db.close()
    await postgres.drop(url)
