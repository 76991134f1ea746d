"""Context too long: which candidates may hold the conversation that did not fit the model before."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from omni_connector.routing.candidates import Candidate
from omni_connector.values import dataclass

Window = Callable[[Candidate], int | None]
"""Tokens that fit the candidate's model (catalog.lookup's `context_window`), None: unknown."""


@dataclass(frozen=True, slots=True)
class Overflow:
    """`reasons[i]` says what placed `candidates[i]`; `left_out` are the others, each with its reason."""

    candidates: tuple[Candidate, ...]
    reasons: tuple[str, ...]
    left_out: tuple[tuple[Candidate, str], ...]


def larger(candidates: Sequence[Candidate], failed: Candidate, window: Window, needed_tokens: int | None = None) -> Overflow:
    """Those of `candidates` (the rest of a plan) that are worth a try after `failed` said the conversation is too long.

    Known larger windows first, unknown ones next, each in the plan's order; last those that are larger, but smaller than
    `needed_tokens`, since that is an estimate (None: there is none). A window that is not larger is never tried, nor is the same
    model where nothing is known to compare: it would say the same. `failed` itself may be among the candidates.
    """
    refused = window(failed)
    fits: list[tuple[Candidate, str]] = []
    unknown: list[tuple[Candidate, str]] = []
    tight: list[tuple[Candidate, str]] = []
    left_out: list[tuple[Candidate, str]] = []
    for candidate in candidates:
        size = window(candidate)
        if candidate.model == failed.model and (size is None or refused is None):
            left_out.append((candidate, f"{candidate.model} is the model that the conversation did not fit"))
        elif size is None:
            unknown.append((candidate, "window unknown"))
        elif refused is not None and size <= refused:
            left_out.append((candidate, f"window of {size} tokens, not larger than the {refused} of {failed.model}"))
        elif needed_tokens is None or size >= needed_tokens:
            fits.append((candidate, f"window of {size} tokens"))
        elif refused is None:
            left_out.append((candidate, f"window of {size} tokens, but about {needed_tokens} are needed"))
        else:
            tight.append((candidate, f"window of {size} tokens, larger, but about {needed_tokens} are needed"))
    chosen = [*fits, *unknown, *tight]
    return Overflow(tuple(candidate for candidate, _ in chosen), tuple(reason for _, reason in chosen), tuple(left_out))
