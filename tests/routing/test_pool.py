from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_connector.routing.health import FOREVER, FORGET_MS
from omni_connector.routing.pool import MOST_FAMILIES, RECENT, Pool
from omni_connector.snapshot import Account, Cooldown, Snapshot

NOW = 1_800_000_000_000
MODEL = "llama-3"


def account(label: str = "main", **more: Any) -> Account:
    return Account(id=f"acc_{label}", provider="groq", label=label, models=(MODEL,), **more)


def cooldown(source: Any = "guessed", seconds: float = 30, scope: str = "model:llama-3", label: str = "main", step: int = 0) -> Cooldown:
    return Cooldown(f"acc_{label}", scope, NOW + int(seconds * 1000), source, "rate limited", step, NOW)


def pool_of(*accounts: Account, cooldowns: tuple[Cooldown, ...] = (), version: int = 1) -> Pool:
    pool = Pool(str.lower)
    pool.sync(Snapshot(version, accounts, cooldowns=cooldowns), NOW)
    return pool


MAIN = account()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"enabled": False}, "disabled"),
        ({"state": "needs_login", "state_reason": "the key was revoked"}, "needs login: the key was revoked"),
        ({"state": "error"}, "error"),
        ({"max_in_flight": 0}, "0 of 0 in flight"),
    ],
)
def test_reasons_of_the_account_itself(changes: dict[str, Any], reason: str | None) -> None:
    main = account(**changes)
    assert pool_of(main).available(main, MODEL, NOW) == reason


def test_a_cooldown_holds_for_its_scope_and_says_who_said_so() -> None:
    pool = pool_of(MAIN, cooldowns=(cooldown("stated", 28),))
    assert pool.available(MAIN, "LLAMA-3", NOW) == "cooling, rate limited: back in 28 s, because the provider said so"
    assert pool.available(MAIN, "gemma", NOW) is None
    assert pool.available(MAIN, MODEL, NOW + 28_000) is None
    wide = pool_of(MAIN, cooldowns=(cooldown("guessed", 90, scope=""), cooldown("stated", 28)))
    hold = wide.check(MAIN, MODEL, NOW)
    assert hold is not None
    assert (hold.until_at, hold.guess) == (NOW + 90_000, False)  # both must end; one of them is no guess


def test_what_has_no_end_of_its_own_has_no_time() -> None:  # O-21
    pool = pool_of(MAIN, cooldowns=(Cooldown(MAIN.id, "", FOREVER, "terminal", "the credential is refused", 0, NOW),))
    hold = pool.check(MAIN, MODEL, NOW)
    assert hold is not None and (hold.until_at, hold.busy) == (None, False)
    assert "until you act" in hold.reason


def test_in_flight_is_counted_once_in_and_once_out() -> None:  # P-07
    main = account(max_in_flight=2)
    pool = pool_of(main)
    slots = [pool.acquire(main, MODEL, NOW + n) for n in range(2)]
    assert pool.available(main, MODEL, NOW) == "2 of 2 in flight"
    assert "2 in flight" in repr(pool)
    for _ in range(3):
        pool.release(slots[0])
    assert (pool.live(main.id).in_flight, pool.live(main.id).last_used) == (1, NOW + 1)
    assert pool.available(main, MODEL, NOW) is None


def test_live_state_of_accounts_that_stay_survives_a_snapshot_and_of_others_goes() -> None:
    other = account("other", last_used_at=NOW - 5)
    pool = pool_of(MAIN, other)
    slot, lost = pool.acquire(MAIN, MODEL, NOW), pool.acquire(other, MODEL, NOW)
    pool.record(MAIN.id, True, 300, "", NOW)
    pool.sync(Snapshot(2, (account(priority=9),)), NOW)
    assert pool.live(MAIN.id).in_flight == 1
    assert pool.heartbeat(MAIN.id) == [{"at": NOW, "ok": True, "ms": 300, "flag": ""}]
    pool.release(slot)
    pool.release(lost)
    pool.record(other.id, True, 1, "", NOW)
    assert pool.live(MAIN.id).in_flight == pool.live(other.id).in_flight == 0
    assert pool.heartbeat(other.id) == []
    pool.release(pool.acquire(other, MODEL, NOW))  # a plan of the old snapshot may still end here


def test_averages_follow_the_newest_outcomes() -> None:  # C-99
    pool = pool_of(MAIN)
    for ok, ms in ((True, 100), (True, 200), (False, 9999), (True, None)):
        pool.record(MAIN.id, ok, ms, "", NOW)
    live = pool.live(MAIN.id)
    assert live.latency_ms == pytest.approx(130)
    assert live.error_rate == pytest.approx(0.2 * 0.8)
    for n in range(RECENT + 5):
        pool.record(MAIN.id, True, 1, "", n)
    assert [beat["at"] for beat in pool.heartbeat(MAIN.id)] == list(range(5, RECENT + 5))


def test_figures_are_kept_for_each_model_family_too() -> None:  # C-99
    pool = pool_of(MAIN)
    pool.record(MAIN.id, True, 100, "", NOW, "fast")
    for _ in range(3):
        pool.record(MAIN.id, False, None, "UPSTREAM", NOW, "broken")
    assert (pool.track(MAIN.id, "FAST").latency_ms, pool.track(MAIN.id, "fast").error_rate) == (100, 0)
    assert pool.track(MAIN.id, "broken").latency_ms is None
    assert pool.failing(MAIN.id, NOW, "broken")
    assert not pool.failing(MAIN.id, NOW, "fast")
    assert pool.failing(MAIN.id, NOW)  # the account as a whole
    assert pool.track(MAIN.id, "never-asked") is pool.live(MAIN.id)
    assert len(pool.heartbeat(MAIN.id)) == 4
    pool.sync(Snapshot(2, (MAIN,)), NOW)
    assert pool.track(MAIN.id, "fast").latency_ms == 100
    for number in range(2 * MOST_FAMILIES):
        pool.record(MAIN.id, True, 1, "", NOW, f"any-{number}")
        pool.record(MAIN.id, True, 1, "", NOW, "busy")
    assert len(pool.live(MAIN.id).families) == MOST_FAMILIES
    assert {"busy", f"any-{2 * MOST_FAMILIES - 1}"} < pool.live(MAIN.id).families.keys()


def test_failing_looks_at_the_last_minute() -> None:
    pool = pool_of(MAIN)
    assert not pool.failing(MAIN.id, NOW)
    pool.record(MAIN.id, False, None, "UPSTREAM", NOW)
    assert pool.failing(MAIN.id, NOW + 1000)
    assert not pool.failing(MAIN.id, NOW + 61_000)
    pool.record(MAIN.id, True, 9, "", NOW + 2000)
    pool.record(MAIN.id, True, 9, "", NOW + 3000)
    assert not pool.failing(MAIN.id, NOW + 4000)


def test_half_open_lets_exactly_one_through_until_the_outcome_is_known() -> None:
    pool = pool_of(MAIN, cooldowns=(cooldown(),))
    assert not pool.try_half_open(MAIN.id, "model:llama-3", NOW)
    later = NOW + 30_001
    assert pool.available(MAIN, MODEL, later) is None
    test = pool.acquire(MAIN, MODEL, later)
    assert test.tests == ("model:llama-3",)
    assert pool.available(MAIN, MODEL, later) == "recovering: one test request is in flight"
    assert pool.available(MAIN, "gemma", later) is None
    assert not pool.try_half_open(MAIN.id, "model:llama-3", later)
    pool.release(test)  # the client left: nothing was learned
    assert pool.available(MAIN, MODEL, later) is None
    again = pool.acquire(MAIN, MODEL, later)
    pool.clear(MAIN.id, "model:llama-3")  # proved itself
    assert pool.available(MAIN, MODEL, later) is None
    assert pool.acquire(MAIN, MODEL, later).tests == ()
    pool.release(again)


def test_a_late_release_does_not_end_somebody_else_s_test() -> None:
    pool = pool_of(MAIN, cooldowns=(cooldown(),))
    first = pool.acquire(MAIN, MODEL, NOW + 30_001)
    pool.cool(Cooldown(MAIN.id, "model:llama-3", NOW + 40_000, "guessed", "again", 1, NOW + 31_000))
    second = pool.acquire(MAIN, MODEL, NOW + 40_001)
    pool.release(first)
    assert second.tests
    assert pool.available(MAIN, MODEL, NOW + 40_002) == "recovering: one test request is in flight"


def test_after_a_stated_time_everybody_may_come() -> None:
    pool = pool_of(MAIN, cooldowns=(cooldown("stated", 30),))
    assert pool.acquire(MAIN, MODEL, NOW + 30_001).tests == ()
    assert pool.available(MAIN, MODEL, NOW + 30_001) is None


def test_a_local_cooldown_outlives_older_snapshots_until_its_row_is_seen() -> None:
    pool = pool_of(MAIN)
    pool.cool(cooldown())
    pool.sync(Snapshot(2, (MAIN,)), NOW)  # somebody else's change, loaded before our row was written
    assert pool.available(MAIN, MODEL, NOW)
    pool.cool(cooldown(), version=4)
    pool.sync(Snapshot(3, (MAIN,)), NOW)
    assert pool.available(MAIN, MODEL, NOW)
    pool.sync(Snapshot(4, (MAIN,), cooldowns=(cooldown(),)), NOW)
    assert pool.available(MAIN, MODEL, NOW)
    pool.sync(Snapshot(5, (MAIN,)), NOW)  # cleared by the user, in another process
    assert pool.available(MAIN, MODEL, NOW) is None


def test_a_cooldown_cleared_before_its_row_was_ever_seen_is_gone() -> None:
    pool = pool_of(MAIN)
    pool.cool(cooldown(), version=4)
    pool.sync(Snapshot(6, (MAIN,)), NOW)
    assert pool.available(MAIN, MODEL, NOW) is None


def test_a_row_once_seen_replaces_a_local_entry_that_was_never_told_its_version() -> None:
    pool = pool_of(MAIN)
    pool.cool(cooldown("terminal", scope=""))
    pool.sync(Snapshot(2, (MAIN,), cooldowns=(cooldown("terminal", scope=""),)), NOW)
    pool.sync(Snapshot(3, (MAIN,)), NOW)
    assert pool.available(MAIN, MODEL, NOW) is None


def test_clearing_takes_effect_at_once_and_hides_the_old_row() -> None:
    rows = (cooldown("stated"), cooldown("terminal", scope=""))
    pool = pool_of(MAIN, cooldowns=rows)
    pool.clear(MAIN.id, version=3)
    assert pool.available(MAIN, MODEL, NOW) is None
    pool.sync(Snapshot(2, (MAIN,), cooldowns=rows), NOW)
    assert pool.available(MAIN, MODEL, NOW) is None
    pool.cool(cooldown("guessed", 5))
    assert [(c.source, c.until_at) for c in pool.cooldowns(MAIN.id)] == [("stated", NOW + 30_000)]  # the stale row, until it is seen gone
    pool.sync(Snapshot(3, (MAIN,)), NOW)
    assert [(c.source, c.until_at) for c in pool.cooldowns(MAIN.id)] == [("guessed", NOW + 5000)]


def test_a_failure_after_a_recovery_does_not_bring_the_old_cooldown_back() -> None:
    pool = pool_of(MAIN, cooldowns=(cooldown("guessed", 600),))
    pool.clear(MAIN.id, "model:llama-3")
    pool.cool(cooldown("guessed", 5))
    assert pool.available(MAIN, MODEL, NOW + 5001) is None


def test_a_tidied_row_keeps_its_ladder_and_its_test_for_a_while() -> None:
    """The recovery job deletes rows that ran out; that proves nothing about the account."""
    pool = pool_of(MAIN, cooldowns=(cooldown(step=3),))
    later = NOW + 31_000
    pool.sync(Snapshot(2, (MAIN,)), later)
    kept = pool.cooldown(MAIN.id, "model:llama-3")
    assert kept is not None
    assert kept.step == 3
    assert pool.acquire(MAIN, MODEL, later).tests == ("model:llama-3",)
    pool.sync(Snapshot(3, (MAIN,)), later + FORGET_MS)
    assert pool.cooldowns(MAIN.id) == []


def test_an_account_in_one_line() -> None:
    pool = pool_of(MAIN, cooldowns=(cooldown("stated", 28),))
    pool.acquire(MAIN, MODEL, NOW)
    assert pool.line(MAIN.id, NOW) == "<account groq/main: 1 in flight, cooling 28 s>"
    assert repr(pool) == "<pool: 1 accounts, 1 in flight, 1 cooldowns>"


@given(st.lists(st.tuples(st.integers(1, 2000), st.sampled_from(["stated", "guessed", "terminal"]), st.integers(0, 60)), max_size=12))
def test_cooling_only_extends(steps: list[tuple[int, Any, int]]) -> None:
    pool, now = pool_of(MAIN), NOW
    for seconds, source, wait in steps:
        now += wait * 1000
        before = pool.cooldown(MAIN.id, "")
        until = FOREVER if source == "terminal" else now + seconds * 1000
        pool.cool(Cooldown(MAIN.id, "", until, source, "x", 0, now))
        after = pool.cooldown(MAIN.id, "")
        assert after is not None
        assert after.until_at >= max(until, before.until_at if before else 0)
