"""A dashboard shows what every process does, whichever of them it is open at."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from omni_connector.gateway import Gateway
from omni_connector.nodes import new_process_id, node_name, node_of
from omni_connector.secrets import new_id
from tests.live.answers import CHAT, Said
from tests.relaying import Client, House

Json = dict[str, Any]
ANSWER = Said("all is well").answer(CHAT, False)


@pytest.fixture
async def pair(migrated_home: Path, tmp_path: Path) -> AsyncIterator[tuple[House, House]]:
    """Two processes on one home; the live view is open at the first."""
    home = Path(shutil.copytree(migrated_home, tmp_path / "home"))
    gateways = [await Gateway.open(home, {"OMNI_NODE_NAME": name}) for name in ("here", "there")]
    for gateway in gateways:
        await gateway.serve(jobs=False)
        gateway.has_siblings = True
        assert gateway._follower is not None
        gateway._follower.cancel()  # the test looks
    yield House(gateways[0]), House(gateways[1])
    for gateway in gateways:
        await gateway.close()


async def ask(house: House) -> str:
    call = house.call()
    call = replace(call, id=new_id("req", call.started_at))
    await house.gateway.relay.run(call, Client())
    return call.id


def told(event: bytes) -> tuple[str, Json]:
    name, data = event.decode().strip().split("\n")
    return name.removeprefix("event: "), json.loads(data.removeprefix("data: "))


async def test_a_request_served_there_is_shown_here_once(pair: tuple[House, House]) -> None:  # P-06
    here, there = pair
    await there.account("a", ANSWER)
    neighbours, shown = here.gateway.neighbours, []
    early = await ask(there)
    await neighbours.look()
    assert neighbours._known is None, "nobody looks, so nothing is read"
    events = here.gateway.live.stream(dict)
    assert told(await anext(events))[0] == "snapshot"
    await neighbours.look()
    shown.append(told(await anext(events)))
    late = await ask(there)
    await neighbours.look()
    shown.append(told(await anext(events)))
    await neighbours.look()
    here.gateway.live.publish("end", {})
    assert told(await anext(events))[0] == "end", "each once"
    await events.aclose()
    assert [(name, row["id"], row["node"], row["state"]) for name, row in shown] == [
        ("request", early, "there", "settled"),  # just before we began to look: the picture may have been older
        ("request", late, "there", "settled"),
    ]
    row = (await here.gateway.admin.requests({}))["requests"][0]
    assert row == shown[1][1], "as the list has it"
    assert "there" in [entry["node"] for entry in (await here.gateway.admin.system())["nodes"]]


async def test_what_runs_there_is_shown_too_and_alone_nothing_is_read(pair: tuple[House, House]) -> None:
    here, there = pair
    now = there.gateway.started_at
    row = {"id": new_id("req", now), "started_at": now, "process_id": there.gateway.process_id, "est_input": 5}
    await there.gateway.booking.write([row, {**row, "id": new_id("req", now), "process_id": here.gateway.process_id}], [], [], [])
    events = here.gateway.live.stream(dict)
    await anext(events)
    here.gateway.has_siblings = False
    await here.gateway.neighbours.look()
    here.gateway.has_siblings = True
    await here.gateway.neighbours.look()
    await here.gateway.neighbours.look()
    here.gateway.live.publish("end", {})
    name, shown = told(await anext(events))
    assert (name, shown["id"], shown["state"], shown["node"]) == ("request", row["id"], "open", "there")
    assert told(await anext(events))[0] == "end"
    await events.aclose()


def test_the_name_of_a_node_stands_in_the_ids_of_its_processes() -> None:
    assert node_name("api-1") == "api-1"
    assert node_name("omni-connector-7d9f8b6c5d-x2x9z") == "d9f8b6c5d-x2x9z"[-15:], "the end tells pods apart"
    assert node_name("a b/c") == "a-b-c" and node_name("")
    made = new_process_id("x" * 40)
    assert len(made) <= 40 and node_of(made) == "x" * 15
    assert node_of("prc_01k0000000000000000") is None and node_of("") is None
