"""OMNI_HOME: whose it is, who can read it, and the master key in it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from omni_connector import secrets
from omni_connector.doctor.finding import Finding, Level
from omni_connector.secrets import SecretsError, Vault

PRIVATE_FILES = ("omni.db", "master.key", "admin.key", ".env", "server.json", "logs/omni-connector.log")


def home_folder(home: Path) -> list[Finding]:
    """The folder is there, is ours, and nobody else can read what is in it. (R-20)"""
    if not home.is_dir():
        return [Finding("fail", "home", f"{home} is not there.", "Create it: omni-connector --init-only")]
    if os.name != "posix":
        return [Finding("ok", "home", f"{home}.")]
    if home.stat().st_uid != os.getuid():
        return [Finding("fail", "home", f"{home} belongs to another user.", f"Run as its owner, or: sudo chown -R $USER '{home}'")]
    open_to_others = [path for path in (home, *(home / name for name in PRIVATE_FILES)) if path.exists() and path.stat().st_mode & 0o077]
    findings = [
        Finding("fail", "home", f"{path} can be read by other users.", f"chmod {'700' if path == home else '600'} '{path}'")
        for path in open_to_others
    ]
    return findings or [Finding("ok", "home", f"{home} is private.")]


def master_key(home: Path, env: Mapping[str, str]) -> tuple[Finding, Vault | None]:
    """Readable? Never makes one: a new key could not read what is stored."""
    from_env = next((name for name in secrets.MASTER_ENV if env.get(name, "").strip()), None)
    path = home / secrets.MASTER_FILE
    if from_env is None and not path.exists():
        level: Level = "fail" if (home / "omni.db").exists() else "warn"
        fix = "Restore it from the backup that belongs to the database." if level == "fail" else "omni-connector --init-only makes it."
        return Finding(level, "master key", f"{path} is missing.", fix), None
    try:
        vault = secrets.load_or_create_master(home, env)
    except SecretsError as error:
        return Finding("fail", "master key", str(error), "Restore it from the backup that belongs to the database."), None
    return Finding("ok", "master key", f"Readable ({f'variable {from_env}' if from_env else path})."), vault
