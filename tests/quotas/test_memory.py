from __future__ import annotations

import json

from omni_connector.quotas.memory import Memory

NOW = 1_800_000_000_000
ROW = {"name": "5h", "model": "a-*", "used": 5, "limit": 100, "resets_at": NOW + 60_000, "state": "live"}


def test_it_survives_its_row() -> None:
    memory = Memory(2, NOW - 5, NOW + 5, Memory().noted([ROW], NOW))
    again = Memory.read(json.loads(json.dumps(memory.payload())))
    assert again == memory
    assert again.of(ROW) == ((NOW, 5.0),)
    assert again.of({**ROW, "model": "b-*"}) == ()
    assert Memory.read({}) == Memory()
    assert Memory.read({"failed": "x", "polled_at": "y", "hold": None, "seen": None}) == Memory()


def test_only_what_is_known_is_noted() -> None:
    first = Memory(seen=Memory().noted([ROW], NOW))
    longer = Memory(seen=first.noted([{**ROW, "used": 9}], NOW + 1000))
    assert longer.of(ROW) == ((NOW, 5.0), (NOW + 1000, 9.0))
    fresh = Memory(seen=longer.noted([{**ROW, "used": 9, "resets_at": NOW + 200_000}], NOW + 60_000))
    assert fresh.of(ROW) == ((NOW + 60_000, 9.0),), "the window had ended in between"
    odd = [{**ROW, "used": None}, {**ROW, "state": "stale"}, {**ROW, "source": "headers"}]
    assert [Memory().noted([row], NOW) for row in odd] == [{}, {}, {}]
