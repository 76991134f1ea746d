"""The picture every request is answered from: it cannot be changed, and it does not show secrets."""

from __future__ import annotations

import dataclasses

import pytest

from omni_connector.snapshot import EMPTY, Account, ClientKey, Cooldown, Snapshot

NOW = 1_800_000_000_000


def test_nothing_in_it_can_be_changed() -> None:
    for value in (Account("a", "groq", "main"), Cooldown("a", "", NOW, "stated", "x"), Snapshot()):
        name = dataclasses.fields(value)[0].name
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, name, "other")
    with pytest.raises(TypeError):
        EMPTY["x"] = 1  # type: ignore[index]
    assert Snapshot().keys is EMPTY


def test_a_secret_never_shows_when_it_is_printed() -> None:
    account = Account("a", "groq", "main", secret="sk-very-secret", headers={"x": "hidden-header"}, proxy_url="http://u:pw@proxy")
    key = ClientKey("key_1", "laptop", "omni-Ab…", "hash-of-it", NOW)
    shown = repr(Snapshot(accounts=(account,), keys={"hash-of-it": key})).replace("{'hash-of-it'", "")
    for hidden in ("very-secret", "hidden-header", "pw@", "hash='"):
        assert hidden not in shown


def test_the_models_of_an_account_are_the_best_known_ones() -> None:
    account = Account("a", "groq", "main", default_models=("d",))
    assert account.known_models == ("d",)
    account = dataclasses.replace(account, discovered=("x", "y"))
    assert account.known_models == ("x", "y")
    assert dataclasses.replace(account, models=("mine",)).known_models == ("mine",)


@pytest.mark.parametrize(
    ("expires_at", "revoked_at", "status"),
    [
        (None, None, "active"),
        (NOW + 1, None, "active"),
        (NOW, None, "expired"),
        (NOW - 1, None, "expired"),
        (None, NOW - 1, "revoked"),
        (NOW - 1, NOW - 2, "revoked"),
    ],
)
def test_the_status_of_a_key(expires_at: int | None, revoked_at: int | None, status: str) -> None:  # O-20, J-16
    assert ClientKey("key_1", "n", "h", "x", 0, expires_at=expires_at, revoked_at=revoked_at).status(NOW) == status
