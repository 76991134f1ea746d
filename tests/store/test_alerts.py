"""Channels whose addresses are secrets, and alerts that are told once. J-09"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from omni_connector.errors import GatewayError, Kind
from omni_connector.secrets import SecretsError, Vault
from omni_connector.store import alerts as table
from omni_connector.store.alerts import Alert, Channel
from omni_connector.store.engine import Database

URL = "https://oapi.dingtalk.com/robot/send?access_token=0123456789abcdef"
NOW = 1_795_000_000_000


def channel(name: str = "ops", **more: Any) -> Channel:
    return Channel(f"alc_{name}", "dingtalk", name, URL, "SECret-of-ops", created_at=NOW, **more)


async def add(db: Database, vault: Vault, *channels: Channel) -> None:
    for one in channels:
        await db.tx(lambda conn, one=one: table.add_channel(conn, vault, one))  # type: ignore[misc]


async def begin(db: Database, kind: str = "account_locked", subject: str = "acc_1", at: int = NOW) -> Alert | None:
    return await db.tx(lambda conn: table.open_alert(conn, kind, subject, f"{subject} is out", at))


async def end(db: Database, kind: str = "account_locked", subject: str = "acc_1", at: int = NOW + 60_000, **more: bool) -> Alert | None:
    return await db.tx(lambda conn: table.end_alert(conn, kind, subject, at, **more))


async def news(db: Database, one: Channel) -> list[tuple[str, str]]:
    return [(item.alert.kind, item.what) for item in await db.run(lambda conn: table.pending(conn, one))]


async def tell(db: Database, one: Channel, failed: str = "") -> list[Alert]:
    items = [(item.alert.id, item.what) for item in await db.run(lambda conn: table.pending(conn, one))]
    return await db.tx(lambda conn: table.mark(conn, one.id, items, NOW + 1000, failed))


async def states(db: Database) -> list[str]:
    return [alert.state for alert in await db.run(lambda conn: table.list_alerts(conn, 50))]


# ---------------------------------------------------------------- Channels


async def test_a_channel_from_beginning_to_end(db: Database, vault: Vault) -> None:
    one = channel(kinds=("low_balance",))
    await add(db, vault, one)
    assert await db.run(lambda conn: table.list_channels(conn, vault)) == (one,)
    await db.tx(lambda conn: table.note_answer(conn, one.id, NOW, "it answers 500"))
    await db.tx(lambda conn: table.note_answer(conn, "alc_gone", NOW, None))
    changed = replace(one, name="people", url=URL + "1", kinds=(), enabled=False, last_error="it answers 500")
    await db.tx(lambda conn: table.edit_channel(conn, vault, changed))
    assert await db.run(lambda conn: table.find_channel(conn, vault, one.id)) == changed
    await db.tx(lambda conn: table.note_answer(conn, one.id, NOW + 5, None))
    found = await db.run(lambda conn: table.find_channel(conn, vault, one.id))
    assert found is not None
    assert (found.last_ok_at, found.last_error) == (NOW + 5, None)
    await db.tx(lambda conn: table.remove_channel(conn, one.id))
    assert await db.run(lambda conn: table.find_channel(conn, vault, one.id)) is None
    for work in (lambda conn: table.remove_channel(conn, one.id), lambda conn: table.edit_channel(conn, vault, one)):
        with pytest.raises(GatewayError) as told:
            await db.tx(work)
        assert told.value.kind is Kind.NOT_FOUND


async def test_names_are_unique(db: Database, vault: Vault) -> None:
    await add(db, vault, channel(), channel("other"))
    for work in (
        lambda conn: table.add_channel(conn, vault, replace(channel(), id="alc_2")),
        lambda conn: table.edit_channel(conn, vault, replace(channel("other"), name="ops")),
    ):
        with pytest.raises(GatewayError, match="'ops'") as told:
            await db.tx(work)
        assert told.value.kind is Kind.CONFLICT


async def test_the_address_is_encrypted_and_bound_to_its_row(db: Database, vault: Vault) -> None:
    await add(db, vault, channel(), channel("other"))

    def stored(conn: Any) -> list[Any]:
        return [dict(row) for row in conn.exec_driver_sql("SELECT * FROM alert_channels ORDER BY id").mappings()]

    rows = await db.run(stored)
    for secret in ("0123456789abcdef", "SECret", "dingtalk.com"):
        assert secret not in str(rows)
        assert secret.encode() not in bytes(rows[0]["target"])
    assert "0123456789" not in repr(channel())

    def swap(conn: Any) -> None:
        conn.exec_driver_sql(
            "UPDATE alert_channels SET target = (SELECT target FROM alert_channels WHERE id = 'alc_ops') WHERE id = 'alc_other'"
        )

    await db.tx(swap)
    with pytest.raises(SecretsError):
        await db.run(lambda conn: table.list_channels(conn, vault))


async def test_targets_move_to_a_new_master_key(db: Database) -> None:
    keys = {"k1": b"1" * 32, "k2": b"2" * 32}
    await add(db, Vault({"k1": keys["k1"]}, "k1"), channel())
    assert await db.tx(lambda conn: table.rotate_secrets(conn, Vault(keys, "k2"))) == 1
    (found,) = await db.run(lambda conn: table.list_channels(conn, Vault({"k2": keys["k2"]}, "k2")))
    assert found.url == URL


# ---------------------------------------------------------------- Alerts


async def test_one_alert_is_open_per_kind_and_subject(db: Database) -> None:
    assert await begin(db) is not None
    assert await begin(db) is None
    assert await begin(db, subject="acc_2") is not None
    assert await begin(db, kind="low_balance") is not None
    assert len(await db.run(table.open_alerts)) == 3
    assert await end(db, subject="acc_9") is None
    ended = await end(db)
    assert ended is not None
    assert (ended.state, ended.ended_at) == ("closed", NOW + 60_000), "nobody had heard of it"
    assert await begin(db) is not None


async def test_processes_that_open_the_same_alert_open_one(db: Database) -> None:
    opened = await asyncio.gather(*(begin(db) for _ in range(8)))
    assert sum(alert is not None for alert in opened) == 1


async def test_a_channel_hears_of_the_beginning_and_of_the_end(db: Database, vault: Vault) -> None:
    one, other = channel(), channel("picky", kinds=("low_balance",))
    await add(db, vault, one, other)
    await begin(db)
    assert (await news(db, one), await news(db, other)) == ([("account_locked", "begun")], [])
    assert await db.run(table.waiting) == [one.id]
    (told,) = await tell(db, one)
    assert (told.told_at, dict(told.told)) == (NOW + 1000, {one.id: {"at": NOW + 1000}})
    assert (await news(db, one), await db.run(table.waiting)) == ([], [])
    await end(db)
    assert await news(db, one) == [("account_locked", "over")]
    await tell(db, one)
    assert (await news(db, one), await states(db)) == ([], ["ended"])
    assert await db.tx(table.close_settled) == 1
    assert await states(db) == ["closed"]


async def test_the_end_is_told_to_those_who_heard_of_the_beginning(db: Database, vault: Vault) -> None:
    one, late, deaf = channel(), channel("late"), channel("deaf")
    await add(db, vault, one, deaf)
    await begin(db)
    await tell(db, one)
    await tell(db, deaf, "the robot is gone")
    await end(db)
    await add(db, vault, late)
    assert [await news(db, each) for each in (one, deaf, late)] == [[("account_locked", "over")], [], []]


async def test_a_new_channel_hears_of_what_is_open(db: Database, vault: Vault) -> None:
    await begin(db)
    assert await db.run(table.waiting) == []
    await add(db, vault, channel(), channel("off", enabled=False))
    assert await db.run(table.waiting) == ["alc_ops"]


async def test_what_comes_back_at_once_goes_on(db: Database, vault: Vault) -> None:
    one, other = channel(), channel("other")
    await add(db, vault, one, other)
    first = await begin(db)
    await tell(db, one)
    await tell(db, other)
    await end(db)
    await tell(db, other)
    again = await begin(db)
    assert first is not None
    assert again is not None
    assert (again.id, again.state, again.ended_at) == (first.id, "open", None)
    assert (await news(db, one), await news(db, other)) == ([], [("account_locked", "begun")]), "only who heard of the end hears again"


async def test_an_end_while_the_message_is_under_way_is_told(db: Database, vault: Vault) -> None:
    one = channel()
    await add(db, vault, one)
    alert = await begin(db)
    assert alert is not None
    await end(db)
    await db.tx(lambda conn: table.mark(conn, one.id, [(alert.id, "begun"), ("alr_gone", "begun")], NOW))
    assert await news(db, one) == [("account_locked", "over")]


async def test_what_nobody_asks_about_any_more_ends_in_silence(db: Database, vault: Vault) -> None:
    one = channel()
    await add(db, vault, one)
    await begin(db)
    await tell(db, one)
    await end(db, silently=True)
    assert (await news(db, one), await states(db)) == ([], ["dropped"])
    assert await begin(db) is not None, "a new one, not the dropped one"
    assert len(await states(db)) == 2


async def test_the_past_is_listed_in_pages_and_forgotten(db: Database, vault: Vault) -> None:
    for number in range(5):
        await begin(db, subject=f"acc_{number}", at=NOW + number)
    newest = await db.run(lambda conn: table.list_alerts(conn, 2))
    assert [alert.subject for alert in newest] == ["acc_4", "acc_3"]
    older = await db.run(lambda conn: table.list_alerts(conn, 9, newest[-1].id))
    assert [alert.subject for alert in older] == ["acc_2", "acc_1", "acc_0"]
    await end(db, subject="acc_0", at=NOW + 10)
    await end(db, subject="acc_1", at=NOW + 99)
    assert await db.tx(lambda conn: table.prune(conn, NOW + 50)) == 1
    assert len(await states(db)) == 4


async def test_an_end_that_nobody_is_left_to_hear_is_closed(db: Database, vault: Vault) -> None:
    one = channel()
    await add(db, vault, one)
    await begin(db)
    await tell(db, one)
    await end(db)
    assert await db.tx(table.close_settled) == 0
    await db.tx(lambda conn: table.remove_channel(conn, one.id))
    assert await db.tx(table.close_settled) == 1
