"""Contents of a client's request → messages."""

from __future__ import annotations

from typing import Any

import pytest

from omni_connector.chat import ForeignPart, MediaPart, Message, Opaque, Part, ReasoningPart, TextPart, ToolCallPart, ToolResultPart
from omni_connector.errors import GatewayError, Kind
from omni_connector.wire.gemini_contents import Contents
from omni_connector.wire.gemini_signatures import SIGNATURE, SKIP
from omni_connector.wire.gemini_words import NAME


def parts(*items: Any) -> tuple[Part, ...]:
    (message,) = Contents().messages([{"role": "model", "parts": list(items)}])
    return message.parts


def call(name: str, **fields: Any) -> dict[str, Any]:
    return {"functionCall": {"name": name, "args": {}, **fields}}


def result(name: str, **fields: Any) -> dict[str, Any]:
    return {"functionResponse": {"name": name, "response": {"output": name}, **fields}}


def test_both_spellings_side_by_side() -> None:
    # C-14
    assert parts(
        {"function_call": {"name": "tide", "args": {"my_city": "Kiel"}}, "thoughtSignature": "c2ln"},
        {"inline_data": {"mime_type": "image/png", "data": "iV-_"}},
        {"fileData": {"file_uri": "https://example.com/a.JPG?x=1"}},
    ) == (
        ToolCallPart("gemini_call_0_tide", "tide", '{"my_city":"Kiel"}', opaque=(Opaque(SIGNATURE, "c2ln"),)),
        MediaPart("image", "image/png", data="iV+/"),
        MediaPart("image", url="https://example.com/a.JPG?x=1"),
    )


def test_thoughts_and_signatures() -> None:
    assert parts(
        {"text": "hm", "thought": True},
        {"text": "so", "thought": True, "thought_signature": "c2ln"},
        {"text": "plain", "thought": False, "thoughtSignature": "b2s="},
        {"text": "", "thoughtSignature": "ZW5k"},
        {"text": "", "thoughtSignature": SKIP},
        {"text": ""},
        {"functionCall": {"name": "f"}, "thoughtSignature": SKIP},
    ) == (
        ReasoningPart("hm"),
        ReasoningPart("so", (Opaque(SIGNATURE, "c2ln"),)),
        TextPart("plain"),
        ReasoningPart("", (Opaque(SIGNATURE, "b2s="),)),
        ReasoningPart("", (Opaque(SIGNATURE, "ZW5k"),)),
        ToolCallPart("gemini_call_0_f", "f", "{}"),
    )


def test_files_and_what_only_this_format_knows() -> None:
    video = {"inlineData": {"mimeType": "video/mp4", "data": "AAAA"}, "videoMetadata": {"fps": 1}}
    code = {"executableCode": {"language": "PYTHON", "code": "1"}}
    tube = {"fileData": {"fileUri": "https://youtu.be/x"}}
    stored = "https://generativelanguage.googleapis.com/v1beta/files/abc"
    assert parts(
        video,
        code,
        tube,
        {"fileData": {"mimeType": "application/pdf", "fileUri": stored}},
        {"fileData": {"mimeType": "audio/mp3", "fileUri": "gs://b/c"}},
        {"inlineData": {"mimeType": "text/plain; charset=utf-8", "data": "YQ", "displayName": "a.txt"}},
    ) == (
        ForeignPart(NAME, video),
        ForeignPart(NAME, code),
        ForeignPart(NAME, tube),
        MediaPart("document", "application/pdf", file_id=stored),
        MediaPart("audio", "audio/mp3", file_id="gs://b/c"),
        MediaPart("document", "text/plain", data="YQ==", name="a.txt"),
    )


def test_ids_are_made_up_by_order_and_name_and_pairs_stay_pairs() -> None:
    # C-13, C-09
    conversation = [
        {"parts": [{"text": "Hi"}]},
        {"role": "model", "parts": [call("tide"), call("now"), call("tide")]},
        {"role": "function", "parts": [result("now"), result("tide"), result("tide")]},
        {"role": "model", "parts": [call("tide", id="k1"), call("now")]},
        {"role": "user", "parts": [result("now", id="unknown"), result("tide", id="k1"), {"text": "and?"}]},
    ]
    messages = Contents().messages(conversation)
    assert [message.role for message in messages] == ["user", "assistant", "tool", "assistant", "user"]
    ids = [[getattr(part, "id", "") or getattr(part, "call_id", "") for part in message.parts] for message in messages[1:]]
    assert ids == [
        ["gemini_call_0_tide", "gemini_call_1_now", "gemini_call_2_tide"],
        ["gemini_call_1_now", "gemini_call_0_tide", "gemini_call_2_tide"],
        ["k1", "gemini_call_4_now"],
        ["gemini_call_4_now", "k1", ""],
    ]
    assert Contents().messages(conversation[:3]) == messages[:3], "a longer history does not change earlier ids"


def test_a_result_of_another_name_answers_the_oldest_call_and_one_without_call_stands_alone() -> None:
    messages = Contents().messages([{"role": "model", "parts": [call("a")]}, {"parts": [result("b")]}, {"parts": [result("c", id="x")]}])
    assert [part.call_id for message in messages[1:] for part in message.parts if isinstance(part, ToolResultPart)] == [
        "gemini_call_0_a",
        "x",
    ]


def test_results() -> None:
    (message,) = Contents().messages(
        {
            "role": "user",
            "parts": {
                "functionResponse": {
                    "name": "look",
                    "id": "k",
                    "response": {"error": "dark"},
                    "parts": [{"inlineData": {"mimeType": "image/png", "data": "AAAA"}}],
                    "willContinue": False,
                }
            },
        }
    )
    assert message == Message(
        "tool",
        (
            ToolResultPart(
                "k",
                (TextPart("dark"), MediaPart("image", "image/png", data="AAAA")),
                True,
                "look",
                extra={"functionResponse": {"willContinue": False}},
            ),
        ),
    )


@pytest.mark.parametrize(
    "system", ["Be kind.", {"parts": [{"text": "Be kind."}]}, [{"text": "Be kind."}], {"parts": {"text": "Be kind."}, "role": "user"}]
)
def test_system_instruction_in_every_form(system: Any) -> None:
    assert Contents().system(system, "systemInstruction") == (Message("system", (TextPart("Be kind."),)),)


def test_empty_contents_are_left_out() -> None:
    assert Contents().messages([{"parts": [{"text": ""}]}, {"role": "model"}, {"parts": [{"text": "x"}]}]) == [
        Message("user", (TextPart("x"),))
    ]
    assert Contents().system("", "s") == Contents().system(None, "s") == ()


@pytest.mark.parametrize(
    ("contents", "param"),
    [
        (None, "contents"),
        ([], "contents"),
        ("Hi", "contents"),
        ([3], "contents[0]"),
        ([{"role": "system", "parts": [{"text": "x"}]}], "contents[0].role"),
        ([{"role": 3, "parts": []}], "contents[0].role"),
        ([{"parts": 3}], "contents[0].parts"),
        ([{"parts": [3]}], "contents[0].parts[0]"),
        ([{"parts": [{"text": 3}]}], "contents[0].parts[0].text"),
        ([{"parts": [{"text": "x", "thoughtSignature": 3}]}], "contents[0].parts[0].thoughtSignature"),
        ([{"role": "model", "parts": [{"functionCall": {"args": {}}}]}], "contents[0].parts[0].functionCall.name"),
        ([{"role": "model", "parts": [{"functionCall": {"name": "f", "args": "{}"}}]}], "contents[0].parts[0].functionCall.args"),
        ([{"role": "user", "parts": [call("f")]}], "contents[0].role"),
        ([{"role": "model", "parts": [result("f")]}], "contents[0].role"),
        ([{"parts": [{"inlineData": {"mimeType": "image/png"}}]}], "contents[0].parts[0].inlineData.data"),
        ([{"parts": [{"fileData": {}}]}], "contents[0].parts[0].fileData.fileUri"),
    ],
)
def test_mistakes_are_named(contents: Any, param: str) -> None:
    with pytest.raises(GatewayError) as caught:
        Contents().messages(contents)
    assert (caught.value.kind, caught.value.param) == (Kind.BAD_REQUEST, param)
    assert caught.value.message


def test_plain_text_is_read_in_short_and_means_the_same() -> None:
    for text in ("hi", ""):
        assert parts({"text": text}, {"text": "x"}) == parts({"text": text, "thought": None}, {"text": "x"})
