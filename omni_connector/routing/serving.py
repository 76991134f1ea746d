"""Which accounts a call is for at all: some providers do one thing only (read pictures), and nobody else does it.

An account whose features name such a trade is there for calls of that trade and for nothing else, so `auto` never sends a
conversation to it, and a picture to be read never goes to a chat model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from omni_connector.errors import GatewayError, Kind
from omni_connector.snapshot import Snapshot

TRADES: Mapping[str, str] = {"ocr": "ocr"}
"""Wire of a call that needs an account of its trade → the feature such accounts have."""
NOBODY: Mapping[str, str] = {
    "": "Every connected account only reads text out of pictures (`POST /v1/ocr`). Connect one that converses.",
    "ocr": "No connected account reads text out of pictures. Connect one of provider aliyun-ocr.",
}
_ELSEWHERE: Mapping[str, str] = {
    "": "'{name}' only reads text out of pictures: send them to `POST /v1/ocr`.",
    "ocr": "'{name}' does not read pictures for `/v1/ocr`. Leave the model out, or name one of provider aliyun-ocr.",
}

_split: tuple[Snapshot, Mapping[str, Snapshot]] | None = None


def trade_of(wire: str) -> str:
    """ "ocr", or "" for every call that conversing providers serve."""
    return TRADES.get(wire, "")


def serving(snapshot: Snapshot, wire: str) -> Snapshot:
    """The snapshot with the accounts that are there for calls of this wire. The very same object where that is all of them, and the
    same one for the same snapshot: indexes are kept by identity."""
    global _split  # noqa: PLW0603 - one entry, keyed by identity; a miss only costs the splitting
    split = _split
    if split is None or split[0] is not snapshot:
        split = _split = snapshot, {trade: _only(snapshot, trade) for trade in ("", *TRADES.values())}
    return split[1][trade_of(wire)]


def _only(snapshot: Snapshot, trade: str) -> Snapshot:
    wanted = {trade} if trade else set()
    kept = tuple(account for account in snapshot.accounts if account.features & set(TRADES.values()) == wanted)
    return snapshot if len(kept) == len(snapshot.accounts) else replace(snapshot, accounts=kept)


def nobody(wire: str) -> GatewayError:
    """Accounts are connected, but none for calls of this wire."""
    return GatewayError(Kind.NO_ACCOUNT, NOBODY[trade_of(wire)])


def elsewhere(wire: str, name: str) -> GatewayError:
    """The name is known, but only for other calls."""
    words = _ELSEWHERE[trade_of(wire)].format(name=name[:80])
    return GatewayError(Kind.MODEL_NOT_FOUND, words, param="model", details={"near": []})
