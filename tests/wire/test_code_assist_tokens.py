from __future__ import annotations

from typing import Any

from omni_connector.chat import ChatRequest, Message, Opaque, Origin, ReasoningPart, Target, TextPart, Tool
from omni_connector.wire.code_assist_tokens import parse_count, path, render_count_request
from omni_connector.wire.gemini_signatures import SIGNATURE

ORIGIN = Origin("antigravity", "gemini-claude-sonnet-4-5")
AIM = Target(ORIGIN, frozenset({"antigravity_envelope", "reduced_schema"}), project="p-1")


def test_all_that_costs_is_counted_in_the_only_field_there_is() -> None:
    thought = ReasoningPart("Hm.", (Opaque(SIGNATURE, "c2ln", ORIGIN),))
    messages = (
        Message("system", (TextPart("Be brief."),)),
        Message("user", (TextPart("Hi"),)),
        Message("assistant", (thought, TextPart("Ho"))),
        Message("user", (TextPart("So?"),)),
    )
    request = ChatRequest("openai-chat", "m", messages, tools=(Tool("function", "f", "does", {"type": "object"}),), max_tokens=5)
    body = render_count_request(request, ORIGIN.model, AIM).body
    assert path("m") == "/v1internal:countTokens"
    assert body.keys() == {"request"} and body["request"].keys() == {"model", "contents"}
    assert body["request"]["model"] == "models/claude-sonnet-4-5"
    front, *rest = body["request"]["contents"]
    assert front["parts"][0] == {"text": "Be brief."} and '"name":"f"' in front["parts"][1]["text"]
    assert rest[1] == {"role": "model", "parts": [{"text": "Hm."}, {"text": "Ho"}]}
    plain = ChatRequest("openai-chat", "m", messages[1:2])
    aim = Target(Origin("gemini-cli", "gemini-3.5-flash"), project="p-1")
    alone: Any = render_count_request(plain, "gemini-3.5-flash", aim).body
    assert alone == {"request": {"model": "models/gemini-3-flash", "contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}}


def test_the_answer() -> None:
    assert (parse_count(b'{"totalTokens": 31}'), parse_count({"totalTokens": 0}), parse_count(b"{}")) == (31, 0, None)
