"""The questions about one account, side by side, and what they came to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from omni_connector import providers, secrets
from omni_connector.errors import GatewayError
from omni_connector.providers import quota_readers
from omni_connector.providers.listing import refuse
from omni_connector.snapshot import Account
from omni_connector.upstream import Upstream, UpstreamRequest
from omni_connector.values import dataclass
from omni_connector.wire.retry_after import stated_wait

Json = dict[str, Any]

WITHIN_S = 15.0
EARLY_MS = 60_000
"""An access token with less life than this is renewed first."""
LONGEST_WAIT_S = 24 * 3600
"""More is not believed when a provider says how long to wait."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`windows`, `balance` None: not told; `whole`: these are all the windows there are. `error` "": everything was answered. `limited`:
    somebody answered 429; `wait_s`: for how long he wants to be left alone. `hosts` that gave a good answer."""

    windows: list[Json] | None = None
    whole: bool = True
    plan: str = ""
    balance: Json | None = None
    error: str = ""
    limited: bool = False
    wait_s: float | None = None
    hosts: frozenset[str] = frozenset()

    @property
    def told(self) -> bool:
        return self.windows is not None or self.balance is not None


@dataclass(frozen=True, slots=True)
class _Reply:
    url: str
    status: int = 0
    body: Any = None
    error: GatewayError | None = None
    wait_s: float | None = None


class Asker:
    def __init__(
        self,
        upstream: Upstream,
        endpoints: Callable[[], providers.Endpoints],
        renew: Callable[[Account, str], Awaitable[Account]],
        now: Callable[[], int],
    ) -> None:
        self._upstream = upstream
        self._endpoints = endpoints
        self._renew = renew
        self._now = now

    def asks(self, account: Account) -> bool:
        """Whether there is any question to ask about it."""
        provider = providers.PROVIDERS.get(account.provider)
        if provider is None or not (provider.quota or provider.balance):
            return False
        try:
            return bool(self._quota(provider, account) or self._balance(provider, account))
        except GatewayError:
            return False

    async def ask(self, account: Account) -> Answer:
        """Never raises GatewayError: what went wrong is part of the answer, in words without secrets."""
        provider = providers.get(account.provider)
        try:
            if account.access_until is not None and account.access_until <= self._now() + EARLY_MS:
                account = await self._renew(account, "")
            about, money = await self._all(provider, account)
            if account.auth == "oauth" and any(reply.status == 401 for reply in (*about, *money)):
                account = await self._renew(account, account.access)
                about, money = await self._all(provider, account)
        except GatewayError as error:
            return Answer(error=_words(error, account))
        return _read(provider, account, about, money)

    def _quota(self, provider: providers.Provider, account: Account) -> list[UpstreamRequest]:
        asked = quota_readers.questions(provider, account, self._endpoints())
        return [UpstreamRequest(*question, proxy_url=account.proxy_url) for question in asked]

    def _balance(self, provider: providers.Provider, account: Account) -> list[UpstreamRequest]:
        asked = providers.balance_request(provider, account, self._endpoints())
        return [] if asked is None else [UpstreamRequest("GET", *asked, proxy_url=account.proxy_url)]

    async def _all(self, provider: providers.Provider, account: Account) -> tuple[list[_Reply], list[_Reply]]:
        """The answers about the quota, in the order of the questions, and those about the balance."""
        quota, balance = self._quota(provider, account), self._balance(provider, account)
        replies = await asyncio.gather(*(self._one(provider, request) for request in (*quota, *balance)))
        return list(replies[: len(quota)]), list(replies[len(quota) :])

    async def _one(self, provider: providers.Provider, request: UpstreamRequest) -> _Reply:
        try:
            status, headers, raw = await self._upstream.fetch(request, WITHIN_S)
        except GatewayError as error:
            return _Reply(request.url, error=error)
        body = parsed(raw)
        try:
            refuse(provider, status, body)
        except GatewayError as error:
            wait = stated_wait(headers, error.message, self._now() / 1000) if status in (429, 503) else None
            return _Reply(request.url, status, None, error, None if wait is None else min(wait, LONGEST_WAIT_S))
        return _Reply(request.url, status, body)


def _read(provider: providers.Provider, account: Account, about: Sequence[_Reply], money: Sequence[_Reply]) -> Answer:
    windows: list[Json] | None = None
    plan, balance = "", None
    whole = all(reply.error is None for reply in about)
    if any(reply.error is None for reply in about):
        windows, plan = quota_readers.read(provider, [reply.body for reply in about])
        windows = windows if windows or whole else None  # the question that failed would have told them
    for reply in money:
        if reply.error is None:
            balance = providers.parse_balance(provider, account, reply.status, reply.body)
    replies = (*about, *money)
    wrong = [reply.error for reply in replies if reply.error is not None]
    waits = [reply.wait_s for reply in replies if reply.wait_s is not None]
    return Answer(
        windows=windows,
        whole=whole,
        plan=plan,
        balance=balance,
        error="; ".join(dict.fromkeys(_words(error, account) for error in wrong)),
        limited=any(reply.status == 429 for reply in replies),
        wait_s=max(waits, default=None),
        hosts=frozenset(urlsplit(reply.url).netloc for reply in replies if reply.error is None),
    )


def parsed(raw: bytes) -> Any:
    """JSON, None for anything else: an error page, half an answer."""
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None


def same_credential(current: Account, asked: Account) -> bool:
    """A sign-in that was renewed meanwhile is still the same one."""
    if current.auth == asked.auth == "oauth":
        return current.options.get("signed_in") == asked.options.get("signed_in") and _who(current) == _who(asked)
    return current.secret == asked.secret


def _who(account: Account) -> Mapping[str, Any]:
    """Without the plan, which a poll itself may change."""
    found = account.options.get("identity")
    return {name: value for name, value in found.items() if name != "plan"} if isinstance(found, Mapping) else {}


def _words(error: GatewayError, account: Account) -> str:
    return secrets.scrub(error.message, account.access or account.secret)[:300]
