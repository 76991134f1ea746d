"""A request that is over is counted, traced and, at the level debug, told in a line."""

from __future__ import annotations

import logging

import pytest

from omni_connector.settings import Settings
from omni_connector.sight import Sight
from tests.metrics.test_counting import record


def test_a_request_that_is_over(caplog: pytest.LogCaptureFixture) -> None:  # P-58
    sight = Sight({}, dict)
    with caplog.at_level(logging.INFO, "omni.requests"):
        sight.settled(record())
    assert not caplog.records
    with caplog.at_level(logging.DEBUG, "omni.requests"):
        sight.settled(record())
    assert sum(sight.metrics.samples()["omni_requests_total"].values()) == 2  # type: ignore[arg-type]
    (line,) = caplog.messages
    assert line == (
        "request req_1: ok 200 in 2600 ms; asked: openai-chat, about 0 tokens; tried: groq/llama 429 account_rate_limited 31 ms, "
        "openai/gpt-5 200 420 ms; left out: 0; 14+7 tokens (reported); dropped: 0"
    )


def test_settings_are_followed_by_all() -> None:
    sight, seen = Sight({}, dict), []
    sight.followers.append(seen.append)
    sight.begin(Settings())
    sight.follow(Settings(log_level="debug"))
    assert [settings.log_level for settings in seen] == ["debug"]
    assert not sight.tracing.active
