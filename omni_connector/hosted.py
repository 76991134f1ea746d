"""`app:app`: the whole product as one ASGI app, for any host that speaks ASGI (uvicorn, granian, hypercorn, adapters of serverless hosts).

Making it does nothing. What it needs is opened by the host's lifespan event or, where there is none, by the first request. With
OMNI_JOBS=external nothing goes on between requests (awake.py), so the host may freeze or kill the process as soon as an answer is out.

Each event loop has a gateway of its own, because connections belong to their loop; what belonged to a closed one is let go.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from omni_connector import logs, proxies, settings
from omni_connector.admin import now_ms
from omni_connector.awake import Awake
from omni_connector.errors import GatewayError, Kind
from omni_connector.gateway import Gateway
from omni_connector.secrets import SecretsError
from omni_connector.server import Make, Served
from omni_connector.serving import Face, Receive, Scope, Send, refused
from omni_connector.settings import Settings, SettingsError
from omni_connector.store.engine import file_of

log = logging.getLogger("omni.hosted")


class House:
    """One open gateway and its app."""

    def __init__(self, gateway: Gateway, app: Served) -> None:
        self.gateway = gateway
        self._app = app
        self._face = Face(app.asgi, "both", app.side_of, self._trusted)
        self._trust: tuple[tuple[str, ...], tuple[proxies.Network, ...]] = ((), ())
        self._awake = Awake(gateway, now_ms) if is_external(gateway.settings) else None

    @classmethod
    async def open(cls, make: Make) -> House:
        """Raises SettingsError, SecretsError, GatewayError."""
        home = settings.home_path()
        settings.prepare_home(home)
        env = settings.environment(home)
        first = settings.load(env)
        if is_external(first) and first.database_url and file_of(first.database_url) is None:
            # The disk may be gone with the process: no place for the books, unless somebody says so.
            env.setdefault("OMNI_SPILL_MB", "0")
        if not logging.getLogger().handlers:  # a host that has set up its log keeps it
            logs.set_up(home, first)
        gateway = await Gateway.open(home, env, server="asgi")
        try:
            gateway.has_siblings = True  # the next request may come to another process
            resident = not is_external(gateway.settings)
            app = make(gateway)
            await app.startup()
            await gateway.serve(jobs=resident, resident=resident)
        except BaseException:
            await gateway.close()
            raise
        return cls(gateway, app)

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._awake is None:
            await self._face(scope, receive, send)
            return
        async with self._awake.request():
            await self._face(scope, receive, send)

    async def close(self) -> None:
        self.gateway.readiness.leaving = True
        self.gateway.live.close()
        await self._app.drain(self.gateway.settings.drain_s)
        await self._app.shutdown()
        await self.gateway.close()

    def let_go(self) -> None:
        """Its loop is closed: nothing of it can be ended in order any more. Its rows are durable, or are settled as those of the dead."""
        self.gateway.journal.let_go()
        self.gateway.spill.let_go()
        self.gateway.db.abandon()
        if self.gateway.hold is not None:
            self.gateway.hold.release()

    def _trusted(self) -> tuple[proxies.Network, ...]:
        listed = self.gateway.settings.trusted_proxies
        if listed != self._trust[0]:
            try:
                self._trust = (listed, proxies.networks(listed))
            except SettingsError as error:
                log.error("%s", error)
                self._trust = (listed, ())
        return self._trust[1]


def is_external(stored: Settings) -> bool:
    return stored.jobs == "external"


class Hosted:
    """The ASGI app. `make`: see `House.open`."""

    def __init__(self, make: Make) -> None:
        self._make = make
        self._houses: dict[asyncio.AbstractEventLoop, asyncio.Task[House]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        try:
            house = await self.house()
        except (SettingsError, SecretsError, GatewayError) as error:
            words = error.message if isinstance(error, GatewayError) else str(error)
            log.error("the server cannot begin: %s", words)
            if scope["type"] != "http":
                raise
            # Why is in the log: whoever asks here has not shown yet who he is.
            await refused(scope, send, GatewayError(Kind.NO_ACCOUNT, "The server cannot begin just now. Its log says why.", retry_after=5))
            return
        await house.serve(scope, receive, send)

    async def house(self) -> House:
        """That of the running loop, opened when there is none. One that could not be opened is tried again by the next request."""
        loop = asyncio.get_running_loop()
        opening = self._houses.get(loop)
        if opening is None or (opening.done() and (opening.cancelled() or opening.exception() is not None)):
            self._forget_closed()
            opening = self._houses[loop] = loop.create_task(House.open(self._make), name="opening")
        # Who is cancelled meanwhile leaves the others with what they wait for.
        return await asyncio.shield(opening)

    def _forget_closed(self) -> None:
        for loop in [loop for loop in self._houses if loop.is_closed()]:
            opening = self._houses.pop(loop)
            if opening.done() and not opening.cancelled() and opening.exception() is None:
                opening.result().let_go()

    async def _live(self, receive: Receive, send: Send) -> None:
        while (await receive())["type"] == "lifespan.startup":
            try:
                await self.house()
            except Exception as error:
                if not isinstance(error, SettingsError | SecretsError | GatewayError):
                    log.exception("the server cannot begin")
                words = error.message if isinstance(error, GatewayError) else str(error)
                await send({"type": "lifespan.startup.failed", "message": words})
                return
            await send({"type": "lifespan.startup.complete"})
        with contextlib.suppress(KeyError):
            house = await self._houses.pop(asyncio.get_running_loop())
            await house.close()
        await send({"type": "lifespan.shutdown.complete"})
