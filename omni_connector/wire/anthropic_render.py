"""ChatRequest → an Anthropic Messages request body (upstream's side). Turns are made in `anthropic_turns`.

Feature words of the target: "adaptive_thinking" (takes `thinking.type` adaptive and `output_config.effort`),
"no_thinking_budget" (takes no other kind), "effort" (takes `output_config.effort`), "no_sampling" (takes no
temperature, top_p, top_k), "mid_system" (knows role system inside `messages`), "strict_tools", "single_stop".
Requests that came in this format keep their own words for thinking and sampling; only what cannot be served is changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from omni_connector.chat import ChatRequest, Json, Rendered, Target, Thinking, Tool
from omni_connector.errors import bad_request
from omni_connector.wire.anthropic_parse import thinking_block
from omni_connector.wire.anthropic_thinking import refused_sampling, render_thinking
from omni_connector.wire.anthropic_turns import Turns
from omni_connector.wire.anthropic_words import CUSTOM_INPUT, DEFAULT_MAX_TOKENS, NAME

TOOL_CHOICE: Mapping[str, str] = {"auto": "auto", "required": "any", "none": "none", "named": "tool"}
SERVICE_TIER: Mapping[str, str] = {"auto": "auto", "default": "standard_only", "standard_only": "standard_only"}
MAX_MARKS = 4
"""Most blocks with `cache_control` the API takes in a request (its documentation of prompt caching)."""
JSON_ONLY = "Answer with one JSON object only."

_UNKNOWN_SAMPLING = ("min_p", "seed", "presence_penalty", "frequency_penalty", "logit_bias", "logprobs", "top_logprobs")
_COMPOUND = ("anyOf", "oneOf", "allOf")


def render_request(request: ChatRequest, model: str, target: Target) -> Rendered:
    """Raises GatewayError (BAD_REQUEST) where dropping would change the meaning: n > 1, audio, files of another provider,
    a forced tool that cannot be offered, nothing left to say."""
    return _Body(request, model, target).rendered()


class _Body:
    def __init__(self, request: ChatRequest, model: str, target: Target) -> None:
        self._request = request
        self._target = target
        self._own = request.wire == NAME
        self._dropped: dict[str, None] = {}
        if (request.sampling.n or 1) > 1:
            raise bad_request("n: this provider gives one answer a request. Leave `n` out or send 1.", "n")
        self._turns = Turns(request, target, self._dropped)
        self._extra = dict(request.extra) if self._own else {}
        self._body: Json = {"model": model, "max_tokens": self._max_tokens(), "messages": self._turns.turns}

    def rendered(self) -> Rendered:
        request, body = self._request, self._body
        body |= self._system()
        body |= self._tools()
        body |= self._thinking()
        body |= self._output()
        body |= self._sampling()
        body |= self._rest()
        if not self._own:
            self._keep_last_marks()
        if request.stream:
            body["stream"] = True
        return Rendered({**self._extra, **body}, tuple(self._dropped))

    def _drop(self, name: str) -> None:
        self._dropped[name] = None

    def _keep_last_marks(self) -> None:
        """The last cache markers stay: each stands for all that comes before it, in the order tools, system, messages."""
        marked = [block for key in ("tools", "system", "messages") for block in _marked(self._body.get(key))]
        for block in marked[:-MAX_MARKS]:
            del block["cache_control"]
            self._drop("cache_control")

    def _max_tokens(self) -> int:
        wanted, most = self._request.max_tokens, self._target.max_output
        if wanted is None:
            return most or DEFAULT_MAX_TOKENS
        if most and wanted > most and not self._own:
            self._drop(f"max_tokens (lowered to {most})")
            return most
        return wanted

    def _system(self) -> Json:
        blocks = list(self._turns.system)
        output = self._request.output
        if output is not None and output.kind == "json_object":
            blocks.append({"type": "text", "text": JSON_ONLY})
            self._drop("response_format.type=json_object (as instruction)")
        return {"system": blocks} if blocks else {}

    # ------------------------------------------------------------ Tools

    def _tools(self) -> Json:
        choice = self._request.tool_choice
        allowed = choice.allowed if choice is not None else ()
        offered = [(tool, self._tool(tool)) for tool in self._request.tools if not allowed or tool.name in allowed]
        tools = [block for _, block in offered if block is not None]
        names = {tool.name for tool, block in offered if block is not None}
        if choice is not None and choice.mode == "named" and choice.name not in names and not self._own:
            fix = "Force one of the functions in `tools`, or choose another model."
            raise bad_request(f"tool_choice: the tool {choice.name!r} cannot be offered to this provider. {fix}", "tool_choice")
        if not tools:
            if choice is not None and choice.mode not in ("none", "auto"):
                self._drop("tool_choice")
            return {}
        return {"tools": tools, **self._tool_choice()}

    def _tool_choice(self) -> Json:
        choice, parallel = self._request.tool_choice, self._request.parallel_tools
        if choice is None and parallel is not False:
            return {}
        block: Json = {"type": "auto" if choice is None else TOOL_CHOICE[choice.mode]}
        if choice is not None and choice.mode == "named":
            block["name"] = choice.name
        if parallel is not None and block["type"] != "none":
            block["disable_parallel_tool_use"] = not parallel
        return {"tool_choice": block}

    def _tool(self, tool: Tool) -> Json | None:
        if tool.kind == "foreign":
            if tool.wire == NAME:
                return tool.raw
            self._drop(f"tools.{tool.name or tool.raw.get('type', 'foreign')}")
            return None
        block: Json = {"name": tool.name, "input_schema": self._schema(tool)}
        description = tool.description
        if tool.kind == "custom":
            description = self._custom_description(tool)
        if description is not None:
            block["description"] = description
        if tool.strict is not None and (self._own or "strict_tools" in self._target.features):
            block["strict"] = tool.strict
        elif tool.strict:
            self._drop("tools.strict")
        if tool.cache is not None:
            block["cache_control"] = tool.cache
        return {**tool.extra, **block} if self._own else block

    def _custom_description(self, tool: Tool) -> str | None:
        """A free-text tool is offered as a function with one string; its grammar can only be described."""
        grammar = (tool.format or {}).get("definition") or (tool.format or {}).get("grammar")
        if isinstance(grammar, dict):  # Chat Completions wraps it: {"grammar": {"syntax", "definition"}}
            grammar = grammar.get("definition")
        if tool.format is None or tool.format.get("type") == "text":
            return tool.description
        self._drop(f"tools.{tool.name}.format (as description)")
        return f"{tool.description or ''}\n\nThe input must follow this grammar:\n{grammar}".strip() if grammar else tool.description

    def _schema(self, tool: Tool) -> Json:
        if tool.kind == "custom":
            return {"type": "object", "properties": {CUSTOM_INPUT: {"type": "string"}}, "required": [CUSTOM_INPUT]}
        schema = tool.schema
        if not schema:
            return {"type": "object", "properties": {}}
        if self._own:
            return schema
        return self._object_schema(schema, tool.name)

    def _object_schema(self, schema: Json, name: str) -> Json:
        """The root must be an object without anyOf, oneOf, allOf: its branches' properties become optional ones of the root."""
        compounds = [key for key in _COMPOUND if key in schema]
        kind = schema.get("type")
        if not compounds:
            # A schema that says nothing about its root, or allows null beside objects, means an object here.
            return schema if isinstance(kind, str) else {**schema, "type": "object"}
        properties: Json = dict(schema.get("properties") or {})
        required: list[Any] = list(schema.get("required") or [])
        for key in compounds:
            self._drop(f"tools.{name}.parameters.{key}")
            for branch in schema[key] if isinstance(schema[key], list) else []:
                if not isinstance(branch, dict):
                    continue
                properties = {**(branch.get("properties") or {}), **properties}
                required += branch.get("required") or [] if key == "allOf" else []
        mended = {key: value for key, value in schema.items() if key not in _COMPOUND}
        mended |= {"type": "object", "properties": properties}
        return mended | ({"required": list(dict.fromkeys(required))} if required else {})

    # ------------------------------------------------------------ Thinking

    def _thinking(self) -> Json:
        thinking = self._request.thinking
        raw = self._extra.pop("thinking", None)
        if thinking is None:
            return {}
        block, effort = self._own_thinking(thinking, raw) if self._own else self._foreign_thinking(thinking)
        choice = self._body.get("tool_choice", {}).get("type")
        if block is not None and block["type"] != "disabled":
            if choice in ("any", "tool"):
                self._drop("thinking (a tool is forced)")
                return {}
            needs_proof = block["type"] == "enabled" and (not self._own or self._turns.foreign_thoughts)
            if needs_proof and self._turns.loop_without_thought():
                self._drop("thinking (the open tool loop began without)")
                return {}
        out: Json = {} if block is None else {"thinking": block}
        return out if effort is None else {**out, "output_config": {"effort": effort}}

    def _own_thinking(self, thinking: Thinking, raw: Json | None) -> tuple[Json | None, str | None]:
        return raw or thinking_block(thinking), thinking.effort

    def _foreign_thinking(self, thinking: Thinking) -> tuple[Json | None, str | None]:
        return render_thinking(thinking, self._target.features, self._body["max_tokens"], self._dropped)

    # ------------------------------------------------------------ Everything else

    def _output(self) -> Json:
        """Merged with what `_thinking` put into `output_config` and what a request in this format had there besides."""
        config: Json = {**self._extra.pop("output_config", {}), **self._body.get("output_config", {})}
        output = self._request.output
        if output is not None and output.kind == "json_schema":
            config["format"] = {"type": "json_schema", "schema": output.schema or {"type": "object"}}
            if output.description is not None:
                self._drop("response_format.json_schema.description")
        return {"output_config": config} if config else {}

    def _sampling(self) -> Json:
        sampling = self._request.sampling
        for name in _UNKNOWN_SAMPLING:
            if getattr(sampling, name) not in (None, False, 0, {}):
                self._drop(name)
        chosen: Json = {name: value for name in ("temperature", "top_p", "top_k") if (value := getattr(sampling, name)) is not None}
        if chosen.get("temperature", 0) > 1:
            chosen["temperature"] = 1.0
            self._drop("temperature (capped to 1.0)")
        thinks = self._body.get("thinking", {"type": "disabled"})["type"] != "disabled"
        for name in refused_sampling(chosen, self._target.features, thinks=thinks, own=self._own):
            del chosen[name]
            self._drop(name)
        return chosen

    def _rest(self) -> Json:
        request = self._request
        out: Json = {}
        stop = [text for text in request.stop if self._own or text.strip()]
        if len(stop) < len(request.stop):
            self._drop("stop (blank sequences)")
        if "single_stop" in self._target.features and len(stop) > 1:
            stop = stop[:1]
            self._drop("stop (all but the first)")
        if stop:
            out["stop_sequences"] = stop
        out |= self._metadata()
        tier = request.service_tier
        if tier is not None and (self._own or tier in SERVICE_TIER):
            out["service_tier"] = tier if self._own else SERVICE_TIER[tier]
        elif tier is not None:
            self._drop("service_tier")
        if request.verbosity is not None:
            self._drop("verbosity")
        if request.cache_key is not None:
            self._drop("prompt_cache_key")
        if not self._own:
            for name in request.extra:
                self._drop(name)
        return out

    def _metadata(self) -> Json:
        user, metadata = self._request.user, self._request.metadata
        if metadata and not self._own:
            self._drop("metadata")
            metadata = None
        block = {**(metadata or {}), **({} if user is None else {"user_id": user})}
        return {"metadata": block} if block else {}


def _marked(value: Any) -> Iterator[Json]:
    """Blocks with a cache marker, in order, those inside tool results before the block itself."""
    for block in value if isinstance(value, list) else ():
        yield from _marked(block.get("content"))
        if "cache_control" in block:
            yield block
