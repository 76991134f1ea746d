"""`app:app` under a host that only speaks ASGI: with and without lifespan events, frozen or killed as soon as an answer is out."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from app import Assembled
from omni_connector import hosted
from omni_connector.hosted import Hosted
from omni_connector.jobs import KINDS
from omni_connector.store import jobs as queue
from omni_connector.store.tables import requests

ROOT = Path(__file__).resolve().parent.parent
ADMIN = "omniadm-for-this-test"
Json = dict[str, Any]
Headers = dict[str, str]


class Caller:
    """A host: calls the app once a request. `sent` is told of each message as it goes out."""

    def __init__(self, app: Any, sent: Callable[[Json], None] = lambda message: None) -> None:
        self.app, self.sent = app, sent
        self.leave_after: int | None = None
        """Messages after which the client hangs up."""

    async def __call__(self, method: str, path: str, body: Any = None, key: str = ADMIN) -> tuple[int, bytes]:
        data = b"" if body is None else json.dumps(body).encode()
        path, _, query = path.partition("?")
        headers = [(b"host", b"localhost"), (b"authorization", f"Bearer {key}".encode()), (b"content-type", b"application/json")]
        scope: Json = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http", "path": path}
        scope |= {"raw_path": path.encode(), "query_string": query.encode(), "root_path": "", "headers": headers}
        scope |= {"client": ("127.0.0.1", 5), "server": ("localhost", 80)}
        incoming = asyncio.Queue[Json]()
        incoming.put_nowait({"type": "http.request", "body": data, "more_body": False})
        status, got, messages = 0, bytearray(), 0

        async def send(message: Json) -> None:
            nonlocal status, messages
            messages += 1
            status = message.get("status", status)
            got.extend(message.get("body", b""))
            self.sent(message)
            if messages == self.leave_after:
                incoming.put_nowait({"type": "http.disconnect"})
                await asyncio.sleep(0)

        await self.app(scope, incoming.get, send)
        return status, bytes(got)

    async def json(self, method: str, path: str, body: Any = None) -> Json:
        status, got = await self(method, path, body)
        assert status < 300, got
        found: Json = json.loads(got)
        return found

    async def key(self) -> str:
        """An account that needs none, and a key for clients."""
        await self.json("POST", "/api/accounts", {"provider": "demo", "label": "demo", "discover": False})
        return str((await self.json("POST", "/api/keys", {"name": "ci"}))["key"])

    async def chat(self, key: str, *, stream: bool = False) -> tuple[int, bytes]:
        body = {"model": "demo/demo-chat", "messages": [{"role": "user", "content": "hi"}], "stream": stream}
        return await self("POST", "/v1/chat/completions", body, key)


@pytest.fixture(params=["sqlite", "postgres"])
async def host(
    request: pytest.FixtureRequest, migrated_home: Path, omni_home: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Hosted]:
    """Not opened yet."""
    shutil.copytree(migrated_home, omni_home)
    monkeypatch.setenv("OMNI_ADMIN_KEY", ADMIN)
    monkeypatch.setenv("OMNI_JOBS", "external")
    url = ""
    if request.param == "postgres":
        server = request.getfixturevalue("postgres")
        url = await server.fresh()
        monkeypatch.setenv("OMNI_DATABASE_URL", url)
    app = Hosted(Assembled)
    yield app
    for opening in app._houses.values():
        await (await opening).close()
    if url:
        server.done(url)


async def states(app: Hosted) -> list[str]:
    query = sa.select(requests.c.state).order_by(requests.c.id)
    return list(await (await app.house()).gateway.db.run(lambda conn: conn.execute(query).scalars().all()))


def test_importing_the_app_does_nothing(omni_home: Path) -> None:
    import app

    assert isinstance(app.app, Hosted) and not app.app._houses and not omni_home.exists()


async def test_without_lifespan_the_first_request_opens_everything_and_nothing_runs_beside_requests(host: Hosted) -> None:  # J-13
    caller = Caller(host)
    (status, _), (other, _) = await asyncio.gather(caller("GET", "/health"), caller("GET", "/ready"))
    assert (status, other, len(host._houses)) == (200, 200, 1)
    key = await caller.key()
    status, got = await caller.chat(key)
    assert status == 200 and json.loads(got)["choices"]
    assert await states(host) == ["settled"]
    gateway = (await host.house()).gateway
    assert gateway.spill.wanted is (gateway.db.path is not None), "a disk that may be gone with us keeps no books"
    assert gateway.jobs._winding is None and gateway._toucher is None and not gateway.db._watches
    names = {task.get_name() for task in asyncio.all_tasks()} - {asyncio.current_task().get_name()}  # type: ignore[union-attr]
    assert names <= {"ledger", "spill", "price tables"}, "these wait until a request gives them something to do"


@pytest.mark.parametrize("stream", [False, True])
async def test_the_row_is_closed_before_the_last_byte_is_sent(host: Hosted, stream: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    caller = Caller(host)
    key = await caller.key()
    gateway = (await host.house()).gateway
    written: list[int] = []
    at_the_end: list[int] = []
    write = gateway.ledger._write

    async def noted(opens: Any, settles: Any, keeps: Any, asks: Any) -> Any:
        verdicts = await write(opens, settles, keeps, asks)
        written.append(len(settles))
        return verdicts

    monkeypatch.setattr(gateway.ledger, "_write", noted)
    caller.sent = lambda message: at_the_end.append(sum(written)) if message.get("more_body") is False else None
    assert (await caller.chat(key, stream=stream))[0] == 200
    assert at_the_end == [1]


async def test_who_leaves_is_in_the_books_when_the_host_is_told_that_it_is_over(host: Hosted) -> None:
    caller = Caller(host)
    key = await caller.key()
    caller.leave_after = 2
    await caller.chat(key, stream=True)
    gateway = (await host.house()).gateway
    assert gateway.ledger.waiting == 0 and gateway.ledger._idle.is_set()
    assert await states(host) == ["settled"]


async def test_the_clock_is_outside(host: Hosted) -> None:
    caller = Caller(host)
    assert (await caller("POST", "/api/jobs/tick", key="wrong"))[0] == 401
    first = await caller.json("POST", "/api/jobs/tick")
    assert not {job["kind"] for job in first["jobs"]} & {kind.name for kind in KINDS} and not first["more"] and first["next_due_at"]
    gateway = (await host.house()).gateway
    for job in await gateway.db.run(queue.list_jobs):
        await gateway.db.tx(lambda conn, one=job: queue.run_now(conn, one.id, 1))  # type: ignore[misc]
    told = await asyncio.gather(*(caller.json("POST", "/api/jobs/tick?seconds=60") for _ in range(3)))
    ran = [(job["kind"], job["key"]) for answer in told for job in answer["jobs"]]
    assert len(ran) == len(set(ran)) and set(ran) >= {(kind.name, "") for kind in KINDS}, "each of them once"
    assert all(job["ok"] for answer in told for job in answer["jobs"]) and not any(answer["more"] for answer in told)
    assert (await caller("POST", "/api/jobs/tick?seconds=no"))[0] == 400


async def test_with_lifespan_it_begins_and_ends_with_the_host(host: Hosted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMNI_JOBS", "internal")
    said: list[str] = []
    ending = asyncio.Event()
    events = iter(["lifespan.startup"])

    async def receive() -> Json:
        if (event := next(events, "")) == "":
            await ending.wait()
            return {"type": "lifespan.shutdown"}
        return {"type": event}

    async def send(message: Json) -> None:
        said.append(message["type"])

    life = asyncio.create_task(host({"type": "lifespan"}, receive, send))
    assert (await Caller(host)("GET", "/health"))[0] == 200
    gateway = (await host.house()).gateway
    assert gateway.jobs._winding is not None and gateway._toucher is not None, "a host that stays has a clock inside"
    ending.set()
    await life
    assert said == ["lifespan.startup.complete", "lifespan.shutdown.complete"] and not host._houses


async def test_what_cannot_begin_says_so_and_is_tried_again(
    migrated_home: Path, omni_home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(migrated_home, omni_home)
    monkeypatch.setenv("OMNI_JOBS", "external")
    monkeypatch.setenv("OMNI_DATABASE_URL", f"sqlite:///{omni_home}/not/there/omni.db")
    app = Hosted(Assembled)
    monkeypatch.setattr(hosted.House, "open", _failing(hosted.House.open))
    status, got = await Caller(app)("POST", "/v1/messages", {})
    assert status == 503 and b"its log says why" in got.lower() and "the disk is away" in caplog.text
    said: list[Json] = []

    async def startup() -> Json:
        return {"type": "lifespan.startup"}

    async def send(message: Json) -> None:
        said.append(message)

    await app({"type": "lifespan"}, startup, send)
    assert said == [{"type": "lifespan.startup.failed", "message": "the disk is away"}]
    monkeypatch.undo()
    monkeypatch.setenv("OMNI_HOME", str(omni_home))
    monkeypatch.setenv("OMNI_JOBS", "external")
    assert (await Caller(app)("GET", "/health"))[0] == 200
    await (await app.house()).close()


def _failing(_open: Any) -> Any:
    from omni_connector.settings import SettingsError

    async def fail(_make: Any) -> Any:
        raise SettingsError("the disk is away")

    return fail


KILLED = """
import asyncio, json, os, sys
sys.path.insert(0, "@ROOT@")
from app import app
from tests.test_hosted import Caller

def end(message):
    if message.get("more_body") is False:
        os._exit(7)

one, two = asyncio.new_event_loop(), asyncio.new_event_loop()
caller = Caller(app)
key = one.run_until_complete(caller.key())
assert one.run_until_complete(caller.chat(key))[0] == 200
one.close()  # a host that makes a loop for each request; nobody has ended anything
caller.sent = end
two.run_until_complete(caller.chat(key, stream=True))
"""


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
def test_killed_in_the_moment_of_the_last_byte_nothing_is_lost(
    engine: str, request: pytest.FixtureRequest, migrated_home: Path, omni_home: Path
) -> None:
    shutil.copytree(migrated_home, omni_home)
    env = {**os.environ, "OMNI_ADMIN_KEY": ADMIN, "OMNI_JOBS": "external", "OMNI_LOG_TARGET": "stderr"}
    url = ""
    if engine == "postgres":
        server = request.getfixturevalue("postgres")
        url = env["OMNI_DATABASE_URL"] = asyncio.run(server.fresh())
    code = textwrap.dedent(KILLED).replace("@ROOT@", str(ROOT))
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 7, done.stderr[-3000:]
    query = "SELECT state, outcome FROM requests ORDER BY id"
    if url:
        rows = [tuple(row) for row in asyncio.run(server.execute(query, url.rpartition("/")[2]))]
        server.done(url)
    else:
        with closing(sqlite3.connect(omni_home / "omni.db")) as conn:
            rows = conn.execute(query).fetchall()
    assert rows == [("settled", "ok")] * 2
