"""A whole answer in Gemini's form (client's side): the stream's own chunks, put together."""

from __future__ import annotations

from collections.abc import Iterable

from omni_connector.chat import ChatRequest, ChatResponse, Json, Origin, unfold
from omni_connector.wire.gemini_answer import ResponseRenderer


def render_response(response: ChatResponse, model: str, request: ChatRequest | None = None, *, origin: Origin | None = None) -> Json:
    """The whole answer, by way of the stream's own chunks."""
    renderer = ResponseRenderer(model, request, origin=origin)
    return accumulate(chunk for event in unfold(response) for chunk in renderer.chunks(event))


def accumulate(chunks: Iterable[Json]) -> Json:
    """Chunks of a stream of ours → the answer they describe: pieces of one text become one part, and a signature that
    followed it stands on it."""
    body: Json = {}
    candidates: dict[int, Json] = {}
    for chunk in chunks:
        for candidate in chunk.get("candidates", ()):
            known = candidates.setdefault(candidate["index"], {"content": {"parts": [], "role": "model"}})
            for part in candidate["content"]["parts"]:
                _join(known["content"]["parts"], part)
            known |= {key: value for key, value in candidate.items() if key != "content"}
        body |= {key: value for key, value in chunk.items() if key != "candidates"}
    return {"candidates": [candidates[number] for number in sorted(candidates)], **body} if candidates else body


def _join(parts: list[Json], part: Json) -> None:
    last = parts[-1] if parts else {}
    if not isinstance(part.get("text"), str):
        parts.append(dict(part))
        return
    grows = isinstance(last.get("text"), str) and "thoughtSignature" not in last and last.get("thought") == part.get("thought")
    if grows:
        last["text"] += part["text"]
        if "thoughtSignature" in part:
            last["thoughtSignature"] = part["thoughtSignature"]
    elif part["text"] or "thoughtSignature" in part:
        parts.append(dict(part))
