"""Completions from end to end: our answers read by the vendor's SDK, and heard by our own ear."""

from __future__ import annotations

from typing import Any

import httpx2
import openai
import pytest
from openai.types import Completion

import omni_connector.wire.openai_chat as openai_chat
import omni_connector.wire.openai_completions as openai_completions
from omni_connector.chat import ChatResponse, Choice, Finish, ReasoningPart, TextPart, Usage, unfold
from omni_connector.errors import GatewayError, Kind
from omni_connector.wire import views
from omni_connector.wire.openai_completions import Listener, ResponseRenderer, parse_request, render_error, render_response

LOGPROBS = {"content": [{"token": "Łódź", "logprob": -0.5, "bytes": None, "top_logprobs": [{"token": "Lodz", "logprob": -2.5}]}]}
ANSWER = ChatResponse(
    "msg_1",
    "served",
    1_760_000_000,
    (
        Choice((ReasoningPart("Hm."), TextPart("Łódź"), TextPart(" ☀")), Finish.CONTEXT, extra={"logprobs": LOGPROBS}),
        Choice((TextPart("two"),), Finish.STOP),
    ),
    Usage(10, 20, 5, 30, 7),
)
ASK: Any = {"model": "auto", "prompt": "Where?", "n": 2, "logprobs": 1}


def sdk(status: int, body: bytes, content_type: str) -> openai.OpenAI:
    """The vendor's client, reading `body` from a transport without a network."""
    transport = httpx2.MockTransport(lambda _: httpx2.Response(status, headers={"content-type": content_type}, content=body))
    return openai.OpenAI(
        api_key="omni-x", base_url="http://127.0.0.1/v1", http_client=httpx2.Client(transport=transport, trust_env=False), max_retries=0
    )


def strict(answer: Completion) -> None:
    """The types say what the API says, but for one thing: in its streams a finish reason is null until the last chunk."""
    said = answer.model_dump()
    for choice in said["choices"]:
        choice["finish_reason"] = choice["finish_reason"] or "stop"
    Completion.model_validate(said, strict=True)


def test_the_sdk_reads_a_whole_answer() -> None:  # P-41, O-13
    body = render_response(ANSWER, "auto", parse_request(ASK))
    answer = Completion.model_validate(body, strict=True)
    assert answer == sdk(200, views.encode(body), "application/json").completions.create(**ASK)
    assert [choice.text for choice in answer.choices] == ["Łódź ☀", "two"]
    assert [choice.finish_reason for choice in answer.choices] == ["length", "stop"]
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (35, 30, 65)
    assert answer.choices[0].logprobs is not None
    assert answer.choices[0].logprobs.text_offset == [6]


def test_the_sdk_reads_a_stream() -> None:  # P-41
    asked = {**ASK, "stream": True, "stream_options": {"include_usage": True}}
    renderer = ResponseRenderer("auto", parse_request(asked))
    data = b"".join(renderer.feed(event) for event in unfold(ANSWER))
    chunks = list(sdk(200, data, "text/event-stream").completions.create(**asked))
    texts = {0: "", 1: ""}
    for chunk in chunks:
        strict(chunk)
        for choice in chunk.choices:
            texts[choice.index] += choice.text
    assert texts == {0: "Łódź ☀", 1: "two"}
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 65
    ear = Listener()
    ear.feed(data)
    assert (ear.ended, ear.finish, ear.output_chars) == (True, Finish.LENGTH, 9)
    assert ear.usage is not None
    assert (ear.usage.input, ear.usage.cache_read, ear.usage.output) == (10, 20, 30)


def test_the_sdk_raises_what_a_failing_stream_tells() -> None:
    renderer = ResponseRenderer("auto", parse_request(ASK))
    begun = [renderer.feed(event) for event in list(unfold(ANSWER))[:6]]
    data = b"".join([*begun, renderer.fail(GatewayError(Kind.UPSTREAM_FAILED, "It broke."))])
    with pytest.raises(openai.APIError, match="It broke"):
        list(sdk(200, data, "text/event-stream").completions.create(**{**ASK, "stream": True}))


def test_names_and_errors_are_those_of_the_family() -> None:
    assert (openai_completions.NAME, openai_completions.PATH) == ("openai-completions", "/completions")
    assert openai_completions.KEEPALIVE == openai_chat.KEEPALIVE
    assert render_error is openai_chat.render_error
    assert set(openai_completions.__all__) < set(openai_chat.__all__)
