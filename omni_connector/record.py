"""The row of one request while it lives: what was asked, planned, tried, delivered, and what it cost.

`opened()` and `settled()` give the columns of `store/tables.py`; `view()` gives the JSON that the admin API, the dashboard
and `logs -f` show, so that a live row and a stored row look the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from decimal import Decimal
from typing import Any, Literal, Protocol

from omni_connector.chat import Usage
from omni_connector.errors import KINDS, GatewayError
from omni_connector.meter import Reading
from omni_connector.nodes import node_of
from omni_connector.usage import TIER, nano, usd
from omni_connector.values import dataclass, quick

Json = dict[str, Any]
Outcome = Literal["ok", "failed", "client_left", "cut", "recovered"]

NAME, WORDS = 255, 2000
"""Characters of a model name and of an error message that a row keeps."""


NOTHING_USED = Usage()
"""Of a request that was not measured yet."""


class Planned(Protocol):
    """Whom the request was going to be sent to (`routing.plan.Plan`)."""

    def as_json(self) -> Json: ...


@quick(frozen=True, slots=True)
class Attempt:
    """One try at one account. `status` is what the provider answered (None: nothing), `ms` how long it took."""

    account: str
    provider: str
    model: str
    status: int | None
    ms: int
    kind: str | None = None
    message: str | None = None
    at: int = field(default=0, compare=False)
    """When it began, in ms UTC; in no row."""

    def as_json(self) -> Json:
        return {
            "account": self.account,
            "provider": self.provider,
            "model": self.model,
            "status": self.status,
            "ms": self.ms,
            "kind": self.kind,
            "message": self.message,
        }


@dataclass(slots=True)
class Record:
    """Filled in as the request goes on. All times in ms; `est_input` in tokens."""

    id: str
    started_at: int
    process_id: str
    wire: str
    path: str
    client: str
    key_id: str | None = None
    key_name: str | None = None
    """None: nobody's key, a probe asks."""
    stream: bool = False
    model_requested: str = ""
    est_input: int = 0
    """As estimated; what experience makes of it for a model is `likely_input`, and what the row keeps for the case of a crash."""
    likely_input: int = 0
    route: str = ""
    skipped: Sequence[Json] = ()
    continued: bool = False
    """More than one account spoke in the answer (`continue_broken_streams`)."""
    plan: Planned | None = None
    """Written out when the row is settled; no live row carries it."""
    attempts: list[Attempt] = field(default_factory=list)
    dropped: tuple[str, ...] = ()
    traceparent: str = ""
    """The client's header of that name: the trace that the request is part of. In no row, like `span`."""
    span: str = ""
    """The same of this request's own span, once a provider was told."""
    account_id: str | None = None
    account_label: str | None = None
    provider: str | None = None
    model: str | None = None
    first_token_ms: int | None = None
    # Set by `end`:
    settled_at: int | None = None
    outcome: Outcome | None = None
    http_status: int | None = None
    flag: str | None = None
    error: GatewayError | None = None
    usage: Usage = NOTHING_USED
    usage_source: str = "none"
    cost: Decimal | None = None
    price_source: str | None = None
    worth: Decimal | None = None
    """What it would have cost by the token, where a subscription pays for it."""

    def end(self, now: int, outcome: Outcome, http_status: int, error: GatewayError | None = None) -> None:
        """The request is over; called exactly once, whatever happened."""
        self.settled_at = max(now, self.started_at)  # a clock that was set back meanwhile ends nothing before it began
        self.outcome = outcome
        self.http_status = http_status
        self.error = error
        self.flag = error.info.flag if error is not None else "CONTINUED" if self.continued else None
        if outcome == "cut" and self.flag is None:
            self.flag = "CUT"

    def used(self, reading: Reading, cost: Decimal | None, price_source: str, worth: Decimal | None = None) -> None:
        self.usage = reading.usage
        self.usage_source = reading.source
        self.cost = cost
        self.price_source = price_source
        self.worth = worth

    def opened(self) -> Json:
        """Columns of the row as it is before the upstream call."""
        return {
            "id": self.id,
            "started_at": self.started_at,
            "state": "open",
            "process_id": self.process_id,
            "wire": self.wire,
            "path": self.path,
            "stream": self.stream,
            "client": self.client,
            "key_id": self.key_id,
            "key_name": self.key_name,
            "model_requested": self.model_requested[:NAME],
            "est_input": self.likely_input or self.est_input,
            "route": self.route,
        }

    def settled(self) -> Json:
        """Columns that close the row."""
        usage = self.usage
        return {
            "id": self.id,
            "settled_at": self.settled_at,
            "state": "settled",
            "outcome": self.outcome,
            "model": self.model,
            "provider": self.provider,
            "account_id": self.account_id,
            "account_label": self.account_label,
            "http_status": self.http_status,
            "flag": self.flag,
            "error_kind": None if self.error is None else str(self.error.kind),
            "error_message": None if self.error is None else self.error.message[:WORDS],
            "route": self.route,
            "attempts": [attempt.as_json() for attempt in self.attempts],
            "skipped": list(self.skipped),
            "dropped": list(self.dropped),
            "first_token_ms": self.first_token_ms,
            "duration_ms": None if self.settled_at is None else self.settled_at - self.started_at,
            "input": usage.input,
            "cache_read": usage.cache_read,
            "cache_write": usage.cache_write,
            "output": usage.output,
            "reasoning": usage.reasoning,
            "usage_source": self.usage_source,
            # The class of service stands beside the block, but is part of what it costs.
            "usage_raw": ({**usage.raw, TIER: usage.tier} if usage.tier else usage.raw) or None,
            "cost_nano": nano(self.cost),
            "price_source": self.price_source,
            "plan": None if self.plan is None else self.plan.as_json(),
            "cache_write_1h": usage.cache_write_1h,
            "web_searches": usage.web_searches,
            "told": True,
            "shadow_nano": nano(self.worth),
        }

    def view(self) -> Json:
        """The row as the admin API lists it (store/requests.py builds the same from the database). Without the plan: rows are sent
        to every dashboard whenever they change, and only the page of one request shows its plan."""
        usage = self.usage
        return {
            "id": self.id,
            "at": self.started_at,
            "state": "open" if self.settled_at is None else "settled",
            "outcome": self.outcome,
            "flag": self.flag,
            "protocol": self.wire,
            "path": self.path,
            "stream": self.stream,
            "client": self.client,
            "node": node_of(self.process_id),
            "key": {"id": self.key_id, "name": self.key_name},
            "model_requested": self.model_requested[:NAME],
            "model": self.model,
            "provider": self.provider,
            "account": {"id": self.account_id, "label": self.account_label},
            "http_status": self.http_status,
            "attempts": [attempt.as_json() for attempt in self.attempts],
            "skipped": list(self.skipped),
            "route": self.route,
            "dropped": list(self.dropped),
            "first_token_ms": self.first_token_ms,
            "duration_ms": None if self.settled_at is None else self.settled_at - self.started_at,
            "usage": {
                "input": usage.input,
                "cache_read": usage.cache_read,
                "cache_write": usage.cache_write,
                "output": usage.output,
                "reasoning": usage.reasoning,
                "source": self.usage_source,
            },
            "cost": {"usd": usd(nano(self.cost)), "source": self.price_source, "worth_usd": usd(nano(self.worth))},
            "error": None if self.error is None else {"kind": str(self.error.kind), "message": self.error.message[:WORDS]},
        }


def account_failure(error: GatewayError) -> bool:
    """True when the failure counts against the account's record (not the caller's mistake, not a client that left)."""
    return error.info.fault in ("account", "provider", "network")


def flags() -> Mapping[str, str]:
    """Every flag a row may carry → its meaning, for docs and dashboard."""
    words = {info.flag: info.meaning for info in KINDS.values()}
    return {
        **words,
        "CUT": "The server stopped while the answer was under way.",
        "RECOVERED": "Closed as an estimate after a crash.",
        "CONTINUED": "The stream broke off and another account went on with it.",
    }
