"""What a completions client is sent: the shape, the order of a stream, and what the format has no place for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from omni_connector.chat import (
    ChatResponse,
    Choice,
    Delta,
    Ended,
    Event,
    Failed,
    Finish,
    Finished,
    PartEnd,
    PartStart,
    ReasoningPart,
    RefusalPart,
    Started,
    TextPart,
    ToolCallPart,
    Usage,
    UsageSeen,
    unfold,
)
from omni_connector.errors import GatewayError, Kind
from omni_connector.wire.openai_completions import KEEPALIVE, ResponseRenderer, parse_request, render_response
from omni_connector.wire.openai_completions_answer import FINISH_REASON
from omni_connector.wire.sse import Decoder

ANSWER = ChatResponse(
    "chatcmpl-1",
    "served",
    1_760_000_000,
    (
        Choice((ReasoningPart("Hm."), TextPart("A "), TextPart("page")), Finish.STOP_SEQUENCE),
        Choice((RefusalPart("No."),), Finish.REFUSAL),
    ),
    Usage(10, 20, None, 30, 7),
    {"system_fingerprint": "fp_1", "vendor_secret": 1},
)


def streamed(response: ChatResponse, **asked: Any) -> list[dict[str, Any]]:
    """The chunks of a rendered stream, its grammar checked: one head, one finish reason a choice after its text, [DONE] last."""
    renderer = ResponseRenderer("auto", parse_request({"prompt": "Once ", "n": 2, "stream": True, **asked}), now=lambda: 5.9)
    decoder = Decoder()
    data = b"".join(renderer.feed(event) for event in unfold(response))
    texts = [event.data for event in decoder.feed(data)]
    assert not decoder.close()
    assert texts.pop() == b"[DONE]"
    chunks: list[dict[str, Any]] = [json.loads(text) for text in texts]
    assert len({(chunk["id"], chunk["object"], chunk["created"], chunk["model"]) for chunk in chunks}) == 1
    told: set[int] = set()
    for choice in [choice for chunk in chunks for choice in chunk["choices"]]:
        assert choice.keys() == {"text", "index", "logprobs", "finish_reason"}
        assert choice["index"] not in told
        if choice["finish_reason"] is not None:
            assert choice["text"] == ""
            told.add(choice["index"])
    return chunks


def texts(chunks: list[dict[str, Any]]) -> dict[int, str]:
    said: dict[int, str] = {}
    for choice in [choice for chunk in chunks for choice in chunk["choices"]]:
        said[choice["index"]] = said.get(choice["index"], "") + choice["text"]
    return said


def test_a_whole_answer() -> None:  # P-41
    body = render_response(ANSWER, "auto", parse_request({"prompt": "Once "}))
    choices, usage = body.pop("choices"), body.pop("usage")
    assert body == {"id": "cmpl-1", "object": "text_completion", "created": 1_760_000_000, "model": "auto", "system_fingerprint": "fp_1"}
    assert choices == [
        {"text": "A page", "index": 0, "logprobs": None, "finish_reason": "stop"},
        {"text": "No.", "index": 1, "logprobs": None, "finish_reason": "content_filter"},
    ]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (30, 30, 60)
    bare = render_response(ChatResponse("", "m", 0, (Choice((), Finish.LENGTH),)), "m", now=lambda: 5.9)
    assert (bare["created"], bare["id"][:5], len(bare["id"])) == (5, "cmpl-", 37)
    assert "usage" not in bare
    assert bare["choices"] == [{"text": "", "index": 0, "logprobs": None, "finish_reason": "length"}]


def test_a_stream_says_the_same() -> None:
    chunks = streamed(ANSWER, stream_options={"include_usage": True})
    usage = chunks.pop()
    assert (usage["choices"], usage["usage"]["total_tokens"]) == ([], 60)
    assert all("usage" not in chunk for chunk in chunks)
    assert texts(chunks) == {0: "A page", 1: "No."}
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks if chunk["choices"][0]["finish_reason"]] == ["stop", "content_filter"]
    assert all("usage" not in chunk for chunk in streamed(ANSWER))


def test_an_echoed_prompt_stands_before_every_choice() -> None:
    asked = parse_request({"prompt": "Once ", "echo": True})
    assert [choice["text"] for choice in render_response(ANSWER, "m", asked)["choices"]] == ["Once A page", "Once No."]
    chunks = streamed(ANSWER, echo=True)
    assert chunks[0]["choices"][0]["text"] == "Once "
    assert texts(chunks) == {0: "Once A page", 1: "Once No."}
    silent = ChatResponse("x", "m", 1, (Choice((), Finish.STOP), Choice((), Finish.STOP)))
    assert texts(streamed(silent, echo=True)) == {0: "Once ", 1: "Once "}


def test_every_finish_has_a_word_that_the_sdk_knows() -> None:
    assert set(FINISH_REASON) == set(Finish)
    assert set(FINISH_REASON.values()) == {"stop", "length", "content_filter"}


def test_thoughts_only_keep_the_line_open() -> None:
    renderer = ResponseRenderer("m")
    renderer.feed(Started("x", "m"))
    assert renderer.feed(PartStart(0, "reasoning")) == b""
    assert renderer.feed(Delta(0, "secret")) == KEEPALIVE
    assert renderer.feed(PartEnd(0)) == b""
    assert renderer.feed(PartStart(1, "tool_call", "a", "f")) + renderer.feed(Delta(1, "{}")) == b""


def test_token_probabilities() -> None:
    """Offsets count from the beginning of the prompt ("Once " has 5 characters), as recorded from OpenAI's and DeepSeek's endpoints."""
    content = [
        {"token": " a", "logprob": -0.5, "bytes": [32, 97], "top_logprobs": [{"token": " the", "logprob": -0.9, "bytes": None}]},
        {"token": "\\xe2\\x98", "logprob": -1, "bytes": [0xE2, 0x98], "top_logprobs": []},
        {"token": "\\x80", "logprob": -2.5, "bytes": [0x80], "top_logprobs": []},
        {"token": "!", "logprob": -3.0},
    ]
    response = ChatResponse("x", "m", 1, (Choice((TextPart(" a☀!"),), Finish.STOP, extra={"logprobs": {"content": content}}),))
    expected = {
        "tokens": [" a", "\\xe2\\x98", "\\x80", "!"],
        "token_logprobs": [-0.5, -1, -2.5, -3.0],
        "top_logprobs": [{" the": -0.9, " a": -0.5}, {"\\xe2\\x98": -1}, {"\\x80": -2.5}, {"!": -3.0}],
        "text_offset": [5, 7, 8, 8],
    }
    asked = {"prompt": "Once ", "logprobs": 1}
    assert render_response(response, "m", parse_request(asked))["choices"][0]["logprobs"] == expected
    assert streamed(response, logprobs=1)[-1]["choices"][0]["logprobs"] == expected


@pytest.mark.parametrize("said", ["x", {}, {"content": []}, {"content": [{"token": "a"}]}, {"content": [{"token": 1, "logprob": 2}, "x"]}])
def test_probabilities_that_cannot_be_read_are_not_told(said: Any) -> None:
    response = ChatResponse("x", "m", 1, (Choice((), Finish.STOP, extra={"logprobs": said}),))
    assert render_response(response, "m")["choices"][0]["logprobs"] is None


def test_own_words_stay() -> None:
    said = {"tokens": ["a"], "token_logprobs": [-1.0], "top_logprobs": None, "text_offset": [0]}
    response = ChatResponse("cmpl-9", "m", 1, (Choice((), Finish.STOP, extra={"logprobs": said}),))
    body = render_response(response, "m")
    assert (body["id"], body["choices"][0]["logprobs"]) == ("cmpl-9", said)


def test_a_failure_is_no_clean_end() -> None:
    begins: tuple[list[Event], ...] = ([], [Started("x", "m"), PartStart(0, "text"), Delta(0, "a")])
    for begun in begins:
        renderer = ResponseRenderer("m")
        for event in begun:
            renderer.feed(event)
        told = renderer.feed(Failed(GatewayError(Kind.UPSTREAM_FAILED, "broke")))
        assert json.loads(told.removeprefix(b"data: "))["error"]["message"] == "broke"
        assert renderer.feed(Finished(Finish.STOP)) + renderer.feed(Ended()) == b""


def test_a_choice_left_open_gets_its_finish_reason() -> None:
    renderer = ResponseRenderer("m")
    events = (Started("x", "m", usage=Usage(1)), PartStart(0, "text"), Delta(0, "a"), UsageSeen(Usage(output=1)), Ended())
    data = b"".join(renderer.feed(event) for event in events)
    assert data.count(b'"finish_reason":"stop"') == 1
    assert data.endswith(b"data: [DONE]\n\n")


def test_a_tool_call_that_nobody_asked_for_is_left_out() -> None:
    response = ChatResponse("x", "m", 1, (Choice((TextPart("a"), ToolCallPart("i", "f", "{}")), Finish.TOOL_CALLS),))
    assert render_response(response, "m")["choices"][0] == {"text": "a", "index": 0, "logprobs": None, "finish_reason": "stop"}
