"""The vocabulary of OpenAI's Responses format: names, maps and the conversions both directions share.

Sources: the API as typed by the vendor's SDK 3.52, what other hosts of the format and the Codex backend really send
(recorded exchanges; upstreams.md §1, §6A), and what clients insist on (clients.md, findings 6, 9, 11).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from omni_connector.chat import ENVELOPE, Finish, Json, Opaque, Origin, Usage, seal, unseal
from omni_connector.wire.anthropic_words import NO_OPAQUE
from omni_connector.wire.fields import integer
from omni_connector.wire.openai_chat_words import dumps, loads
from omni_connector.wire.openai_chat_words import to_usage as chat_usage

NAME = "openai-responses"
PATH = "/responses"
KEEPALIVE = b": keepalive\n"

ITEM = "item"
"""Key in `extra` of a message or part: what its item says beside its content ("id", "status", "phase", "namespace", …). On
a part of the assistant's words it also means that a new message item begins here."""

ID_PREFIX: Mapping[str, str] = {"message": "msg", "function_call": "fc", "custom_tool_call": "ctc", "reasoning": "rs"}

# ---------------------------------------------------------------- How an answer ended

INCOMPLETE: Mapping[str, Finish] = {"max_output_tokens": Finish.LENGTH, "content_filter": Finish.FILTER}
"""`incomplete_details.reason` → its meaning; others ("max_messages", "steered") are OTHER with the word in `raw`."""
OTHER_INCOMPLETE = frozenset({"max_messages", "steered", "incomplete"})
NOT_DONE = frozenset({"queued", "in_progress", "cancelled"})
"""Status of a whole answer that runs in the background, or was stopped there: no failure, but no answer either."""

REASON: Mapping[Finish, str | None] = {
    Finish.STOP: None,
    Finish.STOP_SEQUENCE: None,
    Finish.TOOL_CALLS: None,
    Finish.PAUSE: None,
    Finish.OTHER: None,
    Finish.LENGTH: "max_output_tokens",
    Finish.CONTEXT: "max_output_tokens",
    Finish.FILTER: "content_filter",
    Finish.REFUSAL: "content_filter",
}
"""Finish → why the response is incomplete; None: it is completed."""

CALLS = frozenset({"function_call", "custom_tool_call"})


def is_call(item: Any) -> bool:
    """Whether an output item is a call of a client's tool."""
    kind, name = (item.get("type"), item.get("name")) if isinstance(item, dict) else (None, None)
    return isinstance(kind, str) and kind in CALLS and isinstance(name, str) and bool(name)


def finish_of(response: Json, calls: bool, *, ended: bool = False) -> tuple[Finish, str]:
    """A response object → (meaning, the provider's own word). `ended`: its stream is over, whatever `status` still says."""
    status = response.get("status")
    details = response.get("incomplete_details")
    if status == "incomplete" or (isinstance(details, dict) and details.get("reason")):
        reason = details.get("reason") if isinstance(details, dict) else None
        word = reason if isinstance(reason, str) and reason else "incomplete"
        return INCOMPLETE.get(word, Finish.OTHER), word
    if isinstance(status, str) and status in NOT_DONE and not ended:
        return Finish.OTHER, status
    return (Finish.TOOL_CALLS if calls else Finish.STOP), "completed"


def status_of(finish: Finish, raw: str | None) -> tuple[str, str | None]:
    """Finish → (`status`, `incomplete_details.reason`). Words of this format that mean nothing elsewhere come back as they were."""
    if finish is Finish.OTHER and raw in NOT_DONE:
        return str(raw), None
    if finish is Finish.OTHER and raw in OTHER_INCOMPLETE:
        return "incomplete", None if raw == "incomplete" else raw
    reason = REASON[finish]
    return ("completed" if reason is None else "incomplete"), reason


# ---------------------------------------------------------------- Usage


def to_usage(raw: Any) -> Usage | None:
    """A usage block → exclusive counts. `input_tokens` includes cached and written tokens, `output_tokens` the reasoning;
    hosts stray from that in the same ways as in the chat format, so its rules decide."""
    if not isinstance(raw, dict):
        return None
    same = {
        **raw,
        "prompt_tokens": raw.get("input_tokens"),
        "completion_tokens": raw.get("output_tokens"),
        "prompt_tokens_details": raw.get("input_tokens_details"),
        "completion_tokens_details": raw.get("output_tokens_details"),
    }
    counts = chat_usage(same)
    return None if counts is None else replace(counts, raw=raw)


def usage_of(response: Json) -> Usage | None:
    """Usage of a response object, with its class of service and the searches that its `tool_usage` bills."""
    counts = to_usage(response.get("usage"))
    tools = response.get("tool_usage")
    search = tools.get("web_search") if isinstance(tools, dict) else None
    number = integer(search.get("num_requests")) if isinstance(search, dict) else None
    tier = response.get("service_tier")
    if counts is not None and isinstance(tier, str) and tier:
        counts = replace(counts, tier=tier.lower())
    if counts is None or not number or number < 0:
        return counts
    return replace(counts, web_searches=number)


def from_usage(usage: Usage | None) -> Json:
    """Counts → a usage block: inclusive again, over what else the provider's own block of this format said. It is always
    there, with zeros when nothing is known: clients repeat the request forever without it (clients.md, finding 9)."""
    usage = usage or Usage()
    raw = usage.raw if "input_tokens" in usage.raw and "total_tokens" in usage.raw else {}
    details = _object(raw.get("input_tokens_details"))
    return {
        **raw,
        "input_tokens": usage.prompt,
        "input_tokens_details": {**details, "cached_tokens": usage.cache_read or 0, "cache_write_tokens": usage.cache_write or 0},
        "output_tokens": usage.output or 0,
        "output_tokens_details": {**_object(raw.get("output_tokens_details")), "reasoning_tokens": usage.reasoning or 0},
        "total_tokens": usage.total,
    }


def _object(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


# ---------------------------------------------------------------- Opaque values

ENCRYPTED = "openai.encrypted"
"""Opaque kind: a reasoning item's `encrypted_content` behind its id, which must come back together (`pack`)."""
FOR_CALL = "openai-responses.for_call"
"""Opaque kind: wraps what belongs to a tool call (a thought signature), since call items have no field for it. It travels
in a reasoning item of its own, directly behind the call; the value is JSON of [call id, sealed value]."""
_BETWEEN = ","
"""Separates several envelopes in one field; not a letter of an envelope."""


def pack(item_id: str, encrypted: str) -> str:
    """Id and cipher text → one value that other formats' clients can carry."""
    item_id = "" if " " in item_id else item_id
    return f"{item_id} {encrypted}" if item_id or " " in encrypted else encrypted


def unpack(value: str) -> tuple[str, str]:
    item_id, space, encrypted = value.partition(" ")
    return (item_id, encrypted) if space else ("", value)


def open_encrypted(text: str, item_id: str) -> tuple[tuple[Opaque, ...], dict[str, list[Opaque]]]:
    """A client's `encrypted_content` → (values of the thought, values of tool calls by call id).

    A bare one is this format's own. A torn envelope is still known to be ours, so it becomes a placeholder that no origin matches.
    """
    if not text.startswith(ENVELOPE):
        return (Opaque(ENCRYPTED, pack(item_id, text)),), {}
    thought: list[Opaque] = []
    calls: dict[str, list[Opaque]] = {}
    for piece in text.split(_BETWEEN):
        opaque = unseal(piece) or Opaque(NO_OPAQUE, "", Origin("", ""))
        if opaque.kind != FOR_CALL:
            thought.append(opaque)
            continue
        match loads(opaque.value):
            case [str(call_id), str(sealed)]:
                inner = unseal(sealed)
                if inner is not None:
                    calls.setdefault(call_id, []).append(inner)
            case _:
                pass
    return tuple(thought), calls


def close_encrypted(opaques: Sequence[Opaque], origin: Origin | None) -> tuple[str, str]:
    """Values of a thought → (item id, `encrypted_content`): this format's own bare, all others sealed. A thought without any
    gets a placeholder that says who thought it, so that it is not sent to somebody who never saw it."""
    if len(opaques) == 1 and opaques[0].kind == ENCRYPTED:
        return unpack(opaques[0].value)
    return "", _BETWEEN.join(seal(opaque) for opaque in opaques or [Opaque(NO_OPAQUE, "", origin)])


def seal_for_call(call_id: str, opaques: Sequence[Opaque]) -> str:
    return _BETWEEN.join(seal(Opaque(FOR_CALL, dumps([call_id, seal(opaque)]), opaque.origin)) for opaque in opaques)


# ---------------------------------------------------------------- Citations and cache markers


def to_citation(note: Json) -> Json:
    """An annotation → the form in which both formats of this vendor keep citations: a `url_citation` nests its fields as the
    chat format does."""
    if note.get("type") != "url_citation" or "url_citation" in note:
        return note
    return {"type": "url_citation", "url_citation": {key: value for key, value in note.items() if key != "type"}}


_OWN_NOTES = frozenset({"url_citation", "file_citation", "file_path", "container_file_citation"})


def from_citation(citation: Json, start: int, end: int) -> Json | None:
    """The opposite. A citation of another format becomes a `url_citation` over the words it stands at; without a URL there is
    no way to say it."""
    if citation.get("type") in _OWN_NOTES:
        inner = citation.get("url_citation")
        return {"type": "url_citation", **inner} if isinstance(inner, dict) else citation
    url = citation.get("url")
    if not isinstance(url, str):
        return None
    title = citation.get("title")
    return {
        "type": "url_citation",
        "start_index": start,
        "end_index": end,
        "url": url,
        "title": title if isinstance(title, str) else url,
    }


_CACHE_TTL: Mapping[str | None, str | None] = {None: None, "30m": "5m", "12h": "1h"}
"""`prompt_cache_breakpoint.ttl` → ttl of a cache marker in Anthropic's words: short to short, long to long."""
_BREAKPOINT_TTL = {there: here for here, there in _CACHE_TTL.items()}


def to_cache(breakpoint_: Any) -> Json | None:
    """`prompt_cache_breakpoint` → cache marker; None where it is more than the marker can say."""
    if not isinstance(breakpoint_, dict) or breakpoint_.get("mode") != "explicit" or not breakpoint_.keys() <= {"mode", "ttl"}:
        return None
    ttl = breakpoint_.get("ttl")
    if ttl is not None and not (isinstance(ttl, str) and ttl in _CACHE_TTL):
        return None
    return {"type": "ephemeral"} if ttl is None else {"type": "ephemeral", "ttl": _CACHE_TTL[ttl]}


def from_cache(cache: Json) -> Json:
    ttl = cache.get("ttl")
    mapped = _BREAKPOINT_TTL.get(ttl) if isinstance(ttl, str) else None
    return {"mode": "explicit"} if mapped is None else {"mode": "explicit", "ttl": mapped}


# ---------------------------------------------------------------- Ids and formats of free-text tools

MAX_CALL_ID = 64
"""Longest `call_id` the API takes."""


def call_id(given: str) -> str:
    """A tool call's id as the API takes it; longer ones are hashed, the same way every time."""
    if len(given) <= MAX_CALL_ID:
        return given
    digest = hashlib.sha256(given.encode("utf-8", "replace")).digest()
    return "call_" + base64.b32encode(digest).decode().rstrip("=").lower()


def to_grammar(form: Json | None) -> Json | None:
    """A custom tool's `format` → the canonical form, which is the chat format's: the grammar in an object of its own."""
    if form is None or form.get("type") != "grammar" or "grammar" in form:
        return form
    return {"type": "grammar", "grammar": {key: value for key, value in form.items() if key != "type"}}


def from_grammar(form: Json | None) -> Json | None:
    inner = None if form is None else form.get("grammar")
    return {"type": "grammar", **inner} if isinstance(inner, dict) else form
