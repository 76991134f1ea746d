"""Signing in as users do it: real processes, the real command line, a browser's part played by the test."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.auth_server import AuthServer
from tests.live.processes import ROOT, Server, running, soon
from tests.serving import FakeUpstream, whole

Json = dict[str, Any]
WITHIN_S = 90
TIER = {"currentTier": {"id": "standard-tier", "name": "Standard"}, "cloudaicompanionProject": "found-1", "buckets": []}


@dataclass
class Street:
    """The home, the provider's sign-in and its API; `cli` runs a command as a user's shell does."""

    home: Path
    login: AuthServer
    google: FakeUpstream
    server: Server | None = None

    @property
    def endpoints(self) -> str:
        addresses = {**self.login.endpoints(), "setup": self.google.url, "inference": self.google.url}
        del addresses["issuer"]
        return f"endpoints={json.dumps(addresses)}"

    async def start(self, *argv: str, stdin: int = PIPE) -> asyncio.subprocess.Process:
        env = {
            **os.environ,
            "OMNI_HOME": str(self.home),
            "PYTHONPATH": str(ROOT),
            "ONEAPI_GEMINI_OAUTH_CLIENT_ID": "client-1",
            "ONEAPI_GEMINI_OAUTH_CLIENT_SECRET": "cl13nt-s3cret",
            "GOOGLE_CLOUD_PROJECT": "mine-1",
        }
        command = (sys.executable, "-m", "omni_connector", "backend", *argv)
        return await asyncio.create_subprocess_exec(*command, env=env, cwd=self.home.parent, stdin=stdin, stdout=PIPE, stderr=PIPE)

    async def run(self, *argv: str, paste: str | None = None) -> tuple[int | None, str, str]:
        process = await self.start(*argv, stdin=DEVNULL if paste is None else PIPE)
        async with asyncio.timeout(WITHIN_S):
            out, err = await process.communicate(None if paste is None else paste.encode())
        return process.returncode, out.decode(), err.decode()

    async def answered(self, *argv: str) -> tuple[int | None, str, str]:
        """Runs it, opens the address that it prints, pastes the one that the browser ends at."""
        process = await self.start(*argv)
        assert process.stdout is not None
        assert process.stdin is not None
        seen = ""
        async with asyncio.timeout(WITHIN_S):
            while (found := re.search(r"http://127\S+/authorize\S+", seen)) is None:
                line = (await process.stdout.readline()).decode()
                assert line, f"{seen}\n{(await process.communicate())[1].decode()}"
                seen += line
            process.stdin.write(b"nonsense with blanks\n")
            process.stdin.write((await self.login.visit(found.group())).encode() + b"\n")
            await process.stdin.drain()
            out, err = await process.communicate()
        return process.returncode, seen + out.decode(), err.decode()

    async def accounts(self) -> list[Json]:
        code, out, _ = await self.run("list", "--json")
        assert code == 0
        return list(json.loads(out)["accounts"])


@pytest.fixture(params=["server up", "server down"])
async def street(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Street]:
    google = FakeUpstream()
    google.answer(whole(TIER))
    await google.start()
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(google.stop)
        login = await stack.enter_async_context(AuthServer())
        login.secrets["client-1"] = "cl13nt-s3cret"
        street = Street(tmp_path / "home", login, google)
        if request.param == "server up":
            street.server = await stack.enter_async_context(running(street.home))
        yield street


LOGIN = ("gemini-oauth-login", "work", "--headless", "--yes")


@pytest.mark.slow
async def test_a_google_account_by_pasted_address_and_again(street: Street) -> None:  # P-18
    code, out, err = await street.answered(*LOGIN, "--option", street.endpoints, "--model-ids", "m1,m2")
    assert code == 0, err
    assert "work (Gemini Code Assist (Google sign-in)) is connected" in out
    assert "may suspend" in err  # the terms, acknowledged by --yes
    assert "Paste the whole address" in err  # what was said to the nonsense
    (account,) = await street.accounts()
    assert (account["models"], account["auth"], account["status"]) == (["m1", "m2"], "oauth", "ready")
    assert account["options"]["identity"]["email"] == "ada@example.org"
    assert (account["options"]["project"], account["options"]["identity"]["plan"]) == ("found-1", "Standard")
    assert (street.home / "gemini-oauth" / "work").stat().st_mode & 0o777 == 0o700
    sent = json.loads(street.google.seen[0].raw)
    assert sent["cloudaicompanionProject"] == "mine-1"  # of the shell, whatever the server's environment says
    code, out, err = await street.answered(*LOGIN)
    assert code == 0, err
    (again,) = await street.accounts()
    assert (again["id"], again["models"]) == (account["id"], ["m1", "m2"])
    assert "cl13nt-s3cret" not in out + err
    code, _, err = await street.run("remove", "work", "--yes")
    assert code == 0, err
    await soon(lambda: street.login.count("revoke"))
    assert street.login.count("revoke") == 1


@pytest.mark.slow
async def test_without_a_terminal_it_ends_and_is_finished_later(street: Street) -> None:
    code, out, err = await street.run(*LOGIN, "--option", street.endpoints, "--model-ids", "auto", "--json")
    assert code == 0, err
    flow = json.loads(out)
    assert flow["status"] == "waiting"
    location = await street.login.visit(flow["authorization_url"])
    code, out, err = await street.run("login", "--finish", flow["flow_id"], paste=location)
    assert code == 0, err
    assert "is connected" in out
    code, _, err = await street.run("login", "--finish", flow["flow_id"], "--json", paste=location)
    assert code == 0  # it says once more how it ended
    code, _, err = await street.run(*LOGIN)
    assert (code, "--finish flw_" in err) == (1, True)
    assert len(await street.accounts()) == 1
