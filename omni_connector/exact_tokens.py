"""Tokens counted with a model's own vocabulary, where the extra `tokens` is installed and the vocabulary is public.

splintr brings its vocabularies along, so nothing is ever fetched. Loading one takes about 0.1 s and 35 MB, counting 0.02 ms for a
thousand tokens: too much for the way of every request, whose estimate stays `usage.estimate_tokens`; used where tokens are what is
asked for (`count_tokens`), and for answers of commands that do not tell what they used. Claude's and Gemini's vocabularies are not public.
"""

from __future__ import annotations

import logging
import re
import threading
from functools import lru_cache
from importlib import import_module
from typing import Any

from omni_connector import catalog, usage
from omni_connector.chat import ChatRequest, MediaPart, Part, ReasoningPart, RefusalPart, TextPart, ToolCallPart, ToolResultPart

log = logging.getLogger("omni.tokens")

VOCABULARIES: tuple[tuple[str, str], ...] = (
    (r"gpt-(4o|4\.1|4\.5|[5-9]|oss)|chatgpt-|codex-|o[134](-|$)", "o200k_base"),
    (r"gpt-(4|3\.5)", "cl100k_base"),
    (r"deepseek-", "deepseek_v3"),
    (r"qwen-?[23]", "qwen3"),
    (r"glm-4", "glm4"),
    (r"kimi-k[23]", "kimi_k2"),
    (r"(meta-)?llama-?3", "llama3"),
)
"""Pattern on a model's family → splintr's name of its vocabulary. First match wins."""

MESSAGE_FRAME, ANSWER_FRAME = 4, 3
"""Tokens around each message, and those that begin the answer (OpenAI cookbook, "How to count tokens")."""
MOST_CHARACTERS = 4_000_000
"""Longer texts are estimated: a hostile one of so many equal letters takes seconds."""

_loading: set[str] = set()
_loaded: set[str] = set()


def vocabulary(model: str) -> str:
    """The name of the model's vocabulary; "" where it is not public, or not known here."""
    family = catalog.family(model)
    return next((name for pattern, name in VOCABULARIES if re.match(pattern, family)), "")


def installed() -> bool:
    """Whether the extra `tokens` is there."""
    return _splintr() is not None


def count(model: str, text: str, *, wait: bool = True) -> int | None:
    """Tokens of a text; None: the extra is not installed, the vocabulary is not known, or the text is too long. `wait` False: None as
    well while the vocabulary is not loaded, which then begins aside. Raises nothing."""
    name = vocabulary(model)
    if not name or len(text) > MOST_CHARACTERS or _splintr() is None:
        return None
    if not wait and not _is_loaded(name):
        return None
    encoder = _encoder(name)
    if encoder is None:
        return None
    # Ordinary: "<|endoftext|>" in a client's text is text.
    return len(encoder.encode_ordinary(text.encode("utf-8", "replace").decode("utf-8")))


def count_request(model: str, request: ChatRequest) -> int | None:
    """Tokens of a request's prompt: its texts exactly, with the usual frame around each message; tools as their JSON, pictures and
    documents as `usage.estimate_request` guesses them. None as for `count`. Takes its time: not for the event loop."""
    total = ANSWER_FRAME
    for message in request.messages:
        for part in message.parts:
            counted = _part(model, part)
            if counted is None:
                return None
            total += counted
        total += MESSAGE_FRAME
    for tool in request.tools:
        counted = count(model, f"{tool.name}{tool.description or ''}{tool.schema or tool.format or tool.raw}")
        if counted is None:
            return None
        total += counted + MESSAGE_FRAME
    if request.output is not None and request.output.schema:
        total += usage.estimate_tokens(str(request.output.schema))
    return total


def _part(model: str, part: Part) -> int | None:
    match part:
        case TextPart() | RefusalPart() | ReasoningPart():
            return count(model, part.text)
        case ToolCallPart():
            called = count(model, f"{part.name}{part.arguments}")
            return None if called is None else called + MESSAGE_FRAME
        case ToolResultPart():
            inner = [_part(model, piece) for piece in part.parts]
            return None if None in inner else MESSAGE_FRAME + sum(piece for piece in inner if piece is not None)
        case MediaPart(text=text) if text:
            return count(model, text)
        case _:
            return usage.part_tokens(part)


# ---------------------------------------------------------------- Vocabularies


@lru_cache(maxsize=1)
def _splintr() -> Any:
    try:
        return import_module("splintr")
    except ImportError:
        return None


@lru_cache(maxsize=16)
def _encoder(name: str) -> Any:
    """The encoder of a vocabulary; None when this release of splintr has none of that name."""
    try:
        return _splintr().Tokenizer.from_pretrained(name)
    except Exception as error:  # noqa: BLE001 - whatever a foreign library raises: estimates go on
        log.warning("the vocabulary %s cannot be loaded, tokens are estimated: %s", name, error)
        return None
    finally:
        _loading.discard(name)
        _loaded.add(name)


def _is_loaded(name: str) -> bool:
    if name not in _loaded and name not in _loading:
        _loading.add(name)
        threading.Thread(target=_encoder, args=(name,), name=f"vocabulary {name}", daemon=True).start()
    return name in _loaded
