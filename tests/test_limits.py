"""Which limits a request counts against, and what is told of them."""

from __future__ import annotations

from typing import Any

import pytest

from omni_connector.errors import GatewayError, Kind
from omni_connector.limits import Bound, limits_of, refusal
from omni_connector.routing.plan import Overspent
from omni_connector.snapshot import Account, ClientKey, Limit, Snapshot
from omni_connector.store.allowances import Claim, Refused

NOW = 1_800_000_000_000
ACCOUNT = Account("acc_1", "openai", "main", rpm=5, max_in_flight=2)
KEY = ClientKey("key_1", "laptop", "h", "hash", 0, tpm=100, budget={"amount": "2", "period": "day"})


def snapshot(*limits: Limit) -> Snapshot:
    return Snapshot(accounts=(ACCOUNT, Account("acc_2", "groq", "free")), keys={KEY.hash: KEY}, limits=limits)


def names(bounds: Any) -> list[str]:
    return [bound.name for bound in bounds]


def test_all_that_apply_do_the_key_first() -> None:
    limits = limits_of(
        snapshot(
            Limit("model", "gpt-4o", rpm=1),
            Limit("model", "gpt-4o-2024-08-06", rpm=1),
            Limit("provider", "openai", budget={"amount": "1", "period": "month", "mode": "soft"}),
            Limit("installation", max_in_flight=9),
        )
    )
    found = limits.applying("key_1", ACCOUNT, "gpt-4o-2024-11-20")
    assert names(found) == ["key laptop", "this installation", "main", "provider openai", "model gpt-4o"]
    assert [bound.enforced for bound in found] == [True, True, True, False, True]
    assert names(limits.applying("key_2", Account("acc_2", "groq", "free"), "gpt-4o-2024-08-06"))[1:] == [
        "model gpt-4o",
        "model gpt-4o-2024-08-06",
    ]
    assert list(limits_of(Snapshot()).applying("key_1", ACCOUNT, "gpt-4o")) == []


def test_claims_name_the_period_and_what_is_free_asks_no_budget() -> None:
    bound = limits_of(snapshot()).by["key", "key_1"]
    claim = bound.claim(NOW, free=False)
    assert (claim.amount, claim.end_at - claim.start_at, claim.tpm) == (2_000_000_000, 86_400_000, 100)
    assert bound.claim(NOW, free=True) == Claim("key", "key_1", tpm=100)
    soft = limits_of(snapshot(Limit("installation", "", {"amount": "1", "period": "total", "mode": "soft"}, rpm=3)))
    assert soft.by["installation", ""].claim(NOW, free=False) == Claim("installation", "", rpm=3)


def told(limit: Limit, why: Any, **more: Any) -> Overspent | GatewayError:
    bound: Bound = limits_of(snapshot(limit)).by[limit.scope, limit.subject]
    return refusal(bound, Refused(bound.claim(NOW, free=False), why, **more), 3_000_000, NOW)


@pytest.mark.parametrize(
    ("why", "words"),
    [
        ("rpm", "This installation may send 3 requests a minute. Wait, or raise the limit."),
        ("tpm", "This installation may use 4 tokens a minute. Wait, or raise the limit."),
        ("in_flight", "This installation may have 5 requests in flight. Wait, or raise the limit."),
        (
            "held",
            "The budget of this installation has no room for this request ($0.500000 of $1 today, $0.400000 held for requests in flight, ",
        ),
    ],
)
def test_where_nobody_else_helps_the_client_is_told_when_to_come_back(why: str, words: str) -> None:
    limit = Limit("installation", "", {"amount": "1", "period": "day"}, 3, 4, 5)
    error = told(limit, why, until_at=NOW + 20_000, spent=500_000_000, held=400_000_000)
    assert isinstance(error, GatewayError) and (error.kind, error.retry_after) == (Kind.RATE_LIMITED, 20.0)
    assert error.message.startswith(words)


def test_a_candidate_that_is_out_says_so_and_the_next_one_may() -> None:
    over = told(Limit("provider", "openai", rpm=3), "rpm", until_at=NOW + 9)
    assert over == Overspent("provider openai may send 3 requests a minute", NOW + 9, of_key=False)
    spent = told(Limit("model", "gpt-4o", {"amount": "1", "period": "total"}), "spent", spent=10**9)
    assert isinstance(spent, Overspent) and spent.until_at is None
    assert spent.reason == "the budget of model gpt-4o is spent ($1.000000 of $1 in total, at least $0.003000 for this request)"
    assert told(Limit("installation", "", {"amount": "1", "period": "day"}), "spent", spent=10**9).error().kind is Kind.BUDGET_SPENT  # type: ignore[union-attr]
