"""Thought signatures on their way through a Gemini client."""

from __future__ import annotations

import base64

import pytest

from omni_connector.chat import Opaque, Origin
from omni_connector.wire.gemini_signatures import NO_OPAQUE, SEALED_HEAD, SIGNATURE, SKIP, open_signature, signature_of

CLAUDE = Opaque("anthropic.signature", "EqQB+/==", Origin("anthropic", "claude-opus-4-8"))
OTHER = Opaque("openai.encrypted", "gAAA", Origin("openai", "gpt-5.5"))


def test_an_own_signature_stays_bare() -> None:
    assert signature_of([Opaque(SIGNATURE, "Cq+/==", Origin("gemini", "x"))]) == "Cq+/=="
    assert open_signature("Cq+/==") == (Opaque(SIGNATURE, "Cq+/=="),)


def test_foreign_ones_travel_as_base64_which_sdks_read_and_write_anew() -> None:
    sealed = signature_of([CLAUDE, OTHER])
    assert sealed.startswith(SEALED_HEAD)
    assert open_signature(sealed) == (CLAUDE, OTHER)
    anew = base64.urlsafe_b64encode(base64.b64decode(sealed, validate=True)).decode()
    assert open_signature(anew) == open_signature(anew.rstrip("=")) == (CLAUDE, OTHER)


@pytest.mark.parametrize("text", ["", SKIP, SKIP.replace("_", "/"), "context_engineering_is_the_way_to_go"])
def test_a_placeholder_is_no_signature(text: str) -> None:
    assert open_signature(text) == ()


@pytest.mark.parametrize("torn", [SEALED_HEAD, SEALED_HEAD + "!!", signature_of([CLAUDE])[:-9], SEALED_HEAD + "é"])
def test_a_torn_envelope_fits_no_origin(torn: str) -> None:
    (opaque,) = open_signature(torn)
    assert (opaque.kind, opaque.origin) == (NO_OPAQUE, Origin("", ""))
