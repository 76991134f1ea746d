"""The live state of every account, kept beside the snapshot: in flight, recent outcomes, cooldowns, half-open tests.

No locks: one event loop, and no call here waits. Counts live in this process only; cooldowns are rows and reach every process.

Cooldowns come from two sides. `sync` brings the rows; `cool` and `clear` take effect at once, before the row is written.
Such a local entry gives way to the rows as soon as a snapshot shows it, or a snapshot of at least the `version` (config_version
after the write) that the caller names arrives without it: then somebody cleared it. A local `clear` without a version lasts
until the next newer snapshot.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from omni_connector.routing.health import ACCOUNT_SCOPE, FOREVER, FORGET_MS, describe, extend, half_open, holds, model_scope, span
from omni_connector.routing.resolve import Family
from omni_connector.snapshot import Account, Cooldown, Snapshot
from omni_connector.values import dataclass, quick

RECENT = 40
MOST_FAMILIES = 200
"""Model families that one account's figures are kept apart for; clients of an account that takes any name must not fill memory."""
LATENCY_WEIGHT = 0.3
ERROR_WEIGHT = 0.2
"""Share of the newest outcome in the moving averages."""
FAILING_WINDOW_MS = 60_000
STATE_WORDS: Mapping[str, str] = {"needs_login": "needs login", "error": "error"}

_Key = tuple[str, str]


@quick(frozen=True, slots=True)
class Outcome:
    """`ms` is the time to the first token, None when none came. `flag` is the row's short reason, "" when all is well."""

    at: int
    ok: bool
    ms: int | None
    flag: str


@dataclass(frozen=True, slots=True)
class Hold:
    """Why an account cannot take a request now. `until_at` None: no time is known. `guess` True: nobody but us says so. `busy` True:
    it is well, and waits for a request to end."""

    reason: str
    until_at: int | None = None
    guess: bool = False
    busy: bool = False


@dataclass(slots=True)
class Slot:
    """One request in flight. `turn` numbers the requests of the pool; `tests`: the run-out cooldowns (scopes) it decides about."""

    account_id: str
    turn: int = 0
    tests: tuple[str, ...] = ()
    open: bool = True


@dataclass(slots=True)
class Track:
    """How requests ended lately: of one account, or of one of its model families."""

    recent: deque[Outcome] = field(default_factory=lambda: deque(maxlen=RECENT))
    """Oldest first."""
    latency_ms: float | None = None
    """Moving average of the time to the first token; None: not measured yet."""
    error_rate: float = 0.0
    failed_at: int = 0
    """When the last failure of all was; 0: never."""

    def note(self, outcome: Outcome) -> None:
        self.recent.append(outcome)
        if not outcome.ok:
            self.failed_at = max(self.failed_at, outcome.at)
        self.error_rate += ERROR_WEIGHT * ((0.0 if outcome.ok else 1.0) - self.error_rate)
        if outcome.ok and outcome.ms is not None:
            before = outcome.ms if self.latency_ms is None else self.latency_ms
            self.latency_ms = before + LATENCY_WEIGHT * (outcome.ms - before)

    def failing(self, now: int) -> bool:
        """At least half of the last minute's requests failed."""
        if self.failed_at < now - FAILING_WINDOW_MS:
            return False
        ok = failed = 0
        for outcome in reversed(self.recent):
            if outcome.at < now - FAILING_WINDOW_MS:
                break
            ok, failed = ok + outcome.ok, failed + (not outcome.ok)
        return failed > 0 and failed >= ok


@dataclass(slots=True)
class Live(Track):
    """What is known of one account since this process started; as a `Track` it is that of all its models."""

    in_flight: int = 0
    last_used: int | None = None
    families: dict[str, Track] = field(default_factory=dict)
    """Model family → its own track, the longest unused first."""
    turn: int = 0
    """Round-robin: the number of the request it last served, over the whole pool."""
    testing: dict[str, int] = field(default_factory=dict)
    """Scope of a run-out cooldown → the turn of the request that tests it."""


@dataclass(frozen=True, slots=True)
class _Local:
    cooldown: Cooldown | None
    """None: cleared here."""
    version: int | None


class Pool:
    """`family` is catalog.family: model id → the name its cooldowns are kept under."""

    def __init__(self, family: Family) -> None:
        self.family = family
        self.accounts: dict[str, Account] = {}
        self._live: dict[str, Live] = {}
        self._version = 0
        self._rows: dict[_Key, Cooldown] = {}
        self._local: dict[_Key, _Local] = {}
        self._cool: dict[str, dict[str, Cooldown]] = {}
        self._turns = 0

    def __repr__(self) -> str:
        flying = sum(live.in_flight for live in self._live.values())
        return f"<pool: {len(self.accounts)} accounts, {flying} in flight, {sum(map(len, self._cool.values()))} cooldowns>"

    def line(self, account_id: str, now: int) -> str:
        """One account for logs: `<account groq/main: 2 in flight, cooling 28 s>`."""
        account = self.accounts[account_id]
        ends = [c.until_at for c in self.cooldowns(account_id) if holds(c, now)]
        cooling = f", cooling {span(max(ends) - now)}" if ends else ""
        return f"<account {account.provider}/{account.label}: {self.live(account_id).in_flight} in flight{cooling}>"

    # ------------------------------------------------------------ Snapshots

    def sync(self, snapshot: Snapshot, now: int) -> None:
        """Takes over a new snapshot. Accounts that stay keep their live state."""
        before = self._cool
        self._version = snapshot.version
        self.accounts = {account.id: account for account in snapshot.accounts}
        self._live = {account.id: self._carried(account) for account in snapshot.accounts}
        self._rows = {(c.account_id, c.scope): c for c in snapshot.cooldowns if c.account_id in self.accounts}
        self._local = {key: local for key, local in self._local.items() if self._outlives(key, local, now)}
        for account_id, scopes in before.items():
            for scope, old in scopes.items():
                self._remember(account_id, scope, old, now)
        self._cool = {}
        for key in (*self._rows, *self._local):
            self._refresh(key)
        for account_id, live in self._live.items():
            live.testing = {scope: turn for scope, turn in live.testing.items() if scope in self._cool.get(account_id, ())}

    def _carried(self, account: Account) -> Live:
        live = self._live.get(account.id) or Live()
        live.last_used = max((at for at in (live.last_used, account.last_used_at) if at is not None), default=None)
        return live

    def _outlives(self, key: _Key, local: _Local, now: int) -> bool:
        """Whether a local entry is still needed beside the new rows (see the module's docstring)."""
        if key[0] not in self.accounts:
            return False
        if local.version is not None:
            return self._version < local.version
        row = self._rows.get(key)
        assert local.cooldown is not None  # a local clear always has a version
        seen = row is not None and row.until_at >= local.cooldown.until_at
        return not seen and now - local.cooldown.until_at <= FORGET_MS

    def _remember(self, account_id: str, scope: str, old: Cooldown, now: int) -> None:
        """A guessed row that vanished after it ran out was tidied away, not proved wrong: its ladder and half-open test stay."""
        key = (account_id, scope)
        ran_out = half_open(old, now) and old.source == "guessed" and now - old.until_at <= FORGET_MS
        if ran_out and account_id in self.accounts and key not in self._rows and key not in self._local:
            self._local[key] = _Local(old, None)

    # ------------------------------------------------------------ Cooldowns

    def cool(self, cooldown: Cooldown, version: int | None = None) -> None:
        """Takes a cooldown at once. Call it again with the config_version that the write of its row made."""
        key = (cooldown.account_id, cooldown.scope)
        self._local[key] = _Local(extend(self.cooldown(*key), cooldown), version)
        self._end_test(*key)
        self._refresh(key)

    def clear(self, account_id: str, scope: str | None = None, version: int | None = None) -> None:
        """Lifts one cooldown, or all of an account, at once: the account proved itself, or the user says so."""
        for each in [scope] if scope is not None else list(self._cool.get(account_id, ())):
            key = (account_id, each)
            self._end_test(*key)
            if key in self._rows or key in self._local:
                self._rows.pop(key, None)
                self._local[key] = _Local(None, self._version + 1 if version is None else version)
                self._refresh(key)

    def cooldown(self, account_id: str, scope: str) -> Cooldown | None:
        """The cooldown of exactly this scope, run out or not."""
        return self._cool.get(account_id, {}).get(scope)

    def cooldowns(self, account_id: str) -> list[Cooldown]:
        return list(self._cool.get(account_id, {}).values())

    def _refresh(self, key: _Key) -> None:
        row, local = self._rows.get(key), self._local.get(key)
        now_valid = row if local is None else local.cooldown
        if local is not None and local.cooldown is not None and row is not None:
            now_valid = extend(row, local.cooldown)
        if now_valid is not None:
            self._cool.setdefault(key[0], {})[key[1]] = now_valid
        elif key[0] in self._cool:
            self._cool[key[0]].pop(key[1], None)
            if not self._cool[key[0]]:
                del self._cool[key[0]]

    def try_half_open(self, account_id: str, scope: str, now: int, turn: int = 0) -> bool:
        """True once: this request tests the run-out cooldown; until `cool`, `clear` or its release everybody else is refused."""
        cooldown, live = self.cooldown(account_id, scope), self._live.get(account_id)
        if cooldown is None or live is None or not half_open(cooldown, now) or scope in live.testing:
            return False
        live.testing[scope] = turn
        return True

    def _end_test(self, account_id: str, scope: str) -> None:
        if live := self._live.get(account_id):
            live.testing.pop(scope, None)

    # ------------------------------------------------------------ May it take a request?

    def available(self, account: Account, model: str, now: int) -> str | None:
        """None, or the reason in plain English."""
        hold = self.check(account, model, now)
        return hold.reason if hold else None

    def check(self, account: Account, model: str, now: int) -> Hold | None:
        """The weightiest reason against a request to this account now; a reason that is not a guess comes before one that is."""
        if self.is_clear(account):
            return None
        if not account.enabled:
            return Hold(account.switched_off or "disabled")
        if account.state != "ok":
            words = STATE_WORDS[account.state]
            return Hold(f"{words}: {account.state_reason}" if account.state_reason else words)
        held = self._held(account.id, model, now)
        if held is not None and not held.guess:
            return held
        flying = self.live(account.id).in_flight
        if account.max_in_flight is not None and flying >= account.max_in_flight:
            return Hold(f"{flying} of {account.max_in_flight} in flight", busy=flying > 0)
        return held

    def is_clear(self, account: Account) -> bool:
        """Nothing at all is known against it, whatever the model: the usual case, at a glance."""
        return account.enabled and account.state == "ok" and account.max_in_flight is None and account.id not in self._cool

    def _held(self, account_id: str, model: str, now: int) -> Hold | None:
        scopes = self._cool.get(account_id)
        if not scopes:
            return None
        matching = [scopes[s] for s in (ACCOUNT_SCOPE, model_scope(self.family(model))) if s in scopes]
        if holding := [cooldown for cooldown in matching if holds(cooldown, now)]:
            worst = max(holding, key=lambda c: (c.source != "guessed", c.until_at))
            until_at = max(cooldown.until_at for cooldown in holding)
            reason = f"cooling, {worst.reason}: {describe(worst, now)}"
            return Hold(reason, until_at if until_at < FOREVER else None, worst.source == "guessed")
        testing = self.live(account_id).testing
        if any(cooldown.scope in testing for cooldown in matching if half_open(cooldown, now)):
            return Hold("recovering: one test request is in flight", guess=True, busy=True)
        return None

    # ------------------------------------------------------------ Requests

    def acquire(self, account: Account, model: str, now: int) -> Slot:
        """Counts a request in. Call it right after the plan, before anything is awaited, and `release` it in a `finally`."""
        live = self._live.get(account.id)
        if live is None:
            return Slot(account.id, open=False)
        scopes = (ACCOUNT_SCOPE, model_scope(self.family(model))) if account.id in self._cool else ()
        self._turns += 1
        live.turn = self._turns
        live.in_flight += 1
        live.last_used = now
        tests = tuple(scope for scope in scopes if self.try_half_open(account.id, scope, now, live.turn))
        return Slot(account.id, live.turn, tests)

    def release(self, slot: Slot) -> None:
        """Counts it out, once. A test without an outcome (the client left) is free for the next request."""
        live = self._live.get(slot.account_id)
        if live is None or not slot.open:
            return
        slot.open = False
        live.in_flight -= 1
        for scope in slot.tests:
            if live.testing.get(scope) == slot.turn:
                del live.testing[scope]

    def record(self, account_id: str, ok: bool, ms: int | None, flag: str, at: int, family: str = "") -> None:
        """Remembers how a request ended, for the account and for the model's family; "": only for the account. Only what is the
        account's or the provider's doing: not callers' faults, not clients leaving."""
        live = self._live.get(account_id)
        if live is None:
            return
        outcome = Outcome(at, ok, ms, flag)
        live.note(outcome)
        if family:
            track = live.families.pop(family, None) or Track()
            track.note(outcome)
            live.families[family] = track
            if len(live.families) > MOST_FAMILIES:
                del live.families[next(iter(live.families))]

    def heartbeat(self, account_id: str) -> list[dict[str, Any]]:
        """Recent outcomes, oldest first: [{"at", "ok", "ms", "flag"}]."""
        return [{"at": o.at, "ok": o.ok, "ms": o.ms, "flag": o.flag} for o in self.live(account_id).recent]

    def live(self, account_id: str) -> Live:
        """Read only. An account that is gone looks like an unused one."""
        return self._live.get(account_id) or Live()

    def track(self, account_id: str, model: str) -> Track:
        """Read only. The figures of the model's family there; those of the whole account while that family has none."""
        live = self.live(account_id)
        return live.families.get(self.family(model), live)

    def seen(self, account_id: str, model: str) -> tuple[Live, Track]:
        """Both at once."""
        live = self._live.get(account_id) or Live()
        return live, live.families.get(self.family(model), live)

    def failing(self, account_id: str, now: int, model: str = "") -> bool:
        """At least half of the last minute's requests failed: of the model's family, or "" of the whole account."""
        return (self.track(account_id, model) if model else self.live(account_id)).failing(now)
