"""What a command is told: a conversation as arguments and as standard input. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from omni_connector.chat import LEVELS, ChatRequest, Message, Part, RefusalPart, TextPart, ToolCallPart, ToolResultPart
from omni_connector.errors import GatewayError, Kind, bad_request
from omni_connector.providers.commands import DEFAULT_MODEL, LONGEST_ARGUMENT, PLACEHOLDER, Template
from omni_connector.values import dataclass

SYSTEM = ("{system}", "{system_file}")
LABELS: Mapping[str, str] = {"user": "User", "assistant": "Assistant", "tool": "Tool", "system": "System"}
OPENING = "This is a conversation, oldest message first. Write the assistant's next message, and nothing else."
_SPECIAL = ("/", "@", "!", "#")
"""What agents take for orders of their own at the beginning of a prompt ("/model", "!ls")."""


@dataclass(frozen=True, slots=True)
class Talk:
    """A request as a command can be told it. `turns`: (role, text), oldest first, without the system's."""

    model: str
    system: str
    turns: tuple[tuple[str, str], ...]
    effort: str = ""


def talk(request: ChatRequest) -> Talk:
    """Raises GatewayError BAD_REQUEST when there is no text in it."""
    systems = [_text(message) for message in request.messages if message.role in ("system", "developer")]
    turns = [(message.role, _text(message)) for message in request.messages if message.role not in ("system", "developer")]
    if not any(text for _, text in turns):
        raise bad_request("messages: a command needs at least one message with text.", "messages")
    effort = request.thinking.effort if request.thinking is not None else None
    model = request.model.encode("utf-8", "replace").decode()
    return Talk(model, "\n\n".join(filter(None, systems)), tuple((role, text) for role, text in turns if text), effort or "")


def _text(message: Message) -> str:
    texts = [part for piece in message.parts if (part := _words(piece))]
    # A lone surrogate (half an emoji) is text that no program can be given.
    return "\n".join(texts).encode("utf-8", "replace").decode()


def _words(part: Part) -> str:
    match part:
        case TextPart() | RefusalPart():
            return part.text
        case ToolCallPart():
            return f"[called {part.name} with {part.arguments}]"
        case ToolResultPart():
            return "\n".join(filter(None, map(_words, part.parts)))
        case _:
            return ""


def transcript(told: Talk, *, with_system: bool) -> str:
    """The conversation as text. One message of a user stands for itself, unless an agent could take it for an order to the program."""
    system = told.system if with_system else ""
    if len(told.turns) == 1 and told.turns[0][0] == "user" and not system and not told.turns[0][1].lstrip().startswith(_SPECIAL):
        return told.turns[0][1]
    turns = ([("system", system)] if system else []) + list(told.turns)
    lines = [f"{LABELS[role]}: {text}" for role, text in turns]
    return "\n\n".join([OPENING, *lines] if len(told.turns) > 1 else lines)


def _values(found: Template, told: Talk, system_file: str) -> dict[str, str]:
    model = "" if told.model == DEFAULT_MODEL else told.model
    prompt = transcript(told, with_system=not found.holds(*SYSTEM))
    effort = _nearest(told.effort, found.efforts)
    return {"model": model, "effort": effort, "system": told.system, "system_file": system_file if told.system else "", "prompt": prompt}


def _nearest(effort: str, known: tuple[str, ...]) -> str:
    """The level that the command knows; of two equally near ones the lower."""
    if not known or not effort or effort in known or effort not in LEVELS:
        return effort if effort in known or not known else ""
    return min((word for word in known if word in LEVELS), key=lambda word: abs(LEVELS.index(word) - LEVELS.index(effort)), default="")


def command_line(found: Template, told: Talk, system_file: str = "") -> list[str]:
    """Program and arguments of one run. `system_file` holds the system's text, where the template asks for one.

    Raises GatewayError: BAD_REQUEST for a text that would become an option or holds NUL, TOO_LARGE for one that is no argument.
    """
    values = _values(found, told, system_file)
    line: list[str] = []
    for element in found.argv:
        group = (element,) if isinstance(element, str) else element
        if not isinstance(element, str) and any(not values[name] for text in group for name in PLACEHOLDER.findall(text)):
            continue
        line += [_filled(text, values, guarded="--" in found.argv and "--" in line) for text in group]
    return line


def _filled(text: str, values: Mapping[str, str], *, guarded: bool) -> str:
    names = PLACEHOLDER.findall(text)
    if not names:
        return text
    filled = PLACEHOLDER.sub(lambda found: values[found[1]], text)
    param = "model" if "model" in names else "messages"
    if filled.startswith("-") and not text.startswith("-") and not guarded:
        raise bad_request(f"{param}: this command would take a text that begins with '-' for an option. Begin with another sign.", param)
    if "\0" in filled:
        raise bad_request(f"{param}: the text holds NUL, which no command can be given.", param)
    if len(filled.encode()) > LONGEST_ARGUMENT:
        raise GatewayError(Kind.TOO_LARGE, "The conversation is too long for this command, which takes it as an argument (128 kB).", param)
    return filled


def standard_input(found: Template, told: Talk) -> bytes:
    """What the run reads from its standard input."""
    values = _values(found, told, "")
    match found.input:
        case "text":
            return values["prompt"].encode()
        case "last":
            return next((text for role, text in reversed(told.turns) if role == "user"), "").encode()
        case "json-lines":
            message = {"role": "user", "content": [{"type": "text", "text": values["prompt"]}]}
            return json.dumps({"type": "user", "message": message}).encode() + b"\n"
        case "json":
            return json.dumps(_fill(found.stdin, values)).encode()
        case "none":
            return b""


def _fill(value: Any, values: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return PLACEHOLDER.sub(lambda found: values[found[1]], value)
    if isinstance(value, list):
        return [_fill(item, values) for item in value]
    return {key: _fill(item, values) for key, item in value.items()} if isinstance(value, dict) else value
