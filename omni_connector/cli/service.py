"""`omni-connector service install | uninstall | status`: the server as a service of the user, started again whenever it ends."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import click

from omni_connector import service as texts
from omni_connector.cli.base import Group, Stop, json_option
from omni_connector.cli.desk import running
from omni_connector.cli.office import home
from omni_connector.cli.output import facts, note, say, show
from omni_connector.values import dataclass

Json = dict[str, Any]
Manager = Literal["systemd", "launchd"]
NOT_INSTALLED = 3
WITHIN_S = 120


@dataclass(frozen=True, slots=True)
class Place:
    """Where the service of this home is, or would be."""

    manager: Manager | None
    name: str
    file: Path
    launcher: Path


def place() -> Place:
    here = home()
    name = texts.unit_name(here, Path.home() / ".omni-connector")
    manager = _manager()
    folder = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "systemd" / "user"
    file = folder / f"{name}.service"
    if manager == "launchd":
        file = Path.home() / "Library" / "LaunchAgents" / f"{name}.plist"
    return Place(manager, name, file, _launcher(here))


def _launcher(here: Path) -> Path:
    """That of the link `current`, so that an update needs no other unit; elsewhere the program that runs now."""
    installed = here / "current" / "bin" / "omni-connector"
    if installed.exists():
        return installed
    found = shutil.which("omni-connector")
    return Path(found or Path(sys.executable).parent / "omni-connector").absolute()


def _manager() -> Manager | None:
    if sys.platform == "darwin":
        return "launchd"
    # systemd-run's own test; without a manager of this user (containers, su) systemctl cannot do anything either.
    if shutil.which("systemctl") and _run("systemctl", "--user", "show", "--property=Version", quiet=True).returncode == 0:
        return "systemd"
    return None


def _run(*command: str, quiet: bool = False) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=WITHIN_S)  # noqa: S603
    if done.returncode and not quiet:
        raise Stop(f"{' '.join(command)} failed: {(done.stderr or done.stdout).strip() or f'exit code {done.returncode}'}")
    return done


@click.group(cls=Group)
def service() -> None:
    """Run the server as a service of yours, without root: started at login, and again whenever it ends."""


@service.command()
@click.option("--print", "only_print", is_flag=True, help="Show the file, install nothing.")
@json_option
@click.pass_context
def install(ctx: click.Context, only_print: bool, as_json: bool) -> None:
    """Install and start it. Once more: the file is written anew and the service restarted.

    \b
    Examples:
      omni-connector service install
      omni-connector service install --print
    """
    found = place()
    if found.manager is None:
        ways = texts.alternatives(found.launcher, home())
        without: Json = {
            "installed": False,
            "manager": None,
            "alternatives": [{"when": when, "command": command} for when, command in ways],
        }
        show(without, as_json, _show_alternatives)
        ctx.exit(1)
    text = _text(found)
    if only_print:
        show({"installed": False, "manager": found.manager, "file": str(found.file), "text": text}, as_json, lambda _: say(text))
        return
    _make_room()
    found.file.parent.mkdir(parents=True, exist_ok=True)
    found.file.write_text(text, "utf-8")
    if found.manager == "systemd":
        _run("systemctl", "--user", "daemon-reload")
        _run("systemctl", "--user", "enable", found.name)
        _run("systemctl", "--user", "restart", found.name)
    else:
        _run("launchctl", "bootout", f"gui/{os.getuid()}/{found.name}", quiet=True)
        _run("launchctl", "bootstrap", f"gui/{os.getuid()}", str(found.file))
    answer: Json = {
        "installed": True,
        "manager": found.manager,
        "name": found.name,
        "file": str(found.file),
        "linger": linger(found.manager),
    }
    show(answer, as_json, _show_installed)


def _text(found: Place) -> str:
    variables = texts.environment(home(), os.environ)
    try:
        if found.manager == "systemd":
            return texts.systemd_unit(found.launcher, variables)
        return texts.launchd_agent(found.name, found.launcher, variables, home() / "logs" / "server.log")
    except ValueError as error:
        raise Stop(f"{error}.") from error


def _make_room() -> None:
    """A server that was started by hand has the port. It is ended the way `stop` does it."""
    from omni_connector.updating.process import end

    here = home()
    (here / "logs").mkdir(mode=0o700, parents=True, exist_ok=True)
    server = running(here)
    if server is not None and not _is_up():
        note(f"Ending the server that was started by hand (process {server.pid}); requests in flight may finish …")
        end(here)


def _is_up() -> bool:
    found = place()
    return found.manager == "systemd" and _run("systemctl", "--user", "is-active", found.name, quiet=True).returncode == 0


def linger(manager: Manager | None) -> str | None:
    """The command without which the service ends when the user logs out; None where it is not needed."""
    user = os.environ.get("USER") or os.environ.get("LOGNAME") or str(os.getuid())
    if manager != "systemd" or not shutil.which("loginctl"):
        return None
    told = _run("loginctl", "show-user", user, "--property=Linger", quiet=True).stdout.strip()
    return None if told == "Linger=yes" else f"loginctl enable-linger {user}"


def _show_alternatives(answer: Json) -> None:
    say("There is no service manager for users here (no systemd of this user, no launchd). Instead:")
    for way in answer["alternatives"]:
        say(f"  {way['when']}:")
        say(f"      {way['command']}")


def _show_installed(answer: Json) -> None:
    say(f"The service {answer['name']} is installed and started ({answer['file']}).")
    if answer["linger"]:
        note(f"It ends when you log out, until you run once: {answer['linger']}")
    note("See how it is: omni-connector service status. Remove it: omni-connector service uninstall")


@service.command()
@json_option
def uninstall(as_json: bool) -> None:
    """Stop the service and remove its file. Accounts, keys and records stay."""
    found = place()
    there = found.file.exists()
    if there and found.manager == "systemd":
        _run("systemctl", "--user", "disable", "--now", found.name, quiet=True)
    elif there and found.manager == "launchd":
        _run("launchctl", "bootout", f"gui/{os.getuid()}/{found.name}", quiet=True)
    found.file.unlink(missing_ok=True)
    if there and found.manager == "systemd":
        _run("systemctl", "--user", "daemon-reload", quiet=True)
    words = f"The service {found.name} is stopped and removed." if there else "There is no service to remove."
    show({"removed": there, "file": str(found.file)}, as_json, lambda _: say(words))


@service.command()
@json_option
@click.pass_context
def status(ctx: click.Context, as_json: bool) -> None:
    """Whether it is installed and runs. Exit code 3 when it is not installed."""
    found = place()
    there = found.file.exists()
    active = there and _state(found)
    answer = {
        "installed": there,
        "manager": found.manager,
        "name": found.name,
        "file": str(found.file) if there else None,
        "state": active or None,
        "linger": linger(found.manager) if there else None,
    }
    show(answer, as_json, _show_status)
    ctx.exit(0 if there else NOT_INSTALLED)


def _state(found: Place) -> str:
    if found.manager == "systemd":
        return _run("systemctl", "--user", "is-active", found.name, quiet=True).stdout.strip() or "unknown"
    if found.manager == "launchd":
        gone = _run("launchctl", "print", f"gui/{os.getuid()}/{found.name}", quiet=True).returncode
        return "inactive" if gone else "active"
    return "unknown"


def _show_status(answer: Json) -> None:
    if not answer["installed"]:
        say("No service is installed. Install it: omni-connector service install")
        return
    facts((("service", answer["name"]), ("manager", answer["manager"]), ("state", answer["state"]), ("file", answer["file"])))
    if answer["linger"]:
        note(f"It ends when you log out, until you run once: {answer['linger']}")
