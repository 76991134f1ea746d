"""What every test gets: a home of its own, none of the user's settings, and no way out but loopback.

Nothing here is specific to one room; a fixture that only one folder needs belongs into that folder's own conftest.py.
"""

from __future__ import annotations

import asyncio
import gc
import ipaddress
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent

FOREIGN_VARIABLES = (
    # Settings of a developer's own installation, provider keys that would become accounts, and proxies that would take our calls away.
    "OMNI_", "ONEAPI_", "OPENAI_", "ANTHROPIC_", "CLAUDE_", "GEMINI_", "GOOGLE_CLOUD_", "USE_SYSTEM_PROXY_", "PROMPT_LOG_",
)  # fmt: skip
FOREIGN_NAMES = {"HOST", "PORT", "REQUIRED_API_KEY", "MODEL_PROVIDER", "DATA_ENCRYPTION_KEY", "ALLOW_REMOTE_DASHBOARD", "GITHUB_TOKEN"}
KEPT = {"OMNI_PYTHON", "OMNI_TEST_VENV", "OMNI_RECORDINGS", "OMNI_CHROMIUM", "OMNI_TEST_POSTGRES_URL"}
KEPT |= {"OMNI_TEST_SERVER", "OMNI_TEST_TRANSPORT"}

# What stays unfound by so many examples is for MANY_EXAMPLES=5000. No deadline: a busy machine is no fault of what is tested.
settings.register_profile("suite", max_examples=int(os.environ.get("MANY_EXAMPLES") or 40), deadline=None)
settings.load_profile("suite")

_real_connect = socket.socket.connect
_real_connect_ex = socket.socket.connect_ex
_real_getaddrinfo = socket.getaddrinfo
_attempts: list[str] = []
_removed: dict[str, str] = {}


class NetworkBlocked(RuntimeError):
    """A test tried to reach an address outside this machine."""


def _is_foreign(name: str) -> bool:
    upper = name.upper()
    if upper in KEPT:
        return False
    return upper.startswith(FOREIGN_VARIABLES) or upper in FOREIGN_NAMES or upper.endswith(("_API_KEY", "_PROXY", "_AUTH_TOKEN"))


def _blocked(what: str) -> NetworkBlocked:
    _attempts.append(what)
    return NetworkBlocked(f"tests reach loopback only, and this one asked for {what}")


def _is_local(host: object) -> bool:
    text = host.decode() if isinstance(host, bytes) else str(host or "")
    if text in ("", "localhost", "testserver") or text.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(text.split("%", 1)[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _check(address: Any) -> None:
    if isinstance(address, tuple) and not _is_local(address[0]):
        raise _blocked(f"{address[0]}:{address[1]}")


def _connect(self: socket.socket, address: Any) -> None:
    _check(address)
    _real_connect(self, address)


def _connect_ex(self: socket.socket, address: Any) -> int:
    _check(address)
    return _real_connect_ex(self, address)


def _getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
    text = host.decode() if isinstance(host, bytes) else host
    if isinstance(text, str) and text.endswith(".invalid"):
        # Reserved for this (RFC 6761): a name that never resolves, so that tests can show an unreachable host.
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    if not _is_local(host):
        raise _blocked(f"the name {text}")
    return _real_getaddrinfo(host, *args, **kwargs)


def pytest_configure(config: pytest.Config) -> None:
    """Before any test module is imported: modules may look at the environment, and sub-processes inherit it."""
    for name in [name for name in os.environ if _is_foreign(name)]:
        _removed[name] = os.environ.pop(name)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # with it, every process that a test starts would compile the whole product anew
    socket.socket.connect = _connect  # type: ignore[method-assign,assignment]
    socket.socket.connect_ex = _connect_ex  # type: ignore[method-assign,assignment]
    socket.getaddrinfo = _getaddrinfo


def pytest_collection_finish() -> None:
    """What all test modules brought stays to the end: the collector need not look through it again and again."""
    from tests import quick

    quick.set_up()
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def loopback_only() -> Iterator[None]:
    """Fails the test that tried to leave this machine, even when the code under test swallowed the error."""
    _attempts.clear()
    yield
    tried, _attempts[:] = list(_attempts), []
    assert not tried, f"the test tried to reach {', '.join(tried)}"


@pytest.fixture(autouse=True)
def omni_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """OMNI_HOME of this test: an own folder that does not exist yet. HOME stays, so that tools find their caches."""
    home = tmp_path / "omni-home"
    monkeypatch.setenv("OMNI_HOME", str(home))
    return home


@pytest.fixture(autouse=True)
def quick_passphrases(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A passphrase costs a fifth of a second and 64 MiB each time; the tests of the sealing itself pay it, the others need not."""
    sealing = sys.modules.get("omni_connector.sealing")
    if sealing and request.path.name not in ("test_sealing.py", "test_sealed.py"):
        monkeypatch.setattr(sealing, "COST", {"n": 2, "r": 8, "p": 1})


@pytest.fixture(scope="session")
def installer_env() -> dict[str, str]:
    """The environment for a sub-process that fetches packages: as the user has it, proxies included, without OMNI_HOME."""
    proxies = {name: value for name, value in _removed.items() if name.upper().endswith("_PROXY")}
    return {**os.environ, **proxies}


@pytest.fixture(scope="session")
def recordings() -> Path:
    """The folder of recorded provider traffic; tests that need it are skipped where it is not at hand."""
    folder = Path(os.environ.get("OMNI_RECORDINGS") or ROOT.parent / "shared" / "recordings")
    if not folder.is_dir():
        pytest.skip(f"no recordings here ({folder.name}); OMNI_RECORDINGS names their folder")
    return folder


@pytest.fixture(scope="session")
def migrated_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with keys and an empty database at the newest schema: copying it is faster than making one for every test."""
    from omni_connector.gateway import Gateway

    home = tmp_path_factory.mktemp("migrated") / "home"

    async def make() -> None:
        await (await Gateway.open(home, {})).close()

    asyncio.run(make())
    return home


@pytest.fixture(scope="session")
def postgres() -> Iterator[Any]:
    """A PostgreSQL server, started once (tests/postgres.py); tests that need it are skipped where there is none."""
    from tests import postgres as machine

    if why := machine.missing():
        pytest.skip(why)
    server = machine.start()
    yield server
    server.close()
