"""A client's Responses request → ChatRequest (`parse_request`).

null counts as absent. What has no place in ChatRequest is kept in `extra` under its own name: `include`, `store`,
`previous_response_id`, `conversation`, `prompt`, `truncation`, `background`, … and what is left of `text`, `reasoning` and
`tool_choice` where they say more than ChatRequest can hold.
"""

from __future__ import annotations

from typing import Any

from omni_connector.chat import ChatRequest, Json, OutputFormat, Sampling, Thinking, ToolChoice
from omni_connector.errors import bad_request
from omni_connector.wire.fields import Fields
from omni_connector.wire.openai_responses_items import parse_items
from omni_connector.wire.openai_responses_tools import Tools, choice_body, parse_choice
from omni_connector.wire.openai_responses_words import NAME

_ELSEWHERE = ("previous_response_id", "conversation", "prompt")
"""Fields by which a conversation is kept at the provider, so that `input` may be missing."""
LOGPROBS = "message.output_text.logprobs"
"""The value of `include` that asks for log probabilities."""


def parse_request(body: Json) -> ChatRequest:
    """Raises GatewayError (BAD_REQUEST with `param`) for every field of a wrong type, and nothing else.

    An absent `model` becomes "" (the default model). `instructions` become the first system message.
    """
    fields = Fields(body, "")
    extra: Json = {}
    tools = Tools()
    tools.declare(fields.take("tools"))
    elsewhere = any(fields.has(name) for name in _ELSEWHERE)
    given, instructions = fields.take("input"), fields.string("instructions")
    messages = parse_items(given, instructions, tools)
    if not elsewhere and not tools.as_items and len(messages) == (1 if instructions else 0):
        word = "missing" if given is None else "empty"
        raise bad_request(f"`input` is {word}. Send a string or a list of items that says something.", "input")
    output, verbosity = _text(fields, extra)
    user, safety = fields.string("user"), fields.string("safety_identifier")
    if user is not None and safety is not None:
        extra["safety_identifier"] = safety
    request = ChatRequest(
        wire=NAME,
        model=fields.string("model") or "",
        messages=messages,
        tools=tools.found,
        tool_choice=_choice(fields, extra, tools),
        parallel_tools=fields.boolean("parallel_tool_calls"),
        output=output,
        thinking=_thinking(fields, extra),
        sampling=_sampling(fields, body.get("include")),
        max_tokens=_max_tokens(fields),
        stream=fields.boolean("stream") or False,
        user=user if user is not None else safety,
        verbosity=verbosity,
        service_tier=fields.string("service_tier"),
        cache_key=fields.string("prompt_cache_key"),
        metadata=fields.object("metadata"),
        extra=extra,
    )
    extra.update(fields.rest())
    return request


# ---------------------------------------------------------------- Plain fields


def _max_tokens(fields: Fields) -> int | None:
    value = fields.integer("max_output_tokens")
    if value is not None and value < 1:
        raise bad_request(f"`max_output_tokens` is {value}. Send at least 1, or leave it out.", "max_output_tokens")
    return value


def _sampling(fields: Fields, include: Any) -> Sampling:
    """The other formats ask for log probabilities by a switch of its own."""
    top = fields.integer("top_logprobs")
    asked = bool(top) or (isinstance(include, list) and LOGPROBS in include)
    return Sampling(
        temperature=fields.number("temperature"), top_p=fields.number("top_p"), top_logprobs=top, logprobs=True if asked else None
    )


def _text(fields: Fields, extra: Json) -> tuple[OutputFormat | None, str | None]:
    """`text.format` and `text.verbosity`. An unknown format rides along whole."""
    value = fields.object("text")
    if value is None:
        return None, None
    text = Fields(value, "text")
    verbosity = text.string("verbosity")
    shape = text.object("format")
    output: OutputFormat | None = None
    rest: Json = {}
    if shape is not None:
        inner = Fields(shape, "text.format")
        kind = inner.required("type", '"json_schema"')
        match kind:
            case "text" | "json_object":
                output = OutputFormat(kind)
            case "json_schema":
                name, description = inner.string("name"), inner.string("description")
                output = OutputFormat("json_schema", name, inner.object("schema"), inner.boolean("strict"), description)
            case _:
                rest["format"] = shape
    rest.update(text.rest())
    if rest:
        extra["text"] = rest
    return output, verbosity


def _thinking(fields: Fields, extra: Json) -> Thinking | None:
    """`reasoning`. `summary` asks to read the thoughts, in one of the API's own degrees."""
    if not fields.has("reasoning"):
        return None
    inner = fields.inner("reasoning")
    effort = inner.string("effort")
    show = inner.string("summary") or inner.string("generate_summary")
    rest = inner.rest()
    if rest:
        extra["reasoning"] = rest
    return Thinking(effort=effort, show=show) if effort is not None or show is not None else None


def _choice(fields: Fields, extra: Json, tools: Tools) -> ToolChoice | None:
    """A choice that ToolChoice cannot hold in full (one tool of an MCP server, …) also stays as it came."""
    value = fields.take("tool_choice")
    choice = parse_choice(value, tools.names)
    if choice is not None and choice_body(choice, tools.found) != value:
        extra["tool_choice"] = value
    return choice
