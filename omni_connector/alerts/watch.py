"""Account states → alerts that begin and end. A job (kind "alert-watch"), so that of many processes one looks at a time.

What is not known changes nothing: an unknown balance neither begins an alert nor ends one. An alert about an account that is gone or
switched off ends in silence.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import field
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from omni_connector import catalog, secrets
from omni_connector.alerts.kinds import shape
from omni_connector.errors import Kind
from omni_connector.jobs import Report
from omni_connector.routing.health import ACCOUNT_SCOPE, FOREVER, MODEL_SCOPE, half_open, holds, kind_of
from omni_connector.settings import Settings
from omni_connector.snapshot import Account, Cooldown
from omni_connector.store import alerts as table
from omni_connector.store import jobs as queue
from omni_connector.store.engine import Database
from omni_connector.values import dataclass

Json = dict[str, Any]
Subject = tuple[str, str]
"""Kind of alert, and whom it is about: an account's id, "" for the whole."""

KIND = "alert-watch"
EVERY_MS = 15_000
DOWN_FOR_MS = 30_000
"""All accounts must be down for this long: guesses of a few seconds are nobody's concern."""
PRUNE_MS = 3_600_000
DAY_MS = 86_400_000
WATCHED = ("low_balance", "account_locked", "needs_login")
"""Kinds that are about one account and judged here."""
ALL = ("all_down", "")


@dataclass(slots=True)
class Findings:
    """`wrong`: what is wrong now, with its words. `right`: what is plainly not. About everything else nothing is known."""

    wrong: dict[Subject, str] = field(default_factory=dict)
    right: set[Subject] = field(default_factory=set)

    def say(self, subject: Subject, words: str) -> None:
        """`words` "": all is well."""
        if words:
            self.wrong[subject] = secrets.redact(words)
        else:
            self.right.add(subject)


# ---------------------------------------------------------------- What is wrong


def judge(account: Account, cooldowns: Sequence[Cooldown], stored: Settings, now: int, findings: Findings) -> None:
    """What is wrong with one account that is switched on."""
    name = f"{account.provider}/{account.label}"
    findings.say(("needs_login", account.id), _login(account, name))
    locked = _lock(account, cooldowns, stored.alert_locked_min * 60_000, now)
    if locked is not None:
        findings.say(("account_locked", account.id), f"{name} is out {locked}" if locked else "")
    low = _low(account, stored.alert_low_balance)
    if low is not None:
        findings.say(("low_balance", account.id), f"{name} has {low}" if low else "")


def _login(account: Account, name: str) -> str:
    if account.state != "needs_login":
        return ""
    return f"{name} needs to be signed in again: {account.state_reason or 'the provider refuses the credential'}"


def _lock(account: Account, cooldowns: Sequence[Cooldown], least_ms: int, now: int) -> str | None:
    """Until when it is out and why, "" when it is not, None when that is no news either way: it is back soon, it has not proved
    itself yet, or it needs a new sign-in, which is an alert of its own."""
    if account.state == "error":
        return f"until you act: {account.state_reason or 'it does not work'}"
    whole = [cooldown for cooldown in cooldowns if cooldown.scope == ACCOUNT_SCOPE]
    if account.state == "needs_login" or any(kind_of(cooldown) is Kind.ACCOUNT_REJECTED for cooldown in whole):
        return None
    worst = max((cooldown for cooldown in whole if holds(cooldown, now)), key=lambda cooldown: cooldown.until_at, default=None)
    if worst is None:
        return None if any(cooldown.source == "terminal" for cooldown in whole) else ""
    if worst.source != "terminal" and worst.until_at - now < least_ms:
        return None
    until = "until you act" if worst.until_at >= FOREVER else f"until {_clock(worst.until_at)}"
    return f"{until}: {worst.reason}"


def _low(account: Account, least: float) -> str | None:
    """What is left, if that is too little; "" when it is enough, None when it is not known."""
    told = account.balance
    if not told or least <= 0:
        return "" if least <= 0 else None
    amount, currency = _decimal(told.get("amount")), str(told.get("currency") or "")
    if told.get("usable") is False:
        return "a balance that allows no more calls" if amount is None else f"{amount:f} {currency} left, which allows no more calls"
    if amount is None:
        return None
    return f"{amount:f} {currency} left, less than {Decimal(str(least)):f}" if amount < Decimal(str(least)) else ""


def _decimal(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        return None
    return found if found.is_finite() else None


def is_out(account: Account, cooldowns: Sequence[Cooldown]) -> bool:
    """Whether no request can go there while these hold: the account is out, or every family of models that it has."""
    scopes = {cooldown.scope for cooldown in cooldowns}
    families = {MODEL_SCOPE + catalog.family(model) for model in account.known_models}
    return account.state != "ok" or ACCOUNT_SCOPE in scopes or (bool(families) and families <= scopes)


def _clock(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")


# ---------------------------------------------------------------- The work


class Watch:
    """`accounts` and `cooldowns` are the picture that `fresh` has brought up to date. `publish`: the live event of each change."""

    kind = KIND

    def __init__(
        self,
        db: Database,
        accounts: Callable[[], Mapping[str, Account]],
        cooldowns: Callable[[str], Sequence[Cooldown]],
        fresh: Callable[[], Awaitable[None]],
        settings: Callable[[], Settings],
        now: Callable[[], int],
        publish: Callable[[str, Json], None],
    ) -> None:
        self._db = db
        self._accounts = accounts
        self._cooldowns = cooldowns
        self._fresh = fresh
        self._settings = settings
        self._now = now
        self._publish = publish
        self._arranged = False
        self.down_since: int | None = None
        """Since when all accounts are down (ms). The job remembers it from one process to the next."""

    async def arrange(self) -> None:
        """The one row of this job, which then plans its own next run."""
        if self._arranged:
            return
        now = self._now()
        await self._db.tx(lambda conn: queue.wake(conn, KIND, "", now, now))
        self._arranged = True

    async def run(self, job: queue.JobRow) -> Report:
        await self._fresh()
        now = self._now()
        since, pruned = job.payload.get("down_since"), job.payload.get("pruned_at")
        self.down_since = since if isinstance(since, int) else None
        accounts = self._accounts()
        changed = await self.look(accounts, {name: self._cooldowns(name) for name in accounts}, now)
        if not isinstance(pruned, int) or now - pruned >= PRUNE_MS:
            pruned = now
            await self._tidy(now)
        payload = {"down_since": self.down_since, "pruned_at": pruned}
        return Report(f"{changed} alerts began or ended" if changed else "", now + EVERY_MS, payload)

    async def look(self, accounts: Mapping[str, Account], cooldowns: Mapping[str, Sequence[Cooldown]], now: int) -> int:
        """Compare what is with what is known, begin and end alerts; returns how many."""
        found = self._judged(accounts, cooldowns, now)
        known = {(alert.kind, alert.subject) for alert in await self._db.run(table.open_alerts)}
        begin = {subject: words for subject, words in found.wrong.items() if subject not in known}
        over = known & found.right
        watched = {name for name, account in accounts.items() if account.enabled}
        silent = {(kind, subject) for kind, subject in known if kind in WATCHED and subject not in watched} - over
        if not (begin or over or silent):
            return 0

        def write(conn: Any) -> list[table.Alert | None]:
            ended = [table.end_alert(conn, *subject, now) for subject in sorted(over)]
            ended += [table.end_alert(conn, *subject, now, silently=True) for subject in sorted(silent)]
            return ended + [table.open_alert(conn, *subject, words, now) for subject, words in begin.items()]

        return self._told(await self._db.tx(write))

    async def begin(self, kind: str, subject: str, message: str) -> bool:
        """For what others know of (a budget that is reached): the alert begins; False when it is open already."""
        now, words = self._now(), secrets.redact(message)
        return bool(self._told([await self._db.tx(lambda conn: table.open_alert(conn, kind, subject, words, now))]))

    async def over(self, kind: str, subject: str) -> bool:
        """The opposite of `begin`; False when none was open."""
        now = self._now()
        return bool(self._told([await self._db.tx(lambda conn: table.end_alert(conn, kind, subject, now))]))

    def _judged(self, accounts: Mapping[str, Account], cooldowns: Mapping[str, Sequence[Cooldown]], now: int) -> Findings:
        stored, found = self._settings(), Findings()
        enabled = [account for account in accounts.values() if account.enabled]
        for account in enabled:
            judge(account, cooldowns.get(account.id, ()), stored, now, found)
        self._judge_all(enabled, cooldowns, now, found)
        return found

    def _judge_all(self, enabled: Sequence[Account], cooldowns: Mapping[str, Sequence[Cooldown]], now: int, found: Findings) -> None:
        # The demo stands in for nobody, as long as there is anybody.
        asked = [account for account in enabled if not account.demo] or enabled
        out = doubtful = 0
        for account in asked:
            mine = cooldowns.get(account.id, ())
            out += is_out(account, [cooldown for cooldown in mine if holds(cooldown, now)])
            doubtful += is_out(account, [cooldown for cooldown in mine if holds(cooldown, now) or half_open(cooldown, now)])
        if not asked or doubtful < len(asked):
            found.say(ALL, "")  # somebody is plainly there
        if not asked or out < len(asked):
            self.down_since = None
            return
        self.down_since = now if self.down_since is None else self.down_since
        if now - self.down_since >= DOWN_FOR_MS:
            found.say(ALL, f"No account can answer now: {len(asked)} connected, all of them out")

    def _told(self, alerts: Sequence[table.Alert | None]) -> int:
        changed = [alert for alert in alerts if alert is not None]
        for alert in changed:
            self._publish("alert", shape(alert))
        return len(changed)

    async def _tidy(self, now: int) -> None:
        days = self._settings().retention_days

        def write(conn: Any) -> None:
            table.close_settled(conn)
            if days:
                table.prune(conn, now - days * DAY_MS)

        await self._db.tx(write)
