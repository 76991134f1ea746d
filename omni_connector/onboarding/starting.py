"""How a sign-in begins: what may begin at all, whose client it is, where the browser comes back to, or which code is to be typed."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from omni_connector import oauth, providers
from omni_connector import tokens as token_values
from omni_connector.errors import GatewayError, Kind, bad_request
from omni_connector.loopback import ANY_PORT
from omni_connector.oauth import Client
from omni_connector.onboarding import words
from omni_connector.onboarding.keeping import Keeper
from omni_connector.onboarding.own_client import own_client
from omni_connector.onboarding.signed import Finisher
from omni_connector.onboarding.values import Asked, Doors
from omni_connector.providers import Provider, SignIn, sign_ins
from omni_connector.providers.addresses import named_endpoint
from omni_connector.secrets import hash_key, new_id
from omni_connector.snapshot import Account
from omni_connector.store import flows
from omni_connector.store import settings as setting_rows
from omni_connector.store.flows import Flow

if TYPE_CHECKING:
    import sqlalchemy as sa

Json = dict[str, Any]

GOOGLE_PROJECT: Mapping[str, tuple[str, ...]] = dict.fromkeys(
    ("gemini-cli", "antigravity"), ("GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_PROJECT_ID")
)
"""Provider → variables that name its project. (R-42)"""
CALLBACK_PATHS = ("/oauth/callback", "/auth/callback", "/oauth2callback", "/oauth-callback")
"""What the dashboard's own address hears; any other path needs a listener."""
INSTALLATION = "installation_id"


def profile_of(provider_id: str, options: Mapping[str, Any]) -> tuple[Provider, SignIn]:
    """The row and how an account with these options signs in. Raises GatewayError: NOT_FOUND, or BAD_REQUEST for a provider that
    nobody can sign in to, and for options that do not describe the sign-in they should."""
    provider = providers.get(provider_id)
    if provider.retired:
        raise bad_request(provider.retired, "provider")
    profile = sign_ins.sign_in_of(provider, options)
    if profile is None:
        raise bad_request(words.no_sign_in(provider), "provider")
    return replace(provider, sign_in=profile), profile


def is_on(provider: Provider, profile: SignIn, connectors: Sequence[str]) -> bool:
    """Whether the user decided for this sign-in (setting `connectors`), where it takes a decision."""
    return not profile.opt_in or any(providers.canonical(name)[0] == provider.id for name in connectors)


class Starter:
    def __init__(self, doors: Doors, finisher: Finisher, keeper: Keeper) -> None:
        self._doors = doors
        self._finisher = finisher
        self._keeper = keeper

    async def start(self, provider_id: str, asked: Asked) -> Flow:
        """A sign-in that waits, stored. Raises as `Onboarding.start`."""
        draft = self.draft(providers.get(provider_id), asked)
        provider, profile = profile_of(provider_id, draft.options)
        if profile.described and not (draft.base_url or named_endpoint("inference", provider, draft, self._doors.endpoints())):
            raise bad_request(words.NO_API, "options.endpoints.inference")
        way = _way(profile, asked)
        client = self._client(provider, profile, asked)
        await self.allow(provider, profile, asked)
        addresses = oauth.addresses(profile, provider, draft, self._doors.endpoints())
        addresses = await self._finisher.discover(profile, addresses, draft.proxy_url)
        now = self._doors.now()
        flow = Flow(
            id=new_id("flw", now),
            provider=provider.id,
            created_at=now,
            expires_at=now + flows.LIFE_MS,
            account_id=None if asked.account is None else asked.account.id,
            shown={"way": way, "label": draft.label},
            secret={
                "addresses": dict(addresses),
                "client": asdict(client),
                "options": draft.options,
                "proxy_url": draft.proxy_url,
                "session": hash_key(asked.session) if asked.session else "",
            },
        )
        if way == "device":
            return await self._device(flow, profile, client)
        return await self._page(flow, provider, profile, client, draft, asked)

    async def allow(self, provider: Provider, profile: SignIn, asked: Asked) -> None:
        """The user decided for this connector, and knows the provider's terms: they are shown once, and again when they change."""
        if not is_on(provider, profile, self._doors.settings().connectors):
            raise GatewayError(Kind.FORBIDDEN, words.switched_off(provider), param="connectors", code="connector_off")
        if not profile.notice:
            return
        if await self._doors.db.run(lambda conn: flows.acknowledged(conn, provider.id)) == profile.notice:
            return
        if not asked.acknowledged:
            raise GatewayError(Kind.CONFLICT, profile.notice, param="acknowledged", code="notice")
        now = self._doors.now()
        await self._doors.db.tx(lambda conn: flows.acknowledge(conn, provider.id, profile.notice, now))

    def draft(self, provider: Provider, asked: Asked) -> Account:
        """The account as far as it is known: what is renewed, or what will be made."""
        base = asked.account or Account(new_id("acc"), provider.id, asked.label, auth="oauth")
        options = {**base.options, **asked.options}
        named = (self._doors.env.get(name, "").strip() for name in GOOGLE_PROJECT.get(provider.id, ()))
        if not options.get("project") and (project := next(filter(None, named), "")):
            options["project"] = project
        options |= sign_ins.made_up(provider, options)
        return replace(base, options=options, proxy_url=asked.proxy_url or base.proxy_url)

    def _client(self, provider: Provider, profile: SignIn, asked: Asked) -> Client:
        kept = token_values.decode(asked.account.secret) if asked.account is not None and asked.account.auth == "oauth" else None
        if profile.own_client:
            return own_client(provider, profile, self._doors.env, given=asked.client, kept=kept, from_cli=asked.client_from_cli)
        if asked.client.id or asked.client.secret:
            return Client(asked.client.id or profile.client_id, asked.client.secret)
        return oauth.client_for(profile, kept)

    # ------------------------------------------------------------ a page in the browser

    async def _page(self, flow: Flow, provider: Provider, profile: SignIn, client: Client, draft: Account, asked: Asked) -> Flow:
        try:
            redirect_uri, listening, taken = await self._redirect(flow.id, profile, asked)
            problem = words.port_problem(taken, provider) if taken else ""
            hints = await self._hints(profile, client, draft)
            begun = oauth.begin(provider, profile, flow.secret["addresses"], client, redirect_uri, hints=hints)
            port = self._keeper.place(flow.id)
            shown = {**flow.shown, "redirect_uri": redirect_uri, "listening": listening, "port_problem": problem, "port": port}
            flow = replace(flow, shown=shown, secret={**flow.secret, "begun": asdict(begun)})
            await self._keeper.insert(flow, begun.state)
        except BaseException:
            await self._keeper.let_go(flow.id)
            raise
        self._keeper.tend()
        return flow

    async def _redirect(self, flow_id: str, profile: SignIn, asked: Asked) -> tuple[str, bool, tuple[int, ...]]:
        """Where the provider sends the browser, whether somebody listens there, and the ports that were wanted in vain."""
        if asked.headless and profile.pasted_redirect:
            return profile.pasted_redirect, False, ()
        host, path, ports = profile.redirect_host, profile.redirect_path, profile.redirect_ports
        own = asked.address or self._doors.address
        own_port = _port(own)
        if own and not ports and path in CALLBACK_PATHS:
            return f"{own}{path}", True, ()
        if own_port in ports and path in CALLBACK_PATHS:
            return f"http://{host}:{own_port}{path}", True, ()
        wanted = ports or ((ANY_PORT,) if own else (self._doors.settings().port,))
        port, listening = await self._keeper.listen(flow_id, wanted, path or "/")
        return f"http://{host}:{port}{path}", listening, () if listening else wanted

    async def _hints(self, profile: SignIn, client: Client, draft: Account) -> dict[str, str]:
        identity = draft.options.get("identity")
        email = identity.get("email") if isinstance(identity, dict) else None
        hints = {"login_hint": str(email)} if email and profile.issuer else {}
        if profile.dynamic and client.id == profile.dynamic:
            hints["ext_agent_host_id"] = f"urn:uuid:{await self._installation()}"
        return hints

    async def _installation(self) -> str:
        """One random id for this installation, which says nothing about its owner or machine."""

        def read(conn: sa.Connection) -> str:
            found = setting_rows.get_meta(conn, INSTALLATION) or str(uuid.uuid4())
            setting_rows.set_meta(conn, INSTALLATION, found)
            return found

        return await self._doors.db.tx(read)

    # ------------------------------------------------------------ a code for another device

    async def _device(self, flow: Flow, profile: SignIn, client: Client) -> Flow:
        addresses, proxy, options = flow.secret["addresses"], flow.secret["proxy_url"], flow.secret["options"]
        if profile.flavour == "aws-sso" and not client.id:
            status, headers, body = await self._finisher.ask(oauth.register(profile, addresses), proxy)
            client, _ = oauth.parse_client(profile, status, body, headers)
        start_url = options.get("start_url") or profile.authorization_extra.get("start_url")
        hints = {"start_url": str(start_url)} if start_url else {}
        status, headers, body = await self._finisher.ask(oauth.device_begin(profile, addresses, client, hints=hints), proxy)
        device = oauth.parse_device(profile, addresses, status, body, headers)
        now = self._doors.now()
        flow = replace(
            flow,
            expires_at=min(flow.expires_at, now + device.expires_in_s * 1000),
            shown={**flow.shown, "interval_s": device.interval_s, "next_poll_at": now + device.interval_s * 1000},
            secret={**flow.secret, "client": asdict(client), "device": asdict(device)},
        )
        await self._keeper.insert(flow, "")
        return flow


def _way(profile: SignIn, asked: Asked) -> str:
    """The way asked for; else the provider's first, where nobody sits at a browser one that needs none."""
    ways: Sequence[str] = profile.ways
    if asked.way:
        if asked.way not in ways:
            raise bad_request(f"way: one of {', '.join(ways)}, not {asked.way!r}.", "way")
        return asked.way
    return "device" if asked.headless and "device" in ways else ways[0]


def _port(address: str) -> int:
    """Of an address with a port; -1 without one."""
    tail = address.rpartition(":")[2].rstrip("/")
    return int(tail) if tail.isdecimal() else -1
