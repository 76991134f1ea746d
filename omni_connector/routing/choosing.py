"""One name, many models: which models of which accounts, in which order, when the name leaves the choice to us.

The order is made of tiers, so that no policy mixes what the name has put in order: candidates of one price, one rank or one
release share a tier, and the policy chooses among them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from heapq import nsmallest
from typing import Any

from omni_connector.routing.candidates import Candidate, Tiers, once
from omni_connector.snapshot import Account

PriceOf = Callable[[Account, str], Decimal | None]
"""Dollars for this request at this account with this model, by list price; None: unknown."""

Rank = Callable[[str], int | None]
"""Model id → its place in our ranking, 1 is the best; None: it has none (catalog.rank)."""

CLAUDE_CODE = "claude-code"
CLAUDE_WORDS = ("opus", "sonnet", "haiku")
"""Names that Claude Code knows without a release."""

MOST = 50
"""Candidates of one name at most. A list may hold hundreds of models, but no request tries that many."""

_CLAUDE = re.compile(
    r"(?:.*[.-])?claude-"
    r"(?:(?P<word>opus|sonnet|haiku)-(?P<new>\d{1,2}(?:\.\d{1,2})?)|(?P<old>\d{1,2}(?:\.\d{1,2})?)-(?P<old_word>opus|sonnet|haiku))"
    r"(?:-20\d{6})?(?:-v\d+(?::\d+)?)?(?P<variant>-.+)?"
)
"""A family with what Bedrock writes around it ("us.anthropic.claude-opus-4-20250514-v1:0")."""


def price_unknown(account: Account, model: str) -> Decimal | None:
    """`PriceOf` of somebody who knows no price."""
    return None


def unranked(model: str) -> int | None:
    """`Rank` of somebody who knows no model."""
    return None


def ordered(per_account: Sequence[Sequence[Candidate]], worth: Callable[[Candidate], Any | None]) -> Tiers:
    """The candidates by `worth`, least first and unknown last; equal ones share a tier. At most MOST, of which each account has
    its fair part: one account that is out must not fill all the places. Disabled accounts get what the others leave."""
    per_account = [candidates for candidates in per_account if candidates]
    part = max(1, MOST // max(1, len(per_account)))
    known = {candidate.key: worth(candidate) for candidates in per_account for candidate in candidates}

    def place(candidate: Candidate) -> tuple[bool, Any]:
        found = known[candidate.key]
        return found is None, 0 if found is None else found

    best = [candidate for candidates in per_account for candidate in nsmallest(part, candidates, key=place)]
    kept = nsmallest(MOST, best, key=lambda candidate: (not candidate.account.enabled, place(candidate)))
    tiers: dict[tuple[bool, Any], list[Candidate]] = {}
    for candidate in sorted(kept, key=place):
        tiers.setdefault(place(candidate), []).append(candidate)
    return once(tiers.values())


def claude_release(family: str, word: str) -> tuple[int, int, int] | None:
    """ "claude-opus-4.5" → (4, 5, 1) for the word "opus", "claude-3.5-haiku" → (3, 5, 1) for "haiku"; the greatest is the newest.
    The last figure is 0 for "claude-opus-4.5-thinking" and the like: of one release the plain name comes first. None: another model."""
    found = _CLAUDE.fullmatch(family)
    if found is None or word not in (found["word"], found["old_word"]):
        return None
    major, _, minor = (found["new"] or found["old"]).partition(".")
    return int(major), int(minor or 0), 0 if found["variant"] else 1
