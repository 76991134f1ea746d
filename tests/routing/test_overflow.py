from hypothesis import given
from hypothesis import strategies as st

from omni_connector.routing.candidates import Candidate
from omni_connector.routing.overflow import larger
from omni_connector.snapshot import Account

ACCOUNT = Account(id="a", provider="p", label="a")
SIZES = {"small": 8_000, "failed": 32_000, "large": 128_000, "huge": 1_000_000}


def candidates(*models: str) -> list[Candidate]:
    return [Candidate(ACCOUNT, model) for model in models]


def window(candidate: Candidate) -> int | None:
    return SIZES.get(candidate.model)


FAILED = Candidate(ACCOUNT, "failed")


def test_larger_windows_first_unknown_next_smaller_never() -> None:
    found = larger(candidates("failed", "odd", "small", "large", "huge"), FAILED, window, 200_000)
    assert [c.model for c in found.candidates] == ["huge", "odd", "large"]
    assert found.reasons == (
        "window of 1000000 tokens",
        "window unknown",
        "window of 128000 tokens, larger, but about 200000 are needed",
    )
    assert [(c.model, why) for c, why in found.left_out] == [
        ("failed", "window of 32000 tokens, not larger than the 32000 of failed"),
        ("small", "window of 8000 tokens, not larger than the 32000 of failed"),
    ]
    assert [c.model for c in larger(candidates("large", "odd", "huge"), FAILED, window).candidates] == ["large", "huge", "odd"]


def test_the_same_model_is_not_asked_again_where_nothing_can_be_compared() -> None:
    odd = Candidate(ACCOUNT, "odd")
    found = larger(candidates("odd", "small", "large", "other"), odd, window, 10_000)
    assert [c.model for c in found.candidates] == ["large", "other"]
    assert [why for _, why in found.left_out] == [
        "odd is the model that the conversation did not fit",
        "window of 8000 tokens, but about 10000 are needed",
    ]


@given(st.lists(st.sampled_from(["small", "failed", "large", "huge", "odd", "other"]), unique=True), st.none() | st.integers(0, 10**7))
def test_nothing_is_lost_and_nothing_comes_twice(models: list[str], needed: int | None) -> None:
    rest = candidates(*models)
    found = larger(rest, FAILED, window, needed)
    both = [*found.candidates, *(candidate for candidate, _ in found.left_out)]
    assert sorted(c.model for c in both) == sorted(models)
    assert len(found.reasons) == len(found.candidates)
    assert not {"small", "failed"} & {c.model for c in found.candidates}
