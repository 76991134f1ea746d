"""Thinking levels as part of a model's name: `head/level/model`.

What a model supports is asked of a callable, so that routing needs no catalogue.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from omni_connector.chat import LEVELS
from omni_connector.errors import GatewayError, bad_request

Levels = Callable[[str, frozenset[str]], tuple[str, ...] | None]
"""The upstream's model id and the account's features → levels that may be asked for, () for none, None for unknown
(catalog.levels)."""

_PARTS = re.compile(r"([^/:]+)[/:](.+)", re.S)
_WORD = re.compile(r"[a-z]+")


def unknown(model: str, features: frozenset[str]) -> tuple[str, ...] | None:
    """`Levels` of somebody who knows no model."""
    return None


def split(name: str) -> tuple[str, str] | None:
    """ "high/gpt-5" → ("high", "gpt-5"); None where no level stands in front."""
    found = _PARTS.fullmatch(name)
    if found is None or found[1].lower() not in LEVELS:
        return None
    return found[1].lower(), found[2]


def split_any(name: str) -> tuple[str, str] | None:
    """As `split`, for a word that may have been meant as a level: "ultra/gpt-5" → ("ultra", "gpt-5")."""
    found = _PARTS.fullmatch(name)
    return None if found is None or not _WORD.fullmatch(found[1]) else (found[1], found[2])


def refusal(level: str, supported: Iterable[tuple[str, tuple[str, ...]]]) -> GatewayError:
    """A level that nobody takes; `supported`: each model with its levels."""
    takes = [
        f"{model} takes {', '.join(words)}" if words else f"{model} has none: name it without a level"
        for model, words in dict.fromkeys(supported)
    ]
    return bad_request(f"The thinking level '{level}' is not supported: {'; '.join(takes)}.", "model")
