from __future__ import annotations

from decimal import Decimal

from omni_connector.secrets import Vault, new_id
from omni_connector.snapshot import Account, PriceOverride
from omni_connector.store import accounts, prices, requests
from omni_connector.store import settings as rows
from omni_connector.store.engine import Database
from omni_connector.store.snapshot import load_snapshot


async def test_to_the_last_digit_and_into_the_picture(db: Database, vault: Vault) -> None:
    mine = PriceOverride("m*", "account:acc_1", Decimal("0.000000000001"), Decimal("1E+3"), per_request=Decimal("0.10"), updated_at=5)
    shared, other = PriceOverride("*", subscription=True), PriceOverride("m*", "provider:groq", Decimal(1), Decimal(1))
    await db.tx(lambda conn: accounts.insert(conn, vault, Account("acc_1", "openai", "work")))
    before = await db.run(rows.config_version)
    for entry in (shared, mine, other):
        await db.tx(lambda conn, it=entry: prices.put(conn, it))
    picture = await db.run(lambda conn: load_snapshot(conn, vault))
    assert picture.prices == (shared, mine, other) and picture.accounts[0].prices == (shared, mine)
    assert picture.prices[1].input == Decimal("0.000000000001")
    assert picture.version == before + 3, "every process hears of it"

    await db.tx(lambda conn: prices.put(conn, PriceOverride("m*", "account:acc_1", per_request=Decimal(1))))
    again = (await db.run(prices.list_prices))[1]
    assert (again.input, again.per_request) == (None, Decimal(1)), "set as a whole"
    assert await db.tx(lambda conn: prices.delete(conn, "m*", "account:acc_1"))
    assert not await db.tx(lambda conn: prices.delete(conn, "m*", "account:acc_1"))


async def test_rows_of_a_period_in_pages(db: Database) -> None:
    ids = [new_id("req", at) for at in (1000, 2000, 3000, 4000, 5000)]
    for number, name in enumerate(ids):
        at = 1000 * (number + 1)
        opened = {"id": name, "started_at": at, "process_id": "p"}
        settled = {"id": name, "settled_at": at, "outcome": "ok", "input": 1, "price_source": "x", "web_searches": 2, "usage_raw": {"a": 1}}
        await db.tx(lambda conn, row=opened: requests.insert_open(conn, [row]))
        if number != 2:  # one is still open
            await db.tx(lambda conn, row=settled: requests.settle(conn, [row]))
    first = await db.run(lambda conn: prices.booked(conn, 1000, 5000, "", 2))
    assert [row["id"] for row in first] == ids[:2]
    assert (first[0]["web_searches"], first[0]["usage_raw"]) == (2, {"a": 1})
    assert [row["id"] for row in await db.run(lambda conn: prices.booked(conn, 1000, 5000, ids[1], 2))] == [ids[3]]
    await db.tx(lambda conn: prices.reprice(conn, [(ids[2], 7, "y"), (ids[3], 8, "y"), (ids[0], None, "unknown")]))
    found = [await db.run(lambda conn, it=name: requests.get(conn, it)) for name in ids]
    assert [(row["cost_nano"], row["price_source"]) for row in found if row] == [
        (None, "unknown"), (None, "x"), (None, None), (8, "y"), (None, "x"),
    ]  # fmt: skip
