"""The row of a request: what the dashboard sees live and what it reads from the database are the same."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest

from omni_connector.admin import shapes
from omni_connector.chat import Finish, Usage
from omni_connector.errors import GatewayError, Kind
from omni_connector.meter import Reading
from omni_connector.record import Attempt, Outcome, Record, account_failure, flags
from omni_connector.store import requests
from omni_connector.store.engine import Database

AT = 1_800_000_000_000


class Plan:
    def __init__(self) -> None:
        self.written = 0

    def as_json(self) -> dict[str, object]:
        self.written += 1
        return {"policy": "auto", "candidates": [{"account": "main", "score": {"total": -30.0, "parts": {"load": -30.0}}}]}


def fresh(**more: object) -> Record:
    record = Record("req_1", AT, "prc_1", "openai-chat", "/v1/chat/completions", "OpenAI/Python", "key_1", "laptop")
    record.stream, record.model_requested, record.est_input, record.route = True, "auto", 12, "auto: groq/main only"
    for name, value in more.items():
        setattr(record, name, value)
    return record


def served(record: Record) -> Record:
    record.account_id, record.account_label, record.provider, record.model = "acc_1", "main", "groq", "llama"
    record.attempts.append(Attempt("other", "xai", "grok", 429, 31, "account_rate_limited", "slow down"))
    record.attempts.append(Attempt("main", "groq", "llama", 200, 420))
    record.skipped = [{"account": "third", "provider": "openai", "model": "gpt", "reason": "disabled"}]
    record.dropped = ("logit_bias", "n")
    record.first_token_ms = 40
    return record


def whole() -> Record:
    record = served(fresh())
    usage = Usage(10, 4, None, 7, 2, {"prompt_tokens": 14, "deep": {"x": [1, "ü"]}})
    record.used(Reading(usage, "reported", Finish.STOP), Decimal("0.0012345678"), "genai-prices 0.2.3")
    record.end(AT + 500, "ok", 200)
    return record


def failed() -> Record:
    record = served(fresh(stream=False))
    error = GatewayError(Kind.NO_ACCOUNT, "nobody " + "x" * 5000)
    record.end(AT + 9, "failed", 503, error)
    return record


def cut(outcome: Outcome, error: GatewayError | None) -> Record:
    record = served(fresh())
    record.used(Reading(Usage(12, output=3), "counted", None), None, "unknown")
    record.end(AT + 9, outcome, 200, error)
    return record


def refused() -> Record:
    record = fresh(model_requested="m" * 900, route="")
    record.end(AT, "failed", 400, GatewayError(Kind.BAD_REQUEST, "`n` is wrong", upstream_status=422))
    return record


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    database = await Database.open(f"sqlite:///{tmp_path / 'omni.db'}")
    await database.migrate()
    yield database
    await database.close()


async def test_live_and_stored_rows_look_the_same(db: Database) -> None:
    """Through the real database, open and settled, for every way a request can end. C-92, P-06"""
    left = GatewayError(Kind.CLIENT_LEFT, "gone")
    for make in (whole, failed, lambda: cut("client_left", left), lambda: cut("cut", None), refused):
        record = make()
        record.id = f"req_{record.outcome}_{record.http_status}_{record.flag}"
        as_opened = fresh(id=record.id, stream=record.stream, model_requested=record.model_requested, route=record.route)
        await db.tx(lambda conn, row=as_opened.opened(): requests.insert_open(conn, [row]))
        stored = await db.run(lambda conn, name=record.id: requests.get(conn, name))
        assert stored is not None
        assert as_opened.view() == shapes.request(stored)

        assert await db.tx(lambda conn, row=record.settled(): len(requests.settle(conn, [row]))) == 1
        stored = await db.run(lambda conn, name=record.id: requests.get(conn, name))
        assert stored is not None
        assert record.view() == shapes.request(stored)


async def test_the_plan_is_written_once_when_the_row_is_settled(db: Database) -> None:  # O-19
    plan = Plan()
    record = fresh(plan=plan)
    opened, _ = record.opened(), record.view()
    assert plan.written == 0, "it costs the request nothing before it is answered"
    await db.tx(lambda conn: requests.insert_open(conn, [opened]))
    record.end(AT + 9, "ok", 200)
    closed = record.settled()
    assert plan.written == 1
    await db.tx(lambda conn: requests.settle(conn, [closed]))
    stored = await db.run(lambda conn: requests.get(conn, record.id))
    assert stored is not None
    assert stored["plan"] == Plan().as_json()
    assert fresh().settled()["plan"] is None


def test_money_is_exact_and_unknown_is_not_zero() -> None:
    assert whole().settled()["cost_nano"] == 1_234_568
    assert whole().view()["cost"] == {"usd": "0.001234568", "source": "genai-prices 0.2.3", "worth_usd": None}
    assert cut("cut", None).settled()["cost_nano"] is None
    assert cut("cut", None).view()["cost"] == {"usd": None, "source": "unknown", "worth_usd": None}


def test_every_end_has_its_flag() -> None:
    assert whole().flag is None
    assert failed().flag == "NO_ACCOUNT"
    assert cut("cut", None).flag == "CUT"
    assert cut("cut", GatewayError(Kind.UPSTREAM_TIMEOUT, "slow")).flag == "TIMEOUT"
    assert {"CUT", "RECOVERED", "NO_ACCOUNT"} <= flags().keys()
    assert all(words.endswith(".") for words in flags().values())


def test_a_clock_that_was_set_back_ends_nothing_before_it_began() -> None:
    record = fresh()
    record.end(record.started_at - 3_600_000, "ok", 200)
    row = record.settled()
    assert (row["settled_at"], row["duration_ms"]) == (record.started_at, 0)


def test_what_counts_against_an_account() -> None:
    against = {kind for kind in Kind if account_failure(GatewayError(kind, ""))}
    assert Kind.UPSTREAM_TIMEOUT in against
    assert not against & {
        Kind.BAD_REQUEST,
        Kind.CONTEXT_TOO_LONG,
        Kind.CONTENT_FILTERED,
        Kind.CLIENT_LEFT,
        Kind.INTERNAL,
        Kind.RATE_LIMITED,
    }
