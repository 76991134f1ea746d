"""Runs tests in the folder it is started in, each time in a fork: pytest and the libraries are imported once, our own code never.

A line of stdin is a JSON list of node ids, the line of stdout that answers it [pytest's exit code, its output]; -1: no end in time.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import tempfile
import time
import traceback

LIBRARIES = (
    "pytest", "pytest_asyncio", "hypothesis.strategies", "aiohttp.web", "httpx2", "quart", "quart.testing", "hypercorn.asyncio", "jose.jwt",
    "sqlalchemy.ext.asyncio", "aiosqlite", "alembic.command", "apscheduler.schedulers.asyncio",
    "cryptography.hazmat.primitives.ciphers.aead", "msgspec", "h11", "httptools",
)  # fmt: skip
ARGUMENTS = ("-x", "-q", "-p", "no:cacheprovider", "--no-header", "-W", "ignore::pytest.PytestAssertRewriteWarning")
"""The warning: plugins are imported already, which is what this is for."""
PATIENCE_S = 180
"""For the tests of one mutation, on a machine that others use as well."""


def run(tests: list[str]) -> tuple[int, str]:
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as told:
        child = os.fork()
        if child == 0:
            _child(tests, told.fileno())
        code = _waited(child)
        told.seek(0)
        return code, told.read()


def _child(tests: list[str], told: int) -> None:
    code = 3  # pytest's word for an error of its own
    try:
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(told, 1)
        os.dup2(told, 2)
        import pytest

        code = int(pytest.main([*ARGUMENTS, *tests]))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _waited(child: int) -> int:
    ends = time.monotonic() + PATIENCE_S
    while time.monotonic() < ends:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return -1


def main() -> None:
    for name in LIBRARIES:
        importlib.import_module(name)
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
