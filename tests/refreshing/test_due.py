from __future__ import annotations

from random import Random

import pytest

from omni_connector.refreshing.due import due_at, earliest, over, spread, wait_ms, wanted
from omni_connector.tokens import Tokens

S = 1000
NOW = 1_000_000 * S


@pytest.mark.parametrize(
    ("tokens", "due"),
    [
        (Tokens("a"), None),
        (Tokens("a", expires_at=NOW), NOW - 300 * S),  # imported: how long it lives is not known
        (Tokens("a", expires_at=NOW, refreshed_at=NOW - 3600 * S), NOW - 300 * S),
        (Tokens("a", expires_at=NOW, refreshed_at=NOW - 200 * S), NOW - 100 * S),  # never in the first half of a life
        (Tokens("a", expires_at=NOW, refreshed_at=NOW - 40 * S), NOW - 10 * S),  # never twice in 30 s
        (Tokens("a", expires_at=NOW, refreshed_at=NOW - 10 * S), NOW),
        (Tokens("a", expires_at=NOW, refreshed_at=NOW + 10 * S), NOW + 10 * S),
        (Tokens("a", expires_at=NOW, not_before=NOW - 5 * S), NOW - 5 * S),
    ],
)
def test_when_it_is_due(tokens: Tokens, due: int | None) -> None:  # C-66
    assert due_at(tokens, 300) == due


def test_what_is_asked_for() -> None:
    tokens = Tokens("a", expires_at=NOW)
    assert wanted(tokens, "a", 300, 0) and not wanted(tokens, "old", 300, NOW)
    assert [wanted(tokens, "", 300, at) for at in (NOW - 301 * S, NOW - 300 * S)] == [False, True]
    assert wanted(tokens, "", 300, NOW - 301 * S, early_ms=S)
    assert not wanted(Tokens("a"), "", 300, NOW) and not over(Tokens("a"), NOW) and over(tokens, NOW) and not over(tokens, NOW - 1)


def test_how_long_to_wait() -> None:
    rng = Random(1)
    for failures, least in ((0, 10), (1, 30), (5, 900), (99, 900)):
        assert least * S <= wait_ms(failures, None, rng) <= least * 1.2 * S
    assert [wait_ms(3, stated, rng) for stated in (0.0, 17.0, 1e9)] == [S, 17 * S, 86_400 * S]
    assert all(0 <= spread(300, rng) <= earliest(300) == 60 * S for _ in range(50)) and earliest(20) == 4 * S
