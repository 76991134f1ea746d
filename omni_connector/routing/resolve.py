"""A model name → the accounts that can serve it, in tiers (CONTRACT.md §4, "Model names").

Precedence, first hit wins:
 1. nothing named: the default model
 2. alias, then chain: the user's own words may shadow any other name. Inside its own targets an alias has its ordinary meaning,
    so `gpt-5 → [gpt-5, groq/llama]` works and a circle ends
 3. `auto`: each account with its best model; demo accounts only while no real account is enabled
 4. provider id or its alias: the accounts of that provider, each with its best model
 5. model id as an account lists or maps it (it may hold slashes). Only where the name also reads as `head/model` and an enabled
    account of that head lists exactly that model, the pin (6) wins: `openai/gpt-5` stays with OpenAI after OpenRouter is connected
 6. `head/model` or `head:model`, where head is a provider, a label or a prefix; the longest such head first.
    `head/level/model` is the same pin with a thinking level: a model id that an account lists wins over reading a part of it
    as a level, but reading a level wins over sending its word to an account that takes any name
 7. label or prefix alone: that account's best model
 8. model id in another spelling

Spelling: `models/` is ignored; a left name of `account.model_map` is a model id of that account. The exact id is the first
tier, the same model in another spelling (4.5 ↔ 4-5, dated ↔ undated, letter case, vendor prefix) the next; two different
dates or variants (`:free`, `:70b`) are never the same model. A head pins: what it does not serve is a 404 with near names,
never another provider's model. A level that no candidate takes is a 400 that names those it takes; candidates that do not
take it are left out while others do. What a model takes is unknown for some: the provider then decides.
Disabled accounts stay candidates, so that the plan can name them as skipped.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property, lru_cache
from typing import Literal

from omni_connector.errors import GatewayError, Kind
from omni_connector.routing import levels as naming
from omni_connector.routing.levels import Levels
from omni_connector.snapshot import EMPTY, Account, ClientKey, Snapshot

Family = Callable[[str], str]
"""Model id → the name all its spellings share (catalog.family)."""

ResolutionKind = Literal["auto", "default", "provider", "model", "provider_model", "label", "prefix", "alias", "chain"]

AUTO = "auto"
OWNER = "omni-connector"
LONGEST_NAME = 300
EXACT, SPELLED, OPEN = 0, 1, 2
NOT_CHAT = ("embed", "whisper", "tts", "dall-e", "moderation", "rerank", "transcribe", "image", "guard", "babbage", "davinci")
"""Parts of ids that `auto` passes over when it must pick from a bare model list; they can still be asked for by name."""

PURPOSES: Mapping[str, tuple[str, ...]] = {
    "openai-embeddings": ("embed",),
    "gemini-embeddings": ("embed",),
    "image": ("image", "dall-e", "flux"),
    "speech": ("tts", "speech"),
    "transcription": ("transcribe", "whisper", "voxtral"),
    "moderation": ("moderation",),
    "rerank": ("rerank",),
}
"""Wire of a call that is no conversation → parts of the ids of models for it, where the name asked for leaves the choice to us."""

_DATE = re.compile(r"(?<!\d)20\d\d-?[01]\d-?[0-3]\d(?!\d)|(?<=-)\d{4}(?=$|:)")


@dataclass(frozen=True, slots=True)
class Candidate:
    """One account and the upstream's own id of the model. `model` is "" when nothing is known to ask it for.
    `level`: how much it is to think (one of chat.LEVELS), "" when the name does not say."""

    account: Account
    model: str
    level: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        return self.account.id, self.model, self.level

    @property
    def name(self) -> str:
        """`provider/label`, as people read it."""
        return f"{self.account.provider}/{self.account.label}"


@dataclass(frozen=True, slots=True)
class Resolution:
    """What a name means now. `requested` is the name as asked (the default model's when none was named)."""

    kind: ResolutionKind
    requested: str
    tiers: tuple[tuple[Candidate, ...], ...]
    note: str = ""

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        return tuple(candidate for tier in self.tiers for candidate in tier)


@dataclass(frozen=True, slots=True)
class ModelName:
    """One entry of `GET /v1/models`; `accounts` are labels."""

    id: str
    owned_by: str
    accounts: tuple[str, ...]


def resolve(
    name: str | None,
    snapshot: Snapshot,
    wire: str,
    key: ClientKey | None,
    *,
    family: Family,
    default_model: str = AUTO,
    provider_aliases: Mapping[str, str] = EMPTY,
    levels: Levels = naming.unknown,
) -> Resolution:
    """Name → candidates. `provider_aliases`: other word → provider id; ids mapped to themselves get a better 404.
    `levels`: what thinking levels a model takes.

    `wire` is the client's format. Names mean the same in all of them, but who leaves the choice of a model to us gets one that
    is made for the call: an embedding model for embeddings.
    Raises GatewayError: NO_ACCOUNT (nothing connected), MODEL_NOT_FOUND (with near names), FORBIDDEN (the key allows no candidate),
    BAD_REQUEST (a thinking level that no candidate takes).
    """
    if not snapshot.accounts:
        raise GatewayError(
            Kind.NO_ACCOUNT, "No account is connected yet. Open the dashboard and connect one, or run `omni-connector backend add`."
        )
    asked = (name or "").strip()
    wanted = asked or default_model.strip() or AUTO
    names = _names(snapshot, family, provider_aliases, levels)
    found = names.find(wanted, key) if len(wanted) <= LONGEST_NAME else None
    if found is None or not found.tiers:
        if found is None and len(wanted) <= LONGEST_NAME:
            names.refuse_odd_level(wanted)
        raise _unknown(names, wanted, key, found.note if found else "", is_default=not asked)
    if wire in PURPOSES and names.leaves_the_choice(wanted):
        found = _made_for(PURPOSES[wire], found)
    fitting = names.fitting(found.tiers)
    found = replace(found, tiers=fitting) if fitting else found
    if all(key_refuses(key, wanted, candidate) for candidate in found.candidates):
        raise _forbidden(key, found)
    if not fitting:
        raise names.wrong_level(found.candidates)
    if asked:
        return found
    return Resolution("default", wanted, found.tiers, f"no model named: the default is {wanted}")


def _made_for(marks: tuple[str, ...], found: Resolution) -> Resolution:
    """The same accounts, each with its first model of that kind. Raises GatewayError (MODEL_NOT_FOUND) when none lists one."""
    tiers = tuple(
        tuple(
            replace(candidate, model=model)
            for candidate in tier
            if (model := next((one for one in candidate.account.known_models if any(mark in one.lower() for mark in marks)), None))
        )
        for tier in found.tiers
    )
    if not any(tiers):
        words = f"No account that '{found.requested}' means lists a model for this ({', '.join(marks)}). Name the model."
        raise GatewayError(Kind.MODEL_NOT_FOUND, words, param="model", details={"near": []})
    return replace(found, tiers=tuple(tier for tier in tiers if tier))


def visible_models(
    snapshot: Snapshot,
    key: ClientKey | None,
    *,
    family: Family = str.lower,
    provider_aliases: Mapping[str, str] = EMPTY,
    levels: Levels = naming.unknown,
) -> list[ModelName]:
    """What `GET /v1/models` lists for this key: auto, providers, aliases, chains, then each model id of the enabled accounts, then
    `provider/level/model` for each thinking level that is known of them."""
    names = _names(snapshot, family, provider_aliases, levels)
    listed = _plain_names(names, key)
    taken = {model.id for model in listed}
    return [*listed, *(variant for variant in _variants(names, key) if variant.id not in taken)]


def _plain_names(names: Names, key: ClientKey | None) -> list[ModelName]:
    snapshot = names.snapshot
    enabled = [account for account in snapshot.accounts if account.enabled]
    providers = dict.fromkeys(account.provider for account in enabled)
    seen: dict[str, ModelName] = {}
    for word in (AUTO, *providers, *snapshot.aliases, *snapshot.chains):
        found = names.find(word, key)
        candidates = (c for tier in names.fitting(found.tiers) for c in tier) if found else ()
        usable = [c for c in candidates if c.account.enabled and not key_refuses(key, word, c)]
        if usable and word not in seen:
            owner = word if word in providers else OWNER
            seen[word] = ModelName(word, owner, tuple(dict.fromkeys(c.account.label for c in usable)))
    models: dict[str, list[Account]] = {}
    for account in enabled:
        for model, upstream in names.spellings[account.id].exact.items():
            if model not in seen and not key_refuses(key, model, Candidate(account, upstream)):
                models.setdefault(model, []).append(account)
    listed = [ModelName(model, owners[0].provider, tuple(a.label for a in owners)) for model, owners in models.items()]
    return [*seen.values(), *listed]


def _variants(names: Names, key: ClientKey | None) -> list[ModelName]:
    open_to_key: dict[str, list[Account]] = {}
    for name, candidate in names.variants:
        if not key_refuses(key, name, candidate):
            open_to_key.setdefault(name, []).append(candidate.account)
    return [ModelName(name, owners[0].provider, tuple(a.label for a in owners)) for name, owners in open_to_key.items()]


# ---------------------------------------------------------------- What a client key allows


def key_refuses(key: ClientKey | None, requested: str, candidate: Candidate) -> str | None:
    """Why this key may not use the candidate; None: it may. A model is allowed by the name asked for or by the name served."""
    if key is None:
        return None
    provider = candidate.account.provider
    if key.providers is not None and provider.lower() not in {p.lower() for p in key.providers}:
        return f"this omni-key may not use provider {provider}"
    served = [requested, candidate.model, f"{provider}/{candidate.model}"]
    if candidate.level:
        served.append(f"{provider}/{candidate.level}/{candidate.model}")
    if key.models is not None and not any(_matches(name, key.models) for name in served):
        return f"this omni-key may not use model {candidate.model or requested}"
    return None


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name.lower(), pattern.lower()) for pattern in patterns)


# ---------------------------------------------------------------- How one account's models may be spelled


@dataclass(frozen=True, slots=True)
class Spellings:
    exact: Mapping[str, str]
    """Name → the upstream's id."""
    same: Mapping[str, tuple[str, ...]]
    """Family → the names above that belong to it."""
    family: Family

    def find(self, name: str) -> tuple[int, str] | None:
        """(EXACT or SPELLED, upstream id), or None: this list does not hold the model."""
        name = _bare(name)
        if name in self.exact:
            return EXACT, self.exact[name]
        same = [other for other in self.same.get(self.family(name).lower(), ()) if _same(name, other)]
        if not same:
            return None
        date = _date(name)
        newest = max(same, key=lambda other: (date != "" and _date(other) == date, _date(other) or "undated"))
        return SPELLED, self.exact[newest]


@lru_cache(maxsize=512)
def _spellings(models: tuple[str, ...], mapped: tuple[tuple[str, str], ...], family: Family) -> Spellings:
    """Cached by value: snapshots are replaced often, model lists seldom change."""
    mapping = dict(mapped)
    exact = {_bare(model): mapping.get(model, model) for model in models} | {_bare(left): right for left, right in mapped}
    same: dict[str, list[str]] = {}
    for name in exact:
        same.setdefault(family(name).lower(), []).append(name)
    return Spellings(exact, {shared: tuple(names) for shared, names in same.items()}, family)


def _same(name: str, listed: str) -> bool:
    """Of two names of one family: may the listed one stand in? A vendor, date or variant that was named must be kept."""
    vendor, date = _vendor(name), _date(name)
    return vendor in ("", _vendor(listed)) and (not date or _date(listed) in ("", date)) and _variant(name) == _variant(listed)


def _bare(name: str) -> str:
    return name.removeprefix("models/")


def _vendor(name: str) -> str:
    return name.rpartition("/")[0].lower()


def _date(name: str) -> str:
    """Digits of the release a name is pinned to ("20250929", "2411"), "" when it names none."""
    hit = _DATE.search(name)
    return hit[0].replace("-", "") if hit else ""


def _variant(name: str) -> str:
    """What follows the colon: `:free` costs nothing, `:70b` is another size. Only `latest` says nothing."""
    tag = name.rpartition("/")[2].partition(":")[2].lower()
    return "" if tag == "latest" else tag


# ---------------------------------------------------------------- The names of one snapshot


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
            self.spellings[account.id] = _spellings(account.known_models, tuple(account.model_map.items()), family)
            self.by_provider.setdefault(account.provider, []).append(account)
            self.by_label.setdefault(account.label, []).append(account)
            if prefix := account.prefix.strip("/"):
                self.by_prefix.setdefault(prefix, []).append(account)

    def find(self, name: str, key: ClientKey | None, inside: frozenset[str] = frozenset()) -> Resolution | None:
        """The precedence of the module's docstring. An alias or chain that leads nowhere has no tiers but a note."""
        if name in self.snapshot.aliases and name not in inside:
            return self._alias(name, key, inside)
        if name in self.snapshot.chains:
            return self._chain(name, key)
        if name == AUTO:
            return Resolution("auto", name, (self._best(self._auto_accounts(), key),))
        if accounts := self.by_provider.get(self.provider_id(name)):
            return Resolution("provider", name, (self._best(accounts, key),))
        ranked = self._ranked(self.snapshot.accounts, name)
        pin = self._pin(name, key)
        if EXACT in ranked and not (pin and _lists_exactly(pin[1])):
            return Resolution("model", name, _tiers(ranked))
        if pin:
            return Resolution(pin[0], name, _tiers(pin[1]))
        for kind, accounts in self._owners(name):
            return Resolution(kind, name, (self._best(accounts, key),))
        return Resolution("model", name, _tiers(ranked)) if ranked else None

    def leaves_the_choice(self, name: str) -> bool:
        """No model is named, only who is to answer, or not even that."""
        return name == AUTO or name in self.by_label or name in self.by_prefix or self.provider_id(name) in self.by_provider

    def provider_id(self, word: str) -> str:
        return self.provider_aliases.get(word.lower(), word.lower())

    def known_provider(self, word: str) -> str | None:
        """The provider this word or the head of this name means, when it is a provider no account is connected to."""
        provider = self.provider_id(re.split("[/:]", word, maxsplit=1)[0])
        known = provider in self.provider_aliases.values() and provider not in self.by_provider
        return provider if known else None

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

    def _pin(self, name: str, key: ClientKey | None) -> tuple[ResolutionKind, dict[int, list[Candidate]]] | None:
        for kind, accounts, _, model in self.heads(name):
            ranked = self._pinned(accounts, model, key)
            leveled = naming.split(model) if ranked.keys() <= {OPEN} else None
            if leveled is not None:
                ranked = {
                    rank: [replace(candidate, level=leveled[0]) for candidate in candidates]
                    for rank, candidates in self._pinned(accounts, leveled[1], key).items()
                }
            if ranked:
                return kind, ranked
        return None

    def _pinned(self, accounts: list[Account], model: str, key: ClientKey | None) -> dict[int, list[Candidate]]:
        ranked = self._ranked(accounts, model, pinned=True)
        return {OPEN: list(self._best(accounts, key))} if model == AUTO and not ranked else ranked

    def _ranked(self, accounts: Iterable[Account], model: str, pinned: bool = False) -> dict[int, list[Candidate]]:
        """Who serves the model, by how well the name fits. Only a pinned name reaches accounts that take any name."""
        ranked: dict[int, list[Candidate]] = {}
        for account in accounts:
            hit = self.spellings[account.id].find(model)
            if hit is None and pinned and model != AUTO and _takes_any(account):
                hit = OPEN, model
            if hit is not None:
                ranked.setdefault(hit[0], []).append(Candidate(account, hit[1]))
        return ranked

    # ------------------------------------------------------------ Thinking levels

    def fitting(self, tiers: Iterable[Sequence[Candidate]]) -> tuple[tuple[Candidate, ...], ...]:
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

    # ------------------------------------------------------------ Best models, aliases, chains

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
        spellings = self.spellings[account.id]
        if account.models or not account.discovered:
            yield from (spellings.exact[_bare(model)] for model in account.known_models)
            return
        yield from (hit[1] for hit in map(spellings.find, account.default_models) if hit)
        for chat in (True, False):
            for model in account.discovered:
                if chat != any(word in model.lower() for word in NOT_CHAT):
                    yield spellings.exact[_bare(model)]

    def _alias(self, name: str, key: ClientKey | None, inside: frozenset[str]) -> Resolution:
        tiers: list[Sequence[Candidate]] = []
        missing = []
        for target in self.snapshot.aliases[name]:
            found = self.find(target, key, inside | {name})
            if found is None or not found.tiers:
                missing.append(target)
            else:
                tiers.extend(found.tiers)
        return Resolution("alias", name, _once(tiers), _missing(f"alias {name}", missing))

    def _chain(self, name: str, key: ClientKey | None) -> Resolution:
        """Tiers of `account` (its best model) or `account::model` (that model, even when the account does not list it)."""
        tiers: list[Sequence[Candidate]] = []
        missing = []
        by_id = {account.id: [account] for account in self.snapshot.accounts}
        for members in self.snapshot.chains[name]:
            tier: list[Candidate] = []
            for member in members:
                who, _, model = member.partition("::")
                accounts = self.by_label.get(who) or by_id.get(who)
                if accounts is None:
                    missing.append(member)
                elif model:
                    tier += [Candidate(a, (self.spellings[a.id].find(model) or (OPEN, model))[1]) for a in accounts]
                else:
                    tier += self._best(accounts, key)
            tiers.append(tier)
        return Resolution("chain", name, _once(tiers), _missing(f"chain {name}", missing))


_memo: Names | None = None


def _names(snapshot: Snapshot, family: Family, provider_aliases: Mapping[str, str], levels: Levels) -> Names:
    """The index of the newest snapshot, built once for it: every request of one snapshot asks the same one."""
    global _memo  # noqa: PLW0603 - one entry, keyed by identity; a miss only costs the building
    asked = (snapshot, family, provider_aliases, levels)
    if _memo is None or any(a is not b for a, b in zip(asked, _memo.made_of, strict=True)):
        _memo = Names(*asked)
    return _memo


def _takes_any(account: Account) -> bool:
    """Any name may be sent: nothing is known, or the list is open and the user has not closed it by choosing models."""
    return not account.known_models or (account.open_models and not account.models)


def _lists_exactly(ranked: Mapping[int, Sequence[Candidate]]) -> bool:
    return any(candidate.account.enabled and not candidate.level for candidate in ranked.get(EXACT, ()))


def _tiers(ranked: Mapping[int, Sequence[Candidate]]) -> tuple[tuple[Candidate, ...], ...]:
    return _once(ranked[rank] for rank in sorted(ranked))


def _once(tiers: Iterable[Sequence[Candidate]]) -> tuple[tuple[Candidate, ...], ...]:
    """Each candidate only where it comes first; empty tiers are gone."""
    seen: set[tuple[str, str, str]] = set()
    kept = []
    for tier in tiers:
        fresh = {candidate.key: candidate for candidate in tier if candidate.key not in seen}
        seen.update(fresh)
        if fresh:
            kept.append(tuple(fresh.values()))
    return tuple(kept)


# ---------------------------------------------------------------- What is said when a name leads nowhere


def _missing(owner: str, missing: Sequence[str]) -> str:
    return f"{owner} names nothing that is connected with: {', '.join(missing)}" if missing else ""


def _forbidden(key: ClientKey | None, found: Resolution) -> GatewayError:
    reasons = dict.fromkeys(key_refuses(key, found.requested, candidate) or "" for candidate in found.candidates)
    return GatewayError(Kind.FORBIDDEN, f"'{found.requested}' is not open to you: {'; '.join(reasons)}.", param="model")


def _unknown(names: Names, name: str, key: ClientKey | None, note: str, *, is_default: bool) -> GatewayError:
    shown = name if len(name) <= 80 else f"{name[:80]}…"
    near = _near(names, name[:80], key)
    parts = [f"No connected account serves a model named '{shown}'{' (the default model)' if is_default else ''}."]
    if provider := names.known_provider(name[:80]):
        parts.append(f"No account of provider {provider} is connected.")
    if note:
        parts.append(f"The {note}.")
    parts.append(f"Near names: {', '.join(near)}." if near else "GET /v1/models lists the names that work.")
    return GatewayError(Kind.MODEL_NOT_FOUND, " ".join(parts), param="model", details={"near": near})


def _near(names: Names, name: str, key: ClientKey | None) -> list[str]:
    words = [model.id for model in _plain_names(names, key)]
    open_to_key = [a for a in names.snapshot.accounts if a.enabled and not key_refuses(key, a.label, Candidate(a, ""))]
    words += [word for account in open_to_key for word in (account.label, account.prefix.strip("/")) if word]
    for _, accounts, head, _ in names.heads(name):
        words += [
            head + model
            for account in accounts
            for model, upstream in names.spellings[account.id].exact.items()
            if not key_refuses(key, head + model, Candidate(account, upstream))
        ]
    by_lower = {word.lower(): word for word in words}
    return [by_lower[hit] for hit in difflib.get_close_matches(name.lower(), by_lower, n=5, cutoff=0.6)]
