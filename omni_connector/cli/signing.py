"""A sign-in from the command line: the same flow as the dashboard's, waited for in a terminal, a script or a server room.

Nothing here blocks: whoever cannot answer (no terminal, an empty pipe) is told how to go on, and the command ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import click

from omni_connector.cli import prompts
from omni_connector.cli.base import Stop
from omni_connector.cli.desk import Desk, ask, at_desk
from omni_connector.cli.office import environment, home
from omni_connector.cli.output import facts, few, note, say, when
from omni_connector.cli.server import browse
from omni_connector.errors import GatewayError, Kind

Json = dict[str, Any]

LOOK_S = 1.0
"""Between two looks at whether the browser came back."""
END = "\x04"
"""What `Pasted.line` gives at the end of the input."""
CHUNK = 64 * 1024


# ---------------------------------------------------------------- What is asked before


def start_body(provider_id: str, given: Mapping[str, Any]) -> Json:
    """The options of the commands → the body of `start_sign_in`. Client and project of this shell's environment go along: a running
    server knows only its own."""
    body: Json = {name: given[name] for name in ("label", "headless", "way", "project", "proxy_url", "options") if given.get(name)}
    client = _client(provider_id, given)
    if client is not None:
        body |= {"client_id": client.id, "client_secret": client.secret}
    if not body.get("project") and (project := _project(provider_id)):
        body["project"] = project
    return body


def _client(provider_id: str, given: Mapping[str, Any]) -> Any:
    """The user's own client, as this process finds it; None: there is none here, the server may know one."""
    from omni_connector import providers
    from omni_connector.oauth import Client
    from omni_connector.onboarding.own_client import own_client

    secret_env = given.get("client_secret_env")
    secret = os.environ.get(secret_env, "").strip() if secret_env else ""
    if secret_env and not secret:
        raise click.UsageError(f"--client-secret-env: the environment variable {secret_env} is not set or empty.")
    if given.get("client_id"):
        return Client(given["client_id"], secret)
    provider = providers.get(provider_id)
    if provider.sign_in is None or not provider.sign_in.own_client:
        return None
    try:
        return own_client(provider, provider.sign_in, environment(home()), given=Client(""), from_cli=bool(given.get("client_from_cli")))
    except GatewayError:
        if given.get("client_from_cli"):
            raise
        return None  # the server says what is missing, with every way to give it


def _project(provider_id: str) -> str:
    from omni_connector import providers
    from omni_connector.onboarding.starting import GOOGLE_PROJECT

    env = environment(home())
    names = GOOGLE_PROJECT.get(providers.get(provider_id).id, ())
    return next((env[name].strip() for name in names if env.get(name, "").strip()), "")


# ---------------------------------------------------------------- The sign-in


def sign_in(provider_id: str, body: Json, *, yes: bool, as_json: bool) -> Json:
    """The flow when it has ended well: `flow["account"]` is the account. With `as_json`, also one that still waits because nobody
    here can paste. Raises Stop or GatewayError."""

    def run(asked: Json) -> Json:
        return at_desk(lambda desk: _run(desk, provider_id, asked, as_json))

    return allowed(provider_id, body, run, yes=yes, as_json=as_json)


def allowed(provider_id: str, body: Json, work: Callable[[Json], Json], *, yes: bool, as_json: bool) -> Json:
    """`work(body)`, asking first for what only the user can decide: the provider's terms, and whether its sign-in is on at all."""
    asked: set[str] = set()
    while True:
        try:
            return work(body)
        except GatewayError as error:
            if error.code not in ("notice", "connector_off") or error.code in asked:
                raise
            asked.add(error.code)
            _decide(error, provider_id, yes=yes, as_json=as_json)
            body = {**body, "acknowledged": body.get("acknowledged", False) or error.code == "notice"}


def _decide(error: GatewayError, provider_id: str, *, yes: bool, as_json: bool) -> None:
    """The provider's terms, or a connector that is off: the user's decision, or `--yes`."""
    notice = error.code == "notice"
    if not yes and (as_json or not prompts.terminal()):
        raise Stop(f"{error.message}\n{'To acknowledge this' if notice else 'To switch it on and acknowledge its terms'}, add --yes.")
    if notice:
        note(error.message)
    if not yes and not prompts.confirm("Sign in under these terms?" if notice else f"{provider_id} is switched off. Switch it on?"):
        raise click.Abort
    if not notice:
        ask("set_config", {"connectors": sorted({*_switched_on(), _id_of(provider_id)})})


def _switched_on() -> list[str]:
    rows = ask("config")["settings"]
    return next((list(row["value"]) for row in rows if row["name"] == "connectors"), [])


def _id_of(provider_id: str) -> str:
    from omni_connector import providers

    return providers.get(provider_id).id


async def _run(desk: Desk, provider_id: str, body: Json, as_json: bool) -> Json:
    flow = await desk.call("start_sign_in", provider_id, body)
    opened = (
        not body.get("headless")
        and prompts.terminal()
        and "authorization_url" in flow
        and await asyncio.to_thread(browse, flow["authorization_url"])
    )
    show_flow(flow, as_json, opened=opened)
    return await finish(desk, flow, as_json=as_json)


def show_flow(flow: Json, as_json: bool, *, opened: bool = False) -> None:
    """What the user has to do: on standard output, where that is not kept for the JSON document."""
    tell = note if as_json else say
    if "user_code" in flow:
        tell(f"Open {flow['verification_uri']} and type the code {flow['user_code']}")
        if flow["verification_uri_complete"]:
            tell(f"or open {flow['verification_uri_complete']}")
        note(f"Waiting until {when(flow['expires_at'])} …")
    else:
        tell("A browser is opened. If it is not, open this address:" if opened else "Open this address in a browser and sign in:")
        tell(f"\n  {flow['authorization_url']}\n")
        if flow["port_problem"]:
            note(flow["port_problem"])
        note(f"{flow['manual']}\nPaste here (until {when(flow['expires_at'])}):")
    sys.stdout.flush()  # a program that reads us has to see it before it can answer


async def finish(desk: Desk, flow: Json, *, as_json: bool) -> Json:
    """Waits for the browser, the device or a paste, whichever comes first. Raises Stop when the sign-in ends without an account."""
    by_paste = "authorization_url" in flow
    told: Json = {name: flow[name] for name in ("authorization_url", "redirect_uri", "manual") if name in flow}
    async with pasted() as lines:
        while flow["status"] == "waiting":
            line = await lines.line(LOOK_S)
            if line == END and by_paste and not prompts.terminal():
                flow = await desk.call("sign_in", flow["flow_id"])
                if flow["status"] != "waiting":
                    break
                if as_json:
                    return {**told, **flow}
                raise Stop(f"Nobody here can paste. Go on within 20 minutes by: omni-connector backend login --finish {flow['flow_id']}")
            flow = await _complete(desk, flow, line) if line.strip(END).strip() else await desk.call("sign_in", flow["flow_id"])
    if flow["status"] != "done":
        raise Stop(flow["error"] or f"The sign-in was {flow['status']}.")
    return flow


async def _complete(desk: Desk, flow: Json, line: str) -> Json:
    """What was pasted, tried. One that belongs elsewhere is said, and the flow goes on waiting."""
    try:
        return await desk.call("complete_sign_in", flow["flow_id"], {"code": line.strip()})
    except GatewayError as error:
        now = await desk.call("sign_in", flow["flow_id"])
        if now["status"] == "waiting" and error.kind is not Kind.UPSTREAM_TIMEOUT:
            note(error.message)
        return now


def show_signed_in(flow: Json) -> None:
    if flow["status"] == "waiting":
        return
    account = flow["account"]
    if account is None:
        say("Signed in. The account was removed meanwhile.")
        return
    identity = account["options"].get("identity") or {}
    if flow.get("label") and flow["label"] != account["label"]:
        note(f"You have this account already, as {account['label']}: it was signed in again.")
    say(f"{account['label']} ({account['provider_label']}) is connected. Status: {account['status']}.")
    facts(
        (
            ("signed in as", identity.get("email") or identity.get("name")),
            ("plan", identity.get("plan")),
            ("project", account["options"].get("project")),
            ("models", few(account["models"] or account["discovered"]) if account["models"] or account["discovered"] else None),
        )
    )


# ---------------------------------------------------------------- Standard input


class Pasted:
    """Lines from standard input as they come."""

    def __init__(self) -> None:
        self._lines: asyncio.Queue[str] = asyncio.Queue()
        self._rest = b""
        self._over = False

    async def line(self, within: float) -> str:
        """The next line; "" when there is none yet; END, again and again, when there will be none."""
        if self._over and self._lines.empty():
            await asyncio.sleep(within)
            return END
        try:
            async with asyncio.timeout(within):
                line = await self._lines.get()
        except TimeoutError:
            return ""
        self._over = line == END
        return line

    def feed(self, data: bytes) -> None:
        """b"" is the end."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        if not data:
            whole, self._rest = [self._rest], b""
        for line in whole:
            if line.strip():
                self._lines.put_nowait(line.decode("utf-8", "replace"))
        if not data:
            self._lines.put_nowait(END)


@asynccontextmanager
async def pasted() -> AsyncIterator[Pasted]:
    """Standard input without a thread that would wait for a key after everything is over."""
    lines, loop = Pasted(), asyncio.get_running_loop()
    try:
        number = sys.stdin.fileno()
    except (AttributeError, OSError, ValueError):
        number = -1
    if number < 0:
        with contextlib.suppress(AttributeError, OSError, ValueError):  # none, or one that cannot be read
            lines.feed(sys.stdin.read().encode())
        lines.feed(b"")
        yield lines
        return

    def read() -> None:
        data = os.read(number, CHUNK)
        lines.feed(data)
        if not data:
            loop.remove_reader(number)

    try:
        loop.add_reader(number, read)
    except (OSError, NotImplementedError):
        # A file never makes anybody wait (and cannot be waited for); where nothing can be, pasting is left out.
        if not os.isatty(number):
            lines.feed(sys.stdin.buffer.read())
            lines.feed(b"")
    try:
        yield lines
    finally:
        with contextlib.suppress(OSError, ValueError, NotImplementedError):
            loop.remove_reader(number)
