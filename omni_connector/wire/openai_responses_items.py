"""The `input` of a Responses request → canonical messages.

Items are a flat list; canonical messages are turns. What the assistant said, thought and called in a row is one message,
since other formats demand that; every other item is a message of its own. Ids and what else an item says beside its content
stay in `extra[ITEM]`. Items only this API knows (searches, shells, references, …) are kept whole as ForeignPart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, get_args

from omni_connector.chat import (
    ENVELOPE,
    ForeignPart,
    Json,
    Message,
    Opaque,
    Part,
    ReasoningPart,
    RefusalPart,
    Role,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from omni_connector.errors import bad_request
from omni_connector.wire.fields import Fields, wrong
from omni_connector.wire.openai_chat_words import dumps
from omni_connector.wire.openai_responses_content import parse_content
from omni_connector.wire.openai_responses_tools import Tools
from omni_connector.wire.openai_responses_words import ITEM, NAME, open_encrypted

_ROLES: Mapping[str, Role] = {role: role for role in get_args(Role)}
_OF_THE_USER = ("_output", "_response")
"""Ends of the types of items by which a client answers the model."""


def parse_items(value: Any, instructions: str | None, tools: Tools) -> tuple[Message, ...]:
    """`tools` learns those that come as items. Raises GatewayError (BAD_REQUEST) naming the item and field."""
    items = _Items(tools)
    if instructions:
        items.messages.append(Message("system", (TextPart(instructions),)))
    if isinstance(value, str):
        items.messages += [Message("user", (TextPart(value),))] if value else []
    elif isinstance(value, list):
        items.read(value)
    elif value is not None:
        raise wrong("input", value, "a string or a list of items")
    return tuple(items.messages)


class _Items:
    def __init__(self, tools: Tools) -> None:
        self.messages: list[Message] = []
        self._tools = tools
        self._turn: list[Part] = []
        """What the assistant said since somebody else spoke last."""
        self._custom: dict[str, bool] = {}
        """Call id → whether it was a free-text call."""
        self._for_calls: dict[str, list[Opaque]] = {}
        self._opened: dict[str, tuple[tuple[Opaque, ...], dict[str, list[Opaque]]]] = {}
        """Envelopes of ours that were opened already, by their text."""

    def read(self, items: list[Any]) -> None:
        for number, item in enumerate(items):
            if not isinstance(item, dict):
                raise wrong(f"input[{number}]", item, "an object")
            if item.get("type") == "reasoning":
                self._declare(item)
        for number, item in enumerate(items):
            self._item(item, f"input[{number}]")
        self._close_turn()

    def _declare(self, item: Json) -> None:
        """First look: what belongs to a call stands behind it."""
        sealed = item.get("encrypted_content")
        if isinstance(sealed, str) and sealed.startswith(ENVELOPE):
            opened = self._opened[sealed] = open_encrypted(sealed, "")
            self._for_calls.update(opened[1])

    def _item(self, item: Json, at: str) -> None:
        fields = Fields(item, at)
        kind = fields.string("type") or ("message" if "role" in item else "")
        if kind == "additional_tools":
            self._close_turn()
            self._tools.declare_item(item, at, len(self.messages))
            return
        reader = _READERS.get(kind)
        if reader is not None:
            reader(self, fields)
            return
        if not kind:
            raise bad_request(f"`{at}.type` is missing. Send a message (`role`, `content`) or an item with its `type`.", f"{at}.type")
        part = ForeignPart(NAME, item)
        if kind.endswith(_OF_THE_USER):
            self._say(Message("tool", (part,)))
        else:
            self._turn.append(part)

    def _say(self, message: Message) -> None:
        self._close_turn()
        self.messages.append(message)

    def _close_turn(self) -> None:
        if self._turn:
            self.messages.append(Message("assistant", tuple(self._turn)))
            self._turn = []

    # ------------------------------------------------------------ Messages

    def message(self, fields: Fields) -> None:
        role = fields.required("role", '"user"')
        if role not in _ROLES or role == "tool":
            path = fields.path("role")
            raise bad_request(f"`{path}` is {role[:40]!r}. Use user, assistant, system or developer.", path)
        if not fields.has("content") and role != "assistant":
            path = fields.path("content")
            raise bad_request(f"`{path}` is missing. Send a string or a list of content parts.", path)
        parts = parse_content(fields.take("content"), fields.path("content"))
        kept = fields.rest()
        if role == "assistant":
            self._turn += self._begun(parts, kept)
            return
        # A system message without this mark, at the very beginning, is `instructions`.
        first = role == "system" and not self.messages and not self._turn
        self._say(Message(_ROLES[role], parts, extra={ITEM: kept} if kept or first else {}))

    def _begun(self, parts: tuple[Part, ...], kept: Json) -> tuple[Part, ...]:
        """Marks the beginning of a message item, where it could not be told otherwise."""
        if not parts:
            return (TextPart("", extra={ITEM: kept}),) if kept else ()
        first, *rest = parts
        follows = bool(self._turn) and isinstance(self._turn[-1], TextPart | RefusalPart)
        if isinstance(first, TextPart | RefusalPart) and (kept or follows):
            first = replace(first, extra={**first.extra, ITEM: kept})
        return (first, *rest)

    # ------------------------------------------------------------ Thoughts

    def reasoning(self, fields: Fields) -> None:
        """Texts of several parts are joined by blank lines; the parts are kept where that could not be undone."""
        summary, content = _texts(fields, "summary"), _texts(fields, "content")
        item_id, encrypted = fields.string("id") or "", fields.string("encrypted_content")
        kept: Json = fields.rest()
        if item_id:
            kept["id"] = item_id
        if content:
            kept["content"] = content
        if len(summary) > 1 or (summary and content):
            kept["summary"] = summary
        text = "\n\n".join(content or summary)
        opaque: tuple[Opaque, ...] = ()
        if encrypted:
            opaque, for_calls = self._opened.get(encrypted) or open_encrypted(encrypted, item_id)
            if for_calls and not opaque and not text:
                return
        self._turn.append(ReasoningPart(text, opaque, {ITEM: kept} if kept else {}))

    # ------------------------------------------------------------ Calls and their results

    def call(self, fields: Fields, custom: bool = False) -> None:
        call_id = fields.string("call_id") or fields.string("id") or ""
        name = fields.required("name", '"get_weather"')
        text = _call_text(fields, "input" if custom else "arguments")
        kept = fields.rest()
        namespace = kept.get("namespace")
        flat = self._tools.names.flat(namespace if isinstance(namespace, str) else "", name)
        if flat != name:
            kept["name"] = name
        self._custom[call_id] = custom
        opaque = tuple(self._for_calls.get(call_id, ()))
        self._turn.append(ToolCallPart(call_id, flat, text, custom, opaque, extra={ITEM: kept} if kept else {}))

    def custom_call(self, fields: Fields) -> None:
        self.call(fields, custom=True)

    def output(self, fields: Fields, custom: bool = False) -> None:
        call_id = fields.required("call_id", '"call_abc"')
        parts = parse_content(_output(fields), fields.path("output"))
        kept = fields.rest()
        if self._custom.get(call_id, False) is not custom:
            # Its call is not in this request, or of the other kind: only the item itself tells what it is.
            kept["type"] = "custom_tool_call_output" if custom else "function_call_output"
        self._say(Message("tool", (ToolResultPart(call_id, parts, extra={ITEM: kept} if kept else {}),)))

    def custom_output(self, fields: Fields) -> None:
        self.output(fields, custom=True)


_READERS: Mapping[str, Callable[[_Items, Fields], None]] = {
    "message": _Items.message,
    "reasoning": _Items.reasoning,
    "function_call": _Items.call,
    "custom_tool_call": _Items.custom_call,
    "function_call_output": _Items.output,
    "custom_tool_call_output": _Items.custom_output,
}


def _texts(fields: Fields, key: str) -> list[str]:
    texts = []
    for piece in fields.items(key) or ():
        text = piece.get("text") if isinstance(piece, dict) else None
        if isinstance(text, str):
            texts.append(text)
    return texts


def _call_text(fields: Fields, key: str) -> str:
    """Text as it is; an object, which some clients send, as its JSON text."""
    value = fields.take(key)
    if value is None or isinstance(value, str):
        return value or ""
    return dumps(value)


def _output(fields: Fields) -> Any:
    """A string or a list of parts; anything else (an object, a number) as its JSON text."""
    value = fields.take("output")
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(piece, dict) and isinstance(piece.get("type"), str) for piece in value):
        return value
    return dumps(value)
