"""Gemini, read for the tests: an answer of any host, or one of ours, which must keep to the grammar."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from tests.replay.told import Call, Counts, Event, Json, Told, exact, expect, objects, picture

FINISH = {"STOP": "stop", 1: "stop", "MAX_TOKENS": "length", 2: "length"} | dict.fromkeys(
    ("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR", "IMAGE_SAFETY", "LANGUAGE"), "filter"
)


def whole(body: Json | list[Json]) -> Told:
    return _told(body if isinstance(body, list) else [body])


def stream(told: Sequence[Event]) -> Told:
    return _told(objects(told))


def _told(chunks: Sequence[Json]) -> Told:
    choices: dict[int, _Candidate] = {}
    used, error, blocked, model = Counts(), "", False, ""
    for chunk in chunks:
        error = error or error_words(chunk)
        model = chunk.get("modelVersion") or model
        blocked = blocked or ("promptFeedback" in chunk and not chunk.get("candidates"))
        for position, candidate in enumerate(chunk.get("candidates") or ()):
            choices.setdefault(candidate.get("index", position), _Candidate()).take(candidate)
        used = counts(chunk.get("usageMetadata") or {}, used)
    first, *others = [choices[number].told() for number in sorted(choices)] or [Told(finish="filter" if blocked else "")]
    first.others, first.usage, first.error, first.model = others, used, error, model
    return first


class _Candidate:
    def __init__(self) -> None:
        self._told = Told()
        self._calls: list[Json] = []
        self._word: Any = None

    def take(self, candidate: Json) -> None:
        self._word = candidate.get("finishReason", self._word)
        for part in (candidate.get("content") or {}).get("parts") or ():
            self._part(part)
        for chunk in (candidate.get("groundingMetadata") or {}).get("groundingChunks") or ():
            for page in chunk.values():
                self._told.cite(page.get("uri"), page.get("title"))
        found = candidate.get("citationMetadata") or {}
        for page in found.get("citationSources") or found.get("citations") or ():
            self._told.cite(page.get("uri"), page.get("title"))
        for token in (candidate.get("logprobsResult") or {}).get("chosenCandidates") or ():
            self._told.logprobs.append((token["token"], round(float(token["logProbability"]), 6)))

    def _part(self, part: Json) -> None:
        told = self._told
        if "text" in part:
            (told.think if part.get("thought") else told.say)(part["text"])
        elif "functionCall" in part:
            self._call(part["functionCall"])
        elif "inlineData" in part:
            told.media.append(picture(part["inlineData"].get("mimeType"), part["inlineData"]["data"]))
        else:
            told.hosted += [key for key in part if key not in ("thought", "thoughtSignature")]

    def _call(self, call: Json) -> None:
        if "name" in call:
            self._told.note("call")
            self._calls.append({"id": call.get("id") or "", "name": call["name"], "args": call.get("args") or {}})
        for piece in call.get("partialArgs") or ():
            put(self._calls[-1]["args"], piece)

    def told(self) -> Told:
        told = self._told
        told.calls = [Call(call["id"], call["name"], exact(call["args"])) for call in self._calls]
        told.finish = FINISH.get(self._word, "other") if self._word else ""
        if told.calls and told.finish in ("stop", "other"):
            told.finish = "tool_calls"  # STOP, or UNEXPECTED_TOOL_CALL: there is a call to be run
        return told


_STEP = re.compile(r"\.(\w+)|\[(\d+)\]")


def put(arguments: Any, piece: Json) -> None:
    """One piece of arguments that are told in pieces: `{"jsonPath": "$.a[0].b", "stringValue": "…"}`; strings grow."""
    *steps, last = [name or int(number) for name, number in _STEP.findall(piece["jsonPath"])]
    place = arguments
    for step, after in zip(steps, [*steps, last][1:], strict=True):
        fresh: Any = [] if isinstance(after, int) else {}
        if isinstance(place, list) and step == len(place):
            place.append(fresh)
        place = place[step] if isinstance(place, list) else place.setdefault(step, fresh)
    values_of = [value for key, value in piece.items() if key.endswith("Value")]
    value = values_of[0] if values_of else ""
    if isinstance(place, list):
        if last == len(place):
            place.append("" if isinstance(value, str) else value)
        place[last] = place[last] + value if isinstance(value, str) else value
    else:
        place[last] = place.get(last, "") + value if isinstance(value, str) else value


def counts(usage: Json, before: Counts) -> Counts:
    """Counts are cumulative: the last block that tells the prompt's counts. Thoughts stand beside the candidates' tokens."""
    if "promptTokenCount" not in usage:
        return before
    given = usage["promptTokenCount"] + usage.get("toolUsePromptTokenCount", 0)
    thought = usage.get("thoughtsTokenCount")
    total = usage.get("totalTokenCount", given)
    output = thought
    if "candidatesTokenCount" in usage:
        output = usage["candidatesTokenCount"] + (thought or 0)
    elif total > given:
        output = total - given
    return Counts(given, output, usage.get("cachedContentTokenCount"), None, thought)


def error_words(body: Any) -> str:
    error = body.get("error") if isinstance(body, dict) else None
    return str(error.get("message") or error) if isinstance(error, dict) else str(error or "")


# ---------------------------------------------------------------- Our own streams


def check(told: Sequence[Event]) -> None:
    """Every event a whole GenerateContentResponse of one answer; one finish reason per candidate, in the last chunk."""
    chunks = [event.data for event in told]
    expect(chunks and all(isinstance(chunk, dict) and not event.name for chunk, event in zip(chunks, told, strict=True)), "not only data")
    expect(len({(chunk["responseId"], chunk["modelVersion"]) for chunk in chunks}) == 1, "the chunks are not of one answer")
    ended = [bool(_finishes(chunk)) for chunk in chunks]
    expect(ended == [False] * (len(chunks) - 1) + [True], "the finish reason is not in the last chunk alone")
    expect("usageMetadata" in chunks[-1] or not any("usageMetadata" in chunk for chunk in chunks), "usage is not told at the end")


def _finishes(chunk: Json) -> list[Any]:
    found = [one["finishReason"] for one in chunk.get("candidates") or () if one.get("finishReason")]
    return found + [reason for reason in [(chunk.get("promptFeedback") or {}).get("blockReason")] if reason]
