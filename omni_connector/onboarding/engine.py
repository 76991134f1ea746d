"""Sign-ins from start to account: any number at once, begun by one process and finished by any other. (DESIGN.md, law 8)

Whatever brings a code back (the dashboard's own address, a listener on a port of its own, somebody who pastes) ends in `Keeper.take`,
which claims the flow: only the first one gets it, and what it then does no longer depends on who asked.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from omni_connector import oauth, providers
from omni_connector import tokens as token_values
from omni_connector.errors import GatewayError, Kind, bad_request
from omni_connector.loopback import Page
from omni_connector.oauth import Client, Code, DeviceCode, OAuthError, OAuthRequest
from omni_connector.onboarding import words
from omni_connector.onboarding.keeping import Keeper
from omni_connector.onboarding.signed import SETUPS, Finisher, Setup, Signed
from omni_connector.onboarding.starting import Starter, profile_of
from omni_connector.onboarding.values import Asked, Doors
from omni_connector.providers import Provider, SignIn, sign_ins
from omni_connector.secrets import hash_key, new_id, redact
from omni_connector.snapshot import Account
from omni_connector.store import flows
from omni_connector.store.flows import Flow
from omni_connector.tokens import Tokens

log = logging.getLogger("omni.onboarding")
Json = dict[str, Any]

PAGE_S = 20.0
"""How long the browser waits for the page that tells the end."""
SLOWER_S = 5
"""RFC 8628 §3.5."""
SLOWEST_S = 60
REVOKE_S = 10.0


class Onboarding:
    def __init__(self, doors: Doors, setups: Mapping[str, Setup] = SETUPS) -> None:
        self._doors = doors
        self._finisher = Finisher(doors.fetch, doors.endpoints, doors.now, setups)
        self._keeper = Keeper(doors, self.callback)
        self._starter = Starter(doors, self._finisher, self._keeper)

    async def close(self) -> None:
        await self._keeper.close()

    # ------------------------------------------------------------ beginning, looking, ending

    async def start(self, provider_id: str, asked: Asked) -> Json:
        """Begins a sign-in → what the user needs for it (`_told`).

        Raises GatewayError: NOT_FOUND (no such provider), BAD_REQUEST (it has no sign-in, a value is wrong, no client),
        FORBIDDEN "connector_off", CONFLICT "notice" with the terms to acknowledge, or what the provider answered.
        """
        flow = await self._starter.start(provider_id, asked)
        if flow.shown["way"] == "device":
            self._poll_on(flow)
        return self._told(flow)

    async def status(self, flow_id: str) -> Json:
        """Where a sign-in stands (`_told`). A device code that nobody asks about any more is asked about from here on, and a port that
        nobody listens on is listened on."""
        flow = await self._keeper.flow(flow_id)
        if flow.state == "waiting" and "device" in flow.secret:
            self._poll_on(flow)
        if flow.state == "waiting" and (place := flow.shown.get("port")):
            await self._keeper.listen_on(flow_id, *place)
        if flow.state != "waiting":
            await self._keeper.let_go(flow_id)
        return self._told(flow)

    async def cancel(self, flow_id: str, session: str | None = None) -> Json:
        flow = await self._keeper.flow(flow_id)
        _check_session(flow, session)
        await self._keeper.cancel(flow_id)
        return await self.status(flow_id)

    # ------------------------------------------------------------ a code comes back

    async def callback(self, query: str, session: str | None = None) -> Page:
        """The browser came back with this query → the page it is shown.

        `session`: proof of the dashboard session that this browser has ("": none); a sign-in that a dashboard began goes on in that
        browser only. None: it came back to a port of its own, where cookies prove nothing.
        """
        try:
            code = oauth.read_callback(f"?{query}")
        except OAuthError as error:
            return words.refused(error.message)
        flow = await self._keeper.by_state(code.state) if code.state else None
        if flow is None:
            return words.UNKNOWN
        try:
            _check_session(flow, session)
        except GatewayError:
            return words.ELSEWHERE
        try:
            task = await self._take_code(flow, code)
        except GatewayError as error:
            return words.refused(error.message)
        done, _ = await asyncio.wait({task}, timeout=PAGE_S)
        if not done:
            return words.UNDER_WAY
        failed = task.result()
        return words.signed_in(providers.get(flow.provider)) if failed is None else words.refused(failed.message)

    async def complete(self, flow_id: str, pasted: str, session: str | None = None) -> Json:
        """What the user pasted: a code, or the whole address. Waits until the account is there. → `_told`.

        `session`: None for whoever holds the admin key. Raises GatewayError; a paste that belongs to another sign-in, or is none,
        leaves this one waiting.
        """
        flow = await self._keeper.flow(flow_id)
        _check_session(flow, session)
        if flow.state == "waiting" and "begun" not in flow.secret:
            raise bad_request("There is nothing to paste for a device code: type it on the provider's page.", "code")
        task = await self._take_code(flow, oauth.read_callback(pasted), pasted=True)
        failed = await asyncio.shield(task)
        if failed is not None:
            raise failed
        return await self.status(flow_id)

    async def _take_code(self, flow: Flow, code: Code, *, pasted: bool = False) -> asyncio.Task[GatewayError | None]:
        """Claims the flow. Raises GatewayError when it has ended, or the code is another one's."""
        if flow.state != "waiting":
            raise _over(flow)
        _, profile = profile_of(flow.provider, flow.secret["options"])
        begun = flow.secret["begun"]
        if pasted and code.state is None and not begun["verifier"]:
            # Nothing would tie a bare code to this sign-in: it may be anybody's.
            raise bad_request(words.NEEDS_STATE, "code")
        try:
            oauth.check_callback(code, state=begun["state"], issuer=flow.secret["addresses"].get("issuer", ""), pasted=pasted)
        except OAuthError as error:
            if error.terminal:
                await self._keeper.fail(flow, error)
            raise
        task = await self._keeper.take(flow, lambda: self._finish_code(flow, profile, code))
        if task is None:
            raise _over(await self._keeper.flow(flow.id))
        return task

    async def _finish_code(self, flow: Flow, profile: SignIn, code: Code) -> None:
        secret, begun = flow.secret, flow.secret["begun"]
        client = Client(code.client_id) if profile.dynamic and code.client_id else Client(**secret["client"])
        request = oauth.exchange(
            profile,
            secret["addresses"],
            client,
            code.code,
            verifier=begun["verifier"],
            redirect_uri=begun["redirect_uri"],
            state=begun["state"],
        )
        hide = (code.code, begun["verifier"], client.secret)
        tokens = await self._finisher.tokens(profile, request, client, hide, secret["proxy_url"])
        await self._finish(flow, profile, client, tokens, begun["nonce"])

    # ------------------------------------------------------------ a device code

    def _poll_on(self, flow: Flow) -> None:
        self._keeper.spawn(f"poll {flow.id}", self._poll_until_done(flow.id))

    async def _poll_until_done(self, flow_id: str) -> None:
        """Asks at the provider's interval whether the code was typed. Any number of processes may; each turn is one's alone."""
        while (flow := await self._keeper.flow(flow_id)).state == "waiting":
            wait = flow.shown["next_poll_at"] - self._doors.now()
            if wait > 0:
                await self._doors.sleep(wait / 1000)
            elif turn := await self._turn(flow, flow.shown["interval_s"]):
                interval = await self._poll(turn)
                if interval != turn.shown["interval_s"]:
                    await self._turn(turn, interval)

    async def _turn(self, flow: Flow, interval: int) -> Flow | None:
        """The flow with its next question `interval` seconds from now; None: another process has the turn."""
        shown = {**flow.shown, "interval_s": interval, "next_poll_at": self._doors.now() + interval * 1000}
        mine = await self._doors.db.tx(lambda conn: flows.take_turn(conn, flow, shown))
        return replace(flow, shown=shown) if mine else None

    async def _poll(self, flow: Flow) -> int:
        """One question → the interval from now on (s)."""
        _, profile = profile_of(flow.provider, flow.secret["options"])
        secret, interval = flow.secret, int(flow.shown["interval_s"])
        client, device = Client(**secret["client"]), DeviceCode(**secret["device"])
        try:
            request = oauth.device_poll(profile, secret["addresses"], client, device)
            status, headers, body = await self._finisher.ask(request, secret["proxy_url"])
            got = oauth.parse_poll(profile, secret["addresses"], client, status, body, self._doors.now(), headers)
        except OAuthError as error:
            if error.terminal:
                await self._keeper.fail(flow, error)
            if error.slow_down or error.pending:
                return interval + SLOWER_S if error.slow_down else interval
            return max(min(interval * 2, SLOWEST_S), math.ceil(error.retry_after or 0))
        except GatewayError:
            return min(interval * 2, SLOWEST_S)  # the network: RFC 8628 §3.5 wants patience
        task = await self._keeper.take(flow, lambda: self._finish_device(flow, profile, client, got))
        if task is not None:
            await asyncio.wait({task})
        return interval

    async def _finish_device(self, flow: Flow, profile: SignIn, client: Client, got: Tokens | OAuthRequest) -> None:
        if isinstance(got, OAuthRequest):
            got = await self._finisher.tokens(profile, got, client, (client.secret,), flow.secret["proxy_url"])
        await self._finish(flow, profile, client, got, "")

    # ------------------------------------------------------------ tokens → account

    async def _finish(self, flow: Flow, profile: SignIn, client: Client, tokens: Tokens, nonce: str) -> None:
        provider, secret = providers.get(flow.provider), flow.secret
        wanted = Signed(provider.id, "oauth", "", secret["options"], flow.shown["label"], flow.account_id, secret["proxy_url"])
        if profile.flavour == "key":
            signed = replace(wanted, auth="api_key", secret=tokens.access_token)
        else:
            identity = await self._finisher.identity(profile, secret["addresses"], tokens, client, nonce, wanted.proxy_url)
            # What was known of the account's owner before must not stand in for what the provider says now.
            signed = await self._set_up(provider, wanted, tokens, {"identity": identity, "signed_in": True})
        await self._keeper.finish(flow, await self._doors.keep(signed))

    async def _set_up(self, provider: Provider, wanted: Signed, tokens: Tokens, more: Json) -> Signed:
        renewed = (account for account in self._doors.accounts() if account.id == wanted.account_id)
        base = next(renewed, None) or Account(new_id("acc"), provider.id, wanted.label)
        options = {**wanted.options, **more}
        draft = replace(base, auth="oauth", secret=tokens.encode(), options=options, proxy_url=wanted.proxy_url)
        return replace(wanted, secret=draft.secret, options=await self._finisher.set_up(provider, draft))

    async def adopt(self, provider_id: str, tokens: Tokens, asked: Asked) -> str:
        """Tokens that another program of the user's left here become an account → its id. Who they belong to is asked, not verified:
        their file is the user's own. They are not revoked when the account is removed, since the other program goes on with them.
        Raises as `start`."""
        draft = self._starter.draft(providers.get(provider_id), asked)
        provider, profile = profile_of(provider_id, draft.options)
        await self._starter.allow(provider, profile, asked)
        addresses = {**oauth.addresses(profile, provider, draft, self._doors.endpoints()), "issuer": ""}
        tokens = await self._finisher.usable(provider, profile, addresses, tokens, draft.proxy_url)
        identity = await self._finisher.identity(profile, addresses, tokens, Client(""), "", draft.proxy_url)
        account_id = None if asked.account is None else asked.account.id
        wanted = Signed(provider.id, "oauth", "", draft.options, draft.label, account_id, draft.proxy_url)
        return await self._doors.keep(await self._set_up(provider, wanted, tokens, {"identity": identity, "signed_in": False}))

    async def allow(self, provider_id: str, options: Mapping[str, Any], *, acknowledged: bool) -> None:
        """Whether sign-ins at this provider may be taken in at all. Raises as `start` where the user has to decide first."""
        provider, profile = profile_of(provider_id, options)
        await self._starter.allow(provider, profile, Asked(acknowledged=acknowledged))

    # ------------------------------------------------------------ taking it back

    def revoke_soon(self, account: Account) -> None:
        """The account was removed: its grant is taken back at the provider, if we asked for it and there is a way. Best effort."""
        tokens = token_values.decode(account.secret) if account.auth == "oauth" else None
        if tokens is not None and account.options.get("signed_in") and account.provider in providers.PROVIDERS:
            self._keeper.spawn(f"revoke {account.id}", self._revoke(providers.get(account.provider), account, tokens))

    async def _revoke(self, provider: Provider, account: Account, tokens: Tokens) -> None:
        try:
            async with asyncio.timeout(REVOKE_S):
                profile = sign_ins.sign_in_of(provider, account.options)
                if profile is None:
                    return
                addresses = oauth.addresses(profile, provider, account, self._doors.endpoints())
                addresses = await self._finisher.discover(profile, addresses, account.proxy_url)
                request = oauth.revoke(profile, addresses, tokens, oauth.client_for(profile, tokens))
                if request is None:
                    return
                status, _, _ = await self._finisher.ask(request, account.proxy_url)
        except (GatewayError, TimeoutError) as error:
            log.warning("the sign-in of %s at %s could not be revoked: %s", account.label, provider.label, redact(str(error)))
            return
        log.info("the sign-in of %s at %s was revoked (status %s)", account.label, provider.label, status)

    # ------------------------------------------------------------ what the API shows

    def _told(self, flow: Flow) -> Json:
        """The flow as the API shows it; what opens or finishes it only while it waits."""
        provider = providers.get(flow.provider)
        told: Json = {
            "flow_id": flow.id,
            "provider": flow.provider,
            "provider_label": provider.label,
            "way": flow.shown["way"],
            "label": flow.shown["label"],
            # Being completed is still waiting for whoever looks on.
            "status": "waiting" if flow.state == "claimed" else flow.state,
            "error": flow.error,
            "account_id": flow.account_id,
            "created_at": flow.created_at,
            "expires_at": flow.expires_at,
        }
        if flow.state != "waiting":
            return told
        _, profile = profile_of(flow.provider, flow.secret["options"])
        redirect_uri = flow.shown.get("redirect_uri", "")
        told |= {"notice": profile.notice, "manual": words.manual(profile, flow.shown["way"], redirect_uri)}
        if device := flow.secret.get("device"):
            names = ("user_code", "verification_uri", "verification_uri_complete")
            return told | {name: device[name] for name in names} | {"interval": flow.shown["interval_s"]}
        listening = flow.shown["listening"] or self._keeper.loopback.port_of(flow.id) is not None
        return told | {
            "authorization_url": flow.secret["begun"]["url"],
            "redirect_uri": redirect_uri,
            "listening": listening,
            "port_problem": "" if listening else flow.shown["port_problem"],
        }


def _over(flow: Flow) -> GatewayError:
    return GatewayError(Kind.CONFLICT, words.ENDED.get(flow.state, words.ENDED["expired"]), param="flow_id", code=f"flow_{flow.state}")


def _check_session(flow: Flow, session: str | None) -> None:
    """Raises GatewayError (FORBIDDEN) for another dashboard session than the one that began the sign-in."""
    bound = flow.secret.get("session", "")
    if session is not None and bound and not hmac.compare_digest(hash_key(session), bound):
        raise GatewayError(Kind.FORBIDDEN, words.WRONG_SESSION, param="flow_id", code="session")
