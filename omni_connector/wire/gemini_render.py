"""ChatRequest → a Gemini generateContent body (upstream's side). Contents are made in `gemini_turns`.

Feature words of the target: "thinking_level" or "thinking_budget" (how thinking is asked for; default: by the model's
generation), "reduced_schema" (knows only `parameters` and `responseSchema`), "thought_signatures_required" (default: Gemini 3),
"url_images", "function_response_media", "json_with_tools", "no_call_ids", "no_penalties", "no_logprobs".
Requests that came in this format keep their own words; only what cannot be served is changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields as dataclass_fields

from omni_connector.chat import ChatRequest, Json, OutputFormat, Rendered, Target, Tool
from omni_connector.errors import bad_request
from omni_connector.wire.gemini_calls import CUSTOM_INPUT, to_wire_name
from omni_connector.wire.gemini_schema import reduce_schema
from omni_connector.wire.gemini_thinking import render_thinking
from omni_connector.wire.gemini_turns import Turns
from omni_connector.wire.gemini_words import NAME, dumps, is_third

_SAMPLING: Mapping[str, str] = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "seed": "seed",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
    "logprobs": "responseLogprobs",
    "top_logprobs": "logprobs",
    "n": "candidateCount",
}
_REFUSED: Mapping[str, frozenset[str]] = {
    "no_penalties": frozenset({"presence_penalty", "frequency_penalty"}),
    "no_logprobs": frozenset({"logprobs", "top_logprobs"}),
}
"""Feature word → sampling fields that such a target answers with an error."""
_MODE: Mapping[str, str] = {"auto": "AUTO", "none": "NONE", "required": "ANY", "named": "ANY"}
_MOST_STOPS = 5


def render_request(request: ChatRequest, model: str, target: Target) -> Rendered:
    """The body; model and streaming stand in the path (`gemini_words.path`). Raises GatewayError (BAD_REQUEST) where
    dropping would change the meaning."""
    try:
        return _Body(request, model, target).rendered()
    except RecursionError:
        raise bad_request("The body is nested too deeply. Flatten it; about 1000 levels is the most JSON readers take.") from None


class _Body:
    def __init__(self, request: ChatRequest, model: str, target: Target) -> None:
        self._request = request
        self._model = model
        self._target = target
        self._own = request.wire == NAME
        self._dropped: dict[str, None] = {}
        self._turns = Turns(request, model, target, self._dropped)
        self._extra = dict(request.extra) if self._own else {}

    def rendered(self) -> Rendered:
        tools = self._tools()
        config = self._config(bool(tools))
        body: Json = {}
        if self._turns.system:
            body["systemInstruction"] = {"parts": self._turns.system}
        body["contents"] = self._turns.contents
        if tools:
            body["tools"] = tools
        choice = self._tool_choice(bool(tools))
        if choice:
            body["toolConfig"] = choice
        if config:
            body["generationConfig"] = config
        self._drop_rest()
        return Rendered({**self._extra, **body}, tuple(self._dropped))

    def _drop(self, *names: str) -> None:
        self._dropped.update(dict.fromkeys(names))

    def _can(self, word: str) -> bool:
        return word in self._target.features

    # ------------------------------------------------------------ Tools

    def _tools(self) -> list[Json]:
        """All functions in one object, where the first of them stood."""
        functions: list[Json] = []
        out: list[Json] = []
        for number, tool in enumerate(self._request.tools):
            if tool.kind != "foreign":
                if not functions:
                    out.append({"functionDeclarations": functions})
                functions.append(self._function(tool))
            elif tool.wire == NAME:
                out.append(tool.raw)
            else:
                self._drop(f"tools[{number}] ({tool.name or tool.raw.get('type', 'foreign')})")
        return out

    def _function(self, tool: Tool) -> Json:
        body: Json = {"name": to_wire_name(tool.name)}
        description, schema = tool.description, tool.schema
        if tool.kind == "custom":
            description, schema = _stand_in(tool)
        if description:
            body["description"] = description
        if self._own and "parameters" in tool.raw and not self._can("reduced_schema"):
            body["parameters"] = tool.raw["parameters"]
        elif schema and self._can("reduced_schema"):
            reduced = reduce_schema(schema)
            if reduced.get("properties"):
                body["parameters"] = reduced
        elif schema:
            body["parametersJsonSchema"] = schema
        if tool.strict:
            self._drop("tools[].strict")
        if tool.cache is not None:
            self._drop("cache_control")
        return {**tool.extra, **body} if self._own else body

    def _tool_choice(self, tools: bool) -> Json:
        choice = self._request.tool_choice
        if self._request.parallel_tools is False and tools:
            self._drop("parallel_tool_calls")
        kept = self._extra.pop("toolConfig", None)
        config: Json = dict(kept) if isinstance(kept, dict) else {}
        if choice is None or not (tools or self._own):
            return config
        calling: Json = {"mode": _MODE[choice.mode]}
        allowed = choice.allowed if choice.mode != "named" else self._named(choice.name or "")
        if allowed:
            calling["allowedFunctionNames"] = [to_wire_name(name) for name in allowed]
            if choice.mode == "auto" and not self._own:
                # Names are only taken with ANY and VALIDATED; the second lets the model answer in words too.
                calling["mode"] = "VALIDATED"
        return {**config, "functionCallingConfig": {**calling, **config.get("functionCallingConfig", {})}}

    def _named(self, name: str) -> tuple[str, ...]:
        known = any(tool.name == name and tool.kind != "foreign" for tool in self._request.tools)
        if not known and not self._own:
            fix = "Force one of the functions in `tools`, or choose another model."
            raise bad_request(f"`tool_choice`: the tool {name[:60]!r} cannot be offered to this provider. {fix}", "tool_choice")
        return (name,)

    # ------------------------------------------------------------ generationConfig

    def _config(self, tools: bool) -> Json:
        kept = self._extra.pop("generationConfig", None)
        config: Json = dict(kept) if isinstance(kept, dict) else {}
        config |= self._sampling()
        limit, most = self._request.max_tokens, self._target.max_output
        if limit is not None and most is not None and limit > most and not self._own:
            self._drop(f"max_tokens (lowered to {most})")
            limit = most
        if limit is not None:
            config["maxOutputTokens"] = limit
        stop = list(self._request.stop)
        if len(stop) > _MOST_STOPS and not self._own:
            self._drop(f"stop (all but the first {_MOST_STOPS})")
            stop = stop[:_MOST_STOPS]
        if stop:
            config["stopSequences"] = stop
        config |= self._output(tools)
        thinking = render_thinking(self._request.thinking, self._model, self._target.features, self._own, self._dropped)
        if thinking:
            config["thinkingConfig"] = {**config.get("thinkingConfig", {}), **thinking}
        return config

    def _sampling(self) -> Json:
        refused = {name for word, names in _REFUSED.items() if self._can(word) for name in names}
        out: Json = {}
        for item in dataclass_fields(self._request.sampling):
            value = getattr(self._request.sampling, item.name)
            if value is None:
                continue
            if item.name in refused or item.name not in _SAMPLING:
                self._drop(item.name)
            else:
                out[_SAMPLING[item.name]] = value
        return out

    def _output(self, tools: bool) -> Json:
        output = self._request.output
        if output is None:
            return {}
        if output.kind == "text":
            return {"responseMimeType": "text/plain"} if self._own else {}
        if tools and not self._own and not is_third(self._model) and not self._can("json_with_tools"):
            # Before Gemini 3 the API refuses JSON answers together with functions.
            self._drop("response_format (as an instruction)")
            self._turns.system.append({"text": _instruction(output)})
            return {}
        config: Json = {"responseMimeType": "application/json"}
        if output.kind == "json_schema" and output.schema:
            if self._can("reduced_schema"):
                config["responseSchema"] = reduce_schema(output.schema)
            else:
                config["responseJsonSchema"] = output.schema
        return config

    # ------------------------------------------------------------ What has no place

    def _drop_rest(self) -> None:
        request = self._request
        unknown = (
            ("user", request.user),
            ("verbosity", request.verbosity),
            ("service_tier", request.service_tier),
            ("prompt_cache_key", request.cache_key),
            ("metadata", request.metadata),
        )
        self._drop(*(name for name, value in unknown if value is not None))
        if not self._own:
            self._drop(*request.extra)


def _stand_in(tool: Tool) -> tuple[str | None, Json]:
    """A free-text tool as a function with one string, its grammar told in words."""
    words = [tool.description or ""]
    if tool.format is not None and tool.format.get("type") != "text":
        words.append(f"The `{CUSTOM_INPUT}` must follow this format: {dumps(tool.format).decode()}")
    schema: Json = {"type": "object", "properties": {CUSTOM_INPUT: {"type": "string"}}, "required": [CUSTOM_INPUT]}
    return "\n\n".join(filter(None, words)) or None, schema


def _instruction(output: OutputFormat) -> str:
    if output.kind == "json_schema" and output.schema:
        return f"Answer only with a JSON object that is valid under this JSON Schema:\n{dumps(output.schema).decode()}"
    return "Answer with one JSON object only."
