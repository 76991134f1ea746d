"""Which account a conversation is at home with: the one whose provider has its beginning in a cache.

`fingerprint` names a conversation, the same in each of its turns; `Homes` remembers where it was answered last. What a home is worth
against everything else is decided by `score`. Two conversations that begin alike share a name: then one follows the other to
the same account, which is where their common prefix is cached anyway.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import msgspec

from omni_connector.snapshot import EMPTY

SESSION_HEADERS = ("x-claude-code-session-id", "session-id", "session_id", "x-session-id", "x-session-affinity", "thread-id")
"""Request headers (lower case) in which clients name their conversation: Claude Code; Codex, new and old; opencode."""
SYSTEM_BYTES, FIRST_BYTES = 2_000, 6_000
"""How much text is hashed: of what stands before the first user message, and of that message."""
WINDOW = 64_000
"""How far into one message is looked. Text only is taken from there: a client moves its cache marks from turn to turn, and writes
the same text once bare and once as a list of blocks."""
LONGEST_ID = 500
TTL_MS = 60 * 60_000
"""No provider keeps a prompt cache longer than that without being asked to."""
MOST = 20_000


# ---------------------------------------------------------------- The name of a conversation

_Many = str | list[msgspec.Raw] | dict[str, msgspec.Raw] | None


class _Body(msgspec.Struct):
    """The fields of the four conversation formats that tell one conversation from another; one scan in C skips all others."""

    messages: _Many = None
    input: _Many = None
    contents: _Many = None
    system: msgspec.Raw = msgspec.Raw(b"")
    instructions: msgspec.Raw = msgspec.Raw(b"")
    system_instruction: msgspec.Raw = msgspec.Raw(b"")
    systemInstruction: msgspec.Raw = msgspec.Raw(b"")  # noqa: N815 - Gemini writes it both ways
    conversation: _Many = None
    prompt_cache_key: str | None = None
    previous_response_id: str | None = None
    metadata: msgspec.Raw = msgspec.Raw(b"")


class _Item(msgspec.Struct):
    role: str | None = None
    type: str | None = None


_BODY = msgspec.json.Decoder(_Body)
_ITEM = msgspec.json.Decoder(_Item)
_TEXT = re.compile(rb'"(?:text|content|data|url|image_url|fileUri|file_uri|file_id)"\s*:\s*"([^"\\]*(?:\\.[^"\\]*)*)', re.S)
_SESSION = re.compile(rb'_session_([0-9a-fA-F-]{8,64})|\\"session_id\\"\s*:\s*\\"([^"\\]{8,100})')
"""In Anthropic's `metadata.user_id`: `user_…_session_<uuid>`, or a JSON document with `session_id`. Without one it names a user."""


def fingerprint(key_id: str, model: str, body: bytes, headers: Mapping[str, str] = EMPTY) -> str:
    """The name of the conversation that this request is a turn of: 32 hex digits, "" when nothing tells (then it has no home).

    `model`: as requested. `body`: of a conversation format. `headers`: with lower-case names. The client's own word for the
    conversation wins: Responses `conversation`, a session header, `prompt_cache_key`, the session in `metadata.user_id`,
    `previous_response_id` (see `following`); else the texts up to the end of the first user message. Raises nothing.
    """
    try:
        fields = _BODY.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
    named = _named(fields, headers)
    if named is not None:
        return _hash(key_id, model, *named)
    texts = _beginning(fields)
    return _hash(key_id, model, b"text", *texts) if any(texts) else ""


def following(key_id: str, model: str, response_id: str) -> str:
    """The name that a request going on from this answer (`previous_response_id`) will have: settle a turn under this one too."""
    return _hash(key_id, model, b"previous", response_id.encode()[:LONGEST_ID])


def _named(fields: _Body, headers: Mapping[str, str]) -> tuple[bytes, bytes] | None:
    conversation = fields.conversation
    if isinstance(conversation, dict):
        conversation = bytes(conversation["id"]).strip(b'"').decode() if "id" in conversation else None
    session = next((headers[name] for name in SESSION_HEADERS if headers.get(name)), "")
    found = _SESSION.search(bytes(fields.metadata)[:WINDOW])
    words = (
        (b"conversation", conversation if isinstance(conversation, str) else ""),
        (b"session", session),
        (b"cache", fields.prompt_cache_key),
        (b"session", (found[1] or found[2]).decode("utf-8", "replace") if found else ""),
        (b"previous", fields.previous_response_id),
    )
    return next(((kind, word.encode("utf-8", "surrogatepass")[:LONGEST_ID]) for kind, word in words if word), None)


def _beginning(fields: _Body) -> tuple[bytes, bytes]:
    """The texts before the first user message and of it, each cut off at its bound."""
    items = next((many for many in (fields.messages, fields.input, fields.contents) if many), None)
    before = [fields.system, fields.instructions, fields.system_instruction, fields.systemInstruction]
    if isinstance(items, str):
        return _texts(before, SYSTEM_BYTES), items.encode("utf-8", "surrogatepass")[:FIRST_BYTES]
    if isinstance(items, dict):
        return _texts(before, SYSTEM_BYTES), _texts(items.values(), FIRST_BYTES)
    for item in items or ():
        if _from_user(item):
            return _texts(before, SYSTEM_BYTES), _texts([item], FIRST_BYTES)
        before.append(item)
    return _texts(before, SYSTEM_BYTES), b""


def _from_user(item: msgspec.Raw) -> bool:
    """Gemini lets the role out where it is the user's; a Responses item without one is a message only when it says so."""
    try:
        told = _ITEM.decode(item)
    except msgspec.DecodeError:
        return False
    return told.role == "user" or (told.role is None and told.type in (None, "message"))


def _texts(raws: Iterable[msgspec.Raw], most: int) -> bytes:
    """The texts in these values one after the other, as they are spelled, at most `most` bytes."""
    found = b""
    for raw in raws:
        value = bytes(memoryview(raw)[:WINDOW])
        if value[:1] == b'"':
            found += value[1:-1] if len(value) < WINDOW else value[1:]
        else:
            for match in _TEXT.finditer(value):
                found += match[1]
                if len(found) >= most:
                    break
        if len(found) >= most:
            return found[:most]
    return found


def _hash(key_id: str, model: str, *parts: bytes) -> str:
    digest = blake2b(digest_size=16)
    for part in (key_id.encode(), model.encode("utf-8", "surrogatepass"), *parts):
        digest.update(len(part).to_bytes(4, "big"))
        digest.update(part)
    return digest.hexdigest()


# ---------------------------------------------------------------- Where it was answered last


@dataclass(frozen=True, slots=True)
class Home:
    """`at`: ms UTC of the last answer. `prompt_tokens`: how long the prompt was then, which is what may be cached."""

    account_id: str
    at: int
    prompt_tokens: int


Row = tuple[str, str, int, int]
"""(fingerprint, account id, at, prompt tokens): what the caller stores."""


class Homes:
    """At most `most` conversations, the one that rested longest gives way. In memory only: `dump` and `load` are for the caller."""

    def __init__(self, most: int = MOST, ttl_ms: int = TTL_MS) -> None:
        self._most = most
        self._ttl_ms = ttl_ms
        self._homes: OrderedDict[str, Home] = OrderedDict()

    def __len__(self) -> int:
        return len(self._homes)

    def home(self, fingerprint: str, now: int) -> Home | None:
        """Reading only: a question changes nothing."""
        found = self._homes.get(fingerprint)
        return None if found is None or now - found.at >= self._ttl_ms else found

    def settle(self, fingerprint: str, account_id: str, prompt_tokens: int | None, now: int) -> None:
        """This account answered. Call it when an answer is whole; `prompt_tokens` None: not known."""
        if fingerprint:
            self._homes[fingerprint] = Home(account_id, now, max(0, prompt_tokens or 0))
            self._homes.move_to_end(fingerprint)
            self._tidy(now)

    def dump(self, since: int = 0) -> list[Row]:
        """What was settled at `since` (ms) or later, oldest first."""
        return [(name, home.account_id, home.at, home.prompt_tokens) for name, home in self._homes.items() if home.at >= since]

    def load(self, rows: Iterable[Sequence[Any]], now: int) -> None:
        """Takes rows in, from before a restart or of another process. The later answer of a conversation counts; what is older than
        an hour, or lies in the future, does not."""
        for name, account_id, at, prompt_tokens in rows:
            known = self._homes.get(name)
            if name and at <= now and (known is None or known.at < at):
                self._homes[name] = Home(account_id, at, max(0, prompt_tokens or 0))
        self._homes = OrderedDict(sorted(self._homes.items(), key=lambda entry: entry[1].at))
        self._tidy(now)

    def _tidy(self, now: int) -> None:
        while self._homes:
            oldest = next(iter(self._homes))
            if len(self._homes) <= self._most and now - self._homes[oldest].at < self._ttl_ms:
                return
            del self._homes[oldest]
