from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_connector.providers import demo

URL = "demo://local/chat/completions"
TOOLS = [
    {
        "type": "function",
        "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}},
    },
    {"type": "function", "function": {"name": "clock"}},
]


def ask(prompt: str = "Hello demo", options: dict[str, Any] | None = None, turn: int | None = None, **fields: Any) -> demo.DemoAnswer:
    body = {"model": "demo-chat", "messages": [{"role": "user", "content": prompt}], **fields}
    return demo.respond(URL, json.dumps(body).encode(), options or {}, turn)


def data(answer: demo.DemoAnswer) -> bytes:
    return b"".join(piece for _, piece in answer.chunks)


def whole(answer: demo.DemoAnswer) -> Any:
    return json.loads(data(answer))


def events(answer: demo.DemoAnswer) -> list[Any]:
    """The JSON of every event; the last one must be [DONE]."""
    lines = data(answer).decode().split("\n\n")
    assert lines[-2:] == ["data: [DONE]", ""]
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-2]]


def test_a_whole_answer_has_the_shape_of_a_providers() -> None:  # C-48
    answer = ask("What is the weather in Paris?")
    body = whole(answer)
    assert answer.status == 200
    assert body["id"].startswith("chatcmpl-")
    assert (body["object"], body["model"]) == ("chat.completion", "demo-chat")
    message = body["choices"][0]["message"]
    assert "omni-connector demo answer" in message["content"]
    assert "weather in Paris" in message["content"]
    usage = body["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 0


def test_a_stream_is_the_same_answer_in_pieces() -> None:  # C-49
    said = whole(ask())["choices"][0]["message"]["content"]
    chunks = events(ask(stream=True))
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == said
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks if chunk["choices"][0]["finish_reason"]] == ["stop"]
    assert not any("usage" in chunk for chunk in chunks)
    assert len({chunk["id"] for chunk in chunks}) == 1


def test_usage_comes_in_a_stream_only_when_asked_for() -> None:
    chunks = events(ask(stream=True, stream_options={"include_usage": True}))
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"] == whole(ask())["usage"]
    assert all(chunk["usage"] is None for chunk in chunks[:-1])


def test_it_calls_a_tool_and_then_reads_its_result() -> None:  # C-50
    body = whole(ask(model="demo-tool", tools=TOOLS))
    choice = body["choices"][0]
    call = choice["message"]["tool_calls"][0]
    assert (choice["finish_reason"], choice["message"]["content"]) == ("tool_calls", None)
    assert (call["function"]["name"], json.loads(call["function"]["arguments"])) == ("weather", {"city": "demo"})
    messages = [
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call["id"], "content": "18 degrees"},
    ]
    after = whole(ask(model="demo-tool", tools=TOOLS, messages=messages))["choices"][0]
    assert after["finish_reason"] == "stop"
    assert "18 degrees" in after["message"]["content"]


@pytest.mark.parametrize(
    ("prompt", "fields", "called"),
    [
        ("hi", {}, []),
        ("please [[tool]]", {}, ["weather"]),
        ("please [[tools]]", {}, ["weather", "clock"]),
        ("please [[tools]]", {"parallel_tool_calls": False}, ["weather"]),
        ("please [[tool]]", {"tool_choice": "none"}, []),
        ("hi", {"tool_choice": "required"}, ["weather"]),
        ("hi", {"tool_choice": {"type": "function", "function": {"name": "clock"}}}, ["clock"]),
    ],
)
def test_which_tools_are_called(prompt: str, fields: dict[str, Any], called: list[str]) -> None:
    message = whole(ask(prompt, tools=TOOLS, **fields))["choices"][0]["message"]
    assert [call["function"]["name"] for call in message.get("tool_calls", [])] == called
    streamed: dict[int, list[str]] = {}
    for chunk in events(ask(prompt, tools=TOOLS, stream=True, **fields)):
        for fragment in chunk["choices"][0]["delta"].get("tool_calls", []):
            streamed.setdefault(fragment["index"], []).append(fragment["function"]["arguments"])
    assert ["".join(parts) for parts in streamed.values()] == [call["function"]["arguments"] for call in message.get("tool_calls", [])]


def test_structured_answers() -> None:
    schema = {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}, "required": ["name", "age"]}
    asked = {"type": "json_schema", "json_schema": {"name": "person", "schema": schema}}
    assert json.loads(whole(ask(response_format=asked))["choices"][0]["message"]["content"]) == {"name": "demo", "age": 1}
    assert json.loads(whole(ask(response_format={"type": "json_object"}))["choices"][0]["message"]["content"])["demo"] is True


def test_reasoning_is_apart_and_counted() -> None:
    body = whole(ask(model="demo-reasoning"))
    message = body["choices"][0]["message"]
    assert message["reasoning_content"]
    assert message["reasoning_content"] not in message["content"]
    assert 0 < body["usage"]["completion_tokens_details"]["reasoning_tokens"] < body["usage"]["completion_tokens"]


def test_limits_and_stops_are_kept() -> None:
    cut = whole(ask(max_tokens=3))
    assert (cut["choices"][0]["finish_reason"], cut["usage"]["completion_tokens"]) == ("length", 3)
    stopped = whole(ask(stop=["demo answer"]))["choices"][0]
    assert (stopped["finish_reason"], stopped["message"]["content"]) == ("stop", "This is an omni-connector ")
    assert len(whole(ask(n=3))["choices"]) == 3
    assert len(whole(ask(options={"tokens": 5000}))["choices"][0]["message"]["content"].split()) >= 5000


# Faults, scripted


@pytest.mark.parametrize("by", ["model", "option"])
def test_faults(by: str) -> None:
    def faulty(name: str, **fields: Any) -> demo.DemoAnswer:
        if by == "model":
            return ask(model=f"demo-{name}", **fields)
        return ask(options={"behaviour": name}, **fields)

    limited = faulty("429")
    assert (limited.status, limited.headers["retry-after"]) == (429, "5")
    assert whole(limited)["error"]["code"] == "rate_limit_exceeded"
    assert faulty("500").status == 500
    silent = faulty("silent", stream=True)
    assert (silent.status, list(silent.chunks), silent.stall) == (200, [], True)
    broken = faulty("cut", stream=True)
    assert broken.cut
    assert b"[DONE]" not in data(broken)
    assert data(broken).startswith(b"data: ")
    with pytest.raises(ValueError, match=r"."):
        whole(faulty("cut"))
    assert whole(faulty("wrong-usage"))["usage"]["total_tokens"] < 0


def test_pace_is_data_not_sleep() -> None:
    slow = [delay for delay, _ in ask(model="demo-slow", stream=True).chunks]
    assert slow[:2] == [3.0, 0.15]
    own = [delay for delay, _ in ask(stream=True, options={"latency_ms": 500, "chunk_ms": 0}).chunks]
    assert (own[0], set(own[1:])) == (0.5, {0.0})
    assert next(iter(ask(options={"latency_ms": "soon", "chunk_ms": -4}).chunks))[0] == 0.06


def test_fail_rate_counts_turns() -> None:
    assert [ask(options={"fail_rate": 0.25}, turn=turn).status for turn in range(8)] == [200, 200, 200, 500, 200, 200, 200, 500]
    assert ask(options={"fail_rate": 1, "fail_as": "429", "retry_after": 9}).headers["retry-after"] == "9"
    some = [ask(f"prompt {number}", options={"fail_rate": 0.5}).status for number in range(60)]
    assert 15 < some.count(500) < 45
    assert some == [ask(f"prompt {number}", options={"fail_rate": 0.5}).status for number in range(60)]


def test_models_are_listed_and_explained() -> None:
    body = json.loads(data(demo.respond("demo://local/models", b"", {})))
    assert [row["id"] for row in body["data"]] == list(demo.MODELS)
    assert demo.models_body() == body


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"[]", 400),
        (b"{", 400),
        (b"\xff", 400),
        (b'{"model":"demo-chat"}', 400),
        (b'{"model":"demo-chat","messages":[]}', 400),
        (b'{"model":"demo-chat","messages":[{"content":"x"}]}', 400),
        (b'{"model":1,"messages":[{"role":"user"}]}', 400),
        (b'{"model":"gpt-4o","messages":[{"role":"user","content":"x"}]}', 404),
        (b'{"model":"demo-chat","n":0,"messages":[{"role":"user","content":"x"}]}', 400),
        (b'{"model":"demo-chat","tools":true,"messages":[{"role":"user","content":"x"}]}', 400),
        (b"[" * 100_000, 400),
    ],
)
def test_a_bad_request_is_answered_like_a_provider_would(body: bytes, status: int) -> None:
    answer = demo.respond(URL, body, {})
    assert answer.status == status
    assert whole(answer)["error"]["message"]


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "function", "name", "text", "parameters", "json_schema", "schema"]), inner)
    ),
    max_leaves=8,
)


@given(
    st.dictionaries(
        st.sampled_from(["tools", "tool_choice", "response_format", "stop", "max_tokens", "stream", "stream_options", "n"]), anything
    ),
    anything,
)
def test_nothing_makes_it_raise(fields: dict[str, Any], content: Any) -> None:
    answer = ask(messages=[{"role": "user", "content": content}], **fields)
    assert answer.status in (200, 400)
    data(answer)
