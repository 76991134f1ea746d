import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_connector.catalog import family
from omni_connector.routing.candidates import Candidate
from omni_connector.routing.choosing import MOST, claude_release, ordered
from omni_connector.snapshot import Account


def listing(label: str, *models: str, enabled: bool = True) -> list[Candidate]:
    return [Candidate(Account(id=label, provider="p", label=label, enabled=enabled), model) for model in models]


def test_equal_worth_shares_a_tier_and_unknown_comes_last() -> None:
    worth = {"cheap": 0, "mid": 2, "dear": 9}
    tiers = ordered([listing("a", "dear", "odd", "cheap"), listing("b", "mid", "cheap")], lambda c: worth.get(c.model))
    assert [[f"{c.account.label}={c.model}" for c in tier] for tier in tiers] == [["a=cheap", "b=cheap"], ["b=mid"], ["a=dear"], ["a=odd"]]
    assert ordered([], lambda c: 0) == ()


@given(st.lists(st.tuples(st.integers(0, 120), st.booleans()), max_size=70))
def test_at_most_so_many_and_no_account_takes_every_place(shape: list[tuple[int, bool]]) -> None:
    lists = [listing(f"l{n}", *(f"m{i}" for i in range(size)), enabled=enabled) for n, (size, enabled) in enumerate(shape)]
    kept = [candidate for tier in ordered(lists, lambda c: int(c.model[1:])) for candidate in tier]
    assert len(kept) <= MOST
    assert [int(candidate.model[1:]) for candidate in kept] == sorted(int(candidate.model[1:]) for candidate in kept)
    usable = {candidates[0].account.id for candidates in lists if candidates and candidates[0].account.enabled}
    found = {candidate.account.id for candidate in kept if candidate.account.enabled}
    assert found == usable or len(found) == MOST, "each account that can serve has a place while there are places"


@pytest.mark.parametrize(
    ("model", "word", "release"),
    [
        ("claude-opus-4-5-20251101", "opus", (4, 5, 1)),
        ("claude-opus-4-20250514", "opus", (4, 0, 1)),
        ("claude-opus-5", "opus", (5, 0, 1)),
        ("anthropic/claude-3.5-haiku", "haiku", (3, 5, 1)),
        ("claude-3-opus-20240229", "opus", (3, 0, 1)),
        ("claude-4-sonnet", "sonnet", (4, 0, 1)),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "sonnet", (4, 5, 1)),
        ("anthropic.claude-opus-4-20250514-v1:0", "opus", (4, 0, 1)),
        ("gemini-claude-opus-4-5-thinking", "opus", (4, 5, 0)),
        ("claude-sonnet-5", "opus", None),
        ("opus", "opus", None),
        ("magnum-opus-4", "opus", None),
    ],
)
def test_the_release_of_a_claude_model(model: str, word: str, release: tuple[int, int, int] | None) -> None:
    assert claude_release(family(model), word) == release
