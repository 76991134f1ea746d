"""The machine that omni-connector runs on: Python, libraries, disk, limits, proxy variables."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path

from omni_connector import __version__
from omni_connector.doctor.finding import Finding
from omni_connector.settings import Settings

LOW_DISK, NO_DISK = 1024**3, 100 * 1024**2
"""Bytes free below which books may soon stop growing, and below which they do at any moment."""
FEW_FILES = 1024
"""Open files and connections below which a busy server runs out: a streamed request takes two."""
LIBRARIES = ("quart", "hypercorn", "httptools", "httpx2", "SQLAlchemy", "aiosqlite", "cryptography", "msgspec", "genai-prices")
LAUNCHER = "omni-connector"
PROXIES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")
HERE = ("localhost", "127.0.0.1")


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
        return Finding("warn", "disk", said, "Free some space soon, or lower keep_requests_mb, retention_days and snapshots_kept.")
    return Finding("ok", "disk", said)


def open_files(most: int | None) -> Finding:
    """`most`: None where there is no such limit."""
    if most is None:
        return Finding("ok", "open files", "No limit.")
    said = f"{most} open files and connections at most."
    if most < FEW_FILES:
        return Finding("warn", "open files", said, "Allow more before the start: ulimit -n 8192 (systemd: LimitNOFILE=8192).")
    return Finding("ok", "open files", said)


def most_open_files() -> int | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return None if most == resource.RLIM_INFINITY else most


def proxies(env: Mapping[str, str], stored: Settings) -> list[Finding]:
    """The proxy variables: whether ours are used, and whether they keep programs from reaching us. Their values are not shown."""
    given = [name for name in PROXIES if env.get(name, "").strip()]
    wanting = [name for name in ("use_system_proxy_openai", "use_system_proxy_claude", "use_system_proxy_gemini") if getattr(stored, name)]
    findings = []
    if wanting and not given:
        fix = f"Set HTTPS_PROXY in OMNI_HOME/.env, or: omni-connector config set {wanting[0]} false"
        findings.append(Finding("warn", "proxy", f"{' and '.join(wanting)} is on, but no proxy variable is set.", fix))
    left_out = {part.strip().lower() for name in ("NO_PROXY", "no_proxy") for part in env.get(name, "").split(",")}
    if given and "*" not in left_out and not left_out >= set(HERE):
        words = f"{given[0]} is set and NO_PROXY does not name this machine: programs here may ask the proxy for omni-connector."
        findings.append(Finding("warn", "proxy", words, f"export NO_PROXY={','.join(HERE)},::1"))
    if findings:
        return findings
    if not given:
        return [Finding("ok", "proxy", "No proxy variable is set.")]
    way = f"used for {', '.join(wanting)}" if wanting else "not used: an account's own proxy_url, or use_system_proxy_…, says who is"
    return [Finding("ok", "proxy", f"{', '.join(given)}: {way}.")]
