"""An Anthropic Messages request → ChatRequest (client's side).

Checked is only what a request stands or falls with; unknown fields, betas and block types are never refused: clients
answer a 400 by a volley of variants (clients.md, finding 14).
"""

from __future__ import annotations

from typing import Any

from omni_connector.chat import ChatRequest, Json, Message, OutputFormat, Sampling, Thinking, Tool, ToolChoice
from omni_connector.errors import GatewayError, Kind, bad_request
from omni_connector.wire.anthropic_blocks import kind_of, optional_object, parse_content, rest, string, wrong
from omni_connector.wire.anthropic_words import NAME

ROLES = {"user": "user", "assistant": "assistant", "system": "system", "developer": "developer"}
CHOICES = {"auto": "auto", "any": "required", "none": "none", "tool": "named"}

_KNOWN = (
    "model", "messages", "system", "tools", "tool_choice", "thinking", "output_config", "output_format", "temperature", "top_p",
    "top_k", "max_tokens", "stop_sequences", "stream", "metadata", "service_tier",
)  # fmt: skip


def parse_request(body: Json) -> ChatRequest:
    """Raises GatewayError (BAD_REQUEST) with `param` in dotted form, and nothing else, for any JSON value.

    A request with `thread` keeps its history at the provider, which only the pass-through lane can serve: the answer's
    `details` make the SDKs repeat it at once with the full history (clients.md, finding 5).
    """
    if not isinstance(body, dict):
        raise bad_request(f"The body must be a JSON object, got {kind_of(body)}. Send `model`, `max_tokens` and `messages`.")
    if body.get("thread") is not None:
        raise _no_threads()
    extra = rest(body, *_KNOWN)
    choice, parallel = _tool_choice(body.get("tool_choice"))
    metadata = _object(body, "metadata") or {}
    tier = body.get("service_tier")
    return ChatRequest(
        wire=NAME,
        model=_text(body, "model") or "",
        messages=(*_system(body.get("system")), *_messages(body)),
        tools=_tools(body.get("tools")),
        tool_choice=choice,
        parallel_tools=parallel,
        output=_output(body, extra),
        thinking=_thinking(body, extra),
        sampling=Sampling(
            temperature=_number(body, "temperature"),
            top_p=_number(body, "top_p"),
            top_k=_integer(body, "top_k"),
        ),
        max_tokens=_integer(body, "max_tokens"),
        stop=_stop(body.get("stop_sequences")),
        stream=_flag(body, "stream"),
        user=_text(metadata, "user_id", "metadata.user_id"),
        service_tier=tier if isinstance(tier, str) else None,
        metadata=rest(metadata, "user_id") or None,
        extra=extra,
    )


def _no_threads() -> GatewayError:
    return GatewayError(
        Kind.BAD_REQUEST,
        "thread: the provider that serves this request keeps no threads. Send the whole conversation in `messages`.",
        param="thread",
        details={"error_code": "thread_unsupported_request", "unsupported": ["thread"]},
    )


# ---------------------------------------------------------------- Plain values


def _object(owner: Json, key: str) -> Json | None:
    value = owner.get(key)
    if value is None or isinstance(value, dict):
        return value
    raise wrong(key, f"must be an object, got {kind_of(value)}", "Send an object or leave it out")


def _text(owner: Json, key: str, path: str | None = None) -> str | None:
    value = owner.get(key)
    if value is None or isinstance(value, str):
        return value
    raise wrong(path or key, f"must be a string, got {kind_of(value)}", "Send a string or leave it out")


def _number(owner: Json, key: str) -> float | None:
    value = owner.get(key)
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    raise wrong(key, f"must be a number, got {kind_of(value)}", "Send a number or leave it out")


def _integer(owner: Json, key: str, path: str | None = None) -> int | None:
    value = owner.get(key)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return value
    raise wrong(path or key, f"must be a whole number of at least 0, got {str(value)[:40]}", "Send a whole number")


def _flag(owner: Json, key: str) -> bool:
    value = owner.get(key)
    if value is None or isinstance(value, bool):
        return bool(value)
    raise wrong(key, f"must be true or false, got {kind_of(value)}", "Send true or false")


def _stop(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return tuple(value)
    raise wrong("stop_sequences", "must be a list of strings", 'Send for example ["END"]')


# ---------------------------------------------------------------- The conversation


def _system(value: Any) -> tuple[Message, ...]:
    if value is None or value in ("", []):
        return ()
    return (Message("system", parse_content(value, "system")),)


def _messages(body: Json) -> list[Message]:
    messages = body.get("messages")
    if not isinstance(messages, list):
        got = f"must be a list, got {kind_of(messages)}" if "messages" in body else "is missing"
        raise wrong("messages", got, 'Send for example [{"role": "user", "content": "Hello"}]')
    if not messages:
        raise wrong("messages", "is empty", "Send at least one message")
    return [_message(message, f"messages.{number}") for number, message in enumerate(messages)]


def _message(message: Any, path: str) -> Message:
    if not isinstance(message, dict):
        raise wrong(path, f"must be an object, got {kind_of(message)}", 'Send {"role": "user", "content": "…"}')
    role = string(message, "role", path)
    if role not in ROLES:
        raise wrong(f"{path}.role", f'"{role[:40]}" is not a role here', 'Use "user", "assistant" or "system"')
    if "content" not in message:
        raise wrong(f"{path}.content", "is missing", "Send text or a list of content blocks")
    parts = parse_content(message["content"], f"{path}.content")
    return Message(ROLES[role], parts, extra=rest(message, "role", "content"))  # type: ignore[arg-type]


# ---------------------------------------------------------------- Tools


def _tools(value: Any) -> tuple[Tool, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise wrong("tools", f"must be a list, got {kind_of(value)}", "Send a list of tools or leave it out")
    return tuple(_tool(tool, f"tools.{number}") for number, tool in enumerate(value))


def _tool(tool: Any, path: str) -> Tool:
    """`type` absent or "custom" is a client's function; every other type is a tool the provider runs or defines."""
    if not isinstance(tool, dict):
        raise wrong(path, f"must be an object, got {kind_of(tool)}", "Send an object with `name` and `input_schema`")
    name = tool.get("name")
    if tool.get("type") not in (None, "custom"):
        return Tool("foreign", name if isinstance(name, str) else "", wire=NAME, raw=tool)
    strict = tool.get("strict")
    description = tool.get("description")
    if description is not None and not isinstance(description, str):
        raise wrong(f"{path}.description", f"must be a string, got {kind_of(description)}", "Send a string or leave it out")
    return Tool(
        "function",
        string(tool, "name", path),
        description,
        schema=optional_object(tool, "input_schema", path),
        strict=strict if isinstance(strict, bool) else None,
        cache=optional_object(tool, "cache_control", path),
        extra=rest(tool, "name", "description", "input_schema", "strict", "cache_control"),
    )


def _tool_choice(value: Any) -> tuple[ToolChoice | None, bool | None]:
    """`tool_choice` → the choice, and whether calls may come in parallel (None: not said)."""
    if value is None:
        return None, None
    kind = value.get("type") if isinstance(value, dict) else None
    if not isinstance(kind, str) or kind not in CHOICES:
        raise wrong("tool_choice", "must be an object with a known `type`", 'Use "auto", "any", "tool" (with `name`) or "none"')
    name = string(value, "name", "tool_choice") if kind == "tool" else None
    single = value.get("disable_parallel_tool_use")
    return ToolChoice(CHOICES[kind], name), None if single is None else not single  # type: ignore[arg-type]


# ---------------------------------------------------------------- Thinking and output


def thinking_block(thinking: Thinking) -> Json | None:
    """`Thinking` as this format says it when the words are its own."""
    block: Json
    if thinking.enabled is None:
        return None
    if not thinking.enabled:
        block = {"type": "disabled"}
    elif thinking.adaptive or thinking.budget is None:
        block = {"type": "adaptive"}
    else:
        block = {"type": "enabled", "budget_tokens": thinking.budget}
    if thinking.show is not None:
        block["display"] = thinking.show
    return block


def _thinking(body: Json, extra: Json) -> Thinking | None:
    """`thinking` and `output_config.effort`. A form we cannot say again in the same words also stays in `extra`."""
    config = _object(body, "output_config") or {}
    effort = _text(config, "effort", "output_config.effort")
    raw = _object(body, "thinking")
    if raw is None:
        return None if effort is None else Thinking(effort=effort)
    kind = string(raw, "type", "thinking")
    budget = _integer(raw, "budget_tokens", "thinking.budget_tokens")
    show = _text(raw, "display", "thinking.display")
    if kind == "disabled":
        thinking = Thinking(enabled=False, effort=effort, show=show)
    else:
        thinking = Thinking(enabled=True, effort=effort, budget=budget, adaptive=kind != "enabled", show=show)
    if thinking_block(thinking) != {key: value for key, value in raw.items() if value is not None}:
        extra["thinking"] = raw
    return thinking


def _output(body: Json, extra: Json) -> OutputFormat | None:
    """`output_config.format`, or the older `output_format`; other members of `output_config` stay in `extra`."""
    config = _object(body, "output_config") or {}
    shape = config.get("format", body.get("output_format"))
    others = rest(config, "effort", "format")
    if others:
        extra["output_config"] = others
    if shape is None:
        return None
    if not isinstance(shape, dict):
        raise wrong("output_config.format", f"must be an object, got {kind_of(shape)}", 'Send {"type": "json_schema", "schema": {…}}')
    if shape.get("type") != "json_schema":
        extra["output_config"] = {**others, "format": shape}
        return None
    return OutputFormat("json_schema", schema=optional_object(shape, "schema", "output_config.format"))
