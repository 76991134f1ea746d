"""Who enters the client API, by any of five ways, and what the others are told (CONTRACT §3)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from omni_connector import auth, secrets
from omni_connector.auth import authenticate, presented
from omni_connector.errors import GatewayError, Kind
from omni_connector.snapshot import ClientKey, Snapshot

NOW = 1_800_000_000_000
KEY = secrets.mint_key()
OTHER = secrets.mint_key()


def picture(**more: Any) -> Snapshot:
    digest = secrets.hash_key(KEY)
    return Snapshot(keys={digest: ClientKey("key_1", "laptop", secrets.key_hint(KEY), digest, NOW, **more)})


WAYS = [
    ({"authorization": f"Bearer {KEY}"}, b""),  # C-35, O-22
    ({"authorization": f"bearer   {KEY} "}, b""),
    ({"authorization": KEY}, b""),  # P-53
    ({"x-api-key": KEY}, b""),  # C-36
    ({"x-goog-api-key": f" {KEY}"}, b""),  # C-37
    ({}, f"alt=sse&key={KEY}".encode()),  # C-38
    # Clients send more than one at times; a key of ours counts wherever it stands.
    ({"authorization": "Bearer ", "x-api-key": KEY}, b""),
    ({"authorization": "Basic dXNlcjpwYXNz", "x-api-key": KEY}, b""),
    ({"authorization": "Bearer sk-ant-something", "x-api-key": KEY}, b""),
    ({"x-api-key": "none"}, f"key={KEY}".encode()),
]


@pytest.mark.parametrize(("headers", "query"), WAYS)
def test_a_key_is_taken_whichever_way_it_comes(headers: dict[str, str], query: bytes) -> None:
    assert presented(headers, query) == KEY
    assert authenticate(headers, query, picture(), NOW).id == "key_1"


@pytest.mark.parametrize(
    ("sent", "words", "code"),
    [
        ("", "No omni-key was sent", "missing_api_key"),
        ("sk-proj-123", "not an omni-key", "invalid_api_key"),
        ("omniadm-123", "admin key", "invalid_api_key"),
        (KEY[:-1] + ("A" if KEY[-1] != "A" else "B"), "typo", "invalid_api_key"),
        (KEY[:-3], "typo", "invalid_api_key"),
        (OTHER, "not known here", "invalid_api_key"),
        ("omni-\udcff\x00", "typo", "invalid_api_key"),
    ],
)
def test_what_is_wrong_with_a_key_is_said(sent: str, words: str, code: str) -> None:  # O-20, P-54
    with pytest.raises(GatewayError) as refused:
        authenticate({"x-api-key": sent}, b"", picture(), NOW)
    assert refused.value.kind is Kind.UNAUTHENTICATED
    assert refused.value.code == code
    assert words in refused.value.message
    assert not sent or sent not in refused.value.message, "a key is never repeated"


@pytest.mark.parametrize(("more", "words"), [({"expires_at": NOW}, "expired"), ({"revoked_at": 1}, "revoked")])
def test_a_key_that_ended_is_named_by_its_hint_only(more: dict[str, int], words: str) -> None:  # O-20
    with pytest.raises(GatewayError) as refused:
        authenticate({"x-api-key": KEY}, b"", picture(**more), NOW)
    assert words in refused.value.message
    assert secrets.key_hint(KEY) in refused.value.message
    assert KEY not in refused.value.message


@pytest.mark.parametrize("query", [b"monkey=omni-x", b"key=", b"key", b"%6bey=x", b"key=%ff%fe", b"\xff&key=a"])
def test_odd_queries_harm_nobody(query: bytes) -> None:
    with pytest.raises(GatewayError):
        authenticate({}, query, picture(), NOW)


def test_what_is_remembered_of_a_key_opens_nothing_that_the_key_does_not() -> None:
    """Each request asks the clock again; another configuration remembers nothing of the one before, however it was made."""
    headers = {"authorization": f"Bearer {KEY}"}
    before = picture(expires_at=NOW + 10)
    known = authenticate(headers, b"", before, NOW)
    assert before.met == {KEY: known} and authenticate(headers, b"", before, NOW + 9) is known
    for now, snapshot in (
        (NOW + 10, before),
        (NOW, picture(revoked_at=NOW)),
        (NOW, replace(before, keys={known.hash: replace(known, revoked_at=NOW)})),
        (NOW, replace(before, keys={})),
    ):
        with pytest.raises(GatewayError) as refused:
            authenticate(headers, b"", snapshot, now)
        assert refused.value.kind is Kind.UNAUTHENTICATED
    narrower = replace(known, models=("cheap",))
    assert authenticate(headers, b"", replace(before, version=2, keys={known.hash: narrower}), NOW) is narrower
    assert KEY not in repr(before) and before == replace(before) and not replace(before).met


def test_only_keys_that_there_are_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = picture()
    for text in (OTHER, "omni-guess", "sk-something"):
        with pytest.raises(GatewayError):
            authenticate({"x-api-key": text}, b"", snapshot, NOW)
    assert not snapshot.met
    monkeypatch.setattr(auth, "MOST_MET", 0)
    assert authenticate({"x-api-key": KEY}, b"", snapshot, NOW).id == "key_1" and not snapshot.met
