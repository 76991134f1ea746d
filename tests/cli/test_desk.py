import inspect
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from omni_connector.admin import Admin
from omni_connector.cli import desk
from omni_connector.cli.base import Stop
from omni_connector.cli.desk import OPERATIONS, ServerDesk, request_for
from omni_connector.errors import GatewayError, Kind
from omni_connector.root import ROOT


def test_every_operation_is_a_method_of_admin_and_takes_what_its_route_carries() -> None:  # R-17
    for operation, (method, path) in OPERATIONS.items():
        parameters = list(inspect.signature(getattr(Admin, operation)).parameters)[1:]
        in_path = path.count("{}")
        assert len(parameters) >= in_path, operation
        if method in ("PATCH", "PUT"):
            assert len(parameters) == in_path + 1, operation


def test_every_operation_is_a_route() -> None:  # R-17
    source = (ROOT / "app.py").read_text("utf-8")
    for operation, (_, path) in OPERATIONS.items():
        start = path.split("{}")[0].rstrip("/")
        assert start in source, f"{operation}: no route {path}"


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (("accounts",), ("GET", "/api/accounts", None)),
        (("enable", "acc_1"), ("POST", "/api/accounts/acc_1/enable", None)),
        (("edit_account", "a/b?", {"weight": 2}), ("PATCH", "/api/accounts/a%2Fb%3F", {"weight": 2})),
        (("usage", {"group": "day", "from": None, "to": "a b"}), ("GET", "/api/usage?group=day&to=a+b", None)),
        (("set_alias", "x", {"targets": ["y"]}), ("PUT", "/api/aliases/x", {"targets": ["y"]})),
    ],
)
def test_operations_become_requests(call: tuple[Any, ...], expected: tuple[Any, ...]) -> None:
    assert request_for(*call) == expected


class FakeServer:
    def __init__(self, status: int, answer: dict[str, Any]) -> None:
        self.answer = status, answer

    async def request(self, method: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
        return self.answer

    async def close(self) -> None: ...


async def test_a_server_s_refusal_is_the_same_failure_as_without_it() -> None:
    error = {"error": {"message": "label taken", "code": "conflict", "param": "label", "status": 409}}
    with pytest.raises(GatewayError) as caught:
        await ServerDesk(FakeServer(409, error)).call("add_account", {})
    assert (caught.value.kind, caught.value.message, caught.value.param) == (Kind.CONFLICT, "label taken", "label")
    with pytest.raises(GatewayError, match="status 502"):
        await ServerDesk(FakeServer(502, {})).call("accounts")
    with pytest.raises(GatewayError, match="another admin key"):
        await ServerDesk(FakeServer(401, {"error": {"message": "no"}})).call("accounts")
    assert await ServerDesk(FakeServer(200, {"accounts": []})).call("accounts") == {"accounts": []}


def note(home: Path, pid: int) -> None:
    home.mkdir(exist_ok=True)
    (home / "server.json").write_text(json.dumps({"pid": pid, "url": "http://127.0.0.1:1/", "started_at": 5}))


def test_a_server_counts_only_while_its_process_lives(omni_home: Path) -> None:
    assert desk.running(omni_home) is None
    note(omni_home, os.getpid())
    found = desk.running(omni_home)
    assert found is not None
    assert (found.url, found.base_url) == ("http://127.0.0.1:1", "http://127.0.0.1:1")
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    # A child that ended but was not waited for keeps its number: it must not count as running.
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    note(omni_home, child.pid)
    assert desk.running(omni_home) is None
    child.wait()
    (omni_home / "server.json").write_text("{")
    assert desk.running(omni_home) is None


async def test_a_process_that_refuses_connections_is_no_server(omni_home: Path) -> None:
    note(omni_home, os.getpid())
    omni_home.chmod(0o700)
    (omni_home / "admin.key").write_text("omniadm-x")
    async with desk.open_desk() as found:
        assert found.place == "database"
        assert await found.call("accounts") == {"accounts": []}


def test_the_admin_key_comes_from_the_environment_or_the_home(omni_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Stop, match=r"admin\.key"):
        desk.admin_key(omni_home)
    omni_home.mkdir()
    (omni_home / "admin.key").write_text("omniadm-file\n")
    assert desk.admin_key(omni_home) == "omniadm-file"
    (omni_home / ".env").write_text("OMNI_ADMIN_KEY=omniadm-dotenv\n")
    assert desk.admin_key(omni_home) == "omniadm-dotenv"
    monkeypatch.setenv("OMNI_ADMIN_KEY", "omniadm-env")
    assert desk.admin_key(omni_home) == "omniadm-env"


def test_the_base_url_follows_the_settings(omni_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert desk.base_url() == "http://localhost:38471"  # J-15, P-16
    monkeypatch.setenv("OMNI_PORT", "9000")
    assert desk.base_url() == "http://localhost:9000"
