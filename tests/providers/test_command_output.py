import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_connector.chat import Usage
from omni_connector.errors import Kind
from omni_connector.providers.command_output import Piece, PointedLineReader, PointerReader, Reader, TextReader, failure, point
from omni_connector.providers.commands import Output, template

NOW = 1_795_000_000.0
DOCUMENT = {"foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "m~n": 8, " ": 7}


def read(reader: Reader, data: bytes, size: int = 1) -> list[Piece]:
    pieces = [piece for at in range(0, len(data), size) for piece in reader.feed(data[at : at + size])]
    return pieces + reader.close()


def said(reader: Reader, data: bytes, size: int = 1) -> str:
    return "".join(text for _, text in read(reader, data, size))


def lines(*values: Any) -> bytes:
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


@pytest.mark.parametrize(
    ("pointer", "value"),  # RFC 6901, section 5
    [("", DOCUMENT), ("/foo", ["bar", "baz"]), ("/foo/0", "bar"), ("/", 0), ("/a~1b", 1), ("/c%d", 2), ("/m~0n", 8), ("/ ", 7)],
)
def test_pointers(pointer: str, value: object) -> None:
    assert point(DOCUMENT, pointer) == value


@pytest.mark.parametrize("pointer", ["/foo/2", "/foo/-1", "/foo/x", "/nope/0", "/foo/0/deep"])
def test_a_pointer_to_nothing_is_nothing(pointer: str) -> None:
    assert point(DOCUMENT, pointer) is None


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_text_without_colours_and_blanks_around_it(size: int) -> None:
    raw = "\r\n\n  \x1b[1;32mHällo\x1b[0m\r\n\n\x1b]0;title\x07世界\x1b[2K 🙂 \n\n".encode()
    assert said(TextReader(Output(), lambda: NOW), raw, size) == "  Hällo\n\n世界 🙂"


@given(st.text(alphabet=st.characters(blacklist_characters="\x1b\r", blacklist_categories=["Cs"])), st.integers(1, 7))
def test_text_is_the_same_however_it_is_cut(text: str, size: int) -> None:
    assert said(TextReader(Output(), lambda: NOW), text.encode(), size) == text.lstrip("\n").rstrip()


def test_a_document_without_the_answer_or_without_json_is_a_failure() -> None:
    output = Output(kind="json-pointer", text="/out", error="/error/message")
    for raw, words in ((b'{"a":1}', "/out"), (b"oops", "no JSON: 'oops'"), (b'{"error":{"message":"429 slow down"}}', "slow down")):
        reader = PointerReader(output, lambda: NOW)
        assert not read(reader, raw)
        assert reader.error is not None
        assert words in reader.error.message
    assert reader.error.kind is Kind.ACCOUNT_RATE_LIMITED
    silent = PointerReader(output, lambda: NOW)
    assert (read(silent, b""), silent.error) == ([], None)


def test_lines_of_codex() -> None:
    """As codex-cli 0.169.0 writes them."""
    output = template("command", {"command": {"preset": "codex-exec"}}).output
    raw = lines(
        {"type": "thread.started", "thread_id": "01a1"},
        {"type": "item.completed", "item": {"id": "item_0", "type": "error", "message": "Model metadata for `x` not found."}},
        {"type": "turn.started"},
        {"type": "error", "message": "Reconnecting... 2/5 (stream disconnected)"},
        {"type": "item.completed", "item": {"id": "item_1", "type": "reasoning", "text": "hm"}},
        {"type": "item.completed", "item": {"id": "item_2", "type": "agent_message", "text": "One."}},
        {"type": "item.completed", "item": {"id": "item_3", "type": "agent_message", "text": "Two."}},
        {
            "type": "turn.completed",
            "usage": {"input_tokens": 5149, "cached_input_tokens": 149, "output_tokens": 49, "reasoning_output_tokens": 9},
        },
    )
    for size in (1, 7, 10_000):
        reader = PointedLineReader(output, lambda: NOW)
        assert said(reader, raw, size) == "One.\n\nTwo."
        assert reader.complete
        assert reader.usage == Usage(input=5000, cache_read=149, output=49, reasoning=9)
        assert reader.error is None


def test_a_turn_of_codex_that_failed() -> None:
    reader = PointedLineReader(template("command", {"command": {"preset": "codex-exec"}}).output, lambda: NOW)
    read(reader, lines({"type": "turn.failed", "error": {"message": "unexpected status 401 Unauthorized"}}))
    assert reader.error is not None
    assert (reader.error.kind, reader.complete) == (Kind.ACCOUNT_REJECTED, False)


def test_lines_of_gemini_cli() -> None:
    """As gemini-cli 0.61.0 writes them."""
    output = template("command", {"command": {"preset": "gemini-cli"}}).output
    reader = PointedLineReader(output, lambda: NOW)
    stats = {"total_tokens": 30, "input_tokens": 20, "output_tokens": 10, "cached": 5}
    raw = b"Ripgrep is not available.\n" + lines(
        {"type": "init", "model": "m"},
        {"type": "message", "role": "user", "content": "hi\n"},
        {"type": "message", "role": "assistant", "content": "Hel", "delta": True},
        {"type": "message", "role": "assistant", "content": "lo", "delta": True},
        {"type": "result", "status": "success", "stats": stats},
    ).rstrip(b"\n")
    assert said(reader, raw) == "Hello"
    assert reader.complete
    assert reader.usage == Usage(input=15, cache_read=5, output=10)
    failed = PointedLineReader(output, lambda: NOW)
    read(failed, lines({"type": "result", "status": "error", "error": {"type": "unknown", "message": "[API Error: overloaded]"}}))
    assert failed.error is not None
    assert failed.error.kind is Kind.UPSTREAM_OVERLOADED


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("Not logged in · Please run /login", Kind.ACCOUNT_REJECTED),
        ("Please set an Auth method in your settings.json", Kind.ACCOUNT_REJECTED),
        ("No key found - add one using 'llm keys set openai'", Kind.ACCOUNT_REJECTED),
        ("Credit balance is too low", Kind.ACCOUNT_UNPAID),
        ("Claude AI usage limit reached|1795003600", Kind.ACCOUNT_RATE_LIMITED),
        ("Prompt is too long", Kind.CONTEXT_TOO_LONG),
        ("Error: pull model manifest: file does not exist", Kind.UPSTREAM_MODEL_MISSING),
        ("Error: model 'nope' not found", Kind.UPSTREAM_MODEL_MISSING),
        ("Error: could not connect to ollama app, is it running?", Kind.UPSTREAM_UNREACHABLE),
        ("Segmentation fault", Kind.UPSTREAM_FAILED),
        ("", Kind.UPSTREAM_FAILED),
    ],
)
def test_failures_in_words(words: str, kind: Kind) -> None:
    error = failure(words, NOW)
    assert error.kind is kind
    assert error.message
    if "|" in words:
        assert (error.retry_after, error.stated, error.scope) == (3600.0, True, "account")
