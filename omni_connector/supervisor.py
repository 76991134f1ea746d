"""`serve --workers N`: a parent that owns the listening sockets, and workers that serve on them.

The parent is one thread with no event loop and no database: it has all code loaded and forks, so a worker that was killed is back in a
moment. A worker that dies takes only its own requests with it. On reload (SIGHUP) each worker is replaced by a new one that already
serves before the old one stops accepting; on SIGTERM all finish what runs, within their grace. SIGUSR2 brings the next release
(`handover`). Workers that cannot live end it all with EXIT_CRASHING, when nobody is left who serves.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import random
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from omni_connector import handover
from omni_connector.listeners import Sockets
from omni_connector.notify import PINGS, Notifier
from omni_connector.workers import LEAVE, RETIRE, SILENT_S, BackOff, Channel, answer, has_terminal, terminal_is_gone

log = logging.getLogger("omni.supervisor")
Json = dict[str, Any]

EXIT_CRASHING = 70
"""EX_SOFTWARE of sysexits(3)."""
GRACE_S = 30.0
"""Until a worker has said what drain_s is."""
MARGIN_S = 10.0
"""For closing the books after the grace; then a worker that is to end is killed."""
LONGEST_LOOK_S = 1.0
START_S = 600.0
"""For a start, a migration included."""
SIGNALS = {"SIGTERM": "stop", "SIGINT": "stop", "SIGHUP": "reload", "SIGUSR2": "hand over", "SIGCHLD": "look"}

Work = Callable[[Channel], int]


@dataclass
class Worker:
    pid: int
    number: int
    line: socket.socket
    began: float
    started_at: int
    state: str = "starting"
    """starting, serving, leaving."""
    replaces: Worker | None = None
    heard: float = 0.0
    until: float | None = None
    """When it is killed, if it has not ended by then."""
    pending: bytes = b""


@dataclass
class Slot:
    """One of the N places. `due`: when a worker is started again (monotonic s)."""

    backoff: BackOff = field(default_factory=BackOff)
    due: float | None = None
    restarts: int = 0


class Supervisor:
    def __init__(
        self,
        count: int,
        sockets: Sockets,
        work: Work,
        serves: Callable[[Json], None],
        notifier: Notifier,
        begin_successor: Callable[[Sequence[socket.socket]], handover.Successor],
        home: Path,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`serves`: is told where we listen (`listeners.told`). `work` runs in the worker and returns its exit code."""
        self._sockets = sockets
        self._work = work
        self._serves = serves
        self._notifier = notifier
        self._begin_successor = begin_successor
        self._home = home
        self._clock = clock
        self._slots = [Slot() for _ in range(count)]
        self._workers: dict[int, Worker] = {}
        self._grace = GRACE_S
        self._renew: list[int] = []
        self._code: int | None = None
        self._has_served = False
        self._pinged = 0.0
        self._successor: handover.Successor | None = None
        self._handing = False
        self._wanted: set[str] = set()
        self._started_at = time.time_ns() // 1_000_000
        self._had_terminal = has_terminal()
        self._ear, self._mouth = os.pipe()  # where signals wake us
        self._lifeline, self._held = os.pipe()

    def run(self) -> int | handover.Successor:
        """Until it is to end: the exit code, or who takes over."""
        before = self._listen_to_signals()
        try:
            self._start(0)  # alone: it may have to migrate, and says what is wrong
            while (ended := self._step()) is None:
                pass
            return ended
        finally:
            self._ignore_signals(before)
            for worker in self._workers.values():  # only when we ourselves failed
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker.pid, signal.SIGKILL)
                    os.waitpid(worker.pid, 0)
            for number in (self._ear, self._mouth, self._lifeline, self._held):
                os.close(number)

    # ------------------------------------------------------------ one round

    def _step(self) -> int | handover.Successor | None:
        self._listen(self._pause())
        self._reap()
        now = self._clock()
        for name in sorted(self._wanted):
            getattr(self, f"_{name.replace(' ', '_')}")()
        self._wanted.clear()
        for worker in list(self._workers.values()):
            if worker.until is not None and now >= worker.until:
                log.warning("worker %d did not end in time and is killed", worker.pid)
                self._signal(worker, signal.SIGKILL)
                worker.until = None
            elif worker.state == "serving" and now - worker.heard > SILENT_S:
                log.error("worker %d hangs and is killed", worker.pid)
                self._signal(worker, signal.SIGKILL)
        if self._code is None and not self._handing:
            for number, slot in enumerate(self._slots):
                if slot.due is not None and now >= slot.due:
                    slot.due = None
                    self._start(number)
        self._ping(now)
        if self._handing and not self._workers:
            return self._give_place()
        return self._code if self._code is not None and not self._workers else None

    def _pause(self) -> float:
        now = self._clock()
        ends = [slot.due for slot in self._slots if slot.due is not None]
        ends += [worker.until for worker in self._workers.values() if worker.until is not None]
        return max(0.0, min([LONGEST_LOOK_S, *(at - now for at in ends)]))

    def _listen(self, within: float) -> None:
        lines = {worker.line: worker for worker in self._workers.values() if worker.line.fileno() >= 0}
        ears: list[Any] = [self._ear, *lines]
        if self._successor is not None and not self._handing:
            ears.append(self._successor)
        for ready in select.select(ears, [], [], within)[0]:
            if ready == self._ear:
                self._wanted |= {SIGNALS[signal.Signals(number).name] for number in os.read(self._ear, 512)}
            elif ready is self._successor:
                self._successor_spoke()
            else:
                self._hear(lines[ready])
        self._wanted.discard("look")

    def _ping(self, now: float) -> None:
        if self._notifier.watchdog_s and now - self._pinged >= self._notifier.watchdog_s / PINGS:
            self._pinged = now
            self._notifier.send(WATCHDOG=1)

    # ------------------------------------------------------------ workers

    def _start(self, number: int, replaces: Worker | None = None) -> None:
        ours, theirs = socket.socketpair()
        sys.stdout.flush()
        sys.stderr.flush()
        held = signal.pthread_sigmask(signal.SIG_BLOCK, [getattr(signal, name) for name in SIGNALS])
        pid = os.fork()  # a signal to a child that is not itself yet would be taken for one to us
        if pid == 0:
            self._become_worker(ours, theirs, number, held)
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
        theirs.close()
        ours.setblocking(False)
        now = self._clock()
        self._workers[pid] = Worker(pid, number, ours, now, time.time_ns() // 1_000_000, replaces=replaces, heard=now, until=now + START_S)

    def _become_worker(self, ours: socket.socket, theirs: socket.socket, number: int, mask: set[Any]) -> NoReturn:
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            for name in SIGNALS:
                # A terminal sends these to all of us; we wait for the supervisor's word. (Programs that we start are not deaf to them.)
                signal.signal(getattr(signal, name), _woken if name in ("SIGINT", "SIGHUP") else signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            # What is ours must not live on in a child: a listening socket would stay open, a pipe would never end.
            ours.close()
            for worker in self._workers.values():
                worker.line.close()
            self._sockets.close()
            for handle in (self._ear, self._mouth, self._held):
                os.close(handle)
            random.seed()
            code = self._work(Channel(theirs, self._lifeline, number))
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
        except BaseException:
            log.exception("a worker failed")
            traceback.print_exc()
        finally:
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def _reap(self) -> None:
        for worker in list(self._workers.values()):
            found, status = os.waitpid(worker.pid, os.WNOHANG)
            if found:
                self._hear(worker)  # its last words
                worker.line.close()
                del self._workers[worker.pid]
                self._ended(worker, os.waitstatus_to_exitcode(status))

    def _ended(self, worker: Worker, code: int) -> None:
        if worker.state == "leaving" or self._code is not None or self._handing:
            return
        if not self._has_served:  # it has said why
            self._code = code if code > 0 else 1
            return
        how = f"exit code {code}" if code >= 0 else f"signal {-code}"
        if worker.replaces is not None:
            log.error("the new worker %d ended before it served (%s); the reload is given up", worker.pid, how)
            self._renew.clear()
            return
        slot = self._slots[worker.number]
        pause = slot.backoff.ended(self._clock() - worker.began)
        log.error("worker %d ended (%s); another one is started in %.1f s", worker.pid, how, pause)
        if slot.backoff.is_hopeless and not any(other.state == "serving" for other in self._workers.values()):
            words = f"The workers end as soon as they start ({how}, lastly). The reason is in the log: omni-connector logs"
            log.error("%s", words)
            print(f"omni-connector: {words}", file=sys.stderr, flush=True)
            self._end(EXIT_CRASHING)
            return
        slot.restarts += 1
        slot.due = self._clock() + pause

    def _signal(self, worker: Worker, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker.pid, number)

    def _dismiss(self, worker: Worker, number: int) -> None:
        worker.state = "leaving"
        worker.until = self._clock() + self._grace + MARGIN_S
        self._signal(worker, number)

    # ------------------------------------------------------------ what workers say

    def _hear(self, worker: Worker) -> None:
        with contextlib.suppress(OSError, ValueError):
            while piece := worker.line.recv(1 << 16):
                worker.pending += piece
        *lines, worker.pending = worker.pending.split(b"\n")
        worker.heard = self._clock()
        for line in lines:
            said: Json = json.loads(line)
            match said["do"]:
                case "take":
                    self._lend(worker, str(said["host"]), int(said["port"]))
                case "keep":
                    if worker.state != "leaving":
                        self._sockets.keep_only((str(host), int(port)) for host, port in said["addresses"])
                    answer(worker.line, {})
                case "serves":
                    answer(worker.line, {})
                    self._now_serves(worker, said)
                case "crew":
                    answer(worker.line, self._crew())

    def _lend(self, worker: Worker, host: str, port: int) -> None:
        try:
            with self._sockets.take((host, port)) as handle:
                answer(worker.line, {}, handle)
        except OSError as error:
            answer(worker.line, {"errno": error.errno, "error": error.strerror or str(error)})

    def _crew(self) -> Json:
        workers = [
            {"pid": w.pid, "state": w.state, "started_at": w.started_at, "restarts": self._slots[w.number].restarts}
            for w in sorted(self._workers.values(), key=lambda worker: (worker.number, worker.began))
        ]
        return {"pid": os.getpid(), "started_at": self._started_at, "wanted": len(self._slots), "workers": workers}

    def _now_serves(self, worker: Worker, said: Json) -> None:
        self._grace = float(said["grace_s"])
        if worker.state == "starting":
            worker.state, worker.until = "serving", None
            if worker.replaces is not None:
                self._dismiss(worker.replaces, RETIRE)
                worker.replaces = None
                self._next_renewal()
        first, self._has_served = not self._has_served, True
        self._serves(said["note"])
        if first:
            for number in range(1, len(self._slots)):
                self._start(number)

    # ------------------------------------------------------------ what we are told to do

    def _stop(self) -> None:
        if self._code is None:
            self._notifier.stopping()
            self._end(0)

    def _end(self, code: int) -> None:
        self._code = code
        if self._successor is not None:
            self._successor.give_up()
            self._successor, self._handing = None, False
        for worker in self._workers.values():
            self._dismiss(worker, signal.SIGTERM)

    def _reload(self) -> None:
        if terminal_is_gone(self._had_terminal):
            self._stop()
        elif self._code is None and not self._handing and self._has_served:
            log.info("reload: every worker is replaced")
            idle = not self._renew and not any(worker.replaces for worker in self._workers.values())
            self._renew = [worker.pid for worker in self._workers.values() if worker.state == "serving"]
            if idle:
                self._next_renewal()

    def _next_renewal(self) -> None:
        """One at a time: a reload does not double what the machine has to do."""
        while self._renew:
            old = self._workers.get(self._renew.pop(0))
            if old is not None and old.state == "serving":
                self._start(old.number, replaces=old)
                return
        log.info("reload: done")

    def _hand_over(self) -> None:
        if self._successor is not None or self._code is not None or not self._has_served:
            return
        try:
            self._successor = self._begin_successor(self._sockets.all())
        except OSError as error:
            log.error(handover.goes_on(self._home, f"cannot be started ({error})"))

    def _successor_spoke(self) -> None:
        assert self._successor is not None
        if not self._successor.is_loaded(1.0):
            self._successor.give_up()
            self._successor = None
            log.error(handover.goes_on(self._home, "did not start"))
            return
        self._handing = True
        for worker in self._workers.values():
            self._dismiss(worker, LEAVE)

    def _give_place(self) -> handover.Successor | None:
        """Nobody works any more: the books are closed, and whoever connects now waits for the successor."""
        successor, self._successor, self._handing = self._successor, None, False
        assert successor is not None
        if successor.takes_over():
            return successor
        successor.give_up()
        log.error(handover.goes_on(self._home, "ended before it served"))
        for number in range(len(self._slots)):
            self._start(number)
        return None

    # ------------------------------------------------------------ signals

    def _listen_to_signals(self) -> dict[str, Any]:
        os.set_blocking(self._mouth, False)
        os.set_blocking(self._ear, False)
        before = {name: signal.signal(getattr(signal, name), _woken) for name in SIGNALS}
        signal.set_wakeup_fd(self._mouth, warn_on_full_buffer=False)
        return before

    def _ignore_signals(self, before: dict[str, Any]) -> None:
        signal.set_wakeup_fd(-1)
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)


def _woken(number: int, frame: object) -> None:
    """The number is in the pipe."""
