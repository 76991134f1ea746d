"""`omni-connector price …`."""

from __future__ import annotations

import asyncio
import time

from omni_connector.cli.office import home, local_gateway
from omni_connector.secrets import new_id
from omni_connector.store import books
from omni_connector.store import requests as rows
from tests.cli.conftest import Cli


def book() -> None:
    async def write() -> None:
        async with local_gateway(home()) as gateway:
            account, at = gateway.snapshot.accounts[0], int(time.time() * 1000) - 60_000
            name = new_id("req", at)
            settled = {"id": name, "settled_at": at, "outcome": "ok", "account_id": account.id, "provider": "demo", "model": "demo-chat",
                       "input": 2_000_000, "output": 0, "cost_nano": 0, "price_source": "demo"}  # fmt: skip
            await gateway.db.tx(lambda conn: rows.insert_open(conn, [{"id": name, "started_at": at, "process_id": "p"}]))
            await gateway.db.tx(lambda conn: books.settle(conn, [settled]))

    asyncio.run(write())


def test_set_list_remove(cli: Cli) -> None:
    assert "No price is set" in cli("price", "list").out
    cli("backend", "add", "demo", "--label", "work")
    assert "input $1.25, output $10" in cli("price", "set", "demo-*", "--input", "1.25", "--output", "10", "--account", "work").out
    assert cli("price", "set", "*", "--subscription", "--provider", "demo", "--json").json["subscription"] is True
    lines = cli("price", "list").out.splitlines()
    assert "subscription" in lines[1] and "provider demo" in lines[1]
    assert lines[2].split() == ["demo-*", "account", "work", "1.25", "10", "–", "–", "–"]
    half = cli("price", "set", "x", "--input", "1")
    assert (half.code, "output" in half.err) == (2, True)
    assert cli("price", "remove", "demo-*").code == 1
    assert "is removed" in cli("price", "remove", "demo-*", "--account", "work").out


def test_reprice_shows_first(cli: Cli) -> None:
    cli("backend", "add", "demo", "--label", "work")
    book()
    assert "nothing would change" in cli("price", "reprice", "--from", "1d").out
    cli("price", "set", "demo-chat", "--input", "1.5", "--output", "0")
    dry = cli("price", "reprice", "--from", "1d", "--dry-run")
    assert dry.code == 0 and "$3.000000" in dry.out and "priced anew" not in dry.err
    alone = cli("price", "reprice", "--from", "1d")
    assert alone.code == 1 and "--yes" in alone.err and "$3.000000" in alone.out
    done = cli("price", "reprice", "--from", "1d", "--yes")
    assert done.code == 0 and "1 requests were priced anew" in done.err
    assert cli("price", "reprice", "--from", "1d", "--json", "--dry-run").json["changed"] == 0
