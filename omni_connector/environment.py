"""Provider keys in the environment, which become accounts labelled `env` (CONTRACT §6)."""

from __future__ import annotations

import hashlib
import ipaddress
import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import field, replace
from typing import Any
from urllib.parse import urlsplit

from omni_connector import providers, settings
from omni_connector.settings import Settings
from omni_connector.snapshot import Account
from omni_connector.values import dataclass

log = logging.getLogger("omni.environment")

PROXY_VARIABLES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy")
LABEL = "env"
REMOVED = "env_removed"
"""The fact (store.settings.get_meta) that holds the marks of keys whose accounts the user removed, with spaces between."""


@dataclass(frozen=True, slots=True)
class Found:
    """`problem`: why the address beside the key is not used; "" when nothing is wrong with it."""

    provider: str
    secret: str = field(repr=False)
    base_url: str = ""
    problem: str = ""

    @property
    def label(self) -> str:
        """What its account is called where `env` is taken."""
        return f"{LABEL}-{self.provider}"


def keys(env: Mapping[str, str], port: int) -> Iterator[Found]:
    """The keys of providers that stand in the environment, or in files that it names (OPENAI_API_KEY_FILE). `port`: ours, because
    variables that send clients to us are no provider. Raises SettingsError for such a file that cannot be read."""
    for row in providers.PROVIDERS.values():
        secret = next((text for name in row.env if (text := settings.said(env, name).strip())), "")
        if not secret:
            continue
        name = next((name for name in row.env_base_url if env.get(name, "").strip()), "")
        url = env[name].strip() if name else ""
        if url and is_ours(url, port):
            yield Found(row.id, secret, problem=f"{name} is this server's own address; {row.label} is called at its usual one")
            continue
        yield Found(row.id, secret, url)


def wanted(
    env: Mapping[str, str], port: int, accounts: Callable[[], Sequence[Account]], removed: Collection[str]
) -> Iterator[dict[str, Any]]:
    """What `add_account` takes for each such key, unless its provider had an account at first, or the user removed the account of this very
    key (`removed`: the marks of those). Asks for the accounts anew each time, as the one before may have been added."""
    known = {account.provider for account in accounts()}
    for found in keys(env, port):
        if found.provider in known or mark(found.secret) in removed:
            continue
        taken = {account.label for account in accounts()}
        if (label := LABEL if LABEL not in taken else found.label) in taken:
            continue
        if found.problem:
            log.warning("%s", found.problem)
        yield {"provider": found.provider, "label": label, "api_key": found.secret, "base_url": found.base_url, "discover": False}


def proxied(account: Account, stored: Settings, env: Mapping[str, str]) -> Account:
    """The account with the system's proxy, where the settings want it and it has none of its own."""
    google = dict.fromkeys(("gemini", "gemini-cli", "antigravity"), stored.use_system_proxy_gemini)
    through = {"openai": stored.use_system_proxy_openai, "anthropic": stored.use_system_proxy_claude, **google}
    if account.proxy_url or not through.get(account.provider):
        return account
    return replace(account, proxy_url=next((env[name] for name in PROXY_VARIABLES if env.get(name)), ""))


def is_ours(url: str, port: int) -> bool:
    """Whether an address leads back to this server."""
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host, asked = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return False
    if host != "localhost" and not host.endswith(".localhost"):
        try:
            if not (ipaddress.ip_address(host).is_loopback or ipaddress.ip_address(host).is_unspecified):
                return False
        except ValueError:
            return False
    return asked == port


def is_environments(label: str) -> bool:
    """Whether an account was made of the environment, as far as its label tells."""
    return label == LABEL or label.startswith(f"{LABEL}-")


def mark(secret: str) -> str:
    """What a key is remembered by once its account was removed: it tells nothing of the key."""
    return hashlib.sha256(f"omni-connector removed {secret}".encode()).hexdigest()[:24]
