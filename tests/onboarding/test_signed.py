"""Who is who: when two sign-ins are one person's, when they certainly are not, and what a set-up adds."""

from __future__ import annotations

from typing import Any

import pytest

from omni_connector.onboarding.signed import SETUPS, Signed, other_person, same_person, same_place
from omni_connector.providers import PROVIDERS

ADA = {"subject": "u1", "email": "ada@example.org", "account_id": "w1"}


@pytest.mark.parametrize(
    ("other", "same", "different"),
    [
        (ADA, True, False),
        ({"email": "Ada@Example.org"}, True, False),
        ({"subject": "u1", "email": "new@example.org"}, False, False),
        ({"subject": "u2", "email": "ada@example.org"}, False, True),
        ({"subject": "u1", "account_id": "w2"}, False, True),
        ({"account_id": "w1"}, False, False),
        ({"email": "eve@example.org"}, False, True),
        ({"plan": "plus"}, False, False),
        ({}, False, False),
    ],
)
def test_persons(other: dict[str, Any], same: bool, different: bool) -> None:
    """What is unknown proves nothing; an address that changed makes nobody another person, but no account is guessed for it."""
    assert (same_person(ADA, other), other_person(ADA, other)) == (same, different)
    assert (same_person(other, ADA), other_person(other, ADA)) == (same, different)


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ({}, True),
        ({"oauth": {"scopes": ["more"]}}, True),
        ({"oauth": {"token": "https://b.test/token"}}, False),
        ({"oauth": {"client_id": "other"}}, False),
        ({"endpoints": {"inference": "https://b.test/v1"}}, False),
        ({"endpoints": {"inference": "https://a.test/v1", "quota": "https://q.test"}}, True),
    ],
)
def test_one_address_at_two_servers_is_two_accounts(other: dict[str, Any], same: bool) -> None:
    """A person has the same address at every server that a user may describe."""
    mine = {"oauth": {"token": "https://a.test/token", "client_id": "c"}, "endpoints": {"inference": "https://a.test/v1"}, "identity": ADA}
    theirs = {**mine, **{name: {**mine[name], **more} for name, more in other.items()}}
    assert (same_place(mine, theirs), same_place(theirs, mine), same_place({}, {})) == (same, same, True)


def test_secrets_do_not_stand_in_its_words() -> None:
    assert "t0ken" not in repr(Signed("mock", "oauth", "t0ken", proxy_url="http://t0ken@host"))


def test_every_set_up_has_its_provider() -> None:
    assert SETUPS.keys() <= PROVIDERS.keys()
