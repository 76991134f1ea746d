"""What a client program is to its writer: where it keeps things, what is wanted of it, and what would change.

Nothing here writes: `plan` reads the files of one user and says what they would become.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import field
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

from omni_connector.errors import GatewayError, Kind
from omni_connector.values import dataclass

NEW_KEY = "omni-(a new key)"
"""Stands for the key in a plan that is only looked at."""
MAX_BYTES = 8 << 20
_LOOPBACK = ("localhost", "127.0.0.1", "::1", "0.0.0.0")  # noqa: S104 — compared, not bound


@dataclass(frozen=True, slots=True)
class Places:
    """One user's machine. `home`: the user's; `omni`: OMNI_HOME; `env`: the variables in force; `platform`: as sys.platform says it."""

    home: Path
    omni: Path
    env: Mapping[str, str] = field(default_factory=dict)
    platform: str = sys.platform

    def folder(self, variable: str, *default: str) -> Path:
        """What the variable names, else that folder below the home."""
        named = self.env.get(variable, "").strip()
        return Path(named).expanduser() if named else self.home.joinpath(*default)

    def config(self, *below: str) -> Path:
        """Below the user's configuration folder (XDG)."""
        return self.folder("XDG_CONFIG_HOME", ".config").joinpath(*below)

    def short(self, path: Path) -> str:
        """The path as people write it: ~/.claude/settings.json."""
        return f"~/{path.relative_to(self.home)}" if path.is_relative_to(self.home) else str(path)


@dataclass(frozen=True, slots=True)
class Wanted:
    """`url`: the gateway, without /v1 and without a slash at its end."""

    url: str
    key: str = field(repr=False)
    model: str


@dataclass(frozen=True, slots=True)
class Pointing:
    """Where a client's own files send it now. "" where they do not say."""

    url: str = ""
    key: str = field(default="", repr=False)
    model: str = ""


@dataclass(frozen=True, slots=True)
class Edit:
    """One file that a client is set up by. `change`: its text ("" when it is not there) → the new one; raises ValueError with what is
    in the way. `private`: it will hold the key. `startup`: a shell reads it at its start, so it is only written when the user says so."""

    path: Path
    change: Callable[[str], str]
    private: bool = True
    startup: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """`path` is the real file, behind links. `before` is None where there is none; `mode` are the permission bits that it gets."""

    path: Path
    before: bytes | None
    after: bytes
    mode: int
    startup: bool = False


def _nothing(_: Places, __: Wanted) -> list[Edit]:
    return []


def _nowhere(_: Places) -> Pointing | None:
    return None


def _no_words(_: Places, __: Wanted) -> list[str]:
    return []


@dataclass(frozen=True, slots=True)
class Client:
    """A program and how it is set up. `wire`: the format it speaks, for the proof. `programs`: any of them on PATH means that it is
    installed; so does any of `marks`, folders below the home. `shadows`: variables that win over the files. `steps`: what only the
    user can do, in words; `notes`: what is good to know afterwards."""

    name: str
    label: str
    wire: str
    programs: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    model: str = "auto"
    edits: Callable[[Places, Wanted], list[Edit]] = _nothing
    read: Callable[[Places], Pointing | None] = _nowhere
    steps: Callable[[Places, Wanted], list[str]] = _no_words
    notes: Callable[[Places, Wanted], list[str]] = _no_words
    shadows: tuple[str, ...] = ()
    keeps_key: bool = True
    """Whether the key stands in its files, where it is found again; else it is shown once, for the user to paste."""

    @property
    def writes(self) -> bool:
        """Whether there is a file to write; else there are only steps."""
        return self.edits is not _nothing


def plan(client: Client, places: Places, wanted: Wanted) -> list[Change]:
    """What would change, files that stay as they are left out. Raises GatewayError (CONFLICT) naming the file that cannot be edited."""
    changes = []
    for edit in client.edits(places, wanted):
        path = real(edit.path)
        before = read_bytes(path)
        text = decoded(path, before)
        try:
            after = edit.change(text).encode()
        except ValueError as error:
            _in_the_way(path, str(error))
        if after != before:
            changes.append(Change(path, before, after, _mode(path, edit.private), edit.startup))
    return changes


def real(path: Path) -> Path:
    """The file behind symbolic links: whoever keeps settings elsewhere keeps the link."""
    try:
        return path.resolve() if path.is_symlink() else path
    except (OSError, RuntimeError) as error:
        _in_the_way(path, str(error))


def read_bytes(path: Path) -> bytes | None:
    """None where there is no such file. Raises GatewayError for what cannot be read."""
    try:
        if path.stat().st_size > MAX_BYTES:
            _in_the_way(path, f"it is larger than {MAX_BYTES >> 20} MB")
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        _in_the_way(path, error.strerror or str(error))


def decoded(path: Path, data: bytes | None) -> str:
    try:
        return (data or b"").decode()
    except UnicodeDecodeError as error:
        line = (data or b"")[: error.start].count(b"\n") + 1
        _in_the_way(path, f"line {line} is not UTF-8")


def _mode(path: Path, private: bool) -> int:
    """A file with a key in it is the owner's alone; what it allowed the owner stays."""
    try:
        mode = path.stat().st_mode & 0o777
    except OSError:
        return 0o600 if private else 0o644
    return mode & 0o700 if private else mode


def _in_the_way(path: Path, why: str) -> NoReturn:
    raise GatewayError(Kind.CONFLICT, f"{path} is left as it is: {why}.", param="path")


# ---------------------------------------------------------------- Addresses


def same_place(one: str, other: str) -> bool:
    """Whether two addresses are one gateway: names of this machine are the same, and what comes after the port does not matter."""
    return _place(one) == _place(other) != None  # noqa: E711 — both, and known


def _place(url: str) -> tuple[str, int] | None:
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return None
    if not parts.hostname:
        return None
    return ("here" if parts.hostname in _LOOPBACK else parts.hostname.lower(), port)


def base(url: str) -> str:
    """A gateway's address as programs get it: without /v1, and by number, because "localhost" is ::1 to some of them first."""
    text = url.strip().rstrip("/")
    for tail in ("/v1", "/v1beta"):
        text = text.removesuffix(tail)
    try:
        parts = urlsplit(text)
        valid = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0) and parts.username is None
    except ValueError:
        valid = False
    if not valid or not text.isprintable() or any(c in text for c in " \"'\\`$?#"):
        raise GatewayError(Kind.BAD_REQUEST, "url: give the gateway's address, such as http://127.0.0.1:38471.", param="url")
    if parts.hostname == "localhost" and parts.scheme == "http":
        port = f":{parts.port}" if parts.port else ""
        return f"http://127.0.0.1{port}{parts.path}"
    return text


def on_path(programs: tuple[str, ...], env: Mapping[str, str]) -> str:
    """The first of the programs that is on PATH, "" when none is."""
    import shutil

    path = env.get("PATH", os.defpath)
    return next((found for name in programs if (found := shutil.which(name, path=path))), "")
