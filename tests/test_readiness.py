"""What a balancer is told: GET /ready."""

from __future__ import annotations

from dataclasses import dataclass

from omni_connector.readiness import UNSEEN_S, Readiness


@dataclass
class Fake:
    away: bool = False
    takes_new: bool = True
    unseen_s: float = 0.0


def ready(watch: Fake | None = None, **spill: bool) -> Readiness:
    found = Readiness(Fake(**spill))  # type: ignore[arg-type]
    found.watch = watch or Fake()  # type: ignore[assignment]
    return found


def test_a_node_is_ready_for_as_long_as_it_would_carry_a_request_out() -> None:
    assert ready().refusal(database=False) == ready().refusal(database=True) == ""
    away = ready(away=True)
    assert away.refusal(database=False) == "", "its keys and routes are in memory"
    assert "out of reach" in away.refusal(database=True), "others may reach it"
    full = ready(away=True, takes_new=False)
    assert full.refusal(database=False) == "the database is away"


def test_a_database_that_falls_silent_is_noticed_before_anything_fails() -> None:
    silent = ready(Fake(unseen_s=UNSEEN_S + 1))
    assert silent.refusal(database=False) == "" and "out of reach" in silent.refusal(database=True)
    beginning = Readiness(Fake())  # type: ignore[arg-type]
    assert "out of reach" in beginning.refusal(database=True)


def test_who_leaves_says_so_first() -> None:
    leaving = ready(away=True, takes_new=False)
    leaving.leaving = True
    assert leaving.refusal(database=False) == leaving.refusal(database=True) == "stopping"
