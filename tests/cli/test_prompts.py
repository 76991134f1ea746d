import io
import sys
from collections.abc import Iterator

import click
import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import DummyOutput

from omni_connector.cli import prompts


@pytest.fixture
def keyboard() -> Iterator[PipeInput]:
    with create_pipe_input() as pipe, create_app_session(input=pipe, output=DummyOutput()):
        yield pipe


def test_answers(keyboard: PipeInput) -> None:
    keyboard.send_text("Work \r")
    assert prompts.text("Label?") == "Work"
    keyboard.send_text(" sk-1 \r")
    assert prompts.secret("Key?") == "sk-1"
    keyboard.send_text("n")
    assert prompts.confirm("Sure?") is False
    keyboard.send_text("dem\r")
    assert prompts.select("Provider?", [("openai", "OpenAI"), ("demo", "Demo")]) == "demo"


def test_ctrl_c_stops_the_command(keyboard: PipeInput) -> None:
    keyboard.send_text("\x03")
    with pytest.raises(click.Abort):
        prompts.text("Label?")


def test_nobody_is_asked_where_nobody_can_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    screen.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert prompts.terminal() is False
    monkeypatch.setattr(sys, "stdin", screen)
    assert prompts.terminal() is True
