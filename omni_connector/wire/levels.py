"""A thinking level that stands in the model's name (`openai/high/gpt-5`), said in the fields of a body.

The body is for an upstream of that format: a client's own that passes through, or one that was rendered. Its words for how much
to think are replaced and what contradicts them is taken out; every other value keeps its exact bytes and its place. Whether
thoughts are shown (`exclude`, `summary`, `display`, `includeThoughts`) stays as the body says it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from omni_connector.chat import Json, Target, Thinking
from omni_connector.errors import bad_request
from omni_connector.wire import (
    anthropic_thinking,
    anthropic_words,
    code_assist_claude,
    code_assist_words,
    gemini_thinking,
    gemini_words,
    kiro_words,
    openai_chat_thinking,
    openai_chat_words,
    openai_responses_words,
    views,
)
from omni_connector.wire.anthropic_words import DEFAULT_MAX_TOKENS
from omni_connector.wire.fields import integer

Fields = dict[str, Any]
"""The values of one JSON object, undecoded, but for those that were replaced."""

_RAW = msgspec.json.Decoder(dict[str, msgspec.Raw])
_RAWS = msgspec.json.Decoder(list[msgspec.Raw])


def wish(level: str, show: str | None = None) -> Thinking:
    """What a level means in the canonical request. "none": thinking is switched off."""
    return Thinking(enabled=level != "none", effort=level, show=show)


def with_level(wire: str, body: bytes, level: str, target: Target, dropped: dict[str, None] | None = None) -> bytes:
    """The body of this format with the level (one of chat.LEVELS) as the target takes it. `target.origin.model` is the upstream's
    own id. `dropped` gets the names of what had to go or could not be said exactly, as in `Rendered.dropped`.

    A second time changes nothing more. Raises GatewayError (BAD_REQUEST) for what is no JSON object."""
    named: dict[str, None] = {} if dropped is None else dropped
    say = _SAY.get(wire)
    if say is None:
        named[f"thinking level {level}"] = None
        return body
    try:
        fields: Fields = _RAW.decode(body)
        say(fields, wish(level), target, named)
        return views.encode(fields)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise bad_request("The body must be a JSON object, in UTF-8 and not nested too deeply.") from error


# ---------------------------------------------------------------- Looking into the fields


def _value(fields: Fields, name: str) -> Any:
    return msgspec.json.decode(fields[name]) if name in fields else None


def _object(fields: Fields, name: str) -> Fields:
    """The fields inside, {} for anything that is no object: it will be replaced."""
    raw = fields.get(name)
    return _RAW.decode(raw) if raw is not None and bytes(raw).lstrip().startswith(b"{") else {}


def _put(fields: Fields, name: str, value: Any) -> None:
    """In its old place, or at the end; None takes it away."""
    if value is None:
        fields.pop(name, None)
    else:
        fields[name] = value


# ---------------------------------------------------------------- OpenAI


def _openai_chat(fields: Fields, thinking: Thinking, target: Target, dropped: dict[str, None]) -> None:
    rest = {
        name: {key: value for key, value in _object(fields, name).items() if key not in words}
        for name, words in openai_chat_thinking.OBJECTS.items()
    }
    said = openai_chat_thinking.render_thinking(thinking, target.features, True, rest, dropped)
    for name in openai_chat_thinking.FIELDS:
        _put(fields, name, said.get(name))
    for name in [name for name in fields if name in openai_chat_thinking.refused_while_thinking(thinking, target.features)]:
        del fields[name]
        dropped[name] = None


def _openai_responses(fields: Fields, thinking: Thinking, target: Target, dropped: dict[str, None]) -> None:
    fields["reasoning"] = {**_object(fields, "reasoning"), "effort": thinking.effort}


# ---------------------------------------------------------------- Anthropic


def _anthropic(fields: Fields, thinking: Thinking, target: Target, dropped: dict[str, None]) -> None:
    limit = integer(_value(fields, "max_tokens")) or target.max_output or DEFAULT_MAX_TOKENS
    block, effort = anthropic_thinking.render_thinking(thinking, target.features, limit, dropped)
    if block is not None and block["type"] != "disabled":
        if obstacle := _cannot_think(fields, block):
            dropped[obstacle] = None
            block, effort = None, None
        else:
            own = _object(fields, "thinking")
            block |= {key: value for key, value in own.items() if key not in ("type", "budget_tokens")}
    _put(fields, "thinking", block)
    config = {key: value for key, value in _object(fields, "output_config").items() if key != "effort"}
    if effort is not None:
        config["effort"] = effort
    _put(fields, "output_config", config or None)
    if block is None or block["type"] == "disabled":
        _forget_clearing(fields, dropped)
        return
    chosen = {name: value for name in ("temperature", "top_p", "top_k") if isinstance(value := _value(fields, name), int | float)}
    for name in anthropic_thinking.refused_sampling(chosen, target.features, thinks=True, own=True):
        del fields[name]
        dropped[name] = None


def _cannot_think(fields: Fields, block: Json) -> str:
    """The API refuses thinking with a forced tool, and a budget inside a tool loop that began without a thought."""
    choice = _value(fields, "tool_choice")
    if isinstance(choice, dict) and choice.get("type") in ("any", "tool"):
        return "thinking (a tool is forced)"
    if block["type"] == "enabled" and _loop_without_thought(fields.get("messages")):
        return "thinking (the open tool loop began without)"
    return ""


def _loop_without_thought(messages: msgspec.Raw | None) -> bool:
    """Only the last two messages are read."""
    if messages is None or not bytes(messages).lstrip().startswith(b"["):
        return False
    first = [_first_type(msgspec.json.decode(message)) for message in _RAWS.decode(messages)[-2:]]
    return len(first) == 2 and first[1] == "tool_result" and first[0] not in ("thinking", "redacted_thinking")


def _first_type(message: Any) -> Any:
    content = message.get("content") if isinstance(message, dict) else None
    return content[0].get("type") if isinstance(content, list) and content and isinstance(content[0], dict) else None


def _forget_clearing(fields: Fields, dropped: dict[str, None]) -> None:
    """Claude Code asks for old thoughts to be cleared (`context_management`), which the API refuses where none are thought."""
    management = _object(fields, "context_management")
    edits = _value(management, "edits")
    if not isinstance(edits, list):
        return
    kept = [edit for edit in edits if not (isinstance(edit, dict) and str(edit.get("type")).startswith("clear_thinking"))]
    if len(kept) == len(edits):
        return
    dropped["context_management (clear_thinking)"] = None
    _put(management, "edits", kept or None)
    _put(fields, "context_management", management or None)


# ---------------------------------------------------------------- Gemini

_GENERATION = ("generationConfig", "generation_config")
_THINKING = ("thinkingConfig", "thinking_config")
_AMOUNT = ("thinkingBudget", "thinking_budget", "thinkingLevel", "thinking_level")
_SHOW = ("includeThoughts", "include_thoughts")
"""Both spellings of a field are in use (clients.md, finding 16); a body keeps its own."""


def _gemini(fields: Fields, thinking: Thinking, target: Target, dropped: dict[str, None]) -> None:
    model, features = target.origin.model, target.features
    if gemini_thinking.way_of(model, features) is None:
        features = features | {"thinking_level"}  # a name nobody knows: the words of today
    hidden = wish(thinking.effort or "", show="omitted")
    said = gemini_thinking.render_thinking(hidden, model, features, False, dropped)
    outer = next((name for name in _GENERATION if name in fields), _GENERATION[0])
    generation = _object(fields, outer)
    inner = next((name for name in _THINKING if name in generation), _THINKING[0])
    gone = _AMOUNT if thinking.enabled else (*_AMOUNT, *_SHOW)  # showing thoughts is refused where none are thought
    config = {key: value for key, value in _object(generation, inner).items() if key not in gone}
    generation[inner] = {**config, **said}
    fields[outer] = generation


# ---------------------------------------------------------------- Code Assist


def _code_assist(fields: Fields, thinking: Thinking, target: Target, dropped: dict[str, None]) -> None:
    """Gemini's words inside the envelope; Claude behind it has rules of its own for them."""
    from omni_connector.wire import code_assist_request  # here, as in `late`

    model, inner = target.origin.model, _object(fields, "request")
    _gemini(inner, thinking, code_assist_request.aimed(model, target), dropped)
    if code_assist_words.is_claude(model):
        config = msgspec.json.decode(views.encode(inner[_GENERATION[0]]))
        code_assist_claude.fit_thinking(config, dropped)
        inner[_GENERATION[0]] = config
    fields["request"] = inner


# ---------------------------------------------------------------- Kiro


def _kiro(fields: Fields, thinking: Thinking, target: Target, dropped: dict[str, None]) -> None:
    """It is said in the words of the conversation, when that is rendered (`kiro_request`)."""
    if "thinking_tags" not in target.features:
        dropped[f"thinking level {thinking.effort}"] = None


Say = Callable[[Fields, Thinking, Target, dict[str, None]], None]

_SAY: Mapping[str, Say] = {
    openai_chat_words.NAME: _openai_chat,
    openai_responses_words.NAME: _openai_responses,
    anthropic_words.NAME: _anthropic,
    gemini_words.NAME: _gemini,
    code_assist_words.NAME: _code_assist,
    kiro_words.NAME: _kiro,
}
"""Formats that can ask for thinking; in all others a level has no place."""
