import io
import sys

import pytest

from omni_connector.cli import output


def test_a_pipe_gets_whole_aligned_plain_columns(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(("NAME", "N"), [("a" * 200, 1), ("[red]b", 20)], right=("N",))
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["NAME" + " " * 196 + "   N", "a" * 200 + "   1", "[red]b" + " " * 194 + "  20"]


def test_a_terminal_gets_markup_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(screen, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdout", screen)
    output.table(("NAME", "STATUS"), [("[red]b", "ready")])
    assert "[red]b" in screen.getvalue()


def test_foreign_text_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    output.facts([("label", "a\x1b[2Jb\nc"), ("empty", None)])
    assert capsys.readouterr().out == "label  a [2Jb c\n"


def test_words_for_values() -> None:
    assert [output.span(s) for s in (0, 12, 60, 3725, 90_061)] == ["0 s", "12 s", "1 min", "1 h 2 min", "1 d 1 h"]
    assert output.few(["a", "b", "c", "d"]) == "a, b, c +1"
    assert output.few([]) == "–"
    assert (output.count(1234567), output.count(None)) == ("1,234,567", "–")
    assert (output.money("0.10"), output.money(None)) == ("$0.10", "unknown")
    assert output.when(None) == "–"


def test_an_ascii_terminal_is_no_reason_to_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii", write_through=True))
    output.say("✓ fine")
    assert raw.getvalue() == b"? fine\n"
