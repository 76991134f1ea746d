"""The certificate of one listener: loaded once, and again when its files were renewed, without a restart.

A context that is in use is changed in place (`SSLContext.load_cert_chain` on it is OpenSSL's own way): connections that are there keep
what they began with, new ones get the new certificate. Files that do not fit together, as while a renewal is half written, change nothing.
"""

from __future__ import annotations

import logging
import ssl
from pathlib import Path

from omni_connector.settings import SettingsError

log = logging.getLogger("omni.certificates")

LOOK_S = 2.0
"""Between two looks at the files."""
PROTOCOLS = ["http/1.1"]
"""Streams gain nothing from HTTP/2 between neighbours, and what only some clients negotiate would be tested half as much."""


class Certificate:
    def __init__(self, cert: str, key: str) -> None:
        """Raises SettingsError that names the file and the reason."""
        self._cert, self._key = cert, key
        self._seen = self._state()
        self.context = self._load()

    @property
    def files(self) -> tuple[str, str]:
        """Of the certificate and of its key."""
        return self._cert, self._key

    def renewed(self) -> bool:
        """Looks at the files; True when another certificate was loaded. Blocks for a moment."""
        state = self._state()
        if state == self._seen:
            return False
        self._seen = state
        try:
            self._load()
        except SettingsError as error:
            log.warning("the renewed certificate is not used yet: %s", error)
            return False
        self.context.load_cert_chain(self._cert, self._key, _no_passphrase)
        log.info("the renewed certificate %s is in use", self._cert)
        return True

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
        context.set_alpn_protocols(PROTOCOLS)
        for file in (self._cert, self._key):
            try:
                Path(file).read_bytes()
            except OSError as error:
                words = f"{file} cannot be read ({error.strerror}). Give the path of a PEM file that this user may read."
                raise SettingsError(words) from error
        try:
            context.load_cert_chain(self._cert, self._key, _no_passphrase)
        except (ssl.SSLError, ValueError) as error:
            raise SettingsError(f"{self._cert} and {self._key} are no certificate with its key in PEM form ({_reason(error)}).") from error
        return context

    def _state(self) -> tuple[tuple[int, int, int] | None, ...]:
        return tuple(_stamp(Path(file)) for file in (self._cert, self._key))


def _stamp(file: Path) -> tuple[int, int, int] | None:
    """Renewers often exchange a link, so the file behind it counts too."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _no_passphrase() -> str:
    """Without this, OpenSSL would ask on the terminal, and a server would wait there for ever."""
    raise ValueError("the key has a passphrase; take it off: openssl pkey -in KEY -out PLAIN-KEY")


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", None) or error).replace("_", " ").lower()
