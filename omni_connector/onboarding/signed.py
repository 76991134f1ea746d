"""From a code, or from tokens, to what is stored as an account: tokens, who signed in, and what the provider's set-up adds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import field, replace
from typing import Any, Protocol

from omni_connector import google_setup, oauth, providers
from omni_connector.errors import GatewayError, Kind
from omni_connector.oauth import Client, OAuthError, OAuthRequest
from omni_connector.providers import Endpoints, Provider, SignIn
from omni_connector.snapshot import Account
from omni_connector.tokens import Tokens
from omni_connector.upstream import UpstreamRequest
from omni_connector.values import dataclass

Json = dict[str, Any]
Answer = tuple[int, Mapping[str, str], bytes]
Fetch = Callable[[UpstreamRequest, float], Awaitable[Answer]]
Ask = Callable[[UpstreamRequest], Awaitable[Answer]]


class Setup(Protocol):
    """See the package's docstring."""

    async def __call__(self, account: Account, ask: Ask, *, endpoints: Endpoints) -> Json: ...


SETUPS: Mapping[str, Setup] = dict.fromkeys(("gemini-cli", "antigravity"), google_setup.set_up)
"""Provider id → its set-up."""

WITHIN_S = 30.0
"""One question of a sign-in."""
KEYS_S = 3600.0
"""How long a provider's signing keys are kept; an id_token of an unknown key fetches them anew at once."""
SOON_MS = 60_000
"""What ends within this time counts as ended."""
SAME = ("subject", "email")
"""Facts that tell people apart."""
PLACE = ("issuer", "authorization", "token", "device", "client_id")
"""Fields of a described sign-in that say where it is."""


@dataclass(frozen=True, slots=True)
class Signed:
    """A sign-in that succeeded. `secret`: an encoded `Tokens`, or a lasting API key where `auth` says so."""

    provider: str
    auth: str
    secret: str = field(repr=False)
    options: Json = field(default_factory=dict)
    """Of the account, whole: what was asked for, the identity, what the set-up found."""
    label: str = ""
    """The one asked for, "" for any."""
    account_id: str | None = None
    """The account to renew; None: one of the same person, else a new one."""
    proxy_url: str = field(default="", repr=False)

    @property
    def identity(self) -> Json:
        found = self.options.get("identity")
        return found if isinstance(found, dict) else {}


def same_person(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two identities are one: something that tells people apart is equal, and nothing that both know differs. One person in
    two workspaces (`account_id`) is two accounts."""
    both = [name for name in (*SAME, "account_id") if one.get(name) and other.get(name)]
    return any(name in SAME for name in both) and all(_plain(one[name]) == _plain(other[name]) for name in both)


def same_place(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two accounts' options sign in at the same server and call the same API: where the user describes them, the same address
    of a person at two of them is two accounts."""
    (sign_in, api), (other_sign_in, other_api) = (
        (_dict(options.get("oauth")), _dict(options.get("endpoints"))) for options in (one, other)
    )
    return all(sign_in.get(name) == other_sign_in.get(name) for name in PLACE) and api.get("inference") == other_api.get("inference")


def other_person(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two identities are certainly not one; what is unknown proves nothing."""
    if one.get("subject") and other.get("subject"):
        return bool(one["subject"] != other["subject"]) or _differ(one, other, "account_id")
    return _differ(one, other, "email") or _differ(one, other, "account_id")


def _differ(one: Mapping[str, Any], other: Mapping[str, Any], name: str) -> bool:
    return bool(one.get(name) and other.get(name)) and _plain(one[name]) != _plain(other[name])


def _plain(value: Any) -> str:
    return str(value).strip().lower()


class Finisher:
    """Asks the provider what is needed to make an account of a code. Keeps its signing keys for a while."""

    def __init__(self, fetch: Fetch, endpoints: Callable[[], Endpoints], now: Callable[[], int], setups: Mapping[str, Setup]) -> None:
        self._fetch = fetch
        self._endpoints = endpoints
        self._now = now
        self._setups = setups
        self._keys: dict[str, tuple[int, Json]] = {}

    async def ask(self, request: OAuthRequest, proxy_url: str = "") -> Answer:
        """Raises GatewayError for a provider that cannot be reached."""
        sent = UpstreamRequest(request.method, request.url, request.headers, request.body, proxy_url, once=request.method == "POST")
        return await self._fetch(sent, WITHIN_S)

    async def tokens(self, profile: SignIn, request: OAuthRequest, client: Client, hide: tuple[str, ...], proxy_url: str = "") -> Tokens:
        """The answer to an exchange. Raises OAuthError."""
        status, headers, body = await self.ask(request, proxy_url)
        return oauth.parse_tokens(profile, status, body, self._now(), headers=headers, client=client, hide=hide)

    async def usable(
        self, provider: Provider, profile: SignIn, addresses: Mapping[str, str], tokens: Tokens, proxy_url: str = ""
    ) -> Tokens:
        """Tokens of another program with which the provider's set-up can be asked: renewed where they have ended. Only where there is a
        set-up; elsewhere a refresh token may be good for one use, which is for the jobs that journal it. Raises OAuthError."""
        over = tokens.expires_at is not None and tokens.expires_at <= self._now() + SOON_MS
        if not over or not tokens.refresh_token or provider.id not in self._setups:
            return tokens
        request = oauth.refresh(profile, addresses, tokens, oauth.client_for(profile, tokens))
        status, headers, body = await self.ask(request, proxy_url)
        return oauth.parse_tokens(profile, status, body, self._now(), tokens, headers=headers)

    async def identity(
        self, profile: SignIn, addresses: Mapping[str, str], tokens: Tokens, client: Client, nonce: str, proxy_url: str = ""
    ) -> Json:
        """Who signed in: by the verified id_token where there is an issuer, and by what the provider says when asked.
        Raises OAuthError for an id_token that is not genuine; a provider that does not say who it was is no failure."""
        claims = None
        if addresses.get("issuer") and (tokens.id_token or nonce):
            if not tokens.id_token:
                raise OAuthError(Kind.BAD_REQUEST, "The provider did not say who signed in (no id_token). Begin the sign-in again.")
            claims = await self._verified(profile, addresses, tokens, client, nonce, proxy_url)
        told = oauth.identity(profile, tokens, claims, await self._info(profile, addresses, tokens, proxy_url))
        return {"plan": profile.plan, **told} if profile.plan else told

    async def _info(self, profile: SignIn, addresses: Mapping[str, str], tokens: Tokens, proxy_url: str) -> Json | None:
        request = oauth.user_info(profile, addresses, tokens)
        if request is None:
            return None
        try:
            status, _, body = await self.ask(request, proxy_url)
        except GatewayError:
            return None
        return oauth.read_object(body) if 200 <= status < 300 else None

    async def _verified(
        self, profile: SignIn, addresses: Mapping[str, str], tokens: Tokens, client: Client, nonce: str, proxy_url: str
    ) -> Json:
        try:
            keys = await self._jwks(profile, addresses, proxy_url)
            return oauth.verify_id_token(profile, addresses, client.id, tokens.id_token, keys, nonce, self._now())
        except OAuthError as error:
            if error.code != "unknown_key":
                raise
        keys = await self._jwks(profile, addresses, proxy_url, anew=True)
        return oauth.verify_id_token(profile, addresses, client.id, tokens.id_token, keys, nonce, self._now())

    async def _jwks(self, profile: SignIn, addresses: Mapping[str, str], proxy_url: str, *, anew: bool = False) -> Json:
        url, now = addresses.get("jwks", ""), self._now()
        until, keys = self._keys.get(url, (0, {}))
        if until > now and not anew:
            return keys
        status, headers, body = await self.ask(oauth.jwks_request(profile, addresses), proxy_url)
        keys = oauth.parse_jwks(status, body, headers)
        self._keys[url] = (now + int(KEYS_S * 1000), keys)
        return keys

    async def discover(self, profile: SignIn, addresses: Mapping[str, str], proxy_url: str) -> Mapping[str, str]:
        """The addresses with those that the issuer publishes."""
        if not profile.discovery:
            return addresses
        status, headers, body = await self.ask(oauth.discovery_request(profile, addresses), proxy_url)
        return oauth.discovered(profile, addresses, status, body, headers)

    async def set_up(self, provider: Provider, draft: Account) -> Json:
        """The draft's options with what the provider's set-up found. Raises GatewayError with what the user has to do."""
        setup = self._setups.get(provider.id)
        if setup is None:
            return dict(draft.options)

        async def ask(request: UpstreamRequest) -> Answer:
            return await self._fetch(replace(request, proxy_url=draft.proxy_url), WITHIN_S)

        found = await setup(providers.complete(draft), ask, endpoints=self._endpoints())
        identity = {**_dict(draft.options.get("identity")), **_dict(found.get("identity"))}
        return {**draft.options, **found, **({"identity": identity} if identity else {})}


def _dict(value: Any) -> Json:
    return value if isinstance(value, dict) else {}
