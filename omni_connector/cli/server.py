"""The server and the installation: serve, status, stop, open, doctor, and --init-only. (R-20)"""

from __future__ import annotations

import asyncio
import gc
import importlib
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import click

from omni_connector import __version__
from omni_connector.cli.base import Stop, json_option
from omni_connector.cli.desk import Running, alive, ask, running, sign_in_link
from omni_connector.cli.office import home, local_gateway
from omni_connector.cli.output import MARKS, facts, note, say, show, span

Json = dict[str, Any]
NOT_RUNNING = 3
"""Exit code of `status` without a server, as init systems have it."""
SERVERS = ("hypercorn", "uvicorn", "granian")
STOP_WITHIN_S = 60.0
"""A server lets running requests finish (drain_s, 30 s) before it ends."""


@click.command()
@click.option("--host", help="Address to listen on (default: 127.0.0.1).")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on (default: 38471; 0: any free one).")
@click.option("--workers", type=click.IntRange(1, 64), help="Processes that serve (default: 1; Linux and macOS).")
@click.option("--server", type=click.Choice(SERVERS), help="What serves HTTP (default: hypercorn; the others need the extra fast).")
@click.option("--admin-bind", metavar="ADDR", help="Another listener, ADDRESS:PORT, for the admin API and the dashboard.")
@click.option("--no-jobs", is_flag=True, help="Leave background jobs to another process.")
@click.option("--open", "open_browser", is_flag=True, help="Open the dashboard in a browser.")
@click.option("--reload", "reload_on_change", is_flag=True, help="Start anew when a source of the program changes (for developers).")
@click.pass_context
def serve(
    ctx: click.Context,
    host: str | None,
    port: int | None,
    workers: int | None,
    server: str | None,
    admin_bind: str | None,
    no_jobs: bool,
    open_browser: bool,
    reload_on_change: bool,
) -> None:
    """Start the server: client API, admin API and dashboard on one port. Ctrl-C ends it.

    \b
    Examples:
      omni-connector
      omni-connector serve --port 9000 --open
      omni-connector serve --workers 4
    """
    from omni_connector.root import ROOT

    if not (ROOT / "app.py").is_file():
        raise Stop(f"The installation is incomplete: {ROOT / 'app.py'} is missing. Install again.")
    if reload_on_change:
        from omni_connector import developing

        again = [word for word in sys.argv[1:] if word != "--reload"]
        ctx.exit(developing.run([sys.executable, "-m", "omni_connector", *again], ROOT, note, time.sleep))
    if admin_bind:
        os.environ["OMNI_ADMIN_BIND"] = admin_bind  # a setting like others, said for this run: also the next release is told so
    if server:
        os.environ["OMNI_SERVER"] = server
    sys.path.insert(0, str(ROOT))
    gc.disable()  # a start only makes things that stay; `server` switches it on again
    ctx.exit(importlib.import_module("app").main(host=host, port=port, jobs=not no_jobs, open_browser=open_browser, workers=workers))


# ---------------------------------------------------------------- status, stop, open


@click.command()
@json_option
@click.pass_context
def status(ctx: click.Context, as_json: bool) -> None:
    """Whether the server runs, since when, and how its accounts are. Exit code 3 when it does not run."""
    place = home()
    server = running(place)
    if server is None:
        show({"running": False, "home": str(place)}, as_json, lambda _: say("The server is not running. Start it: omni-connector"))
        ctx.exit(NOT_RUNNING)
    system = ask("system")
    if system["server"] == "none":  # the admin side is closed: what answers is the database
        system |= {"uptime_s": max(0, int(time.time()) - server.started_at // 1000), "workers": "unknown: the admin side is closed"}
    accounts = ask("accounts")["accounts"]
    standing: dict[str, int] = {}
    for account in accounts:
        standing[account["status"]] = standing.get(account["status"], 0) + 1
    answer = {**system, "running": True, "url": server.base_url, "dashboard": server.dashboard, "pid": server.pid, "accounts": standing}
    show(answer, as_json, _show_status)


def _show_status(answer: Json) -> None:
    accounts = ", ".join(f"{number} {word}" for word, number in sorted(answer["accounts"].items()))
    facts(
        (
            ("running", f"yes, since {span(answer['uptime_s'])} (process {answer['pid']})"),
            ("dashboard", answer["dashboard"]),
            ("workers", answer["workers"]),
            ("base URL", f"{answer['url']}/v1"),
            ("accounts", accounts or "none yet: omni-connector backend add"),
            ("in flight", answer["in_flight"]),
            ("memory", f"{answer['memory_mb']} MB"),
            ("version", answer["version"]),
            ("home", answer["home"]),
        )
    )


@click.command()
@json_option
def stop(as_json: bool) -> None:
    """End the server. Requests in flight may finish first."""
    server = running(home())
    if server is None:
        show({"stopped": False, "running": False}, as_json, lambda _: say("The server is not running."))
        return
    try:
        os.kill(server.pid, signal.SIGTERM)
    except OSError as error:
        raise Stop(f"Process {server.pid} cannot be ended: {error.strerror}.") from error
    if not as_json:
        note(f"Stopping process {server.pid}; requests in flight may finish …")
    _wait_for_end(server)
    show({"stopped": True, "running": False, "pid": server.pid}, as_json, lambda _: say("The server has ended."))


def _wait_for_end(server: Running) -> None:
    until = time.monotonic() + STOP_WITHIN_S
    while time.monotonic() < until:
        if not alive(server.pid):
            return
        time.sleep(0.1)
    raise Stop(f"Process {server.pid} still runs after {STOP_WITHIN_S:.0f} s. Requests may be in flight; ask again later.")


@click.command()
@json_option
def reload(as_json: bool) -> None:
    """Replace every worker by a new one, one after the other: no request is lost. One process alone reads its settings anew."""
    show(ask("change_service", {"action": "reload"}), as_json, lambda _: say("Reloading; what runs goes on."))


@click.command("open")
@json_option
def open_dashboard(as_json: bool) -> None:
    """Open the dashboard in the browser, signed in, and print its address."""
    server = running(home())
    if server is None:
        raise Stop("The server is not running. Start it: omni-connector")
    opened = _has_display() and browse(sign_in_link(server))
    show({"url": server.dashboard, "opened": opened}, as_json, lambda answer: say(answer["url"]))


def _has_display() -> bool:
    """Without one, a text browser would take over the terminal."""
    return not sys.platform.startswith("linux") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def browse(url: str) -> bool:
    """Open the user's browser; False where there is none."""
    import webbrowser

    if not _has_display():
        return False
    try:
        return webbrowser.open(url)
    except webbrowser.Error:
        return False


# ---------------------------------------------------------------- doctor, --init-only


@click.command()
@click.option("--offline", is_flag=True, help="Ask no provider whether it can be reached.")
@json_option
@click.pass_context
def doctor(ctx: click.Context, offline: bool, as_json: bool) -> None:
    """Examine the installation: every finding in a plain sentence, with its fix. Exit code 1 when something fails."""
    from omni_connector.doctor import examine, verdict

    findings = asyncio.run(examine(home(), running(home()), offline=offline))
    answer = {"ok": verdict(findings), "findings": [finding.as_json() for finding in findings]}
    show(answer, as_json, _show_findings)
    ctx.exit(0 if answer["ok"] else 1)


def _show_findings(answer: Json) -> None:
    for finding in answer["findings"]:
        say(f"{MARKS[finding['level']]} {finding['what']}: {finding['message']}")
        if finding["fix"]:
            say(f"    → {finding['fix']}")
    bad = sum(finding["level"] == "fail" for finding in answer["findings"])
    warned = sum(finding["level"] == "warn" for finding in answer["findings"])
    say()
    say("All is well." if not bad and not warned else f"{bad} to repair, {warned} to look at.")


def initialise(as_json: bool) -> None:
    """`omni-connector --init-only`: home, keys, database; nothing that exists is touched."""
    place = home()
    answer = asyncio.run(_initialise(place))
    show(answer, as_json, _show_home)


async def _initialise(place: Path) -> Json:
    from omni_connector.admin import now_ms
    from omni_connector.upkeep import make_months

    async with local_gateway(place) as gateway:
        await make_months(gateway.db, now_ms())  # the nodes may have a role that may not
        return {
            "version": __version__,
            "home": str(place),
            "database": gateway.admin.database_name,
            "master_key_file": str(place / "master.key"),
            "admin_key_file": str(place / "admin.key"),
            "accounts": len(gateway.snapshot.accounts),
            "keys": len(gateway.snapshot.keys),
        }


def _show_home(answer: Json) -> None:
    facts(
        (
            ("home", answer["home"]),
            ("database", answer["database"]),
            ("master key", f"{answer['master_key_file']} (keep a copy: without it the stored credentials cannot be read)"),
            ("admin key", answer["admin_key_file"]),
        )
    )
    note("Ready. Start the server: omni-connector")
