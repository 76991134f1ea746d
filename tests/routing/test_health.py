import math
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_connector.errors import KINDS, GatewayError, Kind
from omni_connector.routing.health import (
    FOREVER,
    FORGET_MS,
    LONG_S,
    LONGEST_STATED_S,
    RULES,
    SHORT_S,
    HealthSettings,
    cooldown_for,
    describe,
    extend,
    half_open,
    kind_of,
    ladder_s,
    needs_login,
    recover,
    scope_of,
    span,
)
from omni_connector.snapshot import Account, Cooldown

NOW = 1_800_000_000_000
MAIN = Account("acc_1", "groq", "main")


class Still(Random):
    """Dice that always show the middle."""

    def uniform(self, a: float, b: float) -> float:
        return (a + b) / 2


def fail(kind: Kind, previous: Cooldown | None = None, now: int = NOW, rng: Random | None = None, **more: Any) -> Cooldown:
    found = cooldown_for(GatewayError(kind, "", **more), MAIN, "llama-3", previous, now, HealthSettings(), rng or Still())
    assert found is not None
    return found


def test_exactly_the_kinds_that_cool_have_a_rule() -> None:
    assert set(RULES) == {kind for kind, info in KINDS.items() if info.cools}
    for kind in set(Kind) - set(RULES):
        assert cooldown_for(GatewayError(kind, "", retry_after=9, stated=True), MAIN, "m", None, NOW, HealthSettings(), Still()) is None
        assert scope_of(GatewayError(kind, "", scope="account"), "m") is None


@pytest.mark.parametrize(
    ("kind", "scope", "source", "seconds"),
    [
        (Kind.ACCOUNT_RATE_LIMITED, "model:llama-3", "guessed", 5),
        (Kind.ACCOUNT_REJECTED, "", "terminal", None),
        (Kind.ACCOUNT_FORBIDDEN, "model:llama-3", "guessed", 600),
        (Kind.ACCOUNT_UNPAID, "", "terminal", 6 * 3600),
        (Kind.UPSTREAM_MODEL_MISSING, "model:llama-3", "guessed", 600),
        (Kind.UPSTREAM_OVERLOADED, "model:llama-3", "guessed", 5),
        (Kind.UPSTREAM_UNREACHABLE, "", "guessed", 5),
        (Kind.UPSTREAM_FAILED, "model:llama-3", "guessed", 5),
        (Kind.UPSTREAM_TIMEOUT, "model:llama-3", "guessed", 5),
    ],
)
def test_what_each_kind_takes_out(kind: Kind, scope: str, source: str, seconds: int | None) -> None:
    found = fail(kind)
    assert (found.scope, found.source) == (scope, source)
    assert found.until_at == (FOREVER if seconds is None else NOW + seconds * 1000)
    assert needs_login(kind) is (kind is Kind.ACCOUNT_REJECTED)


def test_the_error_s_own_scope_and_time_come_first() -> None:
    found = fail(Kind.ACCOUNT_RATE_LIMITED, retry_after=90.5, stated=True, scope="account", upstream_status=429)
    assert (found.scope, found.source, found.until_at, found.reason) == ("", "stated", NOW + 90_500, "rate limited (HTTP 429)")
    assert fail(Kind.ACCOUNT_UNPAID, retry_after=60, stated=True).source == "stated"
    assert fail(Kind.UPSTREAM_UNREACHABLE, scope="model").scope == "model:llama-3"
    assert fail(Kind.ACCOUNT_RATE_LIMITED, retry_after=1e12, stated=True).until_at == NOW + LONGEST_STATED_S * 1000
    assert fail(Kind.ACCOUNT_REJECTED, retry_after=60, stated=True).source == "terminal"


@pytest.mark.parametrize("useless", [0, -5, math.nan, math.inf, None])
def test_a_useless_retry_after_is_no_statement(useless: float | None) -> None:
    found = fail(Kind.ACCOUNT_RATE_LIMITED, retry_after=useless, stated=True)
    assert (found.source, found.until_at) == ("guessed", NOW + 5000)


def test_a_delay_nobody_stated_is_only_a_guess_and_capped() -> None:
    found = fail(Kind.UPSTREAM_OVERLOADED, retry_after=86_400)
    assert (found.source, found.until_at) == ("guessed", NOW + 600_000)


def test_the_ladder_climbs_with_failures_in_a_row_and_is_forgotten() -> None:  # J-05, C-102
    now, previous, waited = NOW, None, []
    for _ in range(10):
        previous = fail(Kind.UPSTREAM_FAILED, previous, now)
        waited.append((previous.until_at - now) // 1000)
        now = previous.until_at + 1
    assert waited == [5, 15, 30, 30, 60, 120, 300, 600, 600, 600]
    assert fail(Kind.UPSTREAM_FAILED, previous, now + FORGET_MS).step == 0
    assert fail(Kind.UPSTREAM_FAILED, None, now).step == 0  # a success cleared the row


@pytest.mark.parametrize(("most", "waits"), [(1, [60, 120, 300, 600, 600]), (2, [5, 60, 120, 300, 600]), (4, [5, 15, 30, 60, 120])])
def test_the_number_of_errors_that_takes_an_account_out_for_minutes_is_a_setting(most: int, waits: list[int]) -> None:  # C-102
    assert [ladder_s(step, most) for step in range(5)] == waits
    error = GatewayError(Kind.UPSTREAM_FAILED, "")
    fourth = Cooldown(MAIN.id, "model:llama-3", NOW - 1, "guessed", "", 2, NOW - 9)
    found = cooldown_for(error, MAIN, "llama-3", fourth, NOW, HealthSettings(max_error_count=most), Still())
    assert found is not None
    assert (found.step, found.until_at) == (3, NOW + waits[3] * 1000)  # the count is kept, so a changed setting is right at once


def test_the_ladder_never_falls_and_never_exceeds_ten_minutes() -> None:
    for most in range(1, 101):
        waits = [ladder_s(step, most) for step in range(120)]
        assert waits == sorted(waits)
        assert set(waits) <= {*SHORT_S, *LONG_S}


def test_a_cooldown_tells_its_failure() -> None:
    assert len({rule.reason for rule in RULES.values()}) == len(RULES)
    for kind in RULES:
        assert kind_of(fail(kind)) is kind_of(fail(kind, upstream_status=418)) is kind
    assert kind_of(Cooldown("acc_1", "", 0, "guessed", "words of another version")) is None


def test_requests_that_fail_together_are_one_step() -> None:
    first = fail(Kind.UPSTREAM_FAILED)
    assert fail(Kind.UPSTREAM_FAILED, first, NOW + 200) is first


def test_jitter_is_a_tenth_and_repeats_with_the_same_dice() -> None:
    waits = {fail(Kind.UPSTREAM_FAILED, rng=Random(seed)).until_at - NOW for seed in range(50)}
    assert len(waits) > 20
    assert all(4500 <= wait <= 5501 for wait in waits)
    assert fail(Kind.UPSTREAM_FAILED, rng=Random(3)) == fail(Kind.UPSTREAM_FAILED, rng=Random(3))


COOLDOWNS = st.builds(
    Cooldown,
    st.just("acc_1"),
    st.just("model:llama-3"),
    st.integers(NOW - 10**7, NOW + 10**9),
    st.sampled_from(["stated", "guessed", "terminal"]),
    st.just("before"),
    st.integers(0, 6),
    st.integers(NOW - 10**7, NOW),
)


@given(
    previous=st.none() | COOLDOWNS,
    kind=st.sampled_from(sorted(RULES)),
    retry_after=st.none() | st.floats(),
    stated=st.booleans(),
    seed=st.integers(0, 99),
)
def test_no_failure_shortens_a_cooldown_and_no_guess_exceeds_ten_minutes(
    previous: Cooldown | None, kind: Kind, retry_after: float | None, stated: bool, seed: int
) -> None:
    found = fail(kind, previous, rng=Random(seed), retry_after=retry_after, stated=stated, scope="model")
    assert found.until_at > NOW
    if previous is not None:
        assert found.until_at >= previous.until_at
        if previous.source == "terminal" and previous.until_at > NOW:
            assert found.source == "terminal"
    if found.source == "guessed" and (previous is None or previous.until_at <= NOW):
        assert found.until_at <= NOW + 600_000
    if found.source == "stated" and (previous is None or previous.until_at <= NOW):
        assert found.until_at <= NOW + LONGEST_STATED_S * 1000


@given(COOLDOWNS, COOLDOWNS)
def test_extend_keeps_the_later_end(previous: Cooldown, new: Cooldown) -> None:
    if new.until_at > new.created_at:
        assert extend(previous, new).until_at == max(previous.until_at, new.until_at)


def test_what_lengthens_a_cooldown_is_newer_than_a_question_asked_before() -> None:
    unpaid = fail(Kind.ACCOUNT_UNPAID)
    week = replace(unpaid, source="stated", until_at=NOW + 7 * 86_400_000, created_at=NOW + 2000)
    longer = extend(unpaid, week)
    assert (longer.source, longer.until_at) == ("terminal", week.until_at)
    assert not recover(longer, NOW + 1000, NOW + 3000)
    assert extend(longer, replace(unpaid, created_at=NOW + 5000)) == longer, "what changes nothing is no news"


def test_what_a_success_proves() -> None:  # J-06
    guessed = fail(Kind.UPSTREAM_FAILED)
    stated = fail(Kind.ACCOUNT_RATE_LIMITED, retry_after=60, stated=True)
    assert not recover(guessed, NOW - 1, NOW + 9000)  # was under way before the failure
    assert recover(guessed, NOW + 1000, NOW + 2000)
    assert not recover(stated, NOW + 1000, NOW + 2000)
    assert recover(stated, NOW + 1000, NOW + 61_000)
    assert recover(fail(Kind.ACCOUNT_UNPAID), NOW + 1, NOW + 2)


def test_half_open_is_for_what_the_provider_did_not_promise() -> None:
    later = NOW + 7 * 3600 * 1000
    assert half_open(fail(Kind.UPSTREAM_FAILED), later)
    assert half_open(fail(Kind.ACCOUNT_UNPAID), later)
    assert not half_open(fail(Kind.ACCOUNT_REJECTED), later)
    assert not half_open(fail(Kind.ACCOUNT_RATE_LIMITED, retry_after=60, stated=True), later)
    assert not half_open(fail(Kind.UPSTREAM_FAILED), NOW)


def test_in_words() -> None:
    assert describe(fail(Kind.ACCOUNT_RATE_LIMITED, retry_after=28, stated=True), NOW) == "back in 28 s, because the provider said so"
    assert describe(fail(Kind.UPSTREAM_FAILED), NOW) == "back in 5 s, which is our guess"
    assert describe(fail(Kind.ACCOUNT_REJECTED), NOW) == "out until you act"
    assert describe(fail(Kind.ACCOUNT_UNPAID), NOW) == "out until you act, looked at again in 6 h"
    assert describe(fail(Kind.UPSTREAM_FAILED), NOW + 60_000) == "the next request decides"
    assert [span(ms) for ms in (0, 1, 119_000, 121_000, 7_200_000, 2 * 86_400_000)] == ["0 s", "1 s", "119 s", "3 min", "2 h", "2 d"]
