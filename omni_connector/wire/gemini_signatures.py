"""Thought signatures: Gemini's own, those of other formats on their way through a Gemini client, and the placeholder."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable

from omni_connector.chat import ENVELOPE, Opaque, Origin, seal, unseal

SIGNATURE = "gemini.thought_signature"
NO_OPAQUE = "none"
"""Kind of the sealed placeholder in the signature of a thought that came without any proof."""
SKIP = "skip_thought_signature_validator"
"""What clients send when they have no signature; the API takes it for calls that another model made (upstreams.md §3)."""
_PLACEHOLDERS = frozenset({SKIP, "context_engineering_is_the_way_to_go"})

_BETWEEN = ","
SEALED_HEAD = base64.b64encode(ENVELOPE.encode()).decode()
"""How every sealed signature begins. The vendor's SDKs read the field as base64 and write it anew, so an envelope travels as
base64 of its text."""


def signature_of(opaques: Iterable[Opaque]) -> str:
    """Opaque values → what a Gemini client gets as `thoughtSignature`: a single own one bare, all others sealed."""
    known = list(opaques)
    if len(known) == 1 and known[0].kind == SIGNATURE:
        return known[0].value
    return base64.b64encode(_BETWEEN.join(seal(opaque) for opaque in known).encode()).decode()


def open_signature(text: str) -> tuple[Opaque, ...]:
    """A client's `thoughtSignature` → opaque values. A placeholder is none; a torn envelope of ours fits no origin."""
    if not text:
        return ()
    plain = text.replace("/", "_").replace("+", "-")
    if plain in _PLACEHOLDERS:
        return ()
    if not text.startswith(SEALED_HEAD):
        return (Opaque(SIGNATURE, text),)
    try:
        sealed = base64.urlsafe_b64decode(plain.rstrip("=") + "=" * (-len(plain.rstrip("=")) % 4)).decode()
    except (ValueError, binascii.Error):
        sealed = ""
    return tuple(unseal(piece) or Opaque(NO_OPAQUE, "", Origin("", "")) for piece in sealed.split(_BETWEEN))
