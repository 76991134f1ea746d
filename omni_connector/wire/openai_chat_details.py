"""`reasoning_details`: the list in which OpenRouter, Vercel's gateway and we carry what must be echoed.

Two dialects share it. A provider's own entries are kept whole, each as an opaque value of kind DETAIL, and go back
unchanged. Opaque values of other wire formats (an Anthropic signature, …) are sealed into entries with format
SEALED_FORMAT; a client that replays its history gives them back, and `restore` opens them again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from omni_connector.chat import ENVELOPE, Json, Opaque, Origin, ReasoningPart, ToolCallPart, unseal
from omni_connector.chat import seal as seal_opaque
from omni_connector.wire.openai_chat_words import DETAIL, EXTRA_CONTENT, SEALED_FORMAT, dumps, loads

_TEXT_FIELD: Mapping[str, str] = {"reasoning.text": "text", "reasoning.summary": "summary"}


def text_of(entry: Json) -> str:
    """The readable words of an entry."""
    text = entry.get(_TEXT_FIELD.get(str(entry.get("type")), ""))
    return text if isinstance(text, str) else ""


class Merger:
    """Streamed fragments of entries → whole entries. An entry with its signature or data is complete; what follows
    under the same type and index is a new one."""

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        self._entries: list[Json] = []

    def add(self, fragment: Json) -> None:
        entry = self._fits(fragment)
        if entry is None:
            self._entries.append(dict(fragment))
            return
        name = _TEXT_FIELD[fragment["type"]]
        text = text_of(entry) + text_of(fragment)
        entry.update({key: value for key, value in fragment.items() if value is not None})
        if text:
            entry[name] = text

    def _fits(self, fragment: Json) -> Json | None:
        if fragment.get("type") not in _TEXT_FIELD:
            return None
        for entry in reversed(self._entries):
            if entry.get("type") != fragment["type"] or entry.get("index") != fragment.get("index"):
                continue
            if entry.get("signature") is not None or entry.get("data") is not None:
                return None
            same = entry.get("id") is None or fragment.get("id") is None or entry["id"] == fragment["id"]
            return entry if same else None
        return None

    def empty(self) -> bool:
        return not self._entries

    def drain(self, origin: Origin | None) -> list[Opaque]:
        """The entries as opaque values, if there is anything in them that the plain text does not hold."""
        entries, self._entries = self._entries, []
        if not any(entry.get("signature") is not None or entry.get("data") is not None for entry in entries):
            return []
        return [Opaque(DETAIL, dumps(entry), origin) for entry in entries]


def own_entries(opaques: Iterable[Opaque]) -> list[Json]:
    """The provider's own entries again, exactly as they came."""
    values = (loads(opaque.value) for opaque in opaques if opaque.kind == DETAIL)
    return [value for value in values if isinstance(value, dict)]


def entries_of(part: ReasoningPart, index: int) -> list[Json]:
    """A reasoning part → entries for a client. The first sealed value carries the text, because a signature is only good
    together with exactly the text it signs."""
    entries = own_entries(part.opaque)
    for number, opaque in enumerate(opaque for opaque in part.opaque if opaque.kind != DETAIL):
        if number == 0 and part.text:
            entries.append(
                {
                    "type": "reasoning.text",
                    "text": part.text,
                    "signature": seal_opaque(opaque),
                    "format": SEALED_FORMAT,
                    "index": index,
                }
            )
            continue
        entries.append(_encrypted(opaque, index))
    return entries


def call_entries(part: ToolCallPart, index: int) -> list[Json]:
    """What a tool call must get back (a thought signature), tied to it by its id."""
    return [{**_encrypted(opaque, index), "id": part.id} for opaque in part.opaque if opaque.kind != EXTRA_CONTENT]


def _encrypted(opaque: Opaque, index: int) -> Json:
    return {"type": "reasoning.encrypted", "data": seal_opaque(opaque), "format": SEALED_FORMAT, "index": index}


def restore(entries: Iterable[Json]) -> tuple[list[ReasoningPart], dict[str, list[Opaque]], list[Json]]:
    """A client's entries → (sealed reasoning parts, opaque values by tool-call id, the provider's own entries).

    A torn envelope is dropped: it proves nothing any more.
    """
    parts: dict[Any, tuple[list[str], list[Opaque]]] = {}
    calls: dict[str, list[Opaque]] = {}
    own: list[Json] = []
    for entry in entries:
        sealed = entry.get("signature") or entry.get("data")
        if not (isinstance(sealed, str) and sealed.startswith(ENVELOPE)):
            own.append(entry)
            continue
        opaque = unseal(sealed)
        found = [opaque] if opaque is not None else []
        call_id = entry.get("id")
        if isinstance(call_id, str) and call_id:
            calls.setdefault(call_id, []).extend(found)
            continue
        index = entry.get("index")
        texts, opaques = parts.setdefault(index if isinstance(index, int | str) else None, ([], []))
        texts.append(text_of(entry))
        opaques.extend(found)
    return [ReasoningPart("".join(texts), tuple(opaques)) for texts, opaques in parts.values()], calls, own
