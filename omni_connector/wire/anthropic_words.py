"""The vocabulary of Anthropic's Messages format: names, maps and the small conversions both directions share.

Sources: reference of the Messages API as typed by the vendor's SDK 2.11 (stop reasons, usage, error types).
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from omni_connector.chat import ENVELOPE, Finish, Json, Opaque, Origin, Usage, unseal

NAME = "anthropic-messages"
PATH = "/v1/messages"
KEEPALIVE = b'event: ping\ndata: {"type": "ping"}\n\n'

SIGNATURE = "anthropic.signature"
REDACTED = "anthropic.redacted"
NO_OPAQUE = "none"
"""Kind of the sealed placeholder in the `signature` of a thought that came without any proof."""

FINISH: Mapping[str, Finish] = {
    "end_turn": Finish.STOP,
    "stop_sequence": Finish.STOP_SEQUENCE,
    "max_tokens": Finish.LENGTH,
    "model_context_window_exceeded": Finish.CONTEXT,
    "tool_use": Finish.TOOL_CALLS,
    "refusal": Finish.REFUSAL,
    "pause_turn": Finish.PAUSE,
}
STOP_REASON: Mapping[Finish, str] = {
    Finish.STOP: "end_turn",
    Finish.STOP_SEQUENCE: "stop_sequence",
    Finish.LENGTH: "max_tokens",
    Finish.CONTEXT: "model_context_window_exceeded",
    Finish.TOOL_CALLS: "tool_use",
    Finish.FILTER: "refusal",
    Finish.REFUSAL: "refusal",
    Finish.PAUSE: "pause_turn",
    Finish.OTHER: "end_turn",
}

CITATIONS = ("char_location", "page_location", "content_block_location", "web_search_result_location", "search_result_location")
"""Types of citations that belong to this format."""
FOREIGN_PAGE = "foreign.page"
"""Opaque kind: stands for the `encrypted_index` of a page that another format's provider cited."""


def is_foreign_page(citation: Json) -> bool:
    """Whether it is one that we wrote: the vendor would refuse it."""
    index = citation.get("encrypted_index")
    return isinstance(index, str) and index.startswith(ENVELOPE)


DEFAULT_MAX_TOKENS = 8192
"""The API demands `max_tokens`; this is it when neither the caller nor the catalogue knows one."""
MIN_BUDGET = 1024
"""Least `budget_tokens` the API accepts."""


# ---------------------------------------------------------------- JSON


def dumps(value: Any) -> bytes:
    """Compact JSON. Half an emoji (a lone surrogate, as some hosts split them over chunks) stays an escape."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()


def loads(text: bytes | str) -> Any:
    """JSON text → value. Raises ValueError for anything else, also for numbers no JSON writer could give back."""
    try:
        return msgspec.json.decode(text)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from error
    except msgspec.DecodeError:
        if b"\\u" in text if isinstance(text, bytes) else "\\u" in text:
            return json.loads(text)
        raise ValueError("not JSON") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None


def loads_object(text: bytes | str) -> Json | None:
    """JSON text → object; None when it is anything else."""
    try:
        value = loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


# ---------------------------------------------------------------- Tool calls

RAW_ARGUMENTS = "_raw_arguments"
CUSTOM_INPUT = "input"


def to_input(arguments: str, custom: bool = False) -> Json:
    """Arguments → the `input` object that this format demands, without losing a character.

    JSON objects as they are; nothing → {}; free text of a custom tool → {"input": text}; anything else (a JSON list,
    broken JSON of an answer that was cut) → {"_raw_arguments": text}, which `to_arguments` undoes.
    """
    if custom:
        return {CUSTOM_INPUT: arguments}
    if not arguments.strip():
        return {}
    value = loads_object(arguments)
    return {RAW_ARGUMENTS: arguments} if value is None else value


def to_arguments(value: Json) -> str:
    """The `input` object → arguments text; the opposite of `to_input`."""
    raw = value.get(RAW_ARGUMENTS)
    if len(value) == 1 and isinstance(raw, str) and loads_object(raw) is None:
        return raw
    return dumps(value).decode()


_GOOD_ID = re.compile(r"[a-zA-Z0-9_-]+\Z")
_ID_ENVELOPE = "omni_"


def to_wire_id(call_id: str) -> str:
    """A tool call's id in the letters this API allows (^[a-zA-Z0-9_-]+$), reversibly.

    Good ids stay; others ("functions.read:0") become "omni_" + base64url, so equal ids stay equal, different ones
    different, and `from_wire_id` gives a returning one back to the provider that minted it.
    """
    if _GOOD_ID.match(call_id):
        return call_id
    return _ID_ENVELOPE + base64.urlsafe_b64encode(call_id.encode("utf-8", "surrogatepass")).decode().rstrip("=")


def from_wire_id(wire_id: str) -> str:
    """The opposite of `to_wire_id`; what it did not write stays as it is."""
    if not wire_id.startswith(_ID_ENVELOPE):
        return wire_id
    body = wire_id[len(_ID_ENVELOPE) :]
    try:
        call_id = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)).decode("utf-8", "surrogatepass")
    except (ValueError, binascii.Error):
        return wire_id
    return call_id if call_id and to_wire_id(call_id) == wire_id else wire_id


# ---------------------------------------------------------------- Opaque values

_BETWEEN = ","
"""Separates several envelopes in one field; not a letter of an envelope."""


def open_opaque(text: str, kind: str) -> tuple[Opaque, ...]:
    """A client's `signature` or `data` → opaque values: bare ones of this format as they are, sealed ones opened.

    A torn envelope is still known to be ours, so it becomes a placeholder that no origin matches.
    """
    if not text.startswith(ENVELOPE):
        return (Opaque(kind, text),)
    return tuple(unseal(piece) or Opaque(NO_OPAQUE, "", Origin("", "")) for piece in text.split(_BETWEEN))


def join_sealed(envelopes: list[str]) -> str:
    return _BETWEEN.join(envelopes)


# ---------------------------------------------------------------- Usage

_COUNTS: Mapping[str, str] = {
    "input": "input_tokens",
    "cache_write": "cache_creation_input_tokens",
    "cache_read": "cache_read_input_tokens",
    "output": "output_tokens",
}
_RAW_USAGE = ("cache_creation", "server_tool_use", "service_tier", "inference_geo", "speed", "iterations")
"""Parts of a usage block that only this format has."""


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def to_usage(raw: Any) -> Usage | None:
    """A usage block → counts. `input_tokens` already excludes both cache counts here.

    Tokens of a server-side compaction are billed but not in the top-level counts, only in `iterations`
    (documentation of compaction, "usage"), so they are added.
    """
    if not isinstance(raw, dict):
        return None
    details = raw.get("output_tokens_details")
    counts: dict[str, Any] = {name: _count(raw.get(key)) for name, key in _COUNTS.items()}
    iterations = raw.get("iterations")
    for step in iterations if isinstance(iterations, list) else ():
        if isinstance(step, dict) and step.get("type") == "compaction":
            for name, key in _COUNTS.items():
                counts[name] = (counts[name] or 0) + (_count(step.get(key)) or 0)
    reasoning = _count(details.get("thinking_tokens")) if isinstance(details, dict) else None
    cached, run = raw.get("cache_creation"), raw.get("server_tool_use")
    return Usage(
        **counts,
        reasoning=reasoning,
        raw=raw,
        cache_write_1h=_count(cached.get("ephemeral_1h_input_tokens")) if isinstance(cached, dict) else None,
        web_searches=_count(run.get("web_search_requests")) if isinstance(run, dict) else None,
    )


def from_usage(usage: Usage | None) -> Json:
    """Counts → a usage block. Both `input_tokens` and `output_tokens` are always there: clients fail without."""
    usage = usage or Usage()
    block: Json = {
        "input_tokens": usage.input or 0,
        "cache_creation_input_tokens": usage.cache_write or 0,
        "cache_read_input_tokens": usage.cache_read or 0,
        "output_tokens": usage.output or 0,
    }
    raw = usage.raw
    if isinstance(raw.get("iterations"), list):
        # The sums above hold compaction tokens; the block itself counts them apart.
        block.update({key: raw[key] for key in block if _count(raw.get(key)) is not None})
    if usage.reasoning is not None:
        block["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    if usage.cache_write_1h is not None:
        short = max(0, (usage.cache_write or 0) - usage.cache_write_1h)
        block["cache_creation"] = {"ephemeral_5m_input_tokens": short, "ephemeral_1h_input_tokens": usage.cache_write_1h}
    if usage.web_searches is not None:
        block["server_tool_use"] = {"web_search_requests": usage.web_searches, "web_fetch_requests": 0}
    if "input_tokens" in raw:
        block.update({key: raw[key] for key in _RAW_USAGE if raw.get(key) is not None})
    return block
