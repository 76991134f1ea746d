"""Streams under a passphrase: they come out as they went in, and whatever is missing, moved or changed is noticed."""

from __future__ import annotations

import io
import json

import pytest

from omni_connector import sealing
from omni_connector.errors import GatewayError

WORDS = "correct horse"
HEAD = {"format": "test", "version": 1}


def sealed(plain: bytes) -> bytes:
    return b"".join(sealing.seal_stream([plain[:10], plain[10:]], WORDS, HEAD))


def opened(data: bytes, passphrase: str = WORDS) -> bytes:
    return b"".join(sealing.open_stream(io.BytesIO(data), passphrase, "test", 1, "backup"))


def refused(data: bytes, passphrase: str = WORDS) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        opened(data, passphrase)
    return caught.value


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "CHUNK", 64)
    monkeypatch.setattr(sealing, "COST", {"n": 2, "r": 8, "p": 1})


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 128, 1000])
def test_every_length_comes_back(size: int) -> None:
    plain = bytes(range(256)) * 4
    assert opened(sealed(plain[:size])) == plain[:size]


@pytest.mark.usefixtures("small_chunks")
def test_cut_anywhere_it_is_refused() -> None:
    data = sealed(b"x" * 200)
    for end in range(len(data)):
        refused(data[:end])
    refused(data + b"x")


@pytest.mark.usefixtures("small_chunks")
def test_every_changed_byte_is_noticed_and_no_chunk_can_be_moved() -> None:
    data = sealed(b"x" * 200)
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 1
        refused(bytes(changed))
    start = data.index(b"\n") + 1
    first, second = data[start : start + 80], data[start + 80 : start + 160]
    assert "damaged" in refused(data[:start] + second + first + data[start + 160 :]).message
    assert "damaged" in refused(data[:start] + data[start + 80 :]).message


def test_a_wrong_passphrase_is_told_from_damage() -> None:
    data = sealed(b"secret")
    assert refused(data, "wrong horse").code == "wrong_passphrase"
    assert refused(data, "").code == "passphrase_needed"
    assert refused(data[:-1]).code != "wrong_passphrase"
    with pytest.raises(GatewayError, match="passphrase"):
        list(sealing.seal_stream([], "short", HEAD))


def test_what_is_none_of_ours_or_newer_says_so() -> None:
    for data in (b"", b"{", b"[]\n", b"\xff" * 9000, b'{"format": "other"}\n'):
        assert "is no backup" in refused(data).message
    line, _, rest = sealed(b"x").partition(b"\n")
    assert "newer release" in refused(json.dumps({**json.loads(line), "version": 2}).encode() + b"\n" + rest).message
