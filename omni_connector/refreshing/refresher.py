"""One refresh at a time per account, whoever asks and however many processes there are. The package's docstring says what holds."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import field, replace
from functools import partial
from random import Random

from omni_connector import oauth, providers, secrets
from omni_connector.errors import GatewayError, Kind
from omni_connector.oauth import Client, OAuthError, OAuthRequest
from omni_connector.providers import Provider, SignIn
from omni_connector.providers.sign_ins import signing
from omni_connector.refreshing.books import AGAIN, Books, Ended, Held, Wish, decoded
from omni_connector.refreshing.due import wait_ms, wanted
from omni_connector.refreshing.genuine import Genuine
from omni_connector.secrets import Vault
from omni_connector.snapshot import Account
from omni_connector.store.engine import Database
from omni_connector.store.refreshes import FOREVER
from omni_connector.tokens import Json, Tokens, decode
from omni_connector.upstream import Upstream, UpstreamRequest
from omni_connector.values import dataclass

log = logging.getLogger("omni.refreshing")

WITHIN_S = 20.0
"""Seconds for one answer of the provider."""
WAIT_S = 40.0
"""Seconds to wait for another process that is at it."""
PAUSES_S = (0.05, 0.1, 0.2, 0.4)
"""Between two looks at whether it is done; the last one repeats."""
SAVE_PAUSES_S = (0.1, 0.5, 2.0, 5.0)
"""Between attempts to store new tokens that the database does not take."""
CLOSE_S = 10.0


@dataclass(frozen=True, slots=True)
class Hands:
    """What refreshing needs of the rest of the house, as plain callables."""

    accounts: Callable[[], Mapping[str, Account]]
    """By id, as the present snapshot has them; also those that are disabled or out."""
    endpoints: Callable[[], providers.Endpoints]
    client: Callable[[Account], Client | None]
    """The user's own client (environment, file) for tokens that do not say whom they were issued to; None: the profile's."""
    renewed: Callable[[str], Awaitable[None]]
    """Account id: new tokens are stored. Reload the snapshot; a cooldown that said "credential refused" is over."""
    refused: Callable[[str, str], Awaitable[None]]
    """(account id, reason): it is stored as needs_login. Reload the snapshot, tell the user."""
    provider: Callable[[Account], Provider] = field(default=lambda account: signing(providers.get(account.provider), account.options))
    """The row with the account's own `sign_in`. Raises GatewayError for an unknown provider, or options that describe no sign-in."""


class Refresher:
    """The door of one process. `owner`: its id, unlike every other's. `sleep` is for waiting between looks at the database."""

    def __init__(
        self,
        db: Database,
        vault: Vault,
        upstream: Upstream,
        hands: Hands,
        owner: str,
        now: Callable[[], int],
        rng: Random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._upstream = upstream
        self._hands = hands
        self._now = now
        self._rng = rng
        self._sleep = sleep
        self._books = Books(db, vault, owner, now, self._lead_s)
        self._genuine = Genuine(now)
        self._flights: dict[str, asyncio.Task[str]] = {}
        self._hopeless: dict[str, tuple[str, int, GatewayError]] = {}
        """Account id → (access token that was refused, until when (ms) no other is to be had, why)."""

    async def renew(self, account: Account, rejected: str = "") -> Account:
        """The account with another access token than `rejected`; with "", one that does not end soon. At once where there is one.

        Raises GatewayError: ACCOUNT_REJECTED (an OAuthError with `terminal`) when the user has to sign in again, else what stood in
        the way, with `retry_after`. A token that was not rejected and has not ended is better than an error: then it comes back as it is.
        """
        known = self._hands.accounts().get(account.id)
        if known is not None and self._newer(known, account, rejected):
            return _with(account, known.secret)
        try:
            for _ in range(3):  # who joins a flight that began for another reason may find nothing new in it
                fresh = _with(account, await self.fly(account.id, rejected))
                if not rejected or fresh.access != rejected:
                    return fresh
        except GatewayError as error:
            if rejected and error.retry_after is not None and error.kind is not Kind.ACCOUNT_REJECTED:
                self._hopeless[account.id] = rejected, self._now() + int(error.retry_after * 1000), error
            if not rejected and account.access_until is not None and account.access_until > self._now():
                return account
            raise
        raise GatewayError(Kind.ACCOUNT_REJECTED, "There is no newer token than the one that was refused.")

    def hopeless(self, account: Account) -> GatewayError | None:
        """Why there is no use in asking with this account's token: it was refused, and no other is to be had for a while."""
        refused, until, error = self._hopeless.get(account.id, ("", 0, None))
        left = until - self._now()
        if error is None or refused != account.access or left <= 0:
            return None
        return GatewayError(error.kind, error.message, retry_after=left / 1000)

    def _newer(self, known: Account, account: Account, rejected: str) -> bool:
        """What the snapshot has is certainly newer than what the asker has, and good for what he asks."""
        fresh, his = decode(known.secret), decode(account.secret)
        if fresh is None or his is None or fresh.refreshed_at <= his.refreshed_at:
            return False
        return not wanted(fresh, rejected, self._lead_s(known), self._now())

    async def fly(self, account_id: str, rejected: str = "", early_ms: int = 0) -> str:
        """The stored secret, once it is good or nothing better is to be had. Joins the refresh that is under way; it goes on when the
        asker leaves. `early_ms`: see `Wish`. Raises GatewayError."""
        flight = self._flights.get(account_id)
        if flight is None:
            work = self._flight(Wish(account_id, rejected, early_ms))
            flight = self._flights[account_id] = asyncio.create_task(work, name=f"refresh {account_id}")
            flight.add_done_callback(partial(self._landed, account_id))
        return await asyncio.shield(flight)

    def _landed(self, account_id: str, flight: asyncio.Task[str]) -> None:
        del self._flights[account_id]
        if not flight.cancelled() and (error := flight.exception()) is not None:
            log.info("account %s was not renewed: %s", account_id, error)  # whoever waits is told too, but perhaps nobody does

    async def close(self) -> None:
        """Waits for what is under way: between a provider's answer and our commit is the worst moment to stop."""
        if self._flights:
            _, late = await asyncio.wait(self._flights.values(), timeout=CLOSE_S)
            for flight in late:
                flight.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    # ------------------------------------------------------------ one flight

    async def _flight(self, wish: Wish) -> str:
        waited, looks = 0.0, 0
        while waited < WAIT_S:
            seen = await self._books.look(wish)
            if isinstance(seen, Ended):
                return seen.secret
            taken = await self._books.take(wish) if seen else None
            if isinstance(taken, Ended):
                return await self._ended(wish.account_id, taken)
            if taken is not None and (secret := await self._refresh(taken)):
                return secret
            pause = PAUSES_S[min(looks, len(PAUSES_S) - 1)]
            waited, looks = waited + pause, looks + 1
            await self._sleep(pause)
        raise GatewayError(Kind.UPSTREAM_TIMEOUT, "Another process is renewing the sign-in and does not come to an end.")

    async def _ended(self, account_id: str, end: Ended) -> str:
        if not end.reason:
            return end.secret
        await self._tell(self._hands.refused(account_id, end.reason))
        raise OAuthError(Kind.ACCOUNT_REJECTED, end.reason, upstream_status=401, terminal=True)

    async def _refresh(self, held: Held) -> str:
        """The new secret; "" when the lease was lost meanwhile: what is stored then tells what to do."""
        provider = self._hands.provider(held.account)
        profile = provider.sign_in or SignIn()
        ask = partial(self._ask, held.account)
        try:
            addresses = oauth.addresses(profile, provider, held.account, self._hands.endpoints())
            addresses = await self._genuine.discover(profile, addresses, ask)
            spent, fresh = self._books.unsaved.get(held.account.id, ("", held.tokens))
            if spent != held.spent:
                if not await self._books.still(held):
                    return ""  # who was stopped for longer than his lease: another process has sent this refresh token by now
                fresh = await self._call(held, profile, addresses)
        except GatewayError as error:
            return await self._failed(held, error)
        except Exception as error:
            log.exception("renewing account %s failed", held.account.label)
            return await self._failed(held, GatewayError(Kind.INTERNAL, f"Renewing the sign-in failed: {type(error).__name__}."))
        if not await self._save(held, fresh):
            return ""
        log.info("account %s is renewed", held.account.label)
        await self._check_person(held, fresh, profile, addresses)
        await self._tell(self._hands.renewed(held.account.id))
        return fresh.encode()

    async def _ask(self, account: Account, request: OAuthRequest) -> tuple[int, Mapping[str, str], bytes]:
        sent = UpstreamRequest(request.method, request.url, request.headers, request.body, account.proxy_url, once=True)
        return await self._upstream.fetch(sent, WITHIN_S)

    async def _call(self, held: Held, profile: SignIn, addresses: Mapping[str, str]) -> Tokens:
        client = oauth.client_for(profile, held.tokens, self._hands.client(held.account))
        status, headers, body = await self._ask(held.account, oauth.refresh(profile, addresses, held.tokens, client))
        hide = (client.secret,) if client.secret else ()
        return oauth.parse_tokens(profile, status, body, self._now(), held.tokens, headers=headers, client=client, hide=hide)

    async def _save(self, held: Held, fresh: Tokens) -> bool:
        """The new pair on disk. What the provider rotated must not be lost to a full disk or a busy database: that is tried for some
        seconds, and the answer kept for the next refresh of this process, as it is when the lease was lost. False: not stored."""
        self._books.unsaved[held.account.id] = (held.spent, fresh)
        for pause in (*SAVE_PAUSES_S, 0.0):
            try:
                end = await self._books.store(held, fresh)
                break
            except GatewayError:
                del self._books.unsaved[held.account.id]  # the account was removed
                raise
            except Exception as error:
                log.exception("the new tokens of account %s could not be stored", held.account.label)
                if not pause:
                    raise GatewayError(Kind.INTERNAL, "The new tokens could not be stored; see the log.") from error
                await self._sleep(pause)
        if end != "lost":
            del self._books.unsaved[held.account.id]
        if end != "stored":
            log.warning("account %s was renewed, but is not ours to write any more (%s)", held.account.label, end)
        return end == "stored"

    async def _failed(self, held: Held, error: GatewayError) -> str:
        """Notes how it ended and raises it; "" when the lease was lost meanwhile."""
        terminal = isinstance(error, OAuthError) and error.terminal
        known = (held.tokens.refresh_token, held.tokens.access_token, held.tokens.client_secret)
        error.message = _told(error.message, known, terminal)
        wait = wait_ms(held.row.failures, error.retry_after, self._rng)
        end = await self._books.fail(held, error.message, FOREVER if terminal else self._now() + wait)
        if end == "lost":
            return ""
        if end == "locked":
            await self._tell(self._hands.refused(held.account.id, error.message))
        if not terminal:
            error.retry_after = wait / 1000
        raise error

    async def _check_person(self, held: Held, fresh: Tokens, profile: SignIn, addresses: Mapping[str, str]) -> None:
        """An id_token that came along is looked at after the pair is stored: the old refresh token is spent, whatever it says."""
        if not fresh.id_token or fresh.id_token == held.tokens.id_token:
            return
        client = oauth.client_for(profile, fresh, self._hands.client(held.account))
        known = held.account.options.get("identity")
        identity: Json = known if isinstance(known, dict) else {}
        subject = identity.get("subject") or oauth.jwt_claims(held.tokens.id_token).get("sub") or ""
        ask = partial(self._ask, held.account)
        try:
            claims = await self._genuine.claims(profile, addresses, client.id, fresh.id_token, str(subject), ask)
        except OAuthError as error:
            reason = _told(error.message, (), terminal=True)
            await self._books.distrust(held.account.id, reason)
            await self._tell(self._hands.refused(held.account.id, reason))
            raise OAuthError(Kind.ACCOUNT_REJECTED, reason, terminal=True) from error
        if claims is not None:
            await self._books.note_person(held.account.id, oauth.identity(profile, fresh, claims))

    async def _tell(self, told: Awaitable[None]) -> None:
        """The tokens are stored: that somebody could not be told of it is no reason to fail those who wait for them."""
        try:
            await told
        except Exception:
            log.exception("telling of a renewal failed")

    def _lead_s(self, account: Account) -> int:
        profile = self._hands.provider(account).sign_in
        return 0 if profile is None else profile.lead_s


def _with(account: Account, secret: str) -> Account:
    """As the asker has it (the format that it faces, its proxy), with the credential of now."""
    tokens = decoded(replace(account, auth="oauth", secret=secret))
    return replace(account, secret=secret, access=tokens.access_token, access_until=tokens.expires_at)


def _told(message: str, known: Sequence[str], terminal: bool) -> str:
    for secret in known:
        message = secrets.scrub(message, secret)
    message = secrets.redact(message)[:400]
    return message if not terminal or AGAIN in message.lower() else f"{message.rstrip('. ')}; {AGAIN}."
