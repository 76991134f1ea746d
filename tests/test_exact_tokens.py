"""Counting with a model's own vocabulary: with a stand-in that counts words, and with the library itself where it is installed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType

import pytest

from omni_connector import exact_tokens, usage
from omni_connector.chat import ChatRequest, MediaPart, Message, TextPart, Tool, ToolCallPart, ToolResultPart


@pytest.fixture
def anew() -> Iterator[None]:
    def forget() -> None:
        exact_tokens._splintr.cache_clear()
        exact_tokens._encoder.cache_clear()
        exact_tokens._loaded.clear()
        exact_tokens._loading.clear()

    forget()
    yield
    forget()


class Words:
    def encode_ordinary(self, text: str) -> list[str]:
        return text.split()


def stand_in(monkeypatch: pytest.MonkeyPatch, *, knows: bool = True) -> list[str]:
    loaded: list[str] = []
    module = ModuleType("splintr")

    class Tokenizer:
        @staticmethod
        def from_pretrained(name: str) -> Words:
            loaded.append(name)
            if not knows:
                raise ValueError(f"no such vocabulary: {name}")
            return Words()

    module.Tokenizer = Tokenizer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "splintr", module)
    return loaded


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("gpt-5.5", "o200k_base"),
        ("openai/gpt-4o-2024-08-06", "o200k_base"),
        ("o3-mini", "o200k_base"),
        ("gpt-oss-120b", "o200k_base"),
        ("gpt-4-turbo", "cl100k_base"),
        ("gpt-3.5-turbo", "cl100k_base"),
        ("deepseek-chat", "deepseek_v3"),
        ("kimi-k2.5", "kimi_k2"),
        ("claude-sonnet-4-5", ""),
        ("gemini-2.5-pro", ""),
        ("", ""),
    ],
)
def test_whose_vocabulary_is_known(model: str, name: str) -> None:
    assert exact_tokens.vocabulary(model) == name


@pytest.mark.usefixtures("anew")
def test_without_the_extra_nobody_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "splintr", None)
    assert not exact_tokens.installed() and exact_tokens.count("gpt-5", "one two") is None
    assert exact_tokens.count_request("gpt-5", ChatRequest("openai-chat", "gpt-5", (Message("user", (TextPart("hi"),)),))) is None


@pytest.mark.usefixtures("anew")
def test_a_request_is_counted_part_by_part(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = stand_in(monkeypatch)
    picture = MediaPart("image", data="AAAA", media_type="image/png")
    messages = (
        Message("user", (TextPart("one two three"), picture)),
        Message("assistant", (ToolCallPart("c1", "look", "it up"),)),
        Message("tool", (ToolResultPart("c1", (TextPart("four five"),)),)),
    )
    request = ChatRequest("openai-chat", "gpt-5", messages, tools=(Tool("function", "look", " up things"),))
    frame = 3 * exact_tokens.MESSAGE_FRAME + exact_tokens.ANSWER_FRAME
    tool = len(f"look up things{request.tools[0].schema or request.tools[0].format or request.tools[0].raw}".split()) + 4
    assert exact_tokens.count_request("gpt-5", request) == frame + 3 + usage.IMAGE_TOKENS + (2 + 4) + (4 + 2) + tool
    assert loaded == ["o200k_base"], "once"


@pytest.mark.usefixtures("anew")
def test_what_cannot_be_loaded_or_is_too_long_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = stand_in(monkeypatch, knows=False)
    assert exact_tokens.count("gpt-5", "a") is None and exact_tokens.count("gpt-5", "b") is None and len(loaded) == 1
    assert exact_tokens.count("gpt-5", "a" * (exact_tokens.MOST_CHARACTERS + 1)) is None


@pytest.mark.usefixtures("anew")
def test_who_does_not_wait_is_served_once_it_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch)
    first = exact_tokens.count("gpt-5", "one two", wait=False)
    assert first in (None, 2)
    assert exact_tokens.count("gpt-5", "one two") == 2 == exact_tokens.count("gpt-5", "one two", wait=False)


@pytest.mark.usefixtures("anew")
def test_the_library_itself() -> None:
    pytest.importorskip("splintr")
    # tiktoken's own answers for these texts.
    assert exact_tokens.count("gpt-4o", "hello world") == 2 and exact_tokens.count("gpt-4", "tiktoken is great!") == 6
    assert exact_tokens.count("gpt-4o", "<|endoftext|>") == 7, "a client's text is text"
    assert exact_tokens.count("gpt-4o", "\ud800 broken") is not None
