"""How many tokens a request has, before it is sent: asked of an account's own counter where there is one, else counted here with the
model's own vocabulary (`exact_tokens`), else estimated.

Three formats have a counter (Anthropic `count_tokens`, Gemini `countTokens`, Responses `input_tokens`), and each can stand in
for the others: the same format passes untouched, another one is translated as a request would be. Counting costs nothing and is
put into no book, cools nobody and waits for nobody long: clients ask for it in bursts.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import Literal

from omni_connector import catalog, exact_tokens, providers, secrets, usage
from omni_connector.call import Call
from omni_connector.chat import ChatRequest, Json, Origin, Target
from omni_connector.errors import GatewayError
from omni_connector.routing.resolve import Candidate
from omni_connector.snapshot import Account
from omni_connector.upstream import Upstream, UpstreamRequest
from omni_connector.values import dataclass
from omni_connector.wire import FORMATS, anthropic_tokens, code_assist_tokens, gemini_tokens, openai_responses_tokens, views

COUNTERS: Mapping[str, ModuleType] = {module.NAME: module for module in (anthropic_tokens, gemini_tokens, openai_responses_tokens)}
"""Wire format → its counter's words: path, has_words, same_format, parse_count_request, render_count_request, parse_count,
render_count."""
UPSTREAM_COUNTERS: Mapping[str, ModuleType] = {**COUNTERS, code_assist_tokens.NAME: code_assist_tokens}
"""Those of formats that no client speaks have path, render_count_request and parse_count only."""

WORD = "count_tokens"
MOST_TRIED = 2
NO_COUNTER = frozenset({404, 405, 501})
NO_COUNTER_S = 600.0
"""Seconds for which an account that has no counter after all (for that model) is not asked again."""
FAILED_S = 30.0
"""Seconds for which a counter that failed is left alone."""
MOST_REMEMBERED = 1000


@dataclass(frozen=True, slots=True)
class Count:
    """`source` "reported": the provider counted, with `account` (its label) and `provider`. "counted": here, text by text with the
    model's own vocabulary. "estimated": nobody was asked, or nobody answered; both are "" then."""

    tokens: int
    source: Literal["reported", "counted", "estimated"]
    account: str = ""
    provider: str = ""


@dataclass(slots=True)
class _Question:
    call: Call
    body: Json
    until: float
    """Monotonic seconds."""
    parsed: ChatRequest | None = None


class Counter:
    """Asks for token counts on behalf of one process. `within_s` bounds one count with all its tries; `clock` is monotonic
    seconds."""

    def __init__(
        self,
        upstream: Upstream,
        endpoints: Callable[[], providers.Endpoints],
        within_s: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._upstream = upstream
        self._endpoints = endpoints
        self._within_s = within_s
        self._clock = clock
        self.likely: Callable[[str, int], int] = lambda model, tokens: tokens
        """(model, estimated tokens) → how many they are at that model, by experience."""
        self._left_alone: dict[tuple[str, str, str], float] = {}
        """(account id, wire format, model) → until when it is not asked."""

    async def count(self, call: Call, request_body: Json, candidates: Sequence[Candidate]) -> Count:
        """Tokens of the request in `call.body`; `request_body` is what that holds. `call.wire` is a format of `COUNTERS`.

        Candidates are asked in their order, `MOST_TRIED` at most. Raises GatewayError when the request itself is wrong, by its
        own format or in the words of the provider that refused it; every other failure ends in an estimate.
        """
        question = _Question(call, request_body, self._clock() + self._within_s)
        if COUNTERS[call.wire].has_words(request_body):
            for number, (account, model) in enumerate(self._counting(call.wire, candidates)):
                if number == MOST_TRIED or self._clock() >= question.until:
                    break
                tokens = await self._ask(question, account, model)
                if tokens is not None:
                    return Count(tokens, "reported", account.label, account.provider)
        model = candidates[0].model if candidates else call.model or str(request_body.get("model") or "")
        if (counted := await asyncio.to_thread(_counted, question, model)) is not None:
            return Count(counted, "counted")
        return Count(self.likely(model, usage.estimate_tokens(call.body)), "estimated")

    # ------------------------------------------------------------ whom

    def _counting(self, wire: str, candidates: Sequence[Candidate]) -> Iterator[tuple[Account, str]]:
        """Accounts with a counter, as they speak its format; each once, those that are left alone passed over."""
        seen: set[str] = set()
        for candidate in candidates:
            account = facing_counter(candidate.account, wire)
            if account is None or not candidate.model or account.id in seen:
                continue
            if self._left_alone.get(_key(account, candidate.model), 0.0) > self._clock():
                continue
            seen.add(account.id)
            yield account, candidate.model

    def _leave_alone(self, account: Account, model: str, seconds: float) -> None:
        now = self._clock()
        if len(self._left_alone) >= MOST_REMEMBERED:
            self._left_alone = {key: until for key, until in self._left_alone.items() if until > now}
        if len(self._left_alone) < MOST_REMEMBERED:
            self._left_alone[_key(account, model)] = now + seconds

    # ------------------------------------------------------------ how

    async def _ask(self, question: _Question, account: Account, model: str) -> int | None:
        """One account's answer, None when it has none."""
        try:
            body = _body(question, account, model)
        except _Unsayable:
            return None
        try:
            status, headers, answer = await self._upstream.fetch(self._request(question, account, model, body), self._left(question))
        except GatewayError:
            self._leave_alone(account, model, FAILED_S)
            return None
        if 200 <= status < 300:
            tokens: int | None = UPSTREAM_COUNTERS[account.wire].parse_count(answer)
            if tokens is None:
                self._leave_alone(account, model, NO_COUNTER_S)
            return tokens
        if status in NO_COUNTER:
            self._leave_alone(account, model, NO_COUNTER_S)
            return None
        refusal: GatewayError = FORMATS[account.wire].parse_error(status, headers, answer)
        if refusal.info.fault == "caller":
            refusal.message = secrets.scrub(refusal.message, account.secret)
            raise refusal
        self._leave_alone(account, model, FAILED_S)
        return None

    def _left(self, question: _Question) -> float:
        return max(0.001, question.until - self._clock())

    def _request(self, question: _Question, account: Account, model: str, body: bytes) -> UpstreamRequest:
        provider = providers.get(account.provider)
        call = question.call
        headers = {
            **providers.request_headers(provider, account, call.headers if account.wire == call.wire else {}),
            "content-type": "application/json",
            "accept-encoding": "identity",
        }
        url = providers.endpoint(provider, account, UPSTREAM_COUNTERS[account.wire].path(model), self._endpoints())
        return UpstreamRequest("POST", url, headers, body, account.proxy_url)


class _Unsayable(Exception):
    """The target's format cannot hold the request: this counter cannot be asked."""


def facing_counter(account: Account, wire: str) -> Account | None:
    """The account as it speaks a format that it has a counter in, the client's own first. None: it has none."""
    for one in (wire, account.wire, *COUNTERS):
        facing = providers.facing(account, one)
        if facing.wire in UPSTREAM_COUNTERS and WORD in facing.features:
            return facing
    return None


def _counted(question: _Question, model: str) -> int | None:
    """The request's tokens by the model's vocabulary; None where that is not to be had, or the request is not understood."""
    if not exact_tokens.vocabulary(model) or not exact_tokens.installed():
        return None
    try:
        return exact_tokens.count_request(model, _parsed(question, model))
    except GatewayError:
        return None


def _parsed(question: _Question, model: str) -> ChatRequest:
    """Raises GatewayError for a request that is wrong."""
    call = question.call
    if question.parsed is None:
        told = {**question.body, "model": call.model or question.body.get("model") or model}
        question.parsed = COUNTERS[call.wire].parse_count_request(told)
    return question.parsed


def _body(question: _Question, account: Account, model: str) -> bytes:
    call = question.call
    if account.wire == call.wire and not views.is_sealed(call.wire, call.body):
        same: bytes = COUNTERS[call.wire].same_format(call.body, question.body, model)
        return same
    parsed = _parsed(question, model)
    words = account.features | catalog.profile(model)
    target = Target(Origin(account.provider, model), words, catalog.max_output(model), providers.project(account))
    try:
        rendered = UPSTREAM_COUNTERS[account.wire].render_count_request(parsed, model, target)
    except GatewayError as error:
        raise _Unsayable from error
    return views.encode(rendered.body)


def _key(account: Account, model: str) -> tuple[str, str, str]:
    return account.id, account.wire, model
