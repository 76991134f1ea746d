"""What one key may do per minute and at once; the clock is an argument."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_connector.errors import GatewayError, Kind
from omni_connector.limits import WINDOW, Limits
from omni_connector.snapshot import ClientKey

START = 1_800_000_000_000


def key(**more: Any) -> ClientKey:
    return ClientKey("key_1", "n", "h", "x", 0, **more)


def refused(limits: Limits, who: ClientKey, now: int) -> GatewayError:
    with pytest.raises(GatewayError) as told:
        limits.enter(who, now)
    assert told.value.kind is Kind.RATE_LIMITED
    assert told.value.retry_after is not None and told.value.retry_after > 0
    return told.value


def test_requests_a_minute() -> None:  # C-43
    limits, who = Limits(), key(rpm=2)
    for second in (0, 10):
        limits.enter(who, START + second * 1000)
        limits.leave(who, START + second * 1000, 100)
    error = refused(limits, who, START + 20_000)
    assert "2 requests a minute" in error.message
    assert error.retry_after == 40, "the first of the two is forgotten a minute after it came"
    limits.enter(who, START + WINDOW)


def test_tokens_a_minute_count_when_they_are_known() -> None:
    limits, who = Limits(), key(tpm=1000)
    limits.enter(who, START)
    limits.enter(who, START)  # nothing is known to be used yet
    limits.leave(who, START + 5_000, 999)
    limits.enter(who, START + 6_000)
    limits.leave(who, START + 7_000, 1)
    assert refused(limits, who, START + 8_000).retry_after == 57
    limits.enter(who, START + 5_000 + WINDOW)


def test_in_flight() -> None:
    limits, who = Limits(), key(max_in_flight=1)
    limits.enter(who, START)
    assert "1 requests in flight" in refused(limits, who, START).message
    limits.leave(who, START, 0)
    limits.enter(who, START)


def test_a_refused_request_counts_nowhere() -> None:
    limits, who = Limits(), key(rpm=1, max_in_flight=5)
    limits.enter(who, START)
    for _ in range(50):
        refused(limits, who, START + 1)
    limits.leave(who, START, 0)
    limits.enter(who, START + WINDOW)
    assert limits._uses["key_1"].in_flight == 1


def test_keys_do_not_share_and_a_key_without_limits_keeps_no_list() -> None:
    limits = Limits()
    limits.enter(key(rpm=1), START)
    free = ClientKey("key_2", "n", "h", "y", 0)
    for _ in range(1000):
        limits.enter(free, START)
        limits.leave(free, START, 10)
    use = limits._uses["key_2"]
    assert (use.in_flight, len(use.requests), len(use.tokens)) == (0, 0, 0)
    limits.leave(ClientKey("key_3", "n", "h", "z", 0), START, 1)  # never entered: nothing happens


@given(st.lists(st.tuples(st.integers(0, 30_000), st.integers(0, 400)), max_size=60), st.integers(1, 5), st.integers(1, 500))
def test_no_minute_ever_holds_more_than_allowed(steps: list[tuple[int, int]], rpm: int, tpm: int) -> None:
    limits, who, now = Limits(), key(rpm=rpm, tpm=tpm), START
    entered: list[int] = []
    used: list[tuple[int, int]] = []
    for wait, tokens in steps:
        now += wait
        spent = sum(count for at, count in used if at > now - WINDOW)
        lately = sum(at > now - WINDOW for at in entered)
        try:
            limits.enter(who, now)
        except GatewayError:
            assert lately >= rpm or spent >= tpm
            continue
        assert lately < rpm and spent < tpm
        entered.append(now)
        limits.leave(who, now, tokens)
        used.append((now, tokens))
