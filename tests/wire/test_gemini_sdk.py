"""The vendor's SDK (google-genai) reads what we write, and we read what it sends. Skipped where it is not installed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from omni_connector.chat import Opaque, Origin, ReasoningPart, ToolCallPart, unfold
from omni_connector.errors import GatewayError, Kind
from omni_connector.wire import gemini_generate as wire
from omni_connector.wire.gemini_words import dumps
from tests.wire.gemini_reading import openai_answer, parse, stream, transcript


def sdk(status: int, content: bytes) -> Any:
    """A client of the vendor's SDK whose every call gets this answer, and the list of what it asked."""
    genai = pytest.importorskip("google.genai")
    httpx2 = pytest.importorskip("httpx2")
    asked: list[Any] = []

    def answer(request: Any) -> Any:
        asked.append(request)
        return httpx2.Response(status, content=content, headers={"content-type": "application/json"})

    http = httpx2.Client(transport=httpx2.MockTransport(answer))
    options = genai.types.HttpOptions(base_url="http://localhost", httpx_client=http)
    return genai.Client(api_key="k", http_options=options), asked


@pytest.mark.parametrize("form", ["whole", "streamed"])
def test_the_vendors_sdk_reads_our_answers_and_sends_them_back(form: str) -> None:
    # C-25, C-26
    response = openai_answer()
    content = dumps(wire.render_response(response, "asked")) if form == "whole" else stream(response)
    client, asked = sdk(200, content)

    def call(contents: Any) -> list[Any]:
        if form == "whole":
            return [client.models.generate_content(model="asked", contents=contents)]
        return list(client.models.generate_content_stream(model="asked", contents=contents))

    answers = call("Hi")
    parts = [part for answer in answers for part in (answer.candidates[0].content.parts or [])]
    last = answers[-1]
    assert "".join(part.text for part in parts if part.text and part.thought) == "hm"
    assert "".join(part.text for part in parts if part.text and not part.thought) == "Grüße 🌊\u2028"
    calls = [part.function_call for part in parts if part.function_call]
    assert [(call.id, call.name, call.args) for call in calls] == [
        ("call_1", "tide", {"harbour": "Cuxhaven", "n": [1, 2.5]}),
        ("functions.now:1", "now", {}),
    ]
    assert last.candidates[0].finish_reason.value == "STOP"
    usage = last.usage_metadata
    assert (usage.prompt_token_count, usage.cached_content_token_count, usage.candidates_token_count, usage.thoughts_token_count) == (
        100, 80, 5, 4,
    )  # fmt: skip
    # What the SDK sends back is the same conversation.
    history = [{"role": "user", "parts": [{"text": "Hi"}]}, {"role": "model", "parts": parts}]
    call(history)
    echoed = wire.parse_request(json.loads(asked[-1].content)).messages[1].parts
    assert [(part.id, part.name) for part in echoed if isinstance(part, ToolCallPart)] == [
        ("call_1", "tide"),
        ("functions.now:1", "now"),
    ]
    proofs = [opaque for part in echoed if isinstance(part, ReasoningPart) for opaque in part.opaque]
    assert proofs == [Opaque("openai.encrypted", "gAAA", Origin("openai", "gpt-5.5"))]


def test_the_vendors_sdk_reads_a_transcript_told_again() -> None:
    renderer = wire.ResponseRenderer("asked")
    again = b"".join(renderer.feed(event) for event in parse([transcript("thought_call")]))

    def parts(content: bytes) -> list[Any]:
        client, _ = sdk(200, content)
        answers = client.models.generate_content_stream(model="asked", contents="Hi")
        return [part for answer in answers for part in answer.candidates[0].content.parts if part.text != ""]

    assert parts(again) == parts(transcript("thought_call"))


@pytest.mark.parametrize("kind", [Kind.BAD_REQUEST, Kind.UNAUTHENTICATED, Kind.MODEL_NOT_FOUND, Kind.ACCOUNT_RATE_LIMITED, Kind.NO_ACCOUNT])
def test_the_vendors_sdk_raises_our_errors(kind: Kind) -> None:
    error = GatewayError(kind, "Words for a person.")
    client, _ = sdk(error.status, dumps(wire.render_error(error)))
    errors = pytest.importorskip("google.genai.errors")
    with pytest.raises(errors.APIError, match="Words for a person") as caught:
        client.models.generate_content(model="asked", contents="Hi")
    assert caught.value.code == error.status


def test_the_vendors_sdk_raises_an_error_in_mid_stream() -> None:
    renderer = wire.ResponseRenderer("asked")
    events = list(unfold(openai_answer()))
    data = b"".join(renderer.feed(event) for event in events[:4]) + renderer.fail(GatewayError(Kind.UPSTREAM_FAILED, "It broke."))
    client, _ = sdk(200, data)
    errors = pytest.importorskip("google.genai.errors")
    with pytest.raises(errors.APIError, match="It broke"):
        list(client.models.generate_content_stream(model="asked", contents="Hi"))
