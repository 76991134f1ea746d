"""Every name that a row gives has its reader, and headers find theirs. P-05"""

from __future__ import annotations

import timeit
from typing import Any

import pytest

from omni_connector import providers
from omni_connector.providers.quota_readers import READERS, harvest, questions, read, refused, tells
from omni_connector.snapshot import Account

NOW = 1_800_000_000_000
CODEX = {"x-codex-primary-used-percent": "40", "x-codex-primary-window-minutes": "300", "x-codex-primary-reset-at": "1800000600"}
RATES = {"x-ratelimit-limit-requests": "10", "x-ratelimit-remaining-requests": "5", "x-ratelimit-reset-requests": "1m"}


def test_every_row_with_a_reader_has_one() -> None:
    assert {row.quota for row in providers.PROVIDERS.values() if row.quota} <= READERS.keys()


@pytest.mark.parametrize("name", READERS)
def test_every_reader_takes_what_failed_and_what_is_odd(name: str) -> None:
    odd: list[Any] = [None, [], "x", 5, {}, {"data": []}, {"limits": {}}, {"usage": None}, {"rate_limit": 3}]
    windows, plan = READERS[name].read(odd)
    assert plan == "" and all(window["state"] == "unknown" for window in windows)


def test_questions_and_answers() -> None:
    row = providers.get("openrouter")
    account = providers.complete(Account("acc_1", "openrouter", "me", secret="sk-or-v1-x"))
    ((method, url, headers, body),) = questions(row, account)
    assert (method, url, headers["authorization"], body) == ("GET", "https://openrouter.ai/api/v1/key", "Bearer sk-or-v1-x", b"")
    windows, _ = read(row, [{"data": {"limit": 10, "limit_remaining": 4, "limit_reset": "weekly"}}])
    assert [(window["name"], window["used"], window["limit"]) for window in windows] == [("week", 6.0, 10.0)]
    assert (questions(providers.get("openai"), account), read(providers.get("openai"), [{}])) == ([], ([], ""))


def test_headers_find_their_reader() -> None:  # P-05
    codex, openai = providers.get("codex"), providers.get("openai")
    (window,) = harvest(codex, CODEX, NOW, "gpt-5.4")
    assert (window["name"], window["used"], window["resets_at"], window.get("model")) == ("5h", 40.0, NOW + 600_000, None)
    (window,) = harvest(openai, RATES, NOW, "gpt-4o")
    assert (window["name"], window["used"], window["model"]) == ("requests", 5.0, "gpt-4o")
    assert harvest(openai, CODEX, NOW) == [] and tells(CODEX) and tells(RATES)
    assert refused({"error": {"type": "usage_limit_reached", "resets_in_seconds": 5}}, NOW)[0]["resets_at"] == NOW + 5000


def test_an_answer_that_tells_nothing_costs_next_to_nothing() -> None:
    headers = {f"x-header-{number}": "value" for number in range(40)}
    assert not tells(headers)
    # The best of many: what the machine does beside is not ours.
    assert min(timeit.repeat(lambda: tells(headers), number=200, repeat=20)) / 200 < 5e-6
