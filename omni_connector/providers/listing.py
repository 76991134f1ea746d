"""Two questions that cost nothing: which models does the account see, and how much is left on it. Pure builders and readers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import urlencode, urlsplit

from omni_connector.errors import GatewayError, Kind
from omni_connector.providers.addresses import (
    Endpoints,
    base_url,
    check_url,
    endpoint,
    named_endpoint,
    project_of,
    region_of,
    request_headers,
)
from omni_connector.providers.provider import EMPTY, Provider
from omni_connector.snapshot import Account, Json
from omni_connector.values import dataclass

ANSWERS: Mapping[int, Kind] = {
    401: Kind.ACCOUNT_REJECTED,
    402: Kind.ACCOUNT_UNPAID,
    403: Kind.ACCOUNT_FORBIDDEN,
    408: Kind.UPSTREAM_TIMEOUT,
    429: Kind.ACCOUNT_RATE_LIMITED,
    503: Kind.UPSTREAM_OVERLOADED,
    504: Kind.UPSTREAM_TIMEOUT,
    529: Kind.UPSTREAM_OVERLOADED,
}
"""Status → what it says about the account. Anything else that is not 2xx: UPSTREAM_FAILED."""

NOT_CHAT = re.compile(
    r"embed|whisper|tts|transcri|moderation|rerank|dall-e|(^|[/-])(image|imagen|sora|veo|flux|stable-diffusion|realtime|ocr|bge|live)([-.\d]|$)"
    r"|-image(-|$)|^(davinci|babbage|ada|curie)(-|$)|prompt-guard|speech|orpheus",
    re.IGNORECASE,
)
"""Names of models that do not chat. A mistake here only moves a name to the end of the list."""


LISTED = "list"
"""What Codex says of a model that people may choose; others are its own."""
_INTERNAL = re.compile(r"tab_|chat_\d+$")
"""Keys of Antigravity's list that are parts of its editor."""


@dataclass(frozen=True, slots=True)
class ModelList:
    """`chat` in the provider's order; `other`: embeddings, speech, pictures and the like."""

    chat: tuple[str, ...]
    other: tuple[str, ...] = ()


# ---------------------------------------------------------------- Models


def models_request(provider: Provider, account: Account, endpoints: Endpoints = EMPTY) -> tuple[str, dict[str, str]]:
    """Ask this address with these headers: GET, or POST what `models_body` gives. GatewayError BAD_REQUEST as `base_url` raises it."""
    headers = request_headers(provider, account)
    if provider.models_post is not None:
        headers["content-type"] = "application/json"
    named = named_endpoint("models", provider, account, endpoints)
    if named:
        return check_url(named, "options.endpoints.models"), headers
    if not account.base_url and provider.models_urls:
        return provider.models_urls.get(region_of(provider, account)) or provider.models_urls[""], headers
    query = urlencode(_filled(provider.models_query, provider, account))
    return endpoint(provider, account, provider.models_path, endpoints) + (f"?{query}" if query else ""), headers


def models_body(provider: Provider, account: Account) -> bytes:
    """What is POSTed to the address of the model list; b"" where it is a GET. A name without its value is left out."""
    if provider.models_post is None:
        return b""
    return json.dumps(_filled(provider.models_post, provider, account)).encode()


def _filled(values: Mapping[str, Any], provider: Provider, account: Account) -> Json:
    project = project_of(provider, account) or None
    told = {name: project if value == "{project}" else value for name, value in values.items()}
    return {name: value for name, value in told.items() if value is not None}


def list_models(provider: Provider, status: int, body: Any) -> ModelList:
    """A model list's answer (parsed JSON, or None when it was none) → its names.

    Forms: {"data": [{"id"}]} (OpenAI, Anthropic), {"models": [{"name" | "id"}]} (Ollama), a bare array of those or of names
    (Together, GitHub Models), {"models": {id: {…}}} (Antigravity), {"buckets": [{"modelId"}]} (Code Assist's quotas), {"models":
    [{"slug", "visibility"}]} (Codex and ChatGPT: those that are to be listed). A vendor's entry of another type than chat ("type":
    "embedding", …) goes to `other`. A list that is known to be partial is completed with the row's `default_models`.
    GatewayError when the status is not 2xx (see ANSWERS) or the body has none of these forms.
    """
    refuse(provider, status, body)
    entries = body.get("data", body.get("models", body.get("buckets"))) if isinstance(body, dict) else body
    if isinstance(entries, dict) and entries is body.get("models"):
        entries = [name for name in entries if not _INTERNAL.match(name)]
    if entries is None and isinstance(body, dict) and provider.models_partial:
        entries = []
    if not isinstance(entries, list):
        raise GatewayError(Kind.UPSTREAM_FAILED, f"{provider.label} answered its model list in an unknown form", upstream_status=status)
    chat: dict[str, None] = {}
    other: dict[str, None] = {}
    for entry in entries:
        name = _name(entry)
        if name:
            (other if _not_chat(name, entry) else chat)[name] = None
    for name in provider.default_models if provider.models_partial else ():
        (other if _not_chat(name, name) else chat).setdefault(name)
    return ModelList(tuple(chat), tuple(other))


def parse_models(provider: Provider, status: int, body: Any) -> tuple[str, ...]:
    """All names, those that chat first: embeddings and pictures are asked for by their models' names too. See `list_models`."""
    found = list_models(provider, status, body)
    return (*found.chat, *found.other)


def _name(entry: Any) -> str:
    if isinstance(entry, dict):
        if "slug" in entry and entry.get("visibility", LISTED) != LISTED:
            return ""
        entry = entry.get("id") or entry.get("slug") or entry.get("name") or entry.get("modelId")
    return entry.removeprefix("models/") if isinstance(entry, str) else ""


def _not_chat(name: str, entry: Any) -> bool:
    kind = entry.get("type") if isinstance(entry, dict) else None
    if kind in ("embedding", "embeddings", "image", "audio", "moderation", "rerank", "transcribe", "video"):
        return True
    return bool(NOT_CHAT.search(name))


# ---------------------------------------------------------------- Balance


def balance_request(provider: Provider, account: Account, endpoints: Endpoints = EMPTY) -> tuple[str, dict[str, str]] | None:
    """GET this address with these headers; None where the provider tells no balance to a key."""
    if provider.balance is None:
        return None
    headers = request_headers(provider, account)
    named = named_endpoint("balance", provider, account, endpoints)
    if named:
        return check_url(named, "options.endpoints.balance"), headers
    host = urlsplit(base_url(provider, account, endpoints))
    return f"{host.scheme}://{host.netloc}{provider.balance.path}", headers


def parse_balance(provider: Provider, account: Account, status: int, body: Any) -> Json | None:
    """→ {"amount": "12.30", "currency": "USD", "usable": true | false | null, "items": [{"amount", "currency"}, …]}, the first
    item on top; None where the answer does not say (unknown is not 0). Raises GatewayError for an answer that is not 2xx."""
    spec = provider.balance
    if spec is None:
        return None
    refuse(provider, status, body)
    default = spec.currencies.get(region_of(provider, account), spec.currency)
    found: Iterable[Any] = _at(body, spec.items) or () if spec.items else (body,)
    items = []
    for entry in found if isinstance(found, list | tuple) else ():
        amount = _decimal(_at(entry, spec.amount))
        spent = _decimal(_at(entry, spec.minus)) if spec.minus else Decimal(0)
        currency = _at(entry, default[1:]) if default.startswith(".") else default
        if amount is not None and spent is not None and isinstance(currency, str):
            items.append({"amount": f"{amount - spent:f}", "currency": currency})
    if not items:
        return None
    usable = _at(body, spec.usable) if spec.usable else None
    return {**items[0], "usable": usable if isinstance(usable, bool) else None, "items": items}


def _at(value: Any, path: str) -> Any:
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _decimal(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


# ---------------------------------------------------------------- Refusals


def refuse(provider: Provider, status: int, body: Any) -> None:
    """Raises the GatewayError that a status other than 2xx stands for; the provider's own words are part of the message."""
    if 200 <= status < 300:
        return
    said = _said(body)
    message = f"{provider.label} answered {status}" + (f": {said}" if said else "")
    raise GatewayError(ANSWERS.get(status, Kind.UPSTREAM_FAILED), message, upstream_status=status, scope="account")


def _said(body: Any) -> str:
    """The sentence in an error body of whatever shape, at most 300 characters."""
    for path in ("error.message", "message", "detail", "error", "msg"):
        said = _at(body, path)
        if isinstance(said, str) and said:
            return said[:300]
    return ""
