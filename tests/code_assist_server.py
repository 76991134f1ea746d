"""Google's Code Assist endpoint and Antigravity's variant as a test's upstream: strict about what it is sent, scripted in what it says.

    google = CodeAssist(variant=True)
    google.says = [answer, …]            # Gemini answers (tests.live.answers_more); they are put into the envelope
    rig.upstream.answer(google)          # as a server, or
    await set_up(account, google.ask)    # without a network

Envelopes, set-up calls and errors follow the recordings and gemini-cli's own types; a body with a field that they do not have is
answered with 400, as the real one does.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from omni_connector.upstream import UpstreamRequest
from tests.serving import Answer, Seen, whole

Json = dict[str, Any]

TOKEN, PROJECT = "ya29.token-of-the-test", "calm-river-123456"
SKIP = "skip_thought_signature_validator"
PLAIN = {"model", "project", "user_prompt_id", "request"}
VARIANT = {"model", "project", "userAgent", "requestType", "requestId", "request"}
INSIDE = {"contents", "systemInstruction", "tools", "toolConfig", "safetySettings", "labels", "cachedContent", "generationConfig"}
DOMAIN = "cloudcode-pa.googleapis.com"


def google_error(status: int, word: str, message: str, reason: str = "", **metadata: str) -> Answer:
    details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": DOMAIN, "metadata": metadata}]
    return whole({"error": {"code": status, "message": message, "status": word, **({"details": details} if reason else {})}}, status)


class Refused(Exception):
    """What the strict reader does not take."""


@dataclass
class CodeAssist:
    """`tier`: what the account has, None before it is onboarded. `needs`: how often onboarding is asked about before it is done."""

    variant: bool = False
    says: list[Answer] = field(default_factory=list)
    token: str = TOKEN
    project: str = PROJECT
    tier: Json | None = field(default_factory=lambda: {"id": "standard-tier", "name": "Gemini Code Assist"})
    loaded: Json = field(default_factory=dict)
    """More fields of the answer to `:loadCodeAssist`."""
    needs: int = 0
    onboarded: Any = field(default_factory=lambda: {"id": PROJECT})
    """The project that an onboarding ends with."""
    listed: Json = field(default_factory=dict)
    """`:fetchAvailableModels`."""
    quota: Json = field(default_factory=dict)
    """`:retrieveUserQuota` and `:retrieveUserQuotaSummary`."""
    tokens: int = 11
    seen: list[tuple[str, Json]] = field(default_factory=list)
    """(call, body) of everything that was asked."""

    def __call__(self, seen: Seen) -> Answer:
        return self._answer(seen.path, seen.headers, seen.body)

    async def ask(self, request: UpstreamRequest) -> tuple[int, Mapping[str, str], bytes]:
        body = json.loads(request.body) if request.body else {}
        answer = self._answer(urlsplit(request.url).path, request.headers, body)
        return answer.status, answer.headers, b"".join(piece for piece in answer.pieces if isinstance(piece, bytes))

    def bodies(self, call: str) -> list[Json]:
        return [body for name, body in self.seen if name == call]

    def _answer(self, path: str, headers: Mapping[str, str], body: Json) -> Answer:
        call = path.removeprefix("/v1internal").lstrip(":/")
        self.seen.append((call, body))
        if headers.get("authorization") != f"Bearer {self.token}":
            return google_error(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.", "ACCESS_TOKEN_EXPIRED")
        try:
            return self._calls(call, body)
        except Refused as refused:
            return google_error(400, "INVALID_ARGUMENT", str(refused))

    def _calls(self, call: str, body: Json) -> Answer:
        match call:
            case "generateContent" | "streamGenerateContent":
                self._check(body)
                return _wrapped(self.says.pop(0) if len(self.says) > 1 else self.says[0])
            case "countTokens":
                _only(body, {"request"})
                _only(body["request"], {"model", "contents"})
                if not body["request"]["model"].startswith("models/") or any("thought" in part for part in _parts(body["request"])):
                    raise Refused("thoughts cannot be counted")
                return whole({"totalTokens": self.tokens})
            case "loadCodeAssist":
                project = {"cloudaicompanionProject": self.project} if self.tier and self.project else {}
                return whole({**({"currentTier": self.tier} if self.tier else {}), **project, **self.loaded})
            case "onboardUser":
                return self._onboard(body)
            case "fetchAvailableModels":
                return whole({"models": self.listed})
            case "retrieveUserQuota" | "retrieveUserQuotaSummary":
                return whole(self.quota)
            case _ if call.startswith("operations/"):
                return whole(self._operation())
        return google_error(404, "NOT_FOUND", f"no method {call}")

    def _onboard(self, body: Json) -> Answer:
        tier = body.get("tier_id" if self.variant else "tierId")
        if tier == "free-tier" and (body.get("cloudaicompanionProject") or body.get("cloudaicompanion_project")):
            return google_error(400, "FAILED_PRECONDITION", "Precondition Failed")
        return whole(self._operation())

    def _operation(self) -> Json:
        if self.needs:
            self.needs -= 1
            return {"name": "operations/op-1"}
        return {"name": "operations/op-1", "done": True, "response": {"cloudaicompanionProject": self.onboarded}}

    # ------------------------------------------------------------ What it takes

    def _check(self, body: Json) -> None:
        _only(body, VARIANT if self.variant else PLAIN)
        request = body["request"]
        _only(request, INSIDE | ({"sessionId"} if self.variant else {"session_id"}))
        if body.get("project") != self.project:
            raise Refused(f"the project {body.get('project')!r} is not yours")
        if request["contents"][0]["role"] != "user":
            raise Refused("the conversation must begin with a user turn")
        claude = "claude" in body["model"]
        if self.variant:
            self._check_variant(request, claude)
        if not claude:
            _check_signatures(request["contents"])

    def _check_variant(self, request: Json, claude: bool) -> None:
        if "safetySettings" in request:
            raise Refused("safetySettings")
        functions = [one for tool in request.get("tools", ()) for one in tool.get("functionDeclarations", ())]
        if any("parametersJsonSchema" in function for function in functions):
            raise Refused("parametersJsonSchema")
        config = request.get("generationConfig", {})
        if not claude:
            return
        for node in [node for function in functions for node in _nodes(function.get("parameters"))]:
            if "enum" in node or "default" in node or (node.get("type") == "OBJECT" and not node.get("required")):
                raise Refused(f"tools.0.custom.input_schema: {node}")
        mode = request.get("toolConfig", {}).get("functionCallingConfig", {}).get("mode")
        if functions and mode not in ("VALIDATED", "NONE"):
            raise Refused(f"mode {mode}")
        budget, limit = config.get("thinkingConfig", {}).get("thinkingBudget"), config.get("maxOutputTokens")
        if "thinkingLevel" in config.get("thinkingConfig", {}):
            raise Refused("thinkingLevel")
        if budget is not None and (budget < 1024 or (limit is not None and budget >= limit)):
            raise Refused("`max_tokens` must be greater than `thinking.budget_tokens`")


def _only(body: Json, known: set[str]) -> None:
    for name in body:
        if name not in known:
            raise Refused(f'Invalid JSON payload received. Unknown name "{name}": Cannot find field.')


def _parts(request: Json) -> Iterator[Json]:
    return (part for content in request["contents"] for part in content["parts"])


def _nodes(schema: Any) -> Iterator[Json]:
    """The schema and all schemas in it."""
    if not isinstance(schema, dict):
        raise Refused("a function without parameters")
    yield schema
    inner = [*schema.get("properties", {}).values(), *schema.get("anyOf", ()), *([schema["items"]] if "items" in schema else [])]
    for one in inner:
        yield from _nodes(one)


def _check_signatures(contents: list[Json]) -> None:
    """Recorded: a call that is shown again must carry its signature, or the placeholder."""
    for content in contents:
        first = next((part for part in content["parts"] if "functionCall" in part), None)
        if first is not None and not first.get("thoughtSignature"):
            raise Refused("Function call is missing a thought_signature in functionCall parts.")


# ---------------------------------------------------------------- What it says


def _wrapped(answer: Answer) -> Answer:
    """A Gemini answer in the envelope; an error stays as it is."""
    if answer.status != 200:
        return answer
    raw = b"".join(piece for piece in answer.pieces if isinstance(piece, bytes))
    if not raw.startswith(b"data:"):
        return whole(_envelope(json.loads(raw)))
    events = [json.loads(event.removeprefix(b"data: ")) for event in raw.split(b"\r\n\r\n") if event.strip()]
    told: list[bytes | float] = [f"data: {json.dumps(_envelope(event))}\r\n\r\n".encode() for event in events]
    return Answer(200, answer.headers, told)


def _envelope(response: Json) -> Json:
    return {"response": response, "traceId": "3ec61beb8b9d4f04", "metadata": {}}
