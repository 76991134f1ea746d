"""Of very many candidates that are much the same, a few drawn by chance are weighed: what a request costs must not grow with the pool.

The best of sixteen drawn anew for each request is as good as the best of a thousand for all that matters (load, errors, speed), and the
home of the conversation is always among them. Priority is kept to the letter: whoever stands higher is drawn first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from omni_connector.routing.candidates import Candidate

MOST = 32
"""A tier up to this size is weighed whole."""
DRAWN = 16
ENOUGH = 4
"""Where fewer of those drawn can be tried, all are looked at."""
_KNOWN = 256

Standing = tuple[bool, int]
Groups = Sequence[Sequence[Candidate]]


class Drawing:
    """Remembers how a tier is made up: names resolve to the very same tiers as long as the configuration does not change."""

    def __init__(self) -> None:
        self._tiers: dict[int, tuple[Sequence[Candidate], Groups, Mapping[str, Candidate]]] = {}

    def draw(self, tier: Sequence[Candidate], home: str, rng: Random) -> Sequence[Candidate]:
        """Some of the tier, the candidate of the account `home` among them; all of it where it is small."""
        if len(tier) <= MOST:
            return tier
        groups, by_account = self._made_of(tier)
        drawn: list[Candidate] = []
        for group in groups:
            drawn += rng.sample(group, min(len(group), DRAWN - len(drawn)))
            if len(drawn) == DRAWN:
                break
        at_home = by_account.get(home)
        return drawn if at_home is None or at_home in drawn else [*drawn, at_home]

    def _made_of(self, tier: Sequence[Candidate]) -> tuple[Groups, Mapping[str, Candidate]]:
        known = self._tiers.get(id(tier))
        if known is not None and known[0] is tier:
            return known[1], known[2]
        groups: dict[Standing, list[Candidate]] = {}
        for candidate in tier:
            groups.setdefault((not candidate.account.demo, candidate.account.priority), []).append(candidate)
        made = [groups[standing] for standing in sorted(groups, reverse=True)]
        if len(self._tiers) >= _KNOWN:
            self._tiers.clear()
        by_account = {candidate.account.id: candidate for candidate in reversed(tier)}
        self._tiers[id(tier)] = tier, made, by_account
        return made, by_account
