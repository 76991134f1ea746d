"""The client API: the calls that an account answers, in the tables that route them, and what omni-connector tells by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from omni_connector.openapi.operation import EVENTS, JSON, TEXT, Json, Operation, fields, row
from omni_connector.openapi.shapes import Shape
from omni_connector.paths import POSTS
from omni_connector.wire.raw import RAW

_LIST: Json = {"type": "array"}
_OBJECTS: Json = {"type": "array", "items": {"type": "object"}}
_FLAG: Json = {"type": "boolean"}
READY = {"status": "text", "node": "text"}
_MODEL: Json = {"type": "string", "description": "auto, a provider, a model, provider/model, label/model, an alias, a chain."}


def _open(*required: str, **of: Json) -> Json:
    """A body whose other fields pass on to the provider as they are."""
    return {"type": "object", "properties": of, **({"required": list(required)} if required else {})}


_CHAT = {"id": "text", "object": "text", "model": "text", "choices": ["object"]}
BODIES: Mapping[str, tuple[str, Json, Shape]] = {
    "openai-chat": (
        "A conversation: OpenAI Chat Completions.", _open("messages", model=_MODEL, messages=_OBJECTS, stream=_FLAG), _CHAT
    ),
    "openai-responses": (
        "A conversation: OpenAI Responses.",
        _open(model=_MODEL, input={"anyOf": [TEXT, _LIST]}, stream=_FLAG, previous_response_id=TEXT),
        {"id": "text", "object": "text", "status": "text", "model": "text", "output": ["object"]},
    ),
    "anthropic-messages": (
        "A conversation: Anthropic Messages.",
        _open("messages", "max_tokens", model=_MODEL, messages=_OBJECTS, max_tokens={"type": "integer", "minimum": 1}, stream=_FLAG),
        {"id": "text", "type": "text", "role": "text", "model": "text", "content": ["object"], "usage": "object"},
    ),
    "openai-completions": ("A prompt to go on with.", _open("prompt", model=_MODEL, prompt={}, stream=_FLAG), _CHAT),
    "openai-embeddings": ("Vectors of texts.", _open("input", model=_MODEL, input={}), {"object": "text", "data": ["object"]}),
    "ocr": ("The text of a picture.", _open(image=TEXT, image_url=TEXT, model=_MODEL), "object"),
}  # fmt: skip
"""Wire format → what it is for, what is read of its body, its whole answer."""
PASSED: Mapping[str, str] = {
    "image": "Pictures.",
    "speech": "A sound of a text.",
    "transcription": "The text of a sound.",
    "moderation": "A verdict on a text.",
    "rerank": "Documents in order of a question.",
}
_GEMINI = _open(contents=_OBJECTS)
VERBS: Mapping[str, tuple[str, Json, Shape, tuple[str, ...]]] = {
    "generateContent": ("A conversation: Gemini.", _GEMINI, {"candidates?": ["object"]}, (JSON,)),
    "streamGenerateContent": ("The same, streamed: one JSON array, or events with alt=sse.", _GEMINI, ["object"], (JSON, EVENTS)),
    "embedContent": ("The vector of a text.", _open(content={"type": "object"}), {"embedding": "object"}, (JSON,)),
    "batchEmbedContents": ("Vectors of texts.", _open(requests=_OBJECTS), {"embeddings": ["object"]}, (JSON,)),
    "countTokens": ("Tokens of a request.", _GEMINI, {"totalTokens": "int"}, (JSON,)),
}
PASSED_KINDS = (JSON, EVENTS, "text/plain", "audio/*", "application/octet-stream")
"""Where bytes pass, the provider says what they are."""
FORMS = ("edits", "variations", "transcriptions", "translations")
"""Last words of paths whose body is a form with a file."""
UNSTREAMED = ("openai-embeddings", "ocr")


def _sent_as(path: str) -> tuple[str, ...]:
    return (JSON, "multipart/form-data") if path.endswith(FORMS) else (JSON,)


def _posts() -> list[Operation]:
    found = []
    for path, wire in POSTS.items():
        if path in RAW:
            found.append(row(f"POST {path}", PASSED[wire], "any", body=_open(model=_MODEL), kinds=PASSED_KINDS, body_kinds=_sent_as(path)))
            continue
        words, body, shape = BODIES[wire]
        found.append(row(f"POST {path}", words, shape, body=body, kinds=(JSON,) if wire in UNSTREAMED else (JSON, EVENTS)))
    for root in ("/v1beta", "/v1"):
        for verb, (words, body, shape, kinds) in VERBS.items():
            query = {"type": "object", "properties": {"alt": {"enum": ["sse", "json"]}}} if verb.startswith("stream") else None
            found.append(row(f"POST {root}/models/{{model}}:{verb}", words, shape, body=body, query=query, kinds=kinds))
    return found


def _told() -> list[Operation]:
    counted = {"input_tokens": "int"}
    listing = [
        operation
        for root in ("/v1", "/v1beta")
        for operation in (
            row(f"GET {root}/models", "Every name the key may use, in the form of the SDK that asks.", "ModelList"),
            row(f"GET {root}/models/{{name}}", "One of them.", "object"),
        )
    ]
    page = {"type": "object", "properties": {"limit": TEXT, "after": TEXT, "order": {"enum": ["asc", "desc"]}}}
    return [
        *listing,
        row("POST /v1/messages/count_tokens", "Tokens of a request, Anthropic's form.", counted, body=BODIES["anthropic-messages"][1]),
        row("POST /v1/responses/input_tokens", "Tokens of a request, the Responses form.", counted, body=BODIES["openai-responses"][1]),
        row("GET /v1/responses/{response_id}", "An answer that was kept.", "object"),
        row("GET /v1/responses/{response_id}/input_items", "What its request brought.", {"data": "array"}, query=page, refusals=(400,)),
        row("DELETE /v1/responses/{response_id}", "Forget it.", {"id": "text", "deleted": "bool"}),
    ]


def _below_provider(operation: Operation) -> Operation:
    return replace(
        operation, call=f"{operation.method} /{{provider}}{operation.path}", summary=f"{operation.summary} Only by this provider."
    )


ROOT = [replace(each, access="client") for each in (*_posts(), *_told())]
TAGS: Mapping[str, tuple[Operation, ...]] = {
    "Client API": tuple(ROOT),
    "Client API of one provider": tuple(map(_below_provider, ROOT)),
    "Health": (
        row("GET /health", "Whether the server runs; no key needed.", {"status": "text", "version": "text"}, access="open"),
        Operation(
            "GET /ready",
            "Whether a balancer should send requests here, 503 while it should not; no key needed.",
            {200: READY, 503: READY},
            query=fields(database=TEXT),
            access="open",
        ),
    ),
}
