"""How far the local estimate of a prompt is off, learned by model family from what providers report.

`usage.estimate_tokens` looks at bytes and knows no tokenizer; a family's own, and what its provider adds to every prompt, shift it by a
factor that is much the same from one request to the next. Kept here is its running mean with its spread, both with a bounded memory, so
that a new tokenizer behind the same name is learned too. One process has one of these, on one event loop: there is no lock.

What a provider reads without being sent it cannot be known: pages that it searches or fetches, files and conversations it keeps itself,
pictures by address. Such answers teach nothing, and no bound holds for them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import ceil, sqrt

from omni_connector.record import Record
from omni_connector.values import dataclass

LEAST_RAW = 500
"""Estimated tokens. In smaller prompts it is the provider's own words (a chat's frame, instructions for tools) that are measured."""
MEMORY = 256
"""Answers that the mean and the spread remember, roughly: what is older fades."""
PRIOR, PRIOR_SPREAD, PRIOR_WEIGHT = 1.0, 0.15, 4
"""What is believed before the first answer, and how many answers that is worth."""
SANE = (0.1, 6.0)
"""A factor outside is no tokenizer's: the request was read in another way than it was sent."""
ROUGH = 4.0
"""Standard deviations that one answer may lie off; one beyond counts as if it lay there."""

FLOOR = 1.15
"""The bound is never nearer than this to the estimate, however steady the family was."""
STRANGER = 1.6
"""The bound of a family of which fewer than `TRUSTED` answers are known."""
TRUSTED = 8
DEVIATIONS = 4.0
ALLOWANCE = 1_024
"""Tokens that a provider may add to any prompt: instructions for tools (about 500 at Anthropic), a system prompt of its own."""

PLAIN_ALLOWANCE = 96
"""The same of a prompt without tools: the frame of a chat."""

MOST_FAMILIES = 2_000
EVERY_MS = 60_000
"""Between two writes of what was learned."""


@dataclass(frozen=True, slots=True)
class Learned:
    """`mean`: reported / estimated tokens; `spread`: its standard deviation; `seen`: answers it is made of, up to `MEMORY`."""

    family: str
    seen: int
    mean: float
    spread: float


class Calibration:
    """`family`: a model's name → its family (`catalog.family`)."""

    def __init__(self, family: Callable[[str], str]) -> None:
        self._family = family
        self._learned: dict[str, Learned] = {}
        self._news: set[str] = set()
        self._written_at = 0

    # ------------------------------------------------------------ asked on the way of every request: a look-up and a product

    def likely(self, model: str, raw: int) -> int:
        """How many tokens a prompt has at this model, after the estimate `raw`."""
        known = self._learned.get(self._family(model))
        return raw if known is None else round(raw * known.mean)

    def upper(self, model: str, raw: int, added: int = ALLOWANCE) -> int:
        """Tokens that the prompt's reported count practically never exceeds, after the estimate `raw`; for reserving money. Not for what
        the provider reads by itself, see above. `added`: what it may put in front of every prompt."""
        known = self._learned.get(self._family(model))
        if known is None:
            return ceil(raw * STRANGER) + added
        factor = max(FLOOR, known.mean + DEVIATIONS * known.spread)
        return ceil(raw * (factor if known.seen >= TRUSTED else max(factor, STRANGER))) + added

    # ------------------------------------------------------------ learning

    def hear(self, record: Record) -> None:
        """A row was settled. Learns from it where the provider itself counted all that it was sent, and nothing else."""
        if record.outcome != "ok" or record.usage_source != "reported" or record.continued or record.usage.web_searches:
            return
        if record.model:
            self.learn(record.model, record.est_input, record.usage.prompt)

    def learn(self, model: str, raw: int, reported: int) -> None:
        """`raw`: the estimate; `reported`: all tokens of the prompt, cached ones included."""
        if raw < LEAST_RAW or not SANE[0] <= reported / raw <= SANE[1]:
            return
        family = self._family(model)
        known = self._learned.get(family)
        if known is None:
            if len(self._learned) >= MOST_FAMILIES:
                return
            known = Learned(family, 0, PRIOR, PRIOR_SPREAD)
        self._learned[family] = _next(known, reported / raw)
        self._news.add(family)

    # ------------------------------------------------------------ kept over restarts

    def load(self, rows: Iterable[Learned]) -> None:
        """What was stored; a row that makes no sense is left out."""
        self._learned |= {row.family: row for row in rows if SANE[0] <= row.mean <= SANE[1] and 0 <= row.spread <= SANE[1] and row.seen > 0}

    def take(self, now: int, *, last: bool = False) -> list[Learned]:
        """What has to be written, once a minute; `last`: now or never. Who cannot write it calls `give_back`."""
        if not self._news or (now - self._written_at < EVERY_MS and not last):
            return []
        news, self._news, self._written_at = self._news, set(), now
        return [self._learned[family] for family in sorted(news)]

    def give_back(self, rows: Iterable[Learned]) -> None:
        self._news |= {row.family for row in rows}

    def known(self) -> list[Learned]:
        """All that is known, by family."""
        return [self._learned[family] for family in sorted(self._learned)]


def _next(known: Learned, ratio: float) -> Learned:
    """With one answer more. A single strange one moves neither mean nor spread far."""
    reach = ROUGH * known.spread + 0.05
    ratio = min(max(ratio, known.mean - reach), known.mean + reach)
    weight = 1 / (min(known.seen, MEMORY) + 1 + PRIOR_WEIGHT)
    off = ratio - known.mean
    variance = (1 - weight) * (known.spread**2 + weight * off * off)
    return Learned(known.family, min(known.seen + 1, MEMORY), known.mean + weight * off, sqrt(variance))
