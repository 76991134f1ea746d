"""The vocabulary of Kiro's private interface (AWS CodeWhisperer; upstreams.md §9), and the names and ids it takes.

Nothing of it is documented: shapes are those that peers found and Amazon's own open-source clients use. What nobody could verify is
marked in the notes of the provider's row and switched by its features.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from omni_connector.chat import Finish, Json
from omni_connector.wire import views

NAME = "kiro"
PATH = "/generateAssistantResponse"
KEEPALIVE = b""

SIGNATURE = "kiro.signature"
"""Kind of the opaque value that proves a thought (`reasoningContentEvent.signature`)."""
REDACTED = "kiro.redacted"

ORIGIN, CLI_ORIGIN = "AI_EDITOR", "CLI"
"""Whose quota is used; it must fit the address, else the answer is 403."""

LONGEST_DESCRIPTION = 10_240
"""Bytes of a tool's description."""
EMPTY = "(empty)"
"""Where text must not be empty."""
OPENING = "(The conversation begins with the assistant's words.)"
CONTINUE = "Continue."
NO_RESULT = "(no result was given)"
CUSTOM_INPUT = "input"
"""The one argument of the function that stands in for a free-text tool."""
RAW_ARGUMENTS = "_raw_arguments"

IMAGE_FORMATS: Mapping[str, str] = {
    "image/png": "png",
    "image/jpeg": "jpeg",
    "image/jpg": "jpeg",
    "image/gif": "gif",
    "image/webp": "webp",
}
MAGIC = (("iVBOR", "png"), ("/9j/", "jpeg"), ("R0lG", "gif"), ("UklG", "webp"))
"""First letters of base64 data → format, for what came without a type."""

FINISH: Mapping[str, Finish] = {
    "END_TURN": Finish.STOP,
    "STOP_SEQUENCE": Finish.STOP_SEQUENCE,
    "TOOL_USE": Finish.TOOL_CALLS,
    "MAX_TOKENS": Finish.LENGTH,
    "CONTENT_FILTERED": Finish.FILTER,
    "GUARDRAIL_INTERVENED": Finish.FILTER,
    "MODEL_CONTEXT_WINDOW_EXCEEDED": Finish.CONTEXT,
    "REFUSAL": Finish.REFUSAL,
}
"""`metadataEvent.stopReason` → its meaning; another word is OTHER."""

THINK, THOUGHT = "<thinking>", "</thinking>"


def thinking_prompt(tokens: int) -> str:
    """How peers ask for thoughts in words; the answer then begins with `<thinking>…</thinking>`."""
    return f"<thinking_mode>enabled</thinking_mode><max_thinking_length>{tokens}</max_thinking_length>"


# ---------------------------------------------------------------- Names and ids

_GOOD_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}\Z")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]")
_GOOD_ID = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")


def to_wire_name(name: str) -> str:
    """A tool's name in the letters and the length that are taken; the same name always becomes the same other one."""
    if _GOOD_NAME.match(name):
        return name
    return f"t_{_NOT_IN_NAMES.sub('_', name)[:50]}_{_digest(name)[:8]}"


def to_wire_id(call_id: str, number: int = 0) -> str:
    """A call's id in the letters that are taken; `number`: how often it was used before in the conversation, since it must not be
    used twice."""
    if _GOOD_ID.match(call_id) and not number:
        return call_id
    return f"call_{_digest(f'{number} {call_id}')[:24]}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


# ---------------------------------------------------------------- JSON


def dumps(value: Any) -> str:
    """Compact JSON. Raises RecursionError for what is nested deeper than any reader takes."""
    return views.encode(value).decode()


def loads(text: bytes | str) -> Any:
    """Parsed JSON; None when it is none."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def to_input(arguments: str, custom: bool) -> Json:
    """Arguments → the `input` object: nothing → {}; free text → {"input": text}; what is no JSON object → {"_raw_arguments": text}."""
    if custom:
        return {CUSTOM_INPUT: arguments}
    if not arguments.strip():
        return {}
    value = loads(arguments)
    return value if isinstance(value, dict) else {RAW_ARGUMENTS: arguments}
