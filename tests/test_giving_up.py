from __future__ import annotations

from omni_connector import catalog, giving_up
from omni_connector.call import Call
from omni_connector.errors import GatewayError, Kind
from omni_connector.record import Record
from omni_connector.routing.plan import Plan
from omni_connector.routing.pool import Pool
from omni_connector.routing.resolve import Candidate
from omni_connector.routing.score import unscored
from omni_connector.snapshot import Account, ClientKey, Cooldown, Snapshot
from omni_connector.underway import Job
from tests.relaying import Client

ONE = Candidate(Account("acc_1", "openai", "one"), "gpt-5")
TWO = Candidate(Account("acc_2", "openai", "two"), "gpt-5")
NOW = 1_000_000


def job() -> Job:
    key = ClientKey("key_1", "laptop", "", "", 0)
    call = Call("req_1", "openai-chat", "/v1/chat/completions", b"{}", {}, key, "pytest", NOW)
    return Job(call, Client(), Record("req_1", NOW, "prc_1", "openai-chat", "/v1/x", "pytest", "key_1", "laptop"), 0.0)


def pool(*cooldowns: Cooldown) -> Pool:
    made = Pool(catalog.family)
    made.sync(Snapshot(accounts=(ONE.account, TWO.account), cooldowns=cooldowns), NOW)
    return made


def plan(*attempts: Candidate) -> Plan:
    return Plan("gpt-5", attempts, (unscored(""),) * len(attempts), (), "", "auto", (0,) * len(attempts))


def told(job: Job, candidate: Candidate, error: GatewayError) -> None:
    job.errors.append(error)
    job.failures.append(giving_up.failure(candidate, error, skipped=False))
    job.record.attempts.append(giving_up.attempt(candidate, error.upstream_status, 0.0, error))


def test_the_breakdown_names_who_failed_and_who_was_left_out() -> None:  # O-21, R-08
    one = job()
    told(one, ONE, GatewayError(Kind.UPSTREAM_FAILED, "broken", upstream_status=500))
    giving_up.leave_out(one, [TWO], "not tried: 1 attempts are the most for one request")
    cooling = Cooldown("acc_1", "", NOW + 7_000, "stated", "limited")
    error = giving_up.exhausted(one, plan(ONE, TWO), pool(cooling), NOW)
    assert (error.kind, error.retry_after) == (Kind.NO_ACCOUNT, 7.0)
    assert "'gpt-5'" in error.message, "a chain is told by its name"
    assert [(each.account, each.status, each.skipped) for each in error.failures] == [("one", 500, False), ("two", None, True)]
    assert one.record.skipped[0]["account"] == "two"


def test_who_was_tried_is_not_counted_among_those_who_could_not_serve() -> None:
    """Its token was refused, and no other was to be had: one account, told once."""
    one = job()
    one.record.attempts.append(giving_up.attempt(ONE, 401, 0.0, GatewayError(Kind.ACCOUNT_REJECTED, "bad token", upstream_status=401)))
    one.errors.append(lost := GatewayError(Kind.UPSTREAM_FAILED, "not renewed", retry_after=9.0))
    one.failures += [giving_up.unable(one, ONE, lost), giving_up.unable(one, TWO, lost)]
    assert [failure.skipped for failure in one.failures] == [False, True]
    error = giving_up.exhausted(one, plan(ONE), pool(), NOW)
    assert error.message == "The only account that could be tried for 'gpt-5' failed; 1 more cannot serve now. Last: not renewed"
    assert error.retry_after == 9.0


def test_only_timeouts_are_a_timeout() -> None:
    one = job()
    told(one, ONE, GatewayError(Kind.UPSTREAM_TIMEOUT, "silent"))
    assert giving_up.exhausted(one, plan(ONE), pool(), NOW).kind is Kind.UPSTREAM_TIMEOUT


def test_what_everybody_calls_the_callers_mistake_is_one() -> None:
    one = job()
    told(one, ONE, GatewayError(Kind.BAD_REQUEST, "no such field", param="x"))
    assert giving_up.exhausted(one, plan(ONE), pool(), NOW).param == "x"
