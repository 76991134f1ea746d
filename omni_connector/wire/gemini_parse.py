"""A Gemini generateContent request → ChatRequest (client's side).

The model and whether to stream stand in the URL, so the caller puts them into the body as `model` and `stream`. Both
spellings of every field of the format are taken (clients.md, finding 16); null counts as absent. What has no place in
ChatRequest is kept in `extra` under its camelCase name.
"""

from __future__ import annotations

from typing import Any

from omni_connector.chat import ChatRequest, Json, OutputFormat, Sampling, Thinking, Tool, ToolChoice
from omni_connector.errors import GatewayError, bad_request
from omni_connector.wire.fields import Fields, name_of, wrong
from omni_connector.wire.gemini_contents import Contents
from omni_connector.wire.gemini_schema import to_json_schema
from omni_connector.wire.gemini_words import MODE_NUMBERS, NAME, camel, word_of

_JSON_TYPE = "application/json"


def parse_request(body: Json, stream: bool | None = None) -> ChatRequest:
    """Raises GatewayError (BAD_REQUEST with `param`) and nothing else, for any JSON value."""
    try:
        return _parse(body, stream)
    except RecursionError:
        raise bad_request("The body is nested too deeply. Flatten it; about 1000 levels is the most JSON readers take.") from None


def _parse(body: Any, stream: bool | None) -> ChatRequest:
    if not isinstance(body, dict):
        raise bad_request(f"The body must be a JSON object with `contents`, not {name_of(body)}.")
    fields = Fields(camel(body), "")
    model = fields.string("model") or ""
    streamed = fields.boolean("stream") or False
    contents = Contents()
    system = contents.system(fields.take("systemInstruction"), "systemInstruction")
    messages = (*system, *contents.messages(fields.take("contents")))
    if not messages:
        raise bad_request("`contents` has no words and no files. Send at least one part with text.", "contents")
    extra: Json = {}
    config = _inner(fields, "generationConfig")
    request = ChatRequest(
        wire=NAME,
        model=model.removeprefix("models/"),
        messages=messages,
        tools=_tools(fields.take("tools")),
        tool_choice=_tool_choice(_inner(fields, "toolConfig"), extra),
        output=_output(config, extra),
        thinking=_thinking(_inner(config, "thinkingConfig"), extra),
        sampling=_sampling(config),
        max_tokens=config.integer("maxOutputTokens"),
        stop=_strings(config, "stopSequences"),
        stream=streamed if stream is None else stream,
        include_usage=True,
        extra=extra,
    )
    _keep(extra, "generationConfig", config.rest())
    extra.update(fields.rest())
    return request


def _keep(extra: Json, key: str, values: Json) -> None:
    if values:
        extra[key] = {**values, **extra.get(key, {})}


def _inner(fields: Fields, key: str) -> Fields:
    value = fields.object(key) or {}
    return Fields(camel(value), fields.path(key))


def _strings(fields: Fields, key: str) -> tuple[str, ...]:
    at = fields.path(key)
    value = fields.take(key)
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    raise wrong(at, value, "a list of strings")


# ---------------------------------------------------------------- generationConfig


def _sampling(config: Fields) -> Sampling:
    return Sampling(
        temperature=config.number("temperature"),
        top_p=config.number("topP"),
        top_k=config.integer("topK"),
        seed=config.integer("seed"),
        presence_penalty=config.number("presencePenalty"),
        frequency_penalty=config.number("frequencyPenalty"),
        logprobs=config.boolean("responseLogprobs"),
        top_logprobs=config.integer("logprobs"),
        n=config.integer("candidateCount"),
    )


def _output(config: Fields, extra: Json) -> OutputFormat | None:
    """A media type we have no word for (text/x.enum) stays in `extra`, together with its schema."""
    kind = config.string("responseMimeType")
    if kind not in (None, _JSON_TYPE, "text/plain"):
        _keep(extra, "generationConfig", {"responseMimeType": kind})
        return None
    json_schema, schema = config.object("responseJsonSchema"), config.object("responseSchema")
    if json_schema is None and schema is not None:
        json_schema = to_json_schema(schema)
    if kind == "text/plain":
        return OutputFormat("text")
    if json_schema is not None:
        return OutputFormat("json_schema", schema=json_schema)
    return None if kind is None else OutputFormat("json_object")


def _thinking(config: Fields, extra: Json) -> Thinking | None:
    """Budget 0 is off, -1 the model's own choice."""
    budget, level, include = config.integer("thinkingBudget"), config.string("thinkingLevel"), config.boolean("includeThoughts")
    if config.rest():
        _keep(extra, "generationConfig", {"thinkingConfig": config.rest()})
    if level == "THINKING_LEVEL_UNSPECIFIED":
        level = None
    if budget is None and level is None and include is None:
        return None
    show = None if include is None else "summarized" if include else "omitted"
    enabled = None if budget is None and level is None else budget != 0
    return Thinking(enabled, level.lower() if level else None, None if budget == -1 else budget, budget == -1, show)


# ---------------------------------------------------------------- Tools


def _tools(value: Any) -> tuple[Tool, ...]:
    if value is None:
        return ()
    items = [value] if isinstance(value, dict) else value
    if not isinstance(items, list):
        raise wrong("tools", items, "a list of tools")
    return tuple(tool for number, item in enumerate(items) for tool in _tool(item, f"tools[{number}]"))


def _tool(value: Any, at: str) -> list[Tool]:
    """One object may hold several tools: functions of the client, and tools that the provider runs (googleSearch, …)."""
    if not isinstance(value, dict):
        raise wrong(at, value, "an object")
    tools: list[Tool] = []
    for key, item in camel(value).items():
        if item is None:
            continue
        if key != "functionDeclarations":
            tools.append(Tool("foreign", key, wire=NAME, raw={key: item}))
            continue
        if not isinstance(item, list):
            raise wrong(f"{at}.{key}", item, "a list of functions")
        tools += [_function(one, f"{at}.{key}[{number}]") for number, one in enumerate(item)]
    return tools


def _function(value: Any, at: str) -> Tool:
    """`raw` keeps a schema in the format's own form, which another request of this format gets as it came."""
    fields = Fields(camel(value) if isinstance(value, dict) else value, at)
    name, description = fields.required("name", '"get_weather"'), fields.string("description")
    json_schema, parameters = fields.object("parametersJsonSchema"), fields.object("parameters")
    raw: Json = {}
    if json_schema is None and parameters is not None:
        json_schema, raw = to_json_schema(parameters), {"parameters": parameters}
    return Tool("function", name, description or None, json_schema, raw=raw, extra=fields.rest())


def _tool_choice(config: Fields, extra: Json) -> ToolChoice | None:
    """VALIDATED, which only this format has, is "auto" for others; it and other settings stay in `extra`."""
    calling = _inner(config, "functionCallingConfig")
    given = calling.take("mode")
    mode = word_of(given, MODE_NUMBERS)
    mode = mode.upper() if mode else None
    allowed = _strings(calling, "allowedFunctionNames")
    kept: Json = {}
    choice: ToolChoice | None = None
    match mode:
        case None | "MODE_UNSPECIFIED":
            if given not in (None, "", 0, "MODE_UNSPECIFIED"):
                raise wrong(calling.path("mode"), given, "a string")
            choice = ToolChoice("auto", allowed=allowed) if allowed else None
        case "AUTO":
            choice = ToolChoice("auto", allowed=allowed)
        case "NONE":
            choice = ToolChoice("none")
        case "ANY":
            choice = ToolChoice("named", allowed[0]) if len(allowed) == 1 else ToolChoice("required", allowed=allowed)
        case "VALIDATED":
            kept["mode"] = mode
            choice = ToolChoice("auto", allowed=allowed)
        case _:
            raise _unknown_mode(mode, calling.path("mode"))
    kept |= calling.rest()
    _keep(extra, "toolConfig", {**config.rest(), **({"functionCallingConfig": kept} if kept else {})})
    return choice


def _unknown_mode(mode: str, param: str) -> GatewayError:
    return bad_request(f"`{param}` is {mode[:40]!r}. Use AUTO, ANY, NONE or VALIDATED.", param)
