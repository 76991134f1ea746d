"""Chat completions, read for the tests: an answer of any host, or one of ours, which must keep to the grammar."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tests.replay.told import Call, Counts, Event, Json, Told, exact, expect, free_text, objects, picture

FINISH = {
    "stop": "stop", "eos": "stop", "end_turn": "stop", "length": "length", "model_length": "context", "tool_calls": "tool_calls",
    "tool_call": "tool_calls", "function_call": "tool_calls", "content_filter": "filter",
}  # fmt: skip


def whole(body: Json) -> Told:
    return _told([body])


def stream(told: Sequence[Event]) -> Told:
    return _told(objects(told))


def _told(chunks: Sequence[Json]) -> Told:
    choices: dict[int, _Choice] = {}
    used, error, model = Counts(), "", ""
    pages: list[Json] = []
    for chunk in chunks:
        error = error or error_words(chunk)
        model = chunk.get("model") or model
        for position, choice in enumerate(chunk.get("choices") or ()):
            number = choice.get("index", position)
            choices.setdefault(number, _Choice()).take(choice)
        usage = chunk.get("usage") or (chunk.get("x_groq") or {}).get("usage")
        used = counts(usage) if usage else used
        pages = _pages(chunk) or pages
    first, *others = [choices[number].told() for number in sorted(choices)] or [Told()]
    for page in pages:
        if page["url"] not in {source.url for source in first.sources}:
            first.cite(page["url"], page.get("title"))
    first.others, first.usage, first.error, first.model = others, used, error, model
    return first


def _pages(chunk: Json) -> list[Json]:
    """Perplexity and xAI name what they read beside the choices."""
    found = [page for page in chunk.get("search_results") or () if isinstance(page, dict) and page.get("url")]
    return found or [{"url": url} for url in chunk.get("citations") or () if isinstance(url, str)]


class _Choice:
    def __init__(self) -> None:
        self._told = Told()
        self._calls: dict[Any, Json] = {}
        self._last: Any = None
        self._plain = False
        self._refused = False
        self._word: str | None = None

    def take(self, choice: Json) -> None:
        said = choice.get("delta") or choice.get("message") or {}
        self._thoughts(said)
        self._content(said.get("content"))
        if said.get("refusal"):
            self._refused = True
            self._told.say(said["refusal"])
        for position, call in enumerate(said.get("tool_calls") or ()):
            self._call(call, position)
        if said.get("function_call"):
            self._call({"index": "legacy", "function": said["function_call"]}, 0)
        for note in said.get("annotations") or ():
            self._note(note)
        for image in said.get("images") or ():
            media_type, _, data = image["image_url"]["url"].removeprefix("data:").partition(";base64,")
            self._told.media.append(picture(media_type, data))
        for token in (choice.get("logprobs") or {}).get("content") or ():
            self._told.logprobs.append((token["token"], round(float(token["logprob"]), 6)))
        self._word = choice.get("finish_reason") or self._word

    def _thoughts(self, said: Json) -> None:
        """Plain text, else the texts of `reasoning_details`, which repeat it where both are told."""
        plain = said.get("reasoning_content") or said.get("reasoning") or ""
        self._plain = self._plain or bool(plain)
        if not self._plain:
            plain = "".join(one.get("text") or one.get("summary") or "" for one in said.get("reasoning_details") or ())
        self._told.think(plain)

    def _content(self, content: Any) -> None:
        if isinstance(content, str):
            self._told.say(content)
        elif isinstance(content, list):  # Mistral: parts, thoughts among them
            for part in content:
                if part.get("type") == "thinking":
                    self._told.think("".join(one.get("text") or "" for one in part["thinking"]))
                else:
                    self._told.say(part.get("text") or "")
        elif content:  # Cloudflare: structured output as the value itself
            self._told.say(_compact(content))

    def _call(self, call: Json, position: int) -> None:
        """Hosts leave out the index, or give every call the same one; a new id begins a new call."""
        key = call.get("index", self._last if not call.get("id") and self._last is not None else (call.get("id") or position))
        known = self._calls.get(key)
        if known is not None and call.get("id") and known["id"] and call["id"] != known["id"]:
            key, known = (key, call["id"]), self._calls.get((key, call["id"]))
        if known is None:
            known = self._calls[key] = {"id": "", "name": "", "text": "", "custom": False}
            self._told.note("call")
        self._last = key
        inner = call.get("function") or call.get("custom") or {}
        known["id"] = known["id"] or call.get("id") or ""
        known["name"] = known["name"] or inner.get("name") or ""
        known["custom"] = known["custom"] or "custom" in call
        given = inner.get("input" if "custom" in call else "arguments") or ""
        known["text"] += given if isinstance(given, str) else _compact(given)

    def _note(self, note: Json) -> None:
        page = note.get("url_citation")
        if isinstance(page, dict):
            self._told.cite(page.get("url"), page.get("title"))
        elif note.get("type") in ("file_citation", "container_file_citation"):
            self._told.cite("", note.get("filename"))
        elif note.get("type") == "file":
            self._told.hosted.append("file annotation")

    def told(self) -> Told:
        told = self._told
        for call in self._calls.values():
            arguments = free_text(call["text"]) if call["custom"] else exact(call["text"])
            told.calls.append(Call(call["id"], call["name"], arguments))
        told.finish = FINISH.get(self._word or "", "other" if self._word else "")
        if told.finish == "stop" and self._refused:
            told.finish = "refusal"
        return told


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=float)


def counts(usage: Json) -> Counts:
    """`completion_tokens` should hold the thoughts and `prompt_tokens` what came from the cache; where a host's total says more
    than both, the rest is thoughts (xAI, Google) or sound that was heard (Mistral)."""
    details, made = usage.get("prompt_tokens_details") or {}, usage.get("completion_tokens_details") or {}
    given, said, total = usage.get("prompt_tokens"), usage.get("completion_tokens"), usage.get("total_tokens")
    reasoning = made.get("reasoning_tokens", usage.get("reasoning_tokens"))
    if said is None and given is not None and total is not None:
        said = total - given
    if given is not None and said is not None:
        beyond = (total or 0) - given - said
        if beyond > 0 and beyond == details.get("audio_tokens") and beyond != reasoning:
            given += beyond
        elif beyond > 0:
            said += beyond
        elif (reasoning or 0) > said:
            said += reasoning
    cached = next((one for one in (details.get("cached_tokens"), usage.get("cached_tokens"), usage.get("prompt_cache_hit_tokens"),
                                   usage.get("cache_read_input_tokens")) if one), details.get("cached_tokens"))  # fmt: skip
    if cached is not None and given is not None:
        cached = min(cached, given)  # xAI was seen to count more of it than was asked
    written = details.get("cache_write_tokens", usage.get("cache_creation_input_tokens"))
    return Counts(given, said, cached, written, reasoning)


def error_words(body: Any) -> str:
    """The provider's words in an error of any host's form; "" when there is none."""
    if not isinstance(body, dict) or body.get("choices"):
        return ""
    error = body.get("error")
    return str(error.get("message") or error) if isinstance(error, dict) else str(error or "")


# ---------------------------------------------------------------- Our own streams


def check(told: Sequence[Event]) -> None:
    """Chunks of one answer, a finish for each choice, then at most the usage, then [DONE]."""
    expect(told and told[-1].data == "[DONE]", "the stream does not end with [DONE]")
    chunks = [event.data for event in told[:-1]]
    expect(all(isinstance(chunk, dict) and chunk["object"] == "chat.completion.chunk" for chunk in chunks), "something is no chunk")
    expect(len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in chunks}) == 1, "the chunks are not of one answer")
    finished: set[int] = set()
    begun: set[tuple[int, int]] = set()
    for number, chunk in enumerate(chunks):
        expect(chunk["choices"] or (chunk.get("usage") and number == len(chunks) - 1), "a chunk says nothing, or usage is not last")
        for choice in chunk["choices"]:
            index = choice["index"]
            expect(index not in finished, "a choice goes on after its finish reason")
            if choice["finish_reason"] is not None:
                finished.add(index)
            for call in choice["delta"].get("tool_calls") or ():
                place = (index, call["index"])
                kind = call.get("function") or call.get("custom") or {}
                expect(place in begun or (call.get("id") and kind.get("name")), "a call begins without id and name")
                begun.add(place)
    expect(finished, "no finish reason")
