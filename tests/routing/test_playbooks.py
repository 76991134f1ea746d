"""Conversations with the pure router: an outcome, what is tried next, the clock moves, who is available then."""

from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from omni_connector.errors import GatewayError, Kind
from omni_connector.routing.health import HealthSettings, cooldown_for, needs_login, recover, scope_of
from omni_connector.routing.plan import Plan, earliest_recovery, make_plan
from omni_connector.routing.pool import Pool, Slot
from omni_connector.routing.resolve import resolve
from omni_connector.snapshot import Account, Snapshot

START = 1_800_000_000_000


def account(label: str, provider: str = "groq", **more: Any) -> Account:
    return Account(id=f"acc_{label}", provider=provider, label=label, **({"models": ("m", "n")} | more))


class Gateway:
    """The relay's part in few lines: plan, acquire, outcome → cooldown or recovery, release."""

    def __init__(self, *accounts: Account, **more: Any) -> None:
        self.now, self.policy, self.rng = START, "fill-first", Random(1)
        self.snapshot = Snapshot(1, accounts, **more)
        self.pool = Pool(str.lower)
        self.pool.sync(self.snapshot, self.now)

    def wait(self, seconds: float) -> None:
        self.now += int(seconds * 1000)

    def plan(self, name: str = "m") -> Plan:
        resolution = resolve(name, self.snapshot, "openai-chat", None, family=str.lower)
        return make_plan(resolution, {}, None, self.pool, self.policy, self.now, self.rng)

    def next(self, name: str = "m") -> list[str]:
        return [candidate.account.label for candidate in self.plan(name).attempts]

    def begin(self, label: str, model: str = "m") -> tuple[Slot, str, int]:
        return self.pool.acquire(self.account(label), model, self.now), model, self.now

    def end(self, begun: tuple[Slot, str, int], kind: Kind | None = None, **error: Any) -> None:
        """kind None: a success."""
        slot, model, started_at = begun
        if kind is None:
            for cooldown in self.pool.cooldowns(slot.account_id):
                if cooldown.scope in ("", f"model:{model}") and recover(cooldown, started_at, self.now):
                    self.pool.clear(slot.account_id, cooldown.scope)
        else:
            self.fail(slot.account_id, model, GatewayError(kind, "", **error))
        self.pool.record(slot.account_id, kind is None, 100 if kind is None else None, kind or "", self.now)
        self.pool.release(slot)

    def fail(self, account_id: str, model: str, error: GatewayError) -> None:
        scope = scope_of(error, model)
        previous = None if scope is None else self.pool.cooldown(account_id, scope)
        found = cooldown_for(error, self.pool.accounts[account_id], model, previous, self.now, HealthSettings(), self.rng)
        if found is not None:
            self.pool.cool(found)

    def request(self, label: str, kind: Kind | None = None, model: str = "m", **error: Any) -> None:
        self.end(self.begin(label, model), kind, **error)

    def account(self, label: str) -> Account:
        return next(each for each in self.snapshot.accounts if each.label == label)


def test_a_limit_with_a_stated_time_is_believed_to_the_second() -> None:  # P-09, C-101
    gateway = Gateway(account("a"), account("b"))
    gateway.request("a", Kind.ACCOUNT_RATE_LIMITED, retry_after=30, stated=True)
    assert gateway.next() == ["b"]
    assert gateway.next("n") == ["a", "b"]  # another model of the account goes on
    gateway.wait(29.9)
    assert gateway.next() == ["b"]
    gateway.wait(0.1)
    assert gateway.next() == ["a", "b"]


def test_a_limit_on_the_account_takes_all_its_models() -> None:
    gateway = Gateway(account("a"), account("b"))
    gateway.request("a", Kind.ACCOUNT_RATE_LIMITED, retry_after=30, stated=True, scope="account")
    assert gateway.next("n") == ["b"]


def test_a_second_shorter_limit_does_not_shorten_the_first() -> None:
    gateway = Gateway(account("a"), account("b"))
    gateway.request("a", Kind.ACCOUNT_RATE_LIMITED, retry_after=60, stated=True)
    gateway.fail("acc_a", "m", GatewayError(Kind.ACCOUNT_RATE_LIMITED, "", retry_after=5, stated=True))
    gateway.wait(10)
    assert gateway.next() == ["b"]


def test_a_caller_s_mistake_cools_nobody() -> None:
    gateway = Gateway(account("a"), account("b"))
    for kind in (Kind.BAD_REQUEST, Kind.CONTEXT_TOO_LONG, Kind.CONTENT_FILTERED, Kind.TOO_LARGE, Kind.CLIENT_LEFT, Kind.INTERNAL):
        gateway.request("a", kind)
    assert gateway.next() == ["a", "b"]


def test_a_failing_account_climbs_the_ladder_and_one_success_brings_it_back() -> None:  # J-05, J-06, C-103
    gateway = Gateway(account("a"), account("b"))
    for longest in (5.5, 16.5, 33):
        gateway.request("a", Kind.UPSTREAM_FAILED)
        gateway.wait(longest * 0.8)
        assert gateway.next() == ["b"]
        gateway.wait(longest * 0.2)
        assert gateway.next() == ["a", "b"]
    gateway.request("a")
    gateway.request("a", Kind.UPSTREAM_FAILED)
    gateway.wait(5.5)
    assert gateway.next() == ["a", "b"]  # the ladder began again


def test_recovery_is_tested_by_one_request_only() -> None:
    gateway = Gateway(account("a"), account("b"))
    gateway.request("a", Kind.UPSTREAM_TIMEOUT)
    gateway.wait(6)
    test = gateway.begin("a")
    assert gateway.next() == ["b"]
    assert gateway.plan().skipped[0].reason == "recovering: one test request is in flight"
    gateway.end(test)
    assert gateway.next() == ["a", "b"]


def test_a_failed_test_cools_longer() -> None:
    gateway = Gateway(account("a"), account("b"))
    gateway.request("a", Kind.UPSTREAM_TIMEOUT)
    gateway.wait(6)
    gateway.request("a", Kind.UPSTREAM_TIMEOUT)
    gateway.wait(13)
    assert gateway.next() == ["b"]
    gateway.wait(4)
    assert gateway.next() == ["a", "b"]


def test_twenty_failures_at_once_are_one_step() -> None:
    gateway = Gateway(account("a"), account("b"))
    burst = [gateway.begin("a") for _ in range(20)]
    for begun in burst:
        gateway.end(begun, Kind.UPSTREAM_FAILED)
    gateway.wait(6)
    assert gateway.next() == ["a", "b"]


def test_a_success_from_before_the_failure_proves_nothing() -> None:
    gateway = Gateway(account("a"), account("b"))
    old = gateway.begin("a")
    gateway.wait(1)
    gateway.request("a", Kind.UPSTREAM_FAILED)
    gateway.end(old)
    assert gateway.next() == ["b"]


def test_a_refused_credential_stays_out_until_the_user_acts() -> None:
    gateway = Gateway(account("a"), account("b"))
    gateway.request("a", Kind.ACCOUNT_REJECTED)
    assert needs_login(Kind.ACCOUNT_REJECTED)
    gateway.wait(400 * 86_400)
    assert gateway.next() == ["b"]
    gateway.request("b", Kind.ACCOUNT_REJECTED)
    assert gateway.next() == []
    assert earliest_recovery(gateway.plan(), gateway.now) is None
    gateway.pool.clear("acc_a")
    assert gateway.next() == ["a"]


def test_all_out_on_guesses_the_least_bad_is_tried_and_recovers_all_the_same() -> None:
    gateway = Gateway(account("a"), account("b"))
    gateway.request("a", Kind.UPSTREAM_UNREACHABLE)
    gateway.wait(6)
    gateway.request("a", Kind.UPSTREAM_UNREACHABLE)
    gateway.request("b", Kind.UPSTREAM_UNREACHABLE)
    plan = gateway.plan()
    assert (plan.panic, gateway.next()) == (True, ["b"])
    gateway.wait(1)
    gateway.request("b")
    assert (gateway.plan().panic, gateway.next()) == (False, ["b"])


def test_all_out_by_the_provider_s_word_the_soonest_return_is_told() -> None:  # O-21
    gateway = Gateway(account("a"), account("b"))
    gateway.request("a", Kind.ACCOUNT_RATE_LIMITED, retry_after=300, stated=True)
    gateway.request("b", Kind.ACCOUNT_RATE_LIMITED, retry_after=28, stated=True)
    gateway.wait(3.5)
    assert (gateway.next(), earliest_recovery(gateway.plan(), gateway.now)) == ([], 25)


def test_a_chain_falls_through_its_tiers_and_comes_back() -> None:  # R-07, C-104
    gateway = Gateway(account("a"), account("b"), account("c", "openai"), chains={"night": (("a", "b::n"), ("c",))})
    assert gateway.next("night") == ["a", "b", "c"]
    gateway.request("a", Kind.ACCOUNT_RATE_LIMITED, retry_after=30, stated=True)
    gateway.request("b", Kind.ACCOUNT_RATE_LIMITED, model="n", retry_after=60, stated=True)
    assert gateway.next("night") == ["c"]
    gateway.wait(30)
    assert gateway.next("night") == ["a", "c"]


def test_restart_finds_the_cooldowns_where_they_were() -> None:
    gateway = Gateway(account("a"), account("b"))
    gateway.request("a", Kind.ACCOUNT_RATE_LIMITED, retry_after=60, stated=True)
    again = Gateway(account("a"), account("b"), cooldowns=tuple(gateway.pool.cooldowns("acc_a")))
    assert again.next() == ["b"]
    again.wait(60)
    assert again.next() == ["a", "b"]


OUTCOMES = st.sampled_from([None, None, *(kind for kind in Kind if kind is not Kind.INTERNAL)])
STEPS = st.lists(
    st.tuples(st.integers(0, 90), OUTCOMES, st.sampled_from([None, 0.0, 7.0, 100.0]), st.booleans(), st.sampled_from([None, "account"])),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(STEPS, st.sampled_from(["auto", "round-robin", "lru", "fill-first", "performance"]))
def test_whatever_happens_no_account_is_tried_before_its_time(
    steps: list[tuple[int, Kind | None, float | None, bool, str | None]], policy: str
) -> None:
    gateway = Gateway(account("a"), account("b"), account("c"))
    gateway.policy = policy
    for seconds, kind, retry_after, stated, scope in steps:
        gateway.wait(seconds)
        plan = gateway.plan()
        assert len(plan.attempts) + len(plan.skipped) == 3
        for candidate in plan.attempts:
            held = [c for c in gateway.pool.cooldowns(candidate.account.id) if c.scope in ("", "model:m") and c.until_at > gateway.now]
            assert not held or (plan.panic and all(c.source == "guessed" for c in held))
        if plan.attempts:
            error = {} if kind is None else {"retry_after": retry_after, "stated": stated, "scope": scope}
            gateway.request(plan.attempts[0].account.label, kind, **error)
        assert all(gateway.pool.live(each.id).in_flight == 0 for each in gateway.snapshot.accounts)
        assert not any(gateway.pool.live(each.id).testing for each in gateway.snapshot.accounts)
