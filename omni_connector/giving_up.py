"""When an attempt fails, and when nobody could: what the row and the client are told of it."""

from __future__ import annotations

import time
from collections.abc import Sequence

from omni_connector.errors import GatewayError, Kind, ProviderFailure
from omni_connector.record import Attempt
from omni_connector.routing.overflow import larger
from omni_connector.routing.plan import Plan, Skipped, earliest_recovery, failures
from omni_connector.routing.pool import Pool
from omni_connector.routing.resolve import Candidate
from omni_connector.underway import Deadlines, Doors, Job


def exhausted(job: Job, plan: Plan, pool: Pool, now: int) -> GatewayError:
    """Every candidate was tried or skipped: say what each one said, and when to come back."""
    told = [*job.failures, *failures(plan)]
    kinds = {error.kind for error in job.errors}
    if kinds and all(error.info.fault == "caller" for error in job.errors):
        return job.errors[0]
    kind = Kind.UPSTREAM_TIMEOUT if kinds == {Kind.UPSTREAM_TIMEOUT} else Kind.NO_ACCOUNT
    tried = len(job.record.attempts)
    name = f"'{plan.requested}'"
    words = f"All {tried} accounts that were tried for {name} failed"
    if tried == 1:
        words = f"The only account that could be tried for {name} failed"
    elif not tried:
        words = f"No account can serve {name} any more"
    left_out = sum(failure.skipped for failure in told)
    words += f"; {left_out} more cannot serve now." if tried and left_out else "."
    words += f" Last: {job.errors[-1].message}"
    return GatewayError(kind, words, failures=told, retry_after=_recovery(job, plan, pool, now))


def _recovery(job: Job, plan: Plan, pool: Pool, now: int) -> float | None:
    """Seconds until the first candidate is back: one that was skipped, or one that failed just now, or said when to ask again."""
    waits = [float(wait) for wait in (earliest_recovery(plan, now),) if wait is not None]
    waits += [max(1.0, error.retry_after) for error in job.errors if error.retry_after is not None]
    for candidate in plan.attempts:
        hold = pool.check(candidate.account, candidate.model, now)
        if hold is not None and hold.until_at is not None:
            waits.append(max(1, (hold.until_at - now) / 1000))
    return min(waits, default=None)


def no_more(job: Job, limits: Deadlines, left: float, *, retrying: int, active: int) -> str:
    """Why no further account is tried, "" if one may be. Attempts are bounded by count, by wall clock and by the share of traffic that
    may be retries (a retry budget keeps an outage from multiplying the load). `left`: seconds; `retrying` of `active` requests are on a
    second or later attempt."""
    tried = len(job.record.attempts)
    if tried >= limits.max_attempts:
        return f"not tried: {tried} attempts are the most for one request"
    if left < min(1.0, limits.total / 4):  # a healthy account would only be blamed for running out of time
        return f"not tried: the {limits.total:g} s of the request are as good as over"
    # Who is silent takes longer than the window until he is given up: one more may be tried after him.
    if job.broken is None and job.attempt_began - job.began > limits.window:
        return f"not tried: after {limits.window:g} s no account gets a successor"
    if retrying >= max(limits.retry_floor, int(limits.retry_share * active)):
        return "not tried: too many requests are on their second attempt already"
    return ""


def onward(job: Job, failed: Candidate, error: GatewayError, rest: Sequence[Candidate], doors: Doors) -> list[Candidate]:
    """Who may still answer what this one refused as the caller's fault: itself once more without thoughts that it could not read, a
    larger window what is too long, another provider what a filter refused, if the user lets it. Raises the error where nobody may."""
    if job.asked is not None and job.asked.forgets(error):
        return [failed, *rest]
    if error.kind is Kind.CONTENT_FILTERED and rest and doors.filters_fall_over():
        return list(rest)
    if error.kind is not Kind.CONTEXT_TOO_LONG:
        raise error
    found = larger(rest, failed, doors.window, job.record.est_input)
    for candidate, reason in found.left_out:
        leave_out(job, [candidate], reason)
    if not found.candidates:
        raise error
    return list(found.candidates)


def leave_out(job: Job, rest: Sequence[Candidate], reason: str) -> None:
    """The breakdown names every candidate, also those whose turn never came."""
    for candidate in rest:
        left_out = Skipped(candidate, reason)
        job.record.skipped = [*job.record.skipped, left_out.as_json()]
        job.failures.append(ProviderFailure(left_out.provider, left_out.account, None, reason, skipped=True))


def attempt(candidate: Candidate, status: int | None, began: float, error: GatewayError | None) -> Attempt:
    ms = int((time.monotonic() - began) * 1000)
    at = time.time_ns() // 1_000_000 - ms
    account = candidate.account
    if error is None:
        return Attempt(account.label, account.provider, candidate.model, status, ms, at=at)
    return Attempt(account.label, account.provider, candidate.model, status, ms, str(error.kind), error.message[:500], at)


def unable(job: Job, candidate: Candidate, error: GatewayError) -> ProviderFailure:
    """Of an account that cannot be asked; or not again, where its token was refused and there is no other."""
    account = candidate.account
    tried = any((attempt.account, attempt.provider) == (account.label, account.provider) for attempt in job.record.attempts)
    return failure(candidate, error, skipped=not tried)


def failure(candidate: Candidate, error: GatewayError, *, skipped: bool) -> ProviderFailure:
    return ProviderFailure(candidate.account.provider, candidate.account.label, error.upstream_status, error.message[:500], skipped)
