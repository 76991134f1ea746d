from __future__ import annotations

import base64
import json
import random
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_connector import usage
from omni_connector.chat import ChatRequest, MediaPart, Message, Origin, TextPart, Tool, ToolCallPart, ToolResultPart, Usage, UsageSeen
from omni_connector.wire import FORMATS

NOON = 1_763_726_400_000  # 2025-11-21T12:00:00Z
EVENING = NOON + 8 * 3_600_000


def cost(counts: Usage, price_id: str, model: str, at: int = NOON) -> Decimal | None:
    return usage.price(counts, price_id, model, at=at).cost


# Golden numbers, computed by hand from the list prices of the data (dollars per million tokens).


def test_openai_counts_cached_tokens_at_their_own_rate() -> None:
    # gpt-4o: 2.50 in, 1.25 cached, 10 out → 0.0025 + 0.0025 + 0.0050
    assert cost(Usage(input=1_000, cache_read=2_000, output=500, reasoning=100), "openai", "gpt-4o-2024-08-06") == Decimal("0.0100")


def test_anthropic_cache_writes_of_five_minutes_and_one_hour() -> None:
    # claude-sonnet-4-5: 3 in, 0.30 read, 3.75 write, 6 write for an hour, 15 out
    counts = Usage(input=1_000, cache_read=10_000, cache_write=2_000, output=300, cache_write_1h=500)
    assert cost(counts, "anthropic", "claude-sonnet-4-5-20250929") == Decimal("0.003") + Decimal("0.003") + Decimal("0.005625") + Decimal(
        "0.003"
    ) + Decimal("0.0045")


def test_anthropic_web_searches_are_billed_one_by_one() -> None:
    # 10 dollars per thousand
    assert cost(Usage(input=0, output=0, web_searches=3), "anthropic", "claude-opus-4-5") == Decimal("0.03")


def test_deepseek_by_the_hour() -> None:
    # deepseek-chat: 0.27 / 0.07 / 1.10 from 00:30 to 16:30 UTC, half of it (0.135 / 0.035 / 0.55) else
    counts = Usage(input=1_000, cache_read=4_000, output=100)
    assert cost(counts, "deepseek", "deepseek-chat", NOON) == Decimal("0.00066")
    assert cost(counts, "deepseek", "deepseek-chat", EVENING) == Decimal("0.00033")


def test_tiers_are_cliffs_on_the_whole_prompt_cache_included() -> None:
    # claude-sonnet-4-5 beyond 200,000: 6 in, 0.60 read, 22.50 out
    assert cost(Usage(input=100_000, cache_read=100_000, output=1_000), "anthropic", "claude-sonnet-4-5") == Decimal("0.345")
    assert cost(Usage(input=100_001, cache_read=100_000, output=1_000), "anthropic", "claude-sonnet-4-5") == Decimal("0.682506")


def test_service_tier_chooses_the_price() -> None:
    later = 1_795_000_000_000  # 2026-11-18: variants are known from 2026-10-12 on
    counts = Usage(input=1_000_000, output=0)
    assert cost(counts, "openai", "gpt-5", later) == Decimal("1.25")
    assert usage.price(counts, "openai", "gpt-5", at=later, service_tier="flex").cost == Decimal("0.625")
    assert cost(Usage(input=1_000_000, output=0, raw={"service_tier": "priority"}), "openai", "gpt-5", later) == Decimal("2.5")


def test_an_answer_names_its_class_of_service_beside_its_usage() -> None:
    """Whole, streamed and translated: the price of OpenAI's tiers hangs on a word outside the usage block."""
    later = 1_795_000_000_000
    chat = {"prompt_tokens": 1_000_000, "completion_tokens": 0, "total_tokens": 1_000_000}
    block = {"input_tokens": 1_000_000, "output_tokens": 0, "total_tokens": 1_000_000}
    choice = {"index": 0, "message": {"role": "assistant", "content": "a"}, "finish_reason": "stop"}
    delta = {"id": "c", "model": "m", "service_tier": "Flex", "choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"}]}
    done = {"id": "r", "output": [], "status": "completed", "usage": block, "service_tier": "flex"}
    pieces = [delta, {"id": "c", "model": "m", "service_tier": "Flex", "choices": [], "usage": chat}]
    stream = b"".join(b"data: " + json.dumps(piece).encode() + b"\n\n" for piece in pieces) + b"data: [DONE]\n\n"
    ears = [FORMATS[wire].Listener() for wire in ("openai-chat", "openai-chat", "openai-responses", "gemini-generate")]
    ears[0].whole({"choices": [choice], "usage": chat, "service_tier": "flex"})
    ears[1].feed(stream)
    ears[2].whole(done)
    meta = {"promptTokenCount": 1_000_000, "candidatesTokenCount": 0, "totalTokenCount": 1_000_000, "serviceTier": "FLEX"}
    ears[3].whole({"candidates": [{"content": {"parts": [{"text": "a"}]}, "finishReason": "STOP"}], "usageMetadata": meta})
    for ear in ears:
        assert ear.usage is not None and ear.usage.tier == "flex"
        assert usage.price(ear.usage, "openai", "gpt-5", at=later).cost == Decimal("0.625")
    parser = FORMATS["openai-chat"].ResponseParser(Origin("openai", "gpt-5"))
    told = [event.usage for event in parser.feed(stream) if isinstance(event, UsageSeen)]
    assert told and told[-1].tier == "flex"


@pytest.mark.parametrize(
    ("price_id", "model", "tier", "known"),
    [
        ("openai", "gpt-4o", "scale", False),
        ("openai", "gpt-3.5-turbo", "priority", False),
        ("openai", "gpt-5", "priority", True),
        ("google", "gemini-2.5-pro", "priority", False),
        ("openai", "gpt-3.5-turbo", "default", True),
        ("google", "gemini-2.5-pro", "standard", True),
        ("groq", "openai/gpt-oss-120b", "flex", True),
        ("anthropic", "claude-opus-4-5", "standard", True),
    ],
)
def test_a_class_without_a_price_of_its_own_has_an_unknown_one(price_id: str, model: str, tier: str, known: bool) -> None:
    found = usage.price(Usage(input=1_000, output=10, tier=tier), price_id, model, at=1_795_000_000_000)
    assert (found.cost is not None) == known, found


@pytest.mark.parametrize(("price_id", "model"), [("openai", "gpt-5"), ("openai", "gpt-6-sol"), ("openai", "gpt-4.1")])
@pytest.mark.parametrize("tier", ["default", "flex", "priority"])
def test_tiers_agree_with_genai_prices(price_id: str, model: str, tier: str) -> None:
    """Each class that the data prices, short prompts and long ones, to the last digit."""
    import genai_prices
    from genai_prices import data_snapshot

    later = 1_795_000_000_000
    _, entry = data_snapshot.get_snapshot().find_provider_model(model, None, price_id, None)
    if not any(variant.when.get("service_tier") == tier for variant in entry.price_variants or ()) and tier != "default":
        assert usage.rates(price_id, model, later, (("service_tier", tier),)) is None
        return
    listed = entry.get_prices(datetime.fromtimestamp(later / 1000, UTC), {"service_tier": tier})
    for fresh, cached, output in ((1_000, 500, 70), (300_000, 40_000, 900)):
        theirs = listed.calc_price(genai_prices.Usage(input_tokens=fresh + cached, cache_read_tokens=cached, output_tokens=output))
        ours = usage.price(Usage(input=fresh, cache_read=cached, output=output, tier=tier), price_id, model, at=later).cost
        assert ours == theirs["total_price"]


counts = st.integers(0, 400_000)


@given(
    st.sampled_from(
        [
            ("openai", "gpt-5"),
            ("openai", "gpt-6-sol"),
            ("anthropic", "claude-sonnet-4-5"),
            ("anthropic", "claude-opus-5"),
            ("deepseek", "deepseek-v4-pro"),
            ("x-ai", "grok-4.3"),
            ("mistral", "mistral-large-latest"),
            ("zai", "glm-4.6"),
            ("minimax", "MiniMax-M2"),
            ("moonshotai", "kimi-k3"),
        ]
    ),
    st.tuples(counts, counts, counts, counts),
    st.integers(NOON, NOON + 400 * 86_400_000),
)
def test_agrees_with_genai_prices(model: tuple[str, str], numbers: tuple[int, int, int, int], at: int) -> None:
    import genai_prices

    fresh, read, write, output = numbers
    theirs = genai_prices.calc_price(
        genai_prices.Usage(input_tokens=fresh + read + write, cache_read_tokens=read, cache_write_tokens=write, output_tokens=output),
        model[1],
        provider_id=model[0],
        genai_request_timestamp=datetime.fromtimestamp(at / 1000, UTC),
    )
    ours = cost(Usage(fresh, read, write, output), *model, at=at)
    assert ours is not None
    assert abs(ours - theirs.total_price) < Decimal("1e-12")


# What is not known is not free.


@pytest.mark.parametrize(
    ("counts", "price_id", "model"),
    [
        (Usage(input=1, output=1), "openai", "no-such-model"),
        (Usage(input=1, output=1), "no-such-provider", "gpt-4o"),
        (Usage(input=1, output=1), None, "gpt-4o"),
        (Usage(), "openai", "gpt-4o"),
        (Usage(input=5, output=5), "openai", "whisper-1"),
    ],
)
def test_unknown_is_none_never_zero(counts: Usage, price_id: str | None, model: str) -> None:
    assert usage.price(counts, price_id, model) == usage.UNKNOWN
    assert usage.nano(usage.UNKNOWN.cost) is None


@pytest.mark.parametrize("source", ["local", "demo", "subscription"])
def test_free_of_charge_says_why(source: str) -> None:
    assert usage.price(Usage(), source, "anything") == usage.Price(Decimal(0), source)


def test_a_lying_upstream_cannot_lower_a_bill() -> None:
    assert cost(Usage(input=1_000, cache_read=-5, output=-1_000_000), "openai", "gpt-4o") == Decimal("0.0025")


def test_what_the_user_set_wins() -> None:
    million = Usage(input=1_000_000, cache_read=1_000_000, output=1_000_000)
    own = usage.own_rates(Decimal("0.10"), Decimal(1))
    # Cached tokens cost what fresh ones do unless they have a rate.
    assert usage.price(million, "local", "llama", override=own) == usage.Price(Decimal("1.20"), "override")
    own = usage.own_rates(Decimal(1), Decimal(2), Decimal("0.1"), per_request=Decimal("0.5"))
    assert usage.price(million, "openai", "gpt-4o", override=own).cost == Decimal("3.6")
    assert usage.price(Usage(), "openai", "gpt-4o", override=own) == usage.UNKNOWN, "nobody counted, and tokens have a price"
    assert usage.price(Usage(), None, "x", override=usage.own_rates(per_request=Decimal("0.5"))).cost == Decimal("0.5")
    assert usage.price(million, "openai", "gpt-4o", override=usage.NOTHING) == usage.Price(Decimal(0), "override")


def test_a_search_keeps_its_list_price() -> None:
    counts, own = Usage(input=1_000_000, output=0, web_searches=3), usage.own_rates(Decimal(1), Decimal(1))
    assert usage.price(counts, "anthropic", "claude-opus-4-5", override=own).cost == Decimal("1.03")
    assert usage.price(counts, "subscription", "claude-opus-4-5", override=own).cost == Decimal(1)
    assert usage.price(counts, "openai", "no-such-model", override=own) == usage.UNKNOWN


def test_nano_and_dollars() -> None:
    assert usage.nano(Decimal("0.00000000149")) == 1
    assert usage.nano(Decimal("0.0000000005")) == 1
    assert usage.nano(Decimal("12.5")) == 12_500_000_000
    assert [usage.usd(n) for n in (None, 0, 1_230_000, 1, 12_500_000_000, -5)] == [
        None,
        "0.000000",
        "0.001230",
        "0.000000001",
        "12.500000",
        "-0.000000005",
    ]


def test_start_up_does_not_load_the_price_data() -> None:
    code = "import sys, omni_connector.usage, omni_connector.catalog; sys.exit('genai_prices' in sys.modules or 'pydantic' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


# Estimates

KNOWN = {  # text → tokens in o200k_base, counted once with a real tokenizer
    "What is the weather in Paris today?": 8,
    (
        "The gateway keeps every account that you own behind one key. When a provider is busy it moves to the next one, and each request "
        "is written to the ledger before the answer leaves, so the books are always right. "
    )
    * 10: 441,
    (
        "人工智能网关可以把多个账户的请求统一到一个接口。用户只需要一个密钥,就能够访问所有已经连接的模型,并且系统会自动切换到可用的账户,"
        "同时记录每一次请求的费用。"
    )
    * 10: 520,
    "Этот шлюз объединяет несколько учётных записей под одним ключом. Запросы автоматически направляются на доступную учётную запись, "
    "а расходы точно учитываются." * 1: 36,
}


@pytest.mark.parametrize(("text", "tokens"), KNOWN.items(), ids=range(len(KNOWN)))
def test_estimate_is_near(text: str, tokens: int) -> None:
    assert abs(usage.estimate_tokens(text) - tokens) <= 0.22 * tokens


@given(st.text(max_size=400), st.text(max_size=400))
def test_estimate_never_falls_when_text_is_added(start: str, more: str) -> None:
    few, many = usage.estimate_tokens(start), usage.estimate_tokens(start + more)
    assert 0 <= few <= many
    assert (few == 0) == (start == "")


def test_estimate_looks_at_a_bounded_part_of_a_long_text(monkeypatch: pytest.MonkeyPatch) -> None:
    prose = b"The quick brown fox jumps over the lazy dog. " * 25_000
    assert abs(usage.estimate_tokens(prose) - 10 * usage.estimate_tokens(prose[:112_500])) < 3_000
    looked: list[int] = []
    monkeypatch.setattr(usage, "_window_tokens", lambda window: looked.append(len(window)) or 1.0)
    usage.estimate_tokens(prose * 40)
    assert sum(looked) == usage.MAX_WINDOWS * usage.WINDOW


def test_estimate_takes_broken_text() -> None:
    assert usage.estimate_tokens("\ud800") == 1
    assert usage.estimate_tokens(b"\xff\xfe" * 10) >= 1


def test_an_encoded_picture_is_not_read_as_words() -> None:
    picture = base64.b64encode(random.Random(1).randbytes(750_000))
    body = b'{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,' + picture + b'"}}]}]}'
    assert usage.estimate_tokens(body) < 10_000


def test_estimate_of_a_request_sees_every_part() -> None:
    message = Message("user", (TextPart("hello " * 100), MediaPart("image", "image/png", data="AAAA")))
    tools = (Tool("function", "f", "does things", {"type": "object"}),)
    answer = Message("assistant", (ToolCallPart("1", "f", '{"a":1}'),))
    result = Message("tool", (ToolResultPart("1", (TextPart("done"),)),))
    one = usage.estimate_request(ChatRequest("openai-chat", "m", (message,)))
    all_of_it = usage.estimate_request(ChatRequest("openai-chat", "m", (message, answer, result), tools))
    assert usage.IMAGE_TOKENS + 100 < one < usage.IMAGE_TOKENS + 200
    assert one + 10 < all_of_it < one + 80


PIECES = st.sampled_from(
    (b"plain words ", b"QUJD" * 300, "\u4e2d\u6587".encode() * 200, b'{"a": [1, 2]}', b"A" * usage.WINDOW, b"\xff\x00" * 99, b"\n\t")
)


@given(st.lists(st.tuples(PIECES, st.integers(1, 9)), max_size=12))
def test_a_text_without_encoded_windows_is_estimated_at_once_as_it_would_be_in_windows(pieces: list[tuple[bytes, int]]) -> None:
    raw = b"".join(piece * times for piece, times in pieces)[: usage.WINDOW * usage.MAX_WINDOWS]
    windows = [raw[start : start + usage.WINDOW] for start in range(0, len(raw), usage.WINDOW)]
    exact = sum(usage._window_tokens(window) for window in windows)
    assert abs(usage.estimate_tokens(raw) - (max(1, exact) if raw else 0)) <= 0.51


@given(
    st.lists(
        st.sampled_from([b"hello world ", b'{"a": 1}\n', "é".encode(), "漢字".encode(), "😀".encode(), b"QUJD" * 400, b"\x00\xff"]),
        max_size=40,
    )
)
def test_a_quick_estimate_is_the_same_as_a_slow_one(pieces: list[bytes]) -> None:
    raw = b"".join(pieces)
    windows = [raw[start : start + usage.WINDOW] for start in range(0, len(raw), usage.WINDOW)]
    assert usage._holds_encoded(raw) == any(map(usage._is_encoded, windows))
    classes = raw.translate(usage.CLASSES)
    assert usage._plain_tokens(raw) == sum(classes.count(name.encode()) * weight for name, weight in usage.TOKENS_PER_BYTE.items())


def test_the_first_classes_are_those_of_ascii() -> None:
    ascii_classes = set(usage.CLASSES[:128].decode()) - {"x"}
    assert set(list(usage.TOKENS_PER_BYTE)[: usage.IN_ASCII]) == ascii_classes
