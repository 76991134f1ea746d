"""Ids, client keys, encryption at rest, passwords, and the one function that hides secrets in text. Imports no other room.

Encryption (law 7): AES-256-GCM with a key derived by HKDF-SHA256 from a master key, bound by associated data
"table:row:column" to the place it is stored at. A value moved elsewhere, or a wrong master key, does not decrypt.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import os
import re
import secrets
import sys
import time
import zlib
from collections.abc import Mapping
from pathlib import Path

from cryptography.exceptions import InvalidKey, InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_PREFIX = "omni-"
ADMIN_PREFIX = "omniadm-"
MASTER_FILE = "master.key"
ADMIN_FILE = "admin.key"
MASTER_ENV = ("OMNI_MASTER_KEY", "DATA_ENCRYPTION_KEY")
ADMIN_ENV = "OMNI_ADMIN_KEY"

_BASE32 = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = tuple(first + second for first in _BASE32 for second in _BASE32)
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_KEY_BODY = 43
_CHECKSUM = 6


class SecretsError(Exception):
    """A secret cannot be read. The message names the file or variable to restore, and never holds a secret."""


# ---------------------------------------------------------------- Ids


def new_id(prefix: str, now_ms: int | None = None) -> str:
    """ "acc" → "acc_" + 20 characters: 10 of time (ms), 10 of chance. Ids sort by time as text."""
    at = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    try:
        chance = _chances.pop()
    except IndexError:
        chance = _more_chances()
    return _id(prefix, (at << 50) | chance)


_chances: list[int] = []
"""Numbers of 50 random bits that nobody had yet: many are asked of the system at once. A fork begins with none of them."""
if sys.platform != "win32":
    os.register_at_fork(after_in_child=_chances.clear)
CHANCES = 64


def _more_chances() -> int:
    told = os.urandom(7 * CHANCES)
    fresh = [int.from_bytes(told[at : at + 7]) >> 6 for at in range(0, len(told), 7)]
    last = fresh.pop()
    _chances.extend(fresh)
    return last


def id_floor(prefix: str, at_ms: int) -> str:
    """The least id of that moment: what was named earlier sorts before it."""
    return _id(prefix, at_ms << 50)


def id_ms(text: str) -> int:
    """The moment (ms) that is in an id of ours. Raises ValueError for what is none."""
    number = 0
    for digit in text.rpartition("_")[2][:10]:
        number = number << 5 | _BASE32.index(digit)
    return number


def _id(prefix: str, number: int) -> str:
    return f"{prefix}_{''.join([_PAIRS[(number >> shift) & 1023] for shift in range(90, -1, -10)])}"


# ---------------------------------------------------------------- Keys we issue


def mint_key() -> str:
    """A new client key: "omni-" + 43 characters (256 random bits) + 6 of checksum, all of [0-9A-Za-z]."""
    return _mint(KEY_PREFIX)


def mint_admin_key() -> str:
    """A new key of the admin API."""
    return _mint(ADMIN_PREFIX)


def mint_password() -> str:
    """A password of 100 bits that can be read out and typed: five groups of four small letters and digits."""
    text = "".join(secrets.choice(_BASE32) for _ in range(20))
    return "-".join(text[at : at + 4] for at in range(0, 20, 4))


def _mint(prefix: str) -> str:
    body = prefix + _base62(secrets.randbits(256), _KEY_BODY)
    return body + _checksum(body)


def _base62(number: int, width: int) -> str:
    digits = []
    for _ in range(width):
        number, rest = divmod(number, 62)
        digits.append(_BASE62[rest])
    return "".join(reversed(digits))


def _checksum(body: str) -> str:
    """CRC-32 finds every wrong character and every swap of neighbours."""
    return _base62(zlib.crc32(body.encode()), _CHECKSUM)


def key_checksum_ok(text: str, prefix: str = KEY_PREFIX) -> bool:
    """Whether `text` has the form of a key of ours; False says "mistyped" before any look-up. Cheap, knows no keys."""
    if len(text) != len(prefix) + _KEY_BODY + _CHECKSUM or not text.startswith(prefix) or not text.isascii():
        return False
    return _checksum(text[:-_CHECKSUM]) == text[-_CHECKSUM:]


def hash_key(text: str) -> str:
    """SHA-256 as hex. Plain hashing suffices: a key has 256 random bits, there is nothing to guess."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def key_hint(text: str) -> str:
    """Enough of a key to recognise it, too little to use it: "omni-Ab3d…x9Kq"; short ones show less."""
    if len(text) < 12:
        return "…"
    head, dash, rest = text.rpartition("-") if "-" in text[:12] else ("", "", text)
    if len(rest) < 24:
        return f"{head}{dash}…{text[-4:]}" if len(text) >= 20 and len(head) <= 12 else f"{text[:2]}…{text[-2:]}"
    return f"{head}{dash}{rest[:4]}…{rest[-4:]}"


# ---------------------------------------------------------------- Encryption at rest


class Vault:
    """Encrypts with the current master key, decrypts with any it holds."""

    def __init__(self, master_keys: Mapping[str, bytes], current: str) -> None:
        if current not in master_keys:
            raise SecretsError(f"The current master key {current!r} is not among the master keys.")
        self.current = current
        self._keys = dict(master_keys)
        self._ciphers = {key_id: AESGCM(_derive(key)) for key_id, key in master_keys.items()}

    def __repr__(self) -> str:
        return f"<Vault: master keys {', '.join(self._ciphers)}>"

    def encrypt(self, plain: str, aad: str) -> bytes:
        """b"v1|key id|12 bytes of nonce|ciphertext". `aad` is "table:row id:column"."""
        return self.encrypt_bytes(plain.encode("utf-8", "surrogatepass"), aad)

    def encrypt_bytes(self, plain: bytes, aad: str) -> bytes:
        """`encrypt` for what is no text."""
        nonce = os.urandom(12)
        sealed = self._ciphers[self.current].encrypt(nonce, plain, aad.encode())
        return b"v1|" + self.current.encode() + b"|" + nonce + b"|" + sealed

    def decrypt(self, blob: bytes, aad: str) -> str:
        """Raises SecretsError, which names the place and what to restore."""
        return self.decrypt_bytes(blob, aad).decode("utf-8", "surrogatepass")

    def decrypt_bytes(self, blob: bytes, aad: str) -> bytes:
        """The opposite of `encrypt_bytes`. Raises SecretsError as `decrypt` does."""
        version, _, rest = bytes(blob).partition(b"|")
        key_id, _, sealed = rest.partition(b"|")
        if version != b"v1" or len(sealed) < 13 + 16 or sealed[12:13] != b"|":
            raise SecretsError(f"The stored secret {aad} is damaged: restore the database from the folder backups/.")
        name = key_id.decode("ascii", "replace")
        cipher = self._ciphers.get(name)
        if cipher is None:
            raise SecretsError(
                f"The stored secret {aad} was encrypted with master key {name}, but only {', '.join(self._ciphers)} is here. "
                f"Restore the file {MASTER_FILE} that belongs to this database (or set {MASTER_ENV[0]} to its content)."
            )
        try:
            return cipher.decrypt(sealed[:12], sealed[13:], aad.encode())
        except InvalidTag:
            raise SecretsError(
                f"The stored secret {aad} does not decrypt with master key {name}: it was changed or moved from another row, or "
                f"the key is not the one it was written with. Restore {MASTER_FILE} (or {MASTER_ENV[0]}) and the database from "
                "the same backup."
            ) from None

    def rotate(self, blob: bytes, aad: str) -> bytes:
        """The same secret under the current master key."""
        return self.encrypt(self.decrypt(blob, aad), aad)

    def written(self) -> str:
        """The content of a master.key that opens what this vault opens, the current key first. For encrypted backups only."""
        names = [self.current, *(name for name in self._keys if name != self.current)]
        return "".join(f"{name}:{base64.b64encode(self._keys[name]).decode()}\n" for name in names)


def _derive(master: bytes) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=b"omni/credentials/v1").derive(master)


def load_or_create_master(home: Path, env: Mapping[str, str] | None = None) -> Vault:
    """The vault of this installation: keys from OMNI_MASTER_KEY (or DATA_ENCRYPTION_KEY), then from `home`/master.key.

    The first one found is the current one; the others still decrypt. With neither, master.key is made (0600). Format:
    "id:base64" of 32 bytes, one a line (in the variable, commas too); a bare base64 key gets an id of its own.
    """
    env = os.environ if env is None else env
    keys: dict[str, bytes] = {}
    for variable in MASTER_ENV:
        if env.get(variable, "").strip():
            keys |= _parse_master(env[variable].replace(",", "\n"), f"variable {variable}")
            break
    path = home / MASTER_FILE
    if not keys and not path.exists():
        key = os.urandom(32)
        _create_private(path, f"{_key_id(key)}:{base64.b64encode(key).decode()}\n")
    if path.exists():
        for key_id, key in _parse_master(_read_private(path), f"file {path}").items():
            keys.setdefault(key_id, key)
    return Vault(keys, next(iter(keys)))


def _key_id(key: bytes) -> str:
    return "k" + hashlib.sha256(b"omni/key-id" + key).hexdigest()[:8]


def _parse_master(text: str, place: str) -> dict[str, bytes]:
    keys: dict[str, bytes] = {}
    for number, line in enumerate(text.splitlines(), 1):
        entry = line.strip()
        if not entry or entry.startswith("#"):
            continue
        name, colon, encoded = entry.rpartition(":")
        try:
            key = base64.b64decode(encoded.replace("-", "+").replace("_", "/"), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if len(key) != 32 or (colon and not re.fullmatch(r"[0-9A-Za-z._-]{1,32}", name)):
            raise SecretsError(
                f"The {place}, line {number}, is no master key: expected id:base64 of 32 bytes (openssl rand -base64 32 makes "
                "one). Restore the original from a backup; a new key cannot read what is stored."
            )
        keys[name or _key_id(key)] = key
    if not keys:
        raise SecretsError(f"The {place} is empty. Restore it from a backup; a new key cannot read what is stored.")
    return keys


def join_master(first: str, also: str) -> str:
    """The content of a master.key with the keys of both: those of `first` stand first, and win where both have a name. Raises
    SecretsError."""
    keys = _parse_master(first, "first master key")
    for name, key in _parse_master(also, "second master key").items():
        keys.setdefault(name, key)
    return Vault(keys, next(iter(keys))).written()


def load_or_create_admin_key(home: Path, env: Mapping[str, str] | None = None) -> str:
    """The key of the admin API: OMNI_ADMIN_KEY, else the content of `home`/admin.key (0600), made on first use."""
    env = os.environ if env is None else env
    if given := env.get(ADMIN_ENV, "").strip():
        return given
    path = home / ADMIN_FILE
    if not path.exists():
        _create_private(path, mint_admin_key() + "\n")
    key = _read_private(path).strip()
    if not key:
        raise SecretsError(f"The file {path} is empty. Delete it and start again to get a new admin key.")
    return key


def _create_private(path: Path, text: str) -> None:
    """Writes a new 0600 file, whole and flushed, or leaves the one that another process made meanwhile."""
    part = path.with_name(f"{path.name}.{secrets.token_hex(6)}")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(part, path)  # unlike a rename, a link never replaces
    finally:
        part.unlink()
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def replace_private(path: Path, text: str) -> None:
    """Exchanges a 0600 file in one step: whoever reads it gets the old or the new one. Raises SecretsError."""
    part = path.with_name(f"{path.name}.new")
    try:
        part.unlink(missing_ok=True)
        _create_private(part, text)
        part.replace(path)
    except OSError as error:
        raise SecretsError(f"The file {path} cannot be written: {error}.") from error


def _read_private(path: Path) -> str:
    try:
        if os.name == "posix" and path.stat().st_mode & 0o077:
            path.chmod(0o600)  # a copy restored by hand is easily left readable for everybody
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SecretsError(f"The file {path} cannot be read: {error}. Restore it from a backup.") from error


# ---------------------------------------------------------------- Passwords


def hash_password(password: str) -> str:
    """Argon2id as a PHC string. Takes 64 MiB and about 0.2 s: call it in a thread."""
    kdf = Argon2id(salt=os.urandom(16), length=32, iterations=3, lanes=4, memory_cost=64 * 1024)
    return kdf.derive_phc_encoded(password.encode())


def verify_password(password: str, stored: str) -> bool:
    """Whether `password` is the one `stored` was made from; False also for a damaged `stored`. Call it in a thread."""
    try:
        Argon2id.verify_phc_encoded(password.encode(), stored)
    except (InvalidKey, ValueError):
        return False
    return True


# ---------------------------------------------------------------- Hiding secrets in text

MASK = "[redacted]"
SHORTEST_SECRET = 8
"""Characters; a shorter credential ('none', 'x') would be cut out of ordinary words."""
_NAMES = (
    r"(?:x-)?(?:goog-)?api[-_]?key|access[-_]?token|refresh[-_]?token|id[-_]?token|client[-_]?secret|secret[-_]?key|secret|password"
    r"|authorization|proxy-authorization|cookie|set-cookie"
)
# Looks like a secret and not like a word: 8 or more characters with a digit among them, or 20 or more.
_VALUE = r"(?:(?=[\w.~+/=-]*\d)[\w.~+/=-]{8,}|[\w.~+/=-]{20,})"
_RULES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, flags), replacement)
    for pattern, replacement, flags in (
        # Keys that can be told by their beginning.
        (r"\b(sk-(?:ant-|or-|proj-|svcacct-)?)(?:(?=[\w-]*\d)[\w-]{8,}|[\w-]{16,})", rf"\1{MASK}", 0),
        (r"\b(AIza|ya29\.|1//)[\w.-]{16,}", rf"\1{MASK}", 0),
        (r"\b(omni(?:adm)?-)[0-9A-Za-z]{20,}", rf"\1{MASK}", 0),
        (r"\b(gsk_|xai-|pplx-|hf_|gh[opsur]_|github_pat_|csk-|r8_|nvapi-|glpat-|xox[abp]-)[\w-]{16,}", rf"\1{MASK}", 0),
        (r"\b(AKIA|ASIA)[0-9A-Z]{16}\b", rf"\1{MASK}", 0),
        (r"\b(LTAI|STS\.)[0-9A-Za-z]{12,}", rf"\1{MASK}", 0),
        (r"(?<![\w-])eyJ[\w-]{4,}\.[\w-]{8,}\.[\w-]*", MASK, 0),
        # A private key in PEM, also with its line ends spelled out, as JSON has them.
        (r"(-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----)(?:\\+[nr]|[A-Za-z0-9+/=\s]){1,20000}", rf"\1{MASK}", 0),
        # Headers.
        (rf"\b(Bearer\s+|Basic\s+){_VALUE}", rf"\1{MASK}", re.IGNORECASE),
        # JSON, also inside a JSON string: "api_key": "…"
        (rf'(\\{{0,4}}"(?:{_NAMES})\\{{0,4}}"\s*:\s*\\{{0,4}}")[^"\\]+', rf"\1{MASK}", re.IGNORECASE),
        # name=value and Name: value
        (rf"\b((?:{_NAMES})\s*=\s*[\"']?)[^\s\"'&,;\[\]]+", rf"\1{MASK}", re.IGNORECASE),
        (rf"\b((?:{_NAMES})[\"']?\s*:\s*[\"']?(?:Bearer\s+|Basic\s+)?){_VALUE}", rf"\1{MASK}", re.IGNORECASE),
        # Addresses: ?key=… and user:password@
        (r"([?&](?:key|token|code|sig|signature|auth)=)[^\s&#\"'\[\]]+", rf"\1{MASK}", re.IGNORECASE),
        (rf"\b(key=[\"']?){_VALUE}", rf"\1{MASK}", re.IGNORECASE),
        (r"(?<=://)[^/\s:@\"'\[\]]*:[^/\s@\"']+@", f"{MASK}@", 0),
    )
)


def redact(text: str) -> str:
    """The text without the secrets in it: known key forms, bearer tokens, key=…, "api_key":"…", user:password@ in addresses.

    Used by logs, errors and the API alike. Twice is the same as once; ordinary words stay.
    """
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text


def scrub(words: str, secret: str) -> str:
    """A provider's words as they may go to clients and into the books: some repeat the credential they refuse, in whatever shape.
    Half an emoji in them (a lone surrogate) would be text that nothing can encode; it becomes "?"."""
    words = words.encode("utf-8", "replace").decode()
    if len(secret) >= SHORTEST_SECRET:
        words = words.replace(secret, MASK)
    return redact(words)
