"""The pieces of one choice, as chat providers send them → events with one part open at a time.

The format lets thoughts, words and calls come in any mixture; other formats want blocks in a row. So parts are opened
and closed in order, and the fragments of a later call wait while an earlier one is not complete yet.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import field
from typing import Any

from omni_connector.chat import Annotation, Delta, Event, Json, Opaque, OpaqueDelta, Origin, PartEnd, PartKind, PartStart
from omni_connector.values import dataclass
from omni_connector.wire.fields import integer
from omni_connector.wire.openai_chat_details import Merger, text_of
from omni_connector.wire.openai_chat_words import (
    EXTRA_CONTENT,
    NAME,
    SEALED_FORMAT,
    dumps,
    has_surrogate,
    join_surrogates,
    loads,
    unwrap_custom,
)

KNOWN = frozenset(
    {
        "role",
        "content",
        "reasoning_content",
        "reasoning",
        "reasoning_details",
        "refusal",
        "tool_calls",
        "function_call",
        "annotations",
        "audio",
        "images",
        # Leftovers of hosts' own engines, without meaning for a client.
        "index",
        "name",
        "token_id",
        "token_ids",
        "reasoning_encrypted",
    }
)
"""Fields of a `delta` or `message` that are read, or known to mean nothing; others ride along in `Finished.extra`."""

_MEDIA = ("audio", "images")


@dataclass(slots=True)
class _Call:
    """A tool call under way. `key`: its `index` on the wire, None where there is none."""

    key: int | None
    id: str = ""
    name: str = ""
    custom: bool = False
    waiting: list[str] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    opaque: list[Opaque] = field(default_factory=list)
    part: int | None = None
    wrapped: bool = False
    closed: bool = False

    def complete(self) -> bool:
        """Whether nothing more can belong to it: free text never tells, JSON does."""
        text = "".join((*self.sent, *self.waiting))
        free = self.custom and not self.wrapped
        return bool(text) and (free or loads(text) is not None)


class Parts:
    """One choice. `custom`: names of free-text tools that the target was given as functions."""

    def __init__(
        self, choice: int, indexes: Iterator[int], origin: Origin | None, custom: frozenset[str], emit: Callable[[Event], None]
    ) -> None:
        self.extra: Json = {}
        self._choice = choice
        self._indexes = indexes
        self._origin = origin
        self._custom = custom
        self._emit = emit
        self._open: tuple[PartKind, int] | None = None
        self._half = ""
        self._details = Merger()
        self._cited: set[str] = set()
        self._calls: list[_Call] = []
        self._head = 0

    @property
    def has_calls(self) -> bool:
        return any(call.name for call in self._calls)

    # ------------------------------------------------------------ In

    def feed(self, delta: Json) -> None:
        """A `delta` of a chunk, or the `message` of a whole answer."""
        content = delta.get("content")
        self._think(delta)
        if content:
            self._content(content)
        if delta.get("refusal"):
            self._write("refusal", delta["refusal"])
        if delta.get("annotations"):
            self._annotate(delta["annotations"])
        calls = delta.get("tool_calls")
        if calls:
            for position, fragment in enumerate(calls if isinstance(calls, list) else [calls]):
                if isinstance(fragment, dict):
                    self._call(fragment, position)
        if delta.get("function_call"):
            self._call({"index": -1, "function": delta["function_call"]}, 0)
        for name in _MEDIA:
            if delta.get(name):
                self._foreign({name: delta[name]})
        if not delta.keys() <= KNOWN:
            self.extra.update({key: value for key, value in delta.items() if key not in KNOWN and value is not None})

    def cite(self, pages: list[Json]) -> None:
        """Sources that the provider names for the answer as a whole: they stand at the words that are open now."""
        if self._open is not None and self._open[0] == "text":
            for page in pages:
                if page["url"] not in self._cited:
                    self._emit(Annotation(self._open[1], NAME, page))

    def end(self) -> None:
        """The choice is complete: everything that waits comes out, everything open is closed."""
        self._close()
        if self._details.empty():
            return
        # Proofs that came after the thoughts they belong to (Gemini behind gateways) are a thought of their own.
        opaques = self._details.drain(self._origin)
        if opaques:
            index = self._start("reasoning")
            self._emit_opaques(index, opaques)
            self._close()

    def _think(self, delta: Json) -> None:
        """Hosts name the text `reasoning_content` or `reasoning`, some send both, OpenRouter repeats it in the details. A sealed
        entry ends the thought that was told before it, whose text it repeats."""
        text = delta.get("reasoning_content") or delta.get("reasoning")
        entries = delta.get("reasoning_details")
        if not text and not entries:
            return
        entries = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
        sealed = any(entry.get("format") == SEALED_FORMAT for entry in entries)
        told = sealed and self._open is not None and self._open[0] == "reasoning"
        if not isinstance(text, str) or not text:
            text = "" if told else "".join(map(text_of, entries))
        if text:
            self._write("reasoning", text)
        for entry in entries:
            self._details.add(entry)
        if told:
            self._close()

    def _content(self, content: Any) -> None:
        match content:
            case str():
                self._write("text", content)
            case list():
                for piece in content:
                    self._content_piece(piece)
            case dict():
                # Cloudflare answers a JSON schema with the object itself.
                self._write("text", dumps(content))
            case _:
                self._write("text", str(content))

    def _content_piece(self, piece: Any) -> None:
        """Mistral: content as a list of texts and thoughts."""
        match piece:
            case str():
                self._write("text", piece)
            case {"type": "text", "text": str(text)}:
                self._write("text", text)
            case {"type": "thinking", "thinking": list(inner)}:
                self._write("reasoning", "".join(str(item.get("text") or "") for item in inner if isinstance(item, dict)))
            case {"type": "thinking", "thinking": str(text)}:
                self._write("reasoning", text)
            case dict():
                self._foreign({"content": [piece]})
            case _:
                pass

    def _annotate(self, notes: Any) -> None:
        for note in notes if isinstance(notes, list) else ():
            if isinstance(note, dict):
                page = note.get("url_citation")
                if isinstance(page, dict) and isinstance(page.get("url"), str):
                    self._cited.add(page["url"])
                self._emit(Annotation(self._ensure("text"), NAME, note))

    def _foreign(self, value: Json) -> None:
        self._close()
        index = next(self._indexes)
        self._emit(PartStart(index, "foreign", name=NAME, choice=self._choice, value=value))
        self._emit(PartEnd(index))

    # ------------------------------------------------------------ Text

    def _write(self, kind: PartKind, text: Any) -> None:
        text = text if isinstance(text, str) else dumps(text)
        if not text:
            return
        index = self._ensure(kind)
        if self._half or has_surrogate(text):
            text = self._joined(text)
        if text:
            self._emit(Delta(index, text))

    def _joined(self, text: str) -> str:
        """An emoji cut in half between two chunks becomes whole again."""
        text, self._half = self._half + text, ""
        if "\ud800" <= text[-1] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        return join_surrogates(text)

    def _ensure(self, kind: PartKind) -> int:
        if self._open is not None and self._open[0] == kind:
            return self._open[1]
        self._close()
        return self._start(kind)

    def _start(self, kind: PartKind, call: _Call | None = None) -> int:
        index = next(self._indexes)
        self._open = (kind, index)
        if call is None:
            self._emit(PartStart(index, kind, choice=self._choice))
        else:
            self._emit(PartStart(index, kind, call.id, call.name, call.custom, self._choice))
        return index

    def _close(self) -> None:
        """Closes the open part; waiting calls are all played out first."""
        if self._head < len(self._calls):
            self._play_out()
        if self._open is None:
            return
        kind, index = self._open
        self._open = None
        if self._half:
            self._half = ""
            self._emit(Delta(index, "\ufffd"))
        if kind == "reasoning":
            self._emit_opaques(index, self._details.drain(self._origin))
        self._emit(PartEnd(index))

    def _emit_opaques(self, index: int, opaques: list[Opaque]) -> None:
        for opaque in opaques:
            self._emit(OpaqueDelta(index, opaque))

    # ------------------------------------------------------------ Calls

    def _call(self, fragment: Json, position: int) -> None:
        inner = fragment.get("custom") if fragment.get("type") == "custom" or "custom" in fragment else fragment.get("function")
        inner = inner if isinstance(inner, dict) else {}
        name, call_id = inner.get("name"), fragment.get("id")
        if not inner and not call_id and "index" not in fragment:
            return
        call = self._find(fragment, call_id, name, position)
        if isinstance(name, str) and name and not call.name:
            call.name = name
            call.wrapped = "custom" not in fragment and name in self._custom
            call.custom = "custom" in fragment or call.wrapped
        if isinstance(call_id, str) and call_id and not call.id:
            call.id = call_id
        arguments = inner.get("input") if "custom" in fragment else inner.get("arguments")
        if arguments is not None and arguments != "":
            call.waiting.append(arguments if isinstance(arguments, str) else dumps(arguments))
        if isinstance(fragment.get("extra_content"), dict):
            call.opaque.append(Opaque(EXTRA_CONTENT, dumps(fragment["extra_content"]), self._origin))
        self._pump(call)

    def _find(self, fragment: Json, call_id: Any, name: Any, position: int) -> _Call:
        """The call a fragment belongs to. `index` may be missing, or 0 for every call; the id may come with each delta."""
        key = integer(fragment.get("index"))
        known = call_id if isinstance(call_id, str) and call_id else None
        same = [call for call in self._calls if (call.key == key if key is not None else call.id == known if known else True)]
        last = same[-1] if same else None
        if last is not None:
            another_id = known is not None and bool(last.id) and known != last.id
            if not name:
                return last
            # Without an id, a name opens a new call only where the last one can hold no more.
            no_id = known is None and ((key is None and position > 0) or last.complete())
            if not (another_id or no_id):
                return last
        call = _Call(key)
        self._calls.append(call)
        return call

    def _pump(self, touched: _Call) -> None:
        """Lets out what may go: the head of the queue, and the next ones once the head is complete."""
        if touched.closed:
            if touched.part is not None and not touched.wrapped:
                self._flush(touched, touched.part)
            return
        while self._head < len(self._calls):
            call = self._calls[self._head]
            if not call.name:
                return
            if call.part is None:
                self._open_call(call)
            if call.part is not None and not call.wrapped:
                self._flush(call, call.part)
            following = self._head + 1 < len(self._calls)
            if not following or not call.complete():
                return
            self._close_call(call)

    def _open_call(self, call: _Call) -> None:
        if self._open is not None and self._open[0] != "tool_call":
            self._close_text()
        call.id = call.id or f"call_{uuid.uuid4().hex[:24]}"
        call.part = self._start("tool_call", call)

    def _close_text(self) -> None:
        """Closes a text or reasoning part without touching the calls that wait behind it."""
        head, self._head = self._head, len(self._calls)
        self._close()
        self._head = head

    def _flush(self, call: _Call, index: int) -> None:
        for text in call.waiting:
            self._emit(Delta(index, text))
        call.sent.extend(call.waiting)
        call.waiting.clear()

    def _close_call(self, call: _Call) -> None:
        if call.part is None:
            self._open_call(call)
        index = call.part
        if index is None:
            return
        if call.wrapped and call.waiting:
            call.waiting = [unwrap_custom("".join(call.waiting))]
        self._flush(call, index)
        self._emit_opaques(index, call.opaque)
        self._emit(PartEnd(index))
        self._open = None
        call.closed = True
        self._head += 1

    def _play_out(self) -> None:
        while self._head < len(self._calls):
            if self._calls[self._head].name:
                self._close_call(self._calls[self._head])
            else:  # pieces of a call whose beginning never came: nobody could answer it
                self._head += 1
