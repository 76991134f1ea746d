"""Certificates are verified, against what the system trusts, and this is read once."""

from __future__ import annotations

import asyncio
import ssl

import pytest

from omni_connector.direct import tls as module
from omni_connector.direct.tls import Trust, make_context


def test_certificates_and_names_are_verified() -> None:
    context = make_context()
    assert context.verify_mode is ssl.CERT_REQUIRED and context.check_hostname
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


async def test_the_first_who_need_it_share_it(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[ssl.SSLContext] = []

    def counted() -> ssl.SSLContext:
        made.append(make_context())
        return made[-1]

    monkeypatch.setattr(module, "make_context", counted)
    trust = Trust()
    assert made == []
    first = asyncio.create_task(trust.context())
    await asyncio.sleep(0)
    first.cancel()  # the others still wait for it
    assert {*await asyncio.gather(trust.context(), trust.context())} == {*made}
    assert len(made) == 1
