"""The canonical conversation: what every wire format is parsed into and rendered from.

Pure values: no HTTP, no row ids, no clock. A format that cannot say something names it (`Rendered.dropped`) or
refuses it; nothing is lost in silence. Opaque things that must be echoed to whoever minted them (Anthropic
signatures, encrypted reasoning) are `Opaque` values that carry their origin and are never opened here.

Streamed and whole answers are one thing: `fold(events)` is the response, `unfold(response)` the events.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field
from enum import StrEnum
from typing import Any, Literal

from omni_connector.errors import GatewayError
from omni_connector.values import dataclass, quick

Json = dict[str, Any]
Role = Literal["system", "developer", "user", "assistant", "tool"]


# ---------------------------------------------------------------- Opaque things and where they came from


@dataclass(frozen=True, slots=True)
class Origin:
    """Who minted an opaque value. Two origins match when provider families and models do."""

    provider: str
    model: str


@dataclass(frozen=True, slots=True)
class Opaque:
    """A value only its minter can read: `kind` says what it is ("anthropic.signature", "anthropic.redacted",
    "openrouter.detail", …). `origin` None: the client sent it bare, in its own format, so its minter speaks that format.
    """

    kind: str
    value: str
    origin: Origin | None = None


ENVELOPE = "omni1."
"""Marks an opaque value of a foreign origin inside a client's own field (an Anthropic `signature`, …). It is plainly ours,
not an imitation of the vendor's, so a returning one is recognised by its first bytes and unwrapped."""


def seal(opaque: Opaque) -> str:
    """Opaque → text that survives a trip through a client's field for such things: `omni1.` + base64url(JSON)."""
    origin = opaque.origin or Origin("", "")
    raw = json.dumps([opaque.kind, origin.provider, origin.model, opaque.value], separators=(",", ":"), ensure_ascii=True)
    return ENVELOPE + base64.urlsafe_b64encode(raw.encode()).decode().rstrip("=")


def unseal(text: str) -> Opaque | None:
    """The opposite of `seal`. None when the text is not an intact envelope of ours."""
    if not text.startswith(ENVELOPE):
        return None
    body = text[len(ENVELOPE) :]
    try:
        fields = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)).decode())
    except (ValueError, binascii.Error, RecursionError):
        return None
    if not (isinstance(fields, list) and len(fields) == 4 and all(isinstance(f, str) for f in fields)):
        return None
    kind, provider, model, value = fields
    return Opaque(kind, value, Origin(provider, model))


# ---------------------------------------------------------------- Parts of a message


@dataclass(frozen=True, slots=True)
class TextPart:
    text: str
    cache: Json | None = None
    """A prompt-cache marker, in Anthropic's words: {"type": "ephemeral", "ttl": "5m"}."""
    citations: tuple[Json, ...] = ()
    extra: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MediaPart:
    """An image, a document or a sound: exactly one of `data` (base64, no prefix), `url`, `file_id`, `text` is set."""

    kind: Literal["image", "document", "audio"]
    media_type: str = ""
    data: str | None = None
    url: str | None = None
    file_id: str | None = None
    text: str | None = None
    name: str | None = None
    detail: str | None = None
    cache: Json | None = None
    extra: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReasoningPart:
    """What the model thought. `opaque` is the minter's proof or cipher text; text may be empty (redacted, encrypted)."""

    text: str
    opaque: tuple[Opaque, ...] = ()
    extra: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ToolCallPart:
    """`arguments` is JSON text for a function, free text for a custom tool: never re-serialised on the way."""

    id: str
    name: str
    arguments: str
    custom: bool = False
    opaque: tuple[Opaque, ...] = ()
    cache: Json | None = None
    extra: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ToolResultPart:
    call_id: str
    parts: tuple[Part, ...]
    is_error: bool = False
    name: str | None = None
    cache: Json | None = None
    extra: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RefusalPart:
    text: str
    extra: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ForeignPart:
    """A block only one wire format knows (server tools, containers, …), kept whole for that format."""

    wire: str
    value: Json


Part = TextPart | MediaPart | ReasoningPart | ToolCallPart | ToolResultPart | RefusalPart | ForeignPart


@dataclass(frozen=True, slots=True)
class Message:
    role: Role
    parts: tuple[Part, ...]
    name: str | None = None
    extra: Json = field(default_factory=dict)


# ---------------------------------------------------------------- The request


@dataclass(frozen=True, slots=True)
class Tool:
    """kind "function": `schema` is its JSON schema. "custom": free-text tool, `format` its grammar. "foreign": `raw`
    is a provider-run tool of the wire format `wire`, kept whole."""

    kind: Literal["function", "custom", "foreign"]
    name: str
    description: str | None = None
    schema: Json | None = None
    strict: bool | None = None
    format: Json | None = None
    cache: Json | None = None
    wire: str = ""
    raw: Json = field(default_factory=dict)
    extra: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ToolChoice:
    mode: Literal["auto", "none", "required", "named"] = "auto"
    name: str | None = None
    allowed: tuple[str, ...] = ()
    raw: Json | None = None


@dataclass(frozen=True, slots=True)
class OutputFormat:
    """kind "json_schema": `schema` with `name`, `strict`. "json_object": any JSON. "text": said explicitly."""

    kind: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    schema: Json | None = None
    strict: bool | None = None
    description: str | None = None


EFFORT_BUDGET: Mapping[str, int] = {"none": 0, "minimal": 512, "low": 1024, "medium": 8192, "high": 24576, "xhigh": 32768, "max": 128000}
"""Level of thinking → tokens, for formats that count in tokens. A convention of gateways, not of a vendor."""
LEVELS = tuple(EFFORT_BUDGET)


def effort_of(budget: int) -> str:
    """Tokens → the lowest level that reaches them; above "xhigh": "max"."""
    return next((level for level, tokens in EFFORT_BUDGET.items() if budget <= tokens), "max")


@dataclass(frozen=True, slots=True)
class Thinking:
    """How much to reason. `effort`: one of LEVELS. `budget`: tokens. `enabled` False: off.
    `adaptive`: the model decides. `show`: whether the caller wants to read it ("summarized", "omitted", …)."""

    enabled: bool | None = None
    effort: str | None = None
    budget: int | None = None
    adaptive: bool = False
    show: str | None = None


@dataclass(frozen=True, slots=True)
class Sampling:
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: Json | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    n: int | None = None


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One request, in nobody's dialect. `wire` names the format it came in; `extra` holds that format's unknown
    top-level fields, which ride along to the same format and are named as dropped for another."""

    wire: str
    model: str
    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tools: bool | None = None
    output: OutputFormat | None = None
    thinking: Thinking | None = None
    sampling: Sampling = field(default_factory=Sampling)
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    stream: bool = False
    include_usage: bool = False
    user: str | None = None
    verbosity: str | None = None
    service_tier: str | None = None
    cache_key: str | None = None
    metadata: Json | None = None
    extra: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rendered:
    """A request body for a target, and the names of what the target cannot express ("logit_bias", …)."""

    body: Json
    dropped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Target:
    """What a request is rendered for: `origin` decides which opaque values may go along, `features` are the words of
    the provider row and model profile that change how something is said (see providers/)."""

    origin: Origin
    features: frozenset[str] = frozenset()
    max_output: int | None = None
    """Largest answer the model can give, where known; a format that demands max_tokens uses it as the default."""
    project: str = ""
    """The provider's project that the account's calls belong to, for formats that name one in the body (Code Assist)."""


# ---------------------------------------------------------------- Usage


@quick(frozen=True, slots=True)
class Usage:
    """Five counts that never overlap except as said: `input` excludes both cache counts; `output` includes
    `reasoning`. Sources disagree (OpenAI counts cached inside input, Anthropic outside), so each wire format converts.
    None: the provider did not say. `raw` is its own block, untouched."""

    input: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    output: int | None = None
    reasoning: int | None = None
    raw: Json = field(default_factory=dict)
    cache_write_1h: int | None = None
    """The part of `cache_write` that is kept for an hour and costs more (Anthropic). Counted inside it."""
    web_searches: int | None = None
    """Searches the provider ran and bills one by one."""
    tier: str | None = None
    """The class of service that the answer names, in the provider's word ("default", "flex", "priority"): it may change the price."""

    @property
    def prompt(self) -> int:
        """All tokens read: fresh, from cache, into cache."""
        return (self.input or 0) + (self.cache_read or 0) + (self.cache_write or 0)

    @property
    def total(self) -> int:
        return self.prompt + (self.output or 0)

    def merged(self, later: Usage) -> Usage:
        """Counts in a stream are cumulative: what came later wins, what it does not mention stays."""
        # Written out: providers that tell the usage with every chunk make this one of the busiest places.
        return Usage(
            self.input if later.input is None else later.input,
            self.cache_read if later.cache_read is None else later.cache_read,
            self.cache_write if later.cache_write is None else later.cache_write,
            self.output if later.output is None else later.output,
            self.reasoning if later.reasoning is None else later.reasoning,
            {**self.raw, **later.raw},
            self.cache_write_1h if later.cache_write_1h is None else later.cache_write_1h,
            self.web_searches if later.web_searches is None else later.web_searches,
            self.tier if later.tier is None else later.tier,
        )


# ---------------------------------------------------------------- Events of an answer


class Finish(StrEnum):
    """Why the answer ended."""

    STOP = "stop"
    STOP_SEQUENCE = "stop_sequence"
    LENGTH = "length"
    CONTEXT = "context"
    TOOL_CALLS = "tool_calls"
    FILTER = "filter"
    REFUSAL = "refusal"
    PAUSE = "pause"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Started:
    """First event of every answer. `created` is Unix seconds, 0 when the format does not say."""

    id: str
    model: str
    created: int = 0
    usage: Usage | None = None
    extra: Json = field(default_factory=dict)


PartKind = Literal["text", "reasoning", "tool_call", "refusal", "foreign"]


@dataclass(frozen=True, slots=True)
class PartStart:
    """Opens part `index` (counted over the whole answer, all choices). Tool calls carry id and name; a foreign part
    carries its whole block in `value` and its wire format in `name`. For the other kinds `value` is the part's `extra`."""

    index: int
    kind: PartKind
    id: str = ""
    name: str = ""
    custom: bool = False
    choice: int = 0
    value: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Delta:
    """More text of an open part: words, thoughts, refusal, or a fragment of a tool call's arguments."""

    index: int
    text: str


@dataclass(frozen=True, slots=True)
class OpaqueDelta:
    """An opaque value that belongs to an open reasoning or tool-call part."""

    index: int
    opaque: Opaque


@dataclass(frozen=True, slots=True)
class Annotation:
    """A citation on an open text part, in the words of `wire`."""

    index: int
    wire: str
    value: Json


@dataclass(frozen=True, slots=True)
class PartEnd:
    index: int


@dataclass(frozen=True, slots=True)
class UsageSeen:
    usage: Usage


@dataclass(frozen=True, slots=True)
class Finished:
    """One choice is complete. `raw` is the provider's own word for it."""

    reason: Finish
    choice: int = 0
    stop_sequence: str | None = None
    raw: str | None = None
    extra: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failed:
    """The provider reported an error inside the answer. Nothing but `Ended` may follow."""

    error: GatewayError


@dataclass(frozen=True, slots=True)
class Ended:
    """The format's terminal event was seen ([DONE], message_stop). A stream that closes without it was cut."""


Event = Started | PartStart | Delta | OpaqueDelta | Annotation | PartEnd | UsageSeen | Finished | Failed | Ended


# ---------------------------------------------------------------- The whole answer


@dataclass(frozen=True, slots=True)
class Choice:
    parts: tuple[Part, ...]
    finish: Finish
    stop_sequence: str | None = None
    raw_finish: str | None = None
    extra: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ChatResponse:
    id: str
    model: str
    created: int
    choices: tuple[Choice, ...]
    usage: Usage | None = None
    extra: Json = field(default_factory=dict)


class Fold:
    """Accumulates events into the response they describe. `error` is set when the answer failed inside."""

    def __init__(self) -> None:
        self.started: Started | None = None
        self.usage: Usage | None = None
        self.error: GatewayError | None = None
        self.ended = False
        self._open: dict[int, tuple[PartStart, list[str], list[Opaque], list[Json]]] = {}
        self._finished: dict[int, Finished] = {}

    def feed(self, event: Event) -> None:
        match event:
            case Started():
                self.started = event
                if event.usage is not None:
                    self._use(event.usage)
            case PartStart():
                self._open[event.index] = (event, [], [], [])
            case Delta(index, text):
                self._open[index][1].append(text)
            case OpaqueDelta(index, opaque):
                self._open[index][2].append(opaque)
            case Annotation(index, _, value):
                self._open[index][3].append(value)
            case UsageSeen(usage):
                self._use(usage)
            case Finished():
                self._finished[event.choice] = event
            case Failed(error):
                self.error = error
            case Ended():
                self.ended = True
            case PartEnd():
                pass

    def _use(self, usage: Usage) -> None:
        self.usage = usage if self.usage is None else self.usage.merged(usage)

    def response(self) -> ChatResponse:
        started = self.started or Started("", "")
        parts: dict[int, list[Part]] = {choice: [] for choice in self._finished}
        for start, texts, opaques, notes in self._open.values():
            parts.setdefault(start.choice, []).append(_part(start, "".join(texts), tuple(opaques), tuple(notes)))
        choices = []
        for number in sorted(parts):
            done = self._finished.get(number, Finished(Finish.OTHER, number))
            choices.append(Choice(tuple(parts[number]), done.reason, done.stop_sequence, done.raw, done.extra))
        return ChatResponse(started.id, started.model, started.created, tuple(choices), self.usage, started.extra)


def _part(start: PartStart, text: str, opaque: tuple[Opaque, ...], notes: tuple[Json, ...]) -> Part:
    match start.kind:
        case "text":
            return TextPart(text, citations=notes, extra=start.value)
        case "reasoning":
            return ReasoningPart(text, opaque, start.value)
        case "tool_call":
            return ToolCallPart(start.id, start.name, text, start.custom, opaque, extra=start.value)
        case "refusal":
            return RefusalPart(text, start.value)
        case "foreign":
            return ForeignPart(start.name, start.value)


def fold(events: Iterable[Event]) -> ChatResponse:
    """Events → response. Raises the error of a `Failed` event."""
    whole = Fold()
    for event in events:
        whole.feed(event)
    if whole.error is not None:
        raise whole.error
    return whole.response()


def unfold(response: ChatResponse) -> Iterator[Event]:
    """Response → events: one delta a part, usage before the end. `fold(unfold(r)) == r` (for parts an answer can hold)."""
    yield Started(response.id, response.model, response.created, None, response.extra)
    index = 0
    for number, choice in enumerate(response.choices):
        for part in choice.parts:
            yield from _unfold_part(part, index, number)
            index += 1
    if response.usage is not None:
        yield UsageSeen(response.usage)
    for number, choice in enumerate(response.choices):
        yield Finished(choice.finish, number, choice.stop_sequence, choice.raw_finish, choice.extra)
    yield Ended()


def _unfold_part(part: Part, index: int, choice: int) -> Iterator[Event]:
    match part:
        case TextPart():
            yield PartStart(index, "text", choice=choice, value=part.extra)
            if part.text:
                yield Delta(index, part.text)
            for note in part.citations:
                yield Annotation(index, "", note)
        case ReasoningPart():
            yield PartStart(index, "reasoning", choice=choice, value=part.extra)
            if part.text:
                yield Delta(index, part.text)
            for opaque in part.opaque:
                yield OpaqueDelta(index, opaque)
        case ToolCallPart():
            yield PartStart(index, "tool_call", part.id, part.name, part.custom, choice, part.extra)
            if part.arguments:
                yield Delta(index, part.arguments)
            for opaque in part.opaque:
                yield OpaqueDelta(index, opaque)
        case RefusalPart():
            yield PartStart(index, "refusal", choice=choice, value=part.extra)
            if part.text:
                yield Delta(index, part.text)
        case ForeignPart():
            yield PartStart(index, "foreign", name=part.wire, choice=choice, value=part.value)
        case MediaPart() | ToolResultPart():
            raise TypeError(f"an answer cannot hold a {type(part).__name__}")
    yield PartEnd(index)


# ---------------------------------------------------------------- What a request needs from whoever serves it


def needs(request: ChatRequest) -> Mapping[str, str]:
    """Capability → the field that asks for it ("vision" → "messages[2].content[0]"), for the plan's filter."""
    wanted: dict[str, str] = {}
    if request.tools:
        wanted["tools"] = "tools"
    if request.output is not None and request.output.kind != "text":
        wanted["json"] = "response_format"
    for number, message in enumerate(request.messages):
        for part in message.parts:
            inner = part.parts if isinstance(part, ToolResultPart) else (part,)
            for piece in inner:
                if isinstance(piece, MediaPart):
                    wanted.setdefault(
                        {"image": "vision", "document": "documents", "audio": "audio"}[piece.kind],
                        f"messages[{number}]",
                    )
    return wanted
