"""Messages → contents: the API's rules of order, signatures, results."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from omni_connector.chat import (
    ChatRequest,
    ForeignPart,
    MediaPart,
    Message,
    Opaque,
    Origin,
    ReasoningPart,
    RefusalPart,
    Target,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from omni_connector.errors import GatewayError, Kind
from omni_connector.wire.gemini_signatures import NO_OPAQUE, SIGNATURE, SKIP
from omni_connector.wire.gemini_turns import Turns
from omni_connector.wire.gemini_words import NAME
from tests.wire.gemini_reading import ORIGIN

CLAUDE = Opaque("anthropic.signature", "abc", Origin("anthropic", "claude"))
MINE = Opaque(SIGNATURE, "bWluZQ==", ORIGIN)


def turns(*messages: Message, model: str = "gemini-2.5-flash", wire: str = "openai-chat", features: str = "") -> tuple[Turns, list[str]]:
    dropped: dict[str, None] = {}
    request = ChatRequest(wire, "m", messages)
    return Turns(request, model, Target(ORIGIN, frozenset(features.split())), dropped), list(dropped)


def contents(*messages: Message, **more: Any) -> list[dict[str, Any]]:
    return turns(*messages, **more)[0].contents


USER = Message("user", (TextPart("Hi"),))
CALLS = Message("assistant", (ToolCallPart("c1", "tide", '{"a":1}'), ToolCallPart("c2", "tide", "")))


def test_calls_are_followed_by_their_results_in_their_order() -> None:
    # C-13
    found = contents(
        USER,
        Message("assistant", (TextPart("I look."),)),
        CALLS,
        Message("tool", (ToolResultPart("c2", (TextPart("low"),)),)),
        Message("user", (TextPart("Hurry."),)),
        Message("tool", (ToolResultPart("c1", (TextPart('{"level":2}'),), is_error=False),)),
    )
    assert found == [
        {"role": "user", "parts": [{"text": "Hi"}]},
        {
            "role": "model",
            "parts": [
                {"text": "I look."},
                {"functionCall": {"id": "c1", "name": "tide", "args": {"a": 1}}},
                {"functionCall": {"id": "c2", "name": "tide", "args": {}}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"id": "c1", "name": "tide", "response": {"level": 2}}},
                {"functionResponse": {"id": "c2", "name": "tide", "response": {"output": "low"}}},
                {"text": "Hurry."},
            ],
        },
    ]


def test_made_up_ids_and_ids_that_a_target_refuses_are_not_sent() -> None:
    made_up = replace(CALLS.parts[0], id="gemini_call_0_tide")  # type: ignore[type-var]
    found = contents(USER, Message("assistant", (made_up,)), Message("tool", (ToolResultPart("gemini_call_0_tide", ()),)))
    assert found[1]["parts"] == [{"functionCall": {"name": "tide", "args": {"a": 1}}}]
    assert found[2]["parts"] == [{"functionResponse": {"name": "tide", "response": {"output": ""}}}]
    assert "id" not in contents(USER, CALLS, features="no_call_ids")[1]["parts"][0]["functionCall"]


def test_system_messages() -> None:
    found, dropped = turns(
        Message("system", (TextPart("Be kind."),)),
        Message("developer", (TextPart("Be short."),)),
        USER,
        Message("system", (TextPart("Now rhyme."),)),
    )
    assert found.system == [{"text": "Be kind."}, {"text": "Be short."}]
    assert found.contents == [{"role": "user", "parts": [{"text": "Hi"}, {"text": "<system>\nNow rhyme.\n</system>"}]}]
    assert dropped == ["messages.role=system (as text of a user turn)"]
    only, dropped = turns(Message("system", (TextPart("Be kind."),)))
    assert (only.system, only.contents) == ([], [{"role": "user", "parts": [{"text": "Be kind."}]}])
    assert dropped
    own, dropped = turns(Message("system", (TextPart("Be kind."),)), wire=NAME)
    assert (own.system, own.contents, dropped) == ([{"text": "Be kind."}], [{"role": "user", "parts": [{"text": ""}]}], [])


def test_the_user_begins() -> None:
    found, dropped = turns(Message("assistant", (TextPart("Welcome."),)), USER)
    assert [content["role"] for content in found.contents] == ["user", "model", "user"]
    assert dropped == ["messages[0].role=assistant (a user turn was put before it)"]
    assert contents(Message("assistant", (TextPart("Welcome."),)), wire=NAME)[0]["role"] == "model"


def test_nothing_to_say_is_refused() -> None:
    with pytest.raises(GatewayError) as caught:
        turns(Message("user", (TextPart(""),)))
    assert caught.value.kind is Kind.BAD_REQUEST


def test_signatures_go_back_byte_exact_to_their_origin_and_nowhere_else() -> None:
    message = Message(
        "assistant",
        (
            ReasoningPart("mine", (MINE,)),
            ReasoningPart("not mine", (CLAUDE,)),
            ReasoningPart("nobody's"),
            ReasoningPart("mine without proof", (Opaque(NO_OPAQUE, "", ORIGIN),)),
            TextPart("said"),
            ReasoningPart("", (MINE,)),
            ToolCallPart("c", "f", "{}", opaque=(MINE,)),
            ToolCallPart("d", "f", "{}", opaque=(replace(MINE, origin=Origin("gemini", "gemini-2.5-pro")), CLAUDE)),
        ),
    )
    found, dropped = turns(USER, message)
    assert found.contents[1]["parts"] == [
        {"text": "mine", "thought": True, "thoughtSignature": "bWluZQ=="},
        {"text": "mine without proof", "thought": True},
        {"text": "said", "thoughtSignature": "bWluZQ=="},
        {"functionCall": {"id": "c", "name": "f", "args": {}}, "thoughtSignature": "bWluZQ=="},
        {"functionCall": {"id": "d", "name": "f", "args": {}}},
    ]
    assert dropped == ["thoughts(foreign)", "thoughtSignature(foreign)"]


def test_bare_signatures_and_thoughts_of_a_gemini_client_are_its_own() -> None:
    bare = Message("assistant", (ReasoningPart("hm"), ReasoningPart("so", (Opaque(SIGNATURE, "eA=="),))))
    assert contents(USER, bare, wire=NAME)[1]["parts"] == [
        {"text": "hm", "thought": True},
        {"text": "so", "thought": True, "thoughtSignature": "eA=="},
    ]


@pytest.mark.parametrize(
    ("model", "features", "placeholder"),
    [("gemini-3-flash", "", True), ("gemini-2.5-pro", "", False), ("custom", "thought_signatures_required", True)],
)
def test_the_first_call_of_a_step_has_a_signature_where_the_model_demands_it(model: str, features: str, placeholder: bool) -> None:
    signed = Message("assistant", (ToolCallPart("c3", "tide", "{}", opaque=(MINE,)), ToolCallPart("c4", "tide", "{}")))
    results = Message("tool", (ToolResultPart("c1", ()), ToolResultPart("c2", ())))
    found = contents(USER, CALLS, results, signed, model=model, features=features)
    first, second = found[1]["parts"]
    assert first.get("thoughtSignature") == (SKIP if placeholder else None)
    assert "thoughtSignature" not in second
    assert [part.get("thoughtSignature") for part in found[3]["parts"]] == ["bWluZQ==", None]


def test_media_in_results() -> None:
    picture = MediaPart("image", "image/png", data="AAAA")
    result = Message("tool", (ToolResultPart("c1", (TextPart("see"), TextPart("this"), picture)), ToolResultPart("c2", (), is_error=True)))
    inline = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}
    response = {"id": "c1", "name": "tide", "response": {"output": "see\nthis"}}
    error = {"functionResponse": {"id": "c2", "name": "tide", "response": {"error": ""}}}
    assert contents(USER, CALLS, result, model="gemini-3-flash")[2]["parts"] == [
        {"functionResponse": {**response, "parts": [inline]}},
        error,
    ]
    beside = contents(USER, CALLS, result)[2]["parts"]
    assert beside == [{"functionResponse": response}, error, {"text": "[What tide gave besides its text:]"}, inline]


def test_what_has_no_place_is_named() -> None:
    found, dropped = turns(
        Message(
            "user",
            (
                TextPart("a", cache={"type": "ephemeral"}),
                MediaPart("image", "image/png", data="AAAA", detail="low"),
                ForeignPart("anthropic-messages", {"type": "container_upload"}),
                ForeignPart(NAME, {"executableCode": {}}),
            ),
            name="Ann",
        ),
        Message("assistant", (TextPart("b", citations=({"url": "x"},)), RefusalPart("No."))),
        Message("tool", (ToolResultPart("gone", (ForeignPart("anthropic-messages", {}),)),)),
    )
    assert dropped == ["messages[].name", "cache_control", "image.detail", "container_upload", "citations", "block"]
    assert found.contents[0]["parts"][2] == {"executableCode": {}}
    assert found.contents[1]["parts"] == [{"text": "b"}, {"text": "No."}]
    assert found.contents[2]["parts"][0]["functionResponse"]["name"] == "gone"


def test_images_by_address_name_their_part() -> None:
    with pytest.raises(GatewayError) as caught:
        turns(USER, Message("user", (TextPart("x"), MediaPart("image", url="https://example.com/a.png"))))
    assert caught.value.param == "messages[1].content[1]"
