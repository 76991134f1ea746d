from __future__ import annotations

import os
import ssl
from pathlib import Path

import pytest

from omni_connector.certificates import Certificate
from omni_connector.settings import SettingsError
from tests.tls import make_pair, serial_of


def test_a_renewed_certificate_is_taken_over_once_it_is_whole(tmp_path: Path) -> None:  # P-13
    cert, key = make_pair(tmp_path, 1)
    found = Certificate(str(cert), str(key))
    assert not found.renewed()
    assert serial_of(found.context) == 1
    other_cert, other_key = make_pair(tmp_path / "next", 2)
    os.replace(other_cert, cert)  # the key is still the old one's
    assert not found.renewed() and serial_of(found.context) == 1
    os.replace(other_key, key)
    assert found.renewed() and serial_of(found.context) == 2
    cert.unlink()
    assert not found.renewed() and serial_of(found.context) == 2


def test_what_cannot_be_used_is_named(tmp_path: Path) -> None:
    cert, key = make_pair(tmp_path, 1)
    with pytest.raises(SettingsError, match=r"nowhere.pem cannot be read"):
        Certificate(str(tmp_path / "nowhere.pem"), str(key))
    with pytest.raises(SettingsError, match="no certificate with its key"):
        Certificate(str(key), str(cert))
    sealed, sealed_key = make_pair(tmp_path / "sealed", 3, passphrase=b"secret")
    with pytest.raises(SettingsError, match="passphrase"):
        Certificate(str(sealed), str(sealed_key))


def test_old_protocols_are_refused(tmp_path: Path) -> None:
    cert, key = make_pair(tmp_path, 1)
    assert Certificate(str(cert), str(key)).context.minimum_version >= ssl.TLSVersion.TLSv1_2
