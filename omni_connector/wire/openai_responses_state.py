"""What the Responses format keeps between requests: `previous_response_id`, and the bodies of `/responses/{id}`.

The value kept of an answer is `{"input": [items], "response": {…}}`: what was asked, without what came before it, and the whole
response object. Whoever stores it keeps it by the response's id; a conversation is a chain of such answers, oldest first.

Replaying an answer as input of a request that another account may serve (rules where the API does not say):
- Thoughts go along with their `encrypted_content`, or with words of their own (`content`, from hosts of open models). A bare id,
  or a summary alone, means something only to the account that stored the thought: left out, and with it the ids of that
  answer's words and calls, by which that account would miss the thought.
- A call that was cut short and that nobody answered, a provider's own tool that had not finished, and a message without
  content are left out. Everything else is valid input as it is; null fields, which some hosts refuse, go.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from omni_connector.chat import ChatRequest, Json
from omni_connector.errors import GatewayError, Kind, bad_request
from omni_connector.values import dataclass
from omni_connector.wire import views
from omni_connector.wire.openai_responses_words import CALLS, ID_PREFIX

_UNFINISHED = frozenset({"in_progress", "searching", "interpreting", "generating"})
"""Status of a provider's own tool that has not come to an end (SDK 3.52)."""
_NAMED = frozenset({"message", *CALLS})
"""Items whose id may be left out when they are sent again."""
_WITH_STATUS = frozenset({"message", "function_call", "function_call_output"})
"""Items that SDKs expect a status of when they are listed."""
_OUTPUT_PREFIX = "fco"
_PAGE = 20
_MAX_PAGE = 100
_ORDERS = ("asc", "desc")


@dataclass(frozen=True, slots=True)
class Kept:
    """One answer of a conversation. `value` is what `stored` made; `account_id`: who answered; `previous_id`: what it continued."""

    value: Json
    account_id: str | None = None
    previous_id: str | None = None


def wants_store(body: Json) -> bool:
    """Whether the answer to this request is to be kept: the API's default, unless the client says no."""
    store = body.get("store")
    return store is None or store is True


def own_input(body: Json) -> list[Any]:
    """The items that this very request brings; a string is a message of the user."""
    given = body.get("input")
    if isinstance(given, str):
        return [{"type": "message", "role": "user", "content": given}] if given else []
    return list(given) if isinstance(given, list) else []


def stored(response: Json, body: Json) -> Json:
    """The value to keep of an answer. `body`: the request as the client sent it, whose names and links count: the one that went
    upstream may have had another model, and the conversation written out."""
    model = body.get("model")
    own = {"previous_response_id": body.get("previous_response_id"), "store": True}
    if isinstance(model, str) and model:
        own["model"] = model
    return {"input": own_input(body), "response": {**response, **own}}


def said(chain: Sequence[Kept]) -> bytes:
    """What was asked and answered so far, for counting its tokens."""
    return views.encode({"input": [(kept.value.get("input"), (kept.value.get("response") or {}).get("output")) for kept in chain]})


def joined(body: Json, chain: Sequence[Kept]) -> Json:
    """A request that continues earlier answers → the same request with that conversation in its `input`. `chain`: oldest first.

    `instructions` and `tools` of then do not carry over (API reference). Raises GatewayError (BAD_REQUEST, code
    previous_response_not_found) when the conversation is not there from its beginning.
    """
    gone = chain[0].previous_id if chain else body.get("previous_response_id")
    if gone is not None:
        raise missing(str(gone))
    own = own_input(body)
    answered = {item["call_id"] for items in (*(kept.value["input"] for kept in chain), own) for item in items if _is_output(item)}
    items: list[Any] = []
    for kept in chain:
        items += kept.value["input"]
        items += _replayed(kept.value["response"], answered)
    rest = {key: value for key, value in body.items() if key != "previous_response_id"}
    return {**rest, "input": [*items, *own]}


def _is_output(item: Any) -> bool:
    """Whether an item answers a call."""
    return isinstance(item, dict) and _word(item, "type").endswith("_output") and bool(_word(item, "call_id"))


def _word(item: Json, key: str) -> str:
    """A field that should be text: what others stored may be anything."""
    value = item.get(key)
    return value if isinstance(value, str) else ""


def _replayed(response: Json, answered: set[str]) -> list[Json]:
    """The output of an answer, as input of a later request."""
    output = response.get("output")
    items = [item for item in output if isinstance(item, dict)] if isinstance(output, list) else []
    cut = response.get("status") == "incomplete"
    kept = [item for item in items if not _is_torso(item, cut, answered)]
    sayable = [item for item in kept if _word(item, "type") != "reasoning" or item.get("encrypted_content") or item.get("content")]
    nameless = _NAMED if len(sayable) < len(kept) else frozenset()
    return [
        {key: value for key, value in item.items() if value is not None and not (key == "id" and _word(item, "type") in nameless)}
        for item in sayable
    ]


def _is_torso(item: Json, cut: bool, answered: set[str]) -> bool:
    """Whether an item is no more than the beginning of one. Some hosts call finished calls "in_progress", so that says
    something only in an answer that was `cut`."""
    kind, status = _word(item, "type"), _word(item, "status")
    if kind == "message":
        return not item.get("content")
    if kind in CALLS:
        return (status == "incomplete" or (cut and status != "completed")) and _word(item, "call_id") not in answered
    return kind != "reasoning" and status in _UNFINISHED


def naming(request: ChatRequest, response_id: str) -> ChatRequest:
    """The request of an answer that echoes what it goes on from, though the conversation was written out for the provider."""
    return replace(request, extra={**request.extra, "previous_response_id": response_id})


# ---------------------------------------------------------------- What is not there


def missing(response_id: str) -> GatewayError:
    """The refusal of a request that continues an answer which is not here; clients know its code and first words."""
    words = f"Previous response with id '{response_id[:100]}' not found. It was not stored for this omni-key, was deleted, or is too old."
    words += " Send the whole conversation in `input` instead."
    return GatewayError(Kind.BAD_REQUEST, words, param="previous_response_id", code="previous_response_not_found")


def not_found(response_id: str) -> GatewayError:
    """The answer to `/responses/{id}` and its parts, when there is none."""
    words = f"Response with id '{response_id[:100]}' not found. It was not stored for this omni-key, was deleted, or is too old."
    return GatewayError(Kind.NOT_FOUND, words, param="id")


# ---------------------------------------------------------------- /responses/{id}


def render_stored(value: Json) -> Json:
    """GET /responses/{id}."""
    return dict(value["response"])


def render_deleted(response_id: str) -> Json:
    """DELETE /responses/{id}."""
    return {"id": response_id, "object": "response", "deleted": True}


def render_input_items(value: Json, limit: str | int | None = None, after: str | None = None, order: str | None = None) -> Json:
    """GET /responses/{id}/input_items: one page of what the request itself brought, newest first unless `order` is "asc".

    `limit` (1 to 100, default 20), `after` (an item's id) and `order` are the query's. Raises GatewayError (BAD_REQUEST).
    """
    size = _page_size(limit)
    if order is not None and order not in _ORDERS:
        raise bad_request(f"`order` is {order[:40]!r}. Use asc or desc.", "order")
    about = str(value["response"].get("id"))
    items = [_listed(item, f"{about}:{number}") for number, item in enumerate(value["input"]) if isinstance(item, dict)]
    if order != "asc":
        items.reverse()
    if after:
        place = next((number for number, item in enumerate(items) if item["id"] == after), None)
        if place is None:
            raise bad_request(f"`after` is {after[:100]!r}, which is no item of this response. Use the `last_id` of a page.", "after")
        items = items[place + 1 :]
    page = items[:size]
    ends = (page[0]["id"], page[-1]["id"]) if page else (None, None)
    return {"object": "list", "data": page, "first_id": ends[0], "last_id": ends[1], "has_more": len(items) > size}


def _page_size(limit: str | int | None) -> int:
    if limit is None:
        return _PAGE
    text = str(limit)
    size = int(text) if text.isascii() and text.isdecimal() and len(text) < 9 else 0
    if not 1 <= size <= _MAX_PAGE:
        raise bad_request(f"`limit` is {text[:40]!r}. Use a whole number from 1 to {_MAX_PAGE}.", "limit")
    return size


def _listed(item: Json, about: str) -> Json:
    """An input item as the API lists it: with type, id and status, and a message's content as parts. Items that came without
    an id get the same one every time."""
    kind = _word(item, "type") or ("message" if "role" in item else "item_reference")
    shown: Json = {**item, "type": kind}
    if not isinstance(item.get("id"), str):
        shown["id"] = f"{_prefix(kind)}_{hashlib.sha256(about.encode('utf-8', 'replace')).hexdigest()[:48]}"
    if kind in _WITH_STATUS:
        shown.setdefault("status", "completed")
    if kind == "message" and isinstance(item.get("content"), str):
        shown["content"] = [_text(item["content"], item.get("role") == "assistant")]
    return shown


def _prefix(kind: str) -> str:
    return _OUTPUT_PREFIX if kind.endswith("_output") else ID_PREFIX.get(kind, "item")


def _text(text: str, said: bool) -> Mapping[str, Any]:
    return {"type": "output_text", "text": text, "annotations": []} if said else {"type": "input_text", "text": text}
