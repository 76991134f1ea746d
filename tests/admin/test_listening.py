import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from omni_connector import auth, secrets, settings
from omni_connector.admin import Admin
from omni_connector.errors import GatewayError, Kind
from omni_connector.store import settings as table
from tests.admin.conftest import NOW, House
from tests.tls import make_pair


async def test_the_client_key_is_one_and_the_old_one_ends(house: House, admin: Admin) -> None:  # R-21, R-22
    def enters(key: str) -> bool:
        try:
            return auth.authenticate({"authorization": f"Bearer {key}"}, b"", house.snapshot, NOW).name == "client"
        except GatewayError:
            return False

    told = await admin.client_key({"key": "chosen-by-hand-1"})
    assert "key" not in told and told["name"] == "client" and enters("chosen-by-hand-1")
    assert (await admin.client_key({"key": "chosen-by-hand-1"}))["id"] == told["id"], "saying it twice changes nothing"
    fresh = await admin.client_key({})
    assert fresh["id"] == told["id"] and secrets.key_checksum_ok(fresh["key"])
    assert enters(fresh["key"]) and not enters("chosen-by-hand-1")
    await admin.revoke_key(told["id"])
    again = await admin.client_key({})
    assert again["id"] != told["id"] and enters(again["key"]) and not enters(fresh["key"])
    with pytest.raises(GatewayError) as refused:
        await admin.client_key({"key": fresh["key"]})
    assert refused.value.kind is Kind.CONFLICT


@pytest.mark.parametrize(
    "body", [{"key": "short"}, {"key": "with a blank in it"}, {"key": "ümlaut-in-the-key"}, {"key": 5}, {"key": "a" * 300},
             {"key": "aaaaaaaaaaaaaaaa"}, {"key": "omniadm-0123456789abcdef"}, {"kei": "x"}, []],
)  # fmt: skip
async def test_what_is_no_key(admin: Admin, body: object) -> None:
    with pytest.raises(GatewayError) as refused:
        await admin.client_key(body)
    assert refused.value.kind is Kind.BAD_REQUEST


async def test_the_admin_key_is_exchanged_in_its_file(house: House, admin: Admin, monkeypatch: pytest.MonkeyPatch) -> None:  # R-26, R-27
    file = admin.process.home / "admin.key"
    file.parent.mkdir(exist_ok=True)
    told = await admin.admin_key({"key": "an-admin-key-of-mine"})
    assert told == {"file": str(file)} and file.read_text() == "an-admin-key-of-mine\n" and file.stat().st_mode & 0o777 == 0o600
    fresh = await admin.admin_key({})
    assert file.read_text().strip() == fresh["key"] and secrets.key_checksum_ok(fresh["key"], secrets.ADMIN_PREFIX)
    assert [path.name for path in file.parent.glob("admin.key*")] == ["admin.key"]
    monkeypatch.setenv("OMNI_ADMIN_KEY", "omniadm-from-outside")
    with pytest.raises(GatewayError, match="environment"):
        await admin.admin_key({})


async def test_listeners_are_looked_at_before_they_are_stored(admin: Admin, tmp_path: Path) -> None:  # P-31, R-24, R-25, R-28, R-29, R-30
    cert, key = make_pair(tmp_path / "tls", 1)
    good = {"client_bind": "127.0.0.1:3000", "admin_bind": "127.0.0.1:3001", "admin_state": False}
    tls = {"client_tls_cert": str(cert), "client_tls_key": str(key)}
    stored = {row["name"]: row["value"] for row in (await admin.set_config({**good, **tls}))["settings"]}
    assert stored["client_bind"] == "127.0.0.1:3000" and stored["admin_state"] is False
    for bad in (
        {"client_bind": "x"},
        {"admin_bind": "0.0.0.0:1", "admin_state": True},
        {"client_tls_key": None},
        {"trusted_proxies": ["x"]},
    ):
        with pytest.raises(GatewayError) as refused:
            await admin.set_config(bad)
        assert refused.value.kind is Kind.BAD_REQUEST, bad
    assert {row["name"]: row["value"] for row in (await admin.config())["settings"]} == stored


async def test_without_a_server_there_is_none_to_reload(admin: Admin) -> None:
    told = await admin.service_mode()
    assert (told["mode"], told["workers"], told["can_reload"]) == ("none", [], False)
    with pytest.raises(GatewayError) as refused:
        await admin.change_service({"action": "reload"})
    assert refused.value.kind is Kind.CONFLICT


async def test_a_password_stays_while_others_can_reach_a_listener(admin: Admin, monkeypatch: pytest.MonkeyPatch) -> None:  # P-12
    import dataclasses

    monkeypatch.setattr(secrets, "hash_password", lambda text: f"hash:{text}")
    assert (await admin.admin_password({"password": "long enough"}))["password_set"]
    admin.process = dataclasses.replace(admin.process, listeners=({"side": "client", "url": "http://192.0.2.1:1", "remote": True},))
    with pytest.raises(GatewayError) as refused:
        await admin.admin_password({"password": ""})
    assert refused.value.kind is Kind.CONFLICT
    admin.process = dataclasses.replace(admin.process, listeners=())
    assert not (await admin.admin_password({"password": ""}))["password_set"]


async def test_the_password_of_the_environment_is_in_force(house: House, admin: Admin, monkeypatch: pytest.MonkeyPatch) -> None:  # J-29
    def in_base(name: str) -> Any:
        return house.db.run(lambda conn: table.get_meta(conn, name))

    async def settled(guests: bool = True, **changes: Any) -> str:
        admin.settings = dataclasses.replace(settings.Settings(), **changes)
        return await admin.settle_password(guests)

    monkeypatch.setattr(secrets, "hash_password", lambda text: f"hash:{text}")
    monkeypatch.setattr(secrets, "verify_password", lambda text, stored: stored == f"hash:{text}")
    # Nobody asked for one, or nobody else is let in: there is none.
    assert await settled() == "" and await settled(False, first_password=True) == "" and not await in_base("admin_password")
    made = await settled(first_password=True)
    assert re.fullmatch(r"[0-9a-z]{4}(-[0-9a-z]{4}){4}", made) and await in_base("admin_password") == f"hash:{made}"
    assert await settled(first_password=True) == "" and await in_base("admin_password") == f"hash:{made}"
    assert await settled(admin_password="from outside") == "" and await in_base("admin_password") == "hash:from outside"
    epoch = await in_base("session_epoch")
    assert await settled(admin_password="from outside") == "" and await in_base("session_epoch") == epoch, "a restart ends no session"
    with pytest.raises(GatewayError) as refused:
        await admin.admin_password({"password": "another one"})
    assert refused.value.kind is Kind.CONFLICT and "OMNI_ADMIN_PASSWORD" in refused.value.message
    with pytest.raises(settings.SettingsError, match="too short"):
        await settled(admin_password="short")
