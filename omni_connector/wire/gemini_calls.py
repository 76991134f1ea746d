"""Tool calls between Gemini's form and the canonical one: arguments, results, ids where a client or the model gives none, names."""

from __future__ import annotations

import hashlib
import re

from omni_connector.chat import Json
from omni_connector.wire.gemini_words import dumps, loads_object

RAW_ARGUMENTS = "_raw_arguments"
CUSTOM_INPUT = "input"


def to_args(arguments: str, custom: bool = False) -> Json:
    """Arguments → the `args` object, without losing a character: nothing → {}; free text of a custom tool →
    {"input": text}; what is no JSON object (an answer that was cut) → {"_raw_arguments": text}, undone by `to_arguments`."""
    if custom:
        return {CUSTOM_INPUT: arguments}
    if not arguments.strip():
        return {}
    value = loads_object(arguments)
    return {RAW_ARGUMENTS: arguments} if value is None else value


def to_arguments(args: Json) -> str:
    """The `args` object → arguments text; the opposite of `to_args`."""
    raw = args.get(RAW_ARGUMENTS)
    if len(args) == 1 and isinstance(raw, str) and raw.strip() and loads_object(raw) is None:
        return raw
    return dumps(args).decode()


def to_response(text: str, is_error: bool) -> Json:
    """A tool's result → the `response` object: JSON objects as they are, other text under "output", an error under "error"."""
    if is_error:
        return {"error": text}
    value = loads_object(text) if text.lstrip()[:1] == "{" else None
    return {"output": text} if value is None else value


def from_response(response: Json) -> tuple[str, bool]:
    """The opposite of `to_response`: (text, is it an error?)."""
    if len(response) == 1:
        error, output = response.get("error"), response.get("output")
        if isinstance(error, str):
            return error, True
        if isinstance(output, str) and "output" in to_response(output, False):
            return output, False
    return dumps(response).decode(), False


_MADE_UP = "gemini_call_"
_NOT_IN_IDS = re.compile(r"[^A-Za-z0-9_-]")


def make_id(number: int, about: str) -> str:
    """An id for a call that came without one, in letters every format allows and at most 40 of them. The same place and
    name in a conversation always give the same id."""
    return f"{_MADE_UP}{number}_{_NOT_IN_IDS.sub('_', about)[:23]}"


def is_made_up(call_id: str) -> bool:
    """True for ids of `make_id`: Gemini never gave them, so it does not get them."""
    return call_id.startswith(_MADE_UP)


_GOOD_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,63}\Z")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.:-]")


def to_wire_name(name: str) -> str:
    """A function's name in the letters this API allows (upstreams.md §3); the same name always becomes the same other one."""
    if _GOOD_NAME.match(name):
        return name
    digest = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:8]
    return f"_{_NOT_IN_NAMES.sub('_', name)[:54]}_{digest}"
