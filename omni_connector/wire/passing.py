"""What the pass-through lane may do to bodies it does not translate: set the model, ask for usage, give the requested
name back, hide the usage chunk that we asked for and the client did not, end a stream that the upstream left open.

Every other byte stays as it came.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from omni_connector.errors import GatewayError
from omni_connector.wire import dialect, sse, views
from omni_connector.wire.gemini_frames import Frames

TERMINAL: Mapping[str, bytes] = {
    "openai-chat": b"data: [DONE]\n\n",
    "openai-completions": b"data: [DONE]\n\n",
    "anthropic-messages": b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
    "gemini-generate": b"",
}
"""Formats whose streams are complete with their finish reason, and what then ends them: sent when an upstream told the
reason and hung up without its terminal event, because clients repeat such requests in a loop."""

_ERROR_EVENT: Mapping[str, str] = {"openai-chat": "", "openai-completions": "", "anthropic-messages": "error"}
"""Formats in which an error event is the error's body. The others' renderers know how a stream fails there."""
_MODEL_IN_BODY = ("openai-chat", "anthropic-messages", "openai-responses", "openai-completions", "openai-embeddings")
"""Gemini names the model in the URL, and in answers only the one that served."""
_RAW = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ENCODER = msgspec.json.Encoder()

# ---------------------------------------------------------------- Requests


def request_body(wire: str, body: bytes, *, model: str | None, ask_usage: bool) -> bytes:
    """The client's body for an upstream of the same format: with the upstream's own model id where it differs, and with
    `stream_options.include_usage` where the provider tells usage only when asked."""
    changes: dict[str, Any] = {"model": model} if model is not None and wire in _MODEL_IN_BODY else {}
    if ask_usage:
        given = _RAW.decode(body).get("stream_options")
        options = msgspec.json.decode(given) if given is not None else None
        changes["stream_options"] = {**(options or {}), "include_usage": True}
    return views.splice(body, changes) if changes else body


_EVENTS = re.compile(rb"[\s\xef\xbb\xbf]*(?:data|event|id|retry)?:")


def looks_like_events(first: bytes) -> bool:
    """Whether an answer begins as server-sent events, whatever its content-type says of it (seen: application/json)."""
    return _EVENTS.match(first) is not None


# ---------------------------------------------------------------- Answers

_END_TYPES = frozenset({"message_stop", "response.completed", "response.incomplete", "response.done"})
_END_WORDS = tuple(f'"{kind}"'.encode() for kind in sorted(_END_TYPES))
_DATA = b"data:"
_DATA_LINE = re.compile(rb"(?:^|(?<=[\r\n]))data:([^\r\n]*)(\r\n|\n|\r|\Z)")
_DONE_WIRES = ("openai-chat", "openai-completions")
_BREAK = re.compile(rb"\r\n|\n|\r")


def until_end(wire: str, blocks: bytes) -> tuple[bytes, bool]:
    """Event blocks as far as their terminal event, and whether it is in them. What follows it in the same bytes is cut off."""
    for begin, end in _lines_with((b"[DONE]",) if wire in _DONE_WIRES else _END_WORDS, blocks):
        if not _is_end(wire, memoryview(blocks)[begin + len(_DATA) : end]):
            continue
        ending = _BREAK.match(blocks, end)
        if ending is None:
            return blocks[:end] + b"\n\n", True
        blank = _BREAK.match(blocks, ending.end())
        if blank is None:
            return blocks[: ending.end()] + ending[0], True
        return blocks[: blank.end()], True
    return blocks, False


def _lines_with(words: Sequence[bytes], blocks: bytes) -> Iterator[tuple[int, int]]:
    """Where the data lines are that have one of these words in them: lines are many and may be large, and searching bytes is quick."""
    far: dict[bytes, int] = {}
    end, size = 0, len(blocks)
    while True:
        at = size
        for word in words:
            place = far.pop(word, -1)
            if place < end:
                place = blocks.find(word, end, at)
            if place >= 0:
                far[word] = place
                at = min(at, place)
        if at == size:
            return
        begin = max(blocks.rfind(b"\n", end, at), blocks.rfind(b"\r", end, at), end - 1) + 1
        is_line = begin == 0 or blocks[begin - 1] in b"\r\n"
        newline = blocks.find(b"\n", at)
        end = newline if newline >= 0 else size
        if (cr := blocks.find(b"\r", at, end)) >= 0:
            end = cr
        if is_line and blocks.startswith(_DATA, begin):
            yield begin, end


def _is_end(wire: str, data: memoryview) -> bool:
    if wire in _DONE_WIRES:
        return bytes(data).strip() == b"[DONE]"
    return _type_of(data) in _END_TYPES


def _type_of(data: memoryview) -> str | None:
    try:
        kind = msgspec.json.decode(_RAW.decode(data).get("type", b"null"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return kind if isinstance(kind, str) else None


def without_torn(block: bytes) -> bytes:
    """The last block of a stream that ended in it: nothing where its JSON is torn, since what follows would be read with it."""
    data = b"\n".join(line[1].strip() for line in _DATA_LINE.finditer(block))
    if data == b"[DONE]":
        return block
    try:
        _RAW.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return b""
    return block


def fail_stream(wire: str, error: GatewayError) -> bytes:
    """An error event for a stream that has begun; no clean end may follow it."""
    if wire not in _ERROR_EVENT:
        return bytes(dialect(wire).ResponseRenderer("").fail(error))
    return sse.encode(views.encode(dialect(wire).render_error(error)), _ERROR_EVENT[wire])


def rename_whole(body: bytes, model: str) -> bytes:
    """The requested name in a whole answer; every other value keeps its exact bytes."""
    try:
        fields: dict[str, Any] = _RAW.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body
    wanted = _ENCODER.encode(model)
    if "model" not in fields or bytes(fields["model"]) == wanted:
        return body
    fields["model"] = msgspec.Raw(wanted)
    return _ENCODER.encode(fields)


_MODEL = re.compile(rb'"model"\s*:\s*("(?:[^"\\]|\\.)*")')
_BLANK = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_NO_CHOICES = re.compile(rb'"choices"\s*:\s*\[\s*\]')
_USAGE = re.compile(rb'"usage"\s*:\s*\{')


class StreamEditor:
    """Push bytes in, get whole event blocks out; an unfinished block waits for its rest, so that a keep-alive or an error
    event can always follow.

    When the served name is the requested one and nothing is to be hidden, it steps aside after the first block.
    """

    def __init__(self, wire: str, *, model: str, hide_usage: bool) -> None:
        self._once = wire == "anthropic-messages"  # only message_start names the model there
        self._hide_usage = hide_usage and wire in ("openai-chat", "openai-completions")
        self._wanted = b'"model":' + _ENCODER.encode(model)
        self._served: bytes | None = None
        self._rest = bytearray()
        self._aside = wire not in _MODEL_IN_BODY
        self._end = b"\r\n\r\n" if wire == "gemini-generate" else b"\n\n"  # Google ends its lines so, and some readers look for it

    def feed(self, piece: bytes) -> bytes:
        if self._rest:
            self._rest += piece
            if b"\n" not in piece and b"\r" not in piece:
                return b""  # the middle of a large event: gathered, not searched again with every piece
            text = bytes(self._rest)
            self._rest = bytearray()
        elif piece.endswith((b"\n\n", b"\r\n\r\n")):
            return piece if self._aside else self._edit(piece)
        else:
            text = piece
        end = _last_blank(text)
        if end < len(text):
            self._rest += text[end:]
        return text[:end] if self._aside else self._edit(text[:end])

    def close(self) -> bytes:
        """What is left: a last block without its blank line, completed so that clients dispatch it."""
        rest, self._rest = bytes(self._rest), bytearray()
        if not rest.strip():
            return b""
        block = rest.rstrip(b"\r\n") + self._end
        return block if self._aside else self._edit(block)

    def _edit(self, blocks: bytes) -> bytes:
        if not blocks:
            return blocks
        if self._served is None and b'"model"' in blocks:
            self._served = next((name for block in _each(blocks) if (name := _own_name(block)) is not None), None)
            if self._served is not None:
                same = self._served.replace(b" ", b"") == self._wanted
                if same:
                    self._wanted = self._served  # as it is spelled there
                if not self._hide_usage and (same or self._once):
                    self._aside = True
                    return blocks if same else b"".join(map(self._renamed, _each(blocks)))
        if self._served is not None and self._served != self._wanted:
            blocks = blocks.replace(self._served, self._wanted)
            if blocks.count(b'"model"') != blocks.count(self._wanted):
                blocks = b"".join(map(self._renamed, _each(blocks)))
        return _without_usage(blocks) if self._hide_usage else blocks

    def _renamed(self, block: bytes) -> bytes:
        """Azure opens with an empty name, xAI spells its last chunk with blanks: a chunk's own `model` counts, none inside it."""
        if block.count(b'"model"') == block.count(self._wanted):
            return block
        found = _own_name(block)
        return block if found is None else block.replace(found, self._wanted)


def _own_name(block: bytes) -> bytes | None:
    """The `"model":"…"` of an event itself, as it is spelled there."""
    if b'"model"' not in block:
        return None
    try:
        chunk = _RAW.decode(block[max(0, block.find(b"{")) :])
        # Some events of the Responses and Messages formats carry the whole object that names it.
        inner = next((chunk[key] for key in ("response", "message") if key in chunk and "model" not in chunk), None)
        name = (chunk if inner is None else _RAW.decode(inner)).get("model")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return None if name is None else next((found[0] for found in _names(block) if found[1] == bytes(name)), None)


def _names(block: bytes) -> Iterator[re.Match[bytes]]:
    at = block.find(b'"model"')
    while at >= 0:
        found = _MODEL.match(block, at)
        if found is not None:
            yield found
        at = block.find(b'"model"', at + 7)


class ArrayEditor:
    """The same for a client that wants one JSON array (Gemini without `alt=sse`): every chunk's own bytes, as an element. An upstream
    that tells an array too is passed on as it is."""

    def __init__(self) -> None:
        self._frames = Frames()
        self._as_it_is: bool | None = None
        self._opened = False

    def feed(self, piece: bytes) -> bytes:
        if self._as_it_is is None and piece.strip():
            self._as_it_is = piece.lstrip().startswith(b"[")
        if self._as_it_is:
            self._opened = True
            return piece
        return self._elements(self._frames.feed(piece))

    def close(self) -> bytes:
        """What is left; the array itself stays open."""
        return b"" if self._as_it_is else self._elements(self._frames.close())

    def end(self) -> bytes:
        return b"" if self._as_it_is else b"]" if self._opened else b"[]"

    def fail(self, error: GatewayError) -> bytes:
        """The error as last elements, and the end."""
        told = bytes(dialect("gemini-generate").ArrayRenderer("").fail(error))
        return b",\r\n" + told.removeprefix(b"[") if self._opened else told

    def _elements(self, chunks: list[bytes]) -> bytes:
        out = b""
        for chunk in chunks:
            out += (b",\r\n" if self._opened else b"[") + chunk
            self._opened = True
        return out


def _last_blank(text: bytes) -> int:
    """Where the last complete block ends."""
    if b"\r" not in text:
        return text.rfind(b"\n\n") + 2 if b"\n\n" in text else 0
    return max((blank.end() for blank in _BLANK.finditer(text)), default=0)


def _each(blocks: bytes) -> Iterator[bytes]:
    start = 0
    if b"\r" not in blocks:
        while (end := blocks.find(b"\n\n", start) + 2) > 1:
            yield blocks[start:end]
            start = end
        return
    for blank in _BLANK.finditer(blocks):
        yield blocks[start : blank.end()]
        start = blank.end()


def _without_usage(blocks: bytes) -> bytes:
    at = blocks.find(b'"usage"')
    if at < 0:
        return blocks
    begin = blocks.rfind(b"\n\n", 0, at) + 2 if b"\r" not in blocks else 0
    if begin < 2:
        begin = 0
    # Patterns are slow, and most of these bytes cannot be what is looked for.
    if not _NO_CHOICES.search(blocks, begin):
        return blocks
    return blocks[:begin] + b"".join(block for block in _each(blocks[begin:]) if not _only_usage(block))


def _only_usage(block: bytes) -> bool:
    return _USAGE.search(block) is not None and b'"error"' not in block and _NO_CHOICES.search(block) is not None
