"""Commands run for requests: any program of this machine behind every client format.

`Commands.send` gives an `upstream.Exchange` that speaks OpenAI chat completions, so the rest of the house translates as for any
provider. Each run is a process group of its own, in a private folder and with a scrubbed environment; whatever ends it (its own end, a
limit, the client leaving), nobody of the group is left and the folder is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from omni_connector.chat import ChatRequest, Json
from omni_connector.command import left
from omni_connector.command.answer import WIRE
from omni_connector.command.process import Process, finish, hider, quoted, tell
from omni_connector.command.run import Run, cancel
from omni_connector.errors import GatewayError, Kind
from omni_connector.providers import command_values, commands
from omni_connector.providers.commands import Template
from omni_connector.wire import views

PATH = "/chat/completions"

INHERITED = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR"} | {"SYSTEMROOT", "USERPROFILE", "APPDATA", "TEMP"}
)
"""What every program needs of its environment, and LC_*. Everything else is named by the template."""
FIXED: Mapping[str, str] = {"TERM": "dumb", "NO_COLOR": "1"}
WAIT_S = 60.0
"""For which a run waits for a place. How many may wait is the plan's matter: it leaves out accounts that are full."""


class Commands:
    """Runs the commands of this process. `home`: below it lie the folders they run in; `env`: the server's environment."""

    def __init__(self, home: Path, env: Mapping[str, str]) -> None:
        self._base = home / "commands"
        self._env = env
        self._places: dict[tuple[str, int], asyncio.Semaphore] = {}
        self._runs: set[asyncio.Task[None]] = set()
        self._removals: set[asyncio.Task[None]] = set()

    def tidy(self) -> None:
        """Ends, and removes, what a killed server left behind."""
        left.tidy(self._base)

    async def send(self, url: str, body: bytes, local: Json) -> Run:
        """Runs the command of an account for one chat completion; returns with the first of its answer (streamed) or with all of it.

        `local`: {"account", "provider", "command"}, see `providers.local_options`. Raises GatewayError; when cancelled, nothing runs on.
        """
        if not url.endswith(PATH):
            raise GatewayError(Kind.UPSTREAM_FAILED, "A command can only answer conversations.", upstream_status=404)
        request: ChatRequest = WIRE.parse_request(views.decode(body))
        run = Run(self, local, self.template(local), request)
        self._runs.add(run.task)
        run.task.add_done_callback(self._runs.discard)
        await run.begin()
        return run

    async def check(self, local: Json, within: float) -> str:
        """Proves that the command is there, and signed in where it can say so. Returns what was proved, in words. Raises GatewayError."""
        template = self.template(local)
        if not template.check:
            return f"{self.locate(local)} is there; only a request shows whether it answers."
        said = " ".join(template.check)
        async with self.folders(str(local["account"]), template) as (cwd, private):
            code, errors = await self._checked(template, cwd, private, within)
        if code == 0:
            return f"`{said}` ended well."
        if template.login:
            words = f"{template.name} is not signed in. Run `{template.login}` on this machine, as the user of this server."
            raise GatewayError(Kind.ACCOUNT_REJECTED, words, upstream_status=401)
        raise GatewayError(Kind.UPSTREAM_FAILED, f"`{said}` ended with code {code}{quoted(errors, hider(template.set.values()))}.")

    def locate(self, local: Json) -> str:
        """The path of its program. Raises GatewayError when it is not there, or when the template is not valid."""
        template = self.template(local)
        return self._found(str(template.argv[0]), self.environment(template))

    async def _checked(self, template: Template, cwd: Path, private: Path, within: float) -> tuple[int | None, bytearray]:
        try:
            async with asyncio.timeout(within), self.process(template, list(template.check), cwd, private) as (transport, process):
                tell(transport, b"")
                while process.exited_at is None:
                    process.take()
                    process.changed.clear()
                    await process.changed.wait()
                return transport.get_returncode(), process.errors
        except TimeoutError:
            words = f"`{' '.join(template.check)}` did not end within {within:g} s."
            raise GatewayError(Kind.UPSTREAM_TIMEOUT, words) from None

    async def close(self) -> None:
        """Ends every run."""
        for task in self._runs:
            cancel(task)
        await asyncio.gather(*self._runs, return_exceptions=True)
        await asyncio.gather(*self._removals)

    def template(self, local: Json) -> Template:
        if names := command_values.masked(local):
            words = f"The account's command has no value for {', '.join(names)}. Edit options.command.set and give it."
            raise GatewayError(Kind.ACCOUNT_REJECTED, words, upstream_status=401)
        try:
            return commands.template(str(local["provider"]), local)
        except GatewayError as error:
            raise GatewayError(Kind.UPSTREAM_UNREACHABLE, f"The account's command is not valid: {error.message}") from error

    # ------------------------------------------------------------ what a run needs

    @contextlib.asynccontextmanager
    async def place(self, account: str, template: Template) -> AsyncIterator[None]:
        """One of the account's places. Raises GatewayError when none becomes free."""
        places = self._places.setdefault((account, template.max_in_flight), asyncio.Semaphore(template.max_in_flight))
        try:
            async with asyncio.timeout(WAIT_S):
                await places.acquire()
        except TimeoutError:
            words = f"All {template.max_in_flight} places of the command {template.name} were taken for {WAIT_S:g} s."
            raise GatewayError(Kind.UPSTREAM_OVERLOADED, words, retry_after=1, stated=True) from None
        try:
            yield
        finally:
            places.release()

    @contextlib.asynccontextmanager
    async def folders(self, account: str, template: Template) -> AsyncIterator[tuple[Path, Path]]:
        """(working directory, private folder of the run), both for this user only. The second is gone afterwards."""
        base = self._base
        base.mkdir(mode=0o700, parents=True, exist_ok=True)
        private = Path(tempfile.mkdtemp(prefix="run-", dir=base))
        try:
            left.note_owner(private)
            yield self._cwd(template, base / account, private), private
        finally:
            removal = asyncio.create_task(asyncio.to_thread(shutil.rmtree, private, ignore_errors=True))
            self._removals.add(removal)
            removal.add_done_callback(self._removals.discard)
            await asyncio.shield(removal)

    @staticmethod
    def _cwd(template: Template, own: Path, private: Path) -> Path:
        if template.cwd == "account":
            own.mkdir(mode=0o700, exist_ok=True)
            return own
        if not template.cwd:
            folder = private / "work"
            folder.mkdir(mode=0o700)
            return folder
        if not Path(template.cwd).is_dir():
            raise GatewayError(Kind.UPSTREAM_UNREACHABLE, f"The command's folder {template.cwd} is not there.")
        return Path(template.cwd)

    def environment(self, template: Template) -> dict[str, str]:
        """Little of the server's environment, and never a key of ours or of a provider."""
        names = {name for name in self._env if name in INHERITED or name.startswith("LC_") or name in template.env}
        kept = {name: self._env[name] for name in names if not commands.is_private(name)}
        return {**FIXED, **kept, **template.set}

    @staticmethod
    def _found(program: str, env: Mapping[str, str]) -> str:
        found = shutil.which(program, path=env.get("PATH"))
        if found is None:
            words = (
                f"There is no program {program!r} on this machine. Install it, or give its whole path (--program, options.command.program)."
            )
            raise GatewayError(Kind.UPSTREAM_UNREACHABLE, words)
        return found

    @contextlib.asynccontextmanager
    async def process(
        self, template: Template, line: list[str], cwd: Path, private: Path
    ) -> AsyncIterator[tuple[asyncio.SubprocessTransport, Process]]:
        """A running program, in a session of its own. Afterwards the whole group is gone: asked first, then ended."""
        env = self.environment(template)
        program = self._found(line[0], env)
        loop = asyncio.get_running_loop()
        starting = asyncio.ensure_future(loop.subprocess_exec(Process, program, *line[1:], cwd=str(cwd), env=env, start_new_session=True))
        try:
            transport, process = await asyncio.shield(starting)
        except asyncio.CancelledError:
            with contextlib.suppress(OSError, ValueError):  # it may run already, and have children
                await finish(*await starting)
            raise
        except (OSError, ValueError) as error:
            raise GatewayError(Kind.UPSTREAM_UNREACHABLE, f"The program {line[0]!r} cannot be started: {error}") from error
        try:
            left.note_group(private, transport.get_pid())
            yield transport, process
        finally:
            await finish(transport, process)
