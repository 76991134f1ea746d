"""Which POST of the client API a path is: wire format, pinned provider, and what Gemini puts into the URL (CONTRACT §4)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import parse_qs

from omni_connector.values import dataclass
from omni_connector.wire import dialect_of, ocr
from omni_connector.wire.raw import RAW

POSTS: Mapping[str, str] = {
    "/v1/chat/completions": "openai-chat",
    "/v1/responses": "openai-responses",
    "/v1/messages": "anthropic-messages",
    "/v1/completions": "openai-completions",
    "/v1/embeddings": "openai-embeddings",
    ocr.PATH: ocr.NAME,
    **{path: kind.purpose for path, kind in RAW.items()},
}
"""Path → wire format (the purpose, where only bytes pass); each also below /{provider}."""

# Current Google SDKs call /v1, older ones and the command-line tools /v1beta. A model id may hold slashes and colons.
_GEMINI = re.compile(r"/v1(?:beta)?/models/(?P<model>.+):(?P<verb>generateContent|streamGenerateContent|embedContent|batchEmbedContents)")


@dataclass(frozen=True, slots=True)
class Route:
    """`provider`: the path's first segment where the rest is a client path. `model` and `stream`: what the URL says, if it does.
    `as_array`: a stream is wanted as one JSON array (Gemini without `alt=sse`)."""

    wire: str
    provider: str = ""
    model: str = ""
    stream: bool | None = None
    as_array: bool = False
    endpoint: str = ""
    """The path without the provider."""


PLAIN: Mapping[str, Route] = {path: Route(wire, endpoint=path) for path, wire in POSTS.items()}


def client_route(path: str, query: bytes = b"") -> Route | None:
    """The route of a client API POST; None for every other path."""
    found = _route(path, query)
    if found is not None:
        return found
    head, slash, rest = path[1:].partition("/")
    below = _route(f"/{rest}", query) if slash else None
    return None if below is None else replace(below, provider=head)


def _route(path: str, query: bytes) -> Route | None:
    plain = PLAIN.get(path)
    if plain is not None:
        return plain
    gemini = _GEMINI.fullmatch(path)
    if gemini is None:
        return None
    model = gemini["model"].removeprefix("models/")
    if gemini["verb"].endswith(("embedContent", "EmbedContents")):
        return Route("gemini-embeddings", "", model, stream=False, endpoint=path)
    stream = gemini["verb"] == "streamGenerateContent"
    sse = parse_qs(query.decode("latin-1")).get("alt") == ["sse"]
    return Route("gemini-generate", "", model, stream, stream and not sse, path)


def wire_of(path: str, headers: Mapping[str, str]) -> str:
    """The format an error or a list on this path is told in: by the path, else by what the asking SDK sends (clients.md, finding 1)."""
    found = client_route(path)
    if found is not None:
        return dialect_of(found.wire)
    if "/v1/messages" in path or "anthropic-version" in headers:
        return "anthropic-messages"
    if "/v1beta/" in path or "x-goog-api-key" in headers or "x-goog-api-client" in headers:
        return "gemini-generate"
    return "openai-chat"
