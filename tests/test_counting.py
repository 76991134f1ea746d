"""Whose counter is asked, what it is told, and what becomes of its answer. P-43"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from omni_connector import exact_tokens, providers, usage
from omni_connector.call import Call
from omni_connector.chat import Opaque, Origin, seal
from omni_connector.counting import COUNTERS, FAILED_S, NO_COUNTER_S, WORD, Count, Counter, facing_counter
from omni_connector.errors import GatewayError, Kind
from omni_connector.routing.resolve import Candidate
from omni_connector.snapshot import Account, ClientKey
from omni_connector.upstream import UpstreamRequest

Json = dict[str, Any]
MESSAGES, RESPONSES, GEMINI = "anthropic-messages", "openai-responses", "gemini-generate"
RECORDINGS = Path(os.environ.get("OMNI_RECORDINGS") or Path(__file__).resolve().parents[2] / "shared" / "recordings")
BODIES: Mapping[str, Json] = {
    MESSAGES: {"model": "asked", "messages": [{"role": "user", "content": "Hi"}]},
    RESPONSES: {"model": "asked", "input": "Hi"},
    GEMINI: {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]},
}
ANSWERS: Mapping[str, Json] = {MESSAGES: {"input_tokens": 7}, RESPONSES: {"input_tokens": 7}, GEMINI: {"totalTokens": 7}}
Said = tuple[int, Json] | GatewayError


class Network:
    """What each account's provider says, by label; several answers come one after the other, the last one stays."""

    def __init__(self) -> None:
        self.says: dict[str, list[Said]] = {}
        self.asked: list[UpstreamRequest] = []
        self.waits: list[float] = []
        self.now = 1000.0
        self.takes = 0.0

    async def fetch(self, request: UpstreamRequest, within: float) -> tuple[int, Mapping[str, str], bytes]:
        self.asked.append(request)
        self.waits.append(within)
        self.now += self.takes
        said = self.says[next(label for label in self.says if f"key-{label}" in str(request.headers))]
        answer = said.pop(0) if len(said) > 1 else said[0]
        if isinstance(answer, GatewayError):
            raise answer
        return answer[0], {}, json.dumps(answer[1]).encode()

    @property
    def labels(self) -> list[str]:
        return [next(label for label in self.says if f"key-{label}" in str(request.headers)) for request in self.asked]


@pytest.fixture
def network() -> Network:
    return Network()


@pytest.fixture
def counter(network: Network) -> Counter:
    return Counter(network, dict, clock=lambda: network.now)  # type: ignore[arg-type]


def account(network: Network, label: str, provider: str, *says: Said, **more: Any) -> Candidate:
    network.says[label] = list(says)
    made = Account(f"acc_{label}", provider, label, secret=f"key-{label}", **more)
    return Candidate(providers.complete(made), f"{label}-model")


def call(wire: str, body: Json | bytes, **headers: str) -> tuple[Call, Json]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    made = Call("req_1", wire, "/v1/x", raw, headers, ClientKey("k", "k", "", "", 0), "pytest", 0, model="asked" if wire == GEMINI else "")
    return made, json.loads(raw)


# ---------------------------------------------------------------- Whom


@pytest.mark.parametrize(
    ("provider", "wire", "speaks"),
    [
        ("anthropic", GEMINI, MESSAGES),
        ("gemini", MESSAGES, GEMINI),
        ("openai", RESPONSES, RESPONSES),
        ("openai", MESSAGES, RESPONSES),
        ("openai-responses", GEMINI, RESPONSES),
        ("gemini-cli", MESSAGES, "code-assist"),
        ("antigravity", GEMINI, "code-assist"),
        ("openrouter", MESSAGES, None),
        ("deepseek", MESSAGES, None),
        ("ollama", RESPONSES, None),
        ("demo", MESSAGES, None),
    ],
)
def test_which_accounts_have_a_counter(provider: str, wire: str, speaks: str | None) -> None:
    found = facing_counter(providers.complete(Account("a", provider, "a")), wire)
    assert (found.wire if found else None) == speaks


def test_custom_servers_are_asked_where_their_format_has_one() -> None:
    def speaks(provider: str, **options: Any) -> str | None:
        found = facing_counter(providers.complete(Account("a", provider, "a", base_url="http://h/v1", options=options)), MESSAGES)
        return found.wire if found else None

    assert (speaks("custom-anthropic"), speaks("custom-gemini")) == (MESSAGES, GEMINI)
    assert (speaks("custom-openai"), speaks("custom-responses"), speaks("openai")) == (None, None, None)
    assert speaks("custom-anthropic", features_remove=[WORD]) is None
    assert speaks("custom-responses", features_add=[WORD]) == RESPONSES


async def test_the_first_that_counts_in_the_plan_s_order(network: Network, counter: Counter) -> None:
    plan = [account(network, "r", "openrouter", (500, {})), account(network, "g", "gemini", (200, {"totalTokens": 31}))]
    plan.append(account(network, "a", "anthropic", (200, {"input_tokens": 7})))
    assert await counter.count(*call(MESSAGES, BODIES[MESSAGES]), plan) == Count(31, "reported", "g", "gemini")
    assert network.labels == ["g"]


# ---------------------------------------------------------------- What it is told


@pytest.mark.parametrize(("provider", "speaks"), [("anthropic", MESSAGES), ("openai", RESPONSES), ("gemini", GEMINI)])
@pytest.mark.parametrize("wire", COUNTERS)
async def test_every_client_format_over_every_counter(network: Network, counter: Counter, wire: str, provider: str, speaks: str) -> None:
    plan = [account(network, "x", provider, (200, ANSWERS[speaks]))]
    assert await counter.count(*call(wire, BODIES[wire], **{"anthropic-beta": "b"}), plan) == Count(7, "reported", "x", provider)
    (sent,) = network.asked
    ends = {
        MESSAGES: "anthropic.com/v1/messages/count_tokens",
        RESPONSES: "openai.com/v1/responses/input_tokens",
        GEMINI: "/v1beta/models/x-model:countTokens",
    }
    assert sent.url.endswith(ends[speaks])
    assert sent.method == "POST" and sent.headers["content-type"] == "application/json"
    assert ("anthropic-beta" in sent.headers) == (wire == speaks)
    body = json.loads(sent.body)
    if wire == speaks:
        assert body == {**BODIES[wire], **({"model": "x-model"} if wire != GEMINI else {})}
    else:
        assert "Hi" in sent.body.decode() and "asked" not in sent.body.decode()
        assert body.get("model") == (None if speaks == GEMINI else "x-model")
        assert not {"stream", "max_tokens", "store", "include", "metadata"} & set(body)


@pytest.mark.parametrize("wire", COUNTERS)
async def test_every_client_format_over_code_assist(network: Network, counter: Counter, wire: str) -> None:  # P-43
    plan = [account(network, "x", "gemini-cli", (200, {"totalTokens": 7}), options={"project": "p-1"})]
    assert await counter.count(*call(wire, BODIES[wire]), plan) == Count(7, "reported", "x", "gemini-cli")
    (sent,) = network.asked
    assert sent.url == "https://cloudcode-pa.googleapis.com/v1internal:countTokens"
    assert json.loads(sent.body)["request"]["model"] == "models/x-model"


@pytest.mark.parametrize(
    "path", sorted(RECORDINGS.glob("count-tokens--*.json")) if RECORDINGS.is_dir() else [], ids=lambda path: path.stem[:60]
)
async def test_recorded_counters(network: Network, counter: Counter, path: Path) -> None:
    recorded = json.loads(path.read_text())
    gemini = ":countTokens" in recorded["request"]["path"]
    response = recorded["response"]
    plan = [account(network, "x", "gemini" if gemini else "openai", (response["status"], response["body"]))]
    plan = [replace(plan[0], model=recorded["model"])]
    asking, body = call(GEMINI if gemini else RESPONSES, recorded["request"]["body"])
    count = await counter.count(asking, body, plan)
    assert json.loads(network.asked[0].body) == body
    if response["status"] == 200:
        assert count == Count(
            response["body"].get("totalTokens", response["body"].get("input_tokens")), "reported", "x", plan[0].account.provider
        )
    else:
        assert count.source == "estimated"


async def test_what_we_sealed_is_opened_first(network: Network, counter: Counter) -> None:
    sealed = seal(Opaque("gemini.signature", "c2ln", Origin("gemini", "m")))
    thought = {"type": "thinking", "thinking": "Hm", "signature": sealed}
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": [thought, {"type": "text", "text": "Ho"}]}]
    body = {"model": "asked", "messages": [*messages, {"role": "user", "content": "So?"}]}
    plan = [account(network, "x", "anthropic", (200, {"input_tokens": 7}))]
    assert (await counter.count(*call(MESSAGES, body), plan)).tokens == 7
    assert sealed not in network.asked[0].body.decode()


# ---------------------------------------------------------------- What becomes of the answer


async def test_without_a_counter_it_is_estimated(network: Network, counter: Counter) -> None:
    asking, body = call(MESSAGES, BODIES[MESSAGES])
    estimate = Count(usage.estimate_tokens(asking.body), "estimated")
    assert await counter.count(asking, body, []) == estimate
    assert await counter.count(asking, body, [account(network, "r", "openrouter", (500, {}))]) == estimate
    assert await counter.count(asking, body, [replace(account(network, "x", "anthropic", (500, {})), model="")]) == estimate
    # Claude Code counts tools beside an empty list of messages, which the vendor's counter refuses.
    tools, body = call(MESSAGES, {"model": "asked", "messages": [], "tools": [{"name": "f", "input_schema": {}}]})
    count = await counter.count(tools, body, [account(network, "x", "anthropic", (500, {}))])
    assert count == Count(usage.estimate_tokens(tools.body), "estimated")
    assert network.asked == []


async def test_with_the_model_s_own_vocabulary_it_is_counted(
    network: Network, counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exact_tokens, "installed", lambda: True)
    monkeypatch.setattr(exact_tokens, "count", lambda model, text: len(text))
    counter.likely = lambda model, tokens: tokens * 2 if model == "claude-opus-5" else tokens
    asking, body = call(MESSAGES, BODIES[MESSAGES])
    gpt = [replace(account(network, "r", "openrouter", (500, {})), model="openai/gpt-5")]
    assert await counter.count(asking, body, gpt) == Count(2 + exact_tokens.MESSAGE_FRAME + exact_tokens.ANSWER_FRAME, "counted")
    claude = [replace(account(network, "r", "openrouter", (500, {})), model="claude-opus-5")]
    assert await counter.count(asking, body, claude) == Count(2 * usage.estimate_tokens(asking.body), "estimated")
    wrong, body = call(MESSAGES, {"model": "asked", "messages": "Hi"})
    assert (await counter.count(wrong, body, gpt)).source == "estimated", "nobody refuses what nobody is asked"
    assert network.asked == []


async def test_a_caller_s_mistake_is_told_in_the_provider_s_words(network: Network, counter: Counter) -> None:
    said = {"type": "error", "error": {"type": "invalid_request_error", "message": "messages.0: bad block, key-x-and-more"}}
    plan = [account(network, "x", "anthropic", (400, said)), account(network, "y", "anthropic", (200, {"input_tokens": 7}))]
    plan[0] = replace(plan[0], account=replace(plan[0].account, secret="key-x-and-more"))
    with pytest.raises(GatewayError) as caught:
        await counter.count(*call(MESSAGES, BODIES[MESSAGES]), plan)
    assert (caught.value.kind, caught.value.status) == (Kind.BAD_REQUEST, 400)
    assert "bad block" in caught.value.message and "key-x" not in caught.value.message
    with pytest.raises(GatewayError) as local:
        await counter.count(
            *call(MESSAGES, {"model": "m", "messages": [{"role": "owl", "content": ""}]}), [account(network, "g", "gemini")]
        )
    assert local.value.param == "messages.0.role"


@pytest.mark.parametrize(
    ("failure", "seconds"),
    [
        ((404, {"error": {"message": "no such route"}}), NO_COUNTER_S),
        ((405, {}), NO_COUNTER_S),
        ((200, {"unlike": "anything"}), NO_COUNTER_S),
        ((401, {"error": {"type": "authentication_error", "message": "invalid x-api-key"}}), FAILED_S),
        ((429, {"error": {"type": "rate_limit_error", "message": "slow down"}}), FAILED_S),
        ((529, {}), FAILED_S),
        (GatewayError(Kind.UPSTREAM_TIMEOUT, "too slow"), FAILED_S),
    ],
)
async def test_who_cannot_count_is_left_alone_for_a_while(network: Network, counter: Counter, failure: Said, seconds: float) -> None:
    first = account(network, "x", "custom-anthropic", failure, (200, {"input_tokens": 5}), base_url="http://h/v1")
    plan = [first, account(network, "y", "anthropic", (200, {"input_tokens": 7}))]
    asking, body = call(MESSAGES, BODIES[MESSAGES])
    assert (await counter.count(asking, body, plan)).account == "y"
    network.now += seconds - 1
    assert (await counter.count(asking, body, plan)).account == "y"
    assert (await counter.count(asking, body, [replace(first, model="another"), *plan])).account == "x"
    network.now += 2
    assert (await counter.count(asking, body, plan)).account == "x"
    assert network.labels == ["x", "y", "y", "x", "x"]


async def test_two_are_tried_and_one_time_is_shared(network: Network, counter: Counter) -> None:
    plan = [account(network, label, "anthropic", (500, {})) for label in "abc"]
    network.takes = 2.0
    assert (await counter.count(*call(MESSAGES, BODIES[MESSAGES]), plan)).source == "estimated"
    assert (network.labels, network.waits) == (["a", "b"], [5.0, 3.0])
    network.takes = 6.0
    plan = [account(network, label, "anthropic", (500, {})) for label in "de"]
    assert (await counter.count(*call(MESSAGES, BODIES[MESSAGES]), plan)).source == "estimated"
    assert network.labels == ["a", "b", "d"]


async def test_what_a_counter_s_format_cannot_say_is_estimated(network: Network, counter: Counter) -> None:
    picture = {"type": "image", "source": {"type": "url", "url": "https://a.test/a.png"}}
    body = {"model": "asked", "messages": [{"role": "user", "content": [picture]}]}
    plan = [account(network, "g", "gemini", (200, {"totalTokens": 7}))]
    assert (await counter.count(*call(MESSAGES, body), plan)).source == "estimated"
    assert network.asked == []


async def test_a_burst_is_answered_at_once(network: Network, counter: Counter) -> None:
    plan = [account(network, "x", "anthropic", (200, {"input_tokens": 7}))]
    counts = await asyncio.gather(*(counter.count(*call(MESSAGES, BODIES[MESSAGES]), plan) for _ in range(26)))
    assert {count.tokens for count in counts} == {7}
