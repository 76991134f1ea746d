"""A client's chat request → ChatRequest (`parse_request`).

Accepted beside the API's own fields, because clients send them: `functions`/`function_call`, both `max_tokens` names,
OpenRouter's `reasoning`, the `thinking` toggle of DeepSeek, GLM and Kimi, Qwen's `enable_thinking`, `top_k`, `min_p`.
null counts as absent. What has no place in ChatRequest is kept in `extra`.
"""

from __future__ import annotations

from typing import Any

from omni_connector.chat import ChatRequest, Json, OutputFormat, Sampling, Thinking, Tool, ToolChoice
from omni_connector.errors import bad_request
from omni_connector.wire.fields import Fields, wrong
from omni_connector.wire.openai_chat_messages import parse_messages
from omni_connector.wire.openai_chat_words import LEGACY, NAME


def parse_request(body: Json) -> ChatRequest:
    """Raises GatewayError (BAD_REQUEST with `param`) for every field of a wrong type, and nothing else.

    An absent `model` becomes "" (the default model). `max_tokens` -1, as LM Studio's clients send it, means no limit.
    """
    fields = Fields(body, "")
    messages = parse_messages(fields.take("messages"))
    extra: Json = {}
    stream_options = Fields(fields.object("stream_options") or {}, "stream_options")
    include_usage = stream_options.boolean("include_usage") or False
    _keep(extra, "stream_options", stream_options)
    tools, choice, parallel = _tools(fields)
    user, safety = fields.string("user"), fields.string("safety_identifier")
    if user is not None and safety is not None:
        extra["safety_identifier"] = safety
    request = ChatRequest(
        wire=NAME,
        model=fields.string("model") or "",
        messages=messages,
        tools=tools,
        tool_choice=choice,
        parallel_tools=parallel,
        output=_output(fields, extra),
        thinking=_thinking(fields, extra),
        sampling=_sampling(fields),
        max_tokens=limit_of(fields),
        stop=stops_of(fields),
        stream=fields.boolean("stream") or False,
        include_usage=include_usage,
        user=user if user is not None else safety,
        verbosity=fields.string("verbosity"),
        service_tier=fields.string("service_tier"),
        cache_key=fields.string("prompt_cache_key"),
        metadata=fields.object("metadata"),
        extra=extra,
    )
    extra.update(fields.rest())
    return request


def _keep(extra: Json, name: str, inner: Fields) -> None:
    rest = inner.rest()
    if rest:
        extra[name] = rest


# ---------------------------------------------------------------- Plain fields


def limit_of(fields: Fields) -> int | None:
    """`max_tokens` under either of its names; the newer one wins. Raises GatewayError (BAD_REQUEST)."""
    limit: int | None = None
    for name in ("max_tokens", "max_completion_tokens"):
        value = fields.integer(name)
        if value is None or value == -1:
            continue
        if value < 1:
            raise bad_request(f"`{name}` is {value}. Send at least 1, or leave it out.", name)
        limit = value
    return limit


def stops_of(fields: Fields) -> tuple[str, ...]:
    """`stop`, one or several. Raises GatewayError (BAD_REQUEST)."""
    value = fields.take("stop")
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list):
        raise wrong("stop", value, "a string or a list of strings")
    for number, item in enumerate(value):
        if not isinstance(item, str):
            raise wrong(f"stop[{number}]", item, "a string")
    return tuple(value)


def _sampling(fields: Fields) -> Sampling:
    return Sampling(
        temperature=fields.number("temperature"),
        top_p=fields.number("top_p"),
        top_k=fields.integer("top_k"),
        min_p=fields.number("min_p"),
        seed=fields.integer("seed"),
        presence_penalty=fields.number("presence_penalty"),
        frequency_penalty=fields.number("frequency_penalty"),
        logit_bias=fields.object("logit_bias"),
        logprobs=fields.boolean("logprobs"),
        top_logprobs=fields.integer("top_logprobs"),
        n=fields.integer("n"),
    )


def _output(fields: Fields, extra: Json) -> OutputFormat | None:
    """An unknown type (a grammar of some host) rides along whole."""
    value = fields.object("response_format")
    if value is None:
        return None
    outer = Fields(value, "response_format")
    kind = outer.required("type", '"json_schema"')
    match kind:
        case "text" | "json_object":
            return OutputFormat(kind)
        case "json_schema":
            inner = outer.inner("json_schema")
            name, description = inner.string("name"), inner.string("description")
            return OutputFormat("json_schema", name, inner.object("schema"), inner.boolean("strict"), description)
        case _:
            extra["response_format"] = value
            return None


def _thinking(fields: Fields, extra: Json) -> Thinking | None:
    """Four dialects of one wish; the later ones in this order win where they say the same thing twice."""
    effort = fields.string("reasoning_effort")
    enabled: bool | None = None
    budget: int | None = None
    adaptive = False
    show: str | None = None
    if fields.has("reasoning"):
        inner = fields.inner("reasoning")
        effort = inner.string("effort") or effort
        budget, enabled = inner.integer("max_tokens"), inner.boolean("enabled")
        show = "omitted" if inner.boolean("exclude") else None
        _keep(extra, "reasoning", inner)
    toggle = fields.take("thinking")
    if isinstance(toggle, dict):
        inner = Fields(toggle, "thinking")
        kind = inner.string("type")
        enabled = enabled if kind is None else kind != "disabled"
        adaptive = kind in {"adaptive", "auto"}
        effort = inner.string("effort") or effort
        budget = inner.integer("budget_tokens") or budget
        _keep(extra, "thinking", inner)
    elif toggle is not None:
        extra["thinking"] = toggle
    switch = fields.boolean("enable_thinking")
    enabled = enabled if switch is None else switch
    budget = fields.integer("thinking_budget") or budget
    if effort is None and enabled is None and budget is None and show is None:
        return None
    return Thinking(enabled, effort, budget, adaptive, show)


# ---------------------------------------------------------------- Tools


def _tools(fields: Fields) -> tuple[tuple[Tool, ...], ToolChoice | None, bool | None]:
    tools = tuple(_tool(item, f"tools[{number}]") for number, item in enumerate(fields.items("tools") or ()))
    choice = _choice(fields.take("tool_choice"), "tool_choice")
    parallel = fields.boolean("parallel_tool_calls")
    functions = fields.items("functions")
    legacy_choice = fields.take("function_call")
    if not functions:
        return tools, choice, parallel
    legacy = tuple(_function(Fields(item, f"functions[{number}]"), legacy=True) for number, item in enumerate(functions))
    if choice is None and legacy_choice is not None:
        choice = _choice(legacy_choice, "function_call")
    # The old dialect holds one call an answer; more could not be told to the client.
    return (*tools, *legacy), choice, False


def _tool(value: Any, at: str) -> Tool:
    """Functions, also in the flat form that some editors send ({"type": "function", "name", "parameters"})."""
    fields = Fields(value, at)
    kind = fields.string("type") or "function"
    cache = fields.object("cache_control")
    match kind:
        case "function":
            flat = not fields.has("function")
            inner = fields if flat else fields.inner("function")
            rest = {} if flat else fields.rest()
            return _function(inner, cache=cache, outer=rest)
        case "custom":
            inner = fields.inner("custom")
            name, description = inner.required("name", '"run"'), inner.string("description")
            form = inner.object("format")
            return Tool("custom", name, description, format=form, cache=cache, extra=_extra(fields.rest(), "custom", inner))
        case _:
            return Tool("foreign", kind, wire=NAME, raw=value)


def _function(fields: Fields, *, cache: Json | None = None, outer: Json | None = None, legacy: bool = False) -> Tool:
    name = fields.required("name", '"get_weather"')
    description, schema, strict = fields.string("description"), fields.object("parameters"), fields.boolean("strict")
    raw = {LEGACY: True} if legacy else {}
    return Tool("function", name, description, schema, strict, cache=cache, raw=raw, extra=_extra(outer or {}, "function", fields))


def _extra(outer: Json, key: str, inner: Fields) -> Json:
    rest = inner.rest()
    return {**outer, key: rest} if rest else outer


def _choice(value: Any, param: str) -> ToolChoice | None:
    if value is None:
        return None
    if isinstance(value, str):
        match value:
            case "auto" | "none" | "required":
                return ToolChoice(value)
            case "any":
                return ToolChoice("required")
            case _:
                raise bad_request(f"`{param}` is {value[:40]!r}. Use auto, none, required or name one tool.", param)
    if not isinstance(value, dict):
        raise wrong(param, value, "a string or an object")
    fields = Fields(value, param)
    kind = fields.string("type") or "function"
    match kind:
        case "function" | "custom":
            inner = fields.inner(kind) if fields.has(kind) else fields
            return ToolChoice("named", inner.required("name", '"get_weather"'))
        case "auto" | "none" | "required":
            return ToolChoice(kind)
        case "allowed_tools":
            return _allowed(fields, value)
        case _:
            raise bad_request(f"`{param}.type` is {kind[:40]!r}. Use function, custom or allowed_tools.", f"{param}.type")


def _allowed(fields: Fields, raw: Json) -> ToolChoice:
    inner = fields.inner("allowed_tools") if fields.has("allowed_tools") else fields
    path = inner.path("mode")
    mode = inner.string("mode") or "auto"
    if mode not in {"auto", "required"}:
        raise bad_request(f"`{path}` is {mode[:40]!r}. Use auto or required.", path)
    names = []
    listed = inner.path("tools")
    for number, item in enumerate(inner.items("tools") or ()):
        tool = Fields(item, f"{listed}[{number}]")
        kind = tool.string("type") or "function"
        names.append((tool.inner(kind) if tool.has(kind) else tool).required("name", '"get_weather"'))
    return ToolChoice("required" if mode == "required" else "auto", allowed=tuple(names), raw=raw)
