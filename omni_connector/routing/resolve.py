"""A model name → the accounts that can serve it, in tiers (CONTRACT.md §4, "Model names").

Precedence, first hit wins:
 1. nothing named: the default model
 2. alias, then chain: the user's own words may shadow any other name. Inside its own targets an alias has its ordinary meaning,
    so `gpt-5 → [gpt-5, groq/llama]` works and a circle ends
 3. `auto`: each account with its best model; demo accounts only while no real account is enabled
 4. provider id or its alias: the accounts of that provider, each with its best model
 5. model id as an account lists or maps it (it may hold slashes). Only where the name also reads as `head/model` and an enabled
    account of that head lists exactly that model, the pin (6) wins: `openai/gpt-5` stays with OpenAI after OpenRouter is connected
 6. `head/model` or `head:model`, where head is a provider, a label or a prefix; the longest such head first
 7. label or prefix alone: that account's best model
 8. model id in another spelling

Spelling: `models/` is ignored; a left name of `account.model_map` is a model id of that account. The exact id is the first
tier, the same model in another spelling (4.5 ↔ 4-5, dated ↔ undated, letter case, vendor prefix) the next; two different
dates or variants (`:free`, `:70b`) are never the same model. A head pins: what it does not serve is a 404 with near names,
never another provider's model.
Disabled accounts stay candidates, so that the plan can name them as skipped.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Literal

from omni_connector.errors import GatewayError, Kind
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

_DATE = re.compile(r"(?<!\d)20\d\d-?[01]\d-?[0-3]\d(?!\d)|(?<=-)\d{4}(?=$|:)")


@dataclass(frozen=True, slots=True)
class Candidate:
    """One account and the upstream's own id of the model. `model` is "" when nothing is known to ask it for."""

    account: Account
    model: str

    @property
    def key(self) -> tuple[str, str]:
        return self.account.id, self.model

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
) -> Resolution:
    """Name → candidates. `provider_aliases`: other word → provider id; ids mapped to themselves get a better 404.

    `wire` is the client's format; names mean the same in all of them today.
    Raises GatewayError: NO_ACCOUNT (nothing connected), MODEL_NOT_FOUND (with near names), FORBIDDEN (the key allows no candidate).
    """
    if not snapshot.accounts:
        raise GatewayError(
            Kind.NO_ACCOUNT, "No account is connected yet. Open the dashboard and connect one, or run `omni-connector backend add`."
        )
    asked = (name or "").strip()
    wanted = asked or default_model.strip() or AUTO
    names = _names(snapshot, family, provider_aliases)
    found = names.find(wanted, key) if len(wanted) <= LONGEST_NAME else None
    if found is None or not found.tiers:
        raise _unknown(names, wanted, key, found.note if found else "", is_default=not asked)
    if all(key_refuses(key, wanted, candidate) for candidate in found.candidates):
        raise _forbidden(key, found)
    if asked:
        return found
    return Resolution("default", wanted, found.tiers, f"no model named: the default is {wanted}")


def visible_models(
    snapshot: Snapshot, key: ClientKey | None, *, family: Family = str.lower, provider_aliases: Mapping[str, str] = EMPTY
) -> list[ModelName]:
    """What `GET /v1/models` lists for this key: auto, providers, aliases, chains, then each model id of the enabled accounts."""
    names = _names(snapshot, family, provider_aliases)
    enabled = [account for account in snapshot.accounts if account.enabled]
    providers = dict.fromkeys(account.provider for account in enabled)
    seen: dict[str, ModelName] = {}
    for word in (AUTO, *providers, *snapshot.aliases, *snapshot.chains):
        found = names.find(word, key)
        usable = [c for c in found.candidates if c.account.enabled and not key_refuses(key, word, c)] if found else []
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


# ---------------------------------------------------------------- What a client key allows


def key_refuses(key: ClientKey | None, requested: str, candidate: Candidate) -> str | None:
    """Why this key may not use the candidate; None: it may. A model is allowed by the name asked for or by the name served."""
    if key is None:
        return None
    provider = candidate.account.provider
    if key.providers is not None and provider.lower() not in {p.lower() for p in key.providers}:
        return f"this omni-key may not use provider {provider}"
    served = (requested, candidate.model, f"{provider}/{candidate.model}")
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

    def __init__(self, snapshot: Snapshot, family: Family, provider_aliases: Mapping[str, str]) -> None:
        self.snapshot = snapshot
        self.family = family
        self.provider_aliases = provider_aliases
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
            ranked = self._ranked(accounts, model, pinned=True)
            if not ranked and model == AUTO:
                ranked = {OPEN: list(self._best(accounts, key))}
            if ranked:
                return kind, ranked
        return None

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


def _names(snapshot: Snapshot, family: Family, provider_aliases: Mapping[str, str]) -> Names:
    """The index of the newest snapshot, built once for it: every request of one snapshot asks the same one."""
    global _memo  # noqa: PLW0603 - one entry, keyed by identity; a miss only costs the building
    if _memo is None or _memo.snapshot is not snapshot or _memo.family is not family or _memo.provider_aliases is not provider_aliases:
        _memo = Names(snapshot, family, provider_aliases)
    return _memo


def _takes_any(account: Account) -> bool:
    """Any name may be sent: nothing is known, or the list is open and the user has not closed it by choosing models."""
    return not account.known_models or (account.open_models and not account.models)


def _lists_exactly(ranked: Mapping[int, Sequence[Candidate]]) -> bool:
    return any(candidate.account.enabled for candidate in ranked.get(EXACT, ()))


def _tiers(ranked: Mapping[int, Sequence[Candidate]]) -> tuple[tuple[Candidate, ...], ...]:
    return _once(ranked[rank] for rank in sorted(ranked))


def _once(tiers: Iterable[Sequence[Candidate]]) -> tuple[tuple[Candidate, ...], ...]:
    """Each candidate only where it comes first; empty tiers are gone."""
    seen: set[tuple[str, str]] = set()
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
    words = [model.id for model in visible_models(names.snapshot, key, family=names.family, provider_aliases=names.provider_aliases)]
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
