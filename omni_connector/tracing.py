"""Traces of requests for OpenTelemetry: one span a request, one below it for each attempt. Needs the extra `otel`.

Spans are made when a request is settled, from its record, so that a request that nobody traces costs nothing and one that is traced
waits for nothing. Attributes follow the semantic conventions for generative AI (`gen_ai.*`, in development:
https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/). No span holds a word of a prompt, of an answer or of an error message.
"""

from __future__ import annotations

import logging
import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from omni_connector import __version__
from omni_connector.record import Attempt, Record
from omni_connector.settings import Settings
from omni_connector.upstream import UpstreamRequest
from omni_connector.values import dataclass

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
    from opentelemetry.trace import Tracer as SdkTracer

log = logging.getLogger("omni.tracing")

OPERATIONS: Mapping[str, str] = {
    "openai-chat": "chat",
    "openai-responses": "chat",
    "anthropic-messages": "chat",
    "gemini-generate": "generate_content",
    "openai-completions": "text_completion",
    "openai-embeddings": "embeddings",
    "gemini-embeddings": "embeddings",
}
"""Wire format → `gen_ai.operation.name`; what is not here goes by its own name."""
PROVIDERS: Mapping[str, str] = {
    "gemini": "gcp.gemini",
    "gemini-cli": "gcp.gemini",
    "antigravity": "gcp.gemini",
    "claude-code": "anthropic",
    "openai-responses": "openai",
    "codex": "openai",
    "chatgpt": "openai",
    "mistral": "mistral_ai",
    "xai": "x_ai",
}
"""Provider → the conventions' name for it (`gen_ai.provider.name`), where that is another."""
MISSING = "Traces need the extra otel: pip install 'omni-connector[otel]' in omni-connector's environment."
FLUSH_MS = 3000
_PARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")


@dataclass(frozen=True, slots=True)
class Parent:
    """What a `traceparent` header says (https://www.w3.org/TR/trace-context/)."""

    trace: str
    span: str
    sampled: bool

    def __str__(self) -> str:
        return f"00-{self.trace}-{self.span}-{'01' if self.sampled else '00'}"


def parent(header: str) -> Parent | None:
    """None for no header, and for one that cannot be read: then a trace begins here."""
    found = _PARENT.fullmatch(header.strip())
    return Parent(found[1], found[2], bool(int(found[3], 16) & 1)) if found else None


class Tracing:
    """Of one process. `env` has the exporter's own variables (OTEL_EXPORTER_OTLP_ENDPOINT, …_HEADERS, OTEL_SERVICE_NAME)."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self._spans: Spans | None = None
        self._upstream = False
        self._wanted = "off"

    @property
    def active(self) -> bool:
        return self._spans is not None

    def follow(self, settings: Settings) -> None:
        """Begin or end as the settings want it. Without the extra, a line in the log says what is missing."""
        self._upstream = settings.trace_upstream
        if settings.tracing == self._wanted:
            return
        self._wanted = settings.tracing
        if settings.tracing == "off":
            self.close()
            return
        try:
            self._spans = Spans(exporting(self._env), self._env)
        except ImportError:
            log.warning("%s", MISSING)

    def use(self, processor: SpanProcessor) -> None:
        """Send spans to this processor instead of over OTLP."""
        self._spans = Spans(processor, self._env)

    def close(self) -> None:
        """What is still to be sent is sent, for FLUSH_MS at most."""
        spans, self._spans = self._spans, None
        if spans is not None:
            spans.close()

    def mark(self, request: UpstreamRequest, record: Record) -> UpstreamRequest:
        """The request to a provider, with the trace it belongs to when the user wants providers to know."""
        if not self._upstream or not request.url.startswith("http"):
            return request
        told = parent(record.traceparent)
        if self._spans is not None:
            sampled = told is None or told.sampled
            trace = told.trace if told else f"{random.getrandbits(128) or 1:032x}"
            record.span = record.span or str(Parent(trace, f"{random.getrandbits(64) or 1:016x}", sampled))
        header = record.span or (str(told) if told else "")
        return replace(request, headers={**request.headers, "traceparent": header}) if header else request

    def settled(self, record: Record) -> None:
        """Hand over the spans of a request that is over."""
        if self._spans is not None:
            try:
                self._spans.tell(record)
            except Exception:
                log.exception("request %s could not be traced", record.id)


def exporting(env: Mapping[str, str]) -> SpanProcessor:
    """Over OTLP, in the background. Raises ImportError without the extra."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    base = env.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").rstrip("/")
    address = env.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or (f"{base}/v1/traces" if base else None)
    given = env.get("OTEL_EXPORTER_OTLP_TRACES_HEADERS") or env.get("OTEL_EXPORTER_OTLP_HEADERS", "")
    headers = {name.strip(): value.strip() for name, _, value in (pair.partition("=") for pair in given.split(",")) if value}
    return BatchSpanProcessor(OTLPSpanExporter(endpoint=address, headers=headers or None, timeout=5))


class _Ids:
    """The library's `IdGenerator`: random ones, but for a span that a provider was told of already."""

    def __init__(self) -> None:
        self.next: Parent | None = None

    def generate_trace_id(self) -> int:
        return int(self.next.trace, 16) if self.next else random.getrandbits(128) or 1

    def generate_span_id(self) -> int:
        told, self.next = self.next, None
        return int(told.span, 16) if told else random.getrandbits(64) or 1

    def is_trace_id_random(self) -> bool:
        return True


class Spans:
    """The door to the library. Raises ImportError without the extra."""

    def __init__(self, processor: SpanProcessor, env: Mapping[str, str]) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider

        self._ids = _Ids()
        ids: Any = self._ids  # not derived from the library's class, which may not be there
        resource = Resource.create({"service.name": env.get("OTEL_SERVICE_NAME") or "omni-connector", "service.version": __version__})
        self._provider: TracerProvider = TracerProvider(id_generator=ids, resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer: SdkTracer = self._provider.get_tracer("omni_connector", __version__)

    def close(self) -> None:
        self._provider.force_flush(FLUSH_MS)
        self._provider.shutdown()

    def tell(self, record: Record) -> None:
        """Root and children of one settled request."""
        from opentelemetry.context import Context
        from opentelemetry.trace import SpanKind, set_span_in_context

        ended = record.settled_at or record.started_at
        self._ids.next = parent(record.span)
        root = self._tracer.start_span(
            f"POST {record.path}",
            _above(record),
            SpanKind.SERVER,
            dict(request_attributes(record)),
            start_time=record.started_at * 1_000_000,
        )
        self._ids.next = None  # a span that is not sampled takes no id
        below = set_span_in_context(root, Context())
        for place, attempt in enumerate(record.attempts):
            last = place == len(record.attempts) - 1
            began = min(max(attempt.at, record.started_at), ended)
            until = ended if last and attempt.kind is None else min(began + attempt.ms, ended)
            name = f"{OPERATIONS.get(record.wire, record.wire)} {attempt.model}"
            attributes = dict(attempt_attributes(record, attempt, last=last))
            span = self._tracer.start_span(name, below, SpanKind.CLIENT, attributes, start_time=began * 1_000_000)
            _fail(span, attempt.kind)
            span.end(until * 1_000_000)
        _fail(root, None if record.error is None or record.error.status < 500 else str(record.error.kind))
        root.end(ended * 1_000_000)


def _above(record: Record) -> Context:
    """The client's span, where it told of one."""
    from opentelemetry.context import Context
    from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

    told = parent(record.traceparent)
    if told is None:
        return Context()
    flags = TraceFlags(TraceFlags.SAMPLED if told.sampled else TraceFlags.DEFAULT)
    above = SpanContext(int(told.trace, 16), int(told.span, 16), is_remote=True, trace_flags=flags)
    return set_span_in_context(NonRecordingSpan(above), Context())


def _fail(span: Any, kind: str | None) -> None:
    from opentelemetry.trace import Status, StatusCode

    if kind is not None:
        span.set_status(Status(StatusCode.ERROR))


def request_attributes(record: Record) -> Iterator[tuple[str, Any]]:
    """Of a whole request. Tokens stand at its attempts alone, so that nobody counts them twice."""
    facts = {
        "http.request.method": "POST",
        "url.path": record.path,
        "http.response.status_code": record.http_status,
        "error.type": None if record.error is None else str(record.error.kind),
        "user_agent.original": record.client or None,
        "omni.request.id": record.id,
        "omni.protocol": record.wire,
        "omni.outcome": record.outcome,
        "omni.flag": record.flag,
        "omni.model_requested": record.model_requested[:255] or None,
        "omni.attempts": len(record.attempts),
        "omni.dropped": len(record.dropped) or None,
        "omni.cost_dollars": None if record.cost is None else float(record.cost),
    }
    yield from ((name, value) for name, value in facts.items() if value is not None)


def attempt_attributes(record: Record, attempt: Attempt, *, last: bool) -> Iterator[tuple[str, Any]]:
    """Of one try at an account; what was used stands at the one that answered."""
    facts: dict[str, Any] = {
        "gen_ai.operation.name": OPERATIONS.get(record.wire, record.wire),
        "gen_ai.provider.name": PROVIDERS.get(attempt.provider, attempt.provider),
        "gen_ai.request.model": attempt.model,
        "gen_ai.request.stream": record.stream or None,
        "http.response.status_code": attempt.status,
        "error.type": attempt.kind,
        "omni.provider": attempt.provider,
    }
    if last and attempt.kind is None and record.usage_source != "none":
        usage = record.usage
        facts |= {
            "gen_ai.response.model": record.model,
            "gen_ai.usage.input_tokens": usage.prompt,  # the conventions count cached ones in
            "gen_ai.usage.output_tokens": usage.output,
            "gen_ai.usage.cache_read.input_tokens": usage.cache_read,
            "gen_ai.usage.cache_creation.input_tokens": usage.cache_write,
            "gen_ai.usage.reasoning.output_tokens": usage.reasoning,
            "gen_ai.response.time_to_first_chunk": attempt.ms / 1000 if record.stream else None,
        }
    yield from ((name, value) for name, value in facts.items() if value is not None)
