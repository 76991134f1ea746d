"""Where a request goes and what stands in its headers. Pure: no I/O but `load_endpoints`, which reads one small file."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from omni_connector import __version__, tokens
from omni_connector.errors import GatewayError, Kind, bad_request
from omni_connector.providers.provider import EMPTY, Provider
from omni_connector.snapshot import Account

USER_AGENT = f"omni-connector/{__version__}"
ANTHROPIC_VERSION = "2023-06-01"

Endpoints = Mapping[str, Mapping[str, str]]
"""Provider id → name ("inference", "models", "balance", …) → URL: the content of OMNI_ENDPOINTS_FILE."""

CALLS = (
    "/chat/completions",
    "/completions",
    "/responses",
    "/messages/count_tokens",
    "/messages",
    "/embeddings",
    "/models",
    "/v1internal",
    "/generateAssistantResponse",
)
"""What people paste behind a base URL; taken off again."""

PASSED_ON: frozenset[str] = frozenset({"anthropic-version", "anthropic-beta", "x-claude-code-session-id", "session-id", "thread-id"})
"""A client's headers that may reach an upstream of the same wire format. Everything else stays here: credentials, cookies,
forwarding headers, and the organisation headers of OpenAI, which belong to the account."""

FRAMING: frozenset[str] = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "keep-alive", "upgrade", "te", "trailer", "expect"}
)
"""Headers the transport writes; an account's own headers may not."""

_VERSION = re.compile(r"/v\d+[a-z0-9]*$")
_PLAIN = re.compile(r"[\w.:-]{1,100}\Z", re.ASCII)
_UNPRINTABLE = re.compile(r"[\s\x00-\x1f\x7f]")


# ---------------------------------------------------------------- Base URLs


def normalise_base_url(text: str, provider: Provider, wire: str = "") -> str:
    """What a user typed → a base URL with its version and without a trailing slash.

    "http://host:8000", ".../", ".../v1" and ".../v1/chat/completions" become "http://host:8000/v1"; a host of the provider's
    own gets the path of its row; a path without a version stays as it is, but for the Anthropic format, whose SDKs leave "/v1"
    to the client. GatewayError BAD_REQUEST (param "base_url") on anything that cannot be a base URL.
    """
    if provider.command:
        raise bad_request(f"base_url: {provider.label} is a program of this machine and has no address; leave base_url empty", "base_url")
    return _normalised(text, provider.id, wire or provider.wire, tuple(dict.fromkeys((provider.base_url, *provider.regions.values()))))


@lru_cache(maxsize=1024)
def _normalised(text: str, provider_id: str, wire: str, own: tuple[str, ...]) -> str:
    if provider_id == "demo":
        raise bad_request("base_url: the demo provider is built in and has no address; leave base_url empty", "base_url")
    url = check_url(text, "base_url")
    path = urlsplit(url).path
    for call in CALLS:
        if path.endswith(call):
            url, path = url[: -len(call)], path[: -len(call)]
            break
    if not path:
        if wire in ("code-assist", "kiro", "aliyun-ocr"):  # the version stands in every call
            return url
        version = "v1beta" if wire == "gemini-generate" else "v1"
        return next((row for row in own if row.startswith(f"{url}/")), f"{url}/{version}")
    if wire == "anthropic-messages" and not _VERSION.search(path):
        return f"{url}/v1"
    return url


def check_url(text: str, param: str) -> str:
    """An http(s) URL without credentials, query, fragment, blanks and trailing slashes; GatewayError BAD_REQUEST naming `param`."""
    url = text.strip()
    if _UNPRINTABLE.search(url) or "\\" in url:
        raise bad_request(f"{param}: {url!r} contains blanks or control characters; give one URL", param)
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise bad_request(f"{param}: {url!r} is not a URL ({error}); write it like https://host/v1", param) from error
    if parts.scheme.lower() not in ("http", "https"):
        raise bad_request(f"{param}: {url!r} must start with http:// or https://", param)
    if parts.username is not None or parts.password is not None:
        raise bad_request(f"{param}: leave credentials out of the URL; put the key into the account", param)
    if not host or port == 0:
        raise bad_request(f"{param}: {url!r} names no host; write it like https://host/v1", param)
    if parts.query or parts.fragment:
        raise bad_request(f"{param}: leave out everything from '?' or '#' on", param)
    return f"{parts.scheme.lower()}://{parts.netloc.lower()}{parts.path}".rstrip("/")


def base_url(provider: Provider, account: Account, endpoints: Endpoints = EMPTY) -> str:
    """The address calls of this account go below: account.base_url, else its options.endpoints.inference, else the server's
    endpoints file, else the region of the row. GatewayError BAD_REQUEST when there is none (custom providers) or it is unknown."""
    if account.base_url:
        return normalise_base_url(account.base_url, provider, account.wire)
    named = named_endpoint("inference", provider, account, endpoints)
    if named:
        return check_url(named, "options.endpoints.inference")
    face = provider.faces.get(account.wire) if account.wire and account.wire != provider.wire else None
    urls = face.urls if face else provider.regions or {"": provider.base_url}
    region = region_of(provider, account)
    url = urls.get(region) or urls.get("")
    if not url:
        hint = f"one of {', '.join(urls)}" if any(urls) else "a base_url"
        raise bad_request(f"account {account.label!r}: {provider.label} has no address for region {region!r}; set {hint}", "base_url")
    return url


def region_of(provider: Provider, account: Account) -> str:
    """options.region, else the first region of the row, else ""."""
    chosen = account.options.get("region")
    return chosen if isinstance(chosen, str) and chosen else next(iter(provider.regions), "")


def named_endpoint(name: str, provider: Provider, account: Account, endpoints: Endpoints) -> str:
    """An address replaced by the account (options.endpoints) or by the server (endpoints file); "" when neither did."""
    own = account.options.get("endpoints")
    value = own.get(name) if isinstance(own, Mapping) else None
    return value if isinstance(value, str) and value else endpoints.get(provider.id, EMPTY).get(name, "")


def endpoint(provider: Provider, account: Account, path: str, endpoints: Endpoints = EMPTY) -> str:
    """The whole URL for a call: `path` is the wire format's PATH ("/chat/completions"). A version that ends the base URL and
    starts the path is written once. A command's "address" names its account."""
    if provider.command:
        return f"command:{account.id}{path}"
    base = base_url(provider, account, endpoints)
    version = _VERSION.search(base)
    if version and path.startswith((f"{version.group()}/", f"{version.group()}:")):
        path = path[len(version.group()) :]
    return f"{base}{path if path[:1] in '/:' else f'/{path}'}"


def project_of(provider: Provider, account: Account) -> str:
    """The provider's project that calls of this account belong to; "" where it has none."""
    places: list[Any] = [account.options.get("project")]
    if provider.project_from:
        identity = account.options.get("identity")
        signed_in = tokens.decode(account.secret) if account.auth == "oauth" else None
        known = (EMPTY if signed_in is None else signed_in.extra, identity if isinstance(identity, Mapping) else EMPTY)
        places += [told.get(provider.project_from) for told in known]
    return next((text for place in places if isinstance(place, str) and (text := place.strip())), "")


def load_endpoints(path: str | Path) -> Endpoints:
    """OMNI_ENDPOINTS_FILE: TOML, one table per provider, name = URL. GatewayError BAD_REQUEST naming the file and the place."""
    try:
        tables = tomllib.loads(Path(path).read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise bad_request(f"OMNI_ENDPOINTS_FILE {path}: {error}", "endpoints_file") from error
    for provider_id, names in tables.items():
        if not isinstance(names, dict) or not all(isinstance(url, str) for url in names.values()):
            raise bad_request(f'OMNI_ENDPOINTS_FILE {path}: [{provider_id}] must hold lines like inference = "https://…"', "endpoints_file")
        for name, url in names.items():
            check_url(url, f"endpoints_file: {provider_id}.{name}")
    return tables


# ---------------------------------------------------------------- Headers


def request_headers(provider: Provider, account: Account, client_headers: Mapping[str, str] = EMPTY) -> dict[str, str]:
    """Headers of an upstream call, names in lower case; content type and length are the transport's business.

    `client_headers` (names in any case): those of a client that speaks the account's wire format; of another format's client the
    caller gives none. Only `PASSED_ON` go along. The account's own headers win over everything but the framing. GatewayError
    ACCOUNT_REJECTED for a key that cannot stand in a header.
    """
    headers = {"user-agent": USER_AGENT, **filled(provider.extra_headers, account.options)}
    headers.update(_credential(provider, account))
    if account.auth == "api_key":
        headers.update(filled(provider.key_headers, account.options))
    identity = account.options.get("identity")
    if isinstance(identity, Mapping):
        named = {header: identity.get(name) for header, name in provider.identity_headers.items()}
        headers.update({header: value for header, value in named.items() if isinstance(value, str) and value.isascii()})
    if (account.wire or provider.wire) == "anthropic-messages":
        headers["anthropic-version"] = ANTHROPIC_VERSION
    headers.update({name: value for key, value in client_headers.items() if (name := key.lower()) in PASSED_ON})
    for key, value in account.headers.items():
        name = key.lower()
        if name in FRAMING:
            continue
        betas = headers.get("anthropic-beta") if name == "anthropic-beta" else None
        headers[name] = f"{betas},{value}" if betas else value
    return headers


def filled(headers: Mapping[str, str], options: Mapping[str, Any]) -> dict[str, str]:
    """Headers of a row with "{name}" replaced by the account's option of that name; without a plain one, the header is left out."""
    found: dict[str, str] = {}
    for header, value in headers.items():
        if value.startswith("{"):
            option = options.get(value[1:-1])
            value = option if isinstance(option, str) and _PLAIN.match(option) else ""
        if value:
            found[header.lower()] = value
    return found


def _credential(provider: Provider, account: Account) -> dict[str, str]:
    secret = (account.access or account.secret).strip()
    if not secret or provider.demo or provider.command or provider.auth == "signed":
        return {}
    if _UNPRINTABLE.search(secret) or not secret.isascii():
        raise GatewayError(
            Kind.ACCOUNT_REJECTED, f"account {account.label!r}: the key has blanks or strange characters in it; enter it again"
        )
    if provider.auth in ("x-api-key", "x-goog-api-key"):
        return {provider.auth: secret}
    return {"authorization": f"Bearer {secret}"}
