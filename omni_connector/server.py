"""A server process from its first line to its exit code: sockets, gateway, listeners, signals, and who takes over.

One process alone (the default), or one of the workers of a supervisor: both live the same `Life`. `app.py` gives it the app.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import json
import logging
import os
import signal
import socket
import sys
import webbrowser
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from omni_connector import __version__, handover, logs, proxies, secrets, servers, settings
from omni_connector.admin import now_ms
from omni_connector.certificates import Certificate
from omni_connector.errors import GatewayError, Kind, bad_request
from omni_connector.gateway import Gateway
from omni_connector.listeners import (
    IN_USE,
    Opener,
    Place,
    Side,
    Sockets,
    check_reach,
    is_loopback_name,
    opened,
    plan,
    reaches_others,
    shown,
    told,
)
from omni_connector.notify import Notifier
from omni_connector.root import ROOT
from omni_connector.serving import PATIENCE_S, App, Doors, quiet_about_handshakes
from omni_connector.settings import Settings
from omni_connector.store import schema
from omni_connector.store import settings as setting_rows
from omni_connector.store.engine import Database
from omni_connector.supervisor import Supervisor
from omni_connector.values import dataclass
from omni_connector.wire import late
from omni_connector.workers import ALIVE_S, LEAVE, RETIRE, SUPPORTED, Channel, has_terminal, terminal_is_gone

log = logging.getLogger("omni.app")
Json = dict[str, Any]

PART_S = 0.5
"""For busy clients to let go of their connections before a successor takes over."""
IDLE_S = 0.3
"""And for those that are about to ask on one."""
BUSY = "Port {port} on {host} cannot be used ({why}). Stop what uses it, or choose another: omni-connector serve --port N."
NO_AUTH = "Warning: client auth is off. Every program on this machine can use your accounts."
MADE = (
    "There was no password for the dashboard, so one was made. It is shown this once:\n\n  Password   {password}\n\n"
    "Change it in the dashboard's settings, or with: omni-connector admin password"
)
SHARED = ("apscheduler.schedulers.asyncio", "jose.jwt")
"""What one process alone imports when it first needs it: imported before workers part, all of them have it once."""
ONLY_HERE = " Other machines still need a key."


class Served(Protocol):
    """The app, started and ended around everything it serves."""

    @property
    def asgi(self) -> App: ...

    async def startup(self) -> None: ...

    async def shutdown(self) -> None: ...

    async def quiet(self, within: float) -> None:
        """Returns as soon as no request of a client runs, and after `within` seconds at the latest."""

    async def drain(self, grace: float) -> None:
        """Refuses what is new, waits `grace` seconds for what runs, then cancels it."""

    def side_of(self, path: str) -> Side: ...


Make = Callable[[Gateway], Served]


@dataclass(frozen=True, slots=True)
class Wish:
    """How the server was started. `host` and `port`: for whatever has no listener of its own."""

    home: Path
    host: str
    port: int
    jobs: bool = True
    open_browser: bool = False
    server: str = "hypercorn"


def main(
    make: Make, host: str | None, port: int | None, *, jobs: bool = True, open_browser: bool = False, workers: int | None = None
) -> int:
    """Serve until a signal ends it. None: what the settings say. Returns the exit code; what is wrong is one line on stderr."""
    home = settings.home_path()
    try:
        env = settings.environment(home)
        first = settings.load(env)
        settings.prepare_home(home)
        jobs = jobs and first.jobs == "internal"
        wish = Wish(home, host or first.host, first.port if port is None else port, jobs, open_browser or first.open_browser, first.server)
        places = plan(first, wish.host, wish.port)
        check_reach(places, first.allow_remote, has_password=True)
        servers.maker(first.server)
    except settings.SettingsError as error:
        return complain(str(error))
    count = workers or first.workers
    if count > 1 and not SUPPORTED:
        return complain("several workers need Linux or macOS. Start without --workers.")
    try:
        logs.set_up(home, first)
    except OSError as error:
        return complain(f"{error.filename or home} cannot be written ({error.strerror}). Free some space, or make {home} writable.")
    sockets, turn = Sockets(os.environ), handover.Turn(os.environ)
    for name in (handover.LISTENERS, handover.TURN):
        os.environ.pop(name, None)
    try:
        busy = _take(sockets, places, wish, env, first)
        if busy:
            return complain(busy)
        if turn.is_awaited or count > 1:
            schema.preload()
        if not turn.comes():
            return 1
        if count > 1:
            return _supervise(make, wish, sockets, turn, count)
        return _alone(make, wish, sockets, turn)
    except (settings.SettingsError, secrets.SecretsError, GatewayError) as error:
        return complain(error.message if isinstance(error, GatewayError) else str(error))
    finally:
        sockets.close()


def _take(sockets: Sockets, places: Sequence[Place], wish: Wish, env: Mapping[str, str], first: Settings) -> str:
    """Takes the sockets before anything else is done: a busy port must not cost a migration. Returns what is wrong, "" for nothing."""
    for place in places:
        try:
            sockets.take(place.address).close()
        except OSError as error:
            # A stored setting may have moved the listener away from here.
            now = plan(settings.load(env, asyncio.run(_stored(wish.home, first))), wish.host, wish.port)
            if place.address in {other.address for other in now}:
                return BUSY.format(host=place.host, port=place.port, why=error.strerror)
    return ""


async def _stored(home: Path, first: Settings) -> Mapping[str, str]:
    """Stored settings of a database that may be older than this release, or not there."""
    if not first.database_url and not (home / "omni.db").exists():
        return {}
    try:
        db = await Database.open(first.database_url or f"sqlite:///{home / 'omni.db'}")
    except Exception:  # noqa: BLE001 - whatever it is, the start says it in better words
        return {}
    try:
        return await db.run(setting_rows.all_settings)
    except Exception:  # noqa: BLE001 - a database that was never migrated
        return {}
    finally:
        await db.close()


def complain(line: str) -> int:
    print(f"omni-connector: {line}", file=sys.stderr)
    return 1


# ---------------------------------------------------------------- One process, or several


def _alone(make: Make, wish: Wish, sockets: Sockets, turn: handover.Turn) -> int:
    note = Note(wish.home, turn, Notifier.of(os.environ))
    try:
        while True:
            with runner() as run:
                ended = run.run(Life(make, wish, sockets, note.serves).live())
            if isinstance(ended, int):
                return ended
            if ended.takes_over():
                return _leave(wish.home, ended)
            ended.give_up()
            log.error(handover.goes_on(wish.home, "ended before it served"))
            note.write_again()
            wish = replace(wish, open_browser=False)
    finally:
        note.remove()


def _supervise(make: Make, wish: Wish, sockets: Sockets, turn: handover.Turn, count: int) -> int:
    notifier = Notifier.of(os.environ)
    note = Note(wish.home, turn, notifier, count)
    for name in SHARED:
        importlib.import_module(name)
    late.load_all()
    _at_rest()  # before the workers part: what nobody looks through stays shared

    def work(channel: Channel) -> int:
        for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"):
            os.environ.pop(name, None)  # the supervisor speaks to the service manager
        mine = wish if channel.number == 0 else replace(wish, open_browser=False)
        try:
            with runner() as run:
                run.run(Life(make, mine, channel, lambda said: None, channel).live())
        except (settings.SettingsError, secrets.SecretsError, GatewayError) as error:
            return complain(error.message if isinstance(error, GatewayError) else str(error))
        return 0

    def successor(listeners: Sequence[socket.socket]) -> handover.Successor:
        return handover.Successor.begin(_successor_command(wish.home), listeners)

    try:
        ended = Supervisor(count, sockets, work, note.serves, notifier, successor, wish.home).run()
        return ended if isinstance(ended, int) else _leave(wish.home, ended)
    finally:
        note.remove()


def _successor_command(home: Path) -> list[str]:
    return handover.command(sys.argv, [sys.executable, *sys.orig_argv[1:]], home)


def _leave(home: Path, successor: handover.Successor) -> int:
    """The end of a server whose successor serves."""
    Notifier.of(os.environ).send(MAINPID=successor.process.pid)
    if handover.is_watched(os.environ, os.getppid()):
        handover.guard(home, successor.process.pid)
    successor.forget()
    return 0


def runner() -> asyncio.Runner:
    if sys.platform == "win32":
        return asyncio.Runner()
    import uvloop

    return asyncio.Runner(loop_factory=uvloop.new_event_loop)


def _at_rest() -> None:
    """What a start has made stays until the end: the collector is switched on only now (cli/server.py switched it off), and never looks
    through all that again, which would stop every stream for a tenth of a second."""
    if not gc.isenabled():
        gc.freeze()
        gc.set_threshold(20_000, 20, 50)  # what requests leave is freed without it, so it need not look often
        gc.enable()


class Note:
    """server.json, how the command line finds the running server; and the words of its start."""

    def __init__(self, home: Path, turn: handover.Turn, notifier: Notifier, workers: int = 1) -> None:
        self._path = home / "server.json"
        self._turn = turn
        self._notifier = notifier
        self._workers = workers
        self._started_at = now_ms()
        self._said: Json = {}
        self._greeted = False

    def serves(self, said: Json) -> None:
        """`said`: of `listeners.told`. Raises SettingsError when the file cannot be written."""
        if said == self._said:
            return
        self._said = said
        self._write(said)
        if not self._greeted:
            self._greeted = True
            self._turn.is_taken()
            self._notifier.ready(f"{__version__} at {said['dashboard']}")
            several = f"\n  Workers    {self._workers}" if self._workers > 1 else ""
            words = f"  Dashboard  {opened(said['dashboard'])}\n  API base   {opened(said['base_url'])}/v1{several}"
            print(f"omni-connector {__version__} is running.\n{words}\nStop it with Ctrl+C.", flush=True)

    def write_again(self) -> None:
        """With the next words: somebody else may have written it meanwhile."""
        self._said = {}

    def _write(self, said: Json) -> None:
        temporary = self._path.with_suffix(".tmp")
        facts = {
            "pid": os.getpid(),
            **said,
            "started_at": self._started_at,
            "version": __version__,
            "release": str(ROOT),
            "workers": self._workers,
            "hands_over": handover.SIGNAL is not None,
            "managed": bool(os.environ.get("NOTIFY_SOCKET") or os.environ.get("OMNI_SERVICE")),
            "args": sys.argv[1:],
        }
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w") as file:
                json.dump(facts, file)
            temporary.replace(self._path)
        except OSError as error:
            words = f"{self._path} cannot be written ({error.strerror}). Free some space, or make {self._path.parent} writable."
            raise settings.SettingsError(words) from error

    def remove(self) -> None:
        """Only our own: a second server on the same home may have written it anew."""
        with contextlib.suppress(OSError, ValueError, KeyError):
            if json.loads(self._path.read_text("utf-8"))["pid"] == os.getpid():
                self._path.unlink()


# ---------------------------------------------------------------- One life


class Life:
    """One process that serves. `channel`: of a worker. `serves` is told where we listen, each time that changes."""

    def __init__(self, make: Make, wish: Wish, opener: Opener, serves: Callable[[Json], None], channel: Channel | None = None) -> None:
        self._make = make
        self._wish = wish
        self._opener = opener
        self._serves = serves
        self._channel = channel
        self._notifier = Notifier() if channel is not None else Notifier.of(os.environ)
        self._tasks: set[asyncio.Task[None]] = set()
        self._stop, self._hand_over, self._retire, self._leave = asyncio.Event(), asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._successor: handover.Successor | None = None
        self._had_terminal = has_terminal()
        self._proxies: tuple[tuple[str, ...], tuple[proxies.Network, ...]] = ((), ())

    async def live(self) -> int | handover.Successor:
        """The exit code, or who takes over. Raises SettingsError, SecretsError, GatewayError when it cannot start."""
        asyncio.get_running_loop().set_exception_handler(quiet_about_handshakes)
        async with self._notifier.alive():  # from the start: a long migration is no hanging server
            wish = self._wish
            self._gateway = await Gateway.open(wish.home, server=wish.server, base_url=shown(wish.host, wish.port))
            try:
                await self._serve()
            finally:
                for task in self._tasks:
                    task.cancel()
                await asyncio.gather(*self._tasks, return_exceptions=True)
                await self._gateway.close()
        return 0 if self._successor is None else self._successor

    async def _serve(self) -> None:
        gateway = self._gateway
        gateway.sight.followers.append(logs.follow)
        logs.follow(gateway.settings)
        self._app = self._make(gateway)
        make = servers.maker(self._wish.server)
        self._doors = Doors(self._app.asgi, self._opener, self._app.side_of, self._trusted, lambda: gateway.settings.drain_s, make)
        places = self._places(gateway.settings)
        made = await gateway.admin.settle_password(gateway.settings.allow_remote and any(map(reaches_others, places)))
        if made:
            print(MADE.format(password=made), flush=True)
        check_reach(places, gateway.settings.allow_remote, await self._has_password())
        await self._app.startup()
        gateway.has_siblings = self._channel is not None or gateway.db.path is None
        await gateway.serve(jobs=self._wish.jobs)
        try:
            await self._doors.follow(places)
        except OSError as error:
            raise settings.SettingsError(f"A listener cannot be opened: {error.strerror}. See: omni-connector doctor") from error
        self._listen_to_signals()
        gateway.admin.serving = self
        await self._told()
        gateway.sight.followers.append(lambda stored: self._spawn(self._follow_stored()))
        self._spawn(self._doors.watch())
        if self._channel is not None:
            self._spawn(self._say_alive(self._channel))
        self._warn()
        if self._wish.open_browser:
            asyncio.get_running_loop().call_later(0.5, webbrowser.open, gateway.admin.process.dashboard or gateway.admin.process.base_url)
        try:
            await self._until_ended()
        finally:
            await self._doors.end(0.0)
            await self._app.shutdown()

    def _warn(self) -> None:
        stored = self._gateway.settings
        if stored.client_auth or (self._channel is not None and self._channel.number):
            return
        reached = any(not is_loopback_name(place.host) for place, _ in self._doors.places if place.side != "admin")
        print(NO_AUTH + (ONLY_HERE if reached else ""), file=sys.stderr, flush=True)

    # ------------------------------------------------------------ listeners

    def _places(self, stored: Settings) -> tuple[Place, ...]:
        return plan(stored, self._wish.host, self._wish.port)

    def _trusted(self) -> tuple[proxies.Network, ...]:
        listed = self._gateway.settings.trusted_proxies
        if listed != self._proxies[0]:
            try:
                self._proxies = (listed, proxies.networks(listed))
            except settings.SettingsError as error:
                log.error("%s", error)
                self._proxies = (listed, ())
        return self._proxies[1]

    async def _has_password(self) -> bool:
        return bool(await self._gateway.db.run(lambda conn: setting_rows.get_meta(conn, "admin_password")))

    async def _told(self) -> None:
        said = told(self._doors.places)
        admin = self._gateway.admin
        admin.process = replace(admin.process, base_url=said["base_url"], dashboard=said["dashboard"], listeners=tuple(said["listeners"]))
        if self._channel is not None:
            await asyncio.to_thread(self._channel.serves, said, self._gateway.settings.drain_s)
        self._serves(said)
        _at_rest()

    async def check(self, ahead: Settings) -> None:
        """`ahead`: settings that somebody is about to store. Raises GatewayError or SettingsError when they could not be followed."""
        proxies.networks(ahead.trusted_proxies)
        places = self._places(ahead)
        check_reach(places, ahead.allow_remote, await self._has_password())
        for place in places:
            if place.cert:
                await asyncio.to_thread(Certificate, place.cert, place.key)
            try:
                handle = await asyncio.to_thread(self._opener.take, place.address)
            except OSError as error:
                address = f"{place.host}:{place.port}"
                side = "admin" if place.side == "admin" else "client"
                words = IN_USE.format(address=address, why=error.strerror or error, side=side)
                raise GatewayError(Kind.CONFLICT, words, param=f"{side}_bind") from error
            handle.close()

    async def follow(self) -> None:
        """Listens as the settings say now. Raises GatewayError."""
        try:
            places = self._places(self._gateway.settings)
            check_reach(places, self._gateway.settings.allow_remote, await self._has_password())
            changed = await self._doors.follow(places)
        except settings.SettingsError as error:
            raise bad_request(str(error)) from error
        except OSError as error:
            raise GatewayError(Kind.CONFLICT, f"A listener cannot be opened: {error.strerror or error}.") from error
        if changed:
            log.info("listening at %s", ", ".join(entry["url"] for entry in told(self._doors.places)["listeners"]))
            await self._told()

    async def _follow_stored(self) -> None:
        """Another process may have changed them."""
        if self._is_ending:
            return
        try:
            await self.follow()
        except GatewayError as error:
            log.error("the listeners stay as they are: %s", error.message)

    # ------------------------------------------------------------ commands

    async def crew(self) -> Json:
        """See `Channel.crew`; of one process alone, itself."""
        if self._channel is not None:
            return await asyncio.to_thread(self._channel.crew)
        started_at = self._gateway.started_at
        worker = {"pid": os.getpid(), "state": "serving", "started_at": started_at, "restarts": 0}
        return {"pid": os.getpid(), "started_at": started_at, "wanted": 1, "workers": [worker]}

    async def reload(self) -> None:
        """As SIGHUP does: workers are replaced by new ones; one process alone reads everything anew that can be read anew."""
        if self._channel is not None:
            os.kill(os.getppid(), signal.SIGHUP)
            return
        await self._gateway.reload()
        await self._doors.look_at_certificates()
        await self.follow()

    async def _reload_or_stop(self) -> None:
        if terminal_is_gone(self._had_terminal):
            self._stop.set()
            return
        try:
            await self.reload()
        except Exception:
            log.exception("the reload failed; everything stays as it was")

    # ------------------------------------------------------------ signals, and the end

    @property
    def _is_ending(self) -> bool:
        return any(event.is_set() for event in (self._stop, self._retire, self._leave))

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        if self._channel is not None:
            loop.add_signal_handler(signal.SIGTERM, self._stop.set)
            loop.add_signal_handler(RETIRE, self._retire.set)
            loop.add_signal_handler(LEAVE, self._leave.set)
            loop.add_reader(self._channel.lifeline, self._orphaned, self._channel.lifeline)
            return
        for name in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(NotImplementedError):  # Windows has its own Ctrl+C
                loop.add_signal_handler(name, self._stop.set)
        if handover.SIGNAL is not None:
            loop.add_signal_handler(handover.SIGNAL, self._hand_over.set)
            loop.add_signal_handler(signal.SIGHUP, lambda: self._spawn(self._reload_or_stop()))

    def _orphaned(self, lifeline: int) -> None:
        asyncio.get_running_loop().remove_reader(lifeline)
        log.error("the supervisor has ended; this worker ends too")
        self._stop.set()

    async def _say_alive(self, channel: Channel) -> None:
        while True:
            channel.alive()
            await asyncio.sleep(ALIVE_S)

    async def _until_ended(self) -> None:
        grace = self._gateway.settings.drain_s
        while not self._is_ending and self._successor is None:
            self._hand_over.clear()
            await first_of(self._stop, self._retire, self._leave, self._hand_over)
            if self._hand_over.is_set() and not self._stop.is_set():
                self._successor = await self._load_successor()
        if self._retire.is_set() and not self._stop.is_set():
            self._gateway.live.close()
            await first_of(self._stop, self._doors.retire(grace))
            await self._finish(0.0 if not self._stop.is_set() else grace, 0.5)
            return
        if self._successor is None and not self._leave.is_set():
            self._notifier.stopping()
            await self._until_left_alone()
            await self._finish(grace, PATIENCE_S)
            return
        # Everything is served until nothing runs: only then has anybody to wait, and not for long.
        self._doors.part()
        await first_of(self._stop, asyncio.sleep(PART_S))
        await first_of(self._stop, self._app.quiet(grace))
        if self._stop.is_set():
            await self._finish(grace, PATIENCE_S)
        else:
            self._gateway.live.close()
            await self._doors.retire(handover.GRACE_S, IDLE_S)  # whoever connects now waits for the successor
            await self._finish(0.0, 0.0)
        if self._successor is not None and self._stop.is_set():
            await asyncio.to_thread(self._successor.give_up)
            self._successor = None

    async def _until_left_alone(self) -> None:
        """Behind a balancer: it is to see that we leave before anybody is refused."""
        self._gateway.readiness.leaving = True
        if pause := self._gateway.settings.leave_s:
            self._doors.part()
            await asyncio.sleep(pause)

    async def _finish(self, grace: float, patience: float) -> None:
        self._gateway.live.close()
        await self._app.drain(grace)
        await self._doors.end(patience)

    async def _load_successor(self) -> handover.Successor | None:
        """The release that `current` names, ready to take over; None when it does not come so far, and this one goes on."""
        home = self._wish.home
        assert isinstance(self._opener, Sockets)
        try:
            found = handover.Successor.begin(_successor_command(home), self._opener.all())
        except OSError as error:
            log.error(handover.goes_on(home, f"cannot be started ({error})"))
            return None
        if await asyncio.to_thread(found.is_loaded):
            return found
        await asyncio.to_thread(found.give_up)
        log.error(handover.goes_on(home, "did not start"))
        return None

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("background work failed", exc_info=task.exception())


async def first_of(*waited: asyncio.Event | Coroutine[Any, Any, None]) -> None:
    """Returns with the first of them; the others are given up."""
    tasks = [asyncio.ensure_future(one.wait() if isinstance(one, asyncio.Event) else one) for one in waited]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
