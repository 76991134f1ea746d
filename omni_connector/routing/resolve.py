"""A model name → the accounts that can serve it, in tiers (CONTRACT.md §4, "Model names").

Precedence, first hit wins:
 1. nothing named: the default model
 2. alias, then chain: the user's own words may shadow any other name. Inside its own targets an alias has its ordinary meaning,
    so `gpt-5 → [gpt-5, groq/llama]` works and a circle ends
 3. `auto`: each account with its best model; demo accounts only while no real account is enabled. With a default provider: the
    accounts of that provider
 4. `cost-priority`, `intelligence-priority`: every model of those accounts, by its price for this request or by our ranking
 5. `opus`, `sonnet`, `haiku` while an account of Claude Code is enabled: that account
 6. provider id or its alias: the accounts of that provider, each with its best model
 7. model id that the default provider's accounts list, map or spell differently
 8. model id as an account lists or maps it (it may hold slashes). Only where the name also reads as `head/model` and an enabled
    account of that head lists exactly that model, the pin (9) wins: `openai/gpt-5` stays with OpenAI after OpenRouter is connected
 9. `head/model` or `head:model`, where head is a provider, a label or a prefix; the longest such head first.
    `head/level/model` is the same pin with a thinking level: a model id that an account lists wins over reading a part of it
    as a level, but reading a level wins over sending its word to an account that takes any name
10. label or prefix alone: that account's best model
11. model id in another spelling
12. `opus`, `sonnet`, `haiku`: the newest Claude model of that word that anybody lists, then what the others list
13. a word of ours in another letter case (`AUTO`, `Work/gpt-5`), so that no model can be hidden by it
14. a name that nobody knows: the default provider, if an account of it takes any name

A provider that path or header pin comes before all of it: of an alias, a chain or a name with a head its accounts stay, any
other name is one of its own, and `auto` or nothing is its best.

Spelling: `models/` in front is ignored; a left name of `account.model_map` is a model id of that account. The exact id is the first
tier, the same model in another spelling (4.5 ↔ 4-5, dated ↔ undated, letter case, vendor prefix) the next; two different
dates or variants (`:free`, `:70b`) are never the same model. A head pins: what it does not serve is a 404 with near names,
never another provider's model; `head/auto`, `head/cost-priority` and `head/opus` choose among what it serves. A level that no
candidate takes is a 400 that names those it takes; candidates that do not take it are left out while others do. What a model
takes is unknown for some: the provider then decides. Disabled accounts stay candidates, so that the plan can name them as skipped.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import replace

from omni_connector.errors import GatewayError, Kind
from omni_connector.routing import levels as naming
from omni_connector.routing.candidates import Candidate, Resolution, ResolutionKind, key_refuses
from omni_connector.routing.choosing import CLAUDE_WORDS, PriceOf, Rank, price_unknown, unranked
from omni_connector.routing.levels import Levels
from omni_connector.routing.names import AUTO, PRIORITIES, Asking, Names, names_of
from omni_connector.routing.serving import elsewhere, nobody, serving, trade_of
from omni_connector.routing.spelling import Family
from omni_connector.snapshot import EMPTY, Account, ClientKey, Snapshot
from omni_connector.values import dataclass

__all__ = [
    "AUTO",
    "Candidate",
    "Family",
    "ModelName",
    "PriceOf",
    "Rank",
    "Resolution",
    "ResolutionKind",
    "key_refuses",
    "resolve",
    "visible_models",
]

OWNER = "omni-connector"
LONGEST_NAME = 300

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
    default_provider: str = "",
    levels: Levels = naming.unknown,
    price: PriceOf = price_unknown,
    rank: Rank = unranked,
    provider: str = "",
) -> Resolution:
    """Name → candidates. `provider_aliases`: other word → provider id; ids mapped to themselves get a better 404.
    `provider`: the one that path or header pin, "" for none; then nobody else is a candidate, whatever the name is.
    `levels`: what thinking levels a model takes. `price` and `rank` order `cost-priority` and `intelligence-priority`; they are
    asked of every connected model, only for these names.

    `wire` is the client's format. Names mean the same in all of them, but who leaves the choice of a model to us gets one that
    is made for the call: an embedding model for embeddings.
    Raises GatewayError: NO_ACCOUNT (nothing connected), MODEL_NOT_FOUND (with near names), FORBIDDEN (the key allows no candidate),
    BAD_REQUEST (a thinking level that no candidate takes).
    """
    if not snapshot.accounts:
        raise GatewayError(
            Kind.NO_ACCOUNT, "No account is connected yet. Open the dashboard and connect one, or run `omni-connector backend add`."
        )
    whole, snapshot = snapshot, serving(snapshot, wire)
    if not snapshot.accounts:
        raise nobody(wire)
    asked = (name or "").strip()
    wanted = asked or ("" if trade_of(wire) else default_model.strip()) or AUTO
    names = names_of(snapshot, family, provider_aliases, levels)
    marks = PURPOSES.get(wire, ())
    asking = Asking(key, default_provider, price, rank, marks)
    if provider:
        wanted = provider if asked.lower() in ("", AUTO) else f"{provider}/{asked}"
    found = None
    if len(wanted) <= LONGEST_NAME:
        found = names.at(provider, asked, asking) if provider else names.find(wanted, asking)
    if marks and found is not None and names.leaves_the_choice(found.requested):
        found = _made_for(marks, found)
    if marks and found is not None and found.kind in PRIORITIES and not found.tiers:
        raise _nothing_made_for(marks, wanted)
    if found is None or not found.tiers:
        if found is None and len(wanted) <= LONGEST_NAME:
            names.refuse_odd_level(wanted)
            if snapshot is not whole and names_of(whole, family, provider_aliases, levels).find(wanted, asking):
                raise elsewhere(wire, wanted)
        raise _unknown(names, wanted, key, found.note if found else "", is_default=not (asked or provider))
    fitting = names.fitting(found.tiers)
    found = replace(found, tiers=fitting) if fitting else found
    if all(key_refuses(key, wanted, candidate) for candidate in found.candidates):
        raise _forbidden(key, found)
    if not fitting:
        raise names.wrong_level(found.candidates)
    if asked or provider:
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
        raise _nothing_made_for(marks, found.requested)
    return replace(found, tiers=tuple(tier for tier in tiers if tier))


def visible_models(
    snapshot: Snapshot,
    key: ClientKey | None,
    *,
    family: Family = str.lower,
    provider_aliases: Mapping[str, str] = EMPTY,
    levels: Levels = naming.unknown,
) -> list[ModelName]:
    """What `GET /v1/models` lists for this key: auto, providers, aliases, chains, the other names that leave the model to us, then
    each model id of the enabled accounts, then `provider/level/model` for each thinking level that is known of them."""
    names = names_of(snapshot, family, provider_aliases, levels)
    listed = _plain_names(names, key)
    taken = {model.id for model in listed}
    return [*listed, *(variant for variant in _variants(names, key) if variant.id not in taken)]


def _plain_names(names: Names, key: ClientKey | None) -> list[ModelName]:
    snapshot = names.snapshot
    enabled = [account for account in snapshot.accounts if account.enabled]
    providers = dict.fromkeys(account.provider for account in enabled)
    seen: dict[str, ModelName] = {}
    for word in (AUTO, *providers, *snapshot.aliases, *snapshot.chains, *PRIORITIES, *CLAUDE_WORDS):
        found = names.find(word, Asking(key))
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


# ---------------------------------------------------------------- What is said when a name leads nowhere


def _nothing_made_for(marks: tuple[str, ...], requested: str) -> GatewayError:
    words = f"No account that '{requested}' means lists a model for this ({', '.join(marks)}). Name the model."
    return GatewayError(Kind.MODEL_NOT_FOUND, words, param="model", details={"near": []})


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
