import pytest

from omni_connector.admin.when import DAY_MS, day_start, parse_when
from omni_connector.errors import GatewayError

NOW = 1_795_000_000_000


@pytest.mark.parametrize(
    ("text", "ahead", "expected"),
    [
        (1_763_712_000_000, True, 1_763_712_000_000),
        ("1763712000000", True, 1_763_712_000_000),
        ("2026-11-21", True, 1_795_219_200_000),
        ("2026-11-21T08:00:00Z", True, 1_795_248_000_000),
        ("2026-11-21T08:00:00", True, 1_795_248_000_000),
        ("2026-11-21T09:00:00+01:00", True, 1_795_248_000_000),
        ("30d", True, NOW + 30 * DAY_MS),
        ("12h", False, NOW - DAY_MS // 2),
        ("now", True, NOW),
        ("today", False, day_start(NOW)),
    ],
)
def test_forms(text: str | int, ahead: bool, expected: int) -> None:
    assert parse_when(text, NOW, "from", "ahead" if ahead else "back") == expected


@pytest.mark.parametrize("text", ["", "yesterday", "-3d", "30 d", "2026-13-01", "99999999999999999", "²d", "0001-01-01"])
def test_anything_else_names_the_field(text: str) -> None:
    with pytest.raises(GatewayError) as caught:
        parse_when(text, NOW, "expires_at", "ahead")
    assert caught.value.param == "expires_at"


def test_days_begin_at_midnight_utc() -> None:
    assert day_start(NOW) % DAY_MS == 0
    assert day_start(day_start(NOW)) == day_start(NOW) <= NOW
