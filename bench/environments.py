"""Where the programs that are compared come from: each in an environment of its own, made by the ordinary clients (pip, npm)."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

MAKING_S = 1800.0


class Absent(Exception):
    """A program is not there; the text says why, for people."""


@dataclass(frozen=True, slots=True)
class Package:
    """What is installed, by whom, and the file in its environment that is run."""

    by: str
    package: str
    run: str
    overrides: tuple[tuple[str, str], ...] = ()
    """npm: what must be of another version than the newest that the package allows."""

    @property
    def plain(self) -> str:
        return self.package.partition("[")[0]


PACKAGES: Mapping[str, Package] = {
    "litellm": Package("pip", "litellm[proxy]", "bin/litellm"),
    "tensorzero": Package("pip", "tensorzero", "bin/python"),
    # With later ones it answers 500 to every stream ("immutable": it changes headers that have been sealed since).
    "portkey": Package(
        "npm", "@portkey-ai/gateway", "node_modules/@portkey-ai/gateway/build/start-server.js", (("@hono/node-server", "1.13.8"),)
    ),
    "claude-code-router": Package("npm", "@musistudio/claude-code-router", "node_modules/@musistudio/claude-code-router/dist/cli.js"),
}


def make(folder: Path, name: str) -> None:
    """Makes what is missing. Raises Absent when the client that installs is missing, or fails."""
    package, place = PACKAGES[name], folder / name
    if _whole(place, package):
        return
    place.mkdir(parents=True, exist_ok=True)
    if package.by == "pip":
        _run([sys.executable, "-m", "venv", str(place)])
        _run([str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", package.package])
    else:
        (place / "package.json").write_text(json.dumps({"overrides": dict(package.overrides)}))
        _run([which("npm"), "install", "--no-fund", "--no-audit", "--prefix", str(place), package.package])


def find(folder: Path | None, name: str) -> Path:
    """The file that is run. Raises Absent."""
    package = PACKAGES[name]
    if folder is None:
        raise Absent("no folder of environments was named")
    if not _whole(folder / name, package):
        raise Absent(f"{folder / name} has no {package.plain}; --make-environments makes it")
    return folder / name / package.run


def version(folder: Path, name: str) -> str:
    package, place = PACKAGES[name], folder / name
    if package.by == "npm":
        return str(json.loads((place / "node_modules" / package.plain / "package.json").read_text())["version"])
    ask = f"from importlib.metadata import version; print(version({package.plain!r}))"
    return subprocess.run([place / "bin" / "python", "-c", ask], check=True, capture_output=True, text=True, timeout=60).stdout.strip()


def which(program: str) -> str:
    """Its path. Raises Absent."""
    for place in (shutil.which(program), f"/usr/sbin/{program}"):
        if place and Path(place).exists():
            return place
    raise Absent(f"{program} is not installed")


def _whole(place: Path, package: Package) -> bool:
    """pip writes what tells the version last, so an installation that broke off does not look whole."""
    if not (place / package.run).exists():
        return False
    return package.by == "npm" or any(place.glob(f"lib/python*/site-packages/{package.plain}-*.dist-info"))


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=MAKING_S, check=False)
    except subprocess.TimeoutExpired:
        raise Absent(f"{command[0]} took longer than {MAKING_S:.0f} s") from None
    if done.returncode:
        raise Absent(f"{' '.join(command[:4])} failed: {(done.stderr or done.stdout).strip()[-300:]}")
