"""The way to the providers in use: name, connection, certificate; and by their clocks, ours.

Each address is asked once for its front page, without any credential; whatever it answers, it is there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from email.utils import parsedate_to_datetime
from statistics import median
from urllib.parse import urlsplit

from omni_connector import providers
from omni_connector.doctor.finding import Finding, span
from omni_connector.errors import GatewayError
from omni_connector.providers.addresses import USER_AGENT, Endpoints
from omni_connector.snapshot import Account
from omni_connector.upstream import Upstream, UpstreamRequest, fault
from omni_connector.values import dataclass

WITHIN_S = 5.0
AT_ONCE = 16
SKEW_WARN_S, SKEW_FAIL_S = 60, 300
"""Seconds off at which signatures and tokens begin to be refused, and at which they are."""
CLOCK_FIX = "Set the clock by the network: sudo timedatectl set-ntp true (macOS: sudo sntp -sS time.apple.com)"

Ask = Callable[[str, str], Awaitable[str]]
"""(address, proxy or "") → its Date header, "" for none. Raises GatewayError when it cannot be reached."""


@dataclass(frozen=True, slots=True)
class Address:
    """A host as some accounts reach it. `proxy` may hold a password and is never shown."""

    url: str
    proxy: str
    labels: tuple[str, ...]

    @property
    def local(self) -> bool:
        host = urlsplit(self.url).hostname or ""
        return host in ("localhost", "::1") or host.startswith("127.")


def addresses(accounts: Sequence[Account], endpoints: Endpoints) -> list[Address]:
    """Every host that an account which is switched on asks, once for each proxy."""
    found: dict[tuple[str, str], list[str]] = {}
    for account in accounts:
        row = providers.PROVIDERS.get(account.provider)
        if row is None or not account.enabled:
            continue
        try:
            parts = urlsplit(providers.base_url(row, account, endpoints))
        except (GatewayError, ValueError):
            continue  # the finding about the account says so
        if parts.scheme in ("http", "https") and parts.netloc:
            url = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/"
            found.setdefault((url, account.proxy_url), []).append(account.label)
    return [Address(url, proxy, tuple(labels)) for (url, proxy), labels in found.items()]


async def network(accounts: Sequence[Account], endpoints: Endpoints, ask: Ask, now: int) -> list[Finding]:
    """One finding for each address that does not answer, or one that all do; then one about the clock. `now`: ms."""
    asked = addresses(accounts, endpoints)
    if not asked:
        return []
    gate = asyncio.Semaphore(AT_ONCE)
    answers = await asyncio.gather(*(_one(address, ask, gate) for address in asked))
    failed = [(address, answer) for address, answer in zip(asked, answers, strict=True) if isinstance(answer, GatewayError)]
    away = [address for address in asked if not address.local]
    if len([address for address, _ in failed if not address.local]) == len(away) > 1:
        first = failed[0][1].message
        fix = "Is this machine online? If it needs a proxy: omni-connector backend edit LABEL --proxy-url http://HOST:PORT"
        return [Finding("warn", "network", f"None of {len(away)} providers can be reached; {first}", fix)]
    findings = [_unreachable(address, error) for address, error in failed]
    if not findings:
        findings = [Finding("ok", "network", f"{len(asked)} {'address' if len(asked) == 1 else 'addresses'} of providers can be reached.")]
    dates = [answer for address, answer in zip(asked, answers, strict=True) if isinstance(answer, str) and not address.local]
    return [*findings, *clock(dates, now)]


async def _one(address: Address, ask: Ask, gate: asyncio.Semaphore) -> str | GatewayError:
    async with gate:
        try:
            return await ask(address.url, address.proxy)
        except GatewayError as error:
            return error


def _unreachable(address: Address, error: GatewayError) -> Finding:
    who = f"used by {', '.join(address.labels[:3])}{' and others' if len(address.labels) > 3 else ''}"
    what, said = f"network {urlsplit(address.url).netloc}", f"{error.message.rstrip('.')} ({who})."
    if "certificate" in error.message:
        fix = (
            "Something between here and there answers in its place, or the clock is wrong. Behind a company's proxy, trust its certificate."
        )
        return Finding("fail", what, said, fix)
    if address.proxy:
        return Finding("warn", what, said, f"Its account has a proxy: omni-connector backend edit '{address.labels[0]}' --proxy-url URL")
    if address.local:
        return Finding("warn", what, said, "Start that program, or: omni-connector backend disable " + f"'{address.labels[0]}'")
    return Finding("warn", what, said, "Check the name and the network; a firewall or DNS filter may hold it back.")


def clock(dates: Sequence[str], now: int) -> list[Finding]:
    """How far this machine's clock is off, by the providers' own (HTTP `Date`); nothing where none was told."""
    offs = [now / 1000 - at for date in dates if (at := _seconds(date)) is not None]
    if not offs:
        return []
    off = median(offs)
    if abs(off) < SKEW_WARN_S:
        return [Finding("ok", "clock", "Right, by the providers' clocks.")]
    said = f"It is {span(int(abs(off) * 1000))} {'ahead' if off > 0 else 'behind'}, by the providers' clocks."
    return [Finding("warn" if abs(off) < SKEW_FAIL_S else "fail", "clock", f"{said} Sign-ins and budgets go by it.", CLOCK_FIX)]


def _seconds(date: str) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp()
    except ValueError:
        return None


def asking(upstream: Upstream) -> Ask:
    """Through the connections that requests take."""

    async def ask(url: str, proxy: str) -> str:
        request = UpstreamRequest("GET", url, {"user-agent": USER_AGENT}, proxy_url=proxy)
        try:
            async with asyncio.timeout(WITHIN_S):
                exchange = await upstream.send(request)
        except TimeoutError as error:
            raise fault(error, urlsplit(url).netloc) from error
        exchange.close()  # its body is not read
        return exchange.headers.get("date", "")

    return ask


async def reach(accounts: Sequence[Account], endpoints: Mapping[str, Mapping[str, str]], now: int) -> list[Finding]:
    """`network`, for real."""
    upstream = Upstream(connect_timeout=WITHIN_S - 1)
    try:
        return await network(accounts, endpoints, asking(upstream), now)
    finally:
        await upstream.close()
