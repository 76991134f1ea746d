"""What earlier requests left, read back: only to the key it belongs to, and only as it was written."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from omni_connector.errors import GatewayError, Kind
from omni_connector.kept import Kept
from omni_connector.secrets import load_or_create_master
from omni_connector.store import kept as rows
from omni_connector.store.engine import Database
from omni_connector.store.files import Silent
from omni_connector.wire import call_marks

Json = dict[str, Any]


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Kept]:
    vault = load_or_create_master(tmp_path, {})
    db = await Database.open(f"sqlite:///{tmp_path / 'omni.db'}")
    await db.migrate()
    mark = call_marks.to_json(call_marks.Mark(call="digest"))

    def row(kind: str, id: str, value: Json, previous: str | None = None) -> Json:
        owner = {"key_id": "key_1", "account_id": "acc_1", "created_at": 1, "previous_id": previous}
        return {"kind": kind, "id": id, "value": value, **owner}

    answers = [
        row("response", f"resp_{n}", {"input": [n], "response": {"id": f"resp_{n}"}}, f"resp_{n - 1}" if n else None) for n in range(3)
    ]
    sealed = rows.sealed(vault, [*answers, row("call", "call_1", mark)])
    await db.tx(lambda conn: rows.put(conn, sealed))
    yield Kept(db, vault)
    await db.close()


async def test_a_conversation_oldest_first(room: Kept) -> None:  # C-23
    found = await room.earlier("key_1", "resp_2")
    assert [(one.value["input"], one.account_id, one.previous_id) for one in found] == [
        ([0], "acc_1", None),
        ([1], "acc_1", "resp_0"),
        ([2], "acc_1", "resp_1"),
    ]
    assert await room.earlier("key_1", "resp_unknown") == []


async def test_nobody_goes_on_with_anothers_conversation(room: Kept) -> None:  # C-23
    """Also not by way of the provider, which knows the answer's id but not our keys."""
    for odd in ("resp_unknown", "a\0b", "\ud800", ""):
        assert await room.earlier("key_2", odd) == []
    with pytest.raises(GatewayError) as refused:
        await room.earlier("key_2", "resp_2")
    assert refused.value.code == "previous_response_not_found"


async def test_marks_of_calls(room: Kept) -> None:
    assert await room.marks("key_1", ["call_1", "call_2"]) == {"call_1": call_marks.Mark(call="digest")}
    assert await room.marks("key_2", ["call_1"]) == {}


async def test_a_damaged_mark_costs_itself_only(room: Kept, caplog: pytest.LogCaptureFixture) -> None:
    odd = rows.sealed(room._vault, [{"kind": "call", "key_id": "key_1", "id": "call_2", "created_at": 1, "value": {"no": "mark"}}])
    torn = {**odd[0], "id": "call_3", "value": b"torn"}
    await room._db.tx(lambda conn: rows.put(conn, [*odd, torn]))
    assert (await room.marks("key_1", ["call_1", "call_2", "call_3"])).keys() == {"call_1"}
    assert caplog.text.count("cannot be read") == 2


async def test_an_answer_is_there_until_it_is_forgotten(room: Kept) -> None:
    assert (await room.response("key_1", "resp_1"))["response"] == {"id": "resp_1"}
    for key_id in ("key_2", "key_1"):
        if key_id == "key_1":
            await room.forget(key_id, "resp_1")
        with pytest.raises(GatewayError) as gone:
            await room.forget(key_id, "resp_1")
        assert gone.value.kind is Kind.NOT_FOUND
    with pytest.raises(GatewayError):
        await room.response("key_1", "resp_1")


async def test_calls_go_without_their_marks_while_the_database_is_away(room: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0

    async def silent(*_: Any, **__: Any) -> Any:
        nonlocal asked
        asked += 1
        raise Silent("silent")

    monkeypatch.setattr(room._db, "run", silent)
    assert await room.marks("key_1", ["call_1"]) == {} and asked == 1
    room._away = lambda: True
    assert await room.marks("key_1", ["call_1"]) == {} and asked == 1, "nobody waits for what is known"
