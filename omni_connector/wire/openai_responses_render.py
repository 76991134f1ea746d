"""ChatRequest → the body for an upstream that speaks Responses (`render_request`).

Key order is fixed, so equal requests give equal bytes. What the target cannot say is named in `Rendered.dropped`, or refused
where leaving it out would change the meaning. Known normalisations of a request in this same format: `input` is a list of
items with their `type`, contents are lists of parts, a tool output of one plain text is a string, `stream: false` (and then
`stream_options`), nulls and empty lists (`annotations`, `logprobs`, a thought's `content`) are left out, and
`reasoning.generate_summary` is `summary`.

Feature words of the target that only this format knows: "encrypted_reasoning" (gives and takes `encrypted_content`),
"cache_breakpoints" (takes `prompt_cache_breakpoint`), "flat_tools" (knows no namespaces and no `additional_tools`),
"no_custom_tools" (free-text tools become functions), "codex_backend" and "namespaced_tools" (openai_responses_codex.py).
"""

from __future__ import annotations

from typing import Any

from omni_connector.chat import ChatRequest, Json, OutputFormat, Rendered, Target, Thinking, Tool
from omni_connector.errors import bad_request
from omni_connector.wire import openai_responses_codex as codex
from omni_connector.wire.openai_chat_words import OWN_VENDOR, common_effort
from omni_connector.wire.openai_responses_history import History
from omni_connector.wire.openai_responses_request import LOGPROBS
from omni_connector.wire.openai_responses_tools import choice_body, declared, stand_in, tool_body
from omni_connector.wire.openai_responses_words import NAME

MIN_OUTPUT = 16
"""Least `max_output_tokens` the API accepts."""

_NO_FIELD = ("top_k", "min_p", "seed", "presence_penalty", "frequency_penalty", "logit_bias")


def render_request(request: ChatRequest, model: str, target: Target) -> Rendered:
    """Raises GatewayError (BAD_REQUEST) for content that this format cannot hold, and for more than one answer."""
    if "codex_backend" in target.features:
        request = codex.with_short_names(request)
    renderer = _Renderer(request, target)
    return Rendered(renderer.body(model), tuple(renderer.dropped))


class _Renderer:
    def __init__(self, request: ChatRequest, target: Target) -> None:
        self._request = request
        self._target = target
        self._own = request.wire == NAME
        self._extra = dict(request.extra) if self._own else {}
        self._custom = "no_custom_tools" not in target.features
        self._whole = self._own and "flat_tools" not in target.features
        self.dropped: dict[str, None] = {}
        self._body: Json = {}

    def body(self, model: str) -> Json:
        request, body = self._request, self._body
        if (request.sampling.n or 1) > 1:
            raise bad_request("`n`: this provider gives one answer a request. Leave `n` out or send 1.", "n")
        body["model"] = model
        tools, placed = self._offered()
        history = History(request, self._target, self.dropped, placed)
        items = history.render()
        if history.instructions is not None:
            body["instructions"] = history.instructions
        body["input"] = items
        self._tools(tools, bool(placed))
        self._text()
        self._thinking()
        self._sampling()
        self._limits()
        self._vendor_fields()
        self._storing()
        if request.stream:
            body["stream"] = True
        else:
            self._extra.pop("stream_options", None)
        body.update(self._extra)
        if not self._own:
            self._drop(*request.extra)
        if self._can("codex_backend"):
            codex.fit(body, self._target.features, self.dropped)
        return body

    def _drop(self, *names: str) -> None:
        self.dropped.update(dict.fromkeys(names))

    def _can(self, word: str) -> bool:
        return word in self._target.features

    # ------------------------------------------------------------ Tools

    def _offered(self) -> tuple[list[Json], dict[int, list[Json]]]:
        request = self._request
        if self._whole and self._custom:
            return declared(request.tools)
        bodies = []
        for number, tool in enumerate(request.tools):
            if tool.kind == "foreign" and tool.wire != NAME:
                self._drop(f"tools[{number}] ({tool.name})")
                continue
            bodies.append(self._tool(tool))
        return bodies, {}

    def _tool(self, tool: Tool) -> Json:
        if tool.cache is not None:
            self._drop("cache_control")
        if tool.kind == "custom" and not self._custom:
            return stand_in(tool)
        if self._own or tool.kind == "foreign":
            return tool_body(tool)
        self._drop(*(f"tools[].{key}" for key in tool.extra))
        body = tool_body(Tool(tool.kind, tool.name, tool.description, tool.schema, tool.strict, tool.format))
        if tool.kind == "function":
            # Functions are strict here unless they say otherwise, and a strict schema has rules that others break.
            body["parameters"] = tool.schema or {"type": "object", "properties": {}}
            body.setdefault("strict", False)
        return body

    def _tools(self, tools: list[Json], placed: bool) -> None:
        request, choice = self._request, self._request.tool_choice
        if tools:
            self._body["tools"] = tools
        offered = bool(tools) or placed or self._own
        if choice is not None and offered:
            named = next((tool for tool in request.tools if tool.name == choice.name), None)
            if choice.mode == "named" and named is not None and named.kind == "foreign" and named.wire != NAME:
                raise bad_request(f"`tool_choice` names {choice.name!r}, a tool that only {named.wire} providers run.", "tool_choice")
            self._body["tool_choice"] = choice_body(choice, request.tools, whole=self._whole, custom=self._custom)
        elif choice is not None and choice.mode not in ("auto", "none"):
            self._drop("tool_choice")
        if request.parallel_tools is not None and offered:
            self._body["parallel_tool_calls"] = request.parallel_tools

    # ------------------------------------------------------------ Output and thinking

    def _text(self) -> None:
        request = self._request
        text: Json = {}
        if request.output is not None and (self._own or request.output.kind != "text"):
            text["format"] = _format(request.output, self._own)
        if request.verbosity is not None:
            if request.wire in OWN_VENDOR:
                text["verbosity"] = request.verbosity
            else:
                self._drop("verbosity")
        text.update(self._rest("text"))
        if text:
            self._body["text"] = text

    def _rest(self, name: str) -> Json:
        """What ChatRequest could not hold of a client's object of this name."""
        rest = self._extra.pop(name, None)
        return rest if isinstance(rest, dict) else {}

    def _thinking(self) -> None:
        thinking = self._request.thinking
        body: Json = {}
        if thinking is not None and self._own:
            body = {name: value for name, value in (("effort", thinking.effort), ("summary", thinking.show)) if value is not None}
        elif thinking is not None:
            body = self._foreign_thinking(thinking)
        body.update(self._rest("reasoning"))
        if body:
            self._body["reasoning"] = body

    def _foreign_thinking(self, thinking: Thinking) -> Json:
        """`reasoning` for a target that is known to take an effort. Off is said only by the vendor's own clients: many models
        refuse "none"."""
        off = thinking.enabled is False or thinking.effort == "none"
        effort = thinking.effort
        if effort is None and thinking.budget is not None:
            effort = common_effort(thinking.budget)
        said = not off or (thinking.effort == "none" and self._request.wire in OWN_VENDOR)
        if not self._can("reasoning_effort") or not said:
            if off or effort is not None or not thinking.adaptive:
                self._drop("thinking")
            return {}
        body: Json = {} if effort is None else {"effort": effort}
        wants_to_read = thinking.enabled or thinking.adaptive or thinking.show is not None
        if wants_to_read and thinking.show != "omitted" and not off:
            body["summary"] = thinking.show if thinking.show in {"concise", "detailed"} else "auto"
        return body

    # ------------------------------------------------------------ Plain fields

    def _sampling(self) -> None:
        sampling = self._request.sampling
        for name in _NO_FIELD:
            if getattr(sampling, name) not in (None, 0, {}):
                self._drop(name)
        refused = ("temperature", "top_p") if self._can("no_sampling") else ()
        for name in ("temperature", "top_p", "top_logprobs"):
            value = getattr(sampling, name)
            if value is None:
                continue
            if name in refused or (name == "top_logprobs" and self._can("no_logprobs")):
                self._drop(name)
            else:
                self._body[name] = value
        if self._request.stop:
            self._drop("stop")

    def _limits(self) -> None:
        limit, most = self._request.max_tokens, self._target.max_output
        if limit is None:
            return
        if not self._own and most is not None and limit > most:
            self._drop(f"max_tokens (lowered from {limit})")
            limit = most
        if not self._own and limit < MIN_OUTPUT:
            self._drop(f"max_tokens (raised from {limit})")
            limit = MIN_OUTPUT
        self._body["max_output_tokens"] = limit

    def _vendor_fields(self) -> None:
        request = self._request
        same_vendor = request.wire in OWN_VENDOR
        user = "safety_identifier" if self._can("safety_identifier") and "safety_identifier" not in self._extra else "user"
        named: tuple[tuple[str, Any, bool], ...] = (
            (user, request.user, True),
            ("service_tier", request.service_tier, same_vendor),
            ("prompt_cache_key", request.cache_key, same_vendor),
            ("metadata", request.metadata, same_vendor),
        )
        for name, value, known in named:
            if value is not None and known:
                self._body[name] = value
            elif value is not None:
                self._drop(name)

    def _storing(self) -> None:
        """Clients of other formats keep their history themselves; so nothing is stored for them, and thoughts come in a form
        that can be given back."""
        if self._own:
            return
        self._body["store"] = False
        include = [codex.ENCRYPTED_CONTENT] if self._can("encrypted_reasoning") else []
        if self._request.sampling.logprobs and not self._can("no_logprobs"):
            include.append(LOGPROBS)
        if include:
            self._body["include"] = include


def _format(output: OutputFormat, own: bool) -> Json:
    if output.kind != "json_schema":
        return {"type": output.kind}
    body: Json = {"type": "json_schema"}
    name = output.name or (None if own else "answer")
    schema = output.schema if own or output.schema is not None else {"type": "object"}
    for key, value in (("name", name), ("description", output.description), ("schema", schema), ("strict", output.strict)):
        if value is not None:
            body[key] = value
    return body
