"""Writes tests/golden/usage_cost/*.json: what recorded answers used, and what that cost by the price lists of their vendors.

    python tests/golden/make_usage_cost.py RECORDINGS

Of a recording only its usage blocks go into a file, the model's name and the class of service beside them. Prices are typed from the
vendors' pages (dollars per million tokens); counts are read here in a few plain lines a format, not by the code under test, and cost is
worked out in whole numbers. tests/test_usage_golden.py does the same arithmetic again, and lets the product do it.
"""

from __future__ import annotations

import json
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

Json = dict[str, Any]
HERE = Path(__file__).resolve().parent / "usage_cost"
AT = 1_795_000_000_000
"""2026-11-18: when the answers are priced, since lists change."""

HAIKU_35 = {"input": "0.8", "cache_read": "0.08", "cache_write": "1", "cache_write_1h": "1.6", "output": "4", "web_search": "0.01"}
HAIKU_45 = {"input": "1", "cache_read": "0.1", "cache_write": "1.25", "cache_write_1h": "2", "output": "5", "web_search": "0.01"}
OPUS_48 = {"input": "5", "cache_read": "0.5", "cache_write": "6.25", "cache_write_1h": "10", "output": "25", "web_search": "0.01"}
SONNET_46 = {"input": "3", "cache_read": "0.3", "cache_write": "3.75", "cache_write_1h": "6", "output": "15", "web_search": "0.01"}
SONNET_45_LONG = {"above": 200_000, "input": "6", "cache_read": "0.6", "cache_write": "7.5", "cache_write_1h": "12", "output": "22.5"}
SONNET_5 = {"input": "2", "cache_read": "0.2", "cache_write": "2.5", "cache_write_1h": "4", "output": "10", "web_search": "0.01"}
FLASH_25 = {"input": "0.3", "cache_read": "0.03", "output": "2.5"}
PRO_25 = {"input": "1.25", "cache_read": "0.125", "output": "10"}
PRO_25_LONG = {"above": 200_000, "input": "2.5", "cache_read": "0.25", "output": "15"}
DEEPSEEK = {"input": "0.15", "cache_read": "0.003", "output": "0.6"}
GPT_5 = {"input": "1.25", "cache_read": "0.125", "output": "10"}
SOL = {"input": "4", "cache_read": "0.4", "cache_write": "5", "output": "20"}

CHAT, RESPONSES, MESSAGES, GEMINI = "openai-chat", "openai-responses", "anthropic-messages", "gemini-generate"

RECORDED: tuple[tuple[str, str, str, str, Json | str | None], ...] = (
    # File, how a recording's name begins, the account's provider, the model it was priced as, its prices ("reported": the answer's own
    # figure; None: nobody's list has it).
    ("openai-responses", "openai-responses--openai--gpt-4o-mini--rig-responses-streaming-probe", "openai", "gpt-4o-mini-2024-07-18",
     {"input": "0.15", "cache_read": "0.075", "output": "0.6"}),
    ("openai-responses", "openai-responses--openai--gpt-5--dd-trace-py-response-custom", "openai", "gpt-5", GPT_5),
    ("openai-chat", "openai-chat--openai--gpt-5--dd-trace-py-chat-completion-custom", "openai", "gpt-5", GPT_5),
    ("anthropic", "anthropic-messages--anthropic--claude-3-5-haiku-20241022--crewai", "anthropic", "claude-3-5-haiku-20241022", HAIKU_35),
    ("anthropic", "anthropic-messages--anthropic--claude-haiku-4-5-20251001--langchain-anthropi-test-web-search", "anthropic",
     "claude-haiku-4-5-20251001", HAIKU_45),
    ("anthropic", "anthropic-messages--anthropic--claude-opus-4-8--pydantic-ai-test-inline", "anthropic", "claude-opus-4-8", OPUS_48),
    ("anthropic", "anthropic-messages--anthropic--claude-sonnet-4-5--pydantic-ai-test-pause-turn", "anthropic", "claude-sonnet-4-5",
     {**SONNET_46, "long": SONNET_45_LONG}),
    ("anthropic", "anthropic-messages--anthropic--claude-sonnet-4-6--rig-streaming-with-prompt-caching", "anthropic", "claude-sonnet-4-6",
     SONNET_46),
    ("anthropic", "anthropic-messages--anthropic--claude-sonnet-5--pydantic-ai-test-anthropic-code-execution", "anthropic",
     "claude-sonnet-5", SONNET_5),
    ("gemini", "gemini-generate--gemini--gemini-2-5-flash--pydantic-ai-test-google-validated", "gemini", "gemini-2.5-flash", FLASH_25),
    ("gemini", "gemini-generate--gemini--gemini-2-5-flash--openinference-test-google-adk", "gemini", "gemini-2.5-flash", FLASH_25),
    ("gemini", "gemini-generate--gemini--gemini-2-5-pro--pydantic-ai-test-google-model-file-search", "gemini", "gemini-2.5-pro", PRO_25),
    ("gemini", "gemini-stream--gemini--gemini-2-5-flash--rig-streaming-twin", "gemini", "gemini-2.5-flash", FLASH_25),
    ("gemini", "gemini-stream--gemini--gemini-3-1-pro-preview--vercel", "gemini", "gemini-3.1-pro-preview",
     {"input": "2", "cache_read": "0.2", "output": "12"}),
    ("deepseek", "openai-chat--deepseek--deepseek-v4-flash--rig-streaming-parallel", "deepseek", "deepseek-v4-flash", DEEPSEEK),
    ("deepseek", "openai-chat--deepseek--deepseek-v4-flash--rig-blocking", "deepseek", "deepseek-v4-flash", DEEPSEEK),
    ("mistral", "openai-chat--mistral--mistral-small-latest", "mistral", "mistral-small-latest",
     {"input": "0.15", "cache_read": "0.015", "output": "0.6"}),
    ("mistral", "openai-chat--mistral--mistral-large-latest", "mistral", "mistral-large-latest", {"input": "2", "output": "6"}),
    ("groq", "openai-chat--huggingface--moonshotai-kimi-k2-instruct", "groq", "moonshotai/kimi-k2-instruct-0905",
     {"input": "1", "cache_read": "0.5", "output": "3"}),
    ("openrouter", "openai-chat--openrouter--anthropic-claude-haiku-4-5--ruby-llm-chat-tool-choice", "openrouter",
     "anthropic/claude-haiku-4.5", "reported"),
    ("openrouter", "openai-chat--openrouter--openai-gpt-5-1-codex-mini", "openrouter", "openai/gpt-5.1-codex-mini", "reported"),
    ("openrouter", "openai-chat--openrouter--x-ai-grok-3-mini-beta", "openrouter", "x-ai/grok-3-mini-beta", "reported"),
    ("openrouter", "openai-chat--openrouter--x-ai-grok-4-1-fast", "openrouter", "x-ai/grok-4.1-fast", "reported"),
    ("openrouter", "openai-responses--openrouter--openai-gpt-5-6-sol", "openrouter", "openai/gpt-5.6-sol", "reported"),
    ("xai", "openai-chat--xai--grok-4-fast--fantasy", "xai", "grok-4-fast", "reported"),
    ("xai", "openai-responses--xai--grok-4-3--rig-sequential", "xai", "grok-4.3", "reported"),
    ("xai", "openai-responses--xai--grok-4-3--ruby-llm-chat-function-calling-xai-grok-4-1-fast-non-0", "xai", "grok-4.3", "reported"),
    ("glm", "openai-chat--zai--glm-4-7-flash", "glm", "glm-4.7-flash", None),
    ("cerebras", "openai-chat--cerebras--qwen-3-coder-480b", "cerebras", "qwen-3-coder-480b", None),
)  # fmt: skip

MADE: tuple[tuple[str, str, str, str, list[Json], str | None, Json], ...] = (
    # What no recording shows, in the words of the vendors' pages: file, provider, format, model, blocks, class of service, prices.
    ("anthropic", "anthropic", MESSAGES, "claude-sonnet-4-6",
     [{"input_tokens": 100, "cache_creation_input_tokens": 3_000, "cache_read_input_tokens": 7_000, "output_tokens": 1,
       "cache_creation": {"ephemeral_5m_input_tokens": 1_000, "ephemeral_1h_input_tokens": 2_000}}, {"output_tokens": 250}],
     None, SONNET_46),
    ("gemini", "gemini", GEMINI, "gemini-2.5-pro",
     [{"promptTokenCount": 250_000, "cachedContentTokenCount": 50_000, "candidatesTokenCount": 900, "thoughtsTokenCount": 100,
       "totalTokenCount": 251_000}], None, {**PRO_25, "long": PRO_25_LONG}),
    ("openai-chat", "openai", CHAT, "gpt-5",
     [{"prompt_tokens": 2_000, "completion_tokens": 500, "total_tokens": 2_500, "prompt_tokens_details": {"cached_tokens": 1_024},
       "completion_tokens_details": {"reasoning_tokens": 448}}], "flex", {"input": "0.625", "cache_read": "0.0625", "output": "5"}),
    ("openai-chat", "openai", CHAT, "gpt-5",
     [{"prompt_tokens": 2_000, "completion_tokens": 500, "total_tokens": 2_500, "prompt_tokens_details": {"cached_tokens": 1_024}}],
     "priority", {"input": "2.5", "cache_read": "0.25", "output": "20"}),
    ("openai-responses", "openai", RESPONSES, "gpt-5.6-sol",
     [{"input_tokens": 300_000, "input_tokens_details": {"cached_tokens": 200_000, "cache_write_tokens": 50_000}, "output_tokens": 1_000,
       "output_tokens_details": {"reasoning_tokens": 600}, "total_tokens": 301_000}], "default",
     {**SOL, "long": {"above": 272_000, "input": "8", "cache_read": "0.8", "cache_write": "10", "output": "30"}}),
    ("kimi", "kimi", CHAT, "kimi-k2.5",
     [{"prompt_tokens": 1_500, "completion_tokens": 80, "total_tokens": 1_580, "cached_tokens": 1_024}], None,
     {"input": "0.6", "cache_read": "0.1", "output": "3"}),
    ("glm", "glm", CHAT, "glm-4.6",
     [{"prompt_tokens": 1_500, "completion_tokens": 80, "total_tokens": 1_580, "prompt_tokens_details": {"cached_tokens": 1_000}}], None,
     {"input": "0.6", "cache_read": "0.11", "output": "2.2"}),
)  # fmt: skip


def counts(wire: str, blocks: list[Json]) -> Json:
    """The last word on each field of the blocks → fresh, read, written (of that for an hour), output (reasoning within), searches."""
    told: Json = {}
    for block in blocks:
        told |= {name: value for name, value in block.items() if value is not None}
    if wire == MESSAGES:
        hour = (told.get("cache_creation") or {}).get("ephemeral_1h_input_tokens")
        searches = (told.get("server_tool_use") or {}).get("web_search_requests")
        thought = (told.get("output_tokens_details") or {}).get("thinking_tokens")
        fresh, read, written = (told.get(name) for name in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"))
        return _row(fresh, read, written, told["output_tokens"], thought, hour, searches)
    if wire == GEMINI:
        cached, thoughts = told.get("cachedContentTokenCount"), told.get("thoughtsTokenCount")
        read = told["promptTokenCount"] + told.get("toolUsePromptTokenCount", 0)
        return _row(read - (cached or 0), cached, None, told.get("candidatesTokenCount", 0) + (thoughts or 0), thoughts)
    prefix, suffix = ("prompt", "completion") if wire == CHAT else ("input", "output")
    prompt, wrote = told[f"{prefix}_tokens"], told[f"{suffix}_tokens"]
    inside, outside = told.get(f"{prefix}_tokens_details") or {}, told.get(f"{suffix}_tokens_details") or {}
    cached = inside.get("cached_tokens", told.get("cached_tokens", told.get("prompt_cache_hit_tokens")))
    written, thought = inside.get("cache_write_tokens"), outside.get("reasoning_tokens")
    # xAI's chat counts reasoning beside the completion, and only the total tells.
    wrote += max(0, told["total_tokens"] - prompt - wrote)
    return _row(prompt - (cached or 0) - (written or 0), cached, written, wrote, thought)


def _row(
    fresh: int | None, read: int | None, written: int | None, output: int, thought: int | None, hour: Any = None, web: Any = None
) -> Json:
    return {
        "input": fresh, "cache_read": read, "cache_write": written, "output": output, "reasoning": thought,
        "cache_write_1h": hour, "web_searches": web,
    }  # fmt: skip


def nano(used: Json, prices: Json) -> int:
    """Nano-dollars: a dollar per million tokens is a thousand of them a token."""
    read = sum(used[name] or 0 for name in ("input", "cache_read", "cache_write"))
    long = prices.get("long")
    rates = long if long is not None and read > long["above"] else prices
    written, hour = used["cache_write"] or 0, used["cache_write_1h"] or 0
    parts = {
        "input": used["input"] or 0, "cache_read": used["cache_read"] or 0, "cache_write": written - hour, "cache_write_1h": hour,
        "output": used["output"],
    }  # fmt: skip
    total = sum((Fraction(rates.get(name, rates["input"])) * 1_000 * count for name, count in parts.items()), Fraction(0))
    total += Fraction(prices.get("web_search", "0")) * 1_000_000_000 * (used["web_searches"] or 0)
    return int(total + Fraction(1, 2))


def reported(blocks: list[Json]) -> int:
    """Nano-dollars that the answer itself names: dollars as they are written, or xAI's ticks, ten to the nano-dollar."""
    last = blocks[-1]
    ticks = last.get("cost_in_usd_ticks")
    exact = Fraction(ticks, 10) if ticks is not None else Fraction(str(last["cost"])) * 1_000_000_000
    return int(exact + Fraction(1, 2))


def usage_blocks(recording: Json) -> tuple[list[Json], str | None]:
    """The usage blocks of an answer in their order, and the class of service named beside the last one."""
    answer = recording["response"]
    lines = [line[5:] for line in answer.get("sse", "").splitlines() if line.startswith("data:") and line[5:].strip() != "[DONE]"]
    said = [json.loads(line) for line in lines] if lines else [answer["body"]]
    found: list[Json] = []
    tier: str | None = None
    for event in said:
        for holder in (event, event.get("message"), event.get("response")):
            block = holder.get("usage") or holder.get("usageMetadata") if isinstance(holder, dict) else None
            if isinstance(block, dict):
                found.append(block)
                tier = holder.get("service_tier") if isinstance(holder.get("service_tier"), str) else tier
    return found, tier


def cases(recordings: Path) -> dict[str, list[Json]]:
    files: dict[str, list[Json]] = {}
    for name, begins, provider, model, prices in RECORDED:
        (path,) = sorted(recordings.glob(f"{begins}*.json"))
        recording = json.loads(path.read_text("utf-8"))
        wire = GEMINI if recording["wire"].startswith("gemini") else recording["wire"]
        blocks, tier = usage_blocks(recording)
        # Of a long stream the first and the last say enough: the counts in between are sums on their way.
        blocks = blocks if len(blocks) < 3 else [blocks[0], blocks[-1]]
        case = {"from": path.stem, "provider": provider, "wire": wire, "model": model, "at": AT, "service_tier": tier, "blocks": blocks}
        used = counts(wire, blocks)
        cost = None if prices is None else reported(blocks) if prices == "reported" else nano(used, dict(prices))  # type: ignore[arg-type]
        files.setdefault(name, []).append({**case, "counts": used, "prices": prices, "nano": cost})
    for name, provider, wire, model, blocks, tier, prices in MADE:
        used = counts(wire, blocks)
        case = {
            "from": "made by hand",
            "provider": provider,
            "wire": wire,
            "model": model,
            "at": AT,
            "service_tier": tier,
            "blocks": blocks,
        }
        files.setdefault(name, []).append({**case, "counts": used, "prices": prices, "nano": nano(used, prices)})
    return files


def main(recordings: Path) -> None:
    HERE.mkdir(exist_ok=True)
    for name, found in sorted(cases(recordings).items()):
        (HERE / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n", "utf-8")
        print(f"{name}: {len(found)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
