import json

import pytest

from omni_connector.admin import Admin
from omni_connector.errors import GatewayError, Kind
from omni_connector.secrets import hash_key, key_checksum_ok
from omni_connector.store import keys as table
from tests.admin.conftest import NOW, House

DAY = 86_400_000


async def test_a_key_is_minted_shown_once_and_kept_as_a_hash(house: House, admin: Admin) -> None:  # O-05, J-16
    created = await admin.create_key({"name": "laptop", "expires_at": "30d", "rpm": 60, "models": ["gpt-5"]})
    key = created["key"]
    assert key_checksum_ok(key)
    assert house.snapshot.keys[hash_key(key)].name == "laptop"
    assert (created["status"], created["expires_at"], created["rpm"]) == ("active", NOW + 30 * DAY, 60)
    listed = await admin.keys()
    assert key not in json.dumps([listed, house.events])
    assert {**listed["keys"][0], "key": key} == created


async def test_two_keys_are_never_the_same(admin: Admin) -> None:
    first, second = await admin.create_key({}), await admin.create_key({})
    assert first["key"] != second["key"]
    assert [first["name"], second["name"]] == ["key", "key-2"]
    assert {k["name"] for k in (await admin.keys())["keys"]} == {"key-2", "key"}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"expires_at": NOW - 1}, "expires_at"),
        ({"expires_at": "soon"}, "expires_at"),
        ({"rpm": 0}, "rpm"),
        ({"tpm": -5}, "tpm"),
        ({"models": []}, "models"),
        ({"providers": ["opnai"]}, "providers"),
        ({"name": "x" * 65}, "name"),
        ({"name": "a\x1bb"}, "name"),
        ({"budget": {"amount": "lots"}}, "budget.amount"),
        ({"rmp": 5}, "rmp"),
    ],
)
async def test_a_mistake_names_its_field_and_makes_no_key(admin: Admin, body: dict[str, object], param: str) -> None:
    with pytest.raises(GatewayError) as caught:
        await admin.create_key(body)
    assert (caught.value.kind, caught.value.param) == (Kind.BAD_REQUEST, param)
    assert (await admin.keys())["keys"] == []


async def test_a_key_expires_by_itself(house: House, admin: Admin) -> None:  # O-20
    created = await admin.create_key({"expires_at": NOW + 1000})
    house.now += 1000
    assert (await admin.keys())["keys"][0]["status"] == "expired"
    edited = await admin.edit_key(created["id"], {"expires_at": None, "providers": ["OpenAI"]})
    assert (edited["status"], edited["expires_at"], edited["providers"]) == ("active", None, ["openai"])


async def test_rotation_keeps_the_row_and_ends_the_old_key(house: House, admin: Admin) -> None:
    old = await admin.create_key({"name": "ci", "tpm": 1000})
    new = await admin.rotate_key(old["id"])
    assert (new["id"], new["name"], new["tpm"]) == (old["id"], "ci", 1000)
    assert list(house.snapshot.keys) == [hash_key(new["key"])]


async def test_a_revoked_key_stays_revoked(house: House, admin: Admin) -> None:
    key = await admin.create_key({})
    assert (await admin.revoke_key(key["id"]))["status"] == "revoked"
    house.now += 5000
    assert (await admin.revoke_key(key["id"]))["revoked_at"] == NOW
    with pytest.raises(GatewayError) as caught:
        await admin.rotate_key(key["id"])
    assert caught.value.kind is Kind.CONFLICT
    with pytest.raises(GatewayError) as missing:
        await admin.revoke_key("key_none")
    assert missing.value.kind is Kind.NOT_FOUND


async def test_last_use_shows_though_it_moves_no_snapshot(house: House, admin: Admin) -> None:
    key = await admin.create_key({})
    await house.db.tx(lambda conn: table.touch(conn, {key["id"]: NOW + 5}))
    assert (await admin.keys())["keys"][0]["last_used_at"] == NOW + 5
