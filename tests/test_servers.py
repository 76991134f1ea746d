"""The choice of a server."""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from omni_connector import servers
from omni_connector.cli.server import SERVERS
from omni_connector.serving import HypercornServer
from omni_connector.settings import BY_NAME, SettingsError


def test_everybody_names_the_same_servers() -> None:
    assert servers.NAMES == SERVERS == BY_NAME["server"].choices
    assert isinstance(servers.maker("hypercorn")(lambda scope, receive, send: None), HypercornServer)  # type: ignore[arg-type,return-value]


def test_what_is_not_installed_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ModuleNotFoundError(f"No module named {name}", name="granian.constants")

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(SettingsError, match=r"granian is not installed.*pip install 'omni-connector\[fast\]'"):
        servers.maker("granian")


def test_granian_needs_a_socket_that_windows_does_not_give(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers.sys, "platform", "win32")
    with pytest.raises(SettingsError, match="Linux or macOS"):
        servers.maker("granian")


async def test_who_asks_for_a_websocket_hears_what_the_app_says() -> None:
    async def app(scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
        assert scope["type"] == "websocket" and await receive() == {"type": "websocket.connect"}
        await send({"type": "websocket.http.response.start", "status": 426, "headers": []})
        await send({"type": "websocket.http.response.body", "body": b"no"})

    said: list[Any] = []

    async def send(message: Any) -> None:
        said.append(message)

    scope = {"type": "http", "method": "GET", "headers": [(b"upgrade", b"WebSocket")]}
    await servers.WithoutWebSockets(app)(scope, app, send)
    assert [message["type"] for message in said] == ["http.response.start", "http.response.body"]
