"""Conversations as Kiro takes them: in turns, nothing empty, every call answered once. P-22"""

from __future__ import annotations

from typing import Any

import pytest

from omni_connector.chat import (
    ChatRequest,
    ForeignPart,
    MediaPart,
    Message,
    Opaque,
    Origin,
    Part,
    ReasoningPart,
    Target,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from omni_connector.errors import GatewayError, Kind
from omni_connector.wire.kiro_turns import Turns
from omni_connector.wire.kiro_words import SIGNATURE

ORIGIN = Origin("kiro", "claude-sonnet-4.5")
PNG = "iVBORw0KGgo="


def turns(*messages: Message, tools: bool = True, features: frozenset[str] = frozenset()) -> tuple[Turns, list[str]]:
    dropped: dict[str, None] = {}
    made = Turns(ChatRequest("openai-chat", "m", messages), Target(ORIGIN, features), dropped, tools=tools)
    return made, list(dropped)


def user(*parts: Part | str) -> Message:
    return Message("user", tuple(TextPart(part) if isinstance(part, str) else part for part in parts))


def assistant(*parts: Part | str) -> Message:
    return Message("assistant", tuple(TextPart(part) if isinstance(part, str) else part for part in parts))


def call(call_id: str, name: str = "f", arguments: str = "{}", **more: Any) -> ToolCallPart:
    return ToolCallPart(call_id, name, arguments, **more)


def result(call_id: str, *texts: str, **more: Any) -> ToolResultPart:
    return ToolResultPart(call_id, tuple(TextPart(text) for text in texts), **more)


def shape(made: Turns) -> list[tuple[str, str]]:
    return [(turn.role, turn.text) for turn in made.turns]


def test_instructions_and_turns() -> None:
    made, dropped = turns(
        Message("system", (TextPart("Be brief."),)),
        Message("developer", (TextPart("Be kind."),)),
        user("a"),
        user("b"),
        assistant("c"),
        user("d"),
    )
    assert made.system == ["Be brief.", "Be kind."]
    assert shape(made) == [("user", "a\n\nb"), ("assistant", "c"), ("user", "d")] and not dropped


def test_only_instructions_are_a_question() -> None:
    made, dropped = turns(Message("system", (TextPart("S"),)), Message("system", (TextPart("Q"),)))
    assert (made.system, shape(made)) == (["S"], [("user", "Q")]) and len(dropped) == 1


def test_instructions_in_the_middle_are_marked() -> None:
    made, dropped = turns(user("a"), Message("system", (TextPart("Now."),)), assistant("b"), user("c"))
    assert shape(made)[0] == ("user", "a\n\n<system>\nNow.\n</system>") and dropped == ["messages.role=system (as text of a user turn)"]


def test_the_user_begins_and_ends() -> None:
    made, dropped = turns(assistant("Hello."), user("a"), assistant("It is"))
    assert [role for role, _ in shape(made)] == ["user", "assistant", "user", "assistant", "user"]
    assert shape(made)[-1] == ("user", "Continue.") and len(dropped) == 2


def test_nothing_is_empty() -> None:
    made, _ = turns(user(MediaPart("image", "image/png", data=PNG)), assistant(call("c1")), Message("tool", (result("c1"),)))
    assert [text for _, text in shape(made)] == ["(empty)"] * 3
    assert made.turns[2].results["c1"]["content"] == [{"text": "(empty)"}]
    with pytest.raises(GatewayError) as caught:
        turns(user(""))
    assert caught.value.kind is Kind.BAD_REQUEST


def test_calls_and_their_results() -> None:
    made, dropped = turns(
        user("a"),
        assistant("Let me see.", call("c1", arguments='{"x": 1}'), call("c2", "odd name", "ls", custom=True)),
        Message("tool", (result("c2", "two", is_error=True),)),
        Message("tool", (result("c1", "one", "more"),)),
        user("And?"),
    )
    assert made.turns[1].calls == {
        "c1": {"toolUseId": "c1", "name": "f", "input": {"x": 1}},
        "c2": {"toolUseId": "c2", "name": made.turns[1].calls["c2"]["name"], "input": {"input": "ls"}},
    }
    assert made.turns[2].results == {
        "c2": {"toolUseId": "c2", "status": "error", "content": [{"text": "two"}]},
        "c1": {"toolUseId": "c1", "status": "success", "content": [{"text": "one"}, {"text": "more"}]},
    }
    assert shape(made)[2] == ("user", "And?") and not dropped


def test_no_id_is_used_twice() -> None:
    loop = (assistant(call("f:0")), Message("tool", (result("f:0", "x"),)))
    made, _ = turns(user("a"), *loop, *loop, assistant(call("c"), call("c")), Message("tool", (result("c", "1"), result("c", "2"))))
    calls = [name for turn in made.turns for name in turn.calls]
    assert len(set(calls)) == len(calls) == 4
    assert [name for turn in made.turns for name in turn.results] == calls
    assert [one["content"][0]["text"] for one in made.turns[-1].results.values()] == ["1", "2"]


def test_two_results_of_one_call_are_one() -> None:
    made, _ = turns(user("a"), assistant(call("c")), user(result("c", "1"), result("c", "2")))
    assert made.turns[2].results["c"]["content"] == [{"text": "1"}, {"text": "2"}]


def test_calls_that_nobody_answered_have_failed() -> None:
    for rest in ((user("never mind"),), (), (user("never mind"), assistant("ok"), user("b"))):
        made, dropped = turns(user("a"), assistant(call("c")), *rest)
        assert made.turns[2].role == "user" and made.turns[2].results["c"]["status"] == "error"
        assert dropped == ["tool calls without a result (as failed)"]


def test_results_that_nobody_asked_for_are_text() -> None:
    made, dropped = turns(
        user("a"), Message("tool", (result("gone", "x", name="f"),)), assistant("b"), user(result("c", "y", is_error=True))
    )
    assert "[Result of f]\nx" in made.turns[0].text and "[Failure of a tool]\ny" in made.turns[2].text
    assert dropped == ["tool results (as text)"]


def test_without_tools_calls_are_text() -> None:
    made, dropped = turns(user("a"), assistant(call("c", arguments='{"x": 1}')), Message("tool", (result("c", "y"),)), tools=False)
    assert shape(made) == [("user", "a"), ("assistant", '[Called f]\n{"x": 1}'), ("user", "[Result of f]\ny")]
    assert not any(turn.calls or turn.results for turn in made.turns) and len(dropped) == 2


def test_pictures_stand_beside_the_text_those_of_tools_too() -> None:
    picture = MediaPart("image", "image/jpeg", data="/9j/4AAQ")
    made, dropped = turns(
        user("see", MediaPart("image", data=PNG, detail="high")),
        assistant(call("c")),
        Message("tool", (ToolResultPart("c", (TextPart("x"), picture)),)),
    )
    assert made.turns[0].images == [{"format": "png", "source": {"bytes": PNG}}]
    assert made.turns[2].images == [{"format": "jpeg", "source": {"bytes": "/9j/4AAQ"}}]
    assert made.turns[2].text == "[What f gave besides its text:]" and dropped == ["image.detail"]


@pytest.mark.parametrize(
    "part",
    [
        MediaPart("image", url="https://a.example/x.png"),
        MediaPart("image", file_id="file-1"),
        MediaPart("image", "image/tiff", data="AAAA"),
        MediaPart("document", "application/pdf", data="JVBERi0="),
        MediaPart("audio", "audio/wav", data="AAAA"),
        ToolCallPart("c", "f", "{}"),
        ForeignPart("anthropic-messages", {"type": "container_upload", "file_id": "f"}),
    ],
)
def test_what_cannot_be_said_is_refused(part: Part) -> None:
    with pytest.raises(GatewayError) as caught:
        turns(user("a", part))
    assert (caught.value.kind, caught.value.param) == (Kind.BAD_REQUEST, "messages[0].content[1]")
    with pytest.raises(GatewayError):
        turns(Message("system", (MediaPart("image", data=PNG),)), user("a"))


def test_documents_that_are_text_are_text() -> None:
    made, _ = turns(user(MediaPart("document", text="words", name='a "b"'), MediaPart("document", text="more")))
    assert made.turns[0].text == '<document name="a \\"b\\"">\nwords\n</document>\n\nmore'


def test_thoughts_go_only_to_whom_they_came_from_and_only_where_that_is_wanted() -> None:
    own = ReasoningPart("Hm.", (Opaque(SIGNATURE, "proof", ORIGIN),))
    other = ReasoningPart("Hm.", (Opaque(SIGNATURE, "proof", Origin("kiro", "claude-opus-4.5")),))
    features = frozenset({"reasoning_replay_always"})
    made, dropped = turns(user("a"), assistant(own, "b"), user("c"), features=features)
    assert made.turns[1].thought == {"reasoningText": {"text": "Hm.", "signature": "proof"}} and not dropped
    for part, words in ((other, features), (own, frozenset()), (ReasoningPart("Hm."), features)):
        made, dropped = turns(user("a"), assistant(part, "b"), user("c"), features=words)
        assert made.turns[1].thought is None and dropped == ["thoughts"]


def test_what_is_named() -> None:
    _, dropped = turns(
        Message("user", (TextPart("a", {"type": "ephemeral"}),), name="bob"),
        assistant(ForeignPart("anthropic-messages", {"type": "server_tool_use"}), MediaPart("image", data=PNG), "b"),
        user("c"),
    )
    assert dropped == ["messages[].name", "cache_control", "server_tool_use", "messages[].content (the assistant's media)"]
