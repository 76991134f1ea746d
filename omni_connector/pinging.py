"""The smallest request that a model answers, sent to an account that is out, and its row in the books.

It costs like any other request, so it is on record like any other (DESIGN.md, law 4): open and durable before it is sent, settled
with what it used on every way out. Its row has no key, and the client "probe".
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal

from omni_connector import catalog, prices, providers, secrets, usage
from omni_connector.chat import ChatRequest, Message, Origin, Target, TextPart, Usage
from omni_connector.errors import GatewayError
from omni_connector.ledger import Ledger
from omni_connector.meter import Reading, reading
from omni_connector.providers.listing import NOT_CHAT
from omni_connector.record import Attempt, Outcome, Record
from omni_connector.routing.health import ACCOUNT_SCOPE, MODEL_SCOPE
from omni_connector.secrets import new_id
from omni_connector.snapshot import Account
from omni_connector.upstream import Upstream, UpstreamRequest
from omni_connector.wire import FORMATS, always_streams, upstream_path, views

log = logging.getLogger("omni.pinging")

CLIENT = "probe"
WITHIN_S = 30.0
LEAST_TOKENS: Mapping[str, int] = {"openai-responses": 16}
"""The shortest answer a format can be asked for, where that is not one token."""
MOST_COMPARED = 50
"""Models whose prices are compared to find the cheapest."""
WORDS = 500
"""Characters of a failure that the row keeps."""


# ---------------------------------------------------------------- What is sent


def model_for(account: Account, scope: str, *, paying: bool) -> str:
    """The cheapest model that can answer for the scope; "" when none is known. `paying`: one that costs something, where there is
    one, since a free one answers without credit too."""
    if account.wire not in FORMATS:
        return ""  # it holds no conversations: there is no token to ask for
    names = dict.fromkeys((*account.known_models, *account.model_map.values()))
    chat = [name for name in names if not NOT_CHAT.search(name)]
    if scope != ACCOUNT_SCOPE:
        chat = [name for name in chat if MODEL_SCOPE + catalog.family(name) == scope]
    costs = {name: _cost(account, name) for name in chat[:MOST_COMPARED]}
    if paying and any(cost != 0 for cost in costs.values()):
        costs = {name: cost for name, cost in costs.items() if cost != 0}
    return min(costs, key=lambda name: (costs[name] is None, costs[name] or 0), default="")


def _cost(account: Account, model: str) -> Decimal | None:
    return prices.price(Usage(input=10, output=1), account, model).cost


def ping(account: Account, model: str, endpoints: providers.Endpoints) -> tuple[UpstreamRequest, bool]:
    """The smallest request that a model answers, and whether its answer is streamed. Raises GatewayError when the account cannot
    be asked."""
    stream = always_streams(account.wire, account.features)
    request = ChatRequest(
        account.wire, model, (Message("user", (TextPart("ping"),)),), max_tokens=LEAST_TOKENS.get(account.wire, 1), stream=stream
    )
    words = account.features | catalog.profile(model)
    target = Target(Origin(account.provider, model), words, catalog.max_output(model), providers.project(account))
    rendered = FORMATS[account.wire].render_request(request, model, target)
    provider = providers.get(account.provider)
    headers = {**providers.request_headers(provider, account), "content-type": "application/json", "accept-encoding": "identity"}
    url = providers.endpoint(provider, account, upstream_path(account.wire, model, stream), endpoints)
    local = providers.local_options(account)
    return UpstreamRequest("POST", url, headers, views.encode(rendered.body), account.proxy_url, local), stream


def hear(wire: str, status: int, headers: Mapping[str, str], body: bytes, *, stream: bool, estimated_input: int) -> Reading:
    """What the answer used. Raises GatewayError when it is none."""
    form = FORMATS[wire]
    if not 200 <= status < 300:
        refusal: GatewayError = form.parse_error(status, headers, body)
        raise refusal
    ear = form.Listener()
    if stream:
        ear.feed(body)
        ear.close()
    else:
        ear.whole(body)
    if ear.error is not None:
        raise ear.error
    return reading(ear.usage, ear.output_chars, ear.finish, estimated_input)


# ---------------------------------------------------------------- Sending it


class Pinger:
    """Sends pings of one process. `publish` shows a row to the dashboards, as it is opened and as it is settled. `admit` asks the limits,
    in the commit that opens the row (`Admission.probe`)."""

    def __init__(
        self,
        upstream: Upstream,
        ledger: Ledger,
        process_id: str,
        now: Callable[[], int],
        publish: Callable[[Record], None],
        admit: Callable[[Record, Account, bytes], Awaitable[object]],
    ) -> None:
        self._upstream = upstream
        self._ledger = ledger
        self._process_id = process_id
        self._now = now
        self._publish = publish
        self._admit = admit

    async def send(self, account: Account, model: str, endpoints: providers.Endpoints, why: str) -> None:
        """Raises GatewayError unless the model answered: the provider's failure, a limit that has no room for it, or INTERNAL when the row
        could not be opened: then nothing was sent. `why`: what keeps the account out, for the row."""
        request, stream = ping(account, model, endpoints)
        record = Record(
            new_id("req", self._now()), self._now(), self._process_id, account.wire, upstream_path(account.wire, model, stream), CLIENT
        )
        record.stream, record.model_requested = stream, model
        record.est_input = usage.estimate_tokens(request.body)
        record.route = f"probe: is {account.label} back? ({why})"
        served = {"account_id": account.id, "account_label": account.label, "provider": account.provider, "model": model}
        record.account_id, record.account_label, record.provider, record.model = served.values()
        self._publish(record)
        try:
            # With whom it is sent to: after a crash, what it cost is still known to be this account's.
            await asyncio.gather(self._ledger.open({**record.opened(), **served}), self._admit(record, account, request.body))
            await self._ask(record, account, request)
        except GatewayError as error:
            await self._settle(record, "failed", error.status, error)
            raise
        except BaseException:
            self._close(record, "cut", 503)  # told to stop: nothing is waited for, the ledger's writer outlives us
            raise
        await self._settle(record, "ok", 200)

    async def _ask(self, record: Record, account: Account, request: UpstreamRequest) -> None:
        began = time.monotonic()
        status: int | None = None
        failure: GatewayError | None = None
        try:
            status, headers, body = await self._upstream.fetch(request, WITHIN_S)
            heard = hear(account.wire, status, headers, body, stream=record.stream, estimated_input=record.est_input)
            price = prices.price(heard.usage, account, record.model_requested)
            record.used(heard, price.cost, price.source, price.worth)
            record.first_token_ms = _ms(began)
        except GatewayError as error:
            error.message = secrets.scrub(error.message, account.access)[:WORDS]
            status, failure = error.upstream_status or status, error
            raise
        finally:
            kind, words = (None, None) if failure is None else (str(failure.kind), failure.message)
            record.attempts.append(Attempt(account.label, account.provider, record.model_requested, status, _ms(began), kind, words))

    async def _settle(self, record: Record, outcome: Outcome, status: int, error: GatewayError | None = None) -> None:
        try:
            await self._close(record, outcome, status, error)
        except GatewayError as unrecorded:
            log.error("probe %s could not be settled: %s", record.id, unrecorded)

    def _close(self, record: Record, outcome: Outcome, status: int, error: GatewayError | None = None) -> Awaitable[None]:
        record.end(self._now(), outcome, status, error)
        done = self._ledger.settle(record.settled())
        self._publish(record)
        return done


def _ms(began: float) -> int:
    return int((time.monotonic() - began) * 1000)
