import math
from collections import Counter
from dataclasses import replace
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from omni_connector.routing.affinity import Home
from omni_connector.routing.policies import order
from omni_connector.routing.pool import Pool
from omni_connector.routing.resolve import Candidate
from omni_connector.routing.score import JUDGES, PARTS, Score, score, stays_home
from omni_connector.snapshot import Account, Snapshot
from tests.routing import plain_score

NOW = 1_800_000_000_000
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


def account(label: str, **more: Any) -> Account:
    return Account(id=f"acc_{label}", provider="groq", label=label, **more)


def window(left: float, resets_in: float | None, name: str = "5h", **more: Any) -> dict[str, Any]:
    resets_at = None if resets_in is None else NOW + int(resets_in)
    return {"name": name, "used": 100 - 100 * left, "limit": 100, "unit": "percent", "resets_at": resets_at, "state": "live", **more}


def house(*accounts: Account) -> tuple[Pool, list[Candidate]]:
    pool = Pool(str.lower)
    pool.sync(Snapshot(1, accounts), NOW)
    return pool, [Candidate(each, "m") for each in accounts]


def scores(*accounts: Account, **more: Any) -> list[Score]:
    pool, candidates = house(*accounts)
    return score(candidates, pool, NOW, **more)


def part(name: str, *accounts: Account, **more: Any) -> list[float]:
    return [each.parts[name] for each in scores(*accounts, **more)]


def first(pool: Pool, candidates: list[Candidate], now: int = NOW, **more: Any) -> str:
    return order("auto", candidates, pool, now, Random(1), **more)[0][0].account.label


# ---------------------------------------------------------------- The table


def test_one_step_of_priority_outweighs_all_else() -> None:
    others = sum(each.weight * (each.high - each.low) for name, each in PARTS.items() if name != "priority")
    assert PARTS["priority"].weight > others
    assert list(PARTS) == list(JUDGES)
    assert all(each.sentence.endswith(".") for each in PARTS.values())


def test_a_failing_or_spent_home_is_left() -> None:
    assert PARTS["errors"].weight / 2 > PARTS["affinity"].weight
    assert PARTS["quota"].weight > PARTS["affinity"].weight
    assert PARTS["load"].weight > PARTS["affinity"].weight
    assert PARTS["affinity"].weight > PARTS["staying"].weight, "of both, a home has no more than the greater"


# ---------------------------------------------------------------- Each part


def test_priority_counts_steps_and_puts_demos_below_all() -> None:
    assert part("priority", account("a", priority=7), account("b", priority=-2), account("c", priority=7), account("d", demo=True)) == [
        0,
        -1000,
        0,
        -2000,
    ]


def test_quota_that_runs_out_soon_is_used_and_what_is_scarce_is_spared() -> None:
    soon = account("soon", quota=(window(0.9, 20 * MINUTE),))
    late = account("late", quota=(window(0.9, 6 * DAY),))
    unknown = account("unknown")
    scarce = account("scarce", quota=(window(0.05, 20 * MINUTE),))
    spent = account("spent", quota=(window(0, 2 * HOUR),))
    points = part("quota", soon, late, unknown, scarce, spent)
    assert points == sorted(points, reverse=True)
    assert points[0] > points[1] > points[2] == 0 > points[3] > points[4] == -60
    words = [each.words for each in scores(soon, unknown, spent)]
    assert words[0] == "90% of 5h left, which resets in 20 min, speed unknown"
    assert words[1] == "quota unknown, speed unknown"
    assert words[2].startswith("0% of 5h left")


def test_the_tightest_window_counts_and_one_that_ended_says_nothing() -> None:
    week = window(0.1, 3 * DAY, "week")
    both, alone = account("a", quota=(window(0.9, 20 * MINUTE), week)), account("b", quota=(week,))
    assert len(set(part("quota", both, alone))) == 1
    assert "10% of week left" in scores(both, account("x"))[0].words
    assert part("quota", account("a", quota=(window(0.02, -MINUTE),))) == [0]
    stale = account("a", quota=(window(0.5, HOUR, state="stale"),))
    assert "(stale)" in scores(stale, account("b"))[0].words


def test_a_window_of_another_model_says_nothing() -> None:  # O-19
    mine, other = window(0.9, 20 * MINUTE, "week"), window(0.0, 3 * DAY, "week", model="other-*")
    assert part("quota", account("a", quota=(mine, other))) == part("quota", account("a", quota=(mine,)))
    assert part("quota", account("a", quota=(other,))) == [0]
    assert "quota unknown" in scores(account("a", quota=(other,)))[0].words
    assert scores(account("a", quota=(mine, {**other, "model": "M"})))[0].words.startswith("0% of week left for M, which resets in 3 d")


@pytest.mark.parametrize(
    "row",
    [
        {},
        window(0.5, HOUR, state="unknown"),
        window(0.5, HOUR, limit=0),
        window(0.5, HOUR, limit=None),
        window(0.5, HOUR, used=float("nan")),
        window(0.5, HOUR, used=True),
        window(0.5, HOUR, limit="a lot"),
    ],
)
def test_a_quota_that_says_nothing_is_unknown_and_not_spent(row: dict[str, Any]) -> None:
    only = scores(account("a", quota=(row,)))[0]
    assert (only.parts["quota"], "quota unknown" in only.words) == (0, True)


def test_money_that_will_not_last_is_spared() -> None:
    def told(amount: str | None, usable: bool | None = None) -> Account:
        return account(str(amount) + str(usable), balance={"amount": amount, "currency": "USD", "usable": usable})

    rich, poor, broke = told("20.00", True), told("0.25"), told("-0.01")
    barred, silent = told("20.00", False), told(None)
    assert part("balance", rich, poor, broke, barred, silent, account("u")) == [0, -45, -60, -60, 0, 0]
    assert part("balance", rich, poor, price=lambda _: Decimal(2)) == [-30, -60 + round(60 * 0.25 / 40)]
    assert part("balance", broke, price=lambda _: Decimal(0)) == [0]  # a free model needs no money


def test_load_is_measured_by_weight_and_against_the_least_loaded() -> None:
    pool, three = house(account("a"), account("b", weight=4), account("c", weight=0))
    for _ in range(4):
        pool.acquire(three[0].account, "m", NOW)
        pool.acquire(three[1].account, "m", NOW)
    points = [each.parts["load"] for each in score(three, pool, NOW)]
    assert points == [-27, -3, 0]


def test_speed_is_held_against_the_median_and_forgotten_in_time() -> None:
    pool, three = house(account("fast"), account("new"), account("slow"))
    pool.record("acc_fast", True, 100, "", NOW)
    pool.record("acc_slow", True, 900, "", NOW)
    fast, new, slow = (each.parts["latency"] for each in score(three, pool, NOW))
    assert fast > new == 0 > slow
    assert score(three, pool, NOW)[1].words == "speed unknown, quota unknown"
    much_later = score(three, pool, NOW + DAY)
    assert {each.parts["latency"] for each in much_later} == {0}
    assert first(pool, three) == "fast"
    assert {order("auto", three, pool, NOW + DAY, Random(seed))[0][0].account.label for seed in range(30)} == {"fast", "new", "slow"}


def test_errors_weigh_and_fade_so_that_nobody_is_left_out_for_good() -> None:
    pool, pair = house(account("a"), account("b"))
    for _ in range(20):
        pool.record("acc_a", False, None, "UPSTREAM", NOW)
    now, later, next_day = (score(pair, pool, NOW + ms)[0] for ms in (0, 10 * MINUTE, DAY))
    assert (now.parts["errors"], now.words) == (-99, "failed lately, quota unknown, speed unknown")
    assert -15 < later.parts["errors"] < -10
    assert later.words.startswith("25% of its requests failed lately")
    assert next_day.parts["errors"] == 0


def test_price_is_relative_and_small_sums_hardly_matter() -> None:
    prices = {"free": "0", "cheap": "0.01", "dear": "0.10", "tiny": "0.00001"}
    ask = lambda c: Decimal(prices[c.account.label]) if c.account.label in prices else None  # noqa: E731
    assert part("price", account("cheap"), account("dear"), account("u"), price=ask) == [0, -27, -27]
    assert part("price", account("free"), account("cheap"), account("tiny"), account("u"), price=ask) == [0, -27, 0, -27]
    assert part("price", account("cheap"), account("u"), price=ask) == [0, -15]
    assert part("price", account("cheap"), account("dear")) == [0, 0]  # nobody asked
    assert "price unknown" in scores(account("u"), price=ask)[0].words
    assert part("price", account("cheap"), price=lambda _: Decimal("NaN")) == [-15]


def of_home(tokens: int, *accounts: Account, **more: Any) -> list[tuple[float, float]]:
    """Points for affinity and for staying, of each; the conversation is at home at acc_a."""
    pair = accounts or (account("a"), account("b"))
    found = scores(*pair, home=Home("acc_a", NOW, tokens), **more)
    return [(each.parts["affinity"], each.parts["staying"]) for each in found]


def test_a_home_is_worth_what_its_cache_saves() -> None:
    dear = of_home(50_000, saving=lambda _, tokens: tokens * Decimal("0.000003"))
    assert dear == [(44, 0), (0, 0)]
    assert of_home(50_000, account("b"), account("c")) == [(0, 0), (0, 0)]
    pair = account("a"), account("b")
    words = scores(*pair, home=Home("acc_a", NOW, 50_000), saving=lambda *_: Decimal("0.15"))[0].words
    assert "its cache saves $0.150000" in words


def test_a_home_has_its_floor_where_the_cache_has_no_price() -> None:
    """None may be given, unknown, nothing at all, or next to nothing: the sum of both parts is that of the prompt's size."""
    unpriced: list[Any] = [None, lambda *_: None, lambda *_: Decimal(0), lambda *_: Decimal("NaN"), lambda *_: Decimal("-1")]
    for saving in unpriced:
        assert [of_home(tokens, saving=saving)[0] for tokens in (0, 8_000, 10**7)] == [(0, 32), (0, 36), (0, 40)]
        assert of_home(8_000, saving=saving)[1] == (0, 0)
    assert of_home(8_000, saving=lambda *_: Decimal("0.0001"))[0] == (1, 35)
    assert "has this conversation (50000 tokens)" in scores(account("a"), account("b"), home=Home("acc_a", NOW, 50_000))[0].words


def test_the_floor_melts_where_the_home_is_dearer_or_much_slower() -> None:
    prices = {"a": Decimal("0.02"), "b": Decimal("0.01")}
    assert of_home(0, price=lambda c: prices[c.account.label])[0] == (0, 17)
    assert of_home(0, price=lambda c: None if c.account.label == "a" else Decimal(0))[0] == (0, 32), "unknown is not dear"

    def floor(ms: int, now: int = NOW) -> float:
        pool, three = house(account("a"), account("b"), account("c"))
        pool.record("acc_a", True, ms, "", NOW)
        for other in ("acc_b", "acc_c"):
            pool.record(other, True, 500, "", now)
        return score(three, pool, now, home=Home("acc_a", NOW, 0))[0].parts["staying"]

    assert [floor(ms) for ms in (1, 500, 2600, 5400, 11_000)] == [32, 32, 32, 16, 8]
    assert floor(8000, NOW + DAY) == 32, "who was slow a day ago may be as fast as any"


# ---------------------------------------------------------------- What comes of it


def test_a_home_is_kept_through_small_differences_and_left_for_large_ones() -> None:
    pool, two = house(account("home"), account("other"))
    home = Home("acc_home", NOW, 20_000)
    pool.record("acc_home", True, 600, "", NOW)
    pool.record("acc_other", True, 400, "", NOW)
    for _ in range(3):
        pool.acquire(two[0].account, "m", NOW)
    assert first(pool, two, home=home) == "home"
    assert first(pool, two) == "other"
    for _ in range(30):
        pool.acquire(two[0].account, "m", NOW)
    assert first(pool, two, home=home) == "other"


@pytest.mark.parametrize(
    "worse",
    [
        {"priority": -1},
        {"quota": (window(0.0, DAY),)},
        {"balance": {"amount": "5", "currency": "USD", "usable": False}},
    ],
)
def test_a_much_worse_home_loses_however_much_is_cached(worse: dict[str, Any]) -> None:
    pool, two = house(account("home", **worse), account("other"))
    assert first(pool, two, home=Home("acc_home", NOW, 10**7)) == "other"


def test_a_failing_home_loses_and_is_home_again_when_the_failure_is_old() -> None:
    pool, two = house(account("home"), account("other"))
    home = Home("acc_home", NOW, 10**6)
    pool.record("acc_home", False, None, "UPSTREAM", NOW)
    assert first(pool, two, home=home) == "other"
    assert first(pool, two, NOW + 2 * MINUTE, home=home) == "home"


def test_the_home_decided_when_it_would_not_be_first_without() -> None:
    pool, two = house(account("home"), account("other"))
    home = Home("acc_home", NOW, 20_000)

    def decided(**more: Any) -> bool:
        return stays_home([points for _, points in order(more.pop("policy", "auto"), two, pool, NOW, Random(1), **more)])

    assert decided(home=home) and not decided()
    pool.record("acc_home", True, 600, "", NOW)
    pool.record("acc_other", True, 400, "", NOW)
    assert decided(home=home) and not decided(policy="performance", home=home)
    pool.record("acc_other", True, 4000, "", NOW)
    assert not decided(home=home), "it is the fastest anyway"
    pool.record("acc_home", False, None, "UPSTREAM", NOW)
    assert not decided(home=home), "it is left"
    assert not stays_home([]) and not stays_home(score(two[:1], pool, NOW, home=home))


def test_many_conversations_with_one_home_do_not_starve_the_others() -> None:
    pool, three = house(account("home"), account("b"), account("c"))
    for _ in range(90):
        chosen = order("auto", three, pool, NOW, Random(1), home=Home("acc_home", NOW, 100_000))[0][0]
        pool.acquire(chosen.account, "m", NOW)
    served = Counter({each.account.label: pool.live(each.account.id).in_flight for each in three})
    assert served["home"] > served["b"] >= 10
    assert served["c"] >= 10


def test_a_single_candidate_says_what_is_known_of_it() -> None:
    assert scores() == []
    pool, one = house(account("a", quota=(window(0.1, HOUR),)))
    pool.record("acc_a", True, 50, "", NOW)
    assert score(one, pool, NOW)[0].words == "10% of 5h left, which resets in 60 min"
    calm = replace(one[0], account=account("a", quota=(window(0.0001, HOUR, used=80),)))
    pool.sync(Snapshot(2, (calm.account,)), NOW)
    assert score([calm], pool, NOW)[0].words == "20% of 5h left, which resets in 60 min"


# ---------------------------------------------------------------- Whatever the state

NUMBERS = st.none() | st.integers(-10, 10**15) | st.floats() | st.booleans() | st.sampled_from(["", "12.5", "nan", "1e999", "many"])
QUOTA = st.lists(
    st.fixed_dictionaries(
        {"name": st.just("5h"), "used": NUMBERS, "limit": NUMBERS, "resets_at": NUMBERS | st.integers(NOW - DAY, NOW + 35 * DAY)},
        optional={"state": st.sampled_from(["live", "stale", "estimated", "unknown"])},
    ),
    max_size=3,
)
ACCOUNTS = st.lists(
    st.builds(
        lambda n, quota, amount, **more: account(f"a{n}", quota=tuple(quota), balance={"amount": amount, "usable": None}, **more),
        st.integers(0, 9),
        QUOTA,
        NUMBERS,
        priority=st.integers(-2, 2),
        weight=st.integers(0, 5),
        demo=st.booleans(),
    ),
    min_size=1,
    max_size=6,
    unique_by=lambda each: each.id,
)
HISTORY = st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.none() | st.integers(0, 600_000), st.integers(0, 3 * HOUR)), max_size=25)
PRICES = st.lists(st.none() | st.decimals() | st.decimals(0, 5, places=6), min_size=6, max_size=6)
HOMES = st.none() | st.builds(Home, st.integers(0, 9).map(lambda n: f"acc_a{n}"), st.just(NOW), st.integers(0, 10**7))


@given(ACCOUNTS, HISTORY, PRICES, HOMES, st.integers())
def test_points_are_finite_in_range_and_repeatable(
    accounts: list[Account], history: list[tuple[int, bool, int | None, int]], prices: list[Decimal | None], home: Home | None, seed: int
) -> None:
    pool, candidates = house(*accounts)
    for which, ok, ms, ago in history:
        if which < len(accounts):
            pool.acquire(accounts[which], "m", NOW)
            pool.record(accounts[which].id, ok, ms, "", NOW - ago)
    price = lambda c: prices[candidates.index(c)]  # noqa: E731
    for each in score(candidates, pool, NOW, price, home, lambda c, _: prices[candidates.index(c)]):
        assert each.total == sum(each.parts.values())
        assert each.words
        assert sum(each.parts[name] for name in ("affinity", "staying")) <= PARTS["affinity"].weight + 1
        for name, points in each.parts.items():
            assert math.isfinite(points)
            assert PARTS[name].low * PARTS[name].weight <= points <= PARTS[name].high * PARTS[name].weight
    once = order("auto", candidates, pool, NOW, Random(seed), price, home=home)
    assert once == order("auto", candidates, pool, NOW, Random(seed), price, home=home)
    standings = [(not c.account.demo, c.account.priority) for c, _ in once]
    assert standings == sorted(standings, reverse=True)


@given(st.integers(1, 6), st.integers(0, 5), st.integers(0, 10**6), st.integers(0, 50), st.integers())
def test_a_home_like_the_others_is_kept(count: int, which: int, tokens: int, busy: int, seed: int) -> None:
    accounts = [account(f"a{n}") for n in range(count)]
    pool, candidates = house(*accounts)
    for each in accounts:
        pool.record(each.id, True, 300, "", NOW)
        for _ in range(busy):
            pool.acquire(each, "m", NOW)
    wanted = accounts[which % count]
    placed = order("auto", candidates, pool, NOW, Random(seed), home=Home(wanted.id, NOW, tokens))
    assert placed[0][0].account == wanted


@given(st.decimals(0, 100, places=8), st.lists(st.decimals(0, 100, places=8), max_size=4))
@example(Decimal(0), [])
def test_an_unknown_price_beats_no_known_one(cheap: Decimal, others: list[Decimal]) -> None:
    prices = [None, cheap, *others]
    accounts = [account(str(n)) for n in range(len(prices))]
    points = part("price", *accounts, price=lambda c: prices[int(c.account.label)])
    assert points[0] <= min(points[1:])
    assert points[0] < max(points)


@given(st.floats(0.2, 1), st.none() | st.integers(1, 35 * DAY))
@example(0.2, None)
def test_an_unknown_quota_never_beats_one_known_to_be_good(left: float, resets_in: int | None) -> None:
    known, unknown = part("quota", account("a", quota=(window(left, resets_in),)), account("b"))
    assert known >= unknown == 0
    if left >= 0.21:
        assert known > unknown


# ---------------------------------------------------------------- Beside the plain computation

shares = st.sampled_from([0.0, 0.03, 0.19, 0.5, 0.91, 1.0])
quotas = st.lists(
    st.builds(
        window,
        shares,
        st.sampled_from([None, -MINUTE, 20 * MINUTE, 6 * DAY]),
        st.sampled_from(["5h", "week"]),
        state=st.sampled_from(["live", "stale", "unknown"]),
        model=st.sampled_from(["", "m", "other-*"]),
    ),
    max_size=3,
).map(tuple)
balances = st.none() | st.fixed_dictionaries(
    {"amount": st.sampled_from([None, "-1", "0.25", "20"]), "usable": st.sampled_from([None, True, False]), "currency": st.just("USD")}
)
traits = st.fixed_dictionaries(
    {
        "demo": st.booleans(),
        "priority": st.integers(-1, 1),
        "weight": st.integers(-1, 3),
        "quota": st.just(()) | quotas,
        "balance": balances,
    }
)
outcomes = st.tuples(
    st.booleans(),
    st.none() | st.sampled_from([0, 3, 40, 900, 20_000]),
    st.sampled_from([0, 1000, MINUTE - 1, MINUTE, MINUTE + 1, HOUR]),
    st.sampled_from(["", "m", "n"]),
)
lives = st.tuples(st.integers(0, 9), st.lists(outcomes, max_size=45))
amounts = st.none() | st.sampled_from([Decimal(0), Decimal("0.01"), Decimal("3"), Decimal(-1), Decimal("NaN")])


@given(
    st.lists(st.tuples(traits | st.just({}), lives, amounts, amounts), min_size=1, max_size=6),
    st.none() | st.tuples(st.integers(0, 7), st.sampled_from([0, 700, 90_000])),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_a_tier_at_once_is_scored_as_each_by_itself(
    drawn: list[Any], at_home: tuple[int, int] | None, priced: bool, saves: bool, twice: bool
) -> None:
    pool, candidates = house(*(account(str(n), **own) for n, (own, _, _, _) in enumerate(drawn)))
    for candidate, (_, (flying, ended), _, _) in zip(candidates, drawn, strict=True):
        for _ in range(flying):
            pool.acquire(candidate.account, "m", NOW)
        for ok, ms, ago, family in sorted(ended, key=lambda one: -one[2]):
            pool.record(candidate.account.id, ok, ms, "", NOW - ago, family)
    prices = {candidate.account.id: price for candidate, (_, _, price, _) in zip(candidates, drawn, strict=True)}
    savings = {candidate.account.id: saved for candidate, (_, _, _, saved) in zip(candidates, drawn, strict=True)}
    if twice:  # accounts with more than one model
        candidates += [Candidate(candidate.account, "n") for candidate in candidates[:2]]
    more: dict[str, Any] = {
        "price": (lambda one: prices[one.account.id]) if priced else None,
        "home": None if at_home is None else Home(f"acc_{at_home[0]}", NOW - 1, at_home[1]),
        "saving": (lambda one, _: savings[one.account.id]) if saves else None,
    }
    plain = plain_score.score(candidates, pool, NOW, **more)
    at_once = score(candidates, pool, NOW, **more)
    assert [(one.total, dict(one.parts), one.words) for one in at_once] == [(one.total, dict(one.parts), one.words) for one in plain]
    assert [repr(one.total) for one in at_once] == [repr(one.total) for one in plain]
