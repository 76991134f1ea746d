"""kill -9 at the places where a request waits: chosen ones here, all of them in `python -m bench.crash`."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from omni_connector.admin import now_ms
from omni_connector.gateway import Gateway
from tests.crashing import RELAY, STORAGE
from tests.killing import SCENES, ground
from tests.live.answers import Said, Tokens
from tests.live.processes import CHAT, Line, chat
from tests.serving import Answer, Rig, Seen

PLACES = 2
"""Of each kind and scene. A request waits for little: its row is opened, answered, settled."""


@pytest.mark.slow
async def test_killed_at_any_place_the_books_are_right(omni_home: Path) -> None:
    seed = random.randrange(1 << 32)
    rng = random.Random(seed)
    print(f"seed {seed}")
    async with ground(omni_home) as there:
        for name, scene in SCENES.items():
            for where in (RELAY, STORAGE):
                server = await there.start(where=where)
                assert not await there.one_round(server, scene), "nothing was ordered"
                assert server.places > 2
                for step in rng.sample(range(server.places), PLACES):
                    late = rng.random() < 0.5
                    server = await there.start(where=where, step=step, late=late)
                    died = await there.one_round(server, scene)
                    assert died or step > 2, (name, where, step, late)
        server = await there.start()
        await there.check()
        await there.end(server)
        assert there.killed > there.rounds / 2
        assert there.outcomes["recovered"] and there.outcomes["ok"] > there.rounds
        print(f"{there.rounds} rounds, {there.killed} killed inside the request, rows {dict(there.outcomes)}")


async def test_who_was_only_silent_settles_all_the_same(omni_home: Path) -> None:
    """A process that is suspended (a lid that was closed, a disk that was full) looks dead to another one, which closes its rows as
    estimates. When it goes on, its client gets the whole answer: the row must say what that has cost."""
    async with Rig(omni_home) as rig:
        await rig.account("openai")
        another = await Gateway.open(omni_home, {"OMNI_HOME": str(omni_home)})

        async def answered_late(_: Seen) -> Answer:
            another.jobs._now = lambda: now_ms() + 60_000
            await another.jobs.recover()
            return Said("all is well", tokens=Tokens(fresh=21, output=9)).answer("openai-chat", False)

        rig.upstream.answer(answered_late)
        try:
            async with Line.open(rig.url) as line:
                assert (await line.ask("POST", CHAT, chat(), rig.bearer)).status == 200
            (row,) = await rig.rows()
        finally:
            await another.close()
        assert (row["outcome"], row["usage"]["input"], row["usage"]["output"]) == ("ok", 21, 9)
