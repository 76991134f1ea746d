"""Operations on accounts: add, edit, remove, switch, test, clear. (R-43, R-47, C-67…C-71)"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from omni_connector import catalog, environment, providers, quotas
from omni_connector.admin import bodies, shapes
from omni_connector.admin.draft import changed_fields, key_warning, moved_values, must_be_complete, new_account, provider_of
from omni_connector.admin.room import Room
from omni_connector.admin.shapes import Activity, TestResult
from omni_connector.admin.when import day_start
from omni_connector.errors import GatewayError, Kind
from omni_connector.probing import KIND as PROBE
from omni_connector.providers import Provider, command_values
from omni_connector.quotas import Poller
from omni_connector.routing.health import span
from omni_connector.routing.pool import Live
from omni_connector.routing.probes import announced, doubtful
from omni_connector.snapshot import Account, Cooldown
from omni_connector.store import accounts as table
from omni_connector.store import jobs, settings, sums
from omni_connector.usage import usd

Json = dict[str, Any]
LOGIN_STATUSES = (401, 403)
NOT_TESTABLE = TestResult(False, None, "Not tested: this process cannot ask providers.")
ELSEWHERE = ("region", "endpoints", "wire", "command")
"""Options that say who is asked: another one is as good as another address."""


def _elsewhere(account: Account, changes: Mapping[str, Any]) -> bool:
    given = changes.get("options")
    return given is not None and any(given.get(name) != account.options.get(name) for name in ELSEWHERE)


class Accounts(Room):
    poller: Poller | None = None
    """Set by whoever puts the process together."""

    async def accounts(self) -> Json:
        """GET /api/accounts. Highest priority first, then by label."""
        activity, polls = await self._activity(), await self._polls()
        return {"accounts": [self._account_json(a, activity, polls.get(a.id)) for a in self._in_order()]}

    def _in_order(self) -> list[Account]:
        return sorted(self._snapshot().accounts, key=lambda a: (-a.priority, a.label.lower()))

    async def account(self, account_id: str) -> Json:
        """GET /api/accounts/{id}; also what every `account` event carries. `can_probe`: `probe` would ask. Raises NOT_FOUND."""
        account, polls = self._find(account_id), await self._polls()
        return self._account_json(account, await self._activity(), polls.get(account_id))

    async def add_account(self, body: object) -> Json:
        """POST /api/accounts → the account, with "test" (unless "discover" is false) and, where the key looks wrong, "warning".

        Raises BAD_REQUEST naming the field, CONFLICT naming the label.
        """
        given = bodies.read(body, bodies.NewAccount)
        account = new_account(given, self._free_label(given), self._clock(), self._snapshot().providers)
        await self._change(lambda conn: table.insert(conn, self.vault, account))
        tested = await self._discover(account.id) if given.discover else None
        warning = key_warning(providers.get(account.provider), account.secret)
        return await self._account_told(account.id, tested, warning)

    async def edit_account(self, account_id: str, body: object) -> Json:
        """PATCH /api/accounts/{id}. A new key or address also forgets the old one's failures and is tried at once."""
        patch = bodies.read(body, bodies.AccountPatch)
        account = self._find(account_id)
        provider = providers.get(account.provider)
        changes = changed_fields(patch, provider)
        changes |= moved_values(account, changes)
        if changes.get("balance"):
            changes["balance"] = {**changes["balance"], "set_at": self._clock()}
        renewed = bool(changes.keys() & {"secret", "base_url", "proxy_url", "headers"}) or _elsewhere(account, changes)
        if renewed:
            changes |= {"state": "ok", "state_reason": ""}
        # Checked on the whole account, because a provider may need what the patch just took away.
        must_be_complete(providers.complete(replace(account.own or account, **changes), self._snapshot().providers), provider)

        def write(conn: Any) -> None:
            table.update(conn, self.vault, account_id, {**changes, "updated_at": self._clock()})
            if renewed:
                table.clear_cooldowns(conn, account_id)

        if changes:
            await self._change(write)
        if renewed:
            self._let_in(account_id)
        tested = await self._discover(account_id) if renewed and patch.discover else None
        return await self._account_told(account_id, tested, key_warning(provider, str(changes.get("secret", ""))))

    async def remove_account(self, account_id: str) -> Json:
        """DELETE /api/accounts/{id}. Its requests stay in the books."""
        account = self._find(account_id)

        def write(conn: Any) -> None:
            table.delete(conn, account_id)
            if environment.is_environments(account.label):
                # Its key still stands in the environment: it must not come back with the next start.
                removed = (settings.get_meta(conn, environment.REMOVED) or "").split()
                settings.set_meta(conn, environment.REMOVED, " ".join([*removed, environment.mark(account.secret)]))

        await self._change(write)
        self._publish("account-removed", {"id": account_id})
        return {"id": account_id, "label": account.label, "removed": True}

    async def enable(self, account_id: str) -> Json:
        return await self._switch(account_id, True)

    async def disable(self, account_id: str) -> Json:
        """New requests go elsewhere at once; what is in flight ends normally."""
        return await self._switch(account_id, False)

    async def clear_cooldown(self, account_id: str) -> Json:
        """Lets the account back in, whatever kept it out: cooldowns, and the memory of a refused credential."""
        self._find(account_id)

        def write(conn: Any) -> None:
            table.clear_cooldowns(conn, account_id)
            # Whatever the snapshot says: a refusal of this moment is a row that it does not show yet.
            table.set_state(conn, account_id, "ok", "")

        await self._change(write)
        self._let_in(account_id)
        return await self._account_told(account_id)

    async def probe(self, account_id: str) -> Json:
        """POST …/{id}/probe → {"job", "message"}: the account is asked now whether it is back. `job` null: there is nothing to ask,
        and `message` says why. Raises NOT_FOUND."""
        account, now = self._find(account_id), self._clock()
        if why := self._needs_no_probe(account, now):
            return {"job": None, "message": why}

        def wake(conn: Any) -> jobs.JobRow:
            jobs.wake(conn, PROBE, account_id, now, now)
            mine = next(job for job in jobs.list_jobs(conn) if (job.kind, job.key) == (PROBE, account_id))
            return jobs.run_now(conn, mine.id, now)

        return {"job": shapes.job(await self.db.tx(wake)), "message": f"{account.label} is asked now whether it is back."}

    async def test(self, account_id: str) -> Json:
        """POST …/{id}/test → test result. Stores the models found, and whether the credential is still accepted."""
        self._find(account_id)
        return (await self._discover(account_id)).as_json()

    async def test_unsaved(self, body: object) -> Json:
        """POST /api/accounts/test → test result; nothing is stored."""
        given = bodies.read(body, bodies.TriedAccount)
        shared = self._snapshot().providers
        known = command_values.known(self._find(given.id)) if given.id else {}
        account = new_account(given, given.label.strip() or given.provider, self._clock(), shared, known)
        result = (await self._ask_provider(providers.complete(account, shared))).as_json()
        warning = key_warning(providers.get(account.provider), account.secret)
        return {**result, "warning": warning} if warning else result

    async def reset_health(self, provider_id: str) -> Json:
        """POST /api/providers/{type}/reset-health → {"accounts": […]}: `clear_cooldown` for all accounts of a provider. (C-73)"""
        provider = providers.get(provider_id)
        chosen = [a.id for a in self._snapshot().accounts if a.provider == provider.id]
        return {"accounts": [await self.clear_cooldown(account_id) for account_id in chosen]}

    async def health_check(self, provider_id: str) -> Json:
        """POST /api/providers/{type}/health-check → {"results": [{"id", "label", …test result}]}. (C-72)"""
        provider = providers.get(provider_id)
        chosen = [a for a in self._snapshot().accounts if a.provider == provider.id]
        return {"results": [{"id": a.id, "label": a.label, **await self.test(a.id)} for a in chosen]}

    # ------------------------------------------------------------ inside

    def _find(self, account_id: str) -> Account:
        for account in self._snapshot().accounts:
            if account.id == account_id:
                return account
        raise GatewayError(Kind.NOT_FOUND, f"There is no account {account_id!r}. GET /api/accounts lists them.", param="id")

    def _let_in(self, account_id: str) -> None:
        """The rows are gone; the pool may hold a cooldown that was not written yet."""
        if self._pool is not None:
            self._pool.clear(account_id)

    def _needs_no_probe(self, account: Account, now: int) -> str:
        """Why asking would tell nothing, or is not done (DESIGN.md, law 6); "" when it would."""
        cooldowns = self._cooldowns(account.id)
        if not account.enabled:
            return f"{account.label} is {f'not used: {account.switched_off}' if account.switched_off else 'switched off'}."
        if account.state == "error":
            return f"{account.label} does not work as it is configured: {account.state_reason or 'test it'}."
        if until := announced(cooldowns, now):
            return f"The provider of {account.label} said when it is back, in {span(until - now)}; it is not asked before."
        if not doubtful(account, cooldowns, now):
            return f"Nothing keeps {account.label} out that could be asked about."
        return "" if self.settings.probe_max_s else "Accounts are never asked whether they are back: probe_max_s is 0."

    async def _activity(self) -> Mapping[str, Json]:
        since = day_start(self._clock())
        return await self.db.run(lambda conn: sums.account_activity(conn, since))

    async def _polls(self) -> Mapping[str, jobs.JobRow]:
        """Account id → the job that asks what is left on it."""
        return {job.key: job for job in await self.db.run(jobs.list_jobs) if job.kind == quotas.KIND}

    def _account_json(self, account: Account, activity: Mapping[str, Json], poll: jobs.JobRow | None) -> Json:
        row = activity.get(account.id, {})
        known = row.get("cost_nano", 0) or not row.get("unpriced", 0)
        lately = Activity(
            in_flight=self._live(account.id).in_flight,
            heartbeat=row.get("heartbeat", ()),
            requests_today=row.get("requests", 0),
            cost_today=usd(row.get("cost_nano", 0)) if known else None,
            last_used_at=max(filter(None, (account.last_used_at, self._live(account.id).last_used)), default=None),
        )
        families = {catalog.family(model) for model in account.known_models}
        provider = providers.PROVIDERS.get(account.provider)
        label = account.provider if provider is None else self._provider_label(provider)
        shown = self._spent(shapes.account(account, label, self._cooldowns(account.id), lately, self._clock(), families))
        left = quotas.shape(account, poll, self._clock(), self.settings.quota_refresh_interval * 60_000)
        can_refresh = self.poller is not None and self.poller.asks(account)
        return {**shown, **left, "can_refresh": can_refresh, "can_probe": not self._needs_no_probe(account, self._clock())}

    def _provider_label(self, provider: Provider) -> str:
        given = self._snapshot().providers.get(provider.id)
        return (given.name if given else "") or provider.label

    def _live(self, account_id: str) -> Live:
        return Live() if self._pool is None else self._pool.live(account_id)

    def _cooldowns(self, account_id: str) -> list[Cooldown]:
        """The pool knows of a cooldown a moment before its row is written."""
        if self._pool is not None:
            return self._pool.cooldowns(account_id)
        return [c for c in self._snapshot().cooldowns if c.account_id == account_id]

    async def _account_told(self, account_id: str, tested: TestResult | None = None, warning: str | None = None) -> Json:
        """The account as it is now: to the dashboards, and as the answer."""
        account = await self.account(account_id)
        self._publish("account", account)
        extra: Json = {} if tested is None else {"test": tested.as_json()}
        if warning:
            extra["warning"] = warning
        return {**account, **extra}

    async def _switch(self, account_id: str, enabled: bool) -> Json:
        self._find(account_id)
        await self._change(lambda conn: table.update(conn, self.vault, account_id, {"enabled": enabled}))
        return await self._account_told(account_id)

    async def _ask_provider(self, account: Account) -> TestResult:
        if self._test_account is None:
            return NOT_TESTABLE
        try:
            return await self._test_account(account)
        except GatewayError as error:
            status = 401 if error.kind is Kind.ACCOUNT_REJECTED else error.upstream_status
            return TestResult(False, status, error.message)

    async def _discover(self, account_id: str) -> TestResult:
        """Ask the provider, and keep what it said. Only its own refusal changes the account's state, never a bad connection."""
        account = self._find(account_id)
        result = await self._ask_provider(account)
        refused = not result.ok and result.status in LOGIN_STATUSES

        def write(conn: Any) -> None:
            if result.ok and result.models:
                table.set_discovered(conn, account_id, result.models)
            if result.ok and account.state != "ok":
                table.set_state(conn, account_id, "ok", "")
            if refused:
                table.set_state(conn, account_id, "needs_login", result.message)

        if refused or (result.ok and (result.models != account.discovered or account.state != "ok")):
            await self._change(write)
            self._publish("account", await self.account(account_id))
        return result

    def _free_label(self, given: bodies.NewAccount) -> str:
        """The label asked for, or the provider's id, "-2", "-3", … — the first that is free."""
        if given.label.strip():
            return bodies.label(given.label)
        taken = {account.label for account in self._snapshot().accounts}
        base = provider_of(given.provider).id
        return next(name for n in range(1, len(taken) + 2) if (name := base if n == 1 else f"{base}-{n}") not in taken)
