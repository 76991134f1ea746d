"""What a service manager is given: a systemd user unit, or a launchd agent. Pure texts; `cli/service.py` installs them.

Sources: systemd.unit(5), systemd.service(5) and systemd.syntax(7); launchd.plist(5).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

NAME = "omni-connector"
WATCHDOG_S, START_S, STOP_S, RESTART_S = 60, 600, 45, 1
"""Silence of the event loop before a restart; a start with a long migration; drain_s (30 s) and a little; pause before a restart."""
KEPT = ("PATH", "LANG", "OMNI_PORT", "OMNI_HOST", "OMNI_WORKERS", "OMNI_DATABASE_URL", "OMNI_ALLOW_REMOTE", "OMNI_ENDPOINTS_FILE")
"""What a service is given of the environment it was installed from. No secret: unit files are read by others. Those belong into .env."""


def unit_name(home: Path, default: Path) -> str:
    """One service for each home; that of the usual one has the plain name."""
    return NAME if home == default else f"{NAME}-{hashlib.sha256(str(home).encode()).hexdigest()[:8]}"


def environment(home: Path, env: Mapping[str, str]) -> dict[str, str]:
    # A database address with a password in it is a secret.
    kept = {name: env[name] for name in KEPT if env.get(name) and not (name == "OMNI_DATABASE_URL" and "@" in env[name])}
    return {"OMNI_HOME": str(home), **kept}


def systemd_unit(launcher: Path, variables: Mapping[str, str]) -> str:
    """A unit for `systemctl --user`. `launcher`: of the link `current`, so that a restart is always the present release."""
    lines = "\n".join(f"Environment={_systemd_word(f'{name}={value}')}" for name, value in variables.items())
    return f"""\
[Unit]
Description=omni-connector: one key for every AI account you own
StartLimitIntervalSec=300
StartLimitBurst=30

[Service]
Type=notify
NotifyAccess=main
ExecStart={_systemd_word(str(launcher), command=True)} serve
ExecReload=/bin/kill -USR2 $MAINPID
{lines}
Restart=always
RestartSec={RESTART_S}
WatchdogSec={WATCHDOG_S}
TimeoutStartSec={START_S}
TimeoutStopSec={STOP_S}
KillMode=mixed
UMask=0077

[Install]
WantedBy=default.target
"""


def _systemd_word(text: str, *, command: bool = False) -> str:
    """One word of a unit file: nothing in it is a specifier, a variable or an escape. Raises ValueError for a control character."""
    if any(ord(char) < 32 for char in text):
        raise ValueError("a path or variable with a control character in it cannot stand in a unit file")
    quoted = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{quoted.replace("$", "$$") if command else quoted}"'


def launchd_agent(label: str, launcher: Path, variables: Mapping[str, str], log: Path) -> str:
    """An agent for ~/Library/LaunchAgents. OMNI_SERVICE tells the server that it is started again when it ends."""
    import plistlib  # macOS only, and every command imports this module

    said = {
        "Label": label,
        "ProgramArguments": [str(launcher), "serve"],
        "EnvironmentVariables": {**variables, "OMNI_SERVICE": "launchd"},
        "RunAtLoad": True,
        "KeepAlive": True,
        "ThrottleInterval": RESTART_S,
        "ExitTimeOut": STOP_S,
        "Umask": 0o077,
        "StandardOutPath": str(log),
        "StandardErrorPath": str(log),
    }
    return plistlib.dumps(said, sort_keys=False).decode()


def alternatives(launcher: Path, home: Path) -> list[tuple[str, str]]:
    """(when, command) where there is no service manager."""
    command, log = _shell_word(str(launcher)), _shell_word(str(home / "logs" / "server.log"))
    return [
        ("in a container", f"{command} serve    (as its command; let the container's restart policy start it again)"),
        ("now, in the background", f"nohup {command} serve >>{log} 2>&1 </dev/null &"),
        ("after every boot, with cron", f"(crontab -l 2>/dev/null; echo '@reboot {command} serve >>{log} 2>&1') | crontab -"),
        ("in WSL", "write [boot] and systemd=true into /etc/wsl.conf, run wsl --shutdown, then omni-connector service install"),
    ]


def _shell_word(text: str) -> str:
    return text if all(char.isalnum() or char in "/._-+~" for char in text) else '"' + text.replace('"', '\\"').replace("$", "\\$") + '"'
