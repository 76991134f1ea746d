"""Random histories of one pool: whatever happens in whatever order, these hold. The clock and the dice are arguments."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from omni_connector.errors import GatewayError, Kind
from omni_connector.routing.health import RULES, HealthSettings, cooldown_for, half_open, holds, recover, scope_of
from omni_connector.routing.pool import Pool, Slot
from omni_connector.snapshot import Account, Cooldown, Snapshot

START = 1_800_000_000_000
ACCOUNTS = tuple(Account(f"acc_{name}", "groq", name, models=("m", "n")) for name in "abc")
COOLING = sorted(set(RULES) - {Kind.ACCOUNT_REJECTED})  # that one never ends by itself
LATEST_GUESS_MS = 600_000


class History:
    """The relay's part, with every invariant checked where it could break. `rows` is the database's share."""

    def __init__(self, seed: int, max_error_count: int) -> None:
        self.now, self.rng = START, Random(seed)
        self.pool = Pool(str.lower)
        self.version = 1
        self.health = HealthSettings(max_error_count=max_error_count)
        self.flying: list[tuple[Slot, Account, str, int]] = []
        self.sync()

    def sync(self) -> None:
        """A snapshot as the database would give it: everything the pool knows is written; the tidying job may have run."""
        rows = [c for a in ACCOUNTS for c in self.pool.cooldowns(a.id)]
        if self.rng.random() < 0.5:
            rows = [c for c in rows if holds(c, self.now) or c.source == "terminal"]
        self.version += 1
        self.pool.sync(Snapshot(self.version, ACCOUNTS, cooldowns=tuple(rows)), self.now)

    def held(self, account: Account, model: str) -> list[Cooldown]:
        scopes = ("", f"model:{model}")
        return [c for scope in scopes if (c := self.pool.cooldown(account.id, scope)) is not None]

    def begin(self) -> None:
        """Never before its time, and a run-out guess is tested by one request only."""
        account, model = self.rng.choice(ACCOUNTS), self.rng.choice("mn")
        told = self.held(account, model)
        refused = self.pool.check(account, model, self.now) is not None
        testing = self.pool.live(account.id).testing
        assert refused == any(holds(c, self.now) or (half_open(c, self.now) and c.scope in testing) for c in told)
        if refused:
            return
        slot = self.pool.acquire(account, model, self.now)
        assert set(slot.tests) == {c.scope for c in told if half_open(c, self.now)}
        self.flying.append((slot, account, model, self.now))

    def end(self, kind: Kind | None, retry_after: float | None, stated: bool, scope: str | None) -> None:
        if not self.flying:
            return
        slot, account, model, began = self.flying.pop(self.rng.randrange(len(self.flying)))
        if kind is None:
            self.succeed(account, model, began)
        else:
            self.fail(account, model, GatewayError(kind, "", retry_after=retry_after, stated=stated, scope=scope))
        self.pool.record(account.id, kind is None, 50 if kind is None else None, kind or "", self.now, model)
        self.pool.release(slot)

    def succeed(self, account: Account, model: str, began: int) -> None:
        """A success clears nothing that is newer than its request, and no time that the provider stated."""
        for cooldown in self.held(account, model):
            cleared = recover(cooldown, began, self.now)
            if cooldown.created_at > began or (cooldown.source == "stated" and holds(cooldown, self.now)):
                assert not cleared
            if cleared:
                self.pool.clear(account.id, cooldown.scope)

    def fail(self, account: Account, model: str, error: GatewayError) -> None:
        """Cooldowns are only lengthened, guesses end within ten minutes, and one burst is one step."""
        scope = scope_of(error, model)
        assert scope is not None
        before = self.pool.cooldown(account.id, scope)
        known = before if self.rng.random() < 0.8 else None  # another process had not heard of it yet
        found = cooldown_for(error, account, model, known, self.now, self.health, self.rng)
        assert found is not None
        self.pool.cool(found)
        after = self.pool.cooldown(account.id, scope)
        assert after is not None
        assert after.until_at > self.now
        assert self.pool.check(account, model, self.now) is not None
        if before is not None:
            assert after.until_at >= before.until_at
            if holds(before, self.now) and known is not None:
                assert after.step == before.step or before.source != "guessed"
        if after.source == "guessed" and (before is None or not holds(before, self.now)):
            assert after.until_at - self.now <= LATEST_GUESS_MS

    def whole(self) -> None:
        """Nobody is forgotten in flight, and nobody stays locked: when all ends have passed, each account can be asked again."""
        assert sum(self.pool.live(a.id).in_flight for a in ACCOUNTS) == len(self.flying)
        for slot, *_ in self.flying:
            self.pool.release(slot)
        ends = [c.until_at for a in ACCOUNTS for c in self.pool.cooldowns(a.id)]
        later = max(ends, default=self.now)
        assert all(self.pool.check(a, m, later) is None for a in ACCOUNTS for m in "mn")


EVENT = st.tuples(
    st.sampled_from(["begin", "begin", "end", "end", "wait", "sync"]),
    st.integers(0, 700),
    st.sampled_from([None, None, *COOLING]),
    st.sampled_from([None, 0.0, 3.0, 120.0]),
    st.booleans(),
    st.sampled_from([None, "account", "model"]),
)
Event = tuple[str, int, Kind | None, float | None, bool, str | None]


def play(events: list[Event], seed: int, max_error_count: int) -> None:
    history = History(seed, max_error_count)
    for what, seconds, kind, retry_after, stated, scope in events:
        if what == "begin":
            history.begin()
        elif what == "end":
            history.end(kind, retry_after, stated, scope)
        elif what == "wait":
            history.now += seconds * 100
        else:
            history.sync()
    history.whole()


@settings(max_examples=60, deadline=None)
@given(st.lists(EVENT, max_size=60), st.integers(0, 2**32), st.integers(1, 8))
def test_short_histories(events: list[Event], seed: int, max_error_count: int) -> None:
    play(events, seed, max_error_count)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 8))
def test_long_histories(seed: int, max_error_count: int) -> None:
    """Thousands of events, so that ladders reach their end and begin again."""
    rng = Random(seed)
    kinds: list[Kind | None] = [None, None, *COOLING]
    events: list[Event] = [
        (
            rng.choice(("begin", "begin", "begin", "end", "end", "wait", "sync")),
            rng.randrange(700),
            rng.choice(kinds),
            rng.choice((None, 0.0, 3.0, 120.0)),
            rng.random() < 0.3,
            rng.choice((None, "account", "model")),
        )
        for _ in range(3000)
    ]
    play(events, seed, max_error_count)
