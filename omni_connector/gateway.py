"""One process of omni-connector, put together: storage, secrets, snapshot, pool, ledger, relay, jobs and the admin operations.

`app.py` opens one of these and gives it routes; tests open one without HTTP. What is here is wiring: each decision is in
the room that owns it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from omni_connector import catalog, environment, homelock, nodes, oauth, prices, providers, restoring, secrets, settings, tokens, usage
from omni_connector.admin import Admin, Process, TestResult, now_ms
from omni_connector.admin.probe import WITHIN_S, ask_models
from omni_connector.admission import Admission
from omni_connector.alerts import Teller, Watch
from omni_connector.booking import Booking
from omni_connector.budgets import Budgets
from omni_connector.calibration import Calibration, Learned
from omni_connector.call import Call
from omni_connector.command import Commands
from omni_connector.counting import Count, Counter
from omni_connector.errors import GatewayError, Kind, bad_request
from omni_connector.fetch import PublicFetcher
from omni_connector.jobs import Jobs
from omni_connector.journal import Journal
from omni_connector.kept import Kept
from omni_connector.ledger import Ledger, gathering_s
from omni_connector.live import Live
from omni_connector.local_logins import machine
from omni_connector.neighbours import Neighbours
from omni_connector.onboarding import Doors as SignInDoors
from omni_connector.onboarding import Onboarding
from omni_connector.onboarding.own_client import own_client
from omni_connector.pinging import Pinger
from omni_connector.planning import Planner
from omni_connector.prepare import Asked, Preparer, Sources
from omni_connector.probing import Hands, Prober
from omni_connector.prompts import Prompts
from omni_connector.providers import sign_ins
from omni_connector.quotas import Hands as PollingHands
from omni_connector.quotas import Poller
from omni_connector.readiness import Readiness
from omni_connector.reconciling import Hands as ReconcilingHands
from omni_connector.reconciling import Reconciler
from omni_connector.record import Record
from omni_connector.refreshing import Hands as RenewHands
from omni_connector.refreshing import Refresher, Renewals
from omni_connector.relay import Relay
from omni_connector.routing.patience import HEADER, patience_ms
from omni_connector.routing.plan import Plan
from omni_connector.routing.pool import Pool
from omni_connector.routing.resolve import Candidate, ModelName
from omni_connector.sight import Sight
from omni_connector.snapshot import Account, ClientKey, Snapshot
from omni_connector.spill import Spill
from omni_connector.standing import Hands as StandingHands
from omni_connector.standing import Standing
from omni_connector.store import accounts as account_rows
from omni_connector.store import calibrations as calibration_rows
from omni_connector.store import homes as home_rows
from omni_connector.store import kept as kept_rows
from omni_connector.store import keys as key_rows
from omni_connector.store import settings as setting_rows
from omni_connector.store.engine import Database
from omni_connector.store.files import Away, Damaged
from omni_connector.store.snapshot import load_snapshot
from omni_connector.underway import Deadlines, Doors
from omni_connector.upstream import Upstream
from omni_connector.wire.views import View

log = logging.getLogger("omni.gateway")

TOUCH_S = 10.0
"""Between two notes of what was used lately, and two looks at the system for the dashboards."""
HOMES_S = 0.5
"""A conversation's home is on disk this much after the answer at the latest; one write serves all answers of that time."""
Json = dict[str, Any]


class Gateway:
    """`await Gateway.open(home)` … `await gateway.close()`. `env` is the environment; `serving` starts what only a server needs."""

    def __init__(self, home: Path, env: Mapping[str, str], db: Database, vault: secrets.Vault, server: str, base_url: str) -> None:
        self.home = home
        self.env = env
        self.db = db
        self.vault = vault
        self.snapshot = Snapshot()
        self.settings = settings.load(env, {})
        self.endpoints: providers.Endpoints = {}
        self.admin_key = secrets.load_or_create_admin_key(home, env)
        self.process_id = nodes.new_process_id(self.settings.node_name)
        self.started_at = now_ms()
        self.live = Live()
        self.pool = Pool(catalog.family)
        self.upstream = Upstream(commands=Commands(home, env))
        self.fetcher = PublicFetcher()
        self.kept = Kept(db, vault, lambda: self.spill.away)
        self.prompts = Prompts(home, lambda: self.settings, now_ms)
        self.counter = Counter(self.upstream, lambda: self.endpoints)
        self.sight = Sight(env, lambda: self.pool.accounts)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._used: dict[str, int] = {}
        self._homes_due: asyncio.TimerHandle | None = None
        self.hold: homelock.Hold | None = None
        self.has_siblings = False  # other workers or nodes serve beside this one, and the next request may come to any of them
        self._rng = random.Random()
        self._prices: asyncio.Task[None] | None = None
        self._toucher: asyncio.Task[None] | None = None
        self._follower: asyncio.Task[None] | None = None
        self._serving = False
        self._reloading = asyncio.Lock()
        self.budgets = Budgets(db, now_ms)
        self.booking = Booking(db, self.budgets, self._account, now_ms)
        self.spill = Spill(home / "spill", self.process_id, lambda: self.settings, now_ms, server=db.path is None)
        self.journal = Journal(home / "spill", self.process_id, self.booking, self.spill, lambda: self.has_siblings)
        self.readiness = Readiness(self.spill)
        self.ledger = Ledger(self.journal.write, spill=self.spill)
        self.calibration = Calibration(catalog.family)
        self.planner = Planner(
            lambda: self.snapshot, lambda: self.settings, self.pool, self._priced, now_ms, self.budgets, self.calibration.upper
        )
        self.planner.likely = self.counter.likely = self.calibration.likely
        self.admission = Admission(self.ledger, self.budgets, self.planner.stake, now_ms)
        self.standing = Standing(db, self.pool, self._standing_hands(), now_ms, self._rng)
        renewing = self._renew_hands()
        shared = db.shared(now_ms)
        self.refresher = Refresher(db, vault, self.upstream, renewing, self.process_id, shared, self._rng)
        self.poller = Poller(db, self.upstream, self._polling_hands(), lambda: self.settings, self.process_id, now_ms, self._rng)
        doors = self._doors()
        self._looker = Preparer(doors.sources)
        self.relay = Relay(self.ledger, self.upstream, self.pool, doors, Deadlines())
        pinger = Pinger(self.upstream, self.ledger, self.process_id, now_ms, self._publish_record, self.admission.probe)
        prober = Prober(db, self.upstream, pinger, self._hands(), lambda: self.settings, now_ms, self._rng)
        renewals = Renewals(db, self.refresher, renewing, shared, self._rng)
        told = self.live.publish
        self.teller = Teller(db, vault, self.fetcher.post, lambda: self.settings, now_ms, told)
        self.watch = Watch(db, lambda: self.pool.accounts, self.pool.cooldowns, self._fresh, lambda: self.settings, now_ms, told)
        comparing = ReconcilingHands(lambda: self.pool.accounts, lambda: self.endpoints, self.watch.begin, self.watch.over)
        reconciler = Reconciler(db, self.upstream, comparing, now_ms, self._rng)
        by_need = (prober, renewals, self.watch, self.teller, self.poller, reconciler)
        estimate = self.booking.estimate
        self.jobs = Jobs(
            db, lambda: self.settings, home, self.process_id, now_ms, self.reload, by_need, self.watch, estimate, self.journal.inherit
        )
        self.admin = self._administration(Process(self.started_at, home, base_url, server, self.process_id))
        self.neighbours = Neighbours(db, self.live, self.admin, self.process_id, now_ms, lambda: not self.has_siblings)
        self.onboarding = self.admin.onboarding = Onboarding(self._sign_in_doors(base_url))

    # ------------------------------------------------------------ what each part is given of the others

    def _administration(self, process: Process) -> Admin:
        admin = Admin(
            self.db,
            self.vault,
            self.settings,
            snapshot=lambda: self.snapshot,
            reload=self.reload,
            publish=self.live.publish,
            process=process,
            pool=self.pool,
            test_account=self.test_account,
            preview=self.preview,
        )
        admin.teller = self.teller
        admin.machine = machine(self.env)
        admin.poller = self.poller
        admin.budgets = self.budgets
        admin.spill = self.spill
        admin.next_request = self.live.next_request
        return admin

    def _doors(self) -> Doors:
        """What the relay needs."""
        return Doors(
            plan=self.planner.plan,
            estimate=usage.estimate_tokens,
            likely=self.calibration.likely,
            price=prices.price,
            prices_loaded=self._prices_loaded,
            may_plan=self._may_plan,
            sources=Sources(
                endpoints=lambda: self.endpoints,
                keeping=lambda: self.settings.responses_store,
                earlier=self.kept.earlier,
                marks=self.kept.marks,
                media=self._media,
                continuing=lambda: self.settings.continue_broken_streams,
            ),
            window=self._window,
            filters_fall_over=lambda: self.settings.filtered_falls_over,
            patience=lambda call: patience_ms(call.headers.get(HEADER), self.settings.wait_for_account_s),
            heard=self.poller.harvest,
            renew=self.refresher.renew,
            hopeless=self.refresher.hopeless,
            enter=self.admission.begin,
            enter_first=self.admission.first,
            entered=self.admission.end,
            failed=self.standing.failed,
            answered=self._answered,
            worked=self.standing.worked,
            publish=self._publish_record,
            seal=self._seal,
            process_id=self.process_id,
            now=now_ms,
            mark=self.sight.tracing.mark,
        )

    def _sign_in_doors(self, base_url: str) -> SignInDoors:
        return SignInDoors(
            db=self.db,
            vault=self.vault,
            fetch=self.upstream.fetch,
            settings=lambda: self.settings,
            endpoints=lambda: self.endpoints,
            accounts=lambda: self.snapshot.accounts,
            env=self.env,
            keep=self.admin.keep_sign_in,
            address=base_url,
            now=now_ms,
        )

    def _renew_hands(self) -> RenewHands:
        return RenewHands(
            accounts=lambda: self.pool.accounts,
            endpoints=lambda: self.endpoints,
            client=self._own_client,
            renewed=self.standing.renewed,
            refused=self.standing.refused,
        )

    def _standing_hands(self) -> StandingHands:
        return StandingHands(
            settings=lambda: self.settings,
            reload=self.reload,
            show=self._show_account,
            used=self.note_used,
            spawn=self._spawn,
            spawn_once=self._spawn_once,
        )

    def _own_client(self, account: Account) -> oauth.Client | None:
        """The user's own client at a provider that wants one, for tokens that do not say whose they are; None: the provider's.
        Raises GatewayError (BAD_REQUEST) that names the variables when it is wanted and nowhere to be found."""
        provider = providers.get(account.provider)
        if provider.sign_in is None or not provider.sign_in.own_client:
            return None
        return own_client(provider, provider.sign_in, self.env, given=oauth.Client(""), kept=tokens.decode(account.secret))

    def _polling_hands(self) -> PollingHands:
        return PollingHands(
            accounts=lambda: self.pool.accounts,
            cooldowns=self.pool.cooldowns,
            endpoints=lambda: self.endpoints,
            renew=self.refresher.renew,
            recovered=self.standing.store_recovery,
            reload=self.reload,
            show=self._show_account,
        )

    def _hands(self) -> Hands:
        """What the probes of locked accounts need."""
        return Hands(
            accounts=lambda: self.pool.accounts,
            cooldowns=self.pool.cooldowns,
            endpoints=lambda: self.endpoints,
            ask=self.test_account,
            recovered=self.standing.store_recovery,
            accepted=self.standing.store_accepted,
            renew=self.refresher.renew,
            failed=self.standing.failed,
            learned=self.standing.store_learned,
        )

    @classmethod
    async def open(cls, home: Path, env: Mapping[str, str] | None = None, *, server: str = "none", base_url: str = "") -> Gateway:
        """Home, keys and database made ready (created when they are not there), the schema brought up to date, every secret
        decrypted once. Raises SettingsError, SecretsError, DatabaseError with what to do; changes nothing then."""
        real = os.environ if env is None else env
        settings.prepare_home(home)
        with contextlib.ExitStack() as undo:
            hold = await asyncio.to_thread(restoring.enter, home)
            undo.callback(hold.release)
            gateway = await cls._opened(home, settings.environment(home, real), server, base_url)
            undo.pop_all()
        gateway.hold = hold
        return gateway

    @classmethod
    async def _opened(cls, home: Path, env: Mapping[str, str], server: str, base_url: str) -> Gateway:
        vault = secrets.load_or_create_master(home, env)
        first = settings.load(env, {})
        try:
            db = await Database.open(first.database_url or f"sqlite:///{home / 'omni.db'}")
        except Damaged as damage:
            raise await asyncio.to_thread(restoring.offer, home, damage) from damage
        try:
            await db.migrate(keep=home / "backups")
            gateway = cls(home, env, db, vault, server, base_url)
            await gateway.reload()
            await gateway.journal.inherit()
        except BaseException:
            await db.close()
            raise
        return gateway

    async def serve(self, *, jobs: bool = True, resident: bool = True) -> None:
        """Start what a server needs: ledger, connections, recovery of what a crash left open, jobs, watching for changes. `resident`
        False: the process may be frozen between requests, so nothing goes on beside them (awake.py)."""
        self._serving = True
        self.sight.begin(self.settings)
        await self.spill.begin(self.journal.carry, self.booking.forget)
        self.db.settled = self.journal.start() if resident and self.db.path is not None else None
        self.ledger.start()
        await self.upstream.open()
        if resident:
            await self.jobs.start(clock=jobs)
            log.info("recovery: %s", await self.jobs.recover())
        await self.add_environment_accounts()
        await self.teller.from_environment()
        self.planner.homes.load(await self.db.run(home_rows.load), now_ms())
        self.calibration.load(Learned(**row) for row in await self.db.run(calibration_rows.load))
        self._prices = asyncio.create_task(asyncio.to_thread(usage.tables_in, self.home), name="price tables")
        if not resident:
            return
        self.readiness.watch = await self.db.watch(self._moved, since=self.snapshot.version)
        self._toucher = asyncio.create_task(self._touch_forever(), name="touch")
        self._follower = asyncio.create_task(self.neighbours.follow(), name="neighbours")

    async def close(self) -> None:
        """In the opposite order; what was settled is on disk when this returns."""
        self.live.close()
        if self._homes_due is not None:
            self._homes_due.cancel()
        for task in filter(None, (self._toucher, self._follower)):
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await self.onboarding.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.prompts.close()
        try:
            if self._serving:
                await self._stop_serving()
        finally:
            await self.db.close()
            if self.hold is not None:
                self.hold.release()

    async def _stop_serving(self) -> None:
        if self._prices is not None:
            await asyncio.gather(self._prices, return_exceptions=True)
        for part in (self.refresher, self.jobs, self.ledger, self.journal, self.spill, self.upstream):
            await part.close()
        await asyncio.to_thread(self.sight.tracing.close)
        with contextlib.suppress(Away):  # "last used" is for people
            await self._touch()

    # ------------------------------------------------------------ the snapshot

    async def reload(self) -> None:
        """Read the configuration anew. What is in flight keeps the snapshot it began with."""
        async with self._reloading:
            fresh = await self.db.run(lambda conn: load_snapshot(conn, self.vault, providers.complete))
            self.admin_key = await asyncio.to_thread(secrets.load_or_create_admin_key, self.home, self.env)
            if fresh.version >= self.snapshot.version:
                await self.budgets.follow(fresh)
                self._take(fresh)

    def _take(self, fresh: Snapshot) -> None:
        # What can fail comes first: the old picture or the new one, never half of each.
        stored = settings.load(self.env, fresh.settings)
        endpoints = providers.load_endpoints(stored.endpoints_file) if stored.endpoints_file else {}
        accounts = sign_ins.only_one(fresh.accounts, providers.PROVIDERS)
        fresh = replace(fresh, accounts=tuple(environment.proxied(account, stored, self.env) for account in accounts))
        self.snapshot, self.settings, self.endpoints = fresh, stored, endpoints
        providers.forget()
        self.ledger.gather = gathering_s(stored.group_commit_ms, server=self.db.path is None)
        self.upstream.connect_timeout = stored.connect_timeout_s
        self.admin.settings = stored
        self.pool.sync(fresh, now_ms())
        self.relay.deadlines = Deadlines(
            first_byte=stored.first_byte_timeout_s,
            idle=stored.idle_timeout_s,
            whole=stored.whole_timeout_s,
            total=stored.total_timeout_s,
            window=stored.attempts_window_s,
            keepalive=stored.keepalive_s,
            max_attempts=stored.max_attempts,
            retry_share=stored.retry_budget,
            retry_floor=stored.retry_budget_min,
        )
        self.sight.follow(stored)
        # Where nothing can be written down beside the database, waiting for it is better than failing.
        self.db.patience_s = stored.database_wait_s if stored.spill_mb else 0.0

    async def catch_up(self) -> bool:
        """Takes over what another worker has just changed; True when there was something."""
        before = self.snapshot.version
        if self.has_siblings and not self.spill.away:
            with contextlib.suppress(Away):
                await self._fresh()
        return self.snapshot.version > before

    async def _fresh(self) -> None:
        """As the database has it now: what another process has just changed may not have come over yet."""
        if await self.db.run(setting_rows.config_version, soon=True) > self.snapshot.version:
            await self.reload()

    async def _moved(self, version: int) -> None:
        """Another process changed something: take it over and show it."""
        if version <= self.snapshot.version:
            return
        before = self.snapshot
        await self.reload()
        await self.neighbours.changed(before, self.snapshot)

    # ------------------------------------------------------------ what the relay asks for

    async def preview(self, call: Call) -> tuple[str, Plan]:
        """See `Planner.preview`: what the call would do now, without sending it."""
        return await self.planner.preview(call, self._looker)

    def models(self, key: ClientKey) -> list[ModelName]:
        return self.planner.models(key)

    async def count(self, call: Call, body: Json, model: str) -> Count:
        """Tokens of a request: asked of the account that would serve it, else estimated. Raises GatewayError for a wrong request;
        a model that nobody serves is estimated too, since clients count before they choose."""
        try:
            plan = self.planner.plan(call, Asked(call, View(model, False, False, {}, False)))
        except GatewayError as error:
            if error.kind not in (Kind.MODEL_NOT_FOUND, Kind.NO_ACCOUNT):
                raise
            return await self.counter.count(call, body, ())
        return await self.counter.count(call, body, plan.attempts)

    async def _media(self, urls: Sequence[str]) -> Mapping[str, tuple[str, str]]:
        stored = self.settings
        if not stored.fetch_media:
            raise bad_request("The model that serves this wants pictures and documents as bytes. Send them as base64.")
        return await self.fetcher.fetch_all(
            urls,
            limit_bytes=stored.fetch_media_mb << 20,
            within_s=stored.fetch_media_timeout_s,
            allow_private=stored.fetch_private_media,
        )

    def _window(self, candidate: Candidate) -> int | None:
        return None if (found := catalog.lookup(providers.price_id(candidate.account), candidate.model)) is None else found.context_window

    def _account(self, account_id: str) -> Account | None:
        return self.pool.accounts.get(account_id)

    def _priced(self) -> bool:
        return self._prices is None or self._prices.done()

    async def _may_plan(self) -> None:
        """Whoever has budgets is not served on prices that are still unknown."""
        if self.budgets.watching:
            await self._prices_loaded()

    async def _prices_loaded(self) -> None:
        if self._prices is not None and not self._prices.done():
            await asyncio.shield(self._prices)

    async def _seal(self, keeps: Sequence[Json]) -> Sequence[Json]:
        # In a thread, and ahead of the ledger: pictures take seconds, which no stream and no other request should wait for.
        return await asyncio.to_thread(kept_rows.sealed, self.vault, keeps)

    async def _show_account(self, account_id: str) -> None:
        if self.live.listening and account_id in self.pool.accounts:
            self.live.publish("account", await self.admin.account(account_id))

    def _publish_record(self, record: Record) -> None:
        """A row was opened or settled."""
        if record.settled_at is not None:
            self.sight.settled(record)
            self.calibration.hear(record)
        if self.live.listening:
            self.live.publish("request", record.view())

    def tick_soon(self) -> None:
        """Run due jobs now, without making anybody wait for them."""
        self._spawn(self.jobs.tick())

    def note_used(self, name: str, at: int) -> None:
        """An account's or a key's id, and when it was last used (ms)."""
        self._used[name] = at

    async def _touch_forever(self) -> None:
        """ "Last used" is for people: written in one go now and then, not with every request."""
        while True:
            await asyncio.sleep(TOUCH_S)
            await self.catch_breath()
            await self._tell_of_the_house()

    async def catch_breath(self) -> None:
        """What need not be done with every request."""
        try:
            await self._touch()
            await self.budgets.refresh()
            await self.budgets.tell(self.watch.begin, self.watch.over)
        except Exception as error:
            log.error("noting what was used failed; it is tried again", exc_info=not isinstance(error, Away))

    async def _tell_of_the_house(self) -> None:
        """Also while the database is away: that is what the pages have to hear."""
        if not self.live.listening:
            return
        try:
            self.live.publish("system", await self.admin.system())
        except Exception as error:
            log.error("the open pages could not be told of the server", exc_info=not isinstance(error, Away))

    async def _touch(self, *, last: bool = False) -> None:
        now = now_ms()
        used, self._used = self._used, {}
        homes = self.planner.homes.take()
        learned = self.calibration.take(now, last=last)
        if not used and not homes and not learned:
            return

        def write(conn: Any) -> None:
            account_rows.touch(conn, {name: at for name, at in used.items() if name.startswith("acc_")})
            key_rows.touch(conn, {name: at for name, at in used.items() if name.startswith("key_")})
            home_rows.store(conn, homes)
            calibration_rows.store(conn, [asdict(row) for row in learned], now)

        try:
            await self.db.tx(write)
        except Exception:
            # Nothing is forgotten that was not written: the next round tries it again.
            self._used = {**used, **self._used}
            self.planner.homes.give_back(homes)
            self.calibration.give_back(learned)
            raise

    def _answered(self, asked: Asked, record: Record) -> None:
        self.planner.answered(asked, record)
        if self._homes_due is None and self.planner.homes.has_news:
            self._homes_due = asyncio.get_running_loop().call_later(HOMES_S, self._homes_are_due)

    def _homes_are_due(self) -> None:
        self._homes_due = None
        self._spawn(self.store_homes())

    async def store_homes(self) -> None:
        if self._homes_due is not None:
            self._homes_due.cancel()
            self._homes_due = None
        if not (homes := self.planner.homes.take()):
            return
        try:
            await self.db.tx(lambda conn: home_rows.store(conn, homes))
        except Exception as error:  # noqa: BLE001 - whatever the database raises: the next answer, or the next touch, tries again
            self.planner.homes.give_back(homes)
            if not self.spill.away:
                log.error("where conversations are at home could not be stored, it is tried again: %s", error)

    def _spawn(self, work: Coroutine[Any, Any, object], name: str | None = None) -> None:
        """Background work whose failure is logged and waits for nobody."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _spawn_once(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """The same, unless work of that name is already under way."""
        if all(task.get_name() != name for task in self._tasks):
            self._spawn(work(), name)

    background = _spawn

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("background work failed", exc_info=task.exception())

    # ------------------------------------------------------------ accounts

    async def test_account(self, account: Account) -> TestResult:
        """Ask the provider for its models: costs nothing and proves address and credential."""
        return await ask_models(account, self.upstream, self.endpoints, WITHIN_S)

    async def add_environment_accounts(self) -> None:
        """A provider key in the environment becomes an account labelled `env` (CONTRACT §6), unless that provider has one, or the
        user removed the account of this very key."""
        removed = (await self.db.run(lambda conn: setting_rows.get_meta(conn, environment.REMOVED)) or "").split()
        for body in environment.wanted(self.env, self.settings.port, lambda: self.snapshot.accounts, removed):
            try:
                await self.admin.add_account(body)
            except GatewayError as error:
                log.warning("the key for %s in the environment could not be used: %s", body["provider"], error.message)
