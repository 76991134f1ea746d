"""A long run: does memory stay flat, and is every request accounted for?

    python -m bench.soak                       100 000 requests: half streamed, 5 % left by their client, 5 % failing upstream
    python -m bench.soak --requests 20000      fewer
    python -m bench.soak --clients 32          that many at once

A real server process on a home of its own, the upstream here. Every minute: memory of the server, rows, open rows. At the end:
- the slope of its memory after the warm-up (the first fifth, 10 000 at least), by least squares over samples taken every second, in MB
  per 10 000 requests; the heap alone, not the pages of the database that are mapped;
- what clients hold against the books: as many rows as requests, none open, outcomes as the clients saw them, sums equal to the rows.
Ends with code 1 when a figure does not fit, or the slope is above 1 MB per 10 000 requests.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from bench import wires
from bench.wires import CHUNKS, DONE, HEAD, MODEL, USAGE, WHOLE, chunked
from tests.killing import check_sums
from tests.live.processes import CHAT, Server, running
from tests.live.test_crash import look

WARM, WARM_LEAST = 0.2, 10_000
"""The share of the requests that is not looked at for the slope, and how many at least: caches of the database fill until then."""
FLAT = 1.0
"""MB per 10 000 requests."""
EVERY = 20
"""Of so many requests one is left by its client, and one fails upstream: 5 % each."""
LEAVES, FAILS = 7, 13
TALKS = 2000
"""Conversations that go on and on. Each has a home that is remembered (20 000 of them at most), which would look like a leak."""
FAIL, LEAVE = b"please fail", b"please wait"
ERROR = b'{"error":{"message":"prompt is too long","type":"invalid_request_error","code":"context_length_exceeded"}}'


HEARD: dict[int, asyncio.Event] = {}
"""Conversation of a request that its client is to leave → the upstream has it."""


class Upstream(wires.Upstream):
    """Answers every POST at once, but for two kinds: one is refused, and one hears the beginning of an answer and no more."""

    def answer(self, path: bytes, body: bytes) -> None:
        streamed = wires.streamed(body)
        if FAIL in body:
            self.say(b"400 Bad Request", b"application/json", ERROR)
        elif LEAVE in body and streamed:
            self.transport.write(HEAD % (b"200 OK", b"text/event-stream", b"transfer-encoding: chunked") + chunked(b"".join(CHUNKS[:5])))
        elif LEAVE in body:
            HEARD[int(body.partition(LEAVE)[2].split(maxsplit=1)[0])].set()
            self.transport.write(HEAD % (b"200 OK", b"application/json", b"content-length: %d" % len(WHOLE)) + WHOLE[:50])
        elif streamed:
            self.say(b"200 OK", b"text/event-stream", b"".join(CHUNKS[-20:]) + DONE)
        else:
            super().answer(path, body)


@dataclass
class Soak:
    server: Server
    key: str
    total: int
    sent: int = 0
    done: int = 0
    seen: Counter[str] = field(default_factory=Counter)
    samples: list[tuple[int, float]] = field(default_factory=list)
    """(requests done, MB)."""

    async def run(self, clients: int) -> None:
        headers = {"Authorization": f"Bearer {self.key}"}
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(self.server.url, headers=headers, connector=connector) as session:
            watching = asyncio.create_task(self._watch())
            await asyncio.gather(*(self._client(session) for _ in range(clients)))
            watching.cancel()

    async def _client(self, session: aiohttp.ClientSession) -> None:
        while self.sent < self.total:
            number = self.sent
            self.sent += 1
            self.seen[await self._ask(session, number)] += 1
            self.done += 1

    async def _ask(self, session: aiohttp.ClientSession, number: int) -> str:
        """The outcome as the client sees it."""
        turn = number % EVERY
        words = {LEAVES: LEAVE, FAILS: FAIL}.get(turn, b"go on").decode()
        # By the twenties, so that half of each kind is streamed.
        streamed = (number + number // EVERY) % 2 == 0
        body = {"model": MODEL, "stream": streamed, "messages": [{"role": "user", "content": f"{words} {number % TALKS} {'word ' * 200}"}]}
        if turn == LEAVES and not streamed:
            return await self._leave(session, number, body)
        async with session.post(CHAT, json=body) as reply:
            if turn == LEAVES:
                await reply.content.readany()
                reply.close()
                return "client_left"
            text = await reply.read()
        if reply.status == 400:
            return "failed"
        complete = text.endswith(b"data: [DONE]\n\n") if streamed else b"choices" in text
        return "ok" if reply.status == 200 and complete else f"odd: {reply.status} {text[-200:]!r}"

    async def _leave(self, session: aiohttp.ClientSession, number: int, body: dict[str, Any]) -> str:
        """Hangs up while the answer is on its way to the server."""
        heard = HEARD[number % TALKS] = asyncio.Event()

        async def ask() -> None:
            async with session.post(CHAT, json=body) as reply:
                await reply.read()

        asking = asyncio.create_task(ask())
        await heard.wait()
        del HEARD[number % TALKS]
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        return "client_left"

    async def _watch(self) -> None:
        began = shown = time.monotonic()
        while True:
            self.samples.append((self.done, own_mb(self.server.pid)))
            if time.monotonic() - shown >= 60:
                shown = time.monotonic()
                rows, unsettled, _ = count(self.server.home)
                print(
                    f"{shown - began:6.0f} s {self.done:8} requests {self.samples[-1][1]:8.1f} MB {rows:8} rows {unsettled:4} open",
                    flush=True,
                )
            await asyncio.sleep(1)


def own_mb(pid: int) -> float:
    """Memory of a process in MB without the pages of files it has mapped: those of the database are the system's to take back."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon:"))


def count(home: Path) -> tuple[int, int, Counter[str]]:
    """Rows, open rows, rows by outcome."""
    with closing(look(home)) as conn:
        found = Counter({row[0] or "open": row[1] for row in conn.execute("SELECT outcome, COUNT(*) FROM requests GROUP BY outcome")})
    return found.total(), found["open"], found


def slope(samples: list[tuple[int, float]]) -> float:
    """MB per 10 000 requests, by least squares."""
    n = len(samples)
    if n < 2:
        return 0.0
    mean_x, mean_y = sum(x for x, _ in samples) / n, sum(y for _, y in samples) / n
    spread = sum((x - mean_x) ** 2 for x, _ in samples)
    return 10_000 * sum((x - mean_x) * (y - mean_y) for x, y in samples) / spread if spread else 0.0


async def prepare(server: Server, port: int) -> str:
    body = {"provider": "openai", "label": "soak", "api_key": "sk-0123456789abcdef", "base_url": f"http://127.0.0.1:{port}/v1"}
    await server.admin("POST", "/api/accounts", {**body, "models": [MODEL], "discover": False})
    await server.admin("PUT", f"/api/prices/{MODEL}", {"input": "1", "output": "2"})
    budget = {"amount": "1000000", "period": "day"}
    return str((await server.admin("POST", "/api/keys", {"name": "soak", "budget": budget}))["key"])


async def closed(home: Path) -> tuple[int, Counter[str]]:
    """The rows by outcome, once those that clients left are closed, too."""
    for _ in range(100):
        rows, unsettled, outcomes = count(home)
        if not unsettled:
            break
        await asyncio.sleep(0.1)
    return rows, outcomes


def account(soak: Soak, rows: int, outcomes: Counter[str]) -> list[str]:
    """What does not fit."""
    wrong = [f"odd answers: {name}" for name in soak.seen if name.startswith("odd")]
    if rows != soak.total:
        wrong.append(f"{rows} rows of {soak.total} requests")
    if outcomes != soak.seen:
        wrong.append(f"clients saw {dict(soak.seen)}, the books say {dict(outcomes)}")
    with closing(look(soak.server.home)) as conn:
        tokens = conn.execute("SELECT SUM(input), SUM(output), SUM(cost_nano) FROM requests WHERE outcome = 'ok'").fetchone()
    used, given = USAGE["prompt_tokens"], json.loads(WHOLE)["usage"]
    expected = _expected(soak.total, used, USAGE["completion_tokens"], given["prompt_tokens"], given["completion_tokens"])
    if tuple(tokens) != expected:
        wrong.append(f"tokens and cost of the answers: {tuple(tokens)} and not {expected}")
    return wrong


def _expected(total: int, stream_in: int, stream_out: int, whole_in: int, whole_out: int) -> tuple[int, int, int]:
    """Tokens in and out, and nano-dollars, of what was answered in full."""
    streamed = whole = 0
    for number in range(total):
        if number % EVERY not in (LEAVES, FAILS):
            if (number + number // EVERY) % 2 == 0:
                streamed += 1
            else:
                whole += 1
    tokens_in, tokens_out = streamed * stream_in + whole * whole_in, streamed * stream_out + whole * whole_out
    return tokens_in, tokens_out, 1000 * tokens_in + 2000 * tokens_out


async def measure(total: int, clients: int) -> int:
    upstream = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", 0)
    with tempfile.TemporaryDirectory() as folder:
        async with running(Path(folder) / "home") as server:
            soak = Soak(server, await prepare(server, upstream.sockets[0].getsockname()[1]), total)
            began = time.monotonic()
            await soak.run(clients)
            took = time.monotonic() - began
            rows, outcomes = await closed(server.home)
            warm = [sample for sample in soak.samples if sample[0] >= max(WARM * total, WARM_LEAST)]
            first, flat = (warm or soak.samples)[0][1], slope(warm)
            last = own_mb(server.pid)
            server.terminate()  # what it writes when it ends is looked at, too
            await server.ended(20)
            wrong = account(soak, rows, outcomes)
            compared = check_sums(server.home)
    upstream.close()
    if total < 3 * WARM_LEAST:
        print(f"with fewer than {3 * WARM_LEAST} requests the slope says little")
    elif flat > FLAT:
        wrong.append("memory grows")
    print(f"{total} requests in {took:.0f} s ({total / took:.0f} a second, {clients} at once): {dict(outcomes)}, {rows} rows, none open")
    print(f"memory of the server: {first:.1f} MB after the warm-up, {last:.1f} MB at the end; slope {flat:+.2f} MB per 10 000 requests")
    print(f"sums compared with the rows: {', '.join(compared) or 'none are kept'}")
    for words in wrong:
        print(f"WRONG: {words}")
    return 1 if wrong else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--clients", type=int, default=24)
    given = parser.parse_args()
    return asyncio.run(measure(given.requests, given.clients))


if __name__ == "__main__":
    sys.exit(main())
