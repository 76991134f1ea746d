"""The names of one snapshot: what each can mean, by the precedence that resolve.py's docstring gives."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from decimal import Decimal
from functools import cached_property
from typing import Literal, get_args

from omni_connector.errors import GatewayError
from omni_connector.routing import levels as naming
from omni_connector.routing.candidates import Candidate, Resolution, ResolutionKind, Tiers, key_closes, key_refuses, once
from omni_connector.routing.choosing import (
    CLAUDE_CODE,
    CLAUDE_WORDS,
    PriceOf,
    Rank,
    claude_release,
    ordered,
    price_unknown,
    unranked,
)
from omni_connector.routing.levels import Levels
from omni_connector.routing.spelling import EXACT, MODELS, OPEN, Family, Spellings, bare, spellings
from omni_connector.snapshot import Account, ClientKey, Snapshot
from omni_connector.values import dataclass

AUTO = "auto"
COST, INTELLIGENCE = "cost-priority", "intelligence-priority"
Priority = Literal["cost-priority", "intelligence-priority"]
PRIORITIES: tuple[Priority, ...] = get_args(Priority)
OUR_CHOICE = (AUTO, *PRIORITIES)

NOT_CHAT = ("embed", "whisper", "tts", "dall-e", "moderation", "rerank", "transcribe", "image", "guard", "babbage", "davinci")
"""Parts of ids that are passed over where a bare model list leaves the choice to us; they can still be asked for by name."""

WHO_ANSWERS = ("alias", "chain", "provider", "provider_model", "label", "prefix")
"""Kinds of names that say more than a model."""
DEEPEST = 50
"""Aliases that lead to aliases are followed so far."""


@dataclass(frozen=True, slots=True)
class Asking:
    """What one request brings to the question. `marks`: parts of ids of the models made for its call, () for a conversation."""

    key: ClientKey | None = None
    default_provider: str = ""
    price: PriceOf = price_unknown
    rank: Rank = unranked
    marks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Way:
    """How a name was come to: inside the targets of which aliases, and which ones were told already."""

    inside: frozenset[str] = frozenset()
    told: set[str] = field(default_factory=set)


class Names:
    """Everything a name can mean in one snapshot."""

    def __init__(self, snapshot: Snapshot, family: Family, provider_aliases: Mapping[str, str], levels: Levels) -> None:
        self.snapshot = snapshot
        self.family = family
        self.provider_aliases = provider_aliases
        self.levels = levels
        self.made_of = (snapshot, family, provider_aliases, levels)
        self.spellings: dict[str, Spellings] = {}
        self.by_provider: dict[str, list[Account]] = {}
        self.by_label: dict[str, list[Account]] = {}
        self.by_prefix: dict[str, list[Account]] = {}
        for account in snapshot.accounts:
            self.spellings[account.id] = spellings(account.known_models, tuple(account.model_map.items()), family)
            self.by_provider.setdefault(account.provider, []).append(account)
            self.by_label.setdefault(account.label, []).append(account)
            if prefix := account.prefix.strip("/"):
                self.by_prefix.setdefault(prefix, []).append(account)
        for provider, accounts in _stand_ins(snapshot.accounts).items():
            self.by_provider.setdefault(provider, accounts)

    def find(self, name: str, asking: Asking, way: Way | None = None) -> Resolution | None:
        """What the name means. An alias or chain that leads nowhere has no tiers but a note."""
        way = way or Way()
        if name in self.snapshot.aliases and name not in way.inside and len(way.inside) < DEEPEST:
            return self._alias(name, asking, way)
        if name in self.snapshot.chains:
            return self._chain(name, asking.key)
        if bare(name) != name and not any(self._owners(MODELS)):
            found = self.find(bare(name), asking, way)
            return None if found is None else replace(found, requested=name)
        return self._choice(name, asking) or self._model(name, asking, way)

    def at(self, provider: str, name: str, asking: Asking) -> Resolution | None:
        """What the name means to a provider that path or header pin: what it says of its own accord of that provider's accounts,
        else a name of the provider's own. "" is its best."""
        accounts = self.by_provider.get(provider, ())
        if name.lower() in ("", AUTO):
            return Resolution("provider", provider, (self._best(accounts, asking.key),)) if accounts else None
        found = self.find(name, asking)
        if found is not None and found.kind in WHO_ANSWERS:
            mine = once([one for one in tier if one.account.provider == provider] for tier in found.tiers)
            if mine:
                return replace(found, tiers=mine)
        ranked = self._leveled(accounts, bare(name), asking)
        return Resolution("provider_model", f"{provider}/{name}", _tiers(ranked)) if ranked else None

    def _choice(self, name: str, asking: Asking) -> Resolution | None:
        """Names that leave the model to us."""
        if name == AUTO:
            preferred = self._default_accounts(asking)
            return Resolution("auto", name, (self._best(preferred or self._auto_accounts(), asking.key),))
        for priority in PRIORITIES:
            if name == priority:
                return Resolution(priority, name, self._by_priority(self._auto_accounts(), priority, asking))
        claude_code = self.by_provider.get(CLAUDE_CODE, ()) if name.lower() in CLAUDE_WORDS else ()
        if any(account.enabled for account in claude_code) and (ranked := self._pinned(claude_code, name.lower(), asking)):
            return Resolution("claude", name, _tiers(ranked))
        if accounts := self.by_provider.get(self.provider_id(name)):
            return Resolution("provider", name, (self._best(accounts, asking.key),))
        return None

    def _model(self, name: str, asking: Asking, way: Way) -> Resolution | None:
        """Names of models, then of accounts, then the nearest that the name can mean."""
        ranked = self._ranked(self.snapshot.accounts, name)
        pin = self._pin(name, asking)
        pinned_exactly = pin is not None and _lists_exactly(pin[1])
        preferred = self._default_accounts(asking)
        if not pin and (mine := self._ranked(preferred, name)):
            return Resolution("model", name, _tiers(mine))
        if EXACT in ranked and not pinned_exactly:
            return Resolution("model", name, _tiers(ranked))
        if pin:
            return Resolution(pin[0], name, _tiers(pin[1]))
        for kind, accounts in self._owners(name):
            return Resolution(kind, name, (self._best(accounts, asking.key),))
        if ranked:
            return Resolution("model", name, _tiers(ranked))
        if newest := self._newest(self._auto_accounts(), name, asking.key):
            return Resolution("claude", name, newest)
        ours = self._respelled(name)
        if ours != name:
            found = self.find(ours, asking, way)
            return None if found is None else replace(found, requested=name)
        taken = self._leveled(preferred, name, asking)
        return Resolution("model", name, _tiers(taken)) if taken else None

    def leaves_the_choice(self, name: str) -> bool:
        """No model is named, only who is to answer, or not even that."""
        name = self._respelled(bare(name))
        return name == AUTO or name in self.by_label or name in self.by_prefix or self.provider_id(name) in self.by_provider

    def _respelled(self, name: str) -> str:
        """The name as it stands here, where only the letter case of a word of ours differs: `AUTO`, `Work/gpt-5` for the label `work`."""
        if word := self._own_words.get(name.lower()):
            return word
        heads = (cut for cut in range(len(name) - 2, 0, -1) if name[cut] in "/:")
        for cut in heads:
            if (head := self._own_words.get(name[:cut].lower())) in self.by_label or head in self.by_prefix:
                return head + name[cut:]
        return name

    @cached_property
    def _own_words(self) -> Mapping[str, str]:
        words = (*self.by_prefix, *self.by_label, *self.snapshot.chains, *self.snapshot.aliases, *OUR_CHOICE)
        return {word.lower(): word for word in words}

    def provider_id(self, word: str) -> str:
        return self.provider_aliases.get(word.lower(), word.lower())

    def known_provider(self, word: str) -> str | None:
        """The provider this word or the head of this name means, when it is a provider no account is connected to."""
        provider = self.provider_id(re.split("[/:]", word, maxsplit=1)[0])
        known = provider in self.provider_aliases.values() and provider not in self.by_provider
        return provider if known else None

    # ------------------------------------------------------------ Heads: who is to answer

    def heads(self, name: str) -> Iterator[tuple[ResolutionKind, list[Account], str, str]]:
        """Each way to read the name as head and model, longest head first: kind, its accounts, head with separator, model."""
        for cut in range(len(name) - 2, 0, -1):
            if name[cut] in "/:":
                for kind, accounts in self._owners(name[:cut]):
                    yield kind, accounts, name[: cut + 1], name[cut + 1 :]

    def _owners(self, head: str) -> Iterator[tuple[ResolutionKind, list[Account]]]:
        if accounts := self.by_provider.get(self.provider_id(head)):
            yield "provider_model", accounts
        if accounts := self.by_label.get(head):
            yield "label", accounts
        if accounts := self.by_prefix.get(head):
            yield "prefix", accounts

    def _default_accounts(self, asking: Asking) -> Sequence[Account]:
        """The accounts of the default provider, where there is one and the key may use it."""
        accounts = self.by_provider.get(self.provider_id(asking.default_provider), ())
        return () if accounts and key_closes(asking.key, accounts[0].provider) else accounts

    def _pin(self, name: str, asking: Asking) -> tuple[ResolutionKind, dict[int, list[Candidate]]] | None:
        for kind, accounts, _, model in self.heads(name):
            if ranked := self._leveled(accounts, model, asking):
                return kind, ranked
        return None

    def _leveled(self, accounts: Sequence[Account], model: str, asking: Asking) -> dict[int, list[Candidate]]:
        """What these accounts make of `model` or `level/model`."""
        ranked = self._pinned(accounts, model, asking)
        leveled = naming.split(model) if all(rank >= OPEN for rank in ranked) else None
        if leveled is None:
            return ranked
        return {
            rank: [replace(candidate, level=leveled[0]) for candidate in candidates]
            for rank, candidates in self._pinned(accounts, leveled[1], asking).items()
        }

    def _pinned(self, accounts: Sequence[Account], model: str, asking: Asking) -> dict[int, list[Candidate]]:
        ranked = self._ranked(accounts, model, pinned=True)
        if any(rank < OPEN for rank in ranked):
            return ranked
        tiers: Tiers = ()
        word = model.lower()
        if word == AUTO:
            tiers = (self._best(accounts, asking.key),)
        elif word in PRIORITIES:
            tiers = self._by_priority(accounts, word, asking)
        else:
            tiers = self._newest(accounts, word, asking.key)
        return {OPEN + place: list(tier) for place, tier in enumerate(tiers) if tier} or ranked

    def _ranked(self, accounts: Iterable[Account], model: str, pinned: bool = False) -> dict[int, list[Candidate]]:
        """Who serves the model, by how well the name fits. Only a pinned name reaches accounts that take any name."""
        ranked: dict[int, list[Candidate]] = {}
        for account in accounts:
            hit = self.spellings[account.id].find(model)
            if hit is None and pinned and model.lower() not in OUR_CHOICE and _takes_any(account):
                hit = OPEN, model
            if hit is not None:
                ranked.setdefault(hit[0], []).append(Candidate(account, hit[1]))
        return ranked

    # ------------------------------------------------------------ Thinking levels

    def fitting(self, tiers: Iterable[Sequence[Candidate]]) -> Tiers:
        """Without the candidates whose model does not take the level."""
        return tuple(kept for tier in tiers if (kept := tuple(c for c in tier if self._takes_level(c))))

    def _takes_level(self, candidate: Candidate) -> bool:
        if not candidate.level:
            return True
        known = self.levels(candidate.model, candidate.account.features)
        return known is None or candidate.level in known

    def wrong_level(self, candidates: Sequence[Candidate]) -> GatewayError:
        wanted = [c for c in candidates if c.level]
        return naming.refusal(wanted[0].level, [(c.model, self.levels(c.model, c.account.features) or ()) for c in wanted])

    def refuse_odd_level(self, name: str) -> None:
        """`openai/ultra/gpt-5` leads nowhere, but the model is there: say what levels it takes instead of near names. Not where
        the word may be a vendor ("openrouter/opnai/gpt-5", an id that another account lists) or a head of its own."""
        for _, accounts, _, model in self.heads(name):
            odd = naming.split_any(model)
            if odd is None or any(self._owners(odd[0])) or any("/" in listed for a in accounts for listed in a.known_models):
                continue
            if self._ranked(self.snapshot.accounts, model):
                continue
            found = [(c.model, self.levels(c.model, c.account.features)) for tier in _tiers(self._ranked(accounts, odd[1])) for c in tier]
            if known := [(upstream, words) for upstream, words in found if words is not None]:
                raise naming.refusal(odd[0], known)

    @cached_property
    def variants(self) -> tuple[tuple[str, Candidate], ...]:
        """`provider/level/model` for every level that is known of a model of an enabled account."""
        return tuple(
            (f"{account.provider}/{level}/{name}", Candidate(account, upstream, level))
            for account in self.snapshot.accounts
            if account.enabled
            for name, upstream in self.spellings[account.id].exact.items()
            for level in self.levels(upstream, account.features) or ()
        )

    # ------------------------------------------------------------ Best, cheapest, newest models

    def _auto_accounts(self) -> list[Account]:
        real = [account for account in self.snapshot.accounts if not account.demo]
        return real if any(account.enabled for account in real) else list(self.snapshot.accounts)

    def _best(self, accounts: Iterable[Account], key: ClientKey | None) -> tuple[Candidate, ...]:
        """Each account with the best of its models, of those the key may use where it is limited."""
        chosen = []
        for account in accounts:
            allowed = (model for model in self._preferred(account) if not key_refuses(key, "", Candidate(account, model)))
            chosen.append(Candidate(account, next(allowed, None) or next(self._preferred(account), "")))
        return tuple(chosen)

    def _preferred(self, account: Account) -> Iterator[str]:
        """Upstream ids, best first: the user's list, else the provider's defaults that were discovered, else the discovered.

        An iterator: lists hold hundreds of models, and mostly the first is taken.
        """
        listed = self.spellings[account.id]
        if account.models or not account.discovered:
            yield from (listed.exact[bare(model)] for model in account.known_models)
            return
        yield from (hit[1] for hit in map(listed.find, account.default_models) if hit)
        for chat in (True, False):
            for model in account.discovered:
                if chat != _holds(model, NOT_CHAT):
                    yield listed.exact[bare(model)]

    def _by_priority(self, accounts: Sequence[Account], priority: str, asking: Asking) -> Tiers:
        """Every model that is made for the call, ordered by its price for this request or by our ranking."""

        def worth(candidate: Candidate) -> Decimal | int | None:
            if not candidate.model:
                return None
            return asking.price(candidate.account, candidate.model) if priority == COST else asking.rank(candidate.model)

        return ordered(_open_to(asking.key, "", [self._made_for(account, asking.marks) for account in accounts]), worth)

    def _made_for(self, account: Account, marks: tuple[str, ...]) -> list[Candidate]:
        names = self.spellings[account.id].exact.items()
        if not names and not marks:
            return [Candidate(account, "")]  # the plan says that no model of it is known
        if account.demo and not account.models:
            names = {name: name for name in account.default_models}.items()  # its faults are asked for by name
        models = [upstream for name, upstream in names if (_holds(name, marks) if marks else not _holds(name, NOT_CHAT))]
        return [Candidate(account, model) for model in dict.fromkeys(models)]

    def _newest(self, accounts: Iterable[Account], name: str, key: ClientKey | None) -> Tiers:
        """Each account with the newest Claude model it lists of `opus`, `sonnet` or `haiku`, the newest release first."""
        word = name.lower()
        if word not in CLAUDE_WORDS:
            return ()
        found: list[list[Candidate]] = []
        ages: dict[tuple[str, str, str], tuple[int, ...]] = {}
        for account in accounts:
            listed = self.spellings[account.id]
            found.append([])
            for family, spelled in listed.same.items():
                if release := claude_release(family, word):
                    candidates = [Candidate(account, listed.exact[one]) for one in spelled]
                    ages |= {candidate.key: tuple(-part for part in release) for candidate in candidates}
                    found[-1] += candidates

        def age(candidate: Candidate) -> tuple[int, ...]:
            return ages[candidate.key]

        newest = [[min(candidates, key=age)] for candidates in _open_to(key, word, found) if candidates]
        return ordered(newest, age)

    # ------------------------------------------------------------ Aliases and chains

    def _alias(self, name: str, asking: Asking, way: Way) -> Resolution:
        """Aliases that lead to each other are followed once: a second time they would add nothing."""
        inner = Way(way.inside | {name}, way.told)
        way.told.add(name)
        tiers: list[Sequence[Candidate]] = []
        missing = []
        for target in self.snapshot.aliases[name]:
            if target in way.told and target not in inner.inside:
                continue
            found = self.find(target, asking, inner)
            if found is None or not found.tiers:
                missing.append(target)
            else:
                tiers.extend(found.tiers)
        return Resolution("alias", name, once(tiers), _missing(f"alias {name}", missing, tiers))

    def _chain(self, name: str, key: ClientKey | None) -> Resolution:
        """Tiers of `account` (its best model) or `account::model` (that model, even when the account does not list it)."""
        tiers: list[Sequence[Candidate]] = []
        missing = []
        by_id = {account.id: [account] for account in self.snapshot.accounts}
        for members in self.snapshot.chains[name]:
            tier: list[Candidate] = []
            for member in members:
                who, _, model = (member, "", "") if member in self.by_label else member.partition("::")
                accounts = self.by_label.get(who) or by_id.get(who)
                if accounts is None:
                    missing.append(member)
                elif model:
                    tier += [Candidate(a, (self.spellings[a.id].find(model) or (OPEN, model))[1]) for a in accounts]
                else:
                    tier += self._best(accounts, key)
            tiers.append(tier)
        return Resolution("chain", name, once(tiers), _missing(f"chain {name}", missing, tiers))


_memo: Names | None = None


def names_of(snapshot: Snapshot, family: Family, provider_aliases: Mapping[str, str], levels: Levels) -> Names:
    """The index of the newest snapshot, built once for it: every request of one snapshot asks the same one."""
    global _memo  # noqa: PLW0603 - one entry, keyed by identity; a miss only costs the building
    asked = (snapshot, family, provider_aliases, levels)
    if _memo is None or any(a is not b for a, b in zip(asked, _memo.made_of, strict=True)):
        _memo = Names(*asked)
    return _memo


def _open_to(key: ClientKey | None, requested: str, per_account: list[list[Candidate]]) -> list[list[Candidate]]:
    """Those the key may use; all of them when it may use none, so that the refusal can say why."""
    allowed = [[candidate for candidate in candidates if not key_refuses(key, requested, candidate)] for candidates in per_account]
    return allowed if any(allowed) else per_account


def _takes_any(account: Account) -> bool:
    """Any name may be sent: nothing is known, or the list is open and the user has not closed it by choosing models."""
    return not account.known_models or (account.open_models and not account.models)


def _holds(model: str, marks: Iterable[str]) -> bool:
    lower = model.lower()
    return any(mark in lower for mark in marks)


def _lists_exactly(ranked: Mapping[int, Sequence[Candidate]]) -> bool:
    return any(candidate.account.enabled and not candidate.level for candidate in ranked.get(EXACT, ()))


def _stand_ins(accounts: Sequence[Account]) -> Mapping[str, list[Account]]:
    found: dict[str, list[Account]] = {}
    for account in accounts:
        for provider in account.stands_in_for:
            found.setdefault(provider, []).append(account)
    return found


def _tiers(ranked: Mapping[int, Sequence[Candidate]]) -> Tiers:
    return once(ranked[rank] for rank in sorted(ranked))


def _missing(owner: str, missing: Sequence[str], tiers: Sequence[Sequence[Candidate]]) -> str:
    if missing:
        return f"{owner} names nothing that is connected with: {', '.join(missing)}"
    return "" if any(tiers) else f"{owner} is empty"
