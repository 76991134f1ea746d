"""What a Kiro answer used: told in credits, counted in tokens, never invented. P-22"""

from __future__ import annotations

from omni_connector.chat import ChatRequest, MediaPart, Message, ReasoningPart, TextPart, Tool, ToolCallPart, ToolResultPart, Usage
from omni_connector.wire.kiro_usage import PICTURE_TOKENS, Used

METERING = {"usage": 0.25, "unit": "credit", "unitPlural": "credits"}


def request(*parts: object, **more: object) -> ChatRequest:
    return ChatRequest("openai-chat", "m", (Message("user", parts),), **more)  # type: ignore[arg-type]


def test_tokens_are_counted_where_they_are_not_told() -> None:
    used = Used(request(TextPart("x" * 400)))
    used.metering(METERING)
    used.context({"contextUsagePercentage": 1.5})
    used.heard("y" * 41)
    raw = {"metering": METERING, "contextUsage": {"contextUsagePercentage": 1.5}, "usage_source": "counted"}
    assert used.usage() == Usage(100, output=11, raw=raw)


def test_everything_that_is_sent_counts() -> None:
    call, thought = ToolCallPart("c", "name", "x" * 36), ReasoningPart("z" * 1000)
    result = ToolResultPart("c", (TextPart("y" * 40), MediaPart("image", data="AAAA")))
    tool = Tool("function", "f", "d" * 35, {"a": 1})
    used = Used(request(call, thought, result, tools=(tool,)))
    assert used.usage().input == PICTURE_TOKENS + (40 + 40 + 1 + 35 + 7 + 3) // 4


def test_of_an_unknown_question_nothing_is_said() -> None:
    assert Used(None).usage() == Usage(None, output=0, raw={"usage_source": "estimated"})


def test_told_tokens_are_believed() -> None:
    used = Used(request(TextPart("x")))
    used.heard("y")
    told = {"uncachedInputTokens": 10, "cacheReadInputTokens": 4, "cacheWriteInputTokens": 2, "outputTokens": 5, "totalTokens": 21}
    used.tokens(told)
    assert used.usage() == Usage(10, 4, 2, 5, raw={"tokenUsage": told})
    used.tokens({"inputTokens": 16, "cacheReadInputTokens": 4, "outputTokens": 5})
    assert used.usage().input == 12


def test_odd_counts_are_not() -> None:
    for odd in (None, [], {"inputTokens": "9", "outputTokens": 5}, {"inputTokens": -1, "outputTokens": 5}, {"outputTokens": 5}):
        used = Used(None)
        used.tokens(odd)
        assert used.usage().raw["usage_source"] == "estimated"
