"""What names the conversation that a request is a turn of: the same in each of its turns, found without parsing the body.

The client's own word for it comes first: Responses `conversation`, a session header, `prompt_cache_key`, the session in Anthropic's
`metadata.user_id`. Else it is the texts up to the end of the first user message: two conversations that begin alike are one then,
which is right for a prompt cache, since their common beginning is cached together.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

SESSION_HEADERS = ("x-claude-code-session-id", "session-id", "session_id", "x-session-id", "x-session-affinity", "thread-id")
"""Request headers (lower case) in which clients name their conversation: Claude Code; Codex, new and old; opencode."""
BEFORE_BYTES, FIRST_BYTES = 2_000, 6_000
"""How much text is taken: of what stands before the first user message, and of that message."""
WINDOW = 64_000
"""How far into one message is looked. Text only is taken from there: a client moves its cache marks from turn to turn, and writes
the same text once bare and once as a list of blocks."""
LONGEST_ID = 500

Marks = tuple[bytes, ...]
"""A word for what it is, then the parts themselves."""
_Turns = str | list[msgspec.Raw] | dict[str, msgspec.Raw] | None
_Words = tuple[tuple[bytes, str | None], ...]
_NONE = msgspec.Raw(b"")
_SESSION_NAMES = frozenset(SESSION_HEADERS)


# ---------------------------------------------------------------- The fields that tell; one scan in C skips all others


class _Chat(msgspec.Struct):
    messages: _Turns = None
    prompt_cache_key: str | None = None

    def said(self) -> tuple[_Turns, list[msgspec.Raw]]:
        """The turns, and what stands before them."""
        return self.messages, []

    def named(self, session: str | None) -> _Words:
        """The client's words for the conversation, the weightiest first. `session`: that of a header."""
        return (b"session", session), (b"cache", self.prompt_cache_key)


class _Messages(msgspec.Struct):
    messages: _Turns = None
    system: msgspec.Raw = _NONE
    metadata: msgspec.Raw = _NONE

    def said(self) -> tuple[_Turns, list[msgspec.Raw]]:
        return self.messages, [self.system]

    def named(self, session: str | None) -> _Words:
        found = _SESSION.search(bytes(self.metadata)[:WINDOW])
        return (b"session", session), (b"session", (found[1] or found[2]).decode("utf-8", "replace") if found else None)


class _Responses(msgspec.Struct):
    input: _Turns = None
    instructions: msgspec.Raw = _NONE
    conversation: _Turns = None
    prompt_cache_key: str | None = None
    previous_response_id: str | None = None

    def said(self) -> tuple[_Turns, list[msgspec.Raw]]:
        # Its beginning is not here: the answer that it goes on from tells the account.
        return (None, []) if self.previous_response_id else (self.input, [self.instructions])

    def named(self, session: str | None) -> _Words:
        place = self.conversation
        if isinstance(place, dict):
            place = bytes(place["id"]).strip(b'"').decode() if "id" in place else None
        return (b"conversation", place if isinstance(place, str) else None), (b"session", session), (b"cache", self.prompt_cache_key)


class _Gemini(msgspec.Struct):
    contents: _Turns = None
    system_instruction: msgspec.Raw = _NONE
    systemInstruction: msgspec.Raw = _NONE  # noqa: N815 - Gemini writes it both ways

    def said(self) -> tuple[_Turns, list[msgspec.Raw]]:
        return self.contents, [self.system_instruction, self.systemInstruction]

    def named(self, session: str | None) -> _Words:
        return ((b"session", session),)


class _Item(msgspec.Struct):
    role: str | None = None
    type: str | None = None


class _Plain(msgspec.Struct, forbid_unknown_fields=True):
    """A message with nothing in it but who says what."""

    role: str
    content: msgspec.Raw


_READ: Mapping[str, Callable[[bytes], Any]] = {
    "openai-chat": msgspec.json.Decoder(_Chat).decode,
    "anthropic-messages": msgspec.json.Decoder(_Messages).decode,
    "openai-responses": msgspec.json.Decoder(_Responses).decode,
    "gemini-generate": msgspec.json.Decoder(_Gemini).decode,
}
_ITEM = msgspec.json.Decoder(_Item)
_PLAIN = msgspec.json.Decoder(_Plain)
_TEXT = re.compile(rb'"(?:text|content|data|url|image_url|fileUri|file_uri|file_id)"\s*:\s*"([^"\\]*(?:\\.[^"\\]*)*)', re.S)
_SESSION = re.compile(rb'_session_([0-9a-fA-F-]{8,64})|\\"session_id\\"\s*:\s*\\"([^"\\]{8,100})')
"""In Anthropic's `metadata.user_id`: `user_…_session_<uuid>`, or a JSON document with `session_id`. Without one it names a user."""


# ---------------------------------------------------------------- Reading them


def marks(wire: str, body: bytes, headers: Mapping[str, str]) -> Marks:
    """What stays the same in all turns of a conversation; () when nothing tells, or when the format holds no conversations.

    `headers`: with lower-case names. Raises nothing: what is wrong with the body is for others to say.
    """
    read = _READ.get(wire)
    if read is None:
        return ()
    try:
        fields = read(body)
        session = None
        if not _SESSION_NAMES.isdisjoint(headers):
            session = next((headers[name] for name in SESSION_HEADERS if headers.get(name)), None)
        for kind, word in fields.named(session):
            if word:
                return kind, word.encode("utf-8", "surrogatepass")[:LONGEST_ID]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ()
    texts = _beginning(*fields.said())
    return (b"text", *texts) if any(texts) else ()


def _beginning(turns: _Turns, before: list[msgspec.Raw]) -> tuple[bytes, bytes]:
    """The texts before the first user message and of it, each cut off at its bound."""
    if isinstance(turns, str):
        return _texts(before, BEFORE_BYTES), turns.encode("utf-8", "surrogatepass")[:FIRST_BYTES]
    if isinstance(turns, dict):
        return _texts(before, BEFORE_BYTES), _texts(turns.values(), FIRST_BYTES)
    told: list[msgspec.Raw | bytes] = [*before]
    for turn in turns or ():
        plain = _plain(turn)
        if plain is None:
            if _from_user(turn):
                return _texts(told, BEFORE_BYTES), _texts([turn], FIRST_BYTES)
            told.append(turn)
        elif plain[0] == "user":
            return _texts(told, BEFORE_BYTES), plain[1][:FIRST_BYTES]
        else:
            told.append(plain[1])
    return _texts(told, BEFORE_BYTES), b""


def _plain(turn: msgspec.Raw) -> tuple[str, bytes] | None:
    """Who says what, as it is spelled, in a message that is a bare text: most are, and need no search. None for all others."""
    if len(turn) >= WINDOW:
        return None
    try:
        found = _PLAIN.decode(turn)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    text = bytes(found.content)
    return (found.role, text[1:-1]) if text[:1] == b'"' else None


def _from_user(turn: msgspec.Raw) -> bool:
    """Gemini lets the role out where it is the user's; a Responses item without one is a message only when it says so."""
    try:
        told = _ITEM.decode(turn)
    except msgspec.DecodeError:
        return False
    return told.role == "user" or (told.role is None and told.type in (None, "message"))


def _texts(raws: Iterable[msgspec.Raw | bytes], most: int) -> bytes:
    """The texts in these values one after the other, as they are spelled, at most `most` bytes. Bytes are a text by themselves."""
    found = b""
    for raw in raws:
        value = bytes(memoryview(raw)[:WINDOW])
        if isinstance(raw, bytes):
            found += value
        elif value[:1] == b'"':
            found += value[1:-1] if len(value) < WINDOW else value[1:]
        else:
            for match in _TEXT.finditer(value):
                found += match[1]
                if len(found) >= most:
                    break
        if len(found) >= most:
            return found[:most]
    return found
