"""Wire formats: JSON and bytes ↔ chat.py. Pure, push-style, synchronous; the only place that knows field names.

Every format module gives the same names (DESIGN.md, law 1), checked by `tests/wire/test_all_formats.py`; those of providers
that no client speaks (in `FORMATS`, not in `TWO_WAY`) only the half that faces the provider, marked *:

    NAME, PATH *                   "openai-chat"; the upstream path below a provider's base URL ("/chat/completions")
    KEEPALIVE *                    what may be sent between the events of a quiet stream; b"" where nothing may
    parse_request(body)            Json -> ChatRequest; raises GatewayError (BAD_REQUEST with `param`)
    render_request(request, model, target) * -> Rendered; raises GatewayError where dropping would change the meaning
    parse_error(status, headers, body) *     an upstream's error answer -> GatewayError, classified, status first
    render_error(error)            GatewayError -> the format's own error body
    ResponseParser(origin) *       .feed(bytes), .close(), .whole(body) -> list[Event]
    ResponseRenderer(model, request, origin=…)  .feed(event) -> bytes, .fail(error) -> bytes; `model` is the requested name
    render_response(response, model, request, origin=…)  ChatResponse -> Json
    Listener() *                   the pass-through lane's ear: .feed(bytes), .close() and .whole(body) keep usage, finish,
                                   error, ended, output_chars and first_output up to date without building events
"""

from __future__ import annotations

from collections.abc import Callable, Set
from functools import lru_cache
from types import ModuleType
from typing import Any

import omni_connector.wire.anthropic_messages as anthropic_messages
import omni_connector.wire.code_assist as code_assist
import omni_connector.wire.gemini_embeddings as gemini_embeddings
import omni_connector.wire.gemini_generate as gemini_generate
import omni_connector.wire.kiro as kiro
import omni_connector.wire.openai_chat as openai_chat
import omni_connector.wire.openai_completions as openai_completions
import omni_connector.wire.openai_embeddings as openai_embeddings
import omni_connector.wire.openai_responses as openai_responses
from omni_connector.chat import ChatRequest, Json

TWO_WAY: dict[str, ModuleType] = {module.NAME: module for module in (openai_chat, openai_responses, anthropic_messages, gemini_generate)}
"""The conversation formats that clients and providers speak."""
FORMATS: dict[str, ModuleType] = {**TWO_WAY, code_assist.NAME: code_assist, kiro.NAME: kiro}
"""All conversation formats of providers."""
CLIENT_FORMATS: dict[str, ModuleType] = {**TWO_WAY, openai_completions.NAME: openai_completions}
"""What a translated answer can be rendered in."""
EMBEDDINGS: dict[str, ModuleType] = {module.NAME: module for module in (openai_embeddings, gemini_embeddings)}
LISTENERS: dict[str, Callable[[], Any]] = {name: module.Listener for name, module in (CLIENT_FORMATS | EMBEDDINGS).items()}
"""The pass-through lane's ears."""


def dialect_of(wire: str) -> str:
    """The conversation format whose errors and keep-alives an endpoint uses: its own, or that of its family."""
    if wire in FORMATS:
        return wire
    return gemini_generate.NAME if wire == gemini_embeddings.NAME else openai_chat.NAME


def dialect(wire: str) -> ModuleType:
    return FORMATS[dialect_of(wire)]


def always_streams(wire: str, features: Set[str]) -> bool:
    """Whether a provider knows no whole answers."""
    return wire == kiro.NAME or "codex_backend" in features


@lru_cache(maxsize=1024)
def upstream_path(wire: str, model: str, stream: bool) -> str:
    """Where a request of this format goes, below a provider's base URL."""
    module = FORMATS[wire]
    return str(module.path(model, stream)) if hasattr(module, "path") else str(module.PATH)


def parse_request(wire: str, body: Json, model: str, stream: bool) -> ChatRequest:
    """A client's body → the canonical request; `model` and `stream` are what URL or body say."""
    if wire == openai_responses.NAME:
        openai_responses.refuse_state(body)
    told = body if "path" not in vars(CLIENT_FORMATS[wire]) else {**body, "model": model, "stream": stream}
    request: ChatRequest = CLIENT_FORMATS[wire].parse_request(told)
    return request
