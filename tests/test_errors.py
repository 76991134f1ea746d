"""The table of failures is the whole policy, so it is checked as a table."""

from __future__ import annotations

import pytest

from omni_connector.errors import CALLER_STATUSES, KINDS, GatewayError, Kind, ProviderFailure, bad_request
from omni_connector.routing.health import RULES

# CONTRACT §4, "Errors": what a client may meet. C-39…C-45, P-55
STATUSES = {
    Kind.BAD_REQUEST: 400,
    Kind.CONTEXT_TOO_LONG: 400,
    Kind.CONTENT_FILTERED: 400,
    Kind.UNAUTHENTICATED: 401,
    Kind.BUDGET_SPENT: 402,
    Kind.FORBIDDEN: 403,
    Kind.NOT_FOUND: 404,
    Kind.MODEL_NOT_FOUND: 404,
    Kind.TOO_LARGE: 413,
    Kind.RATE_LIMITED: 429,
    Kind.INTERNAL: 500,
    Kind.UPSTREAM_FAILED: 502,
    Kind.NO_ACCOUNT: 503,
    Kind.UPSTREAM_TIMEOUT: 504,
}


def test_every_kind_has_a_row_and_every_row_says_something() -> None:
    assert set(KINDS) == set(Kind)
    for kind, info in KINDS.items():
        assert info.meaning.endswith("."), kind
        assert info.flag == info.flag.upper(), kind
    flags = [info.flag for info in KINDS.values()]
    assert len(set(flags)) == len(flags), "a flag on a row names one kind"


def test_the_statuses_are_those_of_the_contract() -> None:
    assert {kind: KINDS[kind].status for kind in STATUSES} == STATUSES


@pytest.mark.parametrize("kind", [kind for kind in Kind if KINDS[kind].fault in ("caller", "us", "nobody")])
def test_nobody_else_pays_for_a_mistake_that_is_not_the_accounts(kind: Kind) -> None:
    assert not KINDS[kind].retry
    assert not KINDS[kind].cools


@pytest.mark.parametrize("kind", [kind for kind in Kind if KINDS[kind].fault in ("account", "provider", "network")])
def test_what_is_not_the_callers_fault_is_tried_elsewhere_and_never_shown_as_his(kind: Kind) -> None:
    assert KINDS[kind].retry and KINDS[kind].cools
    assert KINDS[kind].status >= 500 or kind is Kind.ACCOUNT_RATE_LIMITED
    assert KINDS[kind].status not in (401, 403), "a provider's refusal of the account would look like a refusal of the omni-key"


def test_cooling_and_the_rules_of_health_are_one_table() -> None:
    assert {kind for kind in Kind if KINDS[kind].cools} == set(RULES)


def test_a_providers_own_word_for_a_callers_mistake_wins() -> None:
    for status in CALLER_STATUSES:
        assert GatewayError(Kind.BAD_REQUEST, "x", upstream_status=status).status == status
    assert GatewayError(Kind.BAD_REQUEST, "x", upstream_status=418).status == 400
    assert GatewayError(Kind.UPSTREAM_FAILED, "x", upstream_status=422).status == 502, "not the caller's: the table decides"
    assert GatewayError(Kind.ACCOUNT_REJECTED, "x", upstream_status=401).status == 502


def test_a_gateway_error_is_an_ordinary_exception() -> None:
    error = bad_request("`n` is wrong.", "n")
    assert (error.kind, error.param, str(error)) == (Kind.BAD_REQUEST, "n", "bad_request: `n` is wrong.")
    with pytest.raises(GatewayError):
        raise error
    assert error != bad_request("`n` is wrong.", "n"), "two failures are never the same one"


def test_a_line_of_the_breakdown() -> None:  # O-21
    line = ProviderFailure("groq", "main", 429, "rate limited", skipped=False).as_json()
    assert line == {"provider": "groq", "account": "main", "status": 429, "message": "rate limited", "skipped": False}
