"""What the ChatGPT backends want of a Responses request beyond the format (upstreams.md §6A and §6B).

Features: "codex_backend" (streamed, never stored, few settings, function names of at most 64 characters) and "namespaced_tools"
(functions and free-text tools stand in a namespace, calls name it). Roles and cache markers are `History`'s business.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from omni_connector.chat import ChatRequest, Json, Origin, Part, ReasoningPart, Tool, ToolCallPart
from omni_connector.wire.openai_responses_tools import book

REFUSED = frozenset(
    {
        *("max_output_tokens", "max_completion_tokens", "temperature", "top_p", "top_k", "top_logprobs", "truncation", "user"),
        *("metadata", "safety_identifier", "previous_response_id", "context_management", "prompt_cache_retention"),
        *("prompt_cache_options", "stream_options", "background", "conversation", "max_tool_calls"),
        *("moderation", "multi_agent", "prompt"),
    }
)
"""Fields that are answered with "Unsupported parameter"."""
TIER = "priority"
"""The only `service_tier` that is taken."""
ENCRYPTED_CONTENT = "reasoning.encrypted_content"
LONGEST_NAME = 64
NAMESPACE = "functions"
"""Codex's own name for the namespace of plain tools; models know it."""
RENAMED = {"web_search_preview": "web_search", "web_search_preview_2025_03_11": "web_search"}
UNREADABLE = "invalid_encrypted_content"
"""The error code that says: somebody else's thoughts are in the request."""

_OWN_TOOLS = frozenset({"function", "custom"})
_CALLS = frozenset({"function_call", "custom_tool_call"})
_NOBODY = Origin("", "")


def fit(body: Json, features: frozenset[str], dropped: dict[str, None]) -> None:
    """The rendered body as these backends take it; what had to go is named in `dropped`."""
    for name in sorted(REFUSED & body.keys()):
        del body[name]
        dropped[name] = None
    if not isinstance(body.get("instructions"), str):
        body["instructions"] = ""
    if body.get("service_tier", TIER) != TIER:
        del body["service_tier"]
        dropped["service_tier"] = None
    _fit_tools(body, "namespaced_tools" in features)
    include = body.get("include")
    given = include if isinstance(include, list) else []
    body["include"] = given if ENCRYPTED_CONTENT in given else [*given, ENCRYPTED_CONTENT]
    body["store"], body["stream"] = False, True


def _fit_tools(body: Json, namespaced: bool) -> None:
    if "tools" in body:
        body["tools"] = [_renamed(tool) for tool in _objects(body["tools"])]
    if isinstance(body.get("tool_choice"), dict):
        body["tool_choice"] = _renamed(body["tool_choice"])
    if namespaced:
        _into_namespace(body)
    if not body.get("tools") and not any(item.get("type") == "additional_tools" for item in _objects(body.get("input"))):
        body.pop("parallel_tool_calls", None)


def _renamed(said: Json) -> Json:
    kind = RENAMED.get(str(said.get("type")))
    return said if kind is None else {**said, "type": kind}


def _into_namespace(body: Json) -> None:
    """Tools that stand alone move into one namespace, and their earlier calls are said to be of it."""
    tools = _objects(body.get("tools"))
    alone = [tool for tool in tools if tool.get("type") in _OWN_TOOLS]
    if not alone:
        return
    rest = [tool for tool in tools if tool.get("type") not in _OWN_TOOLS]
    known = next((tool for tool in rest if tool.get("type") == "namespace" and tool.get("name") == NAMESPACE), None)
    space = known or {"type": "namespace", "name": NAMESPACE, "description": "", "tools": []}
    whole = {**space, "tools": [*_objects(space.get("tools")), *alone]}
    body["tools"] = [whole, *(tool for tool in rest if tool is not known)]
    names = {tool.get("name") for tool in alone}
    body["input"] = [
        {**item, "namespace": NAMESPACE} if item.get("type") in _CALLS and item.get("name") in names and "namespace" not in item else item
        for item in _objects(body.get("input"))
    ]


def _objects(value: Any) -> list[Json]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


# ---------------------------------------------------------------- Names that are too long


def short(name: str) -> str:
    """A name that fits, the same for the same tool in every turn: prompt caches depend on it."""
    if len(name) <= LONGEST_NAME:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[: LONGEST_NAME - 9]}_{digest}"


def with_short_names(request: ChatRequest) -> ChatRequest:
    """Tools, calls and the choice among them under names that fit. Tools of a client's own namespace keep theirs."""
    long = {tool.name for tool in request.tools if _is_long(tool)}
    if not long:
        return request

    def said(name: str) -> str:
        return short(name) if name in long else name

    def part(one: Part) -> Part:
        return replace(one, name=said(one.name)) if isinstance(one, ToolCallPart) else one

    choice = request.tool_choice
    if choice is not None:
        choice = replace(choice, name=choice.name and said(choice.name), allowed=tuple(map(said, choice.allowed)))
    return replace(
        request,
        tools=tuple(replace(tool, name=short(tool.name)) if _is_long(tool) else tool for tool in request.tools),
        tool_choice=choice,
        messages=tuple(replace(message, parts=tuple(map(part, message.parts))) for message in request.messages),
    )


def real_names(tools: Iterable[Tool]) -> dict[tuple[str, str], str]:
    """(namespace, name that an answer says) → the name that the tool has here."""
    return {(space, short(tool.name)): tool.name for tool in tools if _is_long(tool) for space in ("", NAMESPACE)}


def _is_long(tool: Tool) -> bool:
    return tool.kind != "foreign" and len(tool.name) > LONGEST_NAME and "name" not in book(tool)


# ---------------------------------------------------------------- Thoughts that nobody there can read


def without_secrets(request: ChatRequest) -> ChatRequest:
    """The request as if its encrypted thoughts were a stranger's: they are then left out, and named. For the one retry after
    UNREADABLE."""

    def strange(part: Part) -> Part:
        if not isinstance(part, ReasoningPart):
            return part
        return replace(part, opaque=tuple(replace(opaque, origin=_NOBODY) for opaque in part.opaque))

    messages = (replace(message, parts=tuple(map(strange, message.parts))) for message in request.messages)
    return replace(request, messages=tuple(messages))
