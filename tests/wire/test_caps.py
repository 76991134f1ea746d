"""The longest answer: read from every format, and said in it without touching anything else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_connector.wire.caps import NO_TEXT, SAYS, Wanted, capped, read

Json = dict[str, Any]


@pytest.mark.parametrize(
    ("wire", "body", "wanted"),
    [
        ("openai-chat", {"max_tokens": 5}, Wanted(5)),
        ("openai-chat", {"max_tokens": 5, "max_completion_tokens": 7, "n": 3}, Wanted(7, 3)),
        ("openai-chat", {"max_tokens": -1, "n": None}, Wanted()),
        ("openai-responses", {"max_output_tokens": 9, "max_tokens": 1}, Wanted(9)),
        ("anthropic-messages", {"max_tokens": 4}, Wanted(4)),
        ("openai-completions", {"max_tokens": 4, "n": 2, "best_of": 3}, Wanted(4, 3)),
        ("gemini-generate", {"generationConfig": {"maxOutputTokens": 4, "candidateCount": 2}}, Wanted(4, 2)),
        ("gemini-generate", {"generation_config": {}}, Wanted()),
        ("openai-embeddings", {"max_tokens": 4}, NO_TEXT),
        # A provider may heed either of two names, read 3.0 as 3, and answer each of several prompts.
        ("openai-chat", {"max_tokens": 9, "max_completion_tokens": 7}, Wanted(9)),
        ("openai-chat", {"n": 3.0}, Wanted(None, 3)),
        ("openai-chat", {"n": "3"}, Wanted(None, 3)),
        ("openai-completions", {"prompt": ["a", "b", "c"], "max_tokens": 4, "n": 2}, Wanted(4, 6)),
        ("openai-completions", {"prompt": [[1, 2], [3]], "max_tokens": 4}, Wanted(4, 2)),
        ("openai-completions", {"prompt": [1, 2, 3], "max_tokens": 4}, Wanted(4)),
        ("gemini-generate", {"generation_config": {"max_output_tokens": 4, "candidate_count": 2}}, Wanted(4, 2)),
        ("gemini-generate", {"generationConfig": {"maxOutputTokens": 4, "candidate_count": 2.0}}, Wanted(4, 2)),
        ("image", {}, NO_TEXT),
    ],
)
def test_what_a_request_allows(wire: str, body: Json, wanted: Wanted) -> None:
    assert read(wire, json.dumps(body).encode()) == wanted


@pytest.mark.parametrize("body", [b"", b"[]", b'{"max_tokens"', b"\xff", b"[" * 5000])
def test_what_cannot_be_read_allows_anything(body: bytes) -> None:
    assert read("openai-chat", body) == Wanted()


@given(
    wire=st.sampled_from(sorted(SAYS)),
    tokens=st.integers(1, 10**6),
    said=st.one_of(st.none(), st.integers(1, 10**6)),
    newer=st.booleans(),
)
def test_no_more_than_that_and_nothing_else_changes(wire: str, tokens: int, said: int | None, newer: bool) -> None:
    rest: Json = {"messages": [{"role": "user", "content": "1e5"}], "temperature": 1.0, "seed": 12345678901234567890}
    body = dict(rest)
    if said is not None:
        body |= {"generationConfig": {"maxOutputTokens": said, "topK": 3}} if wire == "gemini-generate" else {SAYS[wire][-1]: said}
    out = capped(wire, json.dumps(body).encode(), tokens, frozenset({"max_completion_tokens"} if newer else ()))
    assert out is not None and read(wire, out).tokens == min(tokens, said or tokens)
    after = json.loads(out)
    if wire == "gemini-generate":
        assert after["generationConfig"].get("topK") == (3 if said is not None else None)
    assert {name: after[name] for name in rest} == rest
    added = after.keys() - rest.keys()
    assert len(added) == 1 and (wire != "openai-chat" or said is not None or added == {"max_completion_tokens" if newer else "max_tokens"})


def test_what_cannot_be_said_is_not_said() -> None:
    thinking = json.dumps({"max_tokens": 9000, "thinking": {"type": "enabled", "budget_tokens": 4000}}).encode()
    assert capped("anthropic-messages", thinking, 4000) is None
    assert capped("anthropic-messages", thinking, 4001) is not None
    assert capped("kiro", b"{}", 5) is None
