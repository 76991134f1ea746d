"""One live gateway in this process, one upstream that plays recordings, one plain HTTP client: what a replay needs."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from tests.replay.recordings import Recording
from tests.replay.told import Json
from tests.serving import Answer, Rig, Seen


@dataclass
class Got:
    """What the client got, what the upstream saw of it (None: it was not asked), and the row in the ledger."""

    status: int
    headers: dict[str, str]
    body: bytes
    seen: Seen | None
    row: Json


class Stage:
    def __init__(self, rig: Rig, http: aiohttp.ClientSession) -> None:
        self.rig = rig
        self.http = http
        self._plays: dict[str, Play] = {}
        rig.upstream.answer(self._answer)

    def _answer(self, seen: Seen) -> Answer:
        last = seen.path.rpartition("/")[2].partition(":")[0]
        play = self._plays.get(last) or self._plays[seen.body["model"]]
        play.seen.append(seen)
        return play.recording.answer()

    def play(self, recording: Recording, client: str) -> Play:
        made = Play(self, recording, client, len(self._plays))
        self._plays[made.served] = made
        return made

    @contextlib.asynccontextmanager
    async def account(self, provider: str, plays: Iterable[Play]) -> AsyncIterator[str]:
        """An account that serves these, and its id. A replayed failure cools its account, so those have one of their own."""
        names = {play.asked: play.served for play in plays}
        label = f"{provider}-{next(iter(names.values()))}"
        account = await self.rig.account(provider, label, models=list(names.values()), model_map=names)
        try:
            yield account["id"]
        finally:
            await self.rig.gateway.admin.remove_account(account["id"])

    async def row(self, request_id: str) -> Json:
        """The request's row in the ledger; a whole answer is only sent once its row is settled. {} without an id."""
        return dict(await self.rig.gateway.admin.request(request_id)) if request_id else {}


class Play:
    """A recording for one client, as a model of its own. `asked`: the name that the client asks for; `served`: the provider's name."""

    def __init__(self, stage: Stage, recording: Recording, client: str, number: int) -> None:
        self._stage = stage
        self.recording = recording
        self.client = client
        self.asked, self.served = f"asked-{number}", f"test-{number}"
        self.seen: list[Seen] = []

    async def post(self, address: str, body: Json | bytes) -> Got:
        """`address`: path and query."""
        raw = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
        headers = {**self._stage.rig.bearer, "content-type": "application/json"}
        async with self._stage.http.post(self._stage.rig.url + address, data=raw, headers=headers) as response:
            got = await response.read()
            told = {name.lower(): value for name, value in response.headers.items()}
        row = await self._stage.row(told.get("x-omni-request-id", ""))
        return Got(response.status, told, got, self.seen[-1] if self.seen else None, row)


@contextlib.asynccontextmanager
async def stage(home: Path) -> AsyncIterator[Stage]:
    async with Rig(home) as rig, aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        yield Stage(rig, http)


def json_of(body: bytes) -> Any:
    """The answer as values, None when it is no JSON."""
    try:
        return json.loads(body)
    except ValueError:
        return None
