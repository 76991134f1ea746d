"""Of very many candidates that are much the same, a few drawn by chance are weighed: what a request costs must not grow with the pool.

The best of eight is as good as the best of a thousand for all that matters (load, errors, speed), and the home of the conversation is
always among them. Two of the eight are new with each request: to look at one that was not looked at lately costs more than to weigh it,
since nothing of it is in the processor's caches. Priority is kept to the letter: whoever stands higher is drawn first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from omni_connector.routing.candidates import Candidate

MOST = 32
"""A tier up to this size is weighed whole."""
DRAWN, FRESH, MORE = 8, 2, 64
ENOUGH = 4
"""Where fewer of those drawn can be tried, more are drawn; where fewer of those can, all are looked at."""
_KNOWN = 256

Standing = tuple[bool, int]
Groups = Sequence[list[Candidate]]


class Drawing:
    """Remembers how a tier is made up: names resolve to the very same tiers as long as the configuration does not change."""

    def __init__(self) -> None:
        self._tiers: dict[int, tuple[Sequence[Candidate], Groups, Mapping[str, Candidate]]] = {}

    def draw(self, tier: Sequence[Candidate], home: str, rng: Random, count: int = DRAWN) -> Sequence[Candidate]:
        """So many of the tier, the candidate of the account `home` among them; all of it where it is small."""
        if len(tier) <= MOST:
            return tier
        groups, by_account = self._made_of(tier)
        drawn: list[Candidate] = []
        for group in groups:
            drawn += _some(group, min(len(group), count - len(drawn)), rng)
            if len(drawn) == count:
                break
        at_home = by_account.get(home)
        # By identity: to compare two candidates is to compare all that is known of their accounts.
        return drawn if at_home is None or id(at_home) in map(id, drawn) else [*drawn, at_home]

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


def _some(group: list[Candidate], count: int, rng: Random) -> Sequence[Candidate]:
    """So many of the group: those at its head, some of which have just changed places with any of the others. Who is new comes to the
    end of them, so that each stays as long. Nobody else relies on the order of a group."""
    if count < len(group):
        fresh = FRESH if count == DRAWN else count
        head = group[fresh:count] + group[:fresh]
        for place in range(count - fresh, count):
            other = count + int(rng.random() * (len(group) - count))
            head[place], group[other] = group[other], head[place]
        group[:count] = head
    return group[:count]
