"""What the admin API accepts: one Struct a body, read by one function whose errors name the field, the reason and the fix.

Unset fields of a patch stay as they are; `null` clears what can be cleared.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit
from zoneinfo import available_timezones

import msgspec
from msgspec import UNSET, Struct, UnsetType

from omni_connector.errors import GatewayError, bad_request

Json = dict[str, Any]
T = TypeVar("T", bound=Struct)
Auth = Literal["api_key", "oauth", "cli", "none"]

PERIODS = ("day", "week", "month", "total")
MODES = ("hard", "soft")
NO_ZONES = frozenset({"localtime", "Factory", "posixrules"})
"""Names in the database of time zones that are none: each machine means another time by them."""
PROXY_SCHEMES = ("http", "https", "socks5", "socks5h")
MAX_LABEL = 64
MAX_KEY = 16_384
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""Also what turns the direction of text round: it makes one label look like another."""
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
_AT = re.compile(r"^(?P<what>.*?)(?: - at `\$\.?(?P<where>.*)`)?$", re.DOTALL)
# msgspec's words for JSON types → words a person uses.
_TYPE_WORDS = {"str": "text", "int": "a whole number", "bool": "true or false", "array": "a list", "object": "an object", "null": "null"}


class NewAccount(Struct, forbid_unknown_fields=True, kw_only=True):
    """CONTRACT.md §5 "Account body (create)", and `discover`: whether to ask the provider for its models at once."""

    provider: str
    label: str = ""
    auth: Auth | None = None
    api_key: str = ""
    base_url: str = ""
    models: list[str] = []
    prefix: str = ""
    model_map: dict[str, str] = {}
    enabled: bool = True
    priority: int = 0
    weight: int = 1
    max_in_flight: int | None = None
    rpm: int | None = None
    tpm: int | None = None
    budget: Json | None = None
    headers: dict[str, str] = {}
    proxy_url: str = ""
    options: Json = {}
    discover: bool = True


class TriedAccount(NewAccount, forbid_unknown_fields=True, kw_only=True):
    """An account that is tested before it is stored. `id`: of the one that it will change, which keeps the masked values of its
    `options.command.set`."""

    id: str = ""


class AccountPatch(Struct, forbid_unknown_fields=True, kw_only=True):
    label: str | UnsetType = UNSET
    api_key: str | UnsetType = UNSET
    base_url: str | UnsetType | None = UNSET
    models: list[str] | UnsetType | None = UNSET
    prefix: str | UnsetType | None = UNSET
    model_map: dict[str, str] | UnsetType | None = UNSET
    enabled: bool | UnsetType = UNSET
    priority: int | UnsetType = UNSET
    weight: int | UnsetType = UNSET
    max_in_flight: int | UnsetType | None = UNSET
    rpm: int | UnsetType | None = UNSET
    tpm: int | UnsetType | None = UNSET
    budget: Json | UnsetType | None = UNSET
    headers: dict[str, str] | UnsetType | None = UNSET
    proxy_url: str | UnsetType | None = UNSET
    options: Json | UnsetType | None = UNSET
    balance: Json | UnsetType | None = UNSET
    discover: bool = True


class ProviderPatch(Struct, forbid_unknown_fields=True, kw_only=True):
    """PATCH /api/providers/{type}: what holds for all accounts of the provider."""

    enabled: bool | UnsetType = UNSET
    base_url: str | UnsetType | None = UNSET
    model_map: dict[str, str] | UnsetType | None = UNSET
    name: str | UnsetType | None = UNSET


class NewKey(Struct, forbid_unknown_fields=True, kw_only=True):
    """CONTRACT.md §5 "Key body". `expires_at`: milliseconds, a date, or a span such as "30d"."""

    name: str = ""
    expires_at: int | str | None = None
    models: list[str] | None = None
    providers: list[str] | None = None
    rpm: int | None = None
    tpm: int | None = None
    max_in_flight: int | None = None
    budget: Json | None = None


class KeyPatch(Struct, forbid_unknown_fields=True, kw_only=True):
    name: str | UnsetType = UNSET
    expires_at: int | str | UnsetType | None = UNSET
    models: list[str] | UnsetType | None = UNSET
    providers: list[str] | UnsetType | None = UNSET
    rpm: int | UnsetType | None = UNSET
    tpm: int | UnsetType | None = UNSET
    max_in_flight: int | UnsetType | None = UNSET
    budget: Json | UnsetType | None = UNSET


class Filters(Struct, forbid_unknown_fields=True, kw_only=True):
    """Which requests. `account` and `key` take an id or a name, `status` ok | failed | open | an HTTP code."""

    protocol: str | None = None
    provider: str | None = None
    model: str | None = None
    account: str | None = None
    key: str | None = None
    status: str | None = None
    flag: str | None = None
    client: str | None = None
    text: str | None = None


class RequestFilters(Filters, forbid_unknown_fields=True, kw_only=True):
    """Query of GET /api/requests. `limit`: 50 where nothing is said, and all of them in a file."""

    format: Literal["json", "csv", "jsonl"] = "json"
    limit: int | None = None
    before: str | None = None


class Followed(Filters, forbid_unknown_fields=True, kw_only=True):
    """Query of GET /api/requests/tail. `lines`: how many of the last ones come first."""

    lines: int | None = None


class UsageQuery(Struct, forbid_unknown_fields=True, kw_only=True):
    format: Literal["json", "csv"] = "json"
    group: str = "account"
    bucket: Literal["hour", "day"] | None = None
    zone: str | None = None
    from_: str | None = msgspec.field(default=None, name="from")
    to: str | None = None


@cache
def _names(kind: type[Struct]) -> frozenset[str]:
    """Kept, because asking msgspec costs more than all the rest of reading a body."""
    return frozenset(field.encode_name for field in msgspec.structs.fields(kind))


def read(body: object, kind: type[T]) -> T:
    """JSON object → the Struct `kind`. Raises BAD_REQUEST with `param` = the field."""
    if not isinstance(body, Mapping):
        raise bad_request("The body must be a JSON object.")
    fields = _names(kind)
    for name in body:
        if name not in fields:
            raise bad_request(
                f"There is no field {name!r} here{did_you_mean(str(name), fields)}. Fields: {', '.join(sorted(fields))}.", str(name)
            )
    storable(body)
    try:
        return msgspec.convert(dict(body), kind)
    except msgspec.ValidationError as error:
        raise _explained(str(error)) from None


def read_query(query: Mapping[str, str], kind: type[T]) -> T:
    """Like `read`, for query parameters: every value is text, an empty one counts as absent."""
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    given: Json = {}
    for name, value in query.items():
        if name not in fields:
            raise bad_request(f"There is no filter {name!r}{did_you_mean(name, fields)}. Filters: {', '.join(sorted(fields))}.", name)
        if value != "":
            given[name] = value
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        raise _explained(str(error)) from None


def storable(body: object) -> None:
    """Refuses what no database or JSON answer can hold: half an emoji, bottomless nesting."""
    try:
        msgspec.json.encode(body)
    except UnicodeEncodeError:
        raise bad_request("The body holds half of a surrogate pair, which is not text.") from None
    except RecursionError:
        raise bad_request("The body is nested too deeply.") from None


def _explained(text: str) -> GatewayError:
    """msgspec says "Expected `str`, got `int` - at `$.label`"; people are told "label: expected text, got a whole number."."""
    parts = _AT.match(text)
    what, where = (parts["what"], parts["where"]) if parts else (text, None)
    missing = re.fullmatch(r"Object missing required field `(\w+)`", what)
    if missing:
        return bad_request(f"The field {missing[1]!r} is missing.", missing[1])
    said = re.sub(r"`([^`]*)`", lambda hit: " or ".join(_TYPE_WORDS.get(w.strip(), w.strip()) for w in hit[1].split("|")), what)
    said = said[:1].lower() + said[1:]
    return bad_request(f"{where}: {said}." if where else f"{said}.", where)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`: did you mean "x" or "y"?` or nothing, to be put behind a message about an unknown name."""
    near = difflib.get_close_matches(name.lower(), list(known), n=3, cutoff=0.6)
    return f" (did you mean {' or '.join(repr(n) for n in near)}?)" if near else ""


# ---------------------------------------------------------------- Values


def label(text: str) -> str:
    """A label or prefix-free name: it stands before "/" in model names and in a response header."""
    clean = text.strip()
    if not clean or len(clean) > MAX_LABEL:
        raise bad_request(f"label: give 1 to {MAX_LABEL} characters.", "label")
    if "/" in clean or _CONTROL.search(clean):
        raise bad_request('label: "/" and control characters are not allowed, because "label/model" names a model.', "label")
    return clean


def prefix(text: str) -> str:
    clean = text.strip().strip("/")
    if len(clean) > MAX_LABEL or "/" in clean or _CONTROL.search(clean):
        raise bad_request(f'prefix: up to {MAX_LABEL} characters, without "/" (it is added between prefix and model).', "prefix")
    return clean


def shown_name(text: str) -> str:
    """A name that is only shown; "" for none."""
    clean = text.strip()
    if len(clean) > MAX_LABEL or _CONTROL.search(clean):
        raise bad_request(f"name: up to {MAX_LABEL} characters without control characters.", "name")
    return clean


def api_key(text: str) -> str:
    """A key without the white space that pasting adds. Refused only when no HTTP header could carry it."""
    clean = text.strip()
    if len(clean) > MAX_KEY:
        raise bad_request(f"api_key: longer than {MAX_KEY} characters.", "api_key")
    if _CONTROL.search(clean) or not clean.isascii():
        raise bad_request(
            "api_key: it holds a line break or a non-ASCII character, which no HTTP header can carry. Copy the key again.", "api_key"
        )
    return clean


def names(values: Iterable[str] | None, param: str) -> tuple[str, ...]:
    """A list of model or provider names: trimmed, without doubles, order kept."""
    clean = [value.strip() for value in values or ()]
    if any(not value or len(value) > 256 or _CONTROL.search(value) for value in clean):
        raise bad_request(f"{param}: every entry needs 1 to 256 characters without control characters.", param)
    return tuple(dict.fromkeys(clean))


def headers(values: Mapping[str, str] | None) -> dict[str, str]:
    for name, value in (values or {}).items():
        if not _HEADER_NAME.fullmatch(name):
            raise bad_request(f"headers: {name!r} is not a header name.", "headers")
        if _CONTROL.search(value) or not value.isascii():
            raise bad_request(f"headers: the value of {name!r} holds a line break or a non-ASCII character.", "headers")
    return dict(values or {})


def proxy_url(text: str | None) -> str:
    clean = (text or "").strip()
    if not clean:
        return ""
    try:
        parts = urlsplit(clean)
        good = parts.scheme in PROXY_SCHEMES and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        good = False
    if not good:
        raise bad_request("proxy_url: write scheme://[user:password@]host:port with http, https, socks5 or socks5h.", "proxy_url")
    return clean


def at_least(value: int | None, least: int, param: str, most: int = 2**31 - 1) -> int | None:
    if value is not None and not least <= value <= most:
        raise bad_request(f"{param}: a whole number from {least} to {most}, not {value}.", param)
    return value


BUDGET_FIELDS = ("amount", "period", "zone", "mode")
SHOWN_WITH_BUDGETS = ("spent_usd", "held_usd", "resets_at")
"""What the answers add; whoever sends a budget back as it was read means no change of these."""


def budget(value: Mapping[str, Any] | None) -> Json | None:
    """{"amount": dollars, "period", "zone", "mode"} → the same with the amount as exact decimal text; a zone or a mode that is not
    said, or null, is left out. `null`: no budget."""
    if value is None:
        return None
    for name in value:
        if name not in (*BUDGET_FIELDS, *SHOWN_WITH_BUDGETS):
            raise bad_request(f"budget: there is no field {name!r}{did_you_mean(str(name), BUDGET_FIELDS)}.", "budget")
    period, mode = value.get("period", "month"), value.get("mode")
    if period not in PERIODS:
        raise bad_request(f"budget.period: one of {', '.join(PERIODS)}, not {period!r}.", "budget.period")
    if mode is not None and mode not in MODES:
        raise bad_request(f"budget.mode: hard (refuses) or soft (only tells), not {mode!r}.", "budget.mode")
    amount = value.get("amount")
    exact = exact_decimal(amount)
    if exact is None or not 0 <= exact <= 1_000_000_000:
        raise bad_request(f"budget.amount: dollars from 0 to 1000000000, not {amount!r}.", "budget.amount")
    said = {"zone": zone_name(value.get("zone"), "budget.zone"), "mode": mode}
    return {"amount": f"{exact:f}", "period": period} | {name: word for name, word in said.items() if word is not None}


def zone_name(name: object, param: str) -> str | None:
    """The IANA name in its own spelling; None where none is said. Never "local" and its like: processes on several machines have to
    mean the same midnight."""
    if name is None:
        return None
    known = _zones()
    found = known.get(name.strip().lower()) if isinstance(name, str) else None
    if found is None:
        near = difflib.get_close_matches(str(name).lower(), known, n=3, cutoff=0.6)
        hint = f" (did you mean {' or '.join(repr(known[low]) for low in near)}?)" if near else ""
        raise bad_request(f"{param}: an IANA time zone such as Europe/Berlin or UTC, not {name!r}{hint}.", param)
    return found


@cache
def _zones() -> Mapping[str, str]:
    """Lower case → the name. Kept, because hundreds of files are looked at."""
    return {name.lower(): name for name in sorted({*available_timezones(), "UTC"} - NO_ZONES)}


def balance(value: Mapping[str, Any] | None) -> Json | None:
    """{"amount", "currency"} that the owner knows and his provider does not tell → the same, exact, marked "manual". `null`: none."""
    if value is None:
        return None
    for name in value:
        if name not in ("amount", "currency"):
            raise bad_request(f"balance: there is no field {name!r}{did_you_mean(str(name), ('amount', 'currency'))}.", "balance")
    amount, currency = value.get("amount"), value.get("currency", "USD")
    if not isinstance(currency, str) or not re.fullmatch(r"[A-Za-z]{1,12}", currency.strip()):
        raise bad_request("balance.currency: a currency's letters, such as USD or CNY.", "balance.currency")
    exact = exact_decimal(amount)
    if exact is None or abs(exact) > 1_000_000_000:
        raise bad_request(f"balance.amount: a number up to 1000000000, not {amount!r}.", "balance.amount")
    return {"amount": f"{exact:f}", "currency": currency.strip().upper(), "manual": True}


def exact_decimal(value: object) -> Decimal | None:
    """A number, or its text, to the last digit; None for anything else."""
    # str() first: a JSON number 0.1 shall mean ten cents, not the nearest binary fraction.
    try:
        exact = Decimal(str(value)) if isinstance(value, str | int | float) and not isinstance(value, bool) else Decimal("NaN")
    except InvalidOperation:
        return None
    return exact if exact.is_finite() else None
