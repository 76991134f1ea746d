"""One request under way, and what carrying it needs: deadlines, and the rest of the house as plain callables (see relay.py)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import field
from decimal import Decimal
from typing import Any

from omni_connector.admission import Entering
from omni_connector.call import Call, Sink
from omni_connector.chat import Json, Usage
from omni_connector.continuing import Broken
from omni_connector.errors import GatewayError, ProviderFailure
from omni_connector.lanes import Lane
from omni_connector.prepare import Asked, Sources
from omni_connector.record import Record
from omni_connector.routing.plan import Plan
from omni_connector.routing.resolve import Candidate
from omni_connector.snapshot import Account
from omni_connector.upstream import UpstreamRequest
from omni_connector.usage import Price
from omni_connector.values import dataclass


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds. `first_byte` bounds the wait for a stream to begin, `idle` the silence between the chunks of an answer, `whole` the
    wait for an answer in one piece while others could give it, `total` the whole request. An attempt that was begun after `window`
    has no successor."""

    first_byte: float = 120.0
    idle: float = 120.0
    whole: float = 300.0
    total: float = 1800.0
    window: float = 60.0
    keepalive: float = 15.0
    max_attempts: int = 4
    retry_share: float = 0.2
    retry_floor: int = 10


@dataclass(frozen=True, slots=True)
class Doors:
    """What the relay needs of the rest of the house, as plain callables."""

    plan: Callable[[Call, Asked], Plan]
    estimate: Callable[[bytes], int]
    price: Callable[[Usage, Account, str], Price]
    prices_loaded: Callable[[], Awaitable[None]]
    """Done when `price` answers without loading its tables first."""
    may_plan: Callable[[], Awaitable[None]]
    """Done when a plan may be made: with budgets not before there are prices."""
    sources: Sources
    window: Callable[[Candidate], int | None]
    """Tokens that fit a candidate's model; None: unknown."""
    filters_fall_over: Callable[[], bool]
    """Whether the user lets another provider answer what one refused for its content policy."""
    patience: Callable[[Call], int]
    """How long the client waits for an account, in ms. Raises GatewayError for a header that says no time."""
    heard: Callable[[Account, Mapping[str, str], str, bytes], None]
    """(account, headers of its answer, model that was asked, body of a 429 or b""): they may tell what is left of its quota."""
    renew: Callable[[Account, str], Awaitable[Account]]
    """(an account with a sign-in, the access token that was refused or "") → the account with one that was not. Raises GatewayError."""
    hopeless: Callable[[Account], GatewayError | None]
    """Why an account's token is no good, while it is known that there is no other."""
    enter: Callable[[Call, Candidate, int, Decimal | None, Entering | None], Entering | None]
    """(call, candidate, estimated tokens of the prompt, what was paid already, what was asked for an account that is done with): asks the
    limits, in the ledger's next commit. None: no limit applies."""
    enter_first: Callable[[Call, Candidate, int], Entering | None]
    """The same of a request that was nowhere yet."""
    entered: Callable[[Entering], Awaitable[int | None]]
    """→ tokens that the answer may have at most; None: as the request says. Raises GatewayError or Unable."""
    failed: Callable[[Candidate, GatewayError], None]
    """An account failed: cool it, remember it, say so."""
    answered: Callable[[Asked, Record], None]
    """A request was answered in full; its row says by whom."""
    worked: Callable[[Candidate, int], None]
    """An account answered; the int is the time to its first words in ms."""
    publish: Callable[[Record], None]
    seal: Callable[[Sequence[Json]], Awaitable[Sequence[Json]]]
    """Rows to keep → the same with encrypted values, those that can be kept."""
    process_id: str
    now: Callable[[], int]
    likely: Callable[[str, int], int] = lambda model, tokens: tokens
    """(model, estimated tokens of a prompt) → how many they are at that model, by experience."""
    mark: Callable[[UpstreamRequest, Record], UpstreamRequest] = lambda request, record: request
    """The request to a provider, with the trace that it belongs to where the user wants that told."""


@dataclass(slots=True)
class Job:
    """One request under way."""

    call: Call
    sink: Sink
    record: Record
    began: float
    """Monotonic seconds."""
    task: asyncio.Task[Any] | None = None
    """In which it is carried."""
    asked: Asked | None = None
    """What was looked at, once it was found to be sound."""
    lane: Lane | None = None
    attempt_began: float = 0.0
    """Monotonic seconds: of the attempt that runs."""
    patience: int = 0
    """Milliseconds that the client still waits for an account that is out."""
    renewed: str = ""
    """The account whose token was renewed for this request, or could not be."""
    others: bool = False
    """Somebody else could still be tried."""
    broken: Broken | None = None
    """The answer that broke off after its first words, while others may go on with it."""
    retrying: bool = False
    """On a second or later attempt whose answer has not begun."""
    entering: Entering | None = None
    """What the limits were asked last."""
    opened: bool = False
    failures: list[ProviderFailure] = field(default_factory=list)
    errors: list[GatewayError] = field(default_factory=list)

    def elapsed_ms(self) -> int:
        return int((time.monotonic() - self.began) * 1000)

    def forget(self) -> None:
        """It is over. What was raised meanwhile leads to the frames it came through, and they back to it: a ring that would hold the
        request, body and all, until the collector finds it, which looks seldom."""
        for error in (*self.errors, self.record.error):
            _cut(error)
        self.errors.clear()


def _cut(error: BaseException | None) -> None:
    """Takes an error from where it was raised, and from what it was raised for."""
    if error is None:
        return
    behind = error.__cause__, error.__context__
    error.__traceback__ = error.__cause__ = error.__context__ = None
    for one in behind:
        _cut(one)
