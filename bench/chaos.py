"""Chaos: hundreds of requests at once against providers that fail in every way, with one healthy account behind them.

    python -m bench.chaos                   every fault alone with 500 requests at once, then all of them together
    python -m bench.chaos --requests 100    fewer
    python -m bench.chaos --only 5xx-storm  one fault

A real gateway process; half of the requests are streamed, half are Messages requests (translated) and half Chat Completions.
The faulty accounts are asked first. Three figures must hold, else the exit code is 1:

- whatever fails before commit, the request succeeds at the healthy account (100 %);
- whatever breaks after commit ends with the error of the client's protocol (100 %), never as if it were complete;
- no deadline is overrun by 0.5 s or more.

Fail-over is bounded on purpose by settings (attempts, their window, the retry budget). Here they are set so wide that the healthy
account is always reached: max_attempts 50, retry_budget 1, retry_budget_min 10000, attempts_window_s 2 s before total_timeout_s.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.chaos_faults import FAULTS, MODEL, PAUSE_S, Fault, Playing, play
from tests.live.processes import CHAT, MESSAGES, Line, Server, chat, message, running

OVERRUN = 0.5
ACCOUNTS = 3
"""Accounts of a fault that is played alone; each is cooling after its first failures, so more of them see more requests."""
ALL = "all together"


@dataclass(frozen=True)
class Limits:
    """Deadlines in seconds. `pause`: how long a fault takes to show; `spread`: within how long the requests arrive, so that what
    is measured is not the time that one processor takes for hundreds of deadlines that end in the same instant."""

    first_byte: float = 1
    idle: float = 1
    whole: float = 1
    total: float = 10
    pause: float = PAUSE_S
    spread: float = 2

    def settings(self) -> dict[str, str]:
        return {
            "OMNI_FIRST_BYTE_TIMEOUT_S": str(self.first_byte),
            "OMNI_IDLE_TIMEOUT_S": str(self.idle),
            "OMNI_WHOLE_TIMEOUT_S": str(self.whole),
            "OMNI_TOTAL_TIMEOUT_S": str(self.total),
            "OMNI_ATTEMPTS_WINDOW_S": str(self.total - 2),
            "OMNI_CONNECT_TIMEOUT_S": "1",
            "OMNI_MAX_ATTEMPTS": "50",
            "OMNI_RETRY_BUDGET": "1",
            "OMNI_RETRY_BUDGET_MIN": "10000",
            "OMNI_PROBE_MAX_S": "0",
        }


@dataclass
class Figures:
    """How the requests of one fault ended. `worst`: seconds by which a deadline was overrun at most."""

    name: str
    ended: Counter[str] = field(default_factory=Counter)
    hits: int = 0
    longest: float = 0
    worst: float = 0
    examples: list[str] = field(default_factory=list)

    @property
    def succeeded(self) -> float:
        """Share of what was not committed to a broken stream."""
        return _share(self.ended["ok"], self.ended["lost"])

    @property
    def told(self) -> float:
        return _share(self.ended["told"], self.ended["untold"])

    @property
    def sound(self) -> bool:
        return self.succeeded == 1 and self.told == 1 and self.worst < OVERRUN


def _share(good: int, bad: int) -> float:
    return good / (good + bad) if bad else 1.0


@dataclass(frozen=True)
class Question:
    path: str
    stream: bool

    def body(self, model: str, number: int) -> Any:
        return (chat if self.path == CHAT else message)(f"number {number}", model, stream=self.stream)

    def ending(self, status: int, body: bytes, *, whole: bool) -> str:
        """ok, told (a break that the client was told of), untold or lost."""
        if status != 200:
            return "lost"
        if not self.stream:
            return "ok" if whole and _is_answer(body) else "untold"
        *_, last = body.rstrip().split(b"\n\n")
        if not whole:
            return "untold"
        if self.path == CHAT:
            if last == b"data: [DONE]" and b'"finish_reason":"stop"' in body.replace(b" ", b""):
                return "ok" if b'"error"' not in body else "untold"
            return "told" if last.startswith(b'data: {"error"') else "untold"
        if last.startswith(b"event: message_stop"):
            return "ok" if b"event: error" not in body else "untold"
        return "told" if last.startswith(b"event: error") else "untold"


QUESTIONS = tuple(Question(path, stream) for path in (CHAT, MESSAGES) for stream in (False, True))


def _is_answer(body: bytes) -> bool:
    answered = json.loads(body)
    return bool(answered.get("choices") or answered.get("stop_reason"))


class Chaos:
    """One gateway and its accounts. `measure` may run for several faults at once."""

    def __init__(self, server: Server, limits: Limits, proxy_url: str = "") -> None:
        """`proxy_url`: by which the faults are reached."""
        self._server = server
        self._limits = limits
        self._proxy_url = proxy_url
        self._key = ""

    async def prepare(self, names: Sequence[str]) -> None:
        """The healthy account serves every model; it is of the demo provider, which always comes last."""
        body = {"provider": "demo", "label": "healthy", "model_map": dict.fromkeys(names, "demo-chat")}
        quick = {"demo": {"latency_ms": 0, "chunk_ms": 0, "tokens": 5}}
        await self._server.admin("POST", "/api/accounts", {**body, "options": quick})
        self._key = (await self._server.admin("POST", "/api/keys", {"name": "chaos"}))["key"]

    async def measure(self, name: str, faults: Sequence[Fault], count: int) -> Figures:
        """`count` requests at once for a model that the faults and the healthy account serve."""
        figures = Figures(name)
        model = _model(name)
        async with contextlib.AsyncExitStack() as stack:
            copies = ACCOUNTS if len(faults) == 1 else 1
            pause = self._limits.pause * copies / (copies + len(faults))  # one after the other, they must fit into the window
            playing = [await stack.enter_async_context(play(fault, pause)) for fault in faults]
            added = [await self._add(one, model, copy) for one in playing for copy in range(copies)]
            # Connected first: what is measured is the gateway, not how fast this process opens sockets.
            lines = [await stack.enter_async_context(Line.open(self._server.url)) for _ in range(count)]
            step = self._limits.spread / count
            await asyncio.gather(*(self._ask(line, figures, number, number * step) for number, line in enumerate(lines)))
            for one in playing:
                self._note(figures, one)
            for account in added:
                await self._server.admin("DELETE", f"/api/accounts/{account['id']}")
        return figures

    async def _add(self, playing: Playing, model: str, copy: int) -> Any:
        label = f"{playing.fault.name}-{copy}" if copy else f"{model}-{playing.fault.name}"
        body = {"provider": "openai", "label": label, "api_key": "sk-0123456789abcdef", "base_url": playing.url}
        more = {"model_map": {model: MODEL}, "discover": False, "proxy_url": self._proxy_url}
        return await self._server.admin("POST", "/api/accounts", {**body, **more})

    async def _ask(self, line: Line, figures: Figures, number: int, after: float) -> None:
        question, model = QUESTIONS[number % len(QUESTIONS)], _model(figures.name)
        headers = {"Authorization": f"Bearer {self._key}", "x-omni-sort": "round-robin", "anthropic-version": "2023-06-01"}
        body = question.body(model, number)
        await asyncio.sleep(after)
        began = time.monotonic()
        try:
            reply = await line.ask("POST", question.path, body, headers, within=self._limits.total + 10)
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            figures.ended["lost"] += 1
            figures.examples.append(f"{type(error).__name__}: {error}")
            return
        took = time.monotonic() - began
        ending = question.ending(reply.status, reply.body, whole=reply.whole)
        figures.ended[ending] += 1
        figures.longest = max(figures.longest, took)
        figures.worst = max(figures.worst, took - self._limits.total)
        if ending in ("lost", "untold"):
            figures.examples.append(f"{question.path} stream={question.stream} {reply.status}: {reply.body[-300:]!r}")

    def _note(self, figures: Figures, playing: Playing) -> None:
        figures.hits += playing.hits
        if playing.fault.limit and playing.waited:
            limit: float = getattr(self._limits, playing.fault.limit)
            figures.worst = max(figures.worst, max(playing.waited) - limit)


def _model(name: str) -> str:
    return f"chaos-{name.replace(' ', '-')}"


@contextlib.asynccontextmanager
async def chaos(home: Path, limits: Limits, proxy_url: str = "") -> Any:
    async with running(home, **limits.settings()) as server:
        gateway = Chaos(server, limits, proxy_url)
        await gateway.prepare([_model(name) for name in (*(fault.name for fault in FAULTS), ALL)])
        yield gateway


async def measure_all(count: int, only: str) -> list[Figures]:
    found = []
    with tempfile.TemporaryDirectory() as folder:
        async with chaos(Path(folder) / "home", Limits()) as gateway:
            rounds: list[tuple[str, Sequence[Fault]]] = [*((fault.name, (fault,)) for fault in FAULTS), (ALL, FAULTS)]
            print(f"{'fault':26}{'requests':>9}{'hits':>6}{'ok':>6}{'told':>6}", end="")
            print(f"{'before commit':>15}{'after commit':>14}{'longest s':>11}{'overrun s':>11}")
            for name, faults in rounds:
                if only in ("", name):
                    found.append(await gateway.measure(name, faults, count))
                    show(found[-1])
    return found


def show(figures: Figures) -> None:
    ended = figures.ended
    print(f"{figures.name:26}{ended.total():>9}{figures.hits:>6}{ended['ok']:>6}{ended['told']:>6}", end="")
    print(f"{figures.succeeded:>15.1%}{figures.told:>14.1%}{figures.longest:>11.2f}{max(0.0, figures.worst):>11.2f}", flush=True)
    for example in figures.examples[:3]:
        print("    ", example)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=500, help="requests at once")
    parser.add_argument("--only", default="", help="the name of one fault")
    args = parser.parse_args()
    found = asyncio.run(measure_all(args.requests, args.only))
    broken = [figures.name for figures in found if not figures.sound]
    print(f"broken: {', '.join(broken)}" if broken else "all figures hold")
    return 1 if broken or not found else 0


if __name__ == "__main__":
    sys.exit(main())
