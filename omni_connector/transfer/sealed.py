"""An export under a passphrase: scrypt (RFC 7914) makes the key, AES-256-GCM encrypts, and the envelope says how it was made.

{"format": "omni-connector-encrypted", "version": 1, "kdf": {"name": "scrypt", "n", "r", "p", "salt"}, "cipher": "AES-256-GCM",
 "nonce", "data"}; salt, nonce and data are base64. Everything but `data` is authenticated with it.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from omni_connector.errors import GatewayError, Kind, bad_request
from omni_connector.transfer.shapes import MOST_BYTES

Json = dict[str, Any]

FORMAT = "omni-connector-encrypted"
VERSION = 1
CIPHER = "AES-256-GCM"
SHORTEST = 8
"""Characters of a passphrase."""
LONGEST = 1024
COST: Mapping[str, int] = {"n": 1 << 16, "r": 8, "p": 1}
"""64 MiB and a fifth of a second for each guess."""
MOST_COST: Mapping[str, int] = {"n": 1 << 18, "r": 8, "p": 4}
"""A file that asks for more would only use up this machine."""


def seal(plain: bytes, passphrase: str) -> bytes:
    """The envelope, as JSON. Takes a fifth of a second: call it in a thread. Raises GatewayError BAD_REQUEST for a short passphrase."""
    if not SHORTEST <= len(passphrase) <= LONGEST:
        raise bad_request(f"passphrase: {SHORTEST} to {LONGEST} characters.", "passphrase")
    salt, nonce = os.urandom(16), os.urandom(12)
    head: Json = {
        "format": FORMAT,
        "version": VERSION,
        "kdf": {"name": "scrypt", **COST, "salt": _text(salt)},
        "cipher": CIPHER,
        "nonce": _text(nonce),
    }
    data = AESGCM(_key(passphrase, salt, COST)).encrypt(nonce, plain, _bound(head))
    return json.dumps({**head, "data": _text(data)}, indent=1).encode() + b"\n"


def is_sealed(value: Any) -> bool:
    return isinstance(value, dict) and value.get("format") == FORMAT


def unseal(value: Json, passphrase: str) -> bytes:
    """What was sealed. Takes as long as `seal`. Raises GatewayError BAD_REQUEST, code "passphrase_needed" without a passphrase and
    "wrong_passphrase" for one that does not open it."""
    if value.get("version") != VERSION or value.get("cipher") != CIPHER:
        raise bad_request("This encrypted export was written by another version. Open it with that one, or export anew.")
    cost = _cost(value.get("kdf"))
    salt, nonce, data = _bytes(value["kdf"], "salt", 64), _bytes(value, "nonce", 12), _bytes(value, "data", MOST_BYTES)
    if len(nonce) != 12:
        raise _damaged()
    if not passphrase:
        raise _refused("passphrase_needed", "This export is encrypted. Give its passphrase.")
    if len(passphrase) > LONGEST:
        raise _wrong()
    head = {name: value[name] for name in ("format", "version", "kdf", "cipher", "nonce")}
    try:
        return AESGCM(_key(passphrase, salt, cost)).decrypt(nonce, data, _bound(head))
    except InvalidTag:
        raise _wrong() from None


def _key(passphrase: str, salt: bytes, cost: Mapping[str, int]) -> bytes:
    return Scrypt(salt=salt, length=32, **cost).derive(passphrase.encode("utf-8", "surrogatepass"))


def _cost(kdf: Any) -> Mapping[str, int]:
    """What the envelope asks for, within what this machine is asked for at most; n is a power of two."""
    if not isinstance(kdf, dict) or kdf.get("name") != "scrypt":
        raise _damaged()
    cost = {name: kdf.get(name) for name in COST}
    if any(type(number) is not int or not 1 <= number <= MOST_COST[name] for name, number in cost.items()):
        raise _damaged()
    found: dict[str, int] = {name: int(number or 0) for name, number in cost.items()}
    if found["n"] < 2 or found["n"] & (found["n"] - 1):
        raise _damaged()
    return found


def _bound(head: Json) -> bytes:
    return json.dumps(head, sort_keys=True, separators=(",", ":")).encode()


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(holder: Any, name: str, most: int) -> bytes:
    value = holder.get(name)
    try:
        found = base64.b64decode(value, validate=True) if isinstance(value, str) else b""
    except (binascii.Error, ValueError):
        found = b""
    if not found or len(found) > most:
        raise _damaged()
    return found


def _damaged() -> GatewayError:
    return bad_request("This encrypted export is damaged or not one of ours.")


def _wrong() -> GatewayError:
    return _refused("wrong_passphrase", "The passphrase does not open this export, or the file was changed.")


def _refused(code: str, words: str) -> GatewayError:
    return GatewayError(Kind.BAD_REQUEST, words, param="passphrase", code=code)
