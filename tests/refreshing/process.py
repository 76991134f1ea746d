"""One process of its own that renews an account: `python -m tests.refreshing.process HOME OWNER COUNT [stop]`.

It says "ready", waits for a line, renews COUNT times at once and prints the access tokens. With "stop" it says "answered" once the
provider has answered, and stays in that moment until it is killed.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from random import Random

from omni_connector import secrets
from omni_connector.refreshing import Hands, Refresher
from omni_connector.refreshing.books import Books
from omni_connector.store import accounts as rows
from omni_connector.store.engine import Database
from omni_connector.upstream import Upstream
from tests.refreshing.conftest import ROW


async def nothing(*_: str) -> None:
    """The snapshot of this process is empty, so there is nothing to reload."""


async def stay(*_: object) -> None:
    print("answered", flush=True)
    await asyncio.get_running_loop().create_future()


async def main(home: Path, owner: str, count: int, stop: bool) -> None:
    if stop:
        Books.store = stay  # type: ignore[assignment,method-assign]
    db = await Database.open(f"sqlite:///{home / 'omni.db'}")
    vault, upstream = secrets.load_or_create_master(home, {}), Upstream()
    hands = Hands(dict, dict, lambda account: None, nothing, nothing, lambda account: ROW)
    refresher = Refresher(db, vault, upstream, hands, owner, lambda: time.time_ns() // 1_000_000, Random())
    account = await db.run(lambda conn: rows.get(conn, vault, "acc_1"))
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    found = await asyncio.gather(*(refresher.renew(account) for _ in range(count)))
    print(*{each.access for each in found}, flush=True)
    await upstream.close()
    await db.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), "stop" in sys.argv))
