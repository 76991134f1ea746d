"""OpenAI Responses, read for the tests: an answer of any host, or one of ours, which must keep to the grammar."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.replay.told import Call, Counts, Event, Json, Told, exact, expect, free_text, objects, picture

ENDS = ("response.completed", "response.incomplete", "response.failed")
_REASONS = {"max_output_tokens": "length", "content_filter": "filter"}


def whole(body: Json) -> Told:
    return _told(body, body.get("output") or [])


def stream(told: Sequence[Event]) -> Told:
    """The response with the last word; its items, where the host leaves them out, from the events before. Deltas of a stream that
    was cut count for what they say. What follows the end is nobody's."""
    items: list[Json] = []
    partial = Told()
    for data in objects(told):
        kind = data.get("type", "")
        if kind == "response.output_item.done":
            items.append(data["item"])
        elif kind == "response.output_text.delta":
            partial.say(data["delta"])
        elif kind in ENDS:
            answer = _told(data["response"], data["response"].get("output") or items)
            return answer if answer.spoke or not partial.spoke else _with(partial, answer)
        elif kind == "error" or (not kind and data.get("error")):
            partial.error = error_words(data)
    return partial


def _with(partial: Told, answer: Told) -> Told:
    partial.error, partial.model, partial.usage = answer.error, answer.model, answer.usage
    return partial


def _told(response: Json, output: Sequence[Json]) -> Told:
    told = Told(error=error_words(response), model=response.get("model") or "", usage=counts(response.get("usage") or {}))
    refused = False
    for item in output:
        match item["type"]:
            case "message":
                refused = any(_part(told, part) for part in item["content"]) or refused
            case "reasoning":
                parts = item.get("content") or item.get("summary") or ()
                told.think("\n\n".join(part["text"] for part in parts))
            case "function_call":
                told.note("call")
                told.calls.append(Call(item.get("call_id") or "", item["name"], exact(item.get("arguments") or "")))
            case "custom_tool_call":
                told.note("call")
                told.calls.append(Call(item.get("call_id") or "", item["name"], free_text(item["input"])))
            case "image_generation_call" if item.get("result"):
                told.media.append(picture(f"image/{item.get('output_format') or 'png'}", item["result"]))
            case kind:
                told.hosted.append(kind)
    reason = (response.get("incomplete_details") or {}).get("reason")
    if reason or response.get("status") == "incomplete":
        told.finish = _REASONS.get(reason or "", "other")
    elif not told.error:
        told.finish = "tool_calls" if told.calls else "refusal" if refused else "stop"
    return told


def _part(told: Told, part: Json) -> bool:
    """Whether it was a refusal."""
    told.say(part.get("text") or part.get("refusal") or "")
    for note in part.get("annotations") or ():
        if note["type"] == "url_citation":
            told.cite(note.get("url"), note.get("title"))
        else:
            told.cite("", note.get("filename") or note.get("file_id"))
    for token in part.get("logprobs") or ():
        told.logprobs.append((token["token"], round(float(token["logprob"]), 6)))
    return bool(part["type"] == "refusal")


def counts(usage: Json) -> Counts:
    given, made = usage.get("input_tokens_details") or {}, usage.get("output_tokens_details") or {}
    return Counts(
        usage.get("input_tokens"),
        usage.get("output_tokens"),
        given.get("cached_tokens"),
        given.get("cache_write_tokens"),
        made.get("reasoning_tokens"),
    )


def error_words(body: Any) -> str:
    error = body.get("error") if isinstance(body, dict) else None
    if isinstance(error, dict):
        return str(error.get("message") or error)
    return str(error or (body.get("message", "") if isinstance(body, dict) and body.get("type") == "error" else ""))


# ---------------------------------------------------------------- Our own streams

_TEXTS = {
    "response.output_text.delta": "text", "response.refusal.delta": "refusal", "response.function_call_arguments.delta": "arguments",
    "response.custom_tool_call_input.delta": "input", "response.reasoning_summary_text.delta": "summary",
    "response.reasoning_text.delta": "content",
}  # fmt: skip


def check(told: Sequence[Event]) -> None:
    """Numbered events named as their type: created, items one after the other, and an end that repeats them. Deltas add up."""
    expect(all(isinstance(event.data, dict) and event.name == event.data["type"] for event in told), "an event is not named as its type")
    said = [event.data for event in told]
    expect([data["sequence_number"] for data in said] == list(range(len(said))), "sequence numbers do not count up")
    expect(said[0]["type"] == "response.created" and said[-1]["type"] in ENDS, f"begins or ends wrongly: {said[-1]['type']}")
    done: list[Json] = []
    open_id: str | None = None
    grown: dict[str, str] = {}
    for data in said[1:-1]:
        kind = data["type"]
        if kind == "response.output_item.added":
            expect(open_id is None and data["output_index"] == len(done), "an item begins inside another one")
            open_id, grown = data["item"]["id"], {}
        elif kind == "response.output_item.done":
            expect(open_id == data["item"]["id"] and data["output_index"] == len(done), "an item ends that is not open")
            _check_item(data["item"], grown)
            done.append(data["item"])
            open_id = None
        elif "item_id" in data:
            expect(data["item_id"] == open_id, f"{kind} outside its item")
            if kind in _TEXTS:
                grown[_TEXTS[kind]] = grown.get(_TEXTS[kind], "") + data["delta"]
    expect(open_id is None, "an item stays open")
    if said[-1]["type"] != "response.failed":
        expect(said[-1]["response"]["output"] == done, "the end tells other items than the stream")


def _check_item(item: Json, grown: dict[str, str]) -> None:
    parts = item.get("content") or ()
    whole_texts = {
        "text": "".join(part.get("text", "") for part in parts if part["type"] == "output_text"),
        "refusal": "".join(part.get("refusal", "") for part in parts if part["type"] == "refusal"),
        "content": "".join(part.get("text", "") for part in parts if part["type"] == "reasoning_text"),
        "summary": "".join(part["text"] for part in item.get("summary") or ()),
        "arguments": item.get("arguments", "") if item["type"] == "function_call" else "",
        "input": item.get("input", "") if item["type"] == "custom_tool_call" else "",
    }
    for key, text in whole_texts.items():
        expect(grown.get(key, "") == (text or ""), f"the deltas of {key} do not add up to the item")
