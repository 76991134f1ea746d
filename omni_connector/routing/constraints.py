"""What a client asks of the route by header, for one request: who may serve it, what it may cost, what counts most.

Pure reading, the same for every client format; none of these headers is passed on to a provider.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import field
from decimal import Decimal
from fnmatch import fnmatchcase
from urllib.parse import unquote

from omni_connector.errors import GatewayError, bad_request
from omni_connector.routing.candidates import Candidate
from omni_connector.routing.policies import POLICIES
from omni_connector.routing.spelling import Family, bare, stands_for
from omni_connector.snapshot import EMPTY
from omni_connector.values import dataclass

ONLY, IGNORE, MAX_PRICE, SORT = "x-omni-only", "x-omni-ignore", "x-omni-max-price", "x-omni-sort"
HEADERS = (ONLY, IGNORE, MAX_PRICE, SORT)
NAMED = frozenset(HEADERS)

SORTS: Mapping[str, str] = {"price": "cost", "latency": "performance", "throughput": "performance"}
"""What may be said besides a policy's own name → the policy that does it."""

MOST_NAMES = 100
_NAMES_FIX = "Give labels, providers, prefixes, account ids or provider/model, separated by commas."
_DOLLARS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,12})?|\.[0-9]{1,12}")


@dataclass(frozen=True, slots=True)
class Constraints:
    """The headers of one request. `only`: () is everybody. `max_price`: dollars for this request."""

    only: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    max_price: Decimal | None = None
    sort: str = ""
    """A policy's name, "" when the header is absent."""
    family: Family = field(default=str.lower, repr=False, compare=False)
    provider_aliases: Mapping[str, str] = field(default_factory=lambda: EMPTY, repr=False, compare=False)

    def refuses(self, candidate: Candidate, price: Decimal | None) -> str | None:
        """Why the candidate is left out; None: it may serve. `price`: dollars for this request there, None: unknown."""
        if self.only and not any(self._means(entry, candidate) for entry in self.only):
            return f"not named by {ONLY}"
        ignored = next((entry for entry in self.ignore if self._means(entry, candidate)), None)
        if ignored is not None:
            return f"{IGNORE} names {ignored}"
        if self.max_price is None:
            return None
        if price is None:
            return f"price unknown, and {MAX_PRICE} is ${self.max_price:f}"
        return f"price ${price:f} for this request, and {MAX_PRICE} is ${self.max_price:f}" if price > self.max_price else None

    def policy(self, default: str) -> str:
        """The strategy that orders this request's candidates."""
        return self.sort or default

    def unmet(self, requested: str, reasons: Iterable[str]) -> GatewayError:
        """The error when these headers alone leave nobody: the caller's, since waiting would not help. `reasons`: what `refuses`
        said of each candidate."""
        sent = [name for name, value in ((ONLY, self.only), (IGNORE, self.ignore), (MAX_PRICE, self.max_price is not None)) if value]
        why = "; ".join(dict.fromkeys(reasons))
        message = f"No connected account may serve '{requested}' by {' and '.join(sent)}: {why}. Change the header or leave it out."
        return bad_request(message, sent[0] if sent else None)

    def _means(self, entry: str, candidate: Candidate) -> bool:
        account, word = candidate.account, entry.lower()
        if self.provider_aliases.get(word, word) == account.provider:
            return True
        others = (alias for alias, provider in self.provider_aliases.items() if provider == account.provider)
        heads = [head for head in (account.provider, account.label, account.prefix.strip("/"), account.id, "*", *others) if head]
        return any(
            word == head.lower()
            or (word.startswith((f"{head}/".lower(), f"{head}:".lower())) and self._means_model(entry[len(head) + 1 :], candidate))
            for head in heads
        )

    def _means_model(self, wanted: str, candidate: Candidate) -> bool:
        """By its id, a pattern of it, another spelling, or a name that the account maps to it."""
        wanted = bare(wanted)
        mapped = (name for name, upstream in candidate.account.model_map.items() if upstream == candidate.model)
        return any(
            fnmatchcase(name.lower(), wanted.lower())
            or (self.family(name).lower() == self.family(wanted).lower() and stands_for(wanted, name))
            for name in (candidate.model, *mapped)
        )


NONE = Constraints()
"""A request without such headers."""


def parse(headers: Mapping[str, str], *, family: Family = str.lower, provider_aliases: Mapping[str, str] = EMPTY) -> Constraints:
    """Constraints of a request's headers (names in any case). `provider_aliases`: other word → provider id.

    Raises GatewayError BAD_REQUEST that names the header, the reason and the fix.
    """
    sent = {name: value.strip() for key, value in headers.items() if (name := key.lower()) in HEADERS}
    if not sent:
        return NONE
    only, ignore = _names(sent, ONLY), _names(sent, IGNORE)
    return Constraints(only, ignore, _dollars(sent.get(MAX_PRICE)), _sort(sent.get(SORT)), family, provider_aliases)


def _names(sent: Mapping[str, str], header: str) -> tuple[str, ...]:
    value = sent.get(header)
    if value is None:
        return ()
    names = tuple(dict.fromkeys(name for part in _text(value).split(",") if (name := unquote(part.strip()))))
    if not names:
        raise bad_request(f"{header} names nobody. {_NAMES_FIX}", header)
    if len(names) > MOST_NAMES:
        raise bad_request(f"{header} holds {len(names)} names, but at most {MOST_NAMES} are read. {_NAMES_FIX}", header)
    return names


def _text(value: str) -> str:
    """A header is read as Latin-1 (RFC 9110); what programs send beyond ASCII is UTF-8."""
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return value


def _dollars(value: str | None) -> Decimal | None:
    if value is None:
        return None
    if not _DOLLARS.fullmatch(value):
        raise bad_request(f"{MAX_PRICE} '{value[:40]}' is no amount. Give dollars for this request, for example 0.05.", MAX_PRICE)
    return Decimal(value)


def _sort(value: str | None) -> str:
    if value is None:
        return ""
    wanted = value.lower()
    policy = SORTS.get(wanted, wanted)
    if policy not in POLICIES:
        raise bad_request(f"{SORT} '{value[:40]}' is unknown. Choose one of: {', '.join([*SORTS, *POLICIES])}.", SORT)
    return policy
