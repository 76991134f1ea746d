import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_connector.errors import GatewayError, Kind
from omni_connector.routing.patience import LEAST_MS, patience_ms, wait_for

NOW = 1_800_000_000_000


@pytest.mark.parametrize(
    ("header", "ms"),
    [(None, 5000), ("", 5000), ("0", 0), ("2.5", 2500), (" 30 ", 30_000), ("60", 60_000), ("86400", 60_000), ("inf", 60_000)],
)
def test_the_header_replaces_the_setting_within_bounds(header: str | None, ms: int) -> None:
    assert patience_ms(header, 5.0) == ms


@pytest.mark.parametrize("header", ["soon", "-1", "nan", "5s"])
def test_a_header_that_is_no_number_is_the_caller_s_mistake(header: str) -> None:
    with pytest.raises(GatewayError) as caught:
        patience_ms(header, 5.0)
    assert (caught.value.kind, caught.value.param) == (Kind.BAD_REQUEST, "x-omni-wait")


def test_the_first_that_is_back_in_time_is_waited_for() -> None:
    assert wait_for([NOW + 9000, None, NOW + 3000], NOW, 5000) == 3000
    assert wait_for([NOW + 5000], NOW, 5000) == 5000
    assert wait_for([NOW + 5001], NOW, 5000) is None
    assert wait_for([None], NOW, 5000) is None
    assert wait_for([], NOW, 5000) is None
    assert wait_for([NOW - 1], NOW, 5000) == LEAST_MS
    assert wait_for([NOW + 1], NOW, 0) is None


@given(st.lists(st.none() | st.integers(NOW - 10_000, NOW + 100_000), max_size=8), st.integers(0, 60_000))
def test_waits_never_add_up_to_more_than_the_patience(ends: list[int | None], patience: int) -> None:
    now, until, waits = NOW, NOW + patience, 0
    while (wait := wait_for(ends, now, until - now)) is not None:
        now += wait
        waits += 1
    assert now <= until
    assert waits <= patience // LEAST_MS
