"""Traces: one span a request, one for each attempt, in the words of the GenAI conventions and without a word of the client's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiohttp
import pytest

from omni_connector.chat import Usage
from omni_connector.errors import GatewayError, Kind
from omni_connector.record import Attempt, Record
from omni_connector.settings import Settings
from omni_connector.tracing import MISSING, Tracing, parent
from omni_connector.upstream import UpstreamRequest
from tests.serving import Rig, whole

AT = 1_800_000_000_000
CLIENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
REQUEST = UpstreamRequest("POST", "https://api.example.com/v1/chat/completions", {"x-own": "1"})


def record(**more: Any) -> Record:
    made = Record("req_1", AT, "prc_1", "openai-chat", "/v1/chat/completions", "curl", "key_1", "Anna's key")
    made.stream, made.model_requested, made.provider, made.model = True, "auto", "gemini", "gemini-3"
    made.attempts.append(Attempt("slow", "groq", "llama", 429, 31, "account_rate_limited", "slow down, Anna", AT + 5))
    made.attempts.append(Attempt("main", "gemini", "gemini-3", 200, 400, at=AT + 40))
    made.usage, made.usage_source = Usage(10, 4, None, 7, 2), "reported"
    for name, value in more.items():
        setattr(made, name, value)
    made.end(AT + 2600, "ok", 200)
    return made


@pytest.fixture
def tracing() -> tuple[Tracing, Any]:
    sdk = pytest.importorskip("opentelemetry.sdk.trace.export")
    memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter").InMemorySpanExporter()
    tracing = Tracing({})
    tracing.use(sdk.SimpleSpanProcessor(memory))
    return tracing, memory


def test_a_request_and_its_attempts(tracing: tuple[Tracing, Any]) -> None:
    doing, memory = tracing
    doing.settled(record(traceparent=CLIENT))
    first, second, root = memory.get_finished_spans()
    assert f"{root.context.trace_id:032x}" in CLIENT and f"{root.parent.span_id:016x}" in CLIENT
    assert {first.parent.span_id, second.parent.span_id} == {root.context.span_id}
    assert (root.name, root.kind.name, root.start_time, root.end_time) == (
        "POST /v1/chat/completions", "SERVER", AT * 1_000_000, (AT + 2600) * 1_000_000
    )  # fmt: skip
    assert (first.name, first.status.status_code.name, first.attributes["error.type"]) == ("chat llama", "ERROR", "account_rate_limited")
    assert (first.start_time, first.end_time) == ((AT + 5) * 1_000_000, (AT + 36) * 1_000_000)
    assert (second.kind.name, second.start_time, second.end_time) == ("CLIENT", (AT + 40) * 1_000_000, (AT + 2600) * 1_000_000)
    assert dict(second.attributes) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "gcp.gemini",
        "gen_ai.request.model": "gemini-3",
        "gen_ai.request.stream": True,
        "gen_ai.response.model": "gemini-3",
        "gen_ai.usage.input_tokens": 14,
        "gen_ai.usage.output_tokens": 7,
        "gen_ai.usage.cache_read.input_tokens": 4,
        "gen_ai.usage.reasoning.output_tokens": 2,
        "gen_ai.response.time_to_first_chunk": 0.4,
        "http.response.status_code": 200,
        "omni.provider": "gemini",
    }
    assert not [name for name in root.attributes if name.startswith("gen_ai.usage")], "counted once"
    assert "Anna" not in "".join(span.to_json() for span in memory.get_finished_spans())


def test_names_are_those_of_the_conventions() -> None:
    names = pytest.importorskip("opentelemetry.semconv._incubating.attributes.gen_ai_attributes")
    from omni_connector.tracing import OPERATIONS, PROVIDERS, attempt_attributes

    known = {getattr(names, name) for name in dir(names) if name.startswith("GEN_AI_")}
    one = record()
    one.usage = Usage(1, 1, 1, 1, 1)
    used = {name for name, _ in attempt_attributes(one, one.attempts[1], last=True) if name.startswith("gen_ai.")}
    assert used <= known
    assert set(OPERATIONS.values()) <= {value.value for value in names.GenAiOperationNameValues}
    assert set(PROVIDERS.values()) <= {value.value for value in names.GenAiProviderNameValues}


def test_who_asked_not_to_be_traced_is_not(tracing: tuple[Tracing, Any]) -> None:
    doing, memory = tracing
    doing.settled(record(traceparent=CLIENT[:-2] + "00"))
    assert memory.get_finished_spans() == ()
    doing.settled(record())
    assert len({span.context.trace_id for span in memory.get_finished_spans()}) == 1


def test_a_refusal_has_no_attempt_and_is_no_error_of_ours(tracing: tuple[Tracing, Any]) -> None:
    doing, memory = tracing
    refused = Record("req_2", AT, "prc_1", "openai-chat", "/v1/chat/completions", "")
    refused.end(AT, "failed", 404, GatewayError(Kind.MODEL_NOT_FOUND, "the secret plan"))
    doing.settled(refused)
    (root,) = memory.get_finished_spans()
    assert (root.status.status_code.name, root.attributes["error.type"]) == ("UNSET", "model_not_found")
    assert "secret plan" not in root.to_json()


@pytest.mark.parametrize(
    ("header", "good"),
    [
        (CLIENT, True),
        (f" {CLIENT} ", True),
        ("01" + CLIENT[2:] + "-more", True),
        ("ff" + CLIENT[2:], False),
        (CLIENT.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32), False),
        (CLIENT.replace("b7ad6b7169203331", "0" * 16), False),
        (CLIENT.upper(), False),
        ("", False),
        ("00-x-y-01", False),
    ],
)
def test_a_client_s_header(header: str, good: bool) -> None:
    assert (parent(header) is not None) is good


def test_providers_are_told_only_when_the_user_wants_it(tracing: tuple[Tracing, Any]) -> None:
    doing, memory = tracing
    one = record(traceparent=CLIENT)
    assert doing.mark(REQUEST, one) is REQUEST
    doing.follow(Settings(trace_upstream=True))
    told = doing.mark(REQUEST, one).headers
    assert told["x-own"] == "1" and told["traceparent"].startswith(CLIENT[:36]) and told["traceparent"] != CLIENT
    assert doing.mark(REQUEST, one).headers == told, "the second attempt is of the same request"
    doing.settled(one)
    root = memory.get_finished_spans()[-1]
    assert f"{root.context.span_id:016x}" in told["traceparent"], "who was told finds the span"
    assert doing.mark(UpstreamRequest("POST", "demo:x", {}), record()).headers == {}


def test_without_traces_of_ours_the_client_s_goes_through() -> None:
    passing = Tracing({})
    passing.follow(Settings(trace_upstream=True))
    assert passing.mark(REQUEST, record(traceparent=CLIENT)).headers["traceparent"] == CLIENT
    assert passing.mark(REQUEST, record(traceparent="nonsense\r\nx: y")) is REQUEST
    assert not passing.active


def test_a_missing_extra_is_said_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    tracing = Tracing({})
    for _ in range(2):
        tracing.follow(Settings(tracing="otlp"))
    assert [entry.message for entry in caplog.records] == [MISSING]
    assert not tracing.active
    tracing.settled(record())
    tracing.close()


async def test_a_served_request_is_traced_from_the_client_to_the_provider(tmp_path: Path, tracing: tuple[Tracing, Any]) -> None:
    sdk = pytest.importorskip("opentelemetry.sdk.trace.export")
    _, memory = tracing
    answer = {"choices": [{"message": {"role": "assistant", "content": "42 is it"}, "finish_reason": "stop"}]}
    async with Rig(tmp_path, OMNI_TRACE_UPSTREAM="1") as rig, aiohttp.ClientSession(headers=rig.bearer) as web:
        rig.gateway.sight.tracing.use(sdk.SimpleSpanProcessor(memory))
        await rig.account("openai", "one")
        await rig.account("openai", "two")
        rig.upstream.answer(whole({"error": {"message": "busy"}}, 503), whole(answer))
        body = {"model": "test-model", "messages": [{"role": "user", "content": "the secret plan"}]}
        async with web.post(f"{rig.url}/v1/chat/completions", json=body, headers={"traceparent": CLIENT}) as got:
            assert got.status == 200
            await got.read()
        await rig.rows()
    first, second, root = memory.get_finished_spans()
    assert first.start_time >= root.start_time and first.end_time <= second.start_time <= second.end_time <= root.end_time
    told_providers = {seen.headers["traceparent"][3:52] for seen in rig.upstream.seen}
    assert told_providers == {f"{root.context.trace_id:032x}-{root.context.span_id:016x}"}
    told = "".join(span.to_json() for span in (first, second, root))
    assert "secret plan" not in told and "42 is it" not in told and rig.key not in told
