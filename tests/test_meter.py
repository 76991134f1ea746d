"""The meter: what was used, by whose word, and when the first words came."""

from __future__ import annotations

import pytest

from omni_connector.chat import Delta, Ended, Failed, Finish, Finished, PartStart, Started, Usage, UsageSeen
from omni_connector.errors import GatewayError, Kind
from omni_connector.meter import MOST_TOKENS, Meter, reading


def test_it_follows_an_answer() -> None:
    meter = Meter()
    meter.hear([Started("r", "m", usage=Usage(input=12, output=1)), PartStart(0, "text")])
    assert (meter.first_output, meter.ended, meter.usage) == (False, False, Usage(input=12, output=1))
    meter.hear([Delta(0, "Grüße")])
    assert meter.first_output
    assert meter.output_chars == 5
    meter.hear([UsageSeen(Usage(output=30, raw={"x": 1})), Finished(Finish.LENGTH), Ended()])
    assert (meter.usage, meter.finish, meter.ended) == (Usage(input=12, output=30, raw={"x": 1}), Finish.LENGTH, True)


def test_an_answer_without_a_word_has_begun_when_it_is_finished() -> None:
    meter = Meter()
    meter.hear([Started("r", "m"), Finished(Finish.STOP)])
    assert meter.first_output
    assert meter.output_chars == 0


def test_of_several_answers_the_first_one_decides() -> None:
    meter = Meter()
    meter.hear([Finished(Finish.LENGTH, 1), Finished(Finish.STOP, 0), Finished(Finish.FILTER, 2)])
    assert meter.finish is Finish.STOP


def test_a_failure_inside_is_kept() -> None:
    meter, error = Meter(), GatewayError(Kind.UPSTREAM_OVERLOADED, "busy")
    meter.hear([Started("r", "m"), Failed(error)])
    assert meter.error is error
    assert not meter.ended


COUNTED, CLAIMED = {"usage_source": "counted"}, {"usage_source": "none"}


@pytest.mark.parametrize(
    ("usage", "chars", "expected", "source"),
    [
        (Usage(input=10, output=0), 0, Usage(input=10, output=0), "reported"),
        (Usage(cache_read=10, output=5), 99, Usage(cache_read=10, output=5), "reported"),
        (None, 9, Usage(input=77, output=3), "counted"),
        (None, 0, Usage(input=77, output=0), "estimated"),
        (Usage(input=10), 9, Usage(input=10, output=3), "counted"),  # message_start came, the end did not
        (Usage(output=5), 9, Usage(input=77, output=5), "counted"),
        (Usage(input=0, output=0), 8, Usage(input=0, output=0), "counted"),  # some hosts send zeros for "unknown"
        # Absurd counts are not believed: they would buy the user a bill, and do not fit a database.
        (Usage(input=2**70, output=3), 9, Usage(input=77, output=3), "counted"),
        (Usage(input=10, output=-5), 9, Usage(input=10, output=3), "counted"),
        (Usage(input=10, output=5, reasoning=2**64), 9, Usage(input=10, output=5), "reported"),
        # Who counted by itself says so, and is believed in that only.
        (Usage(input=10, output=5, raw=COUNTED), 9, Usage(input=10, output=5, raw=COUNTED), "counted"),
        (Usage(input=10, output=5, raw=CLAIMED), 9, Usage(input=10, output=5, raw=CLAIMED), "reported"),
    ],
)
def test_the_figures_say_where_they_come_from(usage: Usage | None, chars: int, expected: Usage, source: str) -> None:
    found = reading(usage, chars, Finish.STOP, 77)
    assert (found.usage, found.source, found.finish) == (expected, source, Finish.STOP)


def test_the_largest_count_that_is_believed() -> None:
    assert reading(Usage(input=MOST_TOKENS, output=1), 0, Finish.STOP, 0).source == "reported"
    assert reading(Usage(input=MOST_TOKENS + 1, output=1), 0, Finish.STOP, 5).usage.input == 5


def test_a_torn_answer_is_counted_not_believed() -> None:
    """Anthropic's message_start says input tokens and a first output token; the rest comes with the end, which is missing."""
    found = reading(Usage(input=10, output=1), 400, None, 77)
    assert (found.usage, found.source) == (Usage(input=10, output=100), "counted")
    assert reading(Usage(input=10, output=300), 400, None, 77).usage.output == 300, "running totals may know better"
