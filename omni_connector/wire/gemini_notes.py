"""What Gemini tells beside the words: sources (grounding) and token probabilities, between its form and that of others.

`groundingMetadata` and `citationMetadata` stay whole for Gemini clients; for others each source becomes one annotation with
`url` and `title`, which is what they have in common. Back the other way citations of other formats become `groundingChunks`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from omni_connector.chat import Json

OWN_NOTE = "grounding"
"""`type` of the annotations made here: their metadata is there as a whole, so they are not written again for Gemini clients."""
_LISTS = {"logprobsResult": ("chosenCandidates", "topCandidates"), "citationMetadata": ("citationSources", "citations")}
_SOURCES = ("web", "maps", "retrievedContext", "image")
"""Kinds of a grounding chunk; each has `uri` and `title`."""


def sources_of(candidate_extra: Json) -> list[Json]:
    """The sources of a candidate: {"type": "grounding", "url", "title"?, "cited_text"?}; each address once, in order."""
    found: dict[str, Json] = {}
    grounding = _object(candidate_extra.get("groundingMetadata"))
    texts = _cited(grounding)
    for number, chunk in enumerate(_objects(grounding.get("groundingChunks"))):
        source: Json = next((chunk[kind] for kind in _SOURCES if isinstance(chunk.get(kind), dict)), {})
        _note(found, source.get("uri"), source.get("title"), texts.get(number))
    citations = _object(candidate_extra.get("citationMetadata"))
    for citation in _objects(citations.get("citationSources") or citations.get("citations")):
        _note(found, citation.get("uri"), citation.get("title"), None)
    return list(found.values())


def _cited(grounding: Json) -> dict[int, str]:
    """Place of a chunk → the words it supports."""
    texts: dict[int, str] = {}
    for support in _objects(grounding.get("groundingSupports")):
        text = _object(support.get("segment")).get("text")
        indices = support.get("groundingChunkIndices")
        for index in indices if isinstance(indices, list) and isinstance(text, str) else ():
            if isinstance(index, int):
                texts.setdefault(index, str(text))
    return texts


def _note(found: dict[str, Json], url: Any, title: Any, text: str | None) -> None:
    if not isinstance(url, str) or not url:
        return
    note: Json = {"type": OWN_NOTE, "url": url}
    if isinstance(title, str) and title:
        note["title"] = title
    if text:
        note["cited_text"] = text
    found.setdefault(url, note)


def merged(field: str, known: Any, new: Any) -> Any:
    """A candidate's field in several chunks of a stream → one value: sources and probabilities add up, of others the last counts."""
    if not isinstance(known, dict) or not isinstance(new, dict):
        return new
    lists = _LISTS.get(field)
    if lists is None:
        return {**known, **new} if field == "groundingMetadata" else new
    out = {**known, **new}
    for key in lists:
        if isinstance(known.get(key), list) and isinstance(new.get(key), list):
            fresh = new[key] if field == "logprobsResult" else [one for one in new[key] if one not in known[key]]
            out[key] = [*known[key], *fresh]
    return out


def grounding_of(notes: Iterable[Json]) -> Json | None:
    """Citations of other formats → `groundingMetadata`: pages by their address, documents (files, places in what was sent) by their
    name; None when none has either."""
    chunks: dict[str, Json] = {}
    for note in notes:
        inner = note.get("url_citation")
        source = inner if isinstance(inner, dict) else note
        url, title = source.get("url"), source.get("title")
        name = source.get("filename") or source.get("document_title")
        if isinstance(url, str) and url:
            chunks.setdefault(url, {"web": {"uri": url, "title": title if isinstance(title, str) and title else url}})
        elif isinstance(name, str) and name:
            text = source.get("cited_text")
            chunks.setdefault(f" {name}", {"retrievedContext": {"title": name, **({"text": text} if isinstance(text, str) else {})}})
    return {"groundingChunks": list(chunks.values())} if chunks else None


# ---------------------------------------------------------------- Token probabilities


def to_chat_logprobs(result: Any) -> Json | None:
    """`logprobsResult` → `logprobs` as chat completions has them."""
    chosen = _objects(_object(result).get("chosenCandidates"))
    tops = _objects(_object(result).get("topCandidates"))
    content = []
    for number, token in enumerate(chosen):
        top = _objects(tops[number].get("candidates")) if number < len(tops) else []
        content.append({**_token(token), "top_logprobs": [_token(one) for one in top]})
    return {"content": content, "refusal": None} if content else None


def _token(value: Json) -> Json:
    token = value.get("token")
    text = token if isinstance(token, str) else ""
    return {"token": text, "logprob": value.get("logProbability", 0), "bytes": list(text.encode("utf-8", "replace"))}


def from_chat_logprobs(logprobs: Any) -> Json | None:
    """The opposite."""
    content = _objects(_object(logprobs).get("content"))
    if not content:
        return None
    chosen = [_candidate(token) for token in content]
    tops = [{"candidates": [_candidate(one) for one in _objects(token.get("top_logprobs"))]} for token in content]
    return {"chosenCandidates": chosen, "topCandidates": tops}


def _candidate(token: Mapping[str, Any]) -> Json:
    return {"token": token.get("token", ""), "logProbability": token.get("logprob", 0)}


def _object(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def _objects(value: Any) -> list[Json]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
