from collections import Counter
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_connector.errors import GatewayError
from omni_connector.routing.affinity import Home
from omni_connector.routing.policies import POLICIES, order
from omni_connector.routing.pool import Pool
from omni_connector.routing.resolve import Candidate
from omni_connector.snapshot import Account, Snapshot

NOW = 1_800_000_000_000


def account(label: str, **more: Any) -> Account:
    return Account(id=f"acc_{label}", provider="groq", label=label, **more)


def house(*accounts: Account) -> tuple[Pool, list[Candidate]]:
    pool = Pool(str.lower)
    pool.sync(Snapshot(1, accounts), NOW)
    return pool, [Candidate(each, "m") for each in accounts]


def ranked(policy: str, pool: Pool, candidates: list[Candidate], **more: Any) -> str:
    return "".join(c.account.label for c, _ in order(policy, candidates, pool, NOW, Random(1), **more))


def test_auto_prefers_priority_then_health_then_load_then_speed_then_rest() -> None:
    pool, five = house(account("e", last_used_at=NOW - 1), account("d"), account("c"), account("b"), account("a", priority=5))
    pool.record("acc_a", False, None, "UPSTREAM", NOW)  # preferred all the same
    pool.acquire(five[0].account, "m", NOW)
    pool.record("acc_d", False, None, "UPSTREAM", NOW)
    pool.record("acc_c", True, 500, "", NOW)
    pool.record("acc_b", True, 300, "", NOW)
    assert ranked("auto", pool, five) == "abced"
    reasons = {c.account.label: points.words for c, points in order("auto", five, pool, NOW, Random(1))}
    assert reasons["b"] == "priority 0, no failures, 0 in flight of weight 1, first token after 300 ms, quota unknown"
    assert reasons["d"] == "priority 0, failed lately, 0 in flight of weight 1, speed unknown, quota unknown"


def test_auto_spreads_by_weight() -> None:  # J-04
    pool, pair = house(account("a", weight=3), account("b"))
    for _ in range(8):
        pool.acquire(order("auto", pair, pool, NOW, Random(1))[0][0].account, "m", NOW)
    assert (pool.live("acc_a").in_flight, pool.live("acc_b").in_flight) == (6, 2)


def test_an_unmeasured_account_gets_its_chance_in_the_middle() -> None:
    pool, three = house(account("slow"), account("new"), account("fast"))
    pool.record("acc_slow", True, 900, "", NOW)
    pool.record("acc_fast", True, 100, "", NOW)
    assert [c.account.label for c, _ in order("performance", three, pool, NOW, Random(1))] == ["fast", "new", "slow"]


def test_performance_puts_failing_accounts_last() -> None:
    pool, pair = house(account("a"), account("b", priority=9))
    pool.record("acc_a", True, 100, "", NOW)
    pool.record("acc_b", True, 300, "", NOW)
    assert ranked("performance", pool, pair) == "ab"
    pool.record("acc_a", False, None, "TIMEOUT", NOW)
    assert ranked("performance", pool, pair) == "ba"


def test_cost_takes_unknown_prices_last_and_free_first() -> None:
    pool, three = house(account("u"), account("p"), account("f"))
    prices = {"p": Decimal("0.01"), "f": Decimal(0)}
    entries = order("cost", three, pool, NOW, Random(1), lambda c: prices.get(c.account.label))
    assert [(c.account.label, points.words) for c, points in entries] == [
        ("f", "$0 for this request"),
        ("p", "$0.01 for this request"),
        ("u", "price unknown"),
    ]
    assert {points.words for _, points in order("cost", three, pool, NOW, Random(1))} == {"price unknown"}


def test_round_robin_is_fair_also_while_others_come_and_go() -> None:  # P-04
    pool, four = house(*(account(label, created_at=n) for n, label in enumerate("abcd")))
    served: Counter[str] = Counter()
    passed_over: Counter[str] = Counter()
    for turn in range(120):
        present = four[:2] if turn % 2 else four[2:]  # one counter for all would always start with the same of two
        if turn >= 60:
            present = [four[0], four[1 + turn % 3]]
        first = order("round-robin", present, pool, NOW, Random(turn))[0][0].account
        pool.release(pool.acquire(first, "m", NOW))
        passed_over.update(c.account.label for c in present)
        del passed_over[first.label]
        assert max(passed_over.values()) < len(four)
        if turn < 60:
            served[first.label] += 1
    assert set(served.values()) == {15}


def test_fill_first_and_lru() -> None:  # P-04, C-100
    first, second = account("a", created_at=1), account("b", created_at=2, last_used_at=NOW - 5000)
    pool, three = house(second, account("c", created_at=3, priority=1, last_used_at=NOW), first)
    assert ranked("fill-first", pool, three) == "cab"
    assert ranked("lru", pool, three) == "abc"
    waited = [points.words for _, points in order("lru", three, pool, NOW, Random(1))]
    assert waited == ["never used", "last used 5 s ago", "last used 0 s ago"]


def test_an_unknown_policy_names_the_known_ones() -> None:
    pool, one = house(account("a"))
    with pytest.raises(GatewayError, match="round-robin"):
        order("cheapest", one, pool, NOW, Random(1))


ACCOUNTS = st.lists(
    st.builds(
        lambda n, priority, weight, demo: account(f"a{n}", priority=priority, weight=weight, demo=demo, created_at=n),
        st.integers(0, 99),
        st.integers(-1, 1),
        st.integers(0, 3),
        st.booleans(),
    ),
    max_size=7,
    unique_by=lambda each: each.id,
)
HISTORY = st.lists(st.tuples(st.integers(0, 6), st.booleans(), st.none() | st.integers(0, 5000)), max_size=30)


@given(ACCOUNTS, HISTORY, st.sampled_from(sorted(POLICIES)), st.integers())
def test_every_policy_permutes_repeats_itself_and_keeps_demo_last(
    accounts: list[Account], history: list[tuple[int, bool, int | None]], policy: str, seed: int
) -> None:
    pool, candidates = house(*accounts)
    for which, ok, ms in history:
        if which < len(accounts):
            pool.acquire(accounts[which], "m", NOW)
            pool.record(accounts[which].id, ok, ms, "", NOW)
    once = order(policy, candidates, pool, NOW, Random(seed))
    assert once == order(policy, candidates, pool, NOW, Random(seed))
    assert sorted(c.key for c, _ in once) == sorted(c.key for c in candidates)
    demos = [c.account.demo for c, _ in once]
    assert demos == sorted(demos)
    assert all(points.words for _, points in once)
    assert all(bool(points.parts) == (policy == "auto") for _, points in once)


@given(ACCOUNTS, HISTORY, st.integers())
def test_auto_is_the_order_of_the_totals(accounts: list[Account], history: list[tuple[int, bool, int | None]], seed: int) -> None:
    pool, candidates = house(*accounts)
    for which, ok, ms in history:
        if which < len(accounts):
            pool.acquire(accounts[which], "m", NOW)
            pool.record(accounts[which].id, ok, ms, "", NOW)
    placed = order("auto", candidates, pool, NOW, Random(seed))
    totals = [points.total for _, points in placed]
    assert totals == sorted(totals, reverse=True)
    standings = [(not c.account.demo, c.account.priority) for c, _ in placed]
    assert standings == sorted(standings, reverse=True)


@given(ACCOUNTS)
def test_fill_first_is_priority_and_then_age(accounts: list[Account]) -> None:  # P-04
    pool, candidates = house(*accounts)
    placed = [c.account for c, _ in order("fill-first", candidates, pool, NOW, Random(1))]
    assert placed == sorted(accounts, key=lambda each: (each.demo, -each.priority, each.created_at, each.id))


@given(st.lists(st.sets(st.integers(0, 4), min_size=1), min_size=1, max_size=40))
def test_round_robin_passes_nobody_over_twice_for_the_same_one(present: list[set[int]]) -> None:  # P-04
    pool, five = house(*(account(label, created_at=n) for n, label in enumerate("abcde")))
    waited: dict[int, set[int]] = {n: set() for n in range(5)}
    for there in present:
        first = order("round-robin", [five[n] for n in sorted(there)], pool, NOW, Random(1))[0][0]
        served = five.index(first)
        pool.release(pool.acquire(first.account, "m", NOW))
        waited[served] = set()
        for n in there - {served}:
            assert served not in waited[n]
            waited[n].add(served)


def test_speed_and_failures_are_those_of_the_model() -> None:
    pool, pair = house(account("a"), account("b"))
    for label, quick in (("a", "m"), ("b", "big")):
        pool.record(f"acc_{label}", True, 100, "", NOW, quick)
        pool.record(f"acc_{label}", True, 5000, "", NOW, "big" if quick == "m" else "m")
    assert (ranked("performance", pool, pair), ranked("auto", pool, pair)) == ("ab", "ab")
    other = [Candidate(one.account, "big") for one in pair]
    assert (ranked("performance", pool, other), ranked("auto", pool, other)) == ("ba", "ba")


def test_equal_prices_are_decided_by_the_score() -> None:
    pool, pair = house(account("a"), account("b"))
    pool.acquire(pair[0].account, "m", NOW)
    assert ranked("cost", pool, pair, price=lambda _: Decimal("0.02")) == "ba"
    assert ranked("cost", pool, pair, price=lambda _: Decimal("0.02"), home=Home("acc_a", NOW, 20_000)) == "ab"


@pytest.mark.parametrize("policy", POLICIES)
def test_dice_choose_among_accounts_and_never_among_the_models_of_one(policy: str) -> None:
    pool, pair = house(account("a"), account("b"))
    every = [Candidate(one.account, model) for one in pair for model in ("best", "second", "third")]
    first = set()
    for seed in range(20):
        placed = [candidate for candidate, _ in order(policy, every, pool, NOW, Random(seed))]
        first.add(placed[0].account.label)
        for label in "ab":
            assert [one.model for one in placed if one.account.label == label] == ["best", "second", "third"]
    assert first == ({"a", "b"} if policy in ("auto", "performance", "cost") else {"a"})
