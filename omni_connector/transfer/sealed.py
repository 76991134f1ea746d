"""An export under a passphrase, as an envelope of JSON that says how it was made (`omni_connector.sealing` does the work).

{"format": "omni-connector-encrypted", "version": 1, "kdf": {"name": "scrypt", "n", "r", "p", "salt"}, "cipher": "AES-256-GCM",
 "nonce", "data"}; salt, nonce and data are base64. Everything but `data` is authenticated with it.
"""

from __future__ import annotations

import json
import os
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from omni_connector import sealing
from omni_connector.errors import bad_request
from omni_connector.sealing import SHORTEST
from omni_connector.transfer.shapes import MOST_BYTES

Json = dict[str, Any]

FORMAT = "omni-connector-encrypted"
VERSION = 1
WHAT = "export"


def seal(plain: bytes, passphrase: str) -> bytes:
    """The envelope, as JSON. Takes a fifth of a second: call it in a thread. Raises GatewayError BAD_REQUEST for a short passphrase."""
    sealing.must_be_long_enough(passphrase)
    kdf, nonce = sealing.new_kdf(), os.urandom(12)
    head: Json = {"format": FORMAT, "version": VERSION, "kdf": kdf, "cipher": sealing.CIPHER, "nonce": sealing.as_text(nonce)}
    data = AESGCM(sealing.key_for(passphrase, kdf, WHAT)).encrypt(nonce, plain, sealing.bound(head))
    return json.dumps({**head, "data": sealing.as_text(data)}, indent=1).encode() + b"\n"


def is_sealed(value: Any) -> bool:
    return isinstance(value, dict) and value.get("format") == FORMAT


def unseal(value: Json, passphrase: str) -> bytes:
    """What was sealed. Takes as long as `seal`. Raises GatewayError BAD_REQUEST, code "passphrase_needed" without a passphrase and
    "wrong_passphrase" for one that does not open it."""
    if value.get("version") != VERSION or value.get("cipher") != sealing.CIPHER:
        raise bad_request("This encrypted export was written by another version. Open it with that one, or export anew.")
    nonce, data = sealing.as_bytes(value, "nonce", 12, WHAT), sealing.as_bytes(value, "data", MOST_BYTES, WHAT)
    if len(nonce) != 12:
        raise sealing.damaged(WHAT)
    key = sealing.key_for(passphrase, value.get("kdf"), WHAT)
    head = {name: value[name] for name in ("format", "version", "kdf", "cipher", "nonce")}
    try:
        return AESGCM(key).decrypt(nonce, data, sealing.bound(head))
    except InvalidTag:
        raise sealing.wrong(WHAT) from None


__all__ = ["FORMAT", "SHORTEST", "VERSION", "is_sealed", "seal", "unseal"]
