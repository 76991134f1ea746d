"""What is kept for later requests: values that round-trip exactly and can be read by nobody else, chains, pruning. (C-23)"""

from __future__ import annotations

import logging
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from omni_connector.secrets import SecretsError, Vault
from omni_connector.store import kept, tables
from omni_connector.store.engine import Database
from omni_connector.store.kept import CALL, RESPONSE, Row

VAULT = Vault({"k1": b"1" * 32}, "k1")
ANY_TEXT = st.text(st.characters())  # half an emoji too
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=12,
)


def row(number: int, previous: int | None = None, key: str = "key_1", **more: Any) -> Row:
    given = {"kind": RESPONSE, "key_id": key, "id": f"resp_{number}", "created_at": number, "value": b"%d" % number, **more}
    return given if previous is None else {**given, "previous_id": f"resp_{previous}"}


async def put(db: Database, *rows: Row) -> None:
    await db.tx(lambda conn: kept.put(conn, rows))


async def chain(db: Database, number: int, key: str = "key_1", **more: int) -> list[str]:
    return [found["id"] for found in await db.run(lambda conn: kept.chain(conn, key, f"resp_{number}", **more))]


# ---------------------------------------------------------------- Values


@given(st.dictionaries(ANY_TEXT, JSON, max_size=4))
def test_a_value_comes_back_exactly(value: dict[str, Any]) -> None:
    found = kept.open_(VAULT, RESPONSE, "resp_1", kept.seal(VAULT, RESPONSE, "resp_1", value))
    assert found == value
    assert repr(found) == repr(value), "1 stays 1, and the order stays"


def test_a_value_is_small_secret_and_bound_to_its_row() -> None:
    blob = kept.seal(VAULT, RESPONSE, "resp_1", {"input": ["a secret thought"] * 1000})
    assert len(blob) < 500
    assert b"secret" not in blob
    for kind, name in ((CALL, "resp_1"), (RESPONSE, "resp_2")):
        with pytest.raises(SecretsError, match="kept:"):
            kept.open_(VAULT, kind, name, blob)
    with pytest.raises(SecretsError, match="damaged"):
        kept.open_(VAULT, RESPONSE, "x", VAULT.encrypt_bytes(b"not compressed", "kept:response:x:value"))


def test_what_can_never_be_stored_is_left_out_before_it_does_harm(caplog: pytest.LogCaptureFixture) -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    bad = [
        row(1, id="x" * 256, value={}), row(2, id="nul\0", value={}), row(3, id="\ud800", value={}),
        row(4, value={"what": object()}), row(5, value={"deep": deep}), row(6, previous_id="p" * 256, value={}),
        row(9, id=5, value={}), row(10, id=["x"], value={}),
    ]  # fmt: skip
    good = row(7, value={"a": 1})
    found = kept.sealed(VAULT, [*bad, good, row(8, value=b"sealed already")])
    assert [each["id"] for each in found] == ["resp_7", "resp_8"]
    assert kept.open_(VAULT, RESPONSE, "resp_7", found[0]["value"]) == {"a": 1}
    assert found[1]["value"] == b"sealed already"
    assert good["value"] == {"a": 1}
    assert len([record for record in caplog.records if record.levelno == logging.ERROR]) == len(bad)


# ---------------------------------------------------------------- Rows


async def test_rows_are_kept_by_kind_and_key(db: Database) -> None:
    full = row(1, account_id="acc_1", provider="openai", model="gpt", previous_id="resp_0")
    await put(db, full, row(1, key="key_2", value=b"other"), row(1, kind=CALL, value=b"call"))
    assert await db.run(lambda conn: kept.get(conn, RESPONSE, "key_1", ["resp_1", "resp_2", "resp_1", ""])) == [full]
    (call,) = await db.run(lambda conn: kept.get(conn, CALL, "key_1", ["resp_1"]))
    assert (call["value"], call["previous_id"]) == (b"call", None)
    assert await db.run(lambda conn: kept.get(conn, CALL, "key_2", ["resp_1"])) == []


async def test_many_are_found_in_the_order_asked_for(db: Database) -> None:
    await put(db, *(row(number) for number in range(1200)))
    wanted = [f"resp_{number}" for number in (1199, 3, 50, 5000, *range(100, 1100))]
    found = await db.run(lambda conn: kept.get(conn, RESPONSE, "key_1", wanted))
    assert [each["id"] for each in found] == [name for name in wanted if name != "resp_5000"]


async def test_the_last_one_of_an_id_counts(db: Database) -> None:
    await put(db, row(1), row(1, value=b"second"))
    await put(db, row(1, value=b"third", model="m"))
    await put(db)
    (found,) = await db.run(lambda conn: kept.get(conn, RESPONSE, "key_1", ["resp_1"]))
    assert (found["value"], found["model"]) == (b"third", "m")


async def test_a_chain_is_told_from_its_beginning(db: Database) -> None:
    await put(db, row(4, 3), row(2, 1), row(1), row(3, 2), row(5, 2), row(1, key="key_2"), row(2, 1, kind=CALL))
    assert await chain(db, 4) == ["resp_1", "resp_2", "resp_3", "resp_4"]
    assert await chain(db, 5) == ["resp_1", "resp_2", "resp_5"]
    assert await chain(db, 9) == []
    assert await chain(db, 4, key="key_2") == []
    assert await chain(db, 4, limit=2) == ["resp_3", "resp_4"]
    (oldest, *_) = await db.run(lambda conn: kept.chain(conn, "key_1", "resp_4", 2))
    assert oldest["previous_id"] == "resp_2", "there is more"
    assert await db.tx(lambda conn: kept.delete(conn, RESPONSE, "key_1", "resp_2"))
    assert await chain(db, 4) == ["resp_3", "resp_4"]


async def test_a_circle_ends(db: Database) -> None:
    await put(db, row(1, 2), row(2, 1), row(3, 3))
    assert await chain(db, 1) == ["resp_2", "resp_1"]
    assert await chain(db, 3) == ["resp_3"]


async def test_deleting_says_whether_there_was_one(db: Database) -> None:
    await put(db, row(1), row(1, key="key_2"))

    def delete(conn: sa.Connection) -> bool:
        return kept.delete(conn, RESPONSE, "key_1", "resp_1")

    assert [await db.tx(delete), await db.tx(delete)] == [True, False]
    assert len(await db.run(lambda conn: kept.get(conn, RESPONSE, "key_2", ["resp_1"]))) == 1


@pytest.mark.parametrize("name", ["", "nul\0", "\ud800", "x" * 300])
async def test_an_id_that_no_row_can_have_is_not_there(db: Database, name: str) -> None:
    await put(db, row(1))
    assert await db.run(lambda conn: kept.get(conn, RESPONSE, "key_1", [name])) == []
    assert await db.run(lambda conn: kept.chain(conn, "key_1", name)) == []
    assert not await db.tx(lambda conn: kept.delete(conn, RESPONSE, "key_1", name))


async def test_pruning_takes_the_oldest_first(db: Database) -> None:
    await put(db, *(row(number) for number in (5, 1, 4, 2, 3)), row(1, kind=CALL), row(2, key="key_2"))
    assert await db.tx(lambda conn: kept.prune(conn, 4, 3)) == 3
    assert await db.tx(lambda conn: kept.prune(conn, 4, 100)) == 2
    assert await db.tx(lambda conn: kept.prune(conn, 4, 100)) == 0
    left = await db.run(lambda conn: conn.execute(sa.select(tables.kept.c.id)).scalars().all())
    assert sorted(left) == ["resp_4", "resp_5"]
