"""Which guesses a good answer ends. R-09"""

from __future__ import annotations

from typing import Any

import pytest

from omni_connector import catalog, providers
from omni_connector.errors import Kind
from omni_connector.quotas.asking import Answer
from omni_connector.quotas.proof import proven
from omni_connector.routing.health import RULES
from omni_connector.snapshot import Account, Cooldown
from tests.quotas.conftest import HOUR, MINUTE, START

ACCOUNT = providers.complete(Account("acc_1", "codex", "me"))
HOST = "chatgpt.com"


def window(used: float | None, model: str = "", end: int = HOUR) -> dict[str, Any]:
    row = {"name": "5h", "used": used, "limit": 100, "unit": "%", "resets_at": START + end, "state": "unknown" if used is None else "live"}
    return {**row, "model": model} if model else row


def ends(kind: Kind, answer: Answer, source: Any = "guessed", scope: str = "", ago: int = 2 * MINUTE) -> bool:
    cooldown = Cooldown("acc_1", scope, START + HOUR, source, RULES[kind].reason + " (HTTP 429)", 0, START - ago)
    return proven(cooldown, ACCOUNT, answer, START, catalog.family)


def test_a_host_that_answers_is_there() -> None:
    assert ends(Kind.UPSTREAM_UNREACHABLE, Answer(windows=[], hosts=frozenset({HOST})))
    assert not ends(Kind.UPSTREAM_UNREACHABLE, Answer(windows=[], hosts=frozenset({"127.0.0.1:5"}))), "another host answered"
    assert not ends(Kind.UPSTREAM_UNREACHABLE, Answer(windows=[], hosts=frozenset({HOST})), "stated")


@pytest.mark.parametrize(
    ("windows", "over"),
    [
        ([window(40), window(90)], True),
        ([window(40), window(100)], False),
        ([window(40), window(None)], False),
        ([window(40), window(100, "claude-*")], True),
        ([window(40), window(100, "gpt-5*")], False),
        ([window(40, end=-1)], False),
        ([], False),
    ],
)
def test_a_limit_is_over_when_nothing_that_counts_is_spent(windows: list[Any], over: bool) -> None:
    scope = f"model:{catalog.family('gpt-5.4')}"
    assert ends(Kind.ACCOUNT_RATE_LIMITED, Answer(windows=windows), scope=scope) is over


def test_a_limit_of_the_last_minute_may_be_a_rate() -> None:
    assert not ends(Kind.ACCOUNT_RATE_LIMITED, Answer(windows=[window(4)]), ago=30_000)
    assert not ends(Kind.ACCOUNT_RATE_LIMITED, Answer(balance={"amount": "5"}))
    assert not ends(Kind.UPSTREAM_FAILED, Answer(windows=[window(4)], hosts=frozenset({HOST})))
