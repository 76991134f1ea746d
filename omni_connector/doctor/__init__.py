"""The examination behind `omni-connector doctor`: what is wrong with this installation, in a plain sentence, with the fix.

It only looks: nothing is created, repaired or changed. Each check is a function that gives findings; one that breaks is a
finding itself, so that the others are still made. What has to wait (providers, the server) is asked at the same time, for a few
seconds at most.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from omni_connector import providers, settings
from omni_connector.admin.room import now_ms
from omni_connector.command import Commands
from omni_connector.doctor.accounts import accounts, client_keys, sign_ins_ahead
from omni_connector.doctor.clients import clients
from omni_connector.doctor.database import Books, database
from omni_connector.doctor.finding import Check, Finding, Patient, Server, safely, verdict
from omni_connector.doctor.home import home_folder, master_key
from omni_connector.doctor.machine import (
    PROXIES,
    disk,
    free_bytes,
    launcher,
    libraries,
    most_open_files,
    open_files,
    proxies,
    python_version,
)
from omni_connector.doctor.network import reach
from omni_connector.doctor.server import listening
from omni_connector.settings import Settings, SettingsError
from omni_connector.snapshot import Snapshot

__all__ = ["Check", "Finding", "Patient", "Server", "examine", "verdict"]


async def examine(home: Path, server: Server | None, more: Mapping[str, Check] | None = None, *, offline: bool = False) -> list[Finding]:
    """All findings, in the order in which one would repair them. `more`: further checks by their names, made last. `offline`: no
    provider is asked whether it is there."""
    findings = [python_version(), *libraries(), launcher(os.environ.get("PATH", "")), open_files(most_open_files()), *home_folder(home)]
    free = free_bytes(home)
    if free is None:
        return findings
    findings.append(disk(home, free))
    try:
        env = settings.environment(home)
        stored = settings.load(env, {})
    except SettingsError as error:
        return [*findings, Finding("fail", "settings", str(error), "Correct the value, then run doctor again.")]
    found, vault = master_key(home, env)
    findings.append(found)
    books = Books()

    async def look() -> Sequence[Finding]:
        nonlocal books
        books = await database(home, env, stored, vault)
        return books.findings

    findings += await safely("database", look())
    picture = books.picture
    if picture is not None:
        now = now_ms()
        findings += accounts(picture, now, books.journal, Commands(home, env).locate)
        findings += [*sign_ins_ahead(picture, now), *client_keys(picture, now)]
    patient = Patient(home, env, books.settings or stored, picture, server)
    findings += proxies(env, patient.settings)
    asked = None if offline or picture is None else safely("network", _reach(picture, patient.settings, env))
    waiting = [*filter(None, (asked,)), safely("server", listening(home, env, stored, server)), safely("clients", clients(patient))]
    waiting += [safely(name, check(patient)) for name, check in (more or {}).items()]
    return [*findings, *(finding for found in await asyncio.gather(*waiting) for finding in found)]


async def _reach(picture: Snapshot, stored: Settings, env: Mapping[str, str]) -> list[Finding]:
    endpoints = providers.load_endpoints(stored.endpoints_file) if stored.endpoints_file else {}
    proxy = next((env[name] for name in PROXIES if env.get(name)), "")
    google = dict.fromkeys(("gemini", "gemini-cli", "antigravity"), stored.use_system_proxy_gemini)
    through = {"openai": stored.use_system_proxy_openai, "anthropic": stored.use_system_proxy_claude, **google}
    asked = [
        replace(account, proxy_url=proxy) if through.get(account.provider) and not account.proxy_url else account
        for account in picture.accounts
    ]
    return await reach(asked, endpoints, now_ms())
