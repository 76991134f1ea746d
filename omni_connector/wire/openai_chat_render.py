"""ChatRequest → the body for an upstream that speaks chat completions (`render_request`).

Key order is fixed, so equal requests give equal bytes. What the target cannot say is named in `Rendered.dropped`, or
refused where leaving it out would change the meaning. Known normalisations of a request in this same format: a list
with one plain text becomes a string, `stop` a list, `stream: false` and nulls are left out, `max_tokens` takes the name
the provider wants, `functions` become `tools`, thinking wishes take the provider's dialect.

The words of `Target.features` are those of providers' rows; an absent word means unknown, so the body then says what
most servers of this format understand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields as dataclass_fields

from omni_connector.chat import ChatRequest, Json, OutputFormat, Rendered, Target, Tool
from omni_connector.errors import bad_request
from omni_connector.wire.openai_chat_history import History
from omni_connector.wire.openai_chat_thinking import OBJECTS, refused_while_thinking, render_thinking
from omni_connector.wire.openai_chat_words import CUSTOM_INPUT, NAME, OWN_VENDOR, dumps

_BEYOND_OPENAI = ("top_k", "min_p")
"""Sampling fields that OpenAI itself refuses: sent when the client chose them in this format, or the row allows them."""
_REFUSED: Mapping[str, frozenset[str]] = {
    "no_logprobs": frozenset({"logprobs", "top_logprobs", "logit_bias"}),
    "no_penalties": frozenset({"presence_penalty", "frequency_penalty", "logit_bias"}),
    "no_sampling": frozenset({"temperature", "top_p", "top_k"}),
    "strict_fields": frozenset({"logprobs", "top_logprobs", "logit_bias", "top_k", "min_p"}),
}
"""Feature word → sampling fields that such a provider answers with an error."""


def render_request(request: ChatRequest, model: str, target: Target) -> Rendered:
    """Raises GatewayError (BAD_REQUEST) for content that this format cannot hold."""
    renderer = _Renderer(request, target)
    return Rendered(renderer.body(model), tuple(renderer.dropped))


class _Renderer:
    def __init__(self, request: ChatRequest, target: Target) -> None:
        self._request = request
        self._target = target
        self._own = request.wire == NAME
        self._extra = dict(request.extra) if self._own else {}
        self.dropped: dict[str, None] = {}
        self._body: Json = {}

    def body(self, model: str) -> Json:
        request, body = self._request, self._body
        body["model"] = model
        body["messages"] = History(request, self._target, self.dropped).render()
        self._tools()
        self._output()
        self._thinking()
        self._sampling()
        self._limits()
        self._vendor_fields()
        self._stream()
        body.update(self._extra)
        if not self._own:
            self._drop(*request.extra)
        return body

    def _drop(self, *names: str) -> None:
        self.dropped.update(dict.fromkeys(names))

    def _can(self, *words: str) -> bool:
        return any(word in self._target.features for word in words)

    # ------------------------------------------------------------ Tools

    def _tools(self) -> None:
        request, choice = self._request, self._request.tool_choice
        tools = request.tools
        allowed_raw = choice is not None and choice.raw is not None and (self._own or self._can("allowed_tools"))
        if choice is not None and choice.allowed and not allowed_raw:
            tools = tuple(tool for tool in tools if tool.name in choice.allowed)
        rendered = [body for number, tool in enumerate(tools) if (body := self._tool(tool, number)) is not None]
        if rendered:
            self._body["tools"] = rendered
        if choice is not None and (rendered or self._own):
            if choice.mode == "named":
                self._body["tool_choice"] = self._named(choice.name or "")
            elif choice.raw is not None and allowed_raw:
                self._body["tool_choice"] = choice.raw
            else:
                self._body["tool_choice"] = choice.mode
        if request.parallel_tools is None or not (rendered or self._own):
            return
        if self._own or self._can("parallel_tools"):
            self._body["parallel_tool_calls"] = request.parallel_tools
        elif not request.parallel_tools:
            self._drop("parallel_tool_calls")

    def _named(self, name: str) -> Json:
        tool = next((tool for tool in self._request.tools if tool.name == name), None)
        if tool is not None and tool.kind == "foreign" and tool.wire != NAME:
            raise bad_request(f"`tool_choice` names {name!r}, a tool that only {tool.wire} providers run.", "tool_choice")
        if tool is not None and tool.kind == "custom" and self._custom_tools:
            return {"type": "custom", "custom": {"name": name}}
        return {"type": "function", "function": {"name": name}}

    @property
    def _custom_tools(self) -> bool:
        return self._own or self._can("custom_tools")

    def _tool(self, tool: Tool, number: int) -> Json | None:
        match tool.kind:
            case "function":
                body: Json = {"type": "function", "function": _function(tool)}
            case "custom" if self._custom_tools:
                body = {"type": "custom", "custom": _present(name=tool.name, description=tool.description, format=tool.format)}
            case "custom":
                body = {"type": "function", "function": _stand_in(tool)}
            case "foreign":
                if tool.wire == NAME:
                    return tool.raw
                self._drop(f"tools[{number}] ({tool.name})")
                return None
        if tool.cache is not None:
            if self._own or self._can("cache_control"):
                body["cache_control"] = tool.cache
            else:
                self._drop("cache_control")
        if not self._own:
            self._drop(*(f"tools[].{key}" for key in tool.extra))
            return body
        for key, value in tool.extra.items():
            known = body.get(key)
            body[key] = {**known, **value} if isinstance(known, dict) and isinstance(value, dict) else value
        return body

    # ------------------------------------------------------------ Output

    def _output(self) -> None:
        """Where a row offers only one of the two JSON modes, the other is said with it as well as it can be."""
        output = self._request.output
        if output is None:
            return
        if output.kind == "text":
            if self._own:
                self._body["response_format"] = {"type": "text"}
            return
        if output.kind == "json_object":
            if self._can("json_schema") and not self._can("json_object"):
                output = OutputFormat("json_schema", "json", {"type": "object"})
        elif self._can("json_object") and not self._can("json_schema"):
            self._drop("response_format.json_schema (as an instruction)")
            self._instruct(output)
            output = OutputFormat("json_object")
        if output.kind == "json_object":
            self._body["response_format"] = {"type": "json_object"}
            return
        inner = _present(
            name=output.name or (None if self._own else "answer"),
            description=output.description,
            schema=output.schema,
            strict=output.strict,
        )
        self._body["response_format"] = {"type": "json_schema", "json_schema": inner}

    def _instruct(self, output: OutputFormat) -> None:
        """The schema as words, behind the leading system messages (where it does not disturb a cached prefix)."""
        text = f"Answer only with a JSON object that is valid under this JSON Schema:\n{dumps(output.schema or {})}"
        messages: list[Json] = self._body["messages"]
        place = next((n for n, message in enumerate(messages) if message["role"] not in {"system", "developer"}), len(messages))
        messages.insert(place, {"role": "system", "content": text})

    # ------------------------------------------------------------ Thinking

    def _thinking(self) -> None:
        thinking = self._request.thinking
        if thinking is not None:
            rest = {name: self._rest(name) for name in OBJECTS}
            self._body |= render_thinking(thinking, self._target.features, self._own, rest, self.dropped)

    def _rest(self, name: str) -> Json:
        """What ChatRequest could not hold of a client's object of this name."""
        rest = self._extra.get(name)
        if not isinstance(rest, dict):
            return {}
        del self._extra[name]
        return rest

    # ------------------------------------------------------------ Sampling and limits

    def _sampling(self) -> None:
        refused = {name for word, names in _REFUSED.items() if self._can(word) for name in names}
        refused |= refused_while_thinking(self._request.thinking, self._target.features)
        for item in dataclass_fields(self._request.sampling):
            name, value = item.name, getattr(self._request.sampling, item.name)
            if value is None:
                continue
            if name == "n" and self._can("single_choice"):
                if value != 1:
                    raise bad_request("`n`: this provider gives one answer a request. Leave `n` out or send 1.", "n")
            elif name in refused or (name in _BEYOND_OPENAI and not self._own and not self._can(name)):
                self._drop(name)
            elif name == "seed" and self._can("random_seed"):
                self._body["random_seed"] = value
            else:
                self._body[name] = value

    def _limits(self) -> None:
        request = self._request
        limit = request.max_tokens
        if limit is not None and not self._own and self._target.max_output is not None and limit > self._target.max_output:
            self._drop(f"max_tokens (lowered from {limit})")
            limit = self._target.max_output
        if limit is not None:
            self._body["max_completion_tokens" if self._can("max_completion_tokens") else "max_tokens"] = limit
        if not request.stop:
            return
        stop = list(request.stop)
        if len(stop) > 1 and self._can("single_stop"):
            self._drop(f"stop[1:{len(stop)}]")
            stop = stop[:1]
        self._body["stop"] = stop

    def _vendor_fields(self) -> None:
        request, body = self._request, self._body
        user = "safety_identifier" if self._can("safety_identifier") and "safety_identifier" not in self._extra else "user"
        same_vendor = request.wire in OWN_VENDOR
        named = (
            (user, request.user, True),
            ("verbosity", request.verbosity, same_vendor),
            ("service_tier", request.service_tier, same_vendor),
            ("prompt_cache_key", request.cache_key, same_vendor),
        )
        for name, value, known in named:
            if value is None:
                continue
            if known and not self._can("strict_fields"):
                body[name] = value
            else:
                self._drop(name)
        if request.metadata is not None and same_vendor:
            body["metadata"] = request.metadata
        elif request.metadata is not None:
            self._drop("metadata")
        if self._can("reasoning_split"):
            body["reasoning_split"] = True

    def _stream(self) -> None:
        if not self._request.stream:
            self._extra.pop("stream_options", None)
            return
        self._body["stream"] = True
        if self._can("tool_stream") and "tools" in self._body:
            self._body["tool_stream"] = True
        options: Json = {}
        if self._can("stream_options") or (self._own and self._request.include_usage):
            options["include_usage"] = True
        options.update(self._rest("stream_options"))
        if options:
            self._body["stream_options"] = options


# ---------------------------------------------------------------- Pieces


def _present(**values: object) -> Json:
    return {name: value for name, value in values.items() if value is not None}


def _function(tool: Tool) -> Json:
    return _present(name=tool.name, description=tool.description, parameters=tool.schema, strict=tool.strict)


def _stand_in(tool: Tool) -> Json:
    """A free-text tool as a function with one string, its grammar told in words."""
    words = [tool.description or ""]
    if tool.format is not None:
        words.append(f"The `{CUSTOM_INPUT}` must follow this format: {dumps(tool.format)}")
    schema = {
        "type": "object",
        "properties": {CUSTOM_INPUT: {"type": "string", "description": "The whole free-text input of the tool."}},
        "required": [CUSTOM_INPUT],
        "additionalProperties": False,
    }
    return _present(name=tool.name, description="\n\n".join(filter(None, words)) or None, parameters=schema)
