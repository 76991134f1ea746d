"""Which program reads and writes the connections: `serve --server NAME`."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any, cast

from hypercorn.config import Config

from omni_connector.serving import HypercornServer, Make, Server, settings_of_http
from omni_connector.settings import SettingsError

NAMES = ("hypercorn", "uvicorn", "granian")
MISSING = "The server {name} is not installed here. Install it: pip install 'omni-connector[fast]' in omni-connector's environment."
WINDOWS = "The server granian takes over listening sockets, which needs Linux or macOS. Use uvicorn or hypercorn."

Scope = dict[str, Any]
Message = dict[str, Any]


def maker(name: str, limits: Config | None = None) -> Make:
    """Makes servers of that name. `limits`: their deadlines and sizes. Raises SettingsError when it is not installed."""
    config = limits or settings_of_http()
    if name == "hypercorn":
        return lambda app: HypercornServer(app, config)
    if name == "granian" and sys.platform == "win32":
        raise SettingsError(WINDOWS)
    try:
        found = importlib.import_module(f"omni_connector.{name}_server")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != name:
            raise
        raise SettingsError(MISSING.format(name=name)) from error
    kind = cast("Callable[..., Server]", getattr(found, f"{name.capitalize()}Server"))
    return lambda app: kind(WithoutWebSockets(app), config)


class WithoutWebSockets:
    """For a server that is told to speak none: the app is asked all the same, and says what to do instead."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["method"] == "GET" and _wants_websocket(scope):
            scope, receive, send = {**scope, "type": "websocket", "subprotocols": []}, _connects, _refusing(send)
        await self._app(scope, receive, send)


def _wants_websocket(scope: Scope) -> bool:
    return any(name == b"upgrade" and value.lower() == b"websocket" for name, value in scope["headers"])


async def _connects() -> Message:
    return {"type": "websocket.connect"}


def _refusing(send: Any) -> Any:
    async def said(message: Message) -> None:
        if message["type"].startswith("websocket.http."):
            await send({**message, "type": message["type"].removeprefix("websocket.")})

    return said
