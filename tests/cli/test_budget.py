"""The options that set budgets and limits, wherever they are."""

from __future__ import annotations

from typing import Any

import click
import pytest

from omni_connector.cli.budget import budget_of, limits_of, plain, whole

KNOWN = {"amount": "5", "period": "week", "zone": "Europe/Berlin"}


@pytest.mark.parametrize(
    ("given", "known", "expected"),
    [
        ({}, KNOWN, {}),
        ({"budget": "9"}, None, {"amount": "9"}),
        (
            {"budget": "9", "period": "day", "zone": "UTC", "soft": True},
            None,
            {"amount": "9", "period": "day", "zone": "UTC", "mode": "soft"},
        ),
        ({"budget": "9"}, KNOWN, {**KNOWN, "amount": "9"}),
        ({"zone": "UTC", "mode": "hard"}, KNOWN, {**KNOWN, "zone": "UTC", "mode": "hard"}),
        ({"budget": "none"}, KNOWN, None),
    ],
)
def test_what_is_not_named_stays(given: dict[str, Any], known: Any, expected: Any) -> None:
    assert budget_of(given, known) == ({"budget": expected} if given else {})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"zone": "UTC"}, "--zone needs --budget"),
        ({"soft": True}, "--soft needs"),
        ({"budget": "1", "soft": True, "mode": "hard"}, "one of both"),
    ],
)
def test_half_a_budget_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(click.UsageError, match=said):
        budget_of(given)


def test_what_the_answers_add_is_left_out() -> None:
    assert plain({**KNOWN, "spent_usd": "1", "held_usd": "0", "resets_at": 5}) == KNOWN


def test_none_is_no_limit_and_words_are_no_number() -> None:
    assert limits_of({"rpm": 5, "tpm": "none", "max_in_flight": None}) == {"rpm": 5, "tpm": None}
    option = click.Option(["--rpm"])
    context = click.Context(click.Command("x"))
    assert [whole(context, option, text) for text in (None, "none", "60")] == [None, "none", 60]
    for text in ("many", "-1", "1.5", ""):
        with pytest.raises(click.UsageError, match="--rpm"):
            whole(context, option, text)
