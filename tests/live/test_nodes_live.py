"""The faults of bench/nodes.py, small: two real servers over a real PostgreSQL, killed, cut off, told to leave, all under load.

Each client is its own balancer here, so that HAProxy need not be there. (docs/reliability.md)
"""

from __future__ import annotations

import asyncio
import signal
from functools import partial
from pathlib import Path

import pytest

from bench.nodes import _accepted, _all_reach, _everywhere, _feed, _refused, until
from bench.nodes_town import Impossible, Load, Town, town
from tests import postgres as machine
from tests.live.processes import BUSY_S

CLIENTS = 4


@pytest.mark.slow
@pytest.mark.skipif(bool(machine.missing()), reason=machine.missing() or "there is a PostgreSQL")
async def test_two_nodes_through_everything(tmp_path: Path) -> None:  # J-12, J-13, C-20
    try:
        async with town(tmp_path, 2, isolated=False, balanced=False, OMNI_LEAVE_S="1") as place:
            await _live(place)
            await _killed(place)
            await _cut_off(place)
            await _left(place)
    except Impossible as reason:
        pytest.skip(str(reason))


async def _live(place: Town) -> None:
    """What one node did a moment ago, the other one knows."""
    one, two = place.nodes
    made = await one.admin("POST", "/api/keys", {"name": "short"})
    await until(partial(_accepted, two, made["key"]), BUSY_S)
    await one.admin("DELETE", f"/api/keys/{made['id']}")
    await _everywhere([two], partial(_refused, key=made["key"]))
    await _feed(place)
    assert {row["process_id"].partition(".")[2] for row in await place.rows()} == {"node-1"}


async def _killed(place: Town) -> None:
    one, two = place.nodes
    async with place.load(CLIENTS, balances=True) as load:
        one.kill()
        await _goes_on(load)
        await one.start()  # and closes what its former process left open: they are of one machine
    await place.check(load, deaths=CLIENTS)
    assert {entry["node"] for entry in (await two.admin("GET", "/api/system"))["nodes"]} == {"node-0", "node-1"}


async def _cut_off(place: Town) -> None:
    async with place.load(CLIENTS, balances=True) as load:
        place.wires[1].cut()
        await until(partial(_spills, place), BUSY_S)
        assert (await place.nodes[1].ask("GET", "/ready")).status == 200
        await until(partial(_out_of_reach, place), BUSY_S)  # the file is there a moment before its first entry
        await _goes_on(load)
        place.wires[1].mend()
        await until(partial(_all_reach, place), 2 * BUSY_S)
    await place.until_carried()
    await place.check(load)


async def _left(place: Town) -> None:
    one, two = place.nodes
    async with place.load(CLIENTS, urls=[two.url, one.url], balances=True) as load:
        one.send(signal.SIGTERM)
        await until(partial(_says_no, place), BUSY_S)
        # Told by /ready, a balancer sends nothing new; what is sent all the same is served until then.
        load.urls[:] = [two.url]
        assert await one.ended() == 0
    assert not load.cut
    await place.check(load)


async def _goes_on(load: Load) -> None:
    before = len(load.whole)
    while len(load.whole) < before + 10:
        assert not load.failed, load.failed
        await asyncio.sleep(0.05)


async def _spills(place: Town) -> bool:
    return await place.spilled() > 0


async def _out_of_reach(place: Town) -> bool:
    return (await place.nodes[1].ask("GET", "/ready?database=1")).status == 503


async def _says_no(place: Town) -> bool:
    return (await place.nodes[0].ask("GET", "/ready")).status == 503
