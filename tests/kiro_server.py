"""Kiro's service as a test's upstream: strict about what it is sent, scripted in what it says.

    kiro = Kiro()
    kiro.says = [told(Said("Hello")), …]      # event streams, or `refusal(…)`
    rig.upstream.answer(kiro)

What it refuses is what peers were refused for (upstreams.md §9), with the words that AWS has for everything: "Improperly formed request."
"""

from __future__ import annotations

import base64
import json
import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.event_frames import event, exception
from tests.live.answers import Said, pieces
from tests.serving import Answer, Seen, whole

Json = dict[str, Any]

KEY = "ksk_key-of-the-test-0123456789"
ARN = "arn:aws:codewhisperer:eu-central-1:123456789012:profile/ABCDEF"
CONTENT_TYPE = "application/vnd.amazon.eventstream"
PATTERN = re.compile(r"[a-zA-Z][a-zA-Z0-9_-]{0,63}")
FORMATS = {"png", "jpeg", "gif", "webp"}


class Refused(Exception):
    """What the strict reader does not take."""


def refusal(status: int, name: str, message: str, reason: str = "", **more: Any) -> Answer:
    body = {"__type": f"com.amazon.aws.codewhisperer#{name}", "message": message, **({"reason": reason} if reason else {}), **more}
    return whole(body, status, x_amzn_errortype=f"{name}:http://internal.amazon.com/")


# ---------------------------------------------------------------- What it says


def frames(said: Said, stop: str = "") -> Iterator[bytes]:
    """The frames of an answer, the ones that nobody needs among them."""
    yield event("messageMetadataEvent", {"conversationId": "c-1", "utteranceId": "u-1"})
    for piece in pieces(said.thoughts):
        yield event("reasoningContentEvent", {"text": piece})
    if said.signature:
        yield event("reasoningContentEvent", {"signature": said.signature})
    for piece in pieces(said.text):
        yield event("assistantResponseEvent", {"content": piece, "modelId": "claude-sonnet-4.5"})
    for call in said.calls:
        head = {"toolUseId": call.id, "name": call.name}
        yield event("toolUseEvent", head)
        for piece in pieces(json.dumps(call.arguments)) if call.arguments else []:
            yield event("toolUseEvent", {**head, "input": piece})
        yield event("toolUseEvent", {**head, "stop": True})
    yield event("contextUsageEvent", {"contextUsagePercentage": 1.5})
    yield event("meteringEvent", {"usage": 0.25, "unit": "credit", "unitPlural": "credits"})
    if stop:
        yield event("metadataEvent", {"stopReason": stop})


def stream(data: bytes, *, size: int = 1000, cut: bool = False) -> Answer:
    told: list[bytes | float] = [data[at : at + size] for at in range(0, len(data), size)]
    return Answer(200, {"content-type": CONTENT_TYPE}, told, cut)


def told(said: Said, stop: str = "", size: int = 100) -> Answer:
    """`size`: bytes of a piece; frames are split wherever that is."""
    return stream(b"".join(frames(said, stop)), size=size)


def failing(said: Said, name: str, message: str) -> Answer:
    """Begins well, and ends in an exception a moment later."""
    begun: list[bytes | float] = [event("assistantResponseEvent", {"content": piece}) for piece in pieces(said.text)]
    return Answer(200, {"content-type": CONTENT_TYPE}, [*begun, 0.05, exception(name, {"message": message})])


# ---------------------------------------------------------------- What it takes


def check(body: Json) -> None:
    """Raises Refused for what the service does not take."""
    _only(body, {"conversationState", "profileArn", "inferenceConfig"})
    _only(body.get("inferenceConfig", {}), {"maxTokens", "temperature"})
    state = body["conversationState"]
    _only(state, {"chatTriggerType", "conversationId", "agentTaskType", "currentMessage", "history"})
    uuid.UUID(state["conversationId"])
    turns = [*state["history"], state["currentMessage"]]
    used: set[str] = set()
    waiting: list[str] = []
    for number, turn in enumerate(turns):
        ((kind, said),) = turn.items()
        if kind != ("assistantResponseMessage" if number % 2 else "userInputMessage"):
            raise Refused("history must alternate")
        if not isinstance(said["content"], str) or not said["content"].strip():
            raise Refused("content must not be empty")
        if number % 2:
            waiting = _check_assistant(said, used)
        else:
            _check_user(said, waiting, last=number == len(turns) - 1)
    if len(turns) % 2 == 0:
        raise Refused("the user speaks last")
    offered = state["currentMessage"]["userInputMessage"].get("userInputMessageContext", {}).get("tools")
    if used and not offered:
        raise Refused("toolUses without tools")


def _check_user(said: Json, waiting: list[str], *, last: bool) -> None:
    _only(said, {"content", "modelId", "origin", "images", "userInputMessageContext"})
    if said["origin"] not in ("AI_EDITOR", "CLI"):
        raise Refused("origin")
    context = said.get("userInputMessageContext", {})
    _only(context, {"tools", "toolResults"} if last else {"toolResults"})
    results = [result["toolUseId"] for result in context.get("toolResults", ())]
    if sorted(results) != sorted(waiting):
        raise Refused(f"results {results} of calls {waiting}")
    for result in context.get("toolResults", ()):
        _only(result, {"toolUseId", "status", "content"})
        if result["status"] not in ("success", "error") or not result["content"]:
            raise Refused(f"result {result}")
        if not all(piece.keys() == {"text"} and piece["text"].strip() for piece in result["content"]):
            raise Refused(f"result {result}")
    for image in said.get("images", ()):
        if image["format"] not in FORMATS or not base64.b64decode(image["source"]["bytes"], validate=True):
            raise Refused("image")
    names = [_check_tool(tool["toolSpecification"]) for tool in context.get("tools", ())]
    if len(set(names)) != len(names):
        raise Refused("two tools of one name")


def _check_assistant(said: Json, used: set[str]) -> list[str]:
    _only(said, {"content", "toolUses", "reasoningContent"})
    names = [call["toolUseId"] for call in said.get("toolUses", ())]
    if len(set(names)) != len(names) or used & set(names):
        raise Refused("a toolUseId is used twice")
    used.update(names)
    for call in said.get("toolUses", ()):
        if (
            not PATTERN.fullmatch(call["name"])
            or not isinstance(call["input"], dict)
            or not re.fullmatch(r"[\w-]{1,64}", call["toolUseId"])
        ):
            raise Refused(f"call {call}")
    return names


def _check_tool(tool: Json) -> str:
    _only(tool, {"name", "description", "inputSchema"})
    if not PATTERN.fullmatch(tool["name"]) or not 0 < len(tool["description"].encode()) <= 10_240:
        raise Refused(f"tool {tool['name'][:80]}")
    if "additionalProperties" in tool["inputSchema"]["json"] or tool["inputSchema"]["json"].get("required") == []:
        raise Refused("schema")
    return str(tool["name"])


def _only(value: Json, known: set[str]) -> None:
    if value.keys() - known:
        raise Refused(f"unknown: {sorted(value.keys() - known)}")


# ---------------------------------------------------------------- The server


@dataclass
class Kiro:
    """`good`: whether it knows a bearer token. `profile`: the ARN that calls of a signed-in account must name; keys name none."""

    says: list[Answer] = field(default_factory=list)
    good: Callable[[str], bool] = lambda token: token == KEY
    profile: str = ""
    models: tuple[str, ...] = ("auto", "claude-sonnet-4.5")
    limits: Json = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def __call__(self, seen: Seen) -> Answer:
        self.seen.append(seen)
        token = seen.headers.get("authorization", "").removeprefix("Bearer ")
        if not self.good(token):
            return refusal(403, "AccessDeniedException", "The bearer token included in the request is invalid.")
        if token.startswith("ksk_") != (seen.headers.get("tokentype") == "API_KEY"):
            return refusal(403, "AccessDeniedException", "User is not authorized to make this call.")
        if seen.path == "/ListAvailableModels":
            return whole({"models": [{"modelId": name, "modelName": name.title(), "rateMultiplier": 1.0} for name in self.models]})
        if seen.path == "/getUsageLimits":
            return whole(self.limits)
        if seen.path != "/generateAssistantResponse":
            return refusal(404, "UnknownOperationException", "")
        try:
            check(seen.body)
            if seen.body.get("profileArn", "") != self.profile:
                raise Refused("profileArn")
        except (Refused, KeyError, TypeError, ValueError) as error:
            self.refused.append(repr(error))
            return refusal(400, "ValidationException", "Improperly formed request.")
        return self.says.pop(0) if len(self.says) > 1 else self.says[0]

    @property
    def bodies(self) -> list[Json]:
        return [seen.body for seen in self.seen if seen.path == "/generateAssistantResponse"]
