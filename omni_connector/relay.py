"""The life of a request: plan → attempt → commit → stream → settle (docs/life-of-a-request.md).

`Relay.run` is that life on one screen. Storage, prices and planning come in as plain callables, so nothing here knows a
database. Until the first byte goes out (commit) a failing account is replaced by the next one in the plan; after it, a
failure is told inside the stream. Whatever happens, the row is settled exactly once, before the last byte leaves.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence, Set
from dataclasses import replace

from omni_connector import continuing, giving_up, secrets, waiting
from omni_connector.admission import shortened
from omni_connector.call import Call, Headers, Sink, answer_headers, error_answer
from omni_connector.chat import Json
from omni_connector.errors import GatewayError, Kind
from omni_connector.lanes import Gathered, Lane, PassThrough, Raw
from omni_connector.ledger import Ledger
from omni_connector.meter import Reading
from omni_connector.prepare import Asked, NoEndpoint, Prepared, Preparer, Unable, is_about_endpoint, kept_rows
from omni_connector.record import Outcome, Record
from omni_connector.routing.patience import wait_for
from omni_connector.routing.plan import Plan, refusal
from omni_connector.routing.pool import Pool
from omni_connector.routing.resolve import Candidate
from omni_connector.underway import Deadlines, Doors, Job
from omni_connector.upstream import Begun, Exchange, Upstream, is_here, read_all
from omni_connector.usage import UNKNOWN
from omni_connector.waiting import left, left_whole
from omni_connector.wire import dialect, passing, views
from omni_connector.wire.openai_responses_state import said
from omni_connector.within import Within

log = logging.getLogger("omni.relay")

HOLD = 2.0
"""Seconds for which the first bytes of a stream are held back to see whether they turn into an answer or an error. Until
then another account may still take over; a model that thinks longer than this gets its stream committed."""

SOON_MS = 30_000
"""A token that ends within this time is renewed before it is used."""
RENEW_S = 30.0
"""Seconds that a request waits for the renewal of a token."""

LEFT = "client left"
"""The message of the cancellation with which app.py says that the client hung up."""


class Stale(Exception):
    """The provider takes the token of a sign-in no more; a new one may do."""


class Relay:
    """Carries requests of one process. `active` are in flight now, `retrying` of them on a second or later attempt."""

    def __init__(self, ledger: Ledger, upstream: Upstream, pool: Pool, doors: Doors, deadlines: Deadlines) -> None:
        self._ledger = ledger
        self._upstream = upstream
        self._pool = pool
        self._doors = doors
        self._preparer = Preparer(doors.sources)
        self.deadlines = deadlines
        self.active = 0
        self.retrying = 0

    async def run(self, call: Call, sink: Sink) -> None:
        """Answer one call. Raises only CancelledError; every failure becomes an answer and a row. A sink that was started and is not
        ended then is to be broken off: there was no way to say in those bytes that they are not all."""
        job = Job(call, sink, self._record(call), time.monotonic(), asyncio.current_task())
        self.active += 1
        try:
            await self._answer(job)
        except asyncio.CancelledError as cancelled:
            # Outermost: the client may also leave while it is being told of a failure.
            self._abandon(job, left=LEFT in cancelled.args)
            raise
        finally:
            self.active -= 1
            job.forget()

    async def _answer(self, job: Job) -> None:
        call, record = job.call, job.record
        try:
            job.asked = await self._preparer.look(call)
            view = job.asked.view
            record.stream, record.model_requested = view.stream, view.model
            # Bytes of sounds and pictures are no tokens.
            job.asked.tokens = self._doors.estimate(call.body)
            record.est_input = job.asked.tokens if call.wire in views.WIRES else 0
            if job.asked.earlier:
                record.est_input += self._doors.estimate(said(job.asked.earlier))
            await self._doors.may_plan()
            plan = await self._plan(job, job.asked)
            record.plan, record.route = plan, plan.route
            record.skipped = [skipped.as_json() for skipped in plan.skipped]
            if not plan.attempts:
                raise refusal(plan, self._doors.now())
            await self._open(job, plan.attempts[0])
            await self._attempts(job, plan)
        except GatewayError as error:
            await self._fail(job, error)
        except Exception:
            log.exception("request %s failed inside omni-connector", call.id)
            words = f"Something went wrong inside omni-connector. The log has the details under {call.id}."
            await self._fail(job, GatewayError(Kind.INTERNAL, words))

    # ------------------------------------------------------------ plan → attempt

    async def _plan(self, job: Job, asked: Asked) -> Plan:
        """The plan; where everybody is out and one is back soon, the plan of that moment: a short wait is no failure."""
        plan = self._doors.plan(asked.call, asked)
        job.patience = self._doors.patience(asked.call)
        while not plan.attempts and await self._wait(job, plan, frozenset()):
            plan = self._doors.plan(asked.call, asked)
        return plan

    async def _back(self, job: Job, plan: Plan, tried: Set[tuple[str, str, str]]) -> list[Candidate]:
        """Who was out when the request came and is back within the client's patience, once all the others have failed."""
        assert job.asked is not None
        back: list[Candidate] = []
        while not back and not job.sink.started and not self._no_more(job) and await self._wait(job, plan, tried):
            plan = self._doors.plan(job.call, job.asked)
            back = [candidate for candidate in plan.attempts if candidate.key not in tried]
        return back

    async def _wait(self, job: Job, plan: Plan, tried: Set[tuple[str, str, str]]) -> bool:
        """Until the first of those that were left out is back; False, and at once, when that is longer than the client waits."""
        ends = (skipped.until_at for skipped in plan.skipped if skipped.candidate.key not in tried)
        wait = wait_for(ends, self._doors.now(), job.patience)
        if wait is None:
            return False
        job.patience -= wait
        await asyncio.sleep(wait / 1000)
        return True

    async def _attempts(self, job: Job, plan: Plan) -> None:
        """Walk the plan until an account has answered in full. Raises GatewayError when none did."""
        todo = list(plan.attempts)
        tried: set[tuple[str, str, str]] = set()
        while todo or (todo := await self._back(job, plan, tried)):
            if job.record.attempts and (reason := self._no_more(job)):
                giving_up.leave_out(job, todo, reason)
                break
            candidate = todo.pop(0)
            tried.add(candidate.key)
            job.others = bool(todo)
            job.retrying = bool(job.record.attempts)
            self.retrying += job.retrying
            try:
                await self._try(job, candidate, panic=plan.panic)
                return
            except Unable as unable:
                job.errors.append(unable.error)
                job.failures.append(giving_up.unable(job, candidate, unable.error))
                continue
            except GatewayError as error:
                if job.sink.started:
                    await self._broke(job, error)
                elif not error.info.retry:
                    todo = giving_up.onward(job, candidate, error, todo, self._doors)
                job.errors.append(error)
                job.failures.append(giving_up.failure(candidate, error, skipped=False))
            finally:
                self._retried(job)
        if job.broken is not None:
            raise job.broken.error
        raise giving_up.exhausted(job, plan, self._pool, self._doors.now())

    async def _broke(self, job: Job, error: GatewayError) -> None:
        """An answer failed after its first words: the next account goes on with it, if the user lets it and it is plain text. Raises
        the error where nobody may."""
        torn = job.broken
        if torn is not None and job.record.attempts[-1].kind is not None:
            # Who was to go on has said nothing: the answer is still that of the account before.
            torn.to(job.record)
            job.lane = torn.lane
            return
        if not continuing.can_go_on(job.lane, error) or left(job, self.deadlines) < 1.0:
            raise error
        await self._doors.prices_loaded()
        self._measure(job)
        job.broken = continuing.broken(job.lane, error, job.record)

    def _no_more(self, job: Job) -> str:
        return giving_up.no_more(job, self.deadlines, left(job, self.deadlines), retrying=self.retrying, active=self.active)

    def _retried(self, job: Job) -> None:
        """A retry is over when it failed or when its answer has begun: a long answer is no load on the others."""
        self.retrying -= job.retrying
        job.retrying = False

    async def _try(self, job: Job, candidate: Candidate, *, panic: bool) -> None:
        """One account. Where it turns out not to have an endpoint, it may serve in another way: a completion as a conversation. The
        token of a sign-in is renewed once, before its end or when the provider takes it no more."""
        account = candidate.account
        if (error := self._doors.hopeless(account)) is not None:
            raise Unable(error)
        if account.access_until is not None and account.access_until - self._doors.now() < SOON_MS:
            candidate = await self._renewed(job, candidate, "")
        try:
            await self._attempt(job, candidate, panic=panic)
        except NoEndpoint as missing:
            if reason := self._no_more(job):
                raise Unable(GatewayError(missing.error.kind, reason)) from missing
            await self._attempt(job, candidate, panic=panic)
        except Stale:
            await self._attempt(job, await self._renewed(job, candidate, candidate.account.access), panic=panic)

    @staticmethod
    def _may_renew(job: Job, candidate: Candidate) -> bool:
        return candidate.account.auth == "oauth" and job.renewed != candidate.account.id and not job.sink.started

    async def _renewed(self, job: Job, candidate: Candidate, refused: str) -> Candidate:
        """The candidate with another token than the one that was `refused`. Raises Unable when there is none to be had."""
        account = candidate.account
        job.renewed = account.id
        try:
            async with asyncio.timeout(min(RENEW_S, left(job, self.deadlines))):
                return replace(candidate, account=await self._doors.renew(account, refused))
        except TimeoutError as error:
            raise Unable(GatewayError(Kind.UPSTREAM_TIMEOUT, "Renewing its sign-in takes too long.")) from error
        except GatewayError as error:
            raise Unable(error) from error

    async def _attempt(self, job: Job, candidate: Candidate, *, panic: bool) -> None:
        """One try at one account, to the end. Raises GatewayError; Unable when the request cannot even be said there, or when
        the account filled up or was taken out since the plan was made. `panic`: it is tried although our own guess is against it."""
        job.attempt_began = time.monotonic()
        cap = await self._admitted(job, candidate)
        prepared = await self._prepare(job, candidate)
        if cap is not None:
            prepared = shortened(prepared, candidate, cap, job.call.wire)
        # Nothing is awaited between this look and the slot below: that keeps `max_in_flight` exact and half-open tests single.
        now = self._doors.now()
        hold = self._pool.check(candidate.account, candidate.model, now)
        if hold is not None and not (panic and hold.guess):
            raise Unable(GatewayError(Kind.NO_ACCOUNT, hold.reason))
        record = job.record
        record.account_id, record.account_label = candidate.account.id, candidate.account.label
        record.provider, record.model = candidate.account.provider, candidate.model
        record.dropped = prepared.dropped
        job.lane = prepared.lane
        began = time.monotonic()
        status: int | None = None
        before = len(record.attempts)
        slot = self._pool.acquire(candidate.account, candidate.model, now)
        try:
            exchange = await self._send(job, candidate, prepared)
            status = exchange.status
            try:
                await self._receive(job, candidate, prepared, exchange, began)
                self._preparer.note_there(candidate, prepared)
            finally:
                exchange.close()
                if candidate.account.auth == "cli":  # a command tells its limits in the middle of its answer
                    self._doors.heard(candidate.account, exchange.headers, candidate.model, b"")
        except GatewayError as error:
            error.message = secrets.scrub(error.message, candidate.account.access)
            if not job.sink.started or len(record.attempts) == before:
                record.attempts.append(giving_up.attempt(candidate, error.upstream_status or status, began, error))
            if not job.sink.started:
                job.lane = None  # who refused used nothing, also for a client that leaves before somebody else is asked
            if not job.sink.started and self._preparer.note_missing(candidate, prepared, error):
                raise NoEndpoint(error) from error
            if error.kind is Kind.ACCOUNT_REJECTED and self._may_renew(job, candidate):
                raise Stale from error
            if error.info.fault != "us" and not is_about_endpoint(prepared, error):
                self._doors.failed(candidate, error)
            raise
        except asyncio.CancelledError:
            if not job.sink.started or len(record.attempts) == before:
                record.attempts.append(giving_up.attempt(candidate, status, began, None))
            raise
        finally:
            self._pool.release(slot)

    async def _admitted(self, job: Job, candidate: Candidate) -> int | None:
        """Lets the limits decide, once for each account that is tried."""
        if job.entering is None or job.entering.candidate.key != candidate.key or job.broken is not None:
            tokens, torn = job.record.est_input, job.broken
            if torn is None:
                job.entering = self._doors.enter(job.call, candidate, tokens, None, job.entering)
            else:
                # Whoever goes on reads what was said. The first account's hold stays: the answer is its own until somebody has gone on.
                tokens += self._doors.estimate(f"{torn.lane.sent.text}{continuing.ASK}".encode("utf-8", "surrogatepass"))
                job.entering = self._doors.enter(job.call, candidate, tokens, torn.cost, None)
        return None if job.entering is None else await self._doors.entered(job.entering)

    async def _prepare(self, job: Job, candidate: Candidate) -> Prepared:
        assert job.asked is not None
        if job.broken is None and (passing := self._preparer.passing(job.asked, candidate)) is not None:
            return passing
        try:
            async with asyncio.timeout(left(job, self.deadlines)):
                return await self._preparer.prepare(job.asked, candidate, job.broken)
        except TimeoutError as error:
            raise GatewayError(
                Kind.UPSTREAM_TIMEOUT, f"The request could not be made ready within {self.deadlines.total:.0f} s."
            ) from error

    async def _send(self, job: Job, candidate: Candidate, prepared: Prepared) -> Exchange:
        """Status and headers; a refusal is read, classified and raised."""
        wait = min(self.deadlines.first_byte, left(job, self.deadlines)) if prepared.stream else left_whole(job, self.deadlines)
        try:
            with Within(wait, job.task):
                exchange = await self._upstream.send(self._doors.mark(prepared.request, job.record))
                if 200 <= exchange.status < 300:
                    self._doors.heard(candidate.account, exchange.headers, candidate.model, b"")
                    return exchange
                try:
                    body = await read_all(exchange, 1 << 20)
                finally:
                    exchange.close()
        except TimeoutError as error:
            raise GatewayError(Kind.UPSTREAM_TIMEOUT, f"The provider did not begin to answer within {wait:.0f} s.") from error
        self._doors.heard(candidate.account, exchange.headers, candidate.model, body if exchange.status == 429 else b"")
        read = prepared.refusal or dialect(prepared.wire).parse_error
        raise read(exchange.status, exchange.headers, body)

    # ------------------------------------------------------------ commit → stream

    async def _receive(self, job: Job, candidate: Candidate, prepared: Prepared, exchange: Exchange, began: float) -> None:
        lane = prepared.lane
        if isinstance(lane, Raw):
            lane.begin(exchange.headers.get("content-type", ""))
        if not prepared.stream or (isinstance(lane, Raw) and lane.tells_whole):
            await self._whole(job, candidate, lane, exchange, began)
            return
        kind = exchange.headers.get("content-type", "")
        if "json" in kind and "stream" not in kind and not isinstance(lane, Raw) and job.broken is None:
            exchange = begun = Begun(exchange, await waiting.beginning(job, exchange, self.deadlines))
            array = isinstance(lane, PassThrough) and lane.passes_array(begun.first)
            if not array and not passing.looks_like_events(begun.first):
                if isinstance(lane, Gathered):
                    await self._whole(job, candidate, lane, exchange, began)
                else:
                    await self._whole_as_stream(job, candidate, exchange, began)
                return
        if isinstance(lane, Gathered):
            await self._gather(job, candidate, lane, exchange, began)
            return
        held = await self._first(job, lane, exchange, began)
        self._committed(job, candidate, exchange, began)
        try:
            # `Pieces` keeps the provider's deadlines, a little earlier: what still waits at this one is the client's side.
            with Within(left(job, self.deadlines) + 1, job.task):
                if not job.sink.started:
                    await job.sink.start(200, self._headers(job, exchange))
                elif isinstance(lane, continuing.Told):
                    held = lane.note + held
                await self._stream(job, lane, exchange, held)
        except TimeoutError as error:
            words = f"The client did not take the answer within {self.deadlines.total:.0f} s."
            raise GatewayError(Kind.CLIENT_LEFT, words) from error

    async def _whole(self, job: Job, candidate: Candidate, lane: Lane, exchange: Exchange, began: float) -> None:
        body = await waiting.body(job, exchange, self.deadlines)
        answer = lane.whole(body)
        if lane.error is not None:
            raise lane.error
        self._committed(job, candidate, exchange, began)
        await self._settle(job, "ok", 200)
        await job.sink.whole(200, self._headers(job, exchange, whole=True), answer)

    async def _gather(self, job: Job, candidate: Candidate, lane: Gathered, exchange: Exchange, began: float) -> None:
        """The provider only streams, and a whole answer is wanted."""
        while not lane.ended and (piece := await waiting.next_piece(job, exchange, self.deadlines)):
            lane.feed(piece)
            if lane.error is not None:
                raise lane.error
        lane.close()
        if not lane.complete:
            raise GatewayError(Kind.UPSTREAM_FAILED, "The provider's stream broke off before it was complete.")
        answer = lane.whole_answer()
        self._committed(job, candidate, exchange, began)
        await self._settle(job, "ok", 200)
        await job.sink.whole(200, self._headers(job, exchange, whole=True), answer)

    async def _whole_as_stream(self, job: Job, candidate: Candidate, exchange: Exchange, began: float) -> None:
        """The provider ignored `stream`: its whole answer is told as events."""
        assert job.asked is not None
        body = await waiting.body(job, exchange, self.deadlines)
        job.lane = told = self._preparer.telling(job.asked, candidate)
        answer = told.stream_whole(body)
        if told.error is not None:
            raise told.error
        self._committed(job, candidate, exchange, began)
        await self._settle(job, "ok", 200)
        await job.sink.start(200, self._headers(job, exchange))
        await job.sink.end(answer)

    def _headers(self, job: Job, exchange: Exchange, *, whole: bool = False) -> Headers:
        kind = (exchange.headers.get("content-type") or "application/octet-stream") if isinstance(job.lane, Raw) else ""
        return answer_headers(job.record, exchange.headers, stream=not whole, as_array=job.call.as_array, content_type=kind)

    async def _first(self, job: Job, lane: Lane, exchange: Exchange, began: float) -> bytes:
        """The beginning of a stream, up to its first real content: what fails before that, another account may mend."""
        held = b""
        until = min(began + self.deadlines.first_byte, job.began + self.deadlines.total)
        begun = False
        while not (lane.first_output or lane.ended):
            try:
                with Within(None if is_here(exchange) else max(0.001, until - time.monotonic()), job.task):
                    piece = await exchange.read()
            except TimeoutError as error:
                if begun:
                    return held
                words = f"The provider sent nothing for {self.deadlines.first_byte:.0f} s."
                raise GatewayError(Kind.UPSTREAM_TIMEOUT, words) from error
            if not piece:
                held += lane.close()
                if lane.error is not None:
                    raise lane.error
                if not lane.complete:
                    raise GatewayError(Kind.UPSTREAM_FAILED, "The provider's stream ended before it said anything.")
                break
            # A comment says that the provider is still looking for somebody to answer, not that an answer has begun.
            if not begun and not piece.lstrip().startswith(b":"):
                begun = True
                until = time.monotonic() + HOLD
            held += lane.feed(piece)
            if lane.error is not None:
                raise lane.error
        if job.broken is None:
            job.record.first_token_ms = job.elapsed_ms()
        return held

    async def _stream(self, job: Job, lane: Lane, exchange: Exchange, out: bytes) -> None:
        """Chunks as they come. What holds the terminal event waits until the row is settled."""
        sink = job.sink
        if not lane.ended:
            out = await self._pass_on(job, lane, exchange, out)
        out += lane.close()
        if lane.error is not None:
            raise lane.error
        if not lane.complete:
            if out and isinstance(lane, continuing.Told):
                await sink.write(out)  # the lane counts it as sent
            raise GatewayError(Kind.UPSTREAM_FAILED, "The provider's stream broke off before it was complete.")
        if job.record.first_token_ms is None:
            job.record.first_token_ms = job.elapsed_ms()
        await self._settle(job, "ok", 200)
        await sink.end(out)

    async def _pass_on(self, job: Job, lane: Lane, exchange: Exchange, out: bytes) -> bytes:
        """What is there to be sent when the lane, or the provider, is at its end. Raises the lane's error."""
        sink, say = job.sink, job.sink.say

        def take(piece: bytes) -> bool:
            nonlocal out
            out = lane.feed(piece)
            return not lane.ended and lane.error is None and (not out or say(out))

        with waiting.Pieces(job, exchange, self.deadlines) as pieces:
            while not lane.ended:
                if out:
                    await sink.write(out)
                if not await pieces.pass_on(take):
                    return b""
                if lane.error is not None:
                    raise lane.error
        return out

    def _committed(self, job: Job, candidate: Candidate, exchange: Exchange, began: float) -> None:
        """The account answered: from here on nobody else can, but for going on with an answer that broke (continuing.py)."""
        record = job.record
        self._retried(job)
        record.attempts.append(giving_up.attempt(candidate, exchange.status, began, None))
        if job.broken is not None:
            record.continued = True
            record.route += f"; went on with {candidate.account.label} where the answer broke off"
        if record.first_token_ms is None:
            record.first_token_ms = job.elapsed_ms()
        self._doors.worked(candidate, int((time.monotonic() - began) * 1000))

    # ------------------------------------------------------------ settle

    def _record(self, call: Call) -> Record:
        record = Record(call.id, call.started_at, self._doors.process_id, call.wire, call.path, call.client, call.key.id, call.key.name)
        record.traceparent = call.headers.get("traceparent", "")
        return record

    async def _open(self, job: Job, first: Candidate) -> None:
        """The row, durable before anything is sent upstream; the limits of the first account are asked in the same commit."""
        job.opened = True
        self._doors.publish(job.record)
        job.record.likely_input = self._doors.likely(first.model, job.record.est_input)
        account = first.account
        row = job.record.opened()
        row |= {"account_id": account.id, "account_label": account.label, "provider": account.provider, "model": first.model}
        opened = self._ledger.open(row)
        job.entering = self._doors.enter_first(job.call, first, job.record.est_input)
        await opened

    async def _settle(self, job: Job, outcome: Outcome, status: int, error: GatewayError | None = None) -> None:
        await self._doors.prices_loaded()
        self._measure(job)
        kept = await self._kept(job) if outcome == "ok" else ()
        # From here to the ledger nothing is awaited: who is cancelled before it still has a row to close.
        job.record.end(self._doors.now(), outcome, status, error)
        if outcome == "ok" and job.asked is not None:
            self._doors.answered(job.asked, job.record)
        done = self._ledger.settle(job.record.settled(), kept)
        try:
            await done
        finally:
            self._doors.publish(job.record)  # whoever hears of it and looks finds it so

    async def _kept(self, job: Job) -> Sequence[Json]:
        """What later requests will refer to: it is durable together with the row, so before they can be sent. An answer is
        worth more than that, so nothing that goes wrong here costs it."""
        record = job.record
        if job.asked is None or job.lane is None or record.key_id is None:
            return ()
        try:
            rows = kept_rows(job.asked, job.lane, keeping=self._doors.sources.keeping())
            if not rows:
                return ()
            owner = {"key_id": record.key_id, "account_id": record.account_id, "provider": record.provider, "model": record.model}
            now = self._doors.now()
            return await self._doors.seal([{**row, **owner, "created_at": now} for row in rows])
        except Exception:
            log.exception("what request %s leaves for later ones cannot be kept", job.call.id)
            return ()

    def _measure(self, job: Job) -> None:
        """What the answer used and cost, as far as it got."""
        record, lane = job.record, job.lane
        torn = job.broken
        if lane is None or record.account_id is None or record.model is None or (torn is not None and lane is torn.lane):
            return
        try:
            reading: Reading = lane.reading(self._doors.likely(record.model, record.est_input))
            account = self._pool.accounts.get(record.account_id)
            price = UNKNOWN if account is None else self._doors.price(reading.usage, account, record.model)
        except Exception:
            log.exception("what request %s used is unknown", record.id)  # figures are worth less than a closed row
            return
        if torn is None:
            record.used(reading, price.cost, price.source, price.worth)
        else:
            record.used(*torn.plus(reading, price.cost), price.source)

    async def _fail(self, job: Job, error: GatewayError) -> None:
        """Tell the client in its own format, after the row is closed."""
        if job.record.settled_at is None:
            if not job.opened:
                # Refused before anything was sent: one row that opens and closes in the same transaction.
                job.opened = True
                self._ledger.open(job.record.opened())
            await self._close_row(job, "cut" if job.sink.started else "failed", error)
        if job.sink.started:
            told = job.lane.fail(error) if job.lane is not None else b""
            if not told and not isinstance(job.lane, Raw) and not job.call.as_array:
                # The answer was complete and its end held back for the books, which did not take it: nor is this a clean end.
                told = passing.fail_stream(job.call.wire, error)
            if told:
                await job.sink.end(told)
            return
        status, headers, body = error_answer(job.call.wire, error, job.record)
        await job.sink.whole(status, headers, body)

    async def _close_row(self, job: Job, outcome: Outcome, error: GatewayError) -> None:
        if not job.sink.started:
            job.lane = None  # no answer reached the client: nothing was used
        try:
            await self._settle(job, outcome, 200 if job.sink.started else error.status, error)
        except GatewayError as unrecorded:
            log.error("request %s could not be settled: %s", job.call.id, unrecorded)

    def _abandon(self, job: Job, *, left: bool) -> None:
        """The task is being cancelled: hand the row to the ledger without waiting, the writer outlives us."""
        if job.record.settled_at is not None:
            return
        if not job.opened:
            self._ledger.open(job.record.opened())
        self._measure(job)
        error = GatewayError(Kind.CLIENT_LEFT, "The client closed the connection.") if left else None
        job.record.end(self._doors.now(), "client_left" if left else "cut", 499 if left else 503, error)
        self._ledger.settle(job.record.settled())
        self._doors.publish(job.record)
