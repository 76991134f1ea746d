"""What the mock admin side says to the views of usage, quota, playground, jobs and clients."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from mock_world import DAY, HOSTILE, HOUR, MINUTE, SECOND, Json, State, now, settled
from quart import Quart, Response, jsonify, request

COUNTS = ("requests", "failed", "input", "cache_read", "cache_write", "output", "reasoning", "unpriced")
PROMPT = "Connect to omni-connector at http://localhost:38471. Ask me for the key.\n"
DIFF = """--- ~/.codex/config.toml
+++ ~/.codex/config.toml
@@ -1,2 +1,7 @@
-model = "gpt-5.5"
+model = "auto"
+model_provider = "omni"
 approval_policy = "on-request"
+
+[model_providers.omni]
+base_url = "http://localhost:38471/v1"
"""


TOLERANCE = {"usd": "0.05", "share": "0.02"}


def sums(name: str, id: str | None, seed: int, scale: float, **more: Any) -> Json:
    rng = random.Random(seed)
    count = int(scale * rng.uniform(60, 140))
    row = {
        "name": name,
        "id": id,
        "requests": count,
        "failed": count // 37,
        "input": count * rng.randint(900, 2400),
        "cache_read": count * rng.randint(3000, 12000),
        "cache_write": 0,
        "output": count * rng.randint(200, 900),
        "reasoning": count * 40,
        "unpriced": 0,
        "cost_usd": f"{count * rng.uniform(0.002, 0.03):.6f}",
        "worth_usd": "0.000000",
    }
    return row | more


def added(rows: list[Json]) -> Json:
    total: Json = {name: sum(row[name] for row in rows) for name in COUNTS}
    for name in ("cost_usd", "worth_usd"):
        total[name] = f"{sum(float(row[name] or 0) for row in rows):.6f}"
    return total


def today(state: State) -> Json:
    rows = [row for row in state.requests if row["state"] == "settled"]
    total: Json = {name: sum(row["usage"][name] or 0 for row in rows) for name in ("input", "cache_read", "cache_write", "output")}
    total |= {"requests": len(rows), "failed": sum(row["outcome"] != "ok" for row in rows), "reasoning": 0}
    return total | {"unpriced": 2 if len(rows) > 2 else 0, "cost_usd": f"{sum(float(row['cost']['usd'] or 0) for row in rows):.6f}"}


def usage_rows(state: State, group: str, since: int, until: int, zone: ZoneInfo) -> list[Json]:
    if state.name == "empty":
        return []
    if group == "day":
        days = sorted({datetime.fromtimestamp(at / 1000, zone).date().isoformat() for at in range(since, until, HOUR)})
        return [sums(day, None, i, 1 + (i * 7 % 5) / 3, worth_usd=f"{i % 4 * 0.7:.6f}") for i, day in enumerate(days) if i % 9 != 4]
    if group == "hour":
        hours = range(since // HOUR, -(-until // HOUR))
        return [sums(f"{datetime.fromtimestamp(h * 3600, UTC):%Y-%m-%dT%H:00Z}", None, h, 0.2) for h in hours if h % 5]
    if group in ("account", "key"):
        known = state.accounts if group == "account" else state.keys
        rows = [sums(row.get("label") or row["name"], row["id"], i, 9 / (i + 1)) for i, row in enumerate(known.values())]
        rows[0]["worth_usd"] = "14.200000"
        rows[-1] |= {"cost_usd": None, "unpriced": rows[-1]["requests"]}
        return [*rows, sums("", None, 77, 0.1, cost_usd="0.000000", failed=9)]
    names = {
        "model": ["claude-sonnet-4-5", "gpt-5.1", "llama-3.3-70b-versatile", "qwen3:32b", HOSTILE if state.name == "hostile" else "o4"],
        "provider": ["anthropic", "openai", "groq", "ollama"],
        "client": ["claude-cli/2.1.4", "OpenAI/Python 3.3.0", "", "curl/8", "aider", "codex", "cursor", "opencode", "cline", "goose"],
    }[group]
    return [sums(name, None, i, 8 / (i + 1), unpriced=3 * (i == 2)) for i, name in enumerate(names)]


def over_time(state: State, group: str, bucket: str, since: int, until: int, zone: ZoneInfo, rows: list[Json]) -> Json:
    """Bars and series as the server has them; what a row holds is spread over the bars that are not empty."""
    if bucket == "hour":
        names = [f"{datetime.fromtimestamp(h * 3600, UTC):%Y-%m-%dT%H:00Z}" for h in range(since // HOUR, -(-until // HOUR))]
    else:
        names = sorted({datetime.fromtimestamp(at / 1000, zone).date().isoformat() for at in [*range(since, until, HOUR), until - 1]})
    known = {row["name"]: row for row in usage_rows(state, bucket, since, until, zone)}
    bars = [known.get(name) or sums(name, None, 0, 0) for name in names]
    busy = max(1, sum(bar["requests"] for bar in bars))

    def spread(row: Json, shift: int) -> Json:
        parts = [(bar["requests"] * (1 + (i + shift) % 3)) / (2 * busy) for i, bar in enumerate(bars)]
        tokens = row["input"] + row["cache_read"] + row["output"]
        return {
            "requests": [round(row["requests"] * part) for part in parts],
            "tokens": [round(tokens * part) for part in parts],
            "cost_usd": [f"{float(row['cost_usd'] or 0) * part:.6f}" for part in parts],
            "worth_usd": [f"{float(row['worth_usd'] or 0) * part:.6f}" for part in parts],
        }

    series = [{"name": row["name"], "id": row["id"], **spread(row, i)} for i, row in enumerate(rows)]
    others = {"count": len(rows) - 12, **spread(added(rows[12:]), 1)} if len(rows) > 12 else None
    return {"bucket": bucket, "bars": bars, "series": series[:12], "others": others}


def job(id: str, kind: str, every: int | None, due: int, **more: Any) -> Json:
    row = {
        "id": id,
        "kind": kind,
        "key": "",
        "due_at": now() + due,
        "interval_s": every,
        "attempts": 0,
        "state": "ready",
        "last_run_at": now() - MINUTE,
        "last_ok_at": now() - MINUTE,
        "last_error": None,
        "lease_until": None,
    }
    return row | more


def jobs_of(state: State) -> list[Json]:
    if state.name == "empty":
        return [job("job_1", "cooldown-recovery", 60, 4000, last_run_at=None, last_ok_at=None)]
    words = HOSTILE if state.name == "hostile" else "Kiro answers 503: the service is busy. It is asked again later."
    account = next(iter(state.accounts), "")
    return [
        job("job_1", "cooldown-recovery", 60, 4000),
        job("job_2", "retention", 600, 4 * MINUTE),
        job("job_3", "snapshot", 86400, 9 * HOUR, last_run_at=now() - 15 * HOUR, last_ok_at=now() - 15 * HOUR),
        job("job_4", "quota", None, 3 * MINUTE, key=account, attempts=2, last_ok_at=now() - HOUR, last_error=words),
        job("job_5", "token-refresh", None, 40 * MINUTE, key=account, state="running"),
        job("job_6", "usage-check", 86400, 2 * HOUR, state="paused"),
        job("job_7", "reconcile", None, 0, key=account, state="dead", attempts=5, last_error="The key may not read usage."),
    ]


def client(name: str, label: str, state: str, **more: Any) -> Json:
    row = {"name": name, "label": label, "installed": True, "state": state, "url": "", "model": "", "key_hint": "", "undoable": False}
    return row | {"why": "", "diff": DIFF, "steps": [], "blocked": ""} | more


def clients_of(state: State) -> list[Json]:
    here = state.base_url
    why = "~/.gemini/settings.json, line 4: a comma is missing"
    return [
        client("claude-code", "Claude Code", "points here", url=here, model="auto", key_hint="omni-Ab3d…x9Kq", undoable=True, diff=""),
        client("codex", "Codex", "points elsewhere", url=HOSTILE if state.name == "hostile" else "https://api.openai.com/v1"),
        client("gemini-cli", "Gemini CLI", "unreadable", why=why, blocked=why, diff=""),
        client("opencode", "opencode", "not set up"),
        client("aider", "aider", "not set up", installed=False),
        client("cursor", "Cursor", "by hand", installed=False, diff="", steps=["Settings, Models: put in the address."]),
    ]


def intent(name: str, state: State, model: str) -> Json:
    by_hand = name == "cursor"
    diff = "" if by_hand or name == "claude-code" else DIFF.replace('"auto"', f'"{model}"')
    files = [{"path": "/home/me/.codex/config.toml", "action": "change", "startup": False}] if diff else []
    steps = ["Settings, Models: put in the address and the key.", f"Model: {model}"] if by_hand else []
    key = {"hint": "omni-(a new key)", "new": True, "id": ""}
    return {"client": name, "url": state.base_url, "model": model, "key": key, "files": files, "diff": diff, "steps": steps, "notes": []}


def fail(status: int, message: str) -> tuple[Response, int]:
    return jsonify({"error": {"message": message, "code": "error", "param": None}}), status


def add_desk(app: Quart, state: State) -> None:
    paused: dict[str, str] = {}

    @app.get("/api/usage")
    async def usage() -> Any:
        args = request.args
        zone = args.get("zone", "UTC")
        until = int(args["to"]) if args.get("to", "").isdigit() else now() + 1
        since = _when(args.get("from", ""), zone, until - 30 * DAY)
        until = until if args.get("to", "").isdigit() else _when(args.get("to", ""), zone, until)
        group = args.get("group", "account")
        if "zone" not in args:  # the overview's own figures
            return {"group": group, "from": 0, "to": now(), "rows": [], "total": today(state)}
        rows = usage_rows(state, group, since, until, ZoneInfo(zone))
        if "bucket" in args:
            over = over_time(state, group, args["bucket"], since, until, ZoneInfo(zone), rows)
        else:
            over = {}
        answer = {"group": group, "currency": "USD", "from": since, "to": until, "zone": zone, "rows": rows, "total": added(rows), **over}
        if args.get("format") == "csv":
            return Response("account,id\n", content_type="text/csv", headers={"content-disposition": 'attachment; filename="usage.csv"'})
        return answer

    @app.get("/api/reconciliations")
    async def reconciliations() -> Any:
        if state.name == "empty":
            return {"days": [], "accounts": [], "tolerance": TOLERANCE}
        if state.name == "mixed":
            words = "unknown: this key may not read usage; an admin key (sk-admin-…) of the organisation in options.usage_key may"
            telling = [one for one in state.accounts.values() if one["provider"] in ("openai", "anthropic", "openrouter")]
            lacking = [{name: one[name] for name in ("id", "label", "provider")} | {"compared": False, "words": words} for one in telling]
            return {"days": [], "accounts": lacking, "tolerance": TOLERANCE}
        label = HOSTILE if state.name == "hostile" else "openai"
        row = {"account": {"id": "acc_1", "label": label}, "provider": "openai", "scope": "organisation", "unpriced": 0, "at": now()}
        told = [
            ("2026-03-04", "equal", "Within the tolerance.", "4.120000", "4.118200", "0.001800"),
            ("2026-03-03", "more", "Others may use the same organisation.", "9.500000", "4.000000", "5.500000"),
            ("2026-03-02", "differs", "Less than these books.", "1.000000", "2.000000", "-1.000000"),
            ("2026-03-01", "unknown", "Three requests have no known price.", None, "2.000000", None),
        ]
        names = ("day", "state", "words", "theirs_usd", "ours_usd", "difference_usd")
        silent = {
            "id": "acc_2",
            "label": "claude-work",
            "provider": "anthropic",
            "compared": False,
            "words": "it has no key that may read it",
        }
        return {"days": [row | dict(zip(names, one, strict=True)) for one in told], "accounts": [silent], "tolerance": TOLERANCE}

    @app.post("/api/update/check")
    async def update() -> Any:
        if state.name == "empty":
            return fail(409, "No address of releases is set. Name one: omni-connector update --from ARCHIVE.")
        schema = {"present": "0009", "offered": "0010", "moves": True}
        told = {"present": "0.1.0", "offered": "0.2.0", "update": True, "source": "https://files.example.org", "schema": schema}
        return told | {"previous": None, "command": "omni-connector update"}

    @app.get("/api/quota")
    async def quota() -> Any:
        return {"accounts": [], "interval_min": 10}

    @app.get("/api/jobs")
    async def jobs() -> Any:
        return {"jobs": [row | ({"state": paused[row["id"]]} if row["id"] in paused else {}) for row in jobs_of(state)]}

    @app.post("/api/jobs/<id>/<any(run, cancel):what>")
    async def act_on_job(id: str, what: str) -> Any:
        paused[id] = "paused" if what == "cancel" else "running"
        return {"id": id, "state": paused[id]}

    @app.get("/api/clients")
    async def clients() -> Any:
        return {"url": state.base_url, "clients": clients_of(state)}

    @app.post("/api/clients/<name>/setup")
    async def setup(name: str) -> Any:
        body = await request.get_json()
        told = intent(name, state, body.get("model", "auto"))
        if body.get("model") == "bad":
            return fail(400, "model: 1 to 200 plain characters, without blanks and quotes.")
        if body.get("dry_run"):
            return told | {"applied": False, "proof": None}
        words = "It works: account 'openai' answered with gpt-5.1, for $0.000012. 12 models can be asked for."
        key = {"hint": "omni-Zq81…PmT4", "new": True, "id": "key_9", "name": name} | ({"key": "omni-pasted"} if name == "cursor" else {})
        return told | {"key": key, "applied": name != "cursor", "proof": {"ok": True, "words": words}}

    @app.post("/api/clients/<name>/undo")
    async def undo(name: str) -> Any:
        body = await request.get_json()
        if not body.get("keep_later") and name == "claude-code":
            return fail(409, "~/.claude/settings.json was changed since it was set up.")
        done = not body.get("dry_run")
        return {"client": name, "files": [], "diff": DIFF, "undone": done, "key_revoked": done}

    @app.patch("/api/keys/<id>")
    async def edit_key(id: str) -> Any:
        state.keys[id] = state.keys[id] | (await request.get_json())
        return state.keys[id]

    @app.get("/api/agent-prompt")
    async def agent_prompt() -> Any:
        return {"text": PROMPT}


def _when(text: str, zone: str, default: int) -> int:
    if text.isdigit():
        return int(text)
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000) if text else default


ANSWER = """Here is the **short** answer:

1. First `one`
2. Then two

```python
print("hello")
```

It is done."""


def speak(state: State, body: Json, key: Json) -> Response | tuple[Response, int]:
    """A streamed answer: it thinks, answers, and says its usage. "slow" has to be stopped, "hostile" brings markup, "broken" breaks off."""
    asked = body["messages"][-1]["content"]
    text = asked if isinstance(asked, str) else asked[0]["text"]
    if text == "refuse":
        return jsonify({"error": {"message": f"No account can serve {HOSTILE} now.", "code": "no_account"}}), 503
    state.serial += 1
    used = next(iter(state.accounts.values()))
    row = settled(
        f"req_{999_500 + state.serial}x", now(), used, body["model"], "gpt-5.1", key=key, cost={"usd": "0.001234", "source": "mock"}
    )

    def event(delta: Json, **more: Any) -> str:
        return "data: " + json.dumps({"id": row["id"], "choices": [{"index": 0, "delta": delta}], **more}) + "\n\n"

    async def stream() -> AsyncIterator[str]:
        yield event({"role": "assistant", "reasoning_content": "Let me think about it. " * 8})
        if text == "slow":
            yield event({"content": "It begins"})
            await asyncio.sleep(60)
        said = HOSTILE + "\n\n[x](javascript:alert(1))\n\n```html\n" + HOSTILE + "\n```" if text == "hostile" else ANSWER
        for at in range(0, len(said), 9):
            yield event({"content": said[at : at + 9]})
            await asyncio.sleep(0.002)
        if text == "broken":
            yield 'data: {"error": {"message": "The provider broke off."}}\n\n'
            return
        yield "data: " + json.dumps({"choices": [], "usage": {"prompt_tokens": 1840, "completion_tokens": 412}}) + "\n\ndata: [DONE]\n\n"
        state.put_request(row | {"duration_ms": 2 * SECOND})

    headers = {
        "x-omni-request-id": row["id"],
        "x-omni-provider": used["provider"],
        "x-omni-account": "openai",
        "x-omni-model": "gpt-5.1",
        "x-omni-attempts": "1",
        "x-omni-route": "auto: openai first of 4 by health and load, 2 skipped",
    }
    response = Response(stream(), content_type="text/event-stream", headers=headers)
    response.timeout = None
    return response
