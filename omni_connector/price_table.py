"""The price data of genai-prices as a compact file, so that a server needs neither that library nor its pydantic.

The library takes 70 ms of every start and 13 MB for good. The first server of a home lets another process write what is needed of
it to `cache/prices-FORMAT-VERSION.json` (0.4 MB); from then on only that file is read, and of it only the provider asked for.
What is found has the attributes of the library's own ModelInfo as far as `usage.py` reads them, so either may serve.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

FORMAT = 1
"""Of the file. Another one is another file's name, so an older release beside this one keeps its own."""
MADE_WITHIN_S = 60.0
LITELLM = "litellm"
"""A price id that leaves it to the model's name whose prices count."""
PRICES = (
    "input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok", "cache_write_1h_mtok", "output_reasoning_mtok",
    "web_searches_kcount", "requests_kcount",
)  # fmt: skip
"""The library's names of the prices that a chat answer is billed by."""
CLAUSES = {
    "ClauseEquals": "equals",
    "ClauseStartsWith": "starts_with",
    "ClauseEndsWith": "ends_with",
    "ClauseContains": "contains",
    "ClauseRegex": "regex",
    "ClauseOr": "or_",
    "ClauseAnd": "and_",
}
"""The library's class → its one attribute, which is also the clause's name here."""
_DATED = re.compile(r"-(20\d{2})(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=-|:|$)")

Clause = tuple[str, Any]


class NotMade(Exception):
    """The file cannot be made or read. Says why in a word."""


class Tier(msgspec.Struct, array_like=True, frozen=True):
    """Above `start` tokens of prompt everything costs `price`."""

    start: int
    price: Decimal


class Tiered(msgspec.Struct, array_like=True, frozen=True):
    base: Decimal
    tiers: tuple[Tier, ...]


class Prices(msgspec.Struct, omit_defaults=True, frozen=True):
    """Dollars per million or thousand, as the names say. None: not priced on its own."""

    input_mtok: Decimal | Tiered | None = None
    output_mtok: Decimal | Tiered | None = None
    cache_read_mtok: Decimal | Tiered | None = None
    cache_write_mtok: Decimal | Tiered | None = None
    cache_write_1h_mtok: Decimal | Tiered | None = None
    output_reasoning_mtok: Decimal | Tiered | None = None
    web_searches_kcount: Decimal | Tiered | None = None
    requests_kcount: Decimal | Tiered | None = None


class Constraint(msgspec.Struct, array_like=True, frozen=True):
    """When a price holds, UTC: from a day on, or each day between two times, which may lie on both sides of midnight."""

    day: date | None
    start: time | None = None
    end: time | None = None

    def active(self, moment: datetime) -> bool:
        at = moment.astimezone(UTC)
        if self.day is not None:
            return at.date() >= self.day
        assert self.start is not None and self.end is not None
        now = at.time()
        if self.end < self.start:
            return now >= self.start or now < self.end
        return self.start <= now < self.end


class Conditional(msgspec.Struct, array_like=True, frozen=True):
    constraint: Constraint | None
    prices: Prices
    when: dict[str, str] = {}
    """Of a variant: what must be asked for."""


class Model(msgspec.Struct, array_like=True, frozen=True):
    """One model of a provider, by the library's names."""

    match: Clause
    context_window: int | None
    prices: Prices | tuple[Conditional, ...]
    price_variants: tuple[Conditional, ...]

    def get_prices(self, moment: datetime, context: Mapping[str, str] | None = None) -> Prices:
        """Those that hold then. Of several the last active one counts, of variants the first that names a price."""
        standard = self._standard(moment)
        if not context:
            return standard
        found: dict[str, Any] = {}
        for variant in self.price_variants:
            fits = all(context.get(key) == value for key, value in variant.when.items())
            if fits and (variant.constraint is None or variant.constraint.active(moment)):
                for name in PRICES:
                    if (price := getattr(variant.prices, name)) is not None:
                        found.setdefault(name, price)
        return msgspec.structs.replace(standard, **found)

    def _standard(self, moment: datetime) -> Prices:
        if isinstance(self.prices, Prices):
            return self.prices
        active = (one for one in reversed(self.prices) if one.constraint is None or one.constraint.active(moment))
        return next(active, self.prices[0]).prices


class Provider(msgspec.Struct, array_like=True, frozen=True):
    id: str
    match: Clause | None
    model_match: Clause | None
    fallbacks: tuple[str, ...]
    models: msgspec.Raw
    """Undecoded: most providers are never asked for."""


class Table:
    """The file, opened. `find` is a millisecond: callers keep what it says."""

    def __init__(self, content: bytes) -> None:
        """Raises NotMade when it is damaged."""
        try:
            self._providers = msgspec.json.decode(content, type=tuple[Provider, ...])
        except msgspec.DecodeError as error:
            raise NotMade(f"damaged: {error}") from error

    @cached_property
    def _decoder(self) -> msgspec.json.Decoder[tuple[Model, ...]]:
        return msgspec.json.Decoder(tuple[Model, ...])

    def find(self, price_id: str, model: str) -> Model | None:
        """What genai-prices' `find_provider_model(model, None, price_id, None)` finds."""
        name = model.lower()
        provider = self._provider(price_id)
        if price_id.lower() == LITELLM:
            of, _, rest = name.partition("/")
            if of and rest and (named := self._provider(of)) is not None:
                provider, name = named, rest
            elif provider is None:
                provider = next((one for one in self._providers if one.model_match is not None and fits(one.model_match, name)), None)
        if provider is None:
            return None
        # Dates without dashes ("gpt-5.2-20251211") are tried as they stand, then as the data writes them.
        tried = dict.fromkeys((name, _DATED.sub(_dashed, name)))
        return next((found for one in tried if (found := self._match(provider, one)) is not None), None)

    def _provider(self, price_id: str) -> Provider | None:
        name = price_id.lower().strip()
        same = (one for one in self._providers if one.id == name)
        named = (one for one in self._providers if one.match is not None and fits(one.match, name))
        return next(same, None) or next(named, None)

    def _match(self, provider: Provider, name: str) -> Model | None:
        others = (one for other in provider.fallbacks for one in self._providers if one.id == other)
        for one in (provider, *others):
            for model in self._decoder.decode(one.models):
                if fits(model.match, name):
                    return model
        return None


def fits(clause: Clause, name: str) -> bool:
    """Whether a clause matches a name in small letters."""
    kind, said = clause
    if kind == "equals":
        return bool(name == said)
    if kind == "or_":
        return any(fits(one, name) for one in said)
    if kind == "and_":
        return all(fits(one, name) for one in said)
    if kind == "contains":
        return said in name
    if kind == "regex":
        return re.search(said, name) is not None
    return name.startswith(said) if kind == "starts_with" else name.endswith(said)


def _dashed(found: re.Match[str]) -> str:
    year, month, day = (int(part) for part in found.groups())
    try:
        return f"-{date(year, month, day):%Y-%m-%d}"
    except ValueError:
        return found[0]


# ---------------------------------------------------------------- The file


def opened(home: Path, version: str) -> Table:
    """The table of that version of genai-prices, made first where it is missing or damaged. Raises NotMade."""
    path = home / "cache" / f"prices-{FORMAT}-{version}.json"
    with contextlib.suppress(OSError, NotMade):  # not there, or damaged: made (anew)
        return Table(path.read_bytes())
    try:
        command = [sys.executable, "-m", __spec__.name, str(path)]
        done = subprocess.run(  # noqa: S603 - our own program
            command, check=False, capture_output=True, text=True, timeout=MADE_WITHIN_S, cwd=Path(__file__).parents[1]
        )
        if done.returncode:
            raise NotMade(done.stderr.strip().rpartition("\n")[2])
        return Table(path.read_bytes())
    except (OSError, subprocess.SubprocessError) as error:
        raise NotMade(str(error)) from error


def write(path: Path) -> None:
    """Makes the file from the library that is installed here, whole or not at all, and removes those of other versions."""
    from genai_prices.data_snapshot import get_snapshot

    content = msgspec.json.encode([_provider_of(one) for one in get_snapshot().providers])
    path.parent.mkdir(mode=0o700, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    for other in path.parent.glob(f"prices-{FORMAT}-*.json"):
        if other != path:
            other.unlink(missing_ok=True)


def _provider_of(one: Any) -> tuple[Any, ...]:
    matches = (None if each is None else _clause_of(each) for each in (one.provider_match, one.model_match))
    return one.id, *matches, one.fallback_model_providers or (), [_model_of(model) for model in one.models]


def _model_of(one: Any) -> tuple[Any, ...]:
    prices = [_conditional_of(each) for each in one.prices] if isinstance(one.prices, list) else _prices_of(one.prices)
    return _clause_of(one.match), one.context_window, prices, [(*_conditional_of(each), each.when) for each in one.price_variants or ()]


def _conditional_of(one: Any) -> tuple[Any, Any]:
    return None if one.constraint is None else tuple(_constraint_of(one.constraint)), _prices_of(one.prices)


def _constraint_of(one: Any) -> Iterator[Any]:
    kind = type(one).__name__
    if kind == "StartDateConstraint":
        yield one.start_date
    elif kind == "TimeOfDateConstraint":
        yield None
        for each in (one.start_time, one.end_time):
            yield each if each.tzinfo is None else datetime.combine(date(1970, 1, 1), each).astimezone(UTC).time()
    else:
        raise NotMade(f"a constraint of an unknown kind: {kind}")


def _clause_of(one: Any) -> Clause:
    name = CLAUSES.get(type(one).__name__)
    if name is None:
        raise NotMade(f"a clause of an unknown kind: {type(one).__name__}")
    said = getattr(one, name)
    if name in ("or_", "and_"):
        return name, [_clause_of(each) for each in said]
    return name, said if name == "regex" else said.lower()


def _prices_of(one: Any) -> Mapping[str, Any]:
    return {name: _price_of(price) for name in PRICES if (price := getattr(one, name)) is not None}


def _price_of(price: Any) -> str | Sequence[Any]:
    if isinstance(price, Decimal):
        return str(price)
    return str(price.base), [(tier.start, str(tier.price)) for tier in price.tiers]


if __name__ == "__main__":
    write(Path(sys.argv[1]))
