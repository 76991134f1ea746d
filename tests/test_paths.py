"""Client paths: formats, pinned providers, and Gemini's URLs. C-21, C-24…C-26, C-29, C-30"""

from __future__ import annotations

from dataclasses import replace

import pytest

from omni_connector.paths import Route, client_route, wire_of


@pytest.mark.parametrize(
    ("path", "query", "route"),
    [
        ("/v1/chat/completions", b"", Route("openai-chat")),
        ("/v1/messages", b"beta=true", Route("anthropic-messages")),
        ("/v1/responses", b"", Route("openai-responses")),
        ("/v1/completions", b"", Route("openai-completions")),
        ("/v1/embeddings", b"", Route("openai-embeddings")),
        ("/v1/images/generations", b"", Route("image")),
        ("/v1/rerank", b"", Route("rerank")),
        ("/groq/v1/chat/completions", b"", Route("openai-chat", "groq")),
        ("/groq/v1/audio/speech", b"", Route("speech", "groq")),
        ("/v1beta/models/gemini-3-flash:generateContent", b"", Route("gemini-generate", "", "gemini-3-flash", False)),
        ("/v1/models/gemini-3-flash:streamGenerateContent", b"alt=sse", Route("gemini-generate", "", "gemini-3-flash", True)),
        ("/v1beta/models/m:streamGenerateContent", b"key=x", Route("gemini-generate", "", "m", True, True)),
        ("/v1beta/models/qwen/qwen3:free:generateContent", b"", Route("gemini-generate", "", "qwen/qwen3:free", False)),
        ("/gemini/v1beta/models/m:generateContent", b"", Route("gemini-generate", "gemini", "m", False)),
        ("/v1beta/models/e:embedContent", b"", Route("gemini-embeddings", "", "e", False)),
        ("/gemini/v1/models/e:batchEmbedContents", b"", Route("gemini-embeddings", "gemini", "e", False)),
    ],
)
def test_client_paths(path: str, query: bytes, route: Route) -> None:
    assert client_route(path, query) == replace(route, endpoint=path.removeprefix(f"/{route.provider}") if route.provider else path)


@pytest.mark.parametrize(
    "path", ["/", "/v1/models", "/v1/messages/count_tokens", "/v1beta/models/m:countTokens", "/a/b/v1/messages", "/api/keys"]
)
def test_other_paths_are_not_ours(path: str) -> None:
    assert client_route(path) is None


@pytest.mark.parametrize(
    ("path", "headers", "wire"),
    [
        ("/v1/models", {}, "openai-chat"),
        ("/v1/models", {"anthropic-version": "2026-10-21"}, "anthropic-messages"),
        ("/v1/models", {"x-goog-api-key": "omni-x"}, "gemini-generate"),
        ("/v1beta/models", {}, "gemini-generate"),
        ("/v1/messages/count_tokens", {}, "anthropic-messages"),
        ("/demo/v1/messages/count_tokens", {}, "anthropic-messages"),
    ],
)
def test_the_asking_sdk_gets_its_own_form(path: str, headers: dict[str, str], wire: str) -> None:
    assert wire_of(path, headers) == wire
