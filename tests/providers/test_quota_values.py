from __future__ import annotations

import pytest

from omni_connector import providers
from omni_connector.providers.quota_values import address, moment, number, percent, window_name
from omni_connector.snapshot import Account


@pytest.mark.parametrize(
    ("seconds", "name"),
    [
        (18_000, "5h"),
        (18_001, "5h"),
        (604_800, "week"),
        (86_400, "day"),
        (2_592_000, "month"),
        (3600, "1h"),
        (5400, "90m"),
        (10_800, "3h"),
        (259_200, "3d"),
        (None, "window"),
        (0, "window"),
        (20, "1m"),
    ],
)
def test_what_a_window_is_called(seconds: float | None, name: str) -> None:
    assert window_name(seconds) == name


@pytest.mark.parametrize(
    ("told", "at"),
    [
        (1_800_000_000, 1_800_000_000_000),
        ("1800000000", 1_800_000_000_000),
        (1_800_000_000_000, 1_800_000_000_000),
        ("2027-01-15T08:00:00Z", 1_800_000_000_000),
        (0, None),
        ("soon", None),
        (True, None),
        (None, None),
    ],
)
def test_moments(told: object, at: int | None) -> None:
    assert moment(told) == at


def test_numbers_are_never_invented() -> None:
    assert [number(value) for value in (1, "2.5", 0, -1, "x", None, True, float("nan"))] == [1.0, 2.5, 0.0, None, None, None, None, None]
    assert percent("5h", None)["state"] == "unknown" and percent("5h", 140.0)["used"] == 100.0


def test_the_host_that_the_account_calls_is_asked() -> None:
    glm = providers.get("glm")
    plan = Account("a", "glm", "a", options={"region": "bigmodel-coding"})
    assert address(glm, plan, {}, "/api/x") == "https://open.bigmodel.cn/api/x"
    assert address(glm, Account("a", "glm", "a", base_url="http://127.0.0.1:9/v1"), {}, "/x") == "http://127.0.0.1:9/x"
    assert address(glm, plan, {"glm": {"quota": "http://127.0.0.1:9/q"}}, "/api/x") == "http://127.0.0.1:9/q"
