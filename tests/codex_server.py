"""The ChatGPT backends as a test's upstream: strict about what they are sent, scripted in what they say (reference §6A and §6B).

    codex = Codex()                       # or Codex(plan=True): the one behind Sign in with ChatGPT
    codex.says = [responses_stream(…)]    # answers as the API gives them; the backend's own habits are put in
    rig.upstream.answer(codex)

Its habits: a stream always, `response.completed` without output, events of its own, quota headers. What the reference lists as refused
is refused here with the backend's 400, and a thought that is not its own with `invalid_encrypted_content`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any

from tests.serving import Answer, Seen, whole

Json = dict[str, Any]

TOKEN, ACCOUNT = "eyJ.codex.token", "acct-7"
TAKEN = {"model", "instructions", "input", "tools", "tool_choice", "parallel_tool_calls", "reasoning", "store", "stream", "include"}
TAKEN |= {"prompt_cache_key", "text", "service_tier", "client_metadata"}
ROLES = {"developer", "user", "assistant"}
QUOTA = {
    "x-codex-primary-used-percent": "12.5",
    "x-codex-primary-window-minutes": "300",
    "x-codex-primary-reset-at": "4102444800",
    "x-codex-secondary-used-percent": "40",
    "x-codex-secondary-window-minutes": "10080",
    "x-codex-secondary-reset-at": "4102448400",
}


class Refused(Exception):
    """What the strict reader does not take."""


def refusal(status: int, code: str = "", *, kind: str = "invalid_request_error", message: str = "refused", **more: Any) -> Answer:
    return whole({"error": {"type": kind, "message": message, "param": None, **({"code": code} if code else {}), **more}}, status)


def limited(resets_at: int) -> Answer:
    more: Json = {"plan_type": "plus", "resets_at": resets_at, "resets_in_seconds": None}
    return refusal(429, kind="usage_limit_reached", message="The usage limit has been reached", **more)


def failing(code: str, **more: Any) -> Answer:
    """The same, told inside a stream of status 200."""
    error = {"code": code, "message": f"{code} says the backend", **more}
    events: list[Json] = [
        {"type": "response.created", "response": {"id": "resp_1", "model": "gpt-5.5", "status": "in_progress", "output": []}},
        {"type": "codex.rate_limits", "rate_limits": {"primary": {"used_percent": 100}}},
        {"type": "response.failed", "response": {"id": "resp_1", "status": "failed", "error": error, "output": []}},
    ]
    return Answer(200, {"content-type": "text/event-stream"}, [_event(event) for event in events])


@dataclass
class Codex:
    plan: bool = False
    says: list[Answer] = field(default_factory=list)
    token: str = TOKEN
    thoughts: set[str] = field(default_factory=lambda: {"gAAAA-mine"})
    """Encrypted thoughts that it can read."""
    seen: list[Json] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    def __call__(self, seen: Seen) -> Answer:
        self.headers.append(seen.headers)
        if seen.headers.get("authorization") != f"Bearer {self.token}":
            return refusal(401, "token_expired", message="Your authentication token has expired.")
        if not self.plan and seen.headers.get("chatgpt-account-id") != ACCOUNT:
            return whole({"detail": "Unauthorized workspace"}, 403)
        if not seen.path.endswith("/responses"):
            return whole({"detail": "Not Found"}, 404)
        self.seen.append(seen.body)
        try:
            self._check(seen.body)
        except Refused as refused:
            return refusal(400, "subscription_sharing_unsupported_capability" if self.plan else "", message=str(refused))
        if any(item.get("encrypted_content") not in (None, *self.thoughts) for item in seen.body["input"]):
            return refusal(400, "invalid_encrypted_content", message="The encrypted content could not be verified.")
        return self._told(self.says.pop(0) if len(self.says) > 1 else self.says[0])

    # ------------------------------------------------------------ What it takes

    def _check(self, body: Json) -> None:
        for name in body.keys() - TAKEN:
            raise Refused(f"Unsupported parameter: {name}")
        if (body.get("store"), body.get("stream")) != (False, True):
            raise Refused("Store must be set to false, Stream must be set to true")
        if not isinstance(body.get("instructions"), str) or not isinstance(body.get("input"), list):
            raise Refused("Instructions are required, Input must be a list")
        if body.get("service_tier", "priority") != "priority":
            raise Refused("Unsupported service_tier")
        if "parallel_tool_calls" in body and not body.get("tools"):
            raise Refused("parallel_tool_calls without tools")
        for item in body["input"]:
            if item.get("type", "message") == "message" and item["role"] not in ROLES:
                raise Refused("System messages are not allowed")
            if "prompt_cache_breakpoint" in json.dumps(item):
                raise Refused("Unsupported parameter: prompt_cache_breakpoint")
            if self.plan and item["type"] == "function_call" and body.get("tools") and not item.get("namespace"):
                raise Refused("a call outside of a namespace")
        for tool in body.get("tools", ()):
            self._check_tool(tool, inside=False)

    def _check_tool(self, tool: Json, *, inside: bool) -> None:
        kind = tool["type"]
        if kind == "web_search_preview":
            raise Refused("Unsupported tool type: web_search_preview")
        if kind == "namespace":
            for one in tool["tools"]:
                self._check_tool(one, inside=True)
        elif kind in ("function", "custom"):
            if len(tool["name"]) > 64:
                raise Refused("tools[0].name: string too long")
            if self.plan and not inside:
                raise Refused("tools[0].type: function tools go inside namespaces")

    # ------------------------------------------------------------ What it says

    def _told(self, answer: Answer) -> Answer:
        """Its stream, told as this backend tells it."""
        if answer.status != 200:
            return answer
        events = [json.loads(line[5:]) for line in _lines(answer) if line.startswith(b"data:")]
        told = [events[0], {"type": "codex.response.metadata", "x": 1}, {"type": "codex.rate_limits", "rate_limits": {}}, *events[1:]]
        pieces = [_event(self._as_here(event)) for event in told]
        headers = {} if self.plan else {**answer.headers, **QUOTA}
        return replace(answer, headers=headers, pieces=list(pieces))

    def _as_here(self, event: Json) -> Json:
        if event["type"] == "response.completed":
            return {**event, "response": {**event["response"], "output": []}}
        if self.plan and event["type"].startswith("response.output_item") and event["item"]["type"] == "function_call":
            return {**event, "item": {**event["item"], "namespace": "functions"}}
        return event


def _lines(answer: Answer) -> list[bytes]:
    return b"".join(piece for piece in answer.pieces if isinstance(piece, bytes)).split(b"\n")


def _event(event: Json) -> bytes:
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
