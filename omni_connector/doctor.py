"""The examination behind `omni-connector doctor`: what is wrong with this installation, in a plain sentence, with the fix.

It only looks: nothing is created, repaired or changed. Each check is a function that gives findings; one that breaks is a
finding itself, so that the others are still made.
"""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import socket
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Protocol

from omni_connector import __version__, secrets, settings
from omni_connector.admin.room import now_ms
from omni_connector.errors import GatewayError
from omni_connector.secrets import SecretsError, Vault
from omni_connector.settings import Settings, SettingsError
from omni_connector.snapshot import Account, Snapshot
from omni_connector.tokens import decode

if TYPE_CHECKING:
    from omni_connector.store.refreshes import Refresh

Json = dict[str, Any]
Level = Literal["ok", "warn", "fail"]

PRIVATE_FILES = ("omni.db", "master.key", "admin.key", ".env", "server.json")
LOW_DISK, NO_DISK = 1024**3, 100 * 1024**2
"""Bytes free below which books may soon stop growing, and below which they do at any moment."""
SOON_MS = 24 * 3_600_000
"""A sign-in that cannot be renewed is spoken of so long before its end."""
LIBRARIES = ("quart", "hypercorn", "httpx2", "aiohttp", "SQLAlchemy", "aiosqlite", "cryptography", "msgspec", "genai-prices")
LAUNCHER = "omni-connector"


@dataclass(frozen=True, slots=True)
class Finding:
    level: Level
    what: str
    message: str
    fix: str = ""

    def as_json(self) -> Json:
        return {"level": self.level, "what": self.what, "message": self.message, "fix": self.fix}


class Server(Protocol):
    """What server.json says about a server whose process is alive."""

    @property
    def pid(self) -> int: ...
    @property
    def url(self) -> str: ...


def verdict(findings: Iterable[Finding]) -> bool:
    """True when nothing fails; warnings are no failures."""
    return all(finding.level != "fail" for finding in findings)


async def examine(home: Path, server: Server | None) -> list[Finding]:
    """All findings, in the order in which one would repair them."""
    findings = [python_version(), *libraries(), launcher(os.environ.get("PATH", "")), *home_folder(home)]
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
    findings += await _safely("database", lambda: database(home, env, stored, vault))
    findings += await _safely("server", lambda: listening(home, env, stored, server))
    return findings


async def _safely(what: str, check: Callable[[], Awaitable[Sequence[Finding]]]) -> list[Finding]:
    try:
        return list(await check())
    except GatewayError as error:
        return [Finding("fail", what, error.message)]
    except (OSError, SettingsError, SecretsError) as error:
        return [Finding("fail", what, str(error))]


# ---------------------------------------------------------------- The machine


def python_version(version: tuple[int, ...] = sys.version_info[:3]) -> Finding:
    said = f"Python {'.'.join(map(str, version))} on {platform.system()} {platform.machine()}, omni-connector {__version__}."
    if version < (3, 11):
        return Finding("fail", "python", said, "Install Python 3.11 or newer, then install omni-connector again.")
    return Finding("ok", "python", said)


def libraries(version_of: Callable[[str], str] = metadata.version) -> list[Finding]:
    versions: list[str] = []
    missing: list[str] = []
    for name in LIBRARIES:
        try:
            versions.append(f"{name} {version_of(name)}")
        except metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        return [Finding("fail", "libraries", f"Not installed: {', '.join(missing)}.", "Install again: ./install.sh")]
    return [Finding("ok", "libraries", f"{', '.join(versions)}.")]


def launcher(path: str) -> Finding:
    found = shutil.which(LAUNCHER, path=path)
    if found:
        return Finding("ok", "launcher", f"{LAUNCHER} is {found}.")
    return Finding(
        "warn",
        "launcher",
        f"The command {LAUNCHER} is not on PATH.",
        'Add its folder, usually ~/.local/bin: export PATH="$HOME/.local/bin:$PATH"',
    )


def free_bytes(folder: Path) -> int | None:
    """None where there is no such folder."""
    return shutil.disk_usage(folder).free if folder.is_dir() else None


def disk(home: Path, free: int) -> Finding:
    said = f"{free / 1024**3:.1f} GB free where {home} is."
    if free < NO_DISK:
        return Finding("fail", "disk", said, "Free some space: requests are refused when they cannot be put on record.")
    if free < LOW_DISK:
        return Finding("warn", "disk", said, "Free some space soon, or lower retention_days and snapshots_kept.")
    return Finding("ok", "disk", said)


# ---------------------------------------------------------------- The home


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


# ---------------------------------------------------------------- The database and what is in it


async def database(home: Path, env: Mapping[str, str], stored: Settings, vault: Vault | None) -> list[Finding]:
    """Sound, of this release, every secret decrypts; then what it says about accounts and keys."""
    from omni_connector.store import schema
    from omni_connector.store.engine import Database

    path = home / "omni.db"
    if not stored.database_url and not path.exists():
        return [Finding("warn", "database", f"{path} is not there yet.", "The first start makes it: omni-connector --init-only")]
    db = await Database.open(stored.database_url or f"sqlite:///{path}")
    try:
        await db.integrity()
        revision, head = await db.run(schema.current), schema.head()
        if revision != head:
            return [
                Finding("warn", "database", f"Its schema is {revision or 'empty'}, this release has {head}.", "The next start migrates it.")
            ]
        findings = [Finding("ok", "database", "Sound, and of this release.")]
        if vault is None:
            return findings
        return findings + await _contents(db, home, env, vault)
    finally:
        await db.close()


async def _contents(db: Any, home: Path, env: Mapping[str, str], vault: Vault) -> list[Finding]:
    from omni_connector import providers
    from omni_connector.command import Commands
    from omni_connector.providers import sign_ins
    from omni_connector.store import refreshes
    from omni_connector.store.snapshot import load_snapshot

    try:
        picture: Snapshot = await db.run(lambda conn: load_snapshot(conn, vault, providers.complete))
    except SecretsError as error:
        return [Finding("fail", "secrets", str(error), "Restore master.key and database from the same backup.")]
    findings = [Finding("ok", "secrets", "Every stored credential decrypts.")]
    try:
        settings.load(env, picture.settings)
    except SettingsError as error:
        findings.append(Finding("fail", "settings", str(error), "omni-connector config set NAME default"))
    picture = replace(picture, accounts=sign_ins.only_one(picture.accounts, providers.PROVIDERS))
    signed = [account.id for account in picture.accounts if account.auth == "oauth"]
    journal = await db.run(lambda conn: {found.account_id: found for id_ in signed if (found := refreshes.read(conn, id_))})
    now, locate = now_ms(), Commands(home, env).locate
    return [*findings, *accounts(picture, now, journal, locate), *sign_ins_ahead(picture, now), *client_keys(picture, now)]


def accounts(
    picture: Snapshot, now: int, journal: Mapping[str, Refresh] = MappingProxyType({}), locate: Callable[[Json], object] | None = None
) -> list[Finding]:
    """One finding for each account that does not serve, or one that all do. `journal`: the last refresh, by account id. `locate`
    raises GatewayError where the program of a command is not there."""
    if not picture.accounts:
        return [Finding("warn", "accounts", "No account is connected.", "omni-connector backend add (or: backend add demo)")]
    findings = [finding for account in picture.accounts if (finding := _account(account, picture, now)) is not None]
    well = {f"account {account.label}": account for account in picture.accounts} | {finding.what: None for finding in findings}
    for account in filter(None, well.values()):
        found = _sign_in(account, journal.get(account.id), now) or (_program(account, locate) if locate else None)
        findings += [found] if found else []
    if not any(account.enabled and account.state == "ok" for account in picture.accounts):
        findings.append(Finding("fail", "accounts", "No account can serve a request.", "Enable or repair one of those above."))
    return findings or [Finding("ok", "accounts", f"{len(picture.accounts)} connected, all ready.")]


def _account(account: Account, picture: Snapshot, now: int) -> Finding | None:
    what, name = f"account {account.label}", f"'{account.label}'"
    if account.switched_off:
        return Finding("warn", what, f"It is not used: {account.switched_off}.", _switch_on(account, picture))
    if not account.enabled:
        return Finding("warn", what, "It is switched off.", f"omni-connector backend enable {name}")
    if account.state != "ok":
        words = "It needs a new login" if account.state == "needs_login" else "It does not work"
        reason = f": {account.state_reason}" if account.state_reason else "."
        return Finding("fail", what, f"{words}{reason}", _log_in(account))
    if not account.wire:
        return Finding("fail", what, f"This release knows no provider {account.provider!r}.", f"omni-connector backend remove {name}")
    cooling = [c for c in picture.cooldowns if c.account_id == account.id and c.until_at > now]
    if cooling:
        longest = max(cooling, key=lambda c: c.until_at)
        minutes = -(-(longest.until_at - now) // 60_000)
        until = "until you act" if longest.source == "terminal" else f"for {minutes} min more"
        return Finding("warn", what, f"It is out {until}: {longest.reason}.", f"omni-connector backend clear-cooldown {name}")
    if not account.known_models and not account.open_models:
        fix = f"omni-connector backend test {name} asks for them; backend edit {name} --models A,B names them"
        return Finding("warn", what, "None of its models is known.", fix)
    return None


def _switch_on(account: Account, picture: Snapshot) -> str:
    """An account is held back by its provider's switch, or by another one where the provider's terms want only one."""
    given = picture.providers.get(account.provider)
    if given is not None and not given.enabled:
        return f"omni-connector provider enable {account.provider}"
    used = next((one.label for one in picture.accounts if one.provider == account.provider and one.enabled), "")
    return f"Nothing to do. To use this one instead: omni-connector backend disable '{used}'"


def _log_in(account: Account) -> str:
    """What makes the credential good again, by its kind."""
    from omni_connector.providers import PROVIDERS, commands

    name, row = f"'{account.label}'", PROVIDERS.get(account.provider)
    if account.auth == "oauth":
        return f"Sign in again: omni-connector backend login {account.provider} {name}"
    if row is not None and row.command:
        login = commands.login(account)
        then = f"omni-connector backend test {name}"
        return f"{login} (in a terminal, as the user of the server), then: {then}" if login else then
    return f"omni-connector backend edit {name} --key-env NAME"


def _program(account: Account, locate: Callable[[Json], object]) -> Finding | None:
    from omni_connector.providers import PROVIDERS, commands, local_options

    row = PROVIDERS.get(account.provider)
    if row is None or not row.command:
        return None
    what, edit = f"account {account.label}", f"omni-connector backend edit '{account.label}'"
    try:
        commands.template(account.provider, account.options)
    except GatewayError as error:
        return Finding("fail", what, f"Its command is not valid: {error.message}", f"{edit} --command 'PROGRAM ARGUMENTS'")
    try:
        locate(local_options(account))
    except GatewayError as error:
        return Finding("fail", what, error.message, f"{edit} --program /PATH/TO/IT")
    return None


def _sign_in(account: Account, last: Refresh | None, now: int) -> Finding | None:
    """A sign-in that ends for good, or that could not be renewed lately."""
    if account.auth != "oauth":
        return None
    what, fix = f"account {account.label}", _log_in(account)
    tokens = decode(account.secret)
    if tokens is None:
        return Finding("fail", what, "It was never signed in, or what it was given cannot be read.", fix)
    if tokens.expires_at is not None and not tokens.refresh_token and tokens.expires_at < now + SOON_MS:
        ends = f"ended {span(now - tokens.expires_at)} ago" if tokens.expires_at <= now else f"ends in {span(tokens.expires_at - now)}"
        level: Level = "fail" if tokens.expires_at <= now else "warn"
        return Finding(level, what, f"Its sign-in {ends}, and its provider gave nothing to renew it with.", fix)
    if last is not None and last.failures and last.error:
        times = f", {last.failures} times in a row" if last.failures > 1 else ""
        return Finding("warn", what, f"Its sign-in could not be renewed{times}: {last.error}", f"The server tries again. {fix}")
    return None


def sign_ins_ahead(picture: Snapshot, now: int) -> list[Finding]:
    """How long what the sign-ins gave us holds."""
    signed = [account for account in picture.accounts if account.auth == "oauth" and account.state == "ok"]
    if not signed:
        return []
    ends = [account.access_until for account in signed if account.access_until is not None]
    if not ends:
        return [Finding("ok", "sign-ins", f"{len(signed)} signed in.")]
    first = min(ends)
    lives = f"ends in {span(first - now)}" if first > now else f"ended {span(now - first)} ago"
    return [Finding("ok", "sign-ins", f"{len(signed)} signed in; the first access token {lives}. A running server renews them.")]


def span(ms: int) -> str:
    """A length of time in words: "25 min", "3 h", "4 days"."""
    minutes = max(1, round(ms / 60_000))
    if minutes < 120:
        return f"{minutes} min"
    return f"{round(minutes / 60)} h" if minutes < 2880 else f"{round(minutes / 1440)} days"


def client_keys(picture: Snapshot, now: int) -> list[Finding]:
    standing = [key.status(now) for key in picture.keys.values()]
    active, expired = standing.count("active"), standing.count("expired")
    if active:
        return [Finding("ok", "keys", f"{active} active, {expired} expired.")]
    if expired:
        return [Finding("warn", "keys", "Every key has expired: programs are refused.", "omni-connector key create --name NAME")]
    return [Finding("warn", "keys", "There is no key for your programs yet.", "omni-connector key create --name NAME")]


# ---------------------------------------------------------------- The server


async def listening(home: Path, env: Mapping[str, str], stored: Settings, server: Server | None) -> list[Finding]:
    """The server is healthy, or it could start: its port is free."""
    if server is not None:
        return [await _health(home, env, server)]
    if (home / "server.json").exists():
        stale = [
            Finding(
                "warn",
                "server",
                "The last server did not end properly (server.json is still there).",
                "Nothing to do: the next start replaces it.",
            )
        ]
    else:
        stale = [Finding("ok", "server", "Not running.")]
    taken = await asyncio.to_thread(_port_taken, stored.host, stored.port)
    if not taken:
        return [*stale, Finding("ok", "port", f"{stored.host}:{stored.port} is free.")]
    fix = "End the program that uses it, or take another port: omni-connector serve --port 38472"
    return [*stale, Finding("fail", "port", f"{stored.host}:{stored.port} is taken by another program ({taken}).", fix)]


async def _health(home: Path, env: Mapping[str, str], server: Server) -> Finding:
    from omni_connector.upstream import admin_client

    client = admin_client(server.url, secrets.load_or_create_admin_key(home, env))
    try:
        status, answer = await client.request("GET", "/api/system")
    except GatewayError as error:
        fix = "omni-connector stop, then omni-connector; the log says more: omni-connector logs"
        return Finding("fail", "server", f"Process {server.pid} runs, but {server.url} does not answer: {error.message}", fix)
    finally:
        await client.close()
    if status == 401:
        return Finding("fail", "server", "It refuses this home's admin key.", "Restart it: omni-connector stop, then omni-connector.")
    if status != 200:
        return Finding("fail", "server", f"{server.url} answers with status {status}.", "See: omni-connector logs")
    if answer.get("version") != __version__:
        message = f"It is release {answer.get('version')}, installed is {__version__}."
        return Finding("warn", "server", message, "Restart it: omni-connector stop, then omni-connector.")
    return Finding("ok", "server", f"Healthy at {server.url} (process {server.pid}).")


def _port_taken(host: str, port: int) -> str | None:
    """What the system says when the port cannot be bound; None when it can (or when any port will do)."""
    if port == 0:
        return None
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(family, kind) as probe:
            # Without this a port whose connections ended a moment ago looks taken.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        return error.strerror or str(error)
    return None
