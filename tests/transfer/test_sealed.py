"""Exports under a passphrase: they open again, and only with it."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from omni_connector.errors import GatewayError
from omni_connector.transfer import sealed

PLAIN = b'{"accounts": ["sk-secret"]}'
WORDS = "correct horse"


@pytest.fixture(scope="module")
def envelope() -> dict[str, Any]:
    return dict(json.loads(sealed.seal(PLAIN, WORDS)))


def refused(value: dict[str, Any], passphrase: str = WORDS) -> GatewayError:
    with pytest.raises(GatewayError) as error:
        sealed.unseal(value, passphrase)
    assert "sk-secret" not in error.value.message
    return error.value


def test_it_opens_again(envelope: dict[str, Any]) -> None:
    assert sealed.is_sealed(envelope)
    assert sealed.unseal(envelope, WORDS) == PLAIN
    assert b"sk-secret" not in sealed.seal(PLAIN, WORDS)
    assert sealed.seal(PLAIN, WORDS) != sealed.seal(PLAIN, WORDS)


def test_another_reader_opens_it_by_its_own_words(envelope: dict[str, Any]) -> None:
    """By the envelope alone and the two libraries' functions: it is self-describing."""
    kdf = envelope["kdf"]
    key = Scrypt(salt=base64.b64decode(kdf["salt"]), length=32, n=kdf["n"], r=kdf["r"], p=kdf["p"]).derive(WORDS.encode())
    head = {name: envelope[name] for name in envelope if name != "data"}
    bound = json.dumps(head, sort_keys=True, separators=(",", ":")).encode()
    assert AESGCM(key).decrypt(base64.b64decode(envelope["nonce"]), base64.b64decode(envelope["data"]), bound) == PLAIN


def test_the_wrong_passphrase_is_named(envelope: dict[str, Any]) -> None:
    assert refused(envelope, "wrong horse").code == "wrong_passphrase"
    assert refused(envelope, "").code == "passphrase_needed"
    assert refused(envelope, "x" * 5000).code == "wrong_passphrase"
    for short in ("", "1234567", "x" * 5000):
        with pytest.raises(GatewayError, match="passphrase"):
            sealed.seal(PLAIN, short)


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"cipher": "none"},
        {"nonce": "AAAA"},
        {"nonce": "!!"},
        {"data": ""},
        {"data": 5},
        {"kdf": None},
        {"kdf": {"name": "md5"}},
        # As much memory, or time, as a hostile file might ask for.
        *({"kdf": {"name": "scrypt", "n": n, "r": r, "p": p, "salt": "AAAA"}} for n, r, p in [(1 << 30, 8, 1), (1 << 16, 1 << 20, 1)]),
        *(
            {"kdf": {"name": "scrypt", "n": n, "r": 8, "p": p, "salt": "AAAA"}}
            for n, p in [(1, 1), (1000, 1), (True, 1), (16.0, 1), (2, 99)]
        ),
    ],
    ids=str,
)
def test_a_changed_envelope_does_not_open(envelope: dict[str, Any], change: dict[str, Any]) -> None:
    refused({**envelope, **change})


def test_what_describes_it_is_authenticated(envelope: dict[str, Any]) -> None:
    weaker = {**envelope, "kdf": {**envelope["kdf"], "name": "scrypt", "extra": 1}}
    assert refused(weaker).code == "wrong_passphrase"
