import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_connector.chat import ChatRequest, Message, Part, TextPart, Thinking, ToolCallPart, ToolResultPart
from omni_connector.errors import GatewayError, Kind
from omni_connector.providers.command_talk import OPENING, Talk, command_line, standard_input, talk, transcript
from omni_connector.providers.commands import Template, template

Json = dict[str, Any]


def asked(*said: tuple[str, str | Part], **more: Any) -> ChatRequest:
    messages = tuple(Message(role, (TextPart(text) if isinstance(text, str) else text,)) for role, text in said)  # type: ignore[arg-type]
    return ChatRequest("openai-chat", more.pop("model", "m"), messages, **more)


def made(**command: Any) -> Template:
    return template("command", {"command": command})


HI = talk(asked(("user", "hi")))


def test_one_message_stands_for_itself() -> None:
    assert transcript(HI, with_system=True) == "hi"
    assert standard_input(made(argv=["x"]), HI) == b"hi"


@pytest.mark.parametrize("text", ["/logout", " /logout", "@/etc/passwd", "!ls", "# remember"])
def test_a_message_is_no_order_to_an_agent(text: str) -> None:
    assert transcript(talk(asked(("user", text))), with_system=True) == f"User: {text}"


def test_a_conversation_is_written_out_with_its_roles() -> None:
    told = talk(
        asked(
            ("system", "Be brief."),
            ("developer", "No jokes."),
            ("user", "hi"),
            ("assistant", "hello"),
            ("assistant", ToolCallPart("c1", "clock", '{"zone":"CET"}')),
            ("tool", ToolResultPart("c1", (TextPart("12:00"),))),
            ("user", "and now?"),
        )
    )
    assert told.system == "Be brief.\n\nNo jokes."
    assert transcript(told, with_system=True).split("\n\n", 1) == [
        OPENING,
        'System: Be brief.\n\nNo jokes.\n\nUser: hi\n\nAssistant: hello\n\nAssistant: [called clock with {"zone":"CET"}]\n\nTool: 12:00\n\n'
        "User: and now?",
    ]
    assert "Be brief" not in transcript(told, with_system=False)
    assert standard_input(made(argv=["x"], input="last"), told) == b"and now?"
    line = json.loads(standard_input(made(argv=["x"], input="json-lines"), told))
    assert line["message"]["content"][0]["text"].endswith("User: and now?")
    assert standard_input(made(argv=["x"], input="none"), told) == b""


def test_without_text_there_is_nothing_to_say() -> None:
    for request in (asked(("system", "Be brief.")), asked(("user", ""))):
        with pytest.raises(GatewayError) as caught:
            talk(request)
        assert (caught.value.kind, caught.value.param) == (Kind.BAD_REQUEST, "messages")


def test_placeholders_are_filled_where_they_stand() -> None:
    told = Talk("tiny", "Be brief.", (("user", "hi"),))
    found = made(argv=["x", "-m", "{model}", "--p={prompt}", "{other}", ["--system", "{system}"], ["--effort={effort}"]])
    assert command_line(found, told) == ["x", "-m", "tiny", "--p=hi", "{other}", "--system", "Be brief."]
    assert command_line(made(argv=["x", ["--model", "{model}"], ["-f", "{system_file}"]]), told, "/f") == [
        "x",
        "--model",
        "tiny",
        "-f",
        "/f",
    ]
    plain = Talk("default", "", (("user", "hi"),))
    assert command_line(made(argv=["x", ["--model", "{model}"], ["-f", "{system_file}"]]), plain, "/f") == ["x"]


def test_a_filled_text_is_not_filled_again() -> None:
    told = Talk("{prompt}", "{model}", (("user", "{system}"),))
    assert command_line(made(argv=["x", "{model}", "{system}", "{prompt}"]), told) == ["x", "{prompt}", "{model}", "{system}"]


@pytest.mark.parametrize(
    ("effort", "known", "word"), [("high", ["low", "high"], "high"), ("minimal", ["low", "high"], "low"), ("", ["low"], "")]
)
def test_a_level_becomes_the_nearest_that_the_command_knows(effort: str, known: list[str], word: str) -> None:
    told = talk(asked(("user", "hi"), thinking=Thinking(effort=effort or None)))
    assert command_line(made(argv=["x", ["{effort}"]], efforts=known), told) == ["x", *filter(None, [word])]


def test_json_for_standard_input() -> None:
    told = Talk("m", 'say "hi"', (("user", "quote ' and \" and \\"),))
    found = made(argv=["x"], input="json", stdin={"a": [{"b": "{prompt}"}, 1, None], "model": "{model}", "sys": "{system}"})
    assert json.loads(standard_input(found, told)) == {"a": [{"b": "quote ' and \" and \\"}, 1, None], "model": "m", "sys": 'say "hi"'}


@given(text=st.text(), model=st.text(min_size=1))
def test_whatever_is_sent_the_arguments_keep_their_number_and_none_becomes_an_option(text: str, model: str) -> None:
    found = made(argv=["x", "-q", "{model}", "a{prompt}", "--to={prompt}"])
    try:
        told = talk(asked(("user", text), model=model))
        line = command_line(found, told)
    except GatewayError as error:
        assert error.kind is Kind.BAD_REQUEST
        return
    assert len(line) == 5
    assert [part.startswith("-") for part in line] == [False, True, False, False, True]
    assert not any("\0" in part for part in line)
    assert line[4].startswith("--to=")
