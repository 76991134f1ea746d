"""What is remembered of an account is that account's, and no other's."""

from __future__ import annotations

from dataclasses import replace

import pytest

from omni_connector.providers import remembered
from omni_connector.providers.remembered import Remembered
from omni_connector.snapshot import Account

ACCOUNT = Account("acc_1", "openai", "main", secret="sk-old")


def test_a_changed_account_is_worked_out_anew() -> None:
    known: Remembered[str] = Remembered()
    made = [known.of(ACCOUNT, "x", lambda: ACCOUNT.secret) for _ in range(2)]
    new = replace(ACCOUNT, secret="sk-new")
    assert made == ["sk-old"] * 2
    assert known.of(new, "x", lambda: new.secret) == "sk-new"
    assert known.of(new, "y", lambda: "other") == "other"
    assert known.of(new, "x", lambda: "asked again") == "sk-new"


def test_failures_are_not_remembered_and_room_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    known: Remembered[int] = Remembered()
    with pytest.raises(ZeroDivisionError):
        known.of(ACCOUNT, "x", lambda: 1 // 0)
    assert known.of(ACCOUNT, "x", lambda: 1) == 1
    monkeypatch.setattr(remembered, "MOST", 3)
    for number in range(10):
        known.of(ACCOUNT, number, lambda: number)
    assert len(known._known) <= 3
