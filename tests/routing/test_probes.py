from dataclasses import replace
from random import Random
from typing import Any

import pytest

from omni_connector.errors import Kind
from omni_connector.routing.health import FOREVER, RULES
from omni_connector.routing.probes import DAY_MS, Memory, Signals, announced, doubtful, judge, next_probe, unproven
from omni_connector.snapshot import Account, Cooldown

NOW = 1_800_000_000_000
MAIN = Account("acc_1", "groq", "main")


class Still(Random):
    def uniform(self, a: float, b: float) -> float:
        return (a + b) / 2


def out(kind: Kind, source: Any = "guessed", seconds: int = 60, scope: str = "") -> Cooldown:
    return Cooldown(MAIN.id, scope, NOW + seconds * 1000, source, RULES[kind].reason, 0, NOW)


def test_probes_get_rarer_up_to_the_longest() -> None:
    waits = [(next_probe(step, NOW, Still()) - NOW) // 1000 for step in (*range(9), 10_000)]
    assert waits == [30, 60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]
    assert next_probe(3, NOW, Still(), first_s=1, longest_s=5) == NOW + 5000
    spread = {next_probe(0, NOW, Random(seed)) - NOW for seed in range(50)}
    assert len(spread) > 20
    assert 27_000 <= min(spread) <= max(spread) <= 33_000


def test_an_announced_end_is_waited_for() -> None:
    assert next_probe(0, NOW, Still(), not_before=NOW + 90_000) == NOW + 90_000
    told = [
        out(Kind.ACCOUNT_RATE_LIMITED, "stated", 90),
        out(Kind.UPSTREAM_UNREACHABLE),
        out(Kind.UPSTREAM_FAILED, "stated", 900, "model:m"),
    ]
    assert announced(told, NOW) == NOW + 90_000
    assert announced(told, NOW + 90_000) == 0


def test_healthy_accounts_are_not_probed() -> None:
    assert unproven(MAIN, []) == []
    assert unproven(MAIN, [out(Kind.ACCOUNT_RATE_LIMITED, "stated", -1)]) == []
    guess, ran_out = out(Kind.UPSTREAM_UNREACHABLE), out(Kind.UPSTREAM_FAILED, seconds=-1, scope="model:m")
    unpaid = out(Kind.ACCOUNT_UNPAID, "terminal", -1)
    assert unproven(MAIN, [guess, ran_out, unpaid]) == [guess, ran_out, unpaid]
    assert doubtful(MAIN, [guess, ran_out, unpaid], NOW) == [guess, unpaid]
    assert unproven(replace(MAIN, enabled=False), [guess]) == []
    assert unproven(replace(MAIN, state="error"), [guess]) == []


def test_a_refused_credential_is_one_question_whether_its_cooldown_is_there_or_not() -> None:
    refused = replace(MAIN, state="needs_login")
    (told,) = doubtful(refused, [], NOW)
    assert (told.scope, told.until_at, told.source) == ("", FOREVER, "terminal")
    row = out(Kind.ACCOUNT_REJECTED, "terminal")
    assert unproven(refused, [row]) == [row]


@pytest.mark.parametrize(
    ("kind", "signals", "verdict"),
    [
        (Kind.UPSTREAM_UNREACHABLE, Signals(False), False),
        (Kind.UPSTREAM_UNREACHABLE, Signals(True), True),
        (Kind.ACCOUNT_REJECTED, Signals(True, True), True),
        (Kind.ACCOUNT_REJECTED, Signals(True, False), False),
        (Kind.ACCOUNT_REJECTED, Signals(True), False),
        (Kind.ACCOUNT_UNPAID, Signals(True, True), None),
        (Kind.ACCOUNT_UNPAID, Signals(True, True, True), True),
        (Kind.ACCOUNT_UNPAID, Signals(True, True, False), False),
        (Kind.ACCOUNT_RATE_LIMITED, Signals(True, True, True), None),
        (Kind.ACCOUNT_RATE_LIMITED, Signals(False), False),
        (Kind.UPSTREAM_MODEL_MISSING, Signals(True, True, None, frozenset({"other"})), False),
        (Kind.UPSTREAM_MODEL_MISSING, Signals(True, True, None, frozenset({"m"})), None),
        (Kind.UPSTREAM_MODEL_MISSING, Signals(True, True), None),
    ],
)
def test_what_an_answer_proves(kind: Kind, signals: Signals, verdict: bool | None) -> None:
    assert judge(out(kind, scope="model:m"), signals) is verdict


def test_the_count_of_a_day_ends_with_it() -> None:
    memory = Memory.read({"step": 3, "day": NOW // DAY_MS, "billed": 4}, NOW)
    assert memory == Memory(3, NOW // DAY_MS, 4)
    assert Memory.read(memory.payload(), NOW + DAY_MS) == Memory(3, NOW // DAY_MS + 1, 0)
    assert Memory.read({"step": "x", "billed": -1}, NOW) == Memory(0, NOW // DAY_MS, 0)
