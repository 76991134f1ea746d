"""What exact limits cost: the same requests through a gateway, with more and more limits that apply to them.

    python -m bench.limits --requests 3000 --at-once 16

Everything is real but the network: plan, ledger with its commits on disk, relay. A provider that answers at once stands in for the others,
so what is measured is what this program adds. Prints microseconds per request, and the ratio to requests without any limit.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from omni_connector import secrets
from omni_connector.gateway import Gateway
from omni_connector.secrets import new_id
from omni_connector.snapshot import ClientKey
from tests.live.answers import CHAT, Said, Tokens
from tests.relaying import Client, House

Json = dict[str, Any]
ANSWER = Said("all is well", tokens=Tokens(fresh=20, output=50)).answer(CHAT, False)
MONEY: Json = {"amount": "1000", "period": "month", "zone": "Europe/Berlin"}
STEPS: tuple[tuple[str, Json, Json, bool], ...] = (
    ("no limit", {}, {}, False),
    ("requests a minute of the key", {"rpm": 10**6}, {}, False),
    ("budget of the key", {"budget": MONEY}, {}, False),
    ("budgets of key and account", {"budget": MONEY}, {"budget": MONEY}, False),
    ("every limit of key, account and installation", {"budget": MONEY, "rpm": 10**6, "tpm": 10**9, "max_in_flight": 999},
     {"budget": MONEY, "rpm": 10**6, "tpm": 10**9, "max_in_flight": 999}, True),
)  # fmt: skip
"""Name, limits of the key, limits of the account, whether the installation has one too."""


async def step(folder: Path, of_key: Json, of_account: Json, everywhere: bool, requests: int, at_once: int) -> float:
    """Seconds for all requests."""
    gateway = await Gateway.open(folder, {})
    gateway.ledger.start()
    house = House(gateway)
    await gateway.admin.set_price("m", {"input": "2", "output": "8"})
    await house.account("a", ANSWER, models=["m"], model_map={"test-model": "m"}, **of_account)
    if everywhere:
        await gateway.admin.set_limit("installation", "", {"budget": MONEY, "rpm": 10**6})
    made = await gateway.admin.create_key({"name": "bench", **of_key})
    key = gateway.snapshot.keys[secrets.hash_key(made["key"])]
    await run(house, key, 100, at_once)
    began = time.perf_counter()
    await run(house, key, requests, at_once)
    took = time.perf_counter() - began
    await asyncio.gather(*gateway._tasks)
    await gateway.ledger.close()
    await gateway.close()
    return took


async def run(house: House, key: ClientKey, requests: int, at_once: int) -> None:
    left = iter(range(requests))

    async def work() -> None:
        for _ in left:
            call, client = house.call(key=key), Client()
            await house.gateway.relay.run(replace(call, id=new_id("req", call.started_at)), client)
            assert client.status == 200, client.body

    await asyncio.gather(*(work() for _ in range(at_once)))


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.limits", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=3000, help="of each step (default 3000)")
    parser.add_argument("--at-once", type=int, default=16, help="requests in flight (default 16)")
    given = parser.parse_args()
    base = 0.0
    for name, of_key, of_account, everywhere in STEPS:
        with tempfile.TemporaryDirectory() as folder:
            took = asyncio.run(step(Path(folder) / "home", of_key, of_account, everywhere, given.requests, given.at_once))
        base = base or took
        print(f"{name:46} {took / given.requests * 1e6:7.0f} µs a request   × {took / base:.2f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
