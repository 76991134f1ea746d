"""The rows of sign-ins under way, the ports they wait on, and the tasks that carry them: whatever lives longer than one request."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from omni_connector.errors import GatewayError, Kind
from omni_connector.loopback import Answer, Loopback
from omni_connector.onboarding import words
from omni_connector.onboarding.values import Doors
from omni_connector.secrets import redact
from omni_connector.store import flows
from omni_connector.store.flows import Flow

if TYPE_CHECKING:
    import sqlalchemy as sa

log = logging.getLogger("omni.onboarding")

FINISH_S = 180.0
"""Exchange, identity, set-up and models together; some providers take a minute to make a project."""
TEND_S = 3.0
"""Between two looks at sign-ins that may have been finished elsewhere."""
ENDS_WITH_US = ("poll", "tend")
"""Tasks that another process takes up, or nobody needs, once this one closes."""

Work = Callable[[], Coroutine[Any, Any, None]]


class Keeper:
    def __init__(self, doors: Doors, answer: Answer) -> None:
        self._doors = doors
        self.loopback = Loopback(answer)
        self._tasks: dict[str, asyncio.Task[Any]] = {}
        """By name: "finish …", "poll …", "revoke …", "tend"."""
        self._wanted: dict[str, tuple[int, str]] = {}
        """Sign-ins begun here that wait for a browser at a port of their own → port and path."""

    async def close(self) -> None:
        """What is being exchanged ends; what waits goes on elsewhere, or by the next look at it."""
        for name, task in self._tasks.items():
            if name.startswith(ENDS_WITH_US):
                task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        await self.loopback.close()

    # ------------------------------------------------------------ rows

    async def insert(self, flow: Flow, state: str) -> None:
        """Stores a flow, and ends those that nobody looked after: what they know is not kept longer than it is of use."""

        def write(conn: sa.Connection) -> None:
            flows.tidy(conn, flow.created_at)
            flows.insert(conn, self._doors.vault, flow, state)

        await self._doors.db.tx(write)

    async def flow(self, flow_id: str) -> Flow:
        """The flow as it stands now: what is over has ended. Raises GatewayError(NOT_FOUND)."""
        now = self._doors.now()
        flow = await self._doors.db.run(lambda conn: flows.get(conn, self._doors.vault, flow_id))
        if flow.state in flows.ENDED or (flow.state == "waiting" and flow.expires_at > now):
            return flow
        await self._doors.db.tx(lambda conn: flows.tidy(conn, now))
        return await self._doors.db.run(lambda conn: flows.get(conn, self._doors.vault, flow_id))

    async def by_state(self, state: str) -> Flow | None:
        return await self._doors.db.run(lambda conn: flows.by_state(conn, self._doors.vault, state))

    async def finish(self, flow: Flow, account_id: str) -> None:
        shown = {"way": flow.shown["way"], "label": flow.shown["label"]}
        await self._doors.db.tx(lambda conn: flows.finish(conn, flow.id, account_id, shown))

    async def fail(self, flow: Flow, error: GatewayError) -> None:
        await self._doors.db.tx(lambda conn: flows.fail(conn, flow.id, redact(error.message)[:1000]))
        await self.let_go(flow.id)

    async def cancel(self, flow_id: str) -> None:
        await self._doors.db.tx(lambda conn: flows.cancel(conn, flow_id))
        await self.let_go(flow_id)

    async def take(self, flow: Flow, work: Work) -> asyncio.Task[GatewayError | None] | None:
        """Claims the flow and does `work` in a task of its own, which nobody's leaving ends. None: somebody else was faster."""
        now = self._doors.now()
        if not await self._doors.db.tx(lambda conn: flows.claim(conn, flow, now)):
            return None
        await self.let_go(flow.id)
        return self.spawn(f"finish {flow.id}", self._ended(flow, work))

    async def _ended(self, flow: Flow, work: Work) -> GatewayError | None:
        """Does the work; what it fails of is stored and returned."""
        try:
            async with asyncio.timeout(FINISH_S):
                await work()
        except GatewayError as error:
            failed = error
        except TimeoutError:
            failed = GatewayError(Kind.UPSTREAM_TIMEOUT, words.TOO_SLOW)
        except Exception:
            log.exception("the sign-in %s at %s failed", flow.id, flow.provider)
            failed = GatewayError(Kind.INTERNAL, words.INTERNAL)
        else:
            return None
        await self.fail(flow, failed)
        return failed

    # ------------------------------------------------------------ ports

    def awaits(self, flow_id: str) -> bool:
        """Whether the sign-in was begun here and waits at a port of its own."""
        return flow_id in self._wanted

    async def listen(self, flow_id: str, ports: tuple[int, ...], path: str) -> tuple[int, bool]:
        """The port for the redirect address, and whether we listen there. Taken ports are tried again while the sign-in waits."""
        port = await self.loopback.listen(flow_id, ports, path)
        wanted = port or next(filter(None, ports), 0)
        if not wanted:
            raise GatewayError(Kind.INTERNAL, "No port of this machine is free to listen on for the sign-in.")
        self._wanted[flow_id] = wanted, path
        return wanted, port is not None

    def place(self, flow_id: str) -> tuple[int, str] | None:
        """Port and path that the sign-in waits at; None where it waits at no port of its own."""
        return self._wanted.get(flow_id)

    async def listen_on(self, flow_id: str, port: int, path: str) -> None:
        """Takes up a sign-in whose process may have ended. Where that lives, the port is its own and stays with it."""
        if flow_id not in self._wanted:
            self._wanted[flow_id] = port, path
            await self.loopback.listen(flow_id, [port], path)
            self.tend()

    async def let_go(self, flow_id: str) -> None:
        self._wanted.pop(flow_id, None)
        await self.loopback.release(flow_id)

    def tend(self) -> None:
        """Looks after the ports from now on, while there are any."""
        if self._wanted:
            self.spawn("tend", self._tend())

    async def _tend(self) -> None:
        while self._wanted:
            await self._doors.sleep(TEND_S)
            await self._look(tuple(self._wanted), self._doors.now())

    async def _look(self, flow_ids: tuple[str, ...], now: int) -> None:
        await self._doors.db.tx(lambda conn: flows.tidy(conn, now))
        states = await self._doors.db.run(lambda conn: flows.states(conn, flow_ids))
        for flow_id in flow_ids:
            if states.get(flow_id) != "waiting":
                await self.let_go(flow_id)
            elif self.loopback.port_of(flow_id) is None and flow_id in self._wanted:
                port, path = self._wanted[flow_id]
                await self.loopback.listen(flow_id, [port], path)

    # ------------------------------------------------------------ tasks

    def spawn(self, name: str, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Background work, once at a time by its name."""
        if name in self._tasks:
            work.close()
            return self._tasks[name]
        task = self._tasks[name] = asyncio.create_task(work, name=name)
        task.add_done_callback(lambda done: self._over(name, done))
        return task

    def _over(self, name: str, task: asyncio.Task[Any]) -> None:
        self._tasks.pop(name, None)
        if not task.cancelled() and task.exception() is not None:
            log.error("%s failed", name, exc_info=task.exception())
