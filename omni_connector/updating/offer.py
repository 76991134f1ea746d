"""What an update would bring, without building or changing anything: `--check`."""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
import tarfile
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from omni_connector.store import schema
from omni_connector.updating.releases import UpdateError

DOWNLOAD_S = 60
MOST_BYTES = 1 << 20
"""Of one of the files that are read."""
_VERSION = re.compile(r'^__version__ = "([0-9A-Za-z.+-]+)"', re.M)
_NAMES = re.compile(r"(?:[^/]+/)?(omni_connector/__init__\.py|migrations/versions/[^/]+\.py)")


def look(source: str, sha256: str = "") -> tuple[str, str]:
    """(version, newest schema revision) of a checkout, an archive or a URL. Raises UpdateError."""
    with tempfile.TemporaryDirectory(prefix="omni-connector-") as folder:
        place = Path(folder)
        if Path(source).is_dir():
            return _facts(Path(source), source)
        archive = fetch(source, place / "archive") if "://" in source else Path(source)
        if not archive.is_file():
            raise UpdateError(f"{source} does not exist.")
        check(archive, sha256 or published(source))
        try:
            _unpack(archive, place / "tree")
        except (OSError, tarfile.TarError, zipfile.BadZipFile, EOFError, ValueError) as error:
            raise UpdateError(f"{source} is no archive of a release ({error}).") from error
        return _facts(place / "tree", source)


def _facts(tree: Path, source: str) -> tuple[str, str]:
    try:
        found = _VERSION.search((tree / "omni_connector" / "__init__.py").read_text("utf-8"))
    except OSError:
        found = None
    if found is None:
        raise UpdateError(f"{source} holds no release of omni-connector.")
    return found[1], schema.head(tree / "migrations" / "versions")


def fetch(url: str, target: Path) -> Path:
    """Raises UpdateError."""
    try:
        with urllib.request.urlopen(url, timeout=DOWNLOAD_S) as answer, target.open("wb") as file:  # noqa: S310 — the user names it
            shutil.copyfileobj(answer, file)
    except (OSError, ValueError) as error:
        raise UpdateError(f"{url} cannot be fetched ({error}).") from error
    return target


def published(source: str) -> str:
    """The checksum that stands beside an archive, in a file of its name with `.sha256` behind it; "" where there is none."""
    beside = f"{source}.sha256"
    try:
        if "://" in source:
            with urllib.request.urlopen(beside, timeout=DOWNLOAD_S) as answer:  # noqa: S310
                text = answer.read(4096).decode("ascii", "replace")
        else:
            text = Path(beside).read_text("ascii", "replace")
    except (OSError, ValueError):
        return ""
    word = text.split()[0].lower() if text.split() else ""
    return word if re.fullmatch(r"[0-9a-f]{64}", word) else ""


def check(archive: Path, sha256: str) -> None:
    """Raises UpdateError for another archive than the one that is expected; "" expects nothing."""
    with archive.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if sha256 and found != sha256.lower():
        raise UpdateError(f"The archive is not the expected one: its sha256 is {found}, and {sha256} is wanted.")


def _unpack(archive: Path, tree: Path) -> None:
    """The few files that are read, under names of ours: nothing in an archive decides where it is written."""
    for name, data in _members(archive):
        wanted = _NAMES.fullmatch(name)
        if wanted is not None and ".." not in PurePosixPath(name).parts:
            goal = tree / wanted[1]
            goal.parent.mkdir(parents=True, exist_ok=True)
            goal.write_bytes(data)


def _members(archive: Path) -> Iterator[tuple[str, bytes]]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as bundle:
            for entry in bundle.infolist():
                if _NAMES.fullmatch(entry.filename) and entry.file_size <= MOST_BYTES:
                    yield entry.filename, bundle.read(entry)
        return
    with tarfile.open(archive, "r:*") as bundle:
        for member in bundle:
            name = member.name.removeprefix("./")
            if member.isfile() and member.size <= MOST_BYTES and _NAMES.fullmatch(name):
                with contextlib.closing(bundle.extractfile(member)) as file:  # type: ignore[type-var]
                    assert file is not None
                    yield name, file.read()
