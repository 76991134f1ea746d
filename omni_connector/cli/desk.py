"""Where management commands are carried out: by the running server (admin API) or, without one, on the database itself.

Both are one call, `await desk.call("edit_account", id, body)`: OPERATIONS maps each operation, which is a method of
`admin.Admin`, to its route. So nothing can be done by the command line that the admin API cannot do, and the other way
round (R-17), and a change made while the server runs is effective at once (R-18).
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import quote, urlencode

from omni_connector.cli.base import Stop
from omni_connector.cli.office import environment, home, local_gateway, plain_errors
from omni_connector.errors import KINDS, GatewayError, Kind
from omni_connector.values import dataclass

Json = dict[str, Any]
T = TypeVar("T")

# Operation (a method of Admin) → method and path. "{}" takes the arguments before the last; the last one is the body
# (POST, PATCH, PUT) or the query (GET) when it is a mapping.
OPERATIONS: Mapping[str, tuple[str, str]] = {
    "accounts": ("GET", "/api/accounts"),
    "account": ("GET", "/api/accounts/{}"),
    "add_account": ("POST", "/api/accounts"),
    "edit_account": ("PATCH", "/api/accounts/{}"),
    "remove_account": ("DELETE", "/api/accounts/{}"),
    "enable": ("POST", "/api/accounts/{}/enable"),
    "disable": ("POST", "/api/accounts/{}/disable"),
    "test": ("POST", "/api/accounts/{}/test"),
    "test_unsaved": ("POST", "/api/accounts/test"),
    "clear_cooldown": ("POST", "/api/accounts/{}/clear-cooldown"),
    "probe": ("POST", "/api/accounts/{}/probe"),
    "refresh": ("POST", "/api/accounts/{}/refresh"),
    "start_sign_in": ("POST", "/api/oauth/{}/start"),
    "sign_in": ("GET", "/api/oauth/flows/{}"),
    "complete_sign_in": ("POST", "/api/oauth/flows/{}/complete"),
    "cancel_sign_in": ("POST", "/api/oauth/flows/{}/cancel"),
    "adopt_sign_in": ("POST", "/api/oauth/{}/adopt"),
    "discover": ("GET", "/api/accounts/discover"),
    "import_accounts": ("POST", "/api/accounts/import"),
    "export_accounts": ("POST", "/api/accounts/export"),
    "backup": ("POST", "/api/backup"),
    "backups": ("GET", "/api/backups"),
    "providers": ("GET", "/api/providers"),
    "provider": ("GET", "/api/providers/{}"),
    "edit_provider": ("PATCH", "/api/providers/{}"),
    "enable_provider": ("POST", "/api/providers/{}/enable"),
    "disable_provider": ("POST", "/api/providers/{}/disable"),
    "provider_models": ("GET", "/api/provider-models"),
    "keys": ("GET", "/api/keys"),
    "create_key": ("POST", "/api/keys"),
    "edit_key": ("PATCH", "/api/keys/{}"),
    "revoke_key": ("DELETE", "/api/keys/{}"),
    "rotate_key": ("POST", "/api/keys/{}/rotate"),
    "requests": ("GET", "/api/requests"),
    "request": ("GET", "/api/requests/{}"),
    "usage": ("GET", "/api/usage"),
    "usage_of": ("GET", "/api/usage/{}"),
    "reconciliations": ("GET", "/api/reconciliations"),
    "quota": ("GET", "/api/quota"),
    "limits": ("GET", "/api/limits"),
    "set_limit": ("PUT", "/api/limits/{}/{}"),
    "remove_limit": ("DELETE", "/api/limits/{}/{}"),
    "set_installation_limit": ("PUT", "/api/limits/installation"),
    "remove_installation_limit": ("DELETE", "/api/limits/installation"),
    "prices": ("GET", "/api/prices"),
    "set_price": ("PUT", "/api/prices/{}"),
    "remove_price": ("DELETE", "/api/prices/{}"),
    "reprice": ("POST", "/api/prices/reprice"),
    "system": ("GET", "/api/system"),
    "config": ("GET", "/api/config"),
    "set_config": ("POST", "/api/config"),
    "set_alias": ("PUT", "/api/aliases/{}"),
    "remove_alias": ("DELETE", "/api/aliases/{}"),
    "set_chain": ("PUT", "/api/chains/{}"),
    "remove_chain": ("DELETE", "/api/chains/{}"),
    "reload_config": ("POST", "/api/reload-config"),
    "client_key": ("POST", "/api/client-key"),
    "admin_key": ("POST", "/api/admin-key"),
    "admin_password": ("POST", "/api/admin-password"),
    "service_mode": ("GET", "/api/service-mode"),
    "change_service": ("POST", "/api/service-mode"),
    "jobs": ("GET", "/api/jobs"),
    "run_job": ("POST", "/api/jobs/{}/run"),
    "cancel_job": ("POST", "/api/jobs/{}/cancel"),
    "config_files": ("GET", "/api/upload-configs"),
    "config_file": ("GET", "/api/upload-configs/view/{}"),
    "remove_config_file": ("DELETE", "/api/upload-configs/delete/{}"),
    "explain": ("POST", "/v1/router/explain"),
    "alerts": ("GET", "/api/alerts"),
    "alert_channels": ("GET", "/api/alerts/channels"),
    "add_alert_channel": ("POST", "/api/alerts/channels"),
    "edit_alert_channel": ("PATCH", "/api/alerts/channels/{}"),
    "remove_alert_channel": ("DELETE", "/api/alerts/channels/{}"),
    "test_alert_channel": ("POST", "/api/alerts/channels/{}/test"),
}
# An error answer of the admin API → the failure it was; `code` is more exact than the status.
_BY_STATUS = {
    400: Kind.BAD_REQUEST,
    401: Kind.UNAUTHENTICATED,
    403: Kind.FORBIDDEN,
    404: Kind.NOT_FOUND,
    405: Kind.METHOD_NOT_ALLOWED,
    409: Kind.CONFLICT,
    413: Kind.TOO_LARGE,
}


class Desk(Protocol):
    place: str
    """"server" or "database"."""

    async def call(self, operation: str, *args: Any) -> Json:
        """Carry out one of OPERATIONS. Raises GatewayError as `Admin` does."""

    def follow(self, query: Mapping[str, str], after: str = "") -> AsyncIterator[tuple[str, Json] | None]:
        """`Admin.tail`: requests as they are settled. Ends when the server does; raises GatewayError as `Admin` does."""


class AdminClient(Protocol):
    async def request(self, method: str, path: str, body: Json | None = None) -> tuple[int, Json]: ...

    def lines(self, path: str) -> AsyncIterator[str]: ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Running:
    """What `server.json` says about a server whose process is alive."""

    pid: int
    url: str
    """Where the server listens: what commands call."""
    base_url: str
    """The start of the client API's address as people write it: http://localhost:38471."""
    started_at: int
    dashboard: str = ""
    """The dashboard's address, as people write it."""
    client_url: str = ""
    """Where programs of this machine call the client API."""


def running(home: Path) -> Running | None:
    """The server of this home, if its process is alive. A file left by a killed server counts as none."""
    try:
        said = json.loads((home / "server.json").read_text("utf-8"))
        url = str(said["url"]).rstrip("/")
        base = str(said.get("base_url") or url).rstrip("/")
        found = Running(
            int(said["pid"]),
            url,
            base,
            int(said["started_at"]),
            str(said.get("dashboard") or base).rstrip("/"),
            str(said.get("client_url") or url).rstrip("/"),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if alive(found.pid) else None


def alive(pid: int) -> bool:
    """Whether a process of ours has this number and has not ended. (A dead child of a careless parent keeps its number.)"""
    try:
        os.kill(pid, 0)
    except (OSError, OverflowError):
        return False
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return True  # no /proc here


def base_url() -> str:
    """What programs use as the start of their base URL: the running server's address, else where it would listen."""
    place = home()
    if (server := running(place)) is not None:
        return server.base_url
    from omni_connector import settings

    with plain_errors():
        return f"http://localhost:{settings.load(environment(place)).port}"


class ServerDesk:
    place = "server"

    def __init__(self, client: AdminClient) -> None:
        self._client = client

    async def call(self, operation: str, *args: Any) -> Json:
        method, path, body = request_for(operation, *args)
        status, answer = await self._client.request(method, path, body)
        if status >= 400:
            raise refusal(status, answer)
        return answer

    async def follow(self, query: Mapping[str, str], after: str = "") -> AsyncIterator[tuple[str, Json] | None]:
        place = after
        try:
            async for line in self._client.lines(f"/api/requests/tail?{urlencode({**query, 'after': after})}"):
                if line.startswith("id: "):
                    place = line[4:]
                elif line.startswith("data: "):
                    yield place, json.loads(line[6:])
                elif line.startswith(":"):
                    yield None
        except GatewayError as error:
            if error.code != "refused":
                return  # the server has ended, or the line broke
            raise refusal(error.upstream_status or 500, _told(error.message)) from error


def _told(text: str) -> Json:
    """The error answer that a stream was refused with."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def request_for(operation: str, *args: Any) -> tuple[str, str, Json | None]:
    """Operation and arguments → method, path with query, body."""
    method, path = OPERATIONS[operation]
    rest = list(args)
    last = rest.pop() if rest and isinstance(rest[-1], Mapping) else None
    path = path.format(*(quote(str(value), safe="") for value in rest))
    if method != "GET":
        return method, path, None if last is None else dict(last)
    query = urlencode({name: value for name, value in (last or {}).items() if value is not None})
    return method, f"{path}?{query}" if query else path, None


def refusal(status: int, answer: Json) -> GatewayError:
    error = answer.get("error")
    fields: Json = error if isinstance(error, dict) else {}
    message = str(fields.get("message") or f"the server answered with status {status}")
    code = str(fields.get("code") or "")
    kind = Kind(code) if code in KINDS else _BY_STATUS.get(status, Kind.INTERNAL)
    if status == 401:
        message += " The running server has another admin key than this home: is OMNI_ADMIN_KEY set differently?"
    return GatewayError(kind, message, param=fields.get("param"), code=code or None)


class DatabaseDesk:
    place = "database"

    def __init__(self, admin: Any) -> None:
        self._admin = admin

    async def call(self, operation: str, *args: Any) -> Json:
        if operation not in OPERATIONS:
            raise KeyError(operation)
        answer: Json = await getattr(self._admin, operation)(*args)
        return answer

    async def follow(self, query: Mapping[str, str], after: str = "") -> AsyncIterator[tuple[str, Json] | None]:
        async for told in self._admin.tail(query, after):
            yield told


# ---------------------------------------------------------------- Opening it


def at_desk(work: Callable[[Desk], Awaitable[T]]) -> T:
    """Run `work` with the right desk, from a command. Raises Stop or GatewayError with a plain message."""

    async def sit() -> T:
        async with open_desk() as desk:
            return await work(desk)

    return asyncio.run(sit())


def ask(operation: str, *args: Any) -> Json:
    """One operation, from a command."""
    return at_desk(lambda desk: desk.call(operation, *args))


@asynccontextmanager
async def open_desk() -> AsyncIterator[Desk]:
    place = home()
    server = running(place)
    if server is not None:
        from omni_connector.upstream import admin_client

        client = admin_client(server.url, admin_key(place))
        try:
            if await _answers(client):
                yield ServerDesk(client)
                return
        finally:
            await client.close()
    async with local_gateway(place) as gateway:
        yield DatabaseDesk(gateway.admin)


def sign_in_link(server: Running) -> str:
    """A dashboard address that signs the browser in, once and within a minute; the plain address where there is no such link."""

    async def fetch() -> str:
        from omni_connector.upstream import admin_client

        client = admin_client(server.url, admin_key(home()))
        try:
            status, answer = await client.request("POST", "/api/session/link")
        except GatewayError:
            return server.dashboard  # it is starting or ending: the address is still right
        finally:
            await client.close()
        return str(answer["url"]) if status == 201 else server.dashboard

    return asyncio.run(fetch())


async def _answers(client: AdminClient) -> bool:
    """Whether the server is there. A process that is alive but refuses connections is starting, ending or not ours."""
    try:
        status, answer = await client.request("GET", "/api/session")
    except GatewayError as error:
        if error.kind is Kind.UPSTREAM_UNREACHABLE:
            return False
        raise Stop(f"The server does not answer ({error.message}). Restart it: omni-connector stop, then omni-connector.") from error
    return status == 200 and "version" in answer


def admin_key(place: Path) -> str:
    """The key of the admin API: OMNI_ADMIN_KEY, else the file in the home."""
    if key := environment(place).get("OMNI_ADMIN_KEY", "").strip():
        return key
    try:
        return (place / "admin.key").read_text("utf-8").strip()
    except OSError as error:
        raise Stop(f"The admin key cannot be read ({error.strerror}: {place / 'admin.key'}). Run: omni-connector doctor") from error
