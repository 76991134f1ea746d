"""A client's completions body → ChatRequest: what is understood, and how clearly the rest is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_connector.chat import Message, Origin, Sampling, Target, TextPart
from omni_connector.errors import GatewayError, Kind
from omni_connector.wire import FORMATS
from omni_connector.wire.openai_completions import NAME, parse_request
from omni_connector.wire.openai_completions_request import CompletionRequest


def test_every_field_of_the_api() -> None:  # P-41
    request = parse_request(
        {
            "model": "m",
            "prompt": "Once upon a time",
            "max_tokens": 20,
            "temperature": 0.5,
            "top_p": 0.9,
            "n": 2,
            "stop": ["\n", "END"],
            "seed": 7,
            "presence_penalty": 0.1,
            "frequency_penalty": -0.1,
            "logit_bias": {"50256": -100},
            "logprobs": 3,
            "user": "u",
            "stream": True,
            "stream_options": {"include_usage": True},
            "suffix": None,
            "echo": False,
            "best_of": 2,
        }
    )
    assert request == CompletionRequest(
        NAME,
        "m",
        (Message("user", (TextPart("Once upon a time"),)),),
        sampling=Sampling(0.5, 0.9, None, None, 7, 0.1, -0.1, {"50256": -100}, True, 3, 2),
        max_tokens=20,
        stop=("\n", "END"),
        stream=True,
        include_usage=True,
        user="u",
        prompt="Once upon a time",
    )


def test_little_is_enough() -> None:
    request = parse_request({"prompt": ["Hi"], "max_tokens": -1, "suffix": ""})
    assert request == CompletionRequest(NAME, "", (Message("user", (TextPart("Hi"),)),), prompt="Hi")
    assert parse_request({"prompt": "Hi", "logprobs": 0}).sampling == Sampling(logprobs=True)


@pytest.mark.parametrize("wire", [name for name, module in FORMATS.items() if hasattr(module, "render_request")])
def test_every_upstream_format_takes_it_and_names_what_it_drops(wire: str) -> None:
    request = parse_request({"model": "m", "prompt": "Hi", "echo": True, "best_of": 4, "stream_options": {"x": 1}, "host_field": True})
    rendered = FORMATS[wire].render_request(request, "served", Target(Origin("p", "served")))
    assert {"best_of", "stream_options", "host_field"} <= set(rendered.dropped)
    assert not {"echo", "prompt"} & {*rendered.dropped, *rendered.body}
    assert "Hi" in str(rendered.body)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [""]}, "prompt"),
        ({"prompt": 5}, "prompt"),
        ({"prompt": [1, 2]}, "prompt"),
        ({"prompt": [[1, 2], [3]]}, "prompt"),
        ({"prompt": ["a", "b"]}, "prompt"),
        ({"prompt": ["a", None]}, "prompt[1]"),
        ({"prompt": "a", "suffix": "b"}, "suffix"),
        ({"prompt": "a", "echo": True, "logprobs": 0}, "echo"),
        ({"prompt": "a", "echo": "yes"}, "echo"),
        ({"prompt": "a", "logprobs": True}, "logprobs"),
        ({"prompt": "a", "logprobs": -1}, "logprobs"),
        ({"prompt": "a", "best_of": 2, "n": 3}, "best_of"),
        ({"prompt": "a", "best_of": 0}, "best_of"),
        ({"prompt": "a", "max_tokens": 0}, "max_tokens"),
        ({"prompt": "a", "stop": [1]}, "stop[0]"),
        ({"prompt": "a", "stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
    ],
)
def test_a_refusal_names_the_field(body: dict[str, Any], param: str) -> None:
    with pytest.raises(GatewayError) as caught:
        parse_request(body)
    assert (caught.value.kind, caught.value.param) == (Kind.BAD_REQUEST, param)
    assert f"`{param}`" in caught.value.message


NAMES = st.sampled_from(["model", "prompt", "n", "best_of", "logprobs", "echo", "suffix", "stop", "stream", "stream_options", "user", "x"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 3) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@given(st.dictionaries(NAMES, VALUES))
def test_nothing_else_is_ever_raised(body: dict[str, Any]) -> None:
    try:
        parse_request(body)
    except GatewayError as error:
        assert error.kind is Kind.BAD_REQUEST
