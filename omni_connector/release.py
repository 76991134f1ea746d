"""Builds the archive of a release, and its checksum beside it, from a checkout.

    python -m omni_connector.release DIR [--dirty]

The same commit gives the same bytes with the same Python: files in order, one time for all of them (that of the commit), no owner, no
name inside the gzip. `install.sh --from` and `omni-connector update --from` take it.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from omni_connector import __version__
from omni_connector.root import ROOT

SHOWN = 5
_PARTS = re.compile(r'^RELEASE_PARTS="([^"]+)"', re.M)


class ReleaseError(Exception):
    """No archive can be made; the message says why."""


def parts(root: Path) -> tuple[str, ...]:
    """What a release consists of, as install.sh says it: one list for both."""
    found = _PARTS.search((root / "install.sh").read_text("utf-8"))
    if found is None:
        raise ReleaseError(f"{root / 'install.sh'} names no RELEASE_PARTS.")
    return tuple(found[1].split())


def listed(root: Path, dirty: bool) -> list[str]:
    """The files of a release, as Git knows them, relative to `root`. Raises ReleaseError for changes that are not committed."""
    wanted = parts(root)
    if not dirty and (changed := _git(root, "status", "--porcelain", "--", *wanted)):
        names = [line[3:] for line in changed.splitlines()]
        few = ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
        raise ReleaseError(f"There are changes that are not committed (--dirty builds all the same): {few}.")
    found = _git(root, "ls-files", "-z", *(("--cached", "--others", "--exclude-standard") if dirty else ()), "--", *wanted).split("\0")
    return sorted({name for name in found if name and (root / name).is_file()})


def moment(root: Path) -> int:
    """The time that all files get: SOURCE_DATE_EPOCH, else that of the commit. Seconds."""
    told = os.environ.get("SOURCE_DATE_EPOCH", "")
    return int(told) if told.isdecimal() else int(_git(root, "log", "-1", "--format=%ct") or 0)


def build(root: Path, names: Iterable[str], version: str, seconds: int) -> bytes:
    """The archive: one folder, omni-connector-VERSION, with the files in order."""
    packed = io.BytesIO()
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=packed, mtime=0, compresslevel=9) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name in sorted(names):
            data = (root / name).read_bytes()
            entry = tarfile.TarInfo(f"omni-connector-{version}/{name}")
            entry.size, entry.mtime = len(data), seconds
            entry.mode = 0o755 if (root / name).stat().st_mode & 0o100 else 0o644
            archive.addfile(entry, io.BytesIO(data))
    return packed.getvalue()


def write(folder: Path, archive: bytes, version: str) -> tuple[Path, str]:
    """Archive and checksum into `folder`, in the form that `sha256sum -c` reads. Returns the archive's path and checksum."""
    folder.mkdir(parents=True, exist_ok=True)
    path, digest = folder / f"omni-connector-{version}.tar.gz", hashlib.sha256(archive).hexdigest()
    path.write_bytes(archive)
    path.with_name(f"{path.name}.sha256").write_text(f"{digest}  {path.name}\n", "ascii")
    return path, digest


def _git(root: Path, *words: str) -> str:
    try:
        done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=False)  # noqa: S603, S607
    except OSError as error:
        raise ReleaseError(f"Git is needed to build a release ({error}).") from error
    if done.returncode:
        raise ReleaseError(f"{root} is no checkout: {done.stderr.strip()}")
    return done.stdout.rstrip()


def main(argv: Sequence[str], root: Path = ROOT) -> int:
    folders = [word for word in argv if not word.startswith("-")]
    if len(folders) != 1 or set(argv) - {*folders, "--dirty"}:
        print("usage: python -m omni_connector.release DIR [--dirty]", file=sys.stderr)
        return 2
    try:
        archive = build(root, listed(root, "--dirty" in argv), __version__, moment(root))
    except ReleaseError as error:
        print(f"omni_connector.release: {error}", file=sys.stderr)
        return 1
    path, digest = write(Path(folders[0]), archive, __version__)
    print(f"{path}\nsha256 {digest}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
