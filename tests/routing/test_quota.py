from typing import Any

import pytest

from omni_connector.catalog import family
from omni_connector.routing.candidates import Candidate
from omni_connector.routing.quota import left, number, windows
from omni_connector.snapshot import Account

NOW = 1_800_000_000_000


@pytest.mark.parametrize(
    ("named", "model", "counts"),
    [
        (None, "claude-opus-4-5-20251101", True),
        ("", "claude-opus-4-5-20251101", True),
        (7, "claude-opus-4-5-20251101", True),
        ("claude-opus-4.5", "claude-opus-4-5-20251101", True),
        ("anthropic/claude-opus-4-5", "claude-opus-4.5", True),
        ("Claude-Opus-*", "claude-opus-4-5-20251101", True),
        ("claude-opus-4-5-2025*", "claude-opus-4-5-20251101", True),
        ("claude-opus-4.5", "claude-sonnet-4-5", False),
        ("claude-opus", "claude-opus-4-5", False),
        ("[", "claude-opus-4-5", False),
        ("gemini-2.5-pro", "gemini-2.5-flash", False),
    ],
)
def test_a_window_with_a_model_counts_for_that_model(named: Any, model: str, counts: bool) -> None:  # O-19
    row: Any = {"name": "week", "used": 1, "limit": 2} | ({} if named is None else {"model": named})
    candidate = Candidate(Account("acc_a", "groq", "a", quota=(row,)), model)
    assert windows(candidate, family) == ([row] if counts else [])


def test_what_is_left_of_a_window() -> None:
    assert left({"used": 25, "limit": "100", "resets_at": NOW + 1}, NOW) == 0.75
    assert left({"used": 125, "limit": 100}, NOW) == 0
    assert left({"used": 25, "limit": 100, "resets_at": NOW}, NOW) is None, "it has ended"
    assert left({"used": 25, "limit": 100, "state": "unknown"}, NOW) is None
    assert left({"used": None, "limit": 100}, NOW) is left({"used": 1, "limit": 0}, NOW) is None


def test_numbers_as_providers_write_them() -> None:
    assert [number(value) for value in (3, "12.5", 0.5)] == [3, 12.5, 0.5]
    none: list[Any] = [True, None, "many", "nan", float("inf"), 10**400, []]
    assert [number(value) for value in none] == [None] * len(none)
