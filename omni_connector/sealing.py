"""What a passphrase protects: scrypt (RFC 7914) makes the key, AES-256-GCM encrypts. One place for exports and for backups.

A stream is a head, which is one line of JSON, then chunks of CHUNK bytes and a tag each (the last one may be shorter). Nonce of a chunk:
7 random bytes of the head, 4 bytes of its number, 1 byte that is 1 for the last one only (the STREAM construction: nothing can be
left out, moved or cut off). Every chunk is bound to the head. `check` in the head tells a wrong passphrase from a damaged file.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from omni_connector.errors import GatewayError, Kind, bad_request

Json = dict[str, Any]

CIPHER = "AES-256-GCM"
SHORTEST = 8
"""Characters of a passphrase."""
LONGEST = 1024
COST: Mapping[str, int] = {"n": 1 << 16, "r": 8, "p": 1}
"""64 MiB and a fifth of a second for each guess."""
MOST_COST: Mapping[str, int] = {"n": 1 << 18, "r": 8, "p": 4}
"""A file that asks for more would only use up this machine."""
CHUNK = 1 << 20
TAG = 16
HEAD_BYTES = 4096
_CHECK = b"\xff" * 5
"""Number and mark that no chunk has."""


def must_be_long_enough(passphrase: str) -> None:
    """Raises GatewayError BAD_REQUEST."""
    if not SHORTEST <= len(passphrase) <= LONGEST:
        raise bad_request(f"passphrase: {SHORTEST} to {LONGEST} characters.", "passphrase")


def new_kdf() -> Json:
    return {"name": "scrypt", **COST, "salt": as_text(os.urandom(16))}


def key_for(passphrase: str, kdf: Any, what: str) -> bytes:
    """The key. Takes a fifth of a second: call it in a thread. `what` ("export") stands in the words of a refusal: GatewayError
    BAD_REQUEST, code "passphrase_needed" without a passphrase."""
    cost, salt = _cost(kdf, what), as_bytes(kdf, "salt", 64, what)
    if not passphrase:
        raise refused("passphrase_needed", f"This {what} is encrypted. Give its passphrase.")
    if len(passphrase) > LONGEST:
        raise wrong(what)
    return Scrypt(salt=salt, length=32, **cost).derive(passphrase.encode("utf-8", "surrogatepass"))


def _cost(kdf: Any, what: str) -> Mapping[str, int]:
    """What the file asks for, within what this machine is asked for at most; n is a power of two."""
    if not isinstance(kdf, dict) or kdf.get("name") != "scrypt":
        raise damaged(what)
    cost = {name: kdf.get(name) for name in COST}
    if any(type(number) is not int or not 1 <= number <= MOST_COST[name] for name, number in cost.items()):
        raise damaged(what)
    found: dict[str, int] = {name: int(number or 0) for name, number in cost.items()}
    if found["n"] < 2 or found["n"] & (found["n"] - 1):
        raise damaged(what)
    return found


# ---------------------------------------------------------------- Streams


def seal_stream(pieces: Iterable[bytes], passphrase: str, head: Json) -> Iterator[bytes]:
    """`head` says at least "format" and "version", and is readable by everybody. Takes time: call it in a thread. Raises GatewayError
    BAD_REQUEST for a short passphrase."""
    must_be_long_enough(passphrase)
    kdf, prefix = new_kdf(), os.urandom(7)
    cipher = AESGCM(key_for(passphrase, kdf, "file"))
    full = {**head, "kdf": kdf, "cipher": CIPHER, "nonce": as_text(prefix)}
    check = cipher.encrypt(prefix + _CHECK, b"", bound(full))
    line = json.dumps({**full, "check": as_text(check)}).encode() + b"\n"
    yield line
    number, waiting = 0, bytearray()
    for piece in pieces:
        waiting += piece
        while len(waiting) > CHUNK:
            yield cipher.encrypt(_nonce(prefix, number, last=False), bytes(waiting[:CHUNK]), line)
            del waiting[:CHUNK]
            number += 1
    yield cipher.encrypt(_nonce(prefix, number, last=True), bytes(waiting), line)


def open_stream(file: BinaryIO, passphrase: str, form: str, version: int, what: str) -> Iterator[bytes]:
    """What was sealed, piece by piece; only when the last one came is it known to be whole. Raises GatewayError BAD_REQUEST, with the
    code "wrong_passphrase" where it is that."""
    line = file.readline(HEAD_BYTES)
    try:
        head = json.loads(line)
    except (ValueError, RecursionError):
        raise bad_request(f"This is no {what} of omni-connector.") from None
    if not isinstance(head, dict) or head.get("format") != form:
        raise bad_request(f"This is no {what} of omni-connector.")
    if head.get("version") != version or head.get("cipher") != CIPHER:
        raise bad_request(f"This {what} was written by a newer release. Install that one to read it.")
    prefix, check = as_bytes(head, "nonce", 7, what), as_bytes(head, "check", TAG, what)
    if len(prefix) != 7:
        raise damaged(what)
    cipher = AESGCM(key_for(passphrase, head.get("kdf"), what))
    try:
        cipher.decrypt(prefix + _CHECK, check, bound({name: value for name, value in head.items() if name != "check"}))
    except InvalidTag:
        raise wrong(what) from None
    return _chunks(file, cipher, prefix, line, what)


def _chunks(file: BinaryIO, cipher: AESGCM, prefix: bytes, line: bytes, what: str) -> Iterator[bytes]:
    sealed, number = file.read(CHUNK + TAG), 0
    while True:
        following = file.read(CHUNK + TAG)
        try:
            yield cipher.decrypt(_nonce(prefix, number, last=not following), sealed, line)
        except (InvalidTag, ValueError):
            raise bad_request(f"This {what} is damaged: a part of it is missing or was changed. Use another one.") from None
        if not following:
            return
        sealed, number = following, number + 1


def _nonce(prefix: bytes, number: int, *, last: bool) -> bytes:
    return prefix + number.to_bytes(4, "big") + (b"\1" if last else b"\0")


# ---------------------------------------------------------------- Small parts


def bound(head: Json) -> bytes:
    """What is authenticated of a description, however it is spaced."""
    return json.dumps(head, sort_keys=True, separators=(",", ":")).encode()


def as_text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def as_bytes(holder: Any, name: str, most: int, what: str) -> bytes:
    """`holder`[`name`], which is base64 of 1 to `most` bytes. Raises GatewayError."""
    value = holder.get(name)
    try:
        found = base64.b64decode(value, validate=True) if isinstance(value, str) else b""
    except (binascii.Error, ValueError):
        found = b""
    if not found or len(found) > most:
        raise damaged(what)
    return found


def damaged(what: str) -> GatewayError:
    return bad_request(f"This encrypted {what} is damaged or not one of ours.")


def wrong(what: str) -> GatewayError:
    return refused("wrong_passphrase", f"The passphrase does not open this {what}, or the file was changed.")


def refused(code: str, words: str) -> GatewayError:
    return GatewayError(Kind.BAD_REQUEST, words, param="passphrase", code=code)
