"""Operations that connect an account by signing in, and what a finished sign-in becomes. (C-19, C-89, O-03, P-18…P-21)"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from omni_connector import onboarding as sign_ins
from omni_connector import providers
from omni_connector.admin import bodies
from omni_connector.admin.accounts import Accounts
from omni_connector.admin.draft import checked_options
from omni_connector.errors import GatewayError, Kind, bad_request
from omni_connector.oauth import Client
from omni_connector.onboarding.signed import other_person, same_person, same_place
from omni_connector.secrets import key_hint, new_id
from omni_connector.snapshot import Account
from omni_connector.store import accounts as table
from omni_connector.tokens import Tokens

if TYPE_CHECKING:
    import sqlalchemy as sa

    from omni_connector.onboarding import Onboarding, Signed
    from omni_connector.providers import Provider

Json = dict[str, Any]

PASTES = ("code", "url", "redirect_url", "redirect_uri", "callback_url")
"""Fields of `complete` that mean the same: what the user pasted."""
KEPT_OPTIONS = ("identity", "signed_in")
"""Options that only a sign-in sets."""
NOT_HERE = GatewayError(Kind.INTERNAL, "This process cannot sign in to providers.")


class StartSignIn(Struct, forbid_unknown_fields=True, kw_only=True):
    """POST /api/oauth/{provider}/start. `account`: label or id of the one to renew; a `label` that exists means it too."""

    label: str = ""
    account: str = ""
    way: str = ""
    headless: bool = False
    acknowledged: bool = False
    client_id: str = ""
    client_secret: str = ""
    client_from_cli: bool = False
    project: str = ""
    proxy_url: str = ""
    options: Json = {}


class CompleteSignIn(Struct, forbid_unknown_fields=True, kw_only=True):
    """POST /api/oauth/flows/{id}/complete: one of PASTES; `state` may stand beside a bare code."""

    code: str = ""
    state: str = ""
    url: str = ""
    redirect_url: str = ""
    redirect_uri: str = ""
    callback_url: str = ""


class AdoptSignIn(Struct, forbid_unknown_fields=True, kw_only=True):
    """POST /api/oauth/{provider}/adopt: the tokens of a sign-in that another program did. `expires_at`: ms."""

    access_token: str
    refresh_token: str = ""
    expires_at: int | None = None
    id_token: str = ""
    scope: str = ""
    client_id: str = ""
    client_secret: str = ""
    label: str = ""
    account: str = ""
    acknowledged: bool = False
    project: str = ""
    proxy_url: str = ""
    options: Json = {}


class SignIns(Accounts):
    onboarding: Onboarding | None = None
    """Set by whoever puts the process together."""

    async def start_sign_in(self, provider_id: str, body: object, *, address: str = "", session: str = "") -> Json:
        """POST /api/oauth/{provider}/start → the flow: "flow_id", "way", "expires_at", "manual", "notice" and either
        "authorization_url", "redirect_uri", "listening", "port_problem" or "verification_uri", "verification_uri_complete",
        "user_code", "interval". `address`: the dashboard's as the caller knows it. `session`: see `onboarding.Asked`.

        Raises CONFLICT with code "notice" and the provider's terms as message until they are acknowledged.
        """
        given = bodies.read(body, StartSignIn)
        provider = providers.get(provider_id)
        asked = sign_ins.Asked(
            **self._asked(given, provider, provider_id),
            way=given.way,
            headless=given.headless,
            client=Client(given.client_id.strip(), given.client_secret.strip()),
            client_from_cli=given.client_from_cli,
            address=address,
            session=session,
        )
        return await self._sign_ins().start(provider.id, asked)

    async def adopt_sign_in(self, provider_id: str, body: object) -> Json:
        """POST /api/oauth/{provider}/adopt → the account, made or renewed with tokens that another program got. Refusals as
        `start_sign_in`; the other program's own sign-in may end when the provider gives each refresh token one use only."""
        given = bodies.read(body, AdoptSignIn)
        provider = providers.get(provider_id)
        names = ("access_token", "refresh_token", "id_token", "scope", "client_id", "client_secret")
        found = {name: getattr(given, name).strip() for name in names}
        if not found["access_token"] or any(not text.isascii() or not text.isprintable() for text in found.values()):
            raise bad_request("access_token: the tokens hold strange characters; take them from their file again.", "access_token")
        tokens = Tokens(**found, expires_at=given.expires_at)
        asked = sign_ins.Asked(**self._asked(given, provider, provider_id))
        return await self.account(await self._sign_ins().adopt(provider.id, tokens, asked))

    async def sign_in(self, flow_id: str) -> Json:
        """GET /api/oauth/flows/{id} → the flow; "status" waiting | done | failed | expired | cancelled, "account" once it is done."""
        return await self._with_account(await self._sign_ins().status(flow_id))

    async def complete_sign_in(self, flow_id: str, body: object, *, session: str | None = None) -> Json:
        """POST …/complete {"code": what was pasted} → the flow, done. A code that belongs elsewhere leaves it waiting."""
        given = bodies.read(body, CompleteSignIn)
        pasted = [text for name in PASTES if (text := getattr(given, name).strip())]
        if len(pasted) != 1:
            raise bad_request("code: paste the code, or the whole address of the page that you ended at, in this one field.", "code")
        text = f"{pasted[0]}#{given.state.strip()}" if given.state.strip() and given.code.strip() else pasted[0]
        return await self._with_account(await self._sign_ins().complete(flow_id, text, session))

    async def cancel_sign_in(self, flow_id: str, *, session: str | None = None) -> Json:
        return await self._with_account(await self._sign_ins().cancel(flow_id, session))

    async def remove_account(self, account_id: str) -> Json:
        """As for any account; a sign-in of ours is also taken back at the provider, in the background."""
        account = self._find(account_id)
        removed = await super().remove_account(account_id)
        if self.onboarding is not None:
            self.onboarding.revoke_soon(account)
        return removed

    # ------------------------------------------------------------ what a sign-in becomes

    async def keep_sign_in(self, signed: Signed) -> str:
        """Stores what a sign-in gave → the account's id. The account it was for is renewed in place; so is one of the same person,
        however often he signs in. Raises CONFLICT when the label, or the account, is somebody else's."""
        provider = providers.get(signed.provider)
        now = self._clock()

        def write(conn: sa.Connection) -> str:
            # Read anew inside the transaction: of two sign-ins of one person, the second one finds the first one's account.
            stored = table.list_accounts(conn, self.vault)
            known = self._renewed(signed, stored, provider)
            fields = _fields(signed, known)
            if known is not None:
                table.update(conn, self.vault, known.id, {**fields, "state": "ok", "state_reason": "", "updated_at": now})
                table.clear_cooldowns(conn, known.id)
                return known.id
            label = signed.label or _free_label(provider.id, {account.label for account in stored})
            account = Account(new_id("acc", now), provider.id, label, created_at=now, updated_at=now)
            table.insert(conn, self.vault, replace(account, **fields))
            return account.id

        account_id = await self._change(write)
        self._let_in(account_id)
        await self._discover(account_id)
        await self._account_told(account_id)
        return account_id

    def _renewed(self, signed: Signed, stored: Sequence[Account], provider: Provider) -> Account | None:
        """The account that a sign-in renews; None: it makes a new one."""
        if signed.account_id is not None:
            known = next((account for account in stored if account.id == signed.account_id), None)
            if known is None:
                raise GatewayError(Kind.NOT_FOUND, "The account was removed while you signed in. Begin a new sign-in.", param="account")
        else:
            known = next((account for account in stored if signed.label and account.label == signed.label), None)
        if known is None:
            mine = (account for account in stored if account.provider == provider.id and account.auth == "oauth")
            here = (account for account in mine if same_place(account.options, signed.options))
            return next((account for account in here if same_person(_identity(account), signed.identity)), None)
        if known.provider != provider.id:
            raise GatewayError(
                Kind.CONFLICT, f"The account {known.label!r} is one of another provider; choose another label.", param="label"
            )
        if other_person(_identity(known), signed.identity):
            who, whose = signed.identity.get("email", "somebody else"), _identity(known).get("email", "somebody else")
            raise GatewayError(
                Kind.CONFLICT,
                f"You signed in as {who}, but the account {known.label!r} belongs to {whose}. Sign in as {whose}, or choose another label.",
                param="label",
            )
        return known

    # ------------------------------------------------------------ inside

    def _sign_ins(self) -> Onboarding:
        if self.onboarding is None:
            raise NOT_HERE
        return self.onboarding

    def _asked(self, given: StartSignIn | AdoptSignIn, provider: Provider, asked_for: str) -> Json:
        """What both bodies say about the account that is meant."""
        account = self._account_meant(given, provider)
        region = providers.canonical(asked_for)[1]
        options = {**({"region": region} if region else {}), **given.options, **({"project": given.project} if given.project else {})}
        return {
            "label": account.label if account is not None else bodies.label(given.label) if given.label.strip() else "",
            "account": account,
            "acknowledged": given.acknowledged,
            "options": checked_options({name: value for name, value in options.items() if name not in KEPT_OPTIONS}, provider),
            "proxy_url": bodies.proxy_url(given.proxy_url),
        }

    def _account_meant(self, given: StartSignIn | AdoptSignIn, provider: Provider) -> Account | None:
        """The account to renew: the one named, or one that has the label already. Raises NOT_FOUND, CONFLICT."""
        name = given.account.strip() or given.label.strip()
        found = next((account for account in self._snapshot().accounts if name and name in (account.id, account.label)), None)
        if found is None and given.account.strip():
            raise GatewayError(Kind.NOT_FOUND, f"There is no account {name!r}. GET /api/accounts lists them.", param="account")
        if found is not None and found.provider != provider.id:
            words = f"There is an account labelled {found.label!r} already, at another provider; choose another label."
            raise GatewayError(Kind.CONFLICT, words, param="account" if given.account.strip() else "label")
        return found

    async def _with_account(self, flow: Json) -> Json:
        there = flow["status"] == "done" and any(account.id == flow["account_id"] for account in self._snapshot().accounts)
        return {**flow, "account": await self.account(flow["account_id"]) if there else None}


def _fields(signed: Signed, known: Account | None) -> Json:
    """What a sign-in sets. Options that others set in the meantime stay."""
    options = {**(known.options if known else {}), **signed.options}
    hint = key_hint(signed.secret) if signed.auth == "api_key" else ""
    fields = {"auth": signed.auth, "secret": signed.secret, "options": options, "key_hint": hint}
    return {**fields, "proxy_url": signed.proxy_url} if signed.proxy_url else fields


def _free_label(base: str, taken: set[str]) -> str:
    return next(name for n in range(1, len(taken) + 2) if (name := base if n == 1 else f"{base}-{n}") not in taken)


def _identity(account: Account) -> Mapping[str, Any]:
    found = account.options.get("identity")
    return found if isinstance(found, dict) else {}
