"""A stand-in for the admin side, to work on the dashboard alone: static/ under the product's policy, /api from memory, live events.

Run it by itself to look at the pages: `python tests/dashboard/mock_admin.py --port 8700 --scenario busy`.
Scenarios: empty, busy, mixed, crowd, hostile, login. `POST /mock/scenario|request|stream|drop|refuse|away` steer it from a test.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import mimetypes
import random
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from hypercorn.asyncio import serve
from hypercorn.config import Config
from mock_desk import add_desk, speak
from mock_world import CHOICES, HOUR, LEVELS, SETTINGS, Json, State, account, key, now, settled
from quart import Quart, Response, jsonify, request, send_from_directory

STATIC = Path(__file__).resolve().parents[2] / "static"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; manifest-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
CSRF = "mock-csrf-token"
PASSWORD = "correct horse"

state = State()
app = Quart(__name__, static_folder=None)
add_desk(app, state)


def fail(status: int, message: str, param: str | None = None, code: str = "error") -> tuple[Response, int]:
    return jsonify({"error": {"message": message, "type": code, "code": code, "param": param, "status": status}}), status


@app.before_request
async def guard() -> Any:
    if request.path.startswith("/mock/") or not request.path.startswith(("/api/", "/v1/router/")):
        return None
    if request.method != "GET":
        state.calls.append({"method": request.method, "path": request.path, "body": await request.get_json(silent=True)})
    if state.refuse:
        return fail(503, "The mock refuses.")
    if request.path in ("/api/session", "/api/login"):
        return None
    if not state.signed_in:
        return fail(401, "Sign in first.", code="authentication_error")
    if request.method != "GET" and request.headers.get("X-CSRF-Token") != CSRF:
        return fail(403, "The CSRF token is missing or old.", code="permission_denied")
    return None


@app.after_request
async def policy(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


@app.get("/")
async def index() -> Response:
    return await send_from_directory(STATIC, "index.html")


async def serving(scope: Any, receive: Any, send: Any) -> None:
    """The files of the page without Quart's ways: every page asks for sixty."""
    path = scope.get("path", "")
    file = STATIC / path.removeprefix("/static/")
    if scope["type"] != "http" or not path.startswith("/static/") or ".." in path or not file.is_file():
        await app(scope, receive, send)
        return
    known = f'"{file.stat().st_mtime_ns}"'.encode()
    same = (b"if-none-match", known) in scope["headers"]
    kind = mimetypes.guess_type(file.name)[0] or ("text/javascript" if file.suffix == ".mjs" else "application/octet-stream")
    headers = {"content-type": kind, "cache-control": "no-cache", "content-security-policy": POLICY, "x-content-type-options": "nosniff"}
    told = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": 304 if same else 200, "headers": [*told, (b"etag", known)]})
    await send({"type": "http.response.body", "body": b"" if same else file.read_bytes()})


@app.get("/api/session")
async def session() -> Any:
    return {
        "authenticated": state.signed_in,
        "login_needed": not state.signed_in,
        "password_set": state.name == "login",
        "csrf": CSRF,
        "version": "0.1.0",
        "base_url": state.base_url,
    }


@app.post("/api/login")
async def login() -> Any:
    if (await request.get_json())["password"] != PASSWORD:
        return fail(401, "That is not the password.", "password")
    state.signed_in = True
    return {"authenticated": True}


@app.post("/api/logout")
async def logout() -> Any:
    state.signed_in = False
    return {}


@app.get("/api/events")
async def events() -> Response:
    queue: asyncio.Queue[str | None] = asyncio.Queue()

    async def stream() -> AsyncIterator[str]:
        state.listeners.add(queue)  # in one step with the snapshot: no event falls between
        queue.put_nowait(f"event: snapshot\ndata: {json.dumps(state.snapshot())}\n\n")
        try:
            while (text := await queue.get()) is not None:
                yield text
        finally:
            state.listeners.discard(queue)

    response = Response(stream(), content_type="text/event-stream", headers={"Cache-Control": "no-store"})
    response.timeout = None
    return response


@app.get("/api/accounts/discover")
async def discover() -> Any:
    return {"found": state.found}


@app.post("/api/accounts/import")
async def import_accounts() -> Any:
    import mock_mixed

    return mock_mixed.report()


@app.post("/api/oauth/<provider>/start")
async def start_sign_in(provider: str) -> Any:
    import mock_mixed

    row = next(row for row in state.catalogue if row["id"] == provider)
    return mock_mixed.flow((await request.get_json()).get("way") or row["sign_in"]["ways"][0])


@app.get("/api/oauth/flows/<id>")
async def sign_in(id: str) -> Any:
    return {"flow_id": id, "status": "waiting"}


@app.post("/api/oauth/flows/<id>/cancel")
async def cancel_sign_in(id: str) -> Any:
    return {"flow_id": id, "status": "cancelled"}


@app.get("/api/alerts")
async def alerts() -> Any:
    return state.alerts


@app.get("/api/limits")
async def limits() -> Any:
    return {"limits": state.limits}


@app.get("/api/prices")
async def prices() -> Any:
    return {"prices": state.prices}


@app.get("/api/providers")
async def get_providers() -> Any:
    return {"providers": state.providers()}


@app.get("/api/accounts")
async def get_accounts() -> Any:
    return {"accounts": list(state.accounts.values())}


PLAIN = ("label", "base_url", "models", "prefix", "enabled", "priority", "weight", "max_in_flight", "options", "balance")


@app.post("/api/accounts")
async def add_account() -> Any:
    body = await request.get_json()
    if any(row["label"] == body["label"] for row in state.accounts.values()):
        return fail(409, f"An account labelled {body['label']} exists already.", "label", "conflict")
    state.serial += 1
    demo = body["provider"] == "demo"
    row = account(
        f"acc_n{state.serial}",
        body["provider"],
        body["label"],
        auth=body.get("auth", "api_key"),
        discovered=["demo-chat", "demo-429"] if demo else [],
    )
    row |= {name: body[name] for name in PLAIN if name in body}
    state.accounts[row["id"]] = row
    state.publish("account", row)
    return row, 201


@app.post("/api/accounts/test")
async def test_body() -> Any:
    body = await request.get_json()
    if "wrong" in (body.get("api_key") or ""):
        return {
            "ok": False,
            "status": 401,
            "message": "Incorrect API key provided: sk-wrong. You can find your API key in your settings.",
            "models": [],
            "latency_ms": 180,
        }
    return {"ok": True, "status": 200, "message": "", "models": [f"model-{n}" for n in range(42)], "latency_ms": 312}


@app.route("/api/accounts/<id>", methods=["PATCH", "DELETE"])
async def one_account(id: str) -> Any:
    if request.method == "DELETE":
        state.accounts.pop(id)
        state.publish("account-removed", {"id": id})
        return {}
    body = await request.get_json()
    row = state.accounts[id] | {name: body[name] for name in PLAIN if name in body}
    if body.get("api_key"):
        row |= {"status": "ready", "status_reason": ""}
    state.accounts[id] = row
    state.publish("account", row)
    return row


@app.post("/api/accounts/<id>/<action>")
async def act(id: str, action: str) -> Any:
    if action == "probe":
        return {"job": {"id": "job_probe"}, "message": f"{state.accounts[id]['label']} is asked now whether it is back."}
    if action == "test":
        return {"ok": True, "status": 200, "message": "", "models": ["a", "b"], "latency_ms": 240}
    changes: Json = {"enable": {"enabled": True, "status": "ready"}, "disable": {"enabled": False, "status": "disabled"}}.get(action, {})
    if action == "refresh":
        changes = {"balance": {"amount": "4.20", "currency": "USD", "usable": True}}
        state.accounts[id] = state.accounts[id] | changes
        return state.accounts[id] | {"message": f"{state.accounts[id]['label']} was asked what is left."}
    if action == "clear-cooldown":
        changes = {"status": "ready", "cooldown": None, "cooldowns": []}
    state.accounts[id] = state.accounts[id] | changes
    state.publish("account", state.accounts[id])
    return state.accounts[id]


@app.get("/api/keys")
async def get_keys() -> Any:
    return {"keys": list(state.keys.values())}


def mint(row: Json) -> Json:
    text = "omni-" + "".join(random.choices("ABCDEFGHJKLMNPabcdefghjkmnp23456789", k=49))
    row["hint"] = text[:9] + "…" + text[-4:]
    state.secrets[text] = row["id"]
    state.keys[row["id"]] = row
    state.publish("key", row)
    return row | {"key": text}


@app.post("/api/keys")
async def add_key() -> Any:
    body = await request.get_json()
    state.serial += 1
    row = key(
        f"key_n{state.serial}",
        body["name"],
        created_at=now(),
        **{name: body.get(name) for name in ("expires_at", "models", "providers", "rpm")},
    )
    return mint(row), 201


@app.post("/api/keys/<id>/rotate")
async def rotate(id: str) -> Any:
    return mint(dict(state.keys[id]))


@app.delete("/api/keys/<id>")
async def revoke(id: str) -> Any:
    state.keys[id] = state.keys[id] | {"status": "revoked", "revoked_at": now()}
    state.publish("key", state.keys[id])
    return state.keys[id]


def wanted(row: Json, args: Any) -> bool:
    status, text = args.get("status"), args.get("text", "").lower()
    checks = [
        not status or row["outcome"] == status or row["state"] == status or str(row["http_status"]) == status,
        not args.get("provider") or row["provider"] == args["provider"],
        not args.get("protocol") or row["protocol"] == args["protocol"],
        not args.get("account") or bool(row["account"] and row["account"]["id"] == args["account"]),
        not args.get("key") or row["key"]["id"] == args["key"],
        not args.get("model") or args["model"] in (row["model"], row["model_requested"]),
        text in json.dumps(row).lower(),
    ]
    return all(checks)


@app.get("/api/requests")
async def get_requests() -> Any:
    if state.name == "crowd":
        import mock_crowd

        return mock_crowd.page(state, request.args)
    limit = int(request.args.get("limit", 50))
    rows = [row for row in state.requests if wanted(row, request.args)]
    if before := request.args.get("before"):
        rows = [row for row in rows if row["id"] < before]
    return {"requests": rows[:limit], "next": rows[limit - 1]["id"] if len(rows) > limit else None}


@app.get("/api/requests/<id>")
async def one_request(id: str) -> Any:
    found = next((row for row in state.requests if row["id"] == id), None)
    return fail(404, f"There is no request {id}.") if found is None else found | {"plan": planned(found)}


def planned(row: Json) -> Json | None:
    """Those that were tried, and one that did not have to be; nothing while the request is open."""
    if row["state"] == "open":
        return None
    names = [(one["account"], one["provider"], one["model"]) for one in row["attempts"]] + [("spare", "groq", "m")]
    candidates = [
        {
            "account": account_label,
            "provider": provider,
            "model": model,
            "tier": 1 if place == 0 else 2,
            "reason": f"first token after {300 + place} ms, {account_label}",
            "score": {"total": 41.0 - 30 * place, "parts": {"latency": 11.0, "load": -30.0 * place}} if place < 2 else None,
        }
        for place, (account_label, provider, model) in enumerate(names)
    ]
    return {"policy": "auto", "panic": False, "candidates": candidates, "more": 3}


@app.get("/api/provider-models")
async def models() -> Any:
    out: dict[str, Json] = {}
    for row in state.accounts.values():
        for name in row["models"] or row["discovered"]:
            item = out.setdefault(
                name,
                {
                    "id": name,
                    "providers": [],
                    "accounts": [],
                    "context_window": 400_000,
                    "input_usd_per_mtok": "1.25",
                    "output_usd_per_mtok": "10",
                    "levels": LEVELS.get(name, {}),
                    "capabilities": ["images", "thinking"] if name in LEVELS else [],
                },
            )
            item["providers"].append(row["provider"])
            item["accounts"].append(row["label"])
    for item in out.values():
        if ":" in item["id"] or "<" in item["id"]:
            item |= {"context_window": None, "input_usd_per_mtok": None, "output_usd_per_mtok": None}
    return {"models": list(out.values())}


@app.route("/api/config", methods=["GET", "POST"])
async def config() -> Any:
    if request.method == "POST":
        for name, value in (await request.get_json()).items():
            state.settings[name][2:4] = [value, "database"]
    names = ("name", "env", "value", "source", "help", "kind")
    defaults = {row[0]: row[2] for row in SETTINGS}
    more = {name: {"default": value, "choices": CHOICES.get(name, [])} for name, value in defaults.items()}
    rows = [dict(zip(names, row, strict=True)) | more.get(row[0], {"default": [], "choices": []}) for row in state.settings.values()]
    if state.name == "mixed":  # all of the product's own, as it tells them
        import mock_mixed

        rows = mock_mixed.settings({name: row[2] for name, row in state.settings.items() if row[3] == "database"})
    return {
        "settings": rows,
        **state.names,
    }


@app.route("/api/<any(aliases, chains):what>/<name>", methods=["PUT", "DELETE"])
async def names(what: str, name: str) -> Any:
    if "/" in name:
        return fail(400, "name: 1 to 64 characters without blanks.", "name")
    if request.method == "DELETE":
        state.names[what].pop(name)
        return {"name": name, "removed": True}
    (value,) = (await request.get_json()).values()
    state.names[what][name] = value
    return {"name": name}


@app.post("/v1/router/explain")
async def explain() -> Any:
    asked = (await request.get_json())["model"] or "auto"
    if asked == "nope":
        return fail(404, "No connected account serves a model named 'nope'.", "model", "model_not_found")
    ready = [row for row in state.accounts.values() if row["status"] in ("ready", "error")]
    attempts = [
        {
            "rank": place + 1,
            "account": row["label"],
            "provider": row["provider"],
            "model": (row["models"] or row["discovered"] or ["any"])[0],
            "level": "high" if place == 1 else "",
            "reason": f"priority {row['priority']}, first token after {300 + 40 * place} ms",
            "score": {"total": 41.0 - 30 * place, "parts": {"latency": 11.0, "affinity": 30.0, "load": -30.0 * place, "price": 0.0}},
        }
        for place, row in enumerate(ready)
    ]
    skipped = [
        {
            "account": row["label"],
            "provider": row["provider"],
            "model": "m",
            "reason": row["status_reason"] or "disabled",
            "until": (row["cooldown"] or {}).get("until"),
            "guess": False,
        }
        for row in state.accounts.values()
        if row not in ready
    ]
    told = {"requested": asked, "kind": "auto", "policy": "auto", "route": f"auto: {len(attempts)} candidates", "panic": False, "note": ""}
    return told | {"attempts": attempts, "skipped": skipped, "retry_after": None, "refusal": None}


@app.get("/api/backups")
async def backups() -> Any:
    return {"snapshots": [{"name": f"omni-{now() - HOUR}.db", "made_at": now() - HOUR, "bytes": 5_400_000}], "kept": 7, "every_h": 24}


@app.post("/v1/chat/completions")
async def chat() -> Any:
    who = state.secrets.get(request.headers.get("Authorization", "").removeprefix("Bearer "))
    if not who:
        return fail(401, "The omni-key is unknown.")
    body = await request.get_json()
    if body.get("stream"):
        return speak(state, body, {"id": who, "name": state.keys[who]["name"]})
    state.serial += 1
    used = next(iter(state.accounts.values()))
    row = settled(
        f"req_{999_500 + state.serial}x",
        now(),
        used,
        "auto",
        "demo-chat",
        key={"id": who, "name": state.keys[who]["name"]},
        cost={"usd": "0", "source": "demo"},
    )
    state.put_request(row | {"state": "open", "outcome": None, "duration_ms": None})
    await asyncio.sleep(0.15)
    state.put_request(row)
    beat = {"at": now(), "ok": True, "ms": 1180, "flag": None}
    state.accounts[used["id"]] = used | {"requests_today": used["requests_today"] + 1, "heartbeat": [*used["heartbeat"], beat]}
    return {
        "id": row["id"],
        "model": "auto",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello from the demo provider."}}],
    }


@app.post("/mock/<what>")
async def control(what: str) -> Any:
    body = await request.get_json(silent=True) or {}
    if what == "scenario":
        state.scenario(body["name"])
    elif what == "request":
        state.serial += 1
        first = next(iter(state.accounts.values()))
        state.put_request(settled(f"req_{999_500 + state.serial}x", now(), first, "auto", "gpt-5.1") | body)
    elif what == "stream":
        import mock_crowd

        await mock_crowd.stream(state, body["count"], body["per_second"])
    elif what == "account":
        state.accounts[body["id"]] = state.accounts[body["id"]] | body
        state.publish("account", state.accounts[body["id"]])
    elif what == "refuse":
        state.refuse = body["on"]
    elif what == "away":
        state.away = body["told"]
        state.publish("system", state.system())
    elif what == "nodes":
        state.nodes = body["names"]
        state.publish("system", state.system())
    elif what == "version":
        state.publish("version", body)
    elif what == "signout":
        state.signed_in = False
    if what in ("drop", "refuse", "signout"):
        for queue in list(state.listeners):
            queue.put_nowait(None)
    return {"calls": state.calls, "listeners": len(state.listeners)}


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--port", type=int, default=0)
    options.add_argument("--scenario", default="empty")
    chosen = options.parse_args()
    sock = socket.create_server(("127.0.0.1", chosen.port))
    state.port = sock.getsockname()[1]
    state.scenario(chosen.scenario)
    config = Config()
    config.bind = [f"fd://{sock.fileno()}"]
    config.accesslog = config.errorlog = None
    print(state.base_url, flush=True)
    asyncio.run(serve(serving, config))  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
