"""What `omni-connector verify` asks of an account, in each client format, and what a good answer is.

The scenarios are data, and their checks pure: an answer in, "" or the reason out. Requests are written and answers are read by the
codecs of `wire/`, as a client of that format would; the money is bounded by the budget of the key that is used, in the server.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, Literal

from omni_connector.chat import (
    ChatRequest,
    ChatResponse,
    Finish,
    Fold,
    MediaPart,
    Message,
    Origin,
    OutputFormat,
    Target,
    TextPart,
    Tool,
    ToolCallPart,
    ToolChoice,
    ToolResultPart,
)
from omni_connector.clients import proof
from omni_connector.errors import GatewayError
from omni_connector.providers.listing import NOT_CHAT
from omni_connector.upstream import Upstream, UpstreamRequest
from omni_connector.values import dataclass
from omni_connector.wire import FORMATS, anthropic_tokens, gemini_tokens, model_lists, openai_responses_tokens

Json = dict[str, Any]
Outcome = Literal["ok", "failed", "cannot", "skipped"]

FORMAT_NAMES: Mapping[str, str] = {
    "chat": "openai-chat",
    "responses": "openai-responses",
    "anthropic": "anthropic-messages",
    "gemini": "gemini-generate",
}
"""The word of the command line → the wire format."""
COUNTERS: Mapping[str, Any] = {module.NAME: module for module in (anthropic_tokens, gemini_tokens, openai_responses_tokens)}
"""The formats whose clients can ask for a count of tokens."""
FORMAT_HEADERS: Mapping[str, Mapping[str, str]] = {"anthropic-messages": {"anthropic-version": "2023-06-01"}}

MOST_TOKENS = 512
"""Of an answer. Models that think before they speak need some hundred for one word."""
WITHIN_S = 90.0
LIST_S = 15.0
BUDGET_STATUS = 402
"""The server's word for a spent budget: here, that the cost cap is reached."""
UNABLE = re.compile(r"no connected account .* can do|not support|unsupported|no endpoints found that support", re.IGNORECASE)
"""In a refusal that also names the feature: it is missing, of the model or of the provider. The first are the server's own words."""

NO_ANSWER = "not asked, since a request before it was left without an answer"

PONG = "Reply with the word pong."
SYSTEM_WORD = "ZEBRA"
COLOUR = "colour"
WEATHER = Tool(
    "function",
    "get_weather",
    "The weather of a city.",
    {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False},
)
ANSWER_SCHEMA: Json = {
    "type": "object",
    "properties": {COLOUR: {"type": "string"}},
    "required": [COLOUR],
    "additionalProperties": False,
}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
"""A PNG of one pixel."""


# ------------------------------------------------------------------------------------------------------- The checks


def text_of(answer: ChatResponse) -> str:
    return "".join(part.text for choice in answer.choices[:1] for part in choice.parts if isinstance(part, TextPart)).strip()


def calls_of(answer: ChatResponse) -> list[ToolCallPart]:
    return [part for choice in answer.choices[:1] for part in choice.parts if isinstance(part, ToolCallPart)]


def has_text(answer: ChatResponse) -> str:
    if text_of(answer):
        return ""
    if answer.choices and answer.choices[0].finish is Finish.LENGTH:
        return f"the answer ended at its limit of {MOST_TOKENS} tokens before a word came"
    return "the answer holds no text"


def has_call(answer: ChatResponse) -> str:
    calls = calls_of(answer)
    if not calls:
        return has_text(answer) or f"the model answered in words instead of calling {WEATHER.name}"
    if calls[0].name != WEATHER.name:
        return f"the model called {calls[0].name!r}, which is not offered"
    if not isinstance(_json(calls[0].arguments), dict):
        return "the arguments of the tool call are no JSON object"
    return "" if calls[0].id else "the tool call has no id"


def is_structured(answer: ChatResponse) -> str:
    found = _json(text_of(answer))
    if not isinstance(found, dict):
        return has_text(answer) or "the answer is no JSON object"
    return "" if isinstance(found.get(COLOUR), str) else f"the JSON does not follow the schema: {COLOUR!r} is missing or no text"


def obeys(answer: ChatResponse) -> str:
    return has_text(answer) or ("" if SYSTEM_WORD.lower() in text_of(answer).lower() else "the answer does not follow the system prompt")


def reports_usage(answer: ChatResponse) -> str:
    if answer.usage is None:
        return "the answer reports no usage"
    return "" if answer.usage.prompt > 0 and (answer.usage.output or 0) > 0 else "the usage counts no tokens read or none written"


def lists(model: str, names: Sequence[str]) -> str:
    if not names:
        return "the list is empty"
    return "" if any(name == model or name.endswith(f"/{model}") for name in names) else f"{model!r} is not in the list of {len(names)}"


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


# ---------------------------------------------------------------------------------------------------- The scenarios


def _user(*parts: TextPart | MediaPart) -> tuple[Message, ...]:
    return (Message("user", parts),)


@dataclass(frozen=True, slots=True)
class Scenario:
    """`ask`: the request, whose format and model are filled in when it is sent. `check`: of its answer. `feature`: words by which a
    refusal, or `x-omni-dropped`, says that the account has no such thing. `unseen`: the check cannot tell that it was left out.
    `demo`: why the built-in demo cannot, "" where it can."""

    name: str
    title: str
    says: str
    ask: ChatRequest | None
    check: Callable[[ChatResponse], str] = has_text
    feature: tuple[str, ...] = ()
    unseen: bool = False
    demo: str = ""
    requests: int = 1


_PLAIN = ChatRequest("", "", _user(TextPart(PONG)), max_tokens=MOST_TOKENS)
SCENARIOS: Mapping[str, Scenario] = {
    one.name: one
    for one in (
        Scenario("whole", "WHOLE", "a whole answer", _PLAIN),
        Scenario("streamed", "STREAMED", "a streamed answer, with its proper end", replace(_PLAIN, stream=True, include_usage=True)),
        Scenario(
            "tools",
            "TOOLS",
            "a tool call, its result, and the answer to that",
            replace(
                _PLAIN,
                # The mark is for the demo, which uses tools only where it is told to.
                messages=_user(TextPart(f"What is the weather in Paris? Use {WEATHER.name}. [[tool]]")),
                tools=(WEATHER,),
                tool_choice=ToolChoice("auto"),
            ),
            has_call,
            ("tool", "function"),
            requests=2,
        ),
        Scenario(
            "json",
            "JSON",
            "JSON that follows a schema",
            replace(
                _PLAIN,
                messages=_user(TextPart("Which colour has the sky by day? Answer in JSON.")),
                output=OutputFormat("json_schema", "answer", ANSWER_SCHEMA, True),
            ),
            is_structured,
            ("json", "schema", "response_format", "output_format", "output_config", "text.format"),
        ),
        Scenario(
            "system",
            "SYSTEM",
            "a system prompt that is followed",
            replace(
                _PLAIN,
                messages=(
                    Message("system", (TextPart(f"Answer every message with the one word {SYSTEM_WORD}."),)),
                    *_user(TextPart("Hello.")),
                ),
            ),
            obeys,
            ("system",),
            demo="the demo follows no instructions",
        ),
        Scenario(
            "picture",
            "PICTURE",
            "a picture of one pixel beside the words",
            replace(_PLAIN, messages=_user(TextPart("What colour is this? One word."), MediaPart("image", "image/png", PIXEL))),
            feature=("image", "picture", "vision", "media", "modalit"),
            unseen=True,
        ),
        Scenario("usage", "USAGE", "tokens reported with the answer, and counted where the format can ask for that", _PLAIN, reports_usage),
        Scenario("models", "MODELS", "the list of models, with this one in it", None, requests=0),
    )
}


# ------------------------------------------------------------------------------------------------------ Carrying out


@dataclass(frozen=True, slots=True)
class Tried:
    """An account, and the model that stands for it. `why`: it cannot be asked at all."""

    account: str
    provider: str
    model: str
    demo: bool = False
    why: str = ""

    @property
    def pinned(self) -> str:
        return f"{self.account}/{self.model}"


@dataclass(frozen=True, slots=True)
class Cell:
    """One field of the matrix. `why` is one line, "" when all is well."""

    account: str
    model: str
    format: str
    scenario: str
    outcome: Outcome
    why: str = ""

    def as_json(self) -> Json:
        return asdict(self)


class Bad(Exception):
    """What was not as it should be, and which outcome that is."""

    def __init__(self, outcome: Outcome, why: str) -> None:
        super().__init__(why)
        self.outcome: Outcome = outcome
        self.why = " ".join(why.split())[:300]


def cheapest(serves: Sequence[str], prices: Mapping[str, float]) -> str:
    """The model to ask: the cheapest known one that chats, else the first; "" where none chats."""
    chat = [name for name in serves if not NOT_CHAT.search(name)]
    return min(chat, key=lambda name: (name not in prices, prices.get(name, 0.0)), default="")


async def verify(
    upstream: Upstream,
    url: str,
    key: str,
    tried: Sequence[Tried],
    formats: Sequence[str],
    scenarios: Sequence[str],
    told: Callable[[Cell], None],
) -> list[Cell]:
    """Every scenario in every format with every account, one after the other; `told` hears of each. Never raises for what an answer is.

    The rest of an account is skipped once the budget of the key is spent for it, or when it left a request without any answer.
    """
    cells: list[Cell] = []
    for one in tried:
        over = ""
        for format_ in formats:
            for name in scenarios:
                asker = _Asker(upstream, url, key, one, FORMAT_NAMES[format_])
                outcome, why, over = await _outcome(asker, one, SCENARIOS[name], over)
                cell = Cell(one.account, one.model, format_, name, outcome, why)
                told(cell)
                cells.append(cell)
    return cells


async def _outcome(asker: _Asker, one: Tried, scenario: Scenario, over: str) -> tuple[Outcome, str, str]:
    """Outcome, reason, and why the rest of the account need not be asked ("": it is)."""
    if one.why or (one.demo and scenario.demo):
        return "cannot", one.why or scenario.demo, over
    if over and scenario.ask is not None:
        return "skipped", over, over
    try:
        await (asker.list_models() if scenario.ask is None else asker.run(scenario, scenario.ask))
    except Bad as bad:
        return bad.outcome, bad.why, bad.why if bad.outcome == "skipped" else over
    except GatewayError as error:
        return "failed", " ".join(error.message.split())[:300], over or NO_ANSWER
    return "ok", "", over


class _Asker:
    """One account in one format."""

    def __init__(self, upstream: Upstream, url: str, key: str, one: Tried, wire: str) -> None:
        self._upstream, self._url, self._one, self._wire = upstream, url, one, wire
        self._headers = {"authorization": f"Bearer {key}", "accept-encoding": "identity", **FORMAT_HEADERS.get(wire, {})}

    async def run(self, scenario: Scenario, ask: ChatRequest) -> None:
        request = replace(ask, wire=self._wire, model=self._one.pinned)
        answer = await self._answer(request, scenario, scenario.check)
        if scenario.name == "tools":
            await self._answer(after_the_call(request, answer), scenario, has_text)
        if scenario.name == "usage" and self._wire in COUNTERS:
            await self._count(request)

    async def _answer(self, request: ChatRequest, scenario: Scenario, check: Callable[[ChatResponse], str]) -> ChatResponse:
        """Raises Bad."""
        headers, body = await self._send(proof.sending(self._url, self._headers, request), WITHIN_S, scenario)
        account, dropped = headers.get("x-omni-account", ""), headers.get("x-omni-dropped", "")
        if account != self._one.account:
            raise Bad("failed", f"account {account!r} answered instead")
        answer = read(request, body)
        reason = check(answer)
        if (reason or scenario.unseen) and _names(scenario, dropped):
            raise Bad("cannot", f"left out on the way: {dropped}")
        if reason:
            raise Bad("failed", reason)
        return answer

    async def _count(self, request: ChatRequest) -> None:
        counter = COUNTERS[self._wire]
        rendered = counter.render_count_request(request, request.model, Target(Origin("", request.model)))
        url = proof.address(self._url, self._wire, counter.path(request.model))
        _, body = await self._send(proof.posting(url, self._headers, rendered.body), LIST_S)
        if not counter.parse_count(body):
            raise Bad("failed", "the count of tokens is missing or zero")

    async def list_models(self) -> None:
        _, body = await self._send(UpstreamRequest("GET", proof.address(self._url, self._wire, "/models"), self._headers), LIST_S)
        names = model_lists.names(self._wire, _json(body.decode("utf-8", "replace")))
        if reason := lists(self._one.model, names):
            raise Bad("failed", reason)

    async def _send(self, request: UpstreamRequest, within: float, scenario: Scenario | None = None) -> tuple[Mapping[str, str], bytes]:
        status, headers, body = await self._upstream.fetch(request, within)
        if status == 200:
            return headers, body
        words = proof.said(body)
        if status == BUDGET_STATUS:
            raise Bad("skipped", f"cost cap: {words}")
        lacking = status < 500 and scenario is not None and UNABLE.search(words) is not None and _names(scenario, words)
        raise Bad("cannot" if lacking else "failed", f"{status}: {words}")


def _names(scenario: Scenario, words: str) -> bool:
    return any(word in words.lower() for word in scenario.feature)


def read(request: ChatRequest, body: bytes) -> ChatResponse:
    """The answer as a client of that format reads it. Raises Bad."""
    parser = FORMATS[request.wire].ResponseParser(Origin("", request.model), request)
    fold = Fold()
    try:
        events = [*parser.feed(body), *parser.close()] if request.stream else parser.whole(json.loads(body))
        for event in events:
            fold.feed(event)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Bad("failed", "the answer is not of its format") from error
    if fold.error is not None:
        raise Bad("failed", fold.error.message)
    if request.stream and not fold.ended:
        raise Bad("failed", "the stream broke off before its end")
    return fold.response()


def after_the_call(request: ChatRequest, answer: ChatResponse) -> ChatRequest:
    """The conversation that goes on with the results of the tool calls; thoughts and signatures go back as they came."""
    results = tuple(
        Message("tool", (ToolResultPart(call.id, (TextPart("18 degrees, sunny"),), name=call.name),)) for call in calls_of(answer)
    )
    return replace(request, messages=(*request.messages, Message("assistant", answer.choices[0].parts), *results))
