"""From what the user said to what is on disk and in the books of keys, without a server."""

from __future__ import annotations

from typing import Any

import pytest

from omni_connector.clients import CLIENTS, NEW_KEY, kept, setting_up
from omni_connector.clients.proof import Proof
from omni_connector.clients.setting_up import Asked
from omni_connector.errors import GatewayError, Kind
from omni_connector.secrets import key_hint, mint_key
from tests.clients.conftest import URL, Machine

Json = dict[str, Any]


class Office:
    """Keys and accounts, as the admin API tells of them."""

    def __init__(self) -> None:
        self.rows: list[Json] = []
        self.accounts: list[Json] = [{"enabled": True}]

    async def call(self, operation: str, *args: Any) -> Json:
        if operation == "keys":
            return {"keys": self.rows}
        if operation == "accounts":
            return {"accounts": self.accounts}
        if operation == "create_key":
            key = mint_key()
            row = {"id": f"key_{len(self.rows)}", "name": args[0]["name"], "hint": key_hint(key), "status": "active"}
            self.rows.append(row)
            return {**row, "key": key}
        assert operation == "revoke_key"
        row = next((row for row in self.rows if row["id"] == args[0]), None)
        if row is None:
            raise GatewayError(Kind.NOT_FOUND, "no such key")
        row["status"] = "revoked"
        return row

    def status(self) -> list[str]:
        return [row["status"] for row in self.rows]


async def works(url: str, key: str, model: str, wire: str) -> Proof:
    return Proof(True, f"{wire} {model} at {url}", "work")


async def set_up(machine: Machine, office: Office, name: str = "codex", asked: Asked | None = None, prove: Any = works) -> Json:
    intent = await setting_up.intend(CLIENTS[name], machine.places, URL, asked or Asked(), office)
    return await setting_up.set_up(intent, office, prove, 1)


async def undo(machine: Machine, office: Office, name: str = "codex") -> Json:
    return await setting_up.take_back(setting_up.intend_undo(CLIENTS[name], machine.places), office)


async def test_a_key_is_made_used_again_and_revoked_at_the_end(machine: Machine) -> None:  # P-57
    office = Office()
    first = await set_up(machine, office)
    assert (first["applied"], first["proof"]["words"]) == (True, f"openai-responses auto at {URL}")
    assert (first["key"]["new"], first["key"]["name"]) == (True, "codex")
    again = await set_up(machine, office)
    assert (again["files"], again["key"]["new"], len(office.rows)) == ([], False, 1)
    told = await undo(machine, office)
    assert (told["undone"], told["key_revoked"], office.status()) == (True, True, ["revoked"])
    assert machine.tree() == {}


async def test_a_key_that_was_revoked_is_replaced(machine: Machine) -> None:
    office = Office()
    await set_up(machine, office)
    office.rows[0]["status"] = "revoked"
    await set_up(machine, office)
    assert office.status() == ["revoked", "active"]
    note = kept.read_note(machine.places, "codex")
    assert note is not None
    assert note.key_id == "key_1"


async def test_looking_makes_and_writes_nothing(machine: Machine) -> None:
    office = Office()
    intent = await setting_up.intend(CLIENTS["claude-code"], machine.places, URL, Asked(), office)
    told = setting_up.told(intent)
    assert (told["key"]["hint"], told["files"][0]["action"]) == (NEW_KEY, "create")
    assert '+    "ANTHROPIC_BASE_URL"' in told["diff"]
    assert (office.rows, machine.tree()) == ([], {})


async def test_a_given_key_stays_the_user_s(machine: Machine) -> None:
    office, key = Office(), mint_key()
    told = await set_up(machine, office, asked=Asked(key=key))
    assert (told["key"]["hint"], office.rows) == (key_hint(key), [])
    assert key not in str(told)
    assert (await undo(machine, office))["key_revoked"] is False


async def test_another_gateway_needs_its_own_key(machine: Machine) -> None:
    office = Office()
    with pytest.raises(GatewayError, match="--key K"):
        await set_up(machine, office, asked=Asked(url="https://gate.example"))
    await set_up(machine, office, asked=Asked(url="https://gate.example/v1", key=mint_key()))
    pointing = machine.read("codex")
    assert pointing is not None
    assert pointing.url == "https://gate.example/v1"


@pytest.mark.parametrize(("asked", "param"), [(Asked(model="a b"), "model"), (Asked(key='x"y'), "key"), (Asked(url="x"), "url")])
async def test_a_value_that_no_file_could_hold_is_refused(machine: Machine, asked: Asked, param: str) -> None:
    with pytest.raises(GatewayError) as caught:
        await set_up(machine, Office(), asked=asked)
    assert (caught.value.kind, caught.value.param) == (Kind.BAD_REQUEST, param)


async def test_when_writing_fails_the_new_key_is_revoked(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> None:
        raise GatewayError(Kind.CONFLICT, "no")

    monkeypatch.setattr(kept, "apply", fails)
    office = Office()
    with pytest.raises(GatewayError):
        await set_up(machine, office)
    assert office.status() == ["revoked"]


async def test_startup_files_are_written_only_when_the_user_says_so(machine: Machine) -> None:
    machine.put(".profile", "x\n")
    office = Office()
    await set_up(machine, office, "openai-env")
    assert (machine.home / ".profile").read_text() == "x\n"
    await set_up(machine, office, "openai-env", Asked(startup=True))
    assert ">>> omni-connector" in (machine.home / ".profile").read_text()
    await undo(machine, office, "openai-env")
    assert (machine.home / ".profile").read_text() == "x\n"


async def test_why_no_request_was_made_is_said(machine: Machine) -> None:
    office = Office()
    assert "not running" in (await set_up(machine, office, prove=None))["proof"]["words"]
    office.accounts = [{"enabled": False}]
    told = await set_up(machine, office)
    assert (told["proof"]["ok"], "backend add" in told["proof"]["words"]) == (None, True)
    assert (await set_up(machine, office, asked=Asked(prove=False)))["proof"]["ok"] is None


@pytest.mark.parametrize("name", ["cursor", "zed"])
async def test_a_key_that_only_the_user_can_paste_is_shown_once_and_not_made_twice(machine: Machine, name: str) -> None:
    office = Office()
    first = await set_up(machine, office, name)
    key = next(line for line in first["steps"] if "omni-" in line).split("omni-")[1]
    assert len(key) == 49
    second = await set_up(machine, office, name)
    assert len(office.rows) == 1
    assert key not in str(second)
    assert "key rotate key_0" in second["steps"][-1]
    assert second["proof"]["ok"] is None


def test_nothing_to_undo(machine: Machine) -> None:
    with pytest.raises(GatewayError, match="nothing to undo") as caught:
        setting_up.intend_undo(CLIENTS["codex"], machine.places)
    assert caught.value.kind is Kind.NOT_FOUND


def test_a_variable_that_wins_is_named(machine: Machine) -> None:
    machine.env["GEMINI_API_KEY"] = "x"
    wanted = setting_up.Wanted(URL, "k", "auto")
    assert setting_up.notes(CLIENTS["gemini-cli"], machine.places, wanted)[0].startswith("GEMINI_API_KEY: set in this environment")


def test_the_list(machine: Machine) -> None:
    machine.apply("codex")
    row = next(one for one in setting_up.listed(machine.places, URL) if one["name"] == "codex")
    assert row["state"] == "points here"
    assert row["key_hint"] == key_hint(machine.key)
    assert machine.key not in str(row)
    with pytest.raises(GatewayError, match="no home folder"):
        setting_up.places_of(None, machine.omni, {})
