from decimal import Decimal
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_connector.errors import Kind
from omni_connector.routing.affinity import Home
from omni_connector.routing.drawing import Drawing
from omni_connector.routing.health import FOREVER
from omni_connector.routing.plan import Overspent, Plan, earliest_recovery, failures, going_on, make_plan, refusal
from omni_connector.routing.policies import POLICIES
from omni_connector.routing.pool import Pool
from omni_connector.routing.resolve import Candidate, Resolution
from omni_connector.snapshot import Account, ClientKey, Cooldown, Snapshot

NOW = 1_800_000_000_000


def account(label: str, provider: str = "groq", **more: Any) -> Account:
    return Account(id=f"acc_{label}", provider=provider, label=label, models=("m",), **more)


def cold(label: str, source: Any, seconds: float, scope: str = "", step: int = 0) -> Cooldown:
    until = FOREVER if source == "terminal" else NOW + int(seconds * 1000)
    return Cooldown(f"acc_{label}", scope, until, source, "rate limited", step, NOW)


def client_key(**limits: Any) -> ClientKey:
    return ClientKey("key_1", "laptop", "omni-Ab3d…", "hash", 0, **limits)


def plan_for(
    *tiers: tuple[Account, ...],
    cooldowns: tuple[Cooldown, ...] = (),
    needs: dict[str, str] | None = None,
    key: ClientKey | None = None,
    policy: str = "fill-first",
    kind: Any = "auto",
    pool: Pool | None = None,
    **more: Any,
) -> Plan:
    if pool is None:
        pool = Pool(str.lower)
        pool.sync(Snapshot(1, tuple(a for tier in tiers for a in tier), cooldowns=cooldowns), NOW)
    resolution = Resolution(kind, "night" if kind == "chain" else "auto", tuple(tuple(Candidate(a, "m") for a in tier) for tier in tiers))
    return make_plan(resolution, needs or {}, key, pool, policy, NOW, Random(1), **more)


def tried(plan: Plan) -> list[str]:
    return [candidate.account.label for candidate in plan.attempts]


def reasons(plan: Plan) -> dict[str, str]:
    return {entry.account: entry.reason for entry in plan.skipped}


def test_a_tier_is_exhausted_before_the_next() -> None:
    plan = plan_for((account("b"), account("a")), (account("z", priority=99), account("y")), kind="chain")
    assert tried(plan) == ["a", "b", "z", "y"]
    assert plan.route == "chain night, fill-first: groq/a first of 4, quota unknown"
    assert len(plan.reasons) == 4


def test_a_plan_carries_the_score_of_each_attempt() -> None:  # O-19
    prices = {"a": Decimal("0.02"), "b": Decimal("0.01")}
    tiers = (account("a"), account("b")), (account("z"),)
    plan = plan_for(*tiers, policy="auto", price=lambda c: prices.get(c.account.label))
    assert tried(plan) == ["b", "a", "z"]
    assert [points.parts["price"] for points in plan.scores] == [0, -14, -15]
    assert [points.total for points in plan.scores] == [sum(points.parts.values()) for points in plan.scores]
    assert plan.reasons == tuple(points.words for points in plan.scores)
    assert plan.reasons[0] == "$0.01 for this request, quota unknown, speed unknown"
    unscored = plan_for(*tiers, policy="lru")
    assert [(points.total, dict(points.parts)) for points in unscored.scores] == [(0, {})] * 3
    moved = going_on(plan, "acc_a")
    assert (tried(moved), moved.scores[0].parts["price"]) == (["a", "b", "z"], -14)
    assert moved.reasons == ("gave the answer that this goes on from", plan.reasons[0], plan.reasons[2])
    assert going_on(plan, "acc_z").tiers == (1, 0, 0)
    assert moved.route == "auto: groq/b first of 3, quota unknown; groq/a goes on with its answer"
    assert going_on(plan, "acc_b").route == plan.route == "auto: groq/b first of 3, quota unknown"


def test_the_route_says_when_a_conversation_stays_home() -> None:  # O-19
    tiers = (account("a"), account("b")), (account("z"),)
    home = Home("acc_b", NOW, 5000)
    assert plan_for(*tiers, policy="auto", home=home).route == "auto: groq/b first of 3, stays home, quota unknown"
    assert "stays home" not in plan_for(*tiers, policy="auto", home=Home("acc_z", NOW, 5000)).route, "its tier is not the first"
    assert "stays home" not in plan_for(*tiers, policy="lru", home=home).route
    assert "stays home" not in plan_for((account("a"), account("b", priority=1)), policy="auto", home=home).route, "it is first anyway"
    assert "stays home" not in plan_for((account("b"),), policy="auto", home=home).route, "there is no choice"


def test_a_quota_of_another_model_is_no_known_quota() -> None:
    row = {"name": "week", "used": 1, "limit": 2}
    assert "quota unknown" not in plan_for((account("a", quota=(row,)),)).route
    assert "quota unknown" not in plan_for((account("a", quota=({**row, "model": "M"},)),)).route
    assert "quota unknown" in plan_for((account("a", quota=({**row, "model": "n"},)),)).route


def test_a_plan_says_what_ordered_it_and_is_kept_small() -> None:  # O-19
    plan = plan_for((account("a", priority=1), account("b")), (account("c"),), policy="auto")
    assert (plan.policy, plan.tiers) == ("auto", (0, 0, 1))
    kept = plan.as_json()
    assert [(one["account"], one["tier"], one["reason"]) for one in kept["candidates"]] == [
        ("a", 1, plan.reasons[0]),
        ("b", 1, plan.reasons[1]),
        ("c", 2, plan.reasons[2]),
    ]
    assert kept["candidates"][1]["score"] == {"total": -1000.0, "parts": {"priority": -1000.0}}
    assert (kept["policy"], kept["panic"], kept["more"]) == ("auto", False, 0)

    many = plan_for(tuple(account(f"a{n}") for n in range(25)), policy="lru").as_json()
    assert (len(many["candidates"]), many["more"], many["candidates"][0]["score"]) == (20, 5, None)

    panic = plan_for((account("a"),), (account("b"),), cooldowns=(cold("a", "terminal", 0), cold("b", "guessed", 9)))
    assert (tried(panic), panic.tiers, panic.as_json()["panic"]) == (["b"], (1,), True)
    assert plan_for((account("a"),), cooldowns=(cold("a", "terminal", 0),)).as_json()["candidates"] == []


def test_a_conversation_goes_home_unless_the_home_is_out() -> None:
    two = (account("a"), account("b"), account("c"))
    home = Home("acc_b", NOW, 0)
    assert tried(plan_for(two, policy="auto", home=home))[0] == "b"
    for cooling in ("stated", "guessed", "terminal"):
        plan = plan_for(two, policy="auto", home=home, cooldowns=(cold("b", cooling, 30),))
        assert "b" not in tried(plan)
        assert plan.attempts
    full = (account("a"), account("b", max_in_flight=0))
    assert tried(plan_for(full, policy="auto", home=home)) == ["a"]


def test_who_is_only_busy_may_be_asked_again_in_a_moment() -> None:  # O-21
    full, cooling = account("full", max_in_flight=1), account("cold")
    pool = Pool(str.lower)
    pool.sync(Snapshot(1, (full, cooling), cooldowns=(cold("cold", "stated", 600),)), NOW)
    assert earliest_recovery(plan_for((full,), (cooling,), pool=pool), NOW) == 600
    pool.acquire(full, "m", NOW)
    plan = plan_for((full,), (cooling,), pool=pool)
    assert (tried(plan), refusal(plan, NOW).retry_after) == ([], 1)
    assert earliest_recovery(plan_for((account("shut", max_in_flight=0),)), NOW) is None, "a limit of 0 is no queue"


def test_every_skipped_candidate_says_why() -> None:  # O-19, O-21
    plan = plan_for(
        (
            account("ok", quota=({"name": "5h"},)),
            account("off", enabled=False),
            account("login", state="needs_login", state_reason="revoked"),
            account("full", max_in_flight=0),
            account("cold"),
            account("blind", features=frozenset({"no_vision"})),
            account("says", options={"capabilities": {"vision": False}}),
            account("far", "openai"),
        ),
        cooldowns=(cold("cold", "stated", 28),),
        needs={"vision": "messages[2]"},
        key=client_key(providers=("groq",)),
    )
    assert tried(plan) == ["ok"]
    assert reasons(plan) == {
        "off": "disabled",
        "login": "needs login: revoked",
        "full": "0 of 0 in flight",
        "cold": "cooling, rate limited: back in 28 s, because the provider said so",
        "blind": "cannot do vision, which messages[2] asks for",
        "says": "cannot do vision, which messages[2] asks for",
        "far": "this omni-key may not use provider openai",
    }
    assert plan.route == "fill-first: groq/ok only, 7 skipped"
    lines = failures(plan)
    assert all(line.skipped and line.status is None for line in lines)
    assert plan.skipped[0].as_json() == {"account": "off", "provider": "groq", "model": "m", "reason": "disabled"}


def test_what_is_unknown_about_an_account_is_tried() -> None:
    anything = account("a", options={"capabilities": {"tools": True, "json": None}})
    assert tried(plan_for((anything,), needs={"vision": "messages[0]", "json": "response_format", "tools": "tools"})) == ["a"]


def test_a_candidate_without_a_known_model_is_not_sent_an_empty_name() -> None:
    empty = Account("acc_new", "custom-openai", "new", open_models=True)
    pool = Pool(str.lower)
    pool.sync(Snapshot(1, (empty,)), NOW)
    plan = make_plan(Resolution("auto", "auto", ((Candidate(empty, ""),),)), {}, None, pool, "auto", NOW, Random(1))
    assert "ask for new/MODEL" in reasons(plan)["new"]


def test_panic_tries_the_least_bad_of_those_out_on_a_guess() -> None:
    two = (account("worse"), account("bad"))
    plan = plan_for(two, cooldowns=(cold("worse", "guessed", 10, step=3), cold("bad", "guessed", 30, "model:m", step=1)))
    assert (tried(plan), plan.panic, list(reasons(plan))) == (["bad"], True, ["worse"])
    assert plan.route == "fill-first: groq/bad as the least bad, all are out, quota unknown, 1 skipped"
    mixed = plan_for(two, cooldowns=(cold("worse", "stated", 10), cold("bad", "guessed", 30, step=6)))
    assert tried(mixed) == ["bad"]


@pytest.mark.parametrize("source", ["stated", "terminal"])
def test_no_panic_against_the_provider_or_the_user(source: str) -> None:
    plan = plan_for((account("a"),), cooldowns=(cold("a", source, 30), cold("a", "guessed", 99, "model:m")))
    assert (tried(plan), plan.panic, plan.route) == ([], False, "fill-first: nobody can be tried, 1 skipped")
    other_tier = plan_for((account("a"),), (account("b"),), cooldowns=(cold("a", "guessed", 30),))
    assert (tried(other_tier), other_tier.panic) == (["b"], False)


def test_the_refusal_carries_the_breakdown_and_the_soonest_return() -> None:  # O-21, C-45
    plan = plan_for(
        (account("a"), account("b"), account("c"), account("d", enabled=False)),
        cooldowns=(cold("a", "stated", 90), cold("b", "stated", 28.2), cold("c", "terminal", 0)),
    )
    error = refusal(plan, NOW)
    assert (error.kind, error.retry_after, len(error.failures)) == (Kind.NO_ACCOUNT, 29, 4)
    assert earliest_recovery(plan_for((account("d", enabled=False),)), NOW) is None
    assert refusal(plan_for((account("d", enabled=False),)), NOW).retry_after is None
    assert earliest_recovery(plan, NOW + 10**9) is None


def test_what_nobody_can_do_is_the_caller_s_to_change() -> None:
    blind = account("a", features=frozenset({"no_vision"}))
    error = refusal(plan_for((blind,), needs={"vision": "messages[2]"}), NOW)
    assert (error.kind, error.param) == (Kind.BAD_REQUEST, "messages[2]")
    assert "can do vision" in error.message
    assert refusal(plan_for((blind, account("b", enabled=False)), needs={"vision": "messages[2]"}), NOW).kind is Kind.NO_ACCOUNT


def test_a_plan_changes_nothing() -> None:
    pool = Pool(str.lower)
    two = (account("a"), account("b"))
    pool.sync(Snapshot(1, two, cooldowns=(cold("a", "guessed", -1),)), NOW)
    plans = [plan_for(two, policy="round-robin", pool=pool) for _ in range(3)]
    assert plans[0] == plans[1] == plans[2]


ACCOUNT = st.builds(
    lambda n, provider, **more: account(f"a{n}", provider, **more),
    st.integers(0, 9),
    st.sampled_from(["groq", "openai"]),
    enabled=st.sampled_from([True, True, True, False]),
    state=st.sampled_from(["ok", "ok", "ok", "needs_login", "error"]),
    max_in_flight=st.sampled_from([None, None, 0, 1]),
    features=st.sampled_from([frozenset(), frozenset({"no_vision"})]),
    priority=st.integers(0, 2),
    demo=st.booleans(),
)
COOLDOWN = st.builds(
    cold,
    st.integers(0, 9).map(lambda n: f"a{n}"),
    st.sampled_from(["stated", "guessed", "terminal"]),
    st.integers(-100, 100),
    st.sampled_from(["", "model:m", "model:other"]),
    st.integers(0, 6),
)


@given(
    accounts=st.lists(ACCOUNT, max_size=8, unique_by=lambda each: each.id),
    cooldowns=st.lists(COOLDOWN, max_size=8, unique_by=lambda each: (each.account_id, each.scope)),
    cut=st.integers(0, 8),
    testing=st.booleans(),
    policy=st.sampled_from(sorted(POLICIES)),
    vision=st.booleans(),
    providers=st.sampled_from([None, ("groq",)]),
)
def test_a_plan_never_tries_what_has_a_reason_against_it_and_forgets_nobody(
    accounts: list[Account],
    cooldowns: list[Cooldown],
    cut: int,
    testing: bool,
    policy: str,
    vision: bool,
    providers: tuple[str, ...] | None,
) -> None:
    pool = Pool(str.lower)
    pool.sync(Snapshot(1, tuple(accounts), cooldowns=tuple(cooldowns)), NOW)
    if testing and accounts:
        pool.acquire(accounts[0], "m", NOW)
    key = client_key(providers=providers)
    tiers = (tuple(accounts[:cut]), tuple(accounts[cut:]))
    plan = plan_for(*tiers, needs={"vision": "messages[0]"} if vision else {}, key=key, policy=policy, pool=pool)
    keys = [c.key for c in plan.attempts] + [entry.candidate.key for entry in plan.skipped]
    assert sorted(keys) == sorted((each.id, "m", "") for each in accounts)
    assert all(entry.reason for entry in plan.skipped)
    for candidate in plan.attempts:
        hold = pool.check(candidate.account, "m", NOW)
        assert hold is None or (plan.panic and hold.guess and len(plan.attempts) == 1)
        assert not (vision and "no_vision" in candidate.account.features)
        assert providers is None or candidate.account.provider in providers
    if not plan.attempts:
        assert not any(entry.guess for entry in plan.skipped)
    in_first = [c.account in tiers[0] for c in plan.attempts]
    assert in_first == sorted(in_first, reverse=True)


# ---------------------------------------------------------------- Budgets

MONTH = NOW + 86_400_000
OF_KEY, OF_ACCOUNT = (Overspent("the budget of … is spent ($5.000000 of $5 this month)", MONTH, of_key) for of_key in (True, False))


def test_who_has_no_room_is_skipped_until_the_budget_is_renewed() -> None:
    plan = plan_for((account("a"), account("b")), over=lambda one: OF_ACCOUNT if one.account.label == "a" else None)
    (skipped,) = plan.skipped
    assert tried(plan) == ["b"] and (skipped.reason, skipped.until_at) == (OF_ACCOUNT.reason, MONTH)
    assert refusal(plan_for((account("a"),), over=lambda _: OF_ACCOUNT), NOW).kind is Kind.NO_ACCOUNT


def test_panic_brings_nobody_back_who_cannot_be_paid() -> None:
    plan = plan_for((account("a"),), cooldowns=(cold("a", "guessed", 30),), over=lambda _: OF_ACCOUNT)
    assert tried(plan) == [] and reasons(plan) == {"a": OF_ACCOUNT.reason}
    off = plan_for((account("a", enabled=False),), over=lambda _: OF_ACCOUNT)
    assert reasons(off) == {"a": "disabled"}, "money is not what keeps it out"


def test_the_caller_is_told_of_his_budget_unless_something_free_is_back_soon() -> None:
    def over(one: Candidate) -> Overspent | None:
        return None if one.account.label == "free" else OF_KEY

    alone = refusal(plan_for((account("a"), account("b", enabled=False)), over=over), NOW)
    assert alone.kind is Kind.BUDGET_SPENT and alone.retry_after is None and "2027-01-16 08:00 UTC" in alone.message
    assert [line.account for line in alone.failures] == ["a", "b"]
    waiting = refusal(plan_for((account("a"), account("free")), cooldowns=(cold("free", "stated", 30),), over=over), NOW)
    assert (waiting.kind, waiting.retry_after) == (Kind.NO_ACCOUNT, 30)
    never = refusal(plan_for((account("a"),), over=lambda _: Overspent("the budget of x is spent", None, True)), NOW)
    assert "not renewed by itself" in never.message


@pytest.mark.parametrize(("well", "fewest", "most"), [(200, 8, 9), (40, 4, 64), (3, 3, 3)])
def test_where_most_of_those_drawn_are_out_more_are_drawn_and_then_all(well: int, fewest: int, most: int) -> None:
    pool = Pool(str.lower)
    accounts = tuple(account(f"a{n}", enabled=n < well) for n in range(200))
    pool.sync(Snapshot(1, accounts), NOW)
    tiers = (tuple(Candidate(one, "m") for one in accounts),)
    for seed in range(5):
        home = Home("acc_a1", NOW, 700)
        plan = make_plan(Resolution("model", "m", tiers), {}, None, pool, "auto", NOW, Random(seed), home=home, drawing=Drawing())
        assert fewest <= len(plan.attempts) <= most
        assert plan.attempts[0].account.id == "acc_a1"
        assert well > 3 or len(plan.skipped) == 197
