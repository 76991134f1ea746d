"""The operation that brings accounts in, from this machine or from files of any known format. (P-14, P-27, P-28, C-63…C-65, C-90)"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from omni_connector import oauth, providers, transfer
from omni_connector.admin import bodies
from omni_connector.admin.discovering import Discoveries
from omni_connector.admin.importing import Known, Ready, Row, decide
from omni_connector.admin.taking_over import TakingOver
from omni_connector.admin.uploads import ImportAccounts
from omni_connector.errors import GatewayError, bad_request
from omni_connector.oauth import Client
from omni_connector.onboarding.own_client import own_client
from omni_connector.onboarding.signed import SETUPS
from omni_connector.onboarding.values import Asked
from omni_connector.providers import sign_ins
from omni_connector.snapshot import Account
from omni_connector.store import accounts as table
from omni_connector.transfer import Draft, Imported

if TYPE_CHECKING:
    import sqlalchemy as sa

Json = dict[str, Any]

CHUNK = 250
"""Accounts of one transaction."""
FEW = 20
"""Accounts up to which their providers are asked: for their models, and for what a set-up finds."""


class Imports(Discoveries, TakingOver):
    async def import_accounts(self, body: object) -> Json:
        """POST /api/accounts/import → {"format", "dry_run", "total", "added", "updated", "skipped", "failed", "chunks", "asks", "also",
        "accounts": [{"where", "outcome", "label", "provider", "id", "why", "code", "note"}]}.

        `asks`: [{"provider", "provider_label", "code", "message"}] what the user has to decide before some of them can be imported: a
        sign-in that is switched off ("connector_off"), or its provider's terms ("notice"), to be named in `acknowledged`. `also`: aliases,
        chains, prices, limits and settings that were taken over. Repeating an import that was interrupted goes on with it: what is there is
        skipped.

        Raises BAD_REQUEST and TOO_LARGE for a file that cannot be read as a whole, NOT_FOUND for an id.
        """
        given = bodies.read(body, ImportAccounts)
        imported = await self._imported(given)
        rows = [Row(problem.where, "failed", problem.label, problem.provider, problem.why) for problem in imported.problems]
        asks = await self._asks(imported.accounts, given)
        known = Known(await self._stored())
        chunks = 0
        for at in range(0, len(imported.accounts), CHUNK):
            rows += await self._chunk(imported.accounts[at : at + CHUNK], given, known, asks, few=len(imported.accounts) <= FEW)
            chunks += 1
            await asyncio.sleep(0)  # requests are served in between
        if not given.dry_run:
            await self._reload()
        also = await self._also(imported, given, rows)
        if not given.dry_run:
            await self._reload()
            await self._made_known([row.id for row in rows if row.id and row.outcome in ("added", "updated")], given)
        counts = Counter(row.outcome for row in rows)
        return {
            "format": imported.format,
            "dry_run": given.dry_run,
            "total": len(rows),
            **{name: counts[name] for name in ("added", "updated", "skipped", "failed")},
            "chunks": chunks,
            "asks": [ask for ask in asks.values() if ask],
            "also": also,
            "accounts": [row.as_json() for row in rows],
        }

    async def _stored(self) -> Sequence[Account]:
        """As they are in the database: what holds for a provider as a whole, or comes from the environment, is no part of them."""
        return await self.db.run(lambda conn: table.list_accounts(conn, self.vault))

    async def _imported(self, given: ImportAccounts) -> Imported:
        if bool(given.ids) == (given.content is not None):
            raise bad_request("Give either the ids of what was found on this machine, or the content of a file.", "content")
        if given.ids:
            return await self._picked(given.ids)
        content = given.content.encode("utf-8", "replace") if isinstance(given.content, str) else given.content
        read = transfer.read if isinstance(content, bytes) else transfer.read_value
        # In a thread: opening an encrypted one, and reading ten thousand accounts, take a while.
        return await asyncio.to_thread(read, content, provider=given.provider.strip().lower(), passphrase=given.passphrase)

    async def _picked(self, ids: Sequence[str]) -> Imported:
        """The findings of these ids, looked at anew: a file may have changed since they were shown."""
        found = {finding.id: finding for finding in await self._found()}
        missing = next((name for name in ids if name not in found), None)
        if missing is not None:
            near = bodies.did_you_mean(missing, found)
            raise bad_request(f"ids: {missing!r} is not on this machine{near}. GET /api/accounts/discover lists what is.", "ids")
        chosen = [found[name] for name in dict.fromkeys(ids)]
        problems = tuple(transfer.Problem(one.id, one.why_not, "", one.provider) for one in chosen if not one.importable)
        drafts = tuple(replace(one.draft, where=one.id) for one in chosen if one.draft is not None and one.importable)
        return Imported("found", drafts, problems)

    # ------------------------------------------------------------ the user's decisions

    async def _asks(self, drafts: Iterable[Draft], given: ImportAccounts) -> dict[str, Json]:
        """Provider → what the user has to decide before its sign-ins can be imported, {} when nothing."""
        found: dict[str, Json] = {}
        accepted = {providers.canonical(name)[0] for name in given.acknowledged}
        for draft in drafts:
            name = providers.canonical(draft.provider)[0]
            row = providers.PROVIDERS.get(name)
            if draft.auth != "oauth" or name in found or row is None or row.sign_in is None:
                continue
            try:
                # A dry run tells what would be asked, and stores no answer.
                await self._sign_ins().allow(name, draft.fields.get("options") or {}, acknowledged=name in accepted and not given.dry_run)
                found[name] = {}
            except GatewayError as error:
                decided = error.code == "notice" and name in accepted
                asked = error.code in ("notice", "connector_off") and not decided
                label = {"provider": name, "provider_label": row.label}
                found[name] = {**label, "code": error.code, "message": error.message} if asked else {}
        return found

    def _with_client(self, draft: Draft, given: ImportAccounts) -> Draft:
        """Google's sign-ins are renewed with the OAuth client that they were issued to. Raises BAD_REQUEST that names every way."""
        row = providers.PROVIDERS.get(providers.canonical(draft.provider)[0])
        tokens = draft.tokens
        if tokens is None or tokens.client_id or row is None or row.sign_in is None or not row.sign_in.own_client:
            return draft
        wanted = Client(given.client_id.strip(), given.client_secret.strip())
        from_cli = given.client_from_cli or draft.where == row.id  # the sign-in of the program itself, picked by the user
        try:
            client = own_client(row, row.sign_in, self.machine.env, given=wanted, from_cli=from_cli, path=self.machine.path)
        except GatewayError:
            if not from_cli or given.client_from_cli:
                raise
            client = own_client(row, row.sign_in, self.machine.env, given=wanted)
        claims = oauth.jwt_claims(tokens.id_token)
        issued = claims.get("azp") or claims.get("aud")
        if isinstance(issued, str) and issued != client.id:
            theirs, ours = issued[:100], client.id[:100]
            words = f"This sign-in was issued to the OAuth client {theirs}, and only that one can renew it; known here is {ours}."
            raise bad_request(words, "client_id")
        return replace(draft, tokens=replace(tokens, client_id=client.id, client_secret=client.secret))

    # ------------------------------------------------------------ writing

    async def _chunk(
        self, drafts: Sequence[Draft], given: ImportAccounts, known: Known, asks: Mapping[str, Json], *, few: bool
    ) -> list[Row]:
        rows: list[Row] = []
        writes: list[Ready] = []
        for draft in drafts:
            ready = self._ready(draft, given, known, asks)
            if isinstance(ready, Row):
                rows.append(ready)
            elif given.dry_run:
                rows.append(_done(ready, dry=True))
            elif few and _wants_setting_up(ready):
                rows.append(await self._set_up(ready))
            else:
                writes.append(ready)
        return rows + (await self._write(writes) if writes else [])

    def _ready(self, draft: Draft, given: ImportAccounts, known: Known, asks: Mapping[str, Json]) -> Ready | Row:
        ask = asks.get(providers.canonical(draft.provider)[0], {}) if draft.auth == "oauth" else {}
        if ask:
            return Row(draft.where, "failed", draft.label, draft.provider, ask["message"], code=ask["code"])
        try:
            draft = self._with_facts(self._with_client(draft, given))
        except GatewayError as error:
            return Row(draft.where, "failed", draft.label, draft.provider, error.message)
        return decide(draft, known, given.on_conflict, self._clock())

    def _with_facts(self, draft: Draft) -> Draft:
        """What the tokens themselves say about the person, where the file says nothing."""
        row = providers.PROVIDERS.get(providers.canonical(draft.provider)[0])
        profile = None if row is None or draft.tokens is None else sign_ins.sign_in_of(row, draft.fields.get("options") or {})
        if profile is None or draft.tokens is None or draft.whole:
            return draft
        person = {**oauth.identity(profile, draft.tokens), **draft.identity}
        options = {**(draft.fields.get("options") or {}), **({"identity": person} if person else {})}
        return replace(draft, fields={**draft.fields, "options": options})

    async def _write(self, writes: Sequence[Ready]) -> list[Row]:
        """One transaction; where another process got in between, one for each."""
        try:
            rows = await self.db.tx(lambda conn: self._store(conn, writes))
        except GatewayError as error:
            if len(writes) == 1:
                return [_failed(writes[0], error.message)]
            return [row for ready in writes for row in await self._write([ready])]
        for ready in writes:
            if "secret" in (ready.changes or {}):
                self._let_in(ready.account.id)
        return rows

    def _store(self, conn: sa.Connection, writes: Sequence[Ready]) -> list[Row]:
        left_out = table.insert_all(conn, self.vault, [ready.account for ready in writes if ready.changes is None])
        rows = []
        for ready in writes:
            if ready.changes:
                table.update(conn, self.vault, ready.account.id, {**ready.changes, "updated_at": self._clock()})
                if "secret" in ready.changes:
                    table.clear_cooldowns(conn, ready.account.id)
            taken = ready.changes is None and ready.account.id in left_out
            rows.append(_failed(ready, "Its label was taken by another process meanwhile.") if taken else _done(ready))
        return rows

    async def _set_up(self, ready: Ready) -> Row:
        """A sign-in that its provider has to be asked about first (a project, a tier). It is stored with what that finds."""
        draft, account = ready.draft, ready.account
        options = {name: value for name, value in account.options.items() if name not in ("identity", "signed_in")}
        existing = self._find(account.id) if ready.changes is not None else None
        asked = Asked(label=account.label, account=existing, options=options, proxy_url=account.proxy_url)
        assert draft.tokens is not None
        try:
            account_id = await self._sign_ins().adopt(account.provider, draft.tokens, asked)
        except GatewayError as error:
            return _failed(ready, error.message)
        return replace(_done(ready), id=account_id)

    async def _made_known(self, ids: Sequence[str], given: ImportAccounts) -> None:
        """To the dashboards, and where there are few of them, their models asked for."""
        wanted = set(ids)
        chosen = [account for account in self._snapshot().accounts if account.id in wanted]
        if given.discover and len(chosen) <= FEW:
            await asyncio.gather(*(self._discover(account.id) for account in chosen if account.enabled and account.state == "ok"))
        for number, shown in enumerate((await self.accounts())["accounts"]):
            if shown["id"] in wanted:
                self._publish("account", shown)
            if number % CHUNK == CHUNK - 1:
                # Whoever listens too slowly all the same is sent away by `Live`, and comes back for the whole picture.
                await asyncio.sleep(0)


def _wants_setting_up(ready: Ready) -> bool:
    tokens = ready.draft.tokens
    return tokens is not None and ready.account.provider in SETUPS and not ready.account.options.get("project")


def _failed(ready: Ready, why: str) -> Row:
    return Row(ready.draft.where, "failed", ready.account.label, ready.account.provider, why)


def _done(ready: Ready, *, dry: bool = False) -> Row:
    account = ready.account
    outcome: Literal["added", "updated"] = "added" if ready.changes is None else "updated"
    account_id = None if dry and ready.changes is None else account.id
    return Row(ready.draft.where, outcome, account.label, account.provider, account.state_reason, account_id, note=ready.note)
