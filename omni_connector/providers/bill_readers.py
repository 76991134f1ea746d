"""What a provider says that a day cost, by the name that its row gives (`Provider.bill`). Pure; whatever comes in, nothing raises.

All of them want a key of their own (`options.usage_key`): an ordinary one may not read what an organisation spent. What they tell is
about the whole organisation, unless `options.usage_project` names the part of it that the account's key belongs to.

OpenAI       GET /v1/organization/costs, an admin key; dollars by day (platform.openai.com, "Costs")
Anthropic    GET /v1/organizations/cost_report, an admin key; cents as text by day (platform.claude.com, "Get Cost Report")
OpenRouter   GET /v1/activity, a management key; dollars by day and model (openrouter.ai/docs, "Get user activity")
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import urlencode

from omni_connector.providers.addresses import ANTHROPIC_VERSION, USER_AGENT, Endpoints, check_url, named_endpoint
from omni_connector.providers.provider import EMPTY, Provider
from omni_connector.snapshot import Account
from omni_connector.values import dataclass

Json = dict[str, Any]
Question = tuple[str, str, dict[str, str], bytes]
"""(method, address, headers, body)."""

ENDPOINT = "usage"
"""The name under which the address can be replaced (`options.endpoints.usage`, endpoints file)."""
MOST = Decimal(1_000_000_000)
MOST_CURSOR = 2_000
"""Characters of a page's mark."""
CENTS = Decimal(100)


@dataclass(frozen=True, slots=True)
class Told:
    """One page. `dollars` None: it says nothing that can be understood. `more`: the mark of the next page, "" at the end."""

    dollars: Decimal | None
    more: str = ""


@dataclass(frozen=True, slots=True)
class Bill:
    """`part`: what `options.usage_project` names there. `query`: (day, that part, the mark of a page) → the address's query."""

    url: str
    needs: str
    part: str
    headers: Callable[[str], dict[str, str]]
    query: Callable[[date, str, str], list[tuple[str, str]]]
    read: Callable[[Json, date, str], Told]


def bill(provider: Provider, account: Account) -> Bill | None:
    """Who tells what a day cost; None: nobody, or the account calls another address than the provider's own."""
    return None if account.base_url else READERS.get(provider.bill)


def part_of(account: Account) -> str:
    """The part of the organisation that the account's key belongs to; "" where the whole is compared."""
    named = account.options.get("usage_project")
    return named.strip()[:200] if isinstance(named, str) else ""


def question(found: Bill, provider: Provider, account: Account, day: date, more: str = "", endpoints: Endpoints = EMPTY) -> Question:
    """GatewayError BAD_REQUEST for a replaced address that is none."""
    named = named_endpoint(ENDPOINT, provider, account, endpoints)
    url = check_url(named, f"options.endpoints.{ENDPOINT}") if named else found.url
    query = urlencode(found.query(day, part_of(account), more))
    headers = {"user-agent": USER_AGENT, "accept": "application/json", **found.headers(account.usage_key)}
    return "GET", f"{url}?{query}", headers, b""


def read(found: Bill, account: Account, answer: Any, day: date) -> Told:
    """A page's parsed JSON → dollars of that day."""
    return found.read(answer, day, part_of(account)) if isinstance(answer, dict) else Told(None)


# ---------------------------------------------------------------- OpenAI, Anthropic


def _bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def _anthropic_headers(key: str) -> dict[str, str]:
    return {"x-api-key": key, "anthropic-version": ANTHROPIC_VERSION}


def _openai_query(day: date, project: str, more: str) -> list[tuple[str, str]]:
    start = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
    query = [("start_time", str(start)), ("end_time", str(start + 86_400)), ("bucket_width", "1d"), ("limit", "1")]
    return query + [("project_ids[]", project)] * bool(project) + [("page", more)] * bool(more)


def _anthropic_query(day: date, workspace: str, more: str) -> list[tuple[str, str]]:
    ends = day + timedelta(days=1)
    query = [("starting_at", f"{day}T00:00:00Z"), ("ending_at", f"{ends}T00:00:00Z"), ("bucket_width", "1d"), ("limit", "1")]
    return query + [("group_by[]", "workspace_id")] * bool(workspace) + [("page", more)] * bool(more)


def _openai(answer: Json, day: date, project: str) -> Told:
    def starts(bucket: Json) -> bool:
        at = _number(bucket.get("start_time"))
        return at is not None and 0 <= at < 10**11 and datetime.fromtimestamp(int(at), UTC).date() == day

    def amount(result: Json) -> Decimal | None:
        told = result.get("amount")
        return _usd(told.get("value"), told.get("currency")) if isinstance(told, dict) else None

    return _buckets(answer, starts, amount)


def _anthropic(answer: Json, day: date, workspace: str) -> Told:
    def amount(result: Json) -> Decimal | None:
        if workspace and result.get("workspace_id") != workspace:
            return Decimal(0)
        cents = _usd(result.get("amount"), result.get("currency"))
        return None if cents is None else cents / CENTS

    return _buckets(answer, lambda bucket: str(bucket.get("starting_at")).startswith(str(day)), amount)


def _buckets(answer: Json, of_the_day: Callable[[Json], bool], amount: Callable[[Json], Decimal | None]) -> Told:
    buckets = answer.get("data")
    if not isinstance(buckets, list):
        return Told(None)
    total = Decimal(0)
    for bucket in buckets:
        if not isinstance(bucket, dict) or not isinstance(results := bucket.get("results"), list):
            return Told(None)
        for result in results if of_the_day(bucket) else ():
            told = amount(result) if isinstance(result, dict) else None
            if told is None:
                return Told(None)
            total += told
    more = answer.get("next_page") if answer.get("has_more") is True else ""
    return Told(total, more if isinstance(more, str) and len(more) <= MOST_CURSOR else "")


# ---------------------------------------------------------------- OpenRouter


def _openrouter_query(day: date, key_hash: str, more: str) -> list[tuple[str, str]]:
    return [("date", str(day))] + [("api_key_hash", key_hash)] * bool(key_hash)


def _openrouter(answer: Json, day: date, key_hash: str) -> Told:
    """What was taken from the credits, and what hosts billed to keys of one's own: both are in what an answer reports."""
    rows = answer.get("data")
    if not isinstance(rows, list):
        return Told(None)
    total = Decimal(0)
    for row in rows:
        if not isinstance(row, dict) or not str(row.get("date")).startswith(str(day)):
            continue
        taken, elsewhere = _usd(row.get("usage")), _usd(row.get("byok_usage_inference") or 0)
        if taken is None or elsewhere is None:
            return Told(None)
        total += taken + elsewhere
    return Told(total)


READERS: Mapping[str, Bill] = {
    "openai": Bill(
        "https://api.openai.com/v1/organization/costs",
        "an admin key (sk-admin-…) of the organisation",
        "the id of the project",
        _bearer,
        _openai_query,
        _openai,
    ),
    "anthropic": Bill(
        "https://api.anthropic.com/v1/organizations/cost_report",
        "an admin key (sk-ant-admin…) of the organisation",
        "the id of the workspace",
        _anthropic_headers,
        _anthropic_query,
        _anthropic,
    ),
    "openrouter": Bill(
        "https://openrouter.ai/api/v1/activity",
        "a management key of the account",
        "the hash of the key",
        _bearer,
        _openrouter_query,
        _openrouter,
    ),
}


# ---------------------------------------------------------------- Values


def _usd(value: Any, currency: Any = "usd") -> Decimal | None:
    found = _number(value) if isinstance(currency, str) and currency.lower() == "usd" else None
    return found if found is not None and abs(found) <= MOST else None


def _number(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str) or len(text := str(value)) > 60:
        return None
    try:
        found = Decimal(text)
    except InvalidOperation:
        return None
    return found if found.is_finite() and abs(found.adjusted()) < 30 else None
