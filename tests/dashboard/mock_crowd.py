"""The scenario "crowd": two hundred accounts, and a million requests that are made up when they are asked for, page by page."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from mock_world import HOUR, MINUTE, SECOND, Json, State, account, beats, key, now, settled

ACCOUNTS = 200
REQUESTS = 1_000_000
MODELS = ["gpt-5.1", "claude-sonnet-4-5", "llama-3.3-70b-versatile", "qwen3:32b"]
PROVIDERS = ["openai", "anthropic", "groq", "ollama"]


def fill(state: State) -> None:
    state.accounts = {row["id"]: row for row in map(member, range(ACCOUNTS))}
    state.keys = {"key_1": key("key_1", "laptop", last_used_at=now())}
    state.requests = [row_of(state, number) for number in range(REQUESTS, REQUESTS - 50, -1)]


def member(n: int) -> Json:
    t = now()
    quota = [
        {"name": name, "used": n % 90, "limit": 100, "unit": "%", "resets_at": t + n * MINUTE + HOUR, "state": "live"} for name in "ab"
    ]
    return account(
        f"acc_{n:03}",
        PROVIDERS[n % 4],
        f"{PROVIDERS[n % 4]}-{n:03}",
        priority=n % 7,
        heartbeat=beats(40, {n % 40}, 400 + n),
        in_flight=n % 3,
        requests_today=n * 7,
        cost_today=f"{n * 0.013:.6f}",
        last_used_at=t - n * 3 * SECOND,
        quota=quota,
        discovered=[MODELS[n % 4], *(f"model-{m}" for m in range(30))],
    )


def row_of(state: State, number: int) -> Json:
    """Row `number` of the log; the newest has the highest number."""
    who = state.accounts[f"acc_{number % ACCOUNTS:03}"]
    at = now() - (REQUESTS - number) * 700
    more: Json = {"duration_ms": 500 + number % 900} if number % 11 else {"outcome": "failed", "flag": "UPSTREAM", "http_status": 502}
    return settled(f"req_{number:07d}", at, who, "auto", MODELS[number % 4], **more)


def page(state: State, query: Mapping[str, str]) -> Json:
    """GET /api/requests by keyset, as deep as one wants."""
    limit = int(query.get("limit", 50))
    newest = int(query["before"].removeprefix("req_")) - 1 if query.get("before") else REQUESTS + state.serial
    numbers = range(newest, max(0, newest - limit), -1)
    return {
        "requests": [row_of(state, number) for number in numbers],
        "next": f"req_{numbers[-1]:07d}" if numbers and numbers[-1] > 1 else None,
    }


async def stream(state: State, count: int, per_second: int) -> None:
    """So many new requests, one event each, and with every tenth an account that changes."""
    for n in range(count):
        state.serial += 1
        row = row_of(state, REQUESTS + state.serial)
        state.publish("request", row)
        if n % 10 == 0:
            changed = state.accounts[row["account"]["id"]]
            state.publish("account", changed | {"in_flight": changed["in_flight"] + 1 + n % 2})
        await asyncio.sleep(1 / per_second)
