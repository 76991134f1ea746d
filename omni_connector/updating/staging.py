"""Building a release beside the present one: install.sh does it, as it does at the first installation, and switches nothing."""

from __future__ import annotations

import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

from omni_connector.updating.releases import Release, UpdateError, named

PREPARED = "prepared: "
"""The line in which install.sh names what it built."""
OUR_PYTHON = getattr(sys, "_base_executable", sys.executable)
LINES = 12


def prepare(home: Path, present: Release, source: str, sha256: str, env: Mapping[str, str], tell: Callable[[str], None]) -> Release:
    """`source`: a checkout, an archive or a URL; "": the default archive. Raises UpdateError with install.sh's last words."""
    command = ["bash", str(present.path / "install.sh"), "--prepare"]
    command += ["--from", source] if source else []
    command += ["--sha256", sha256] if sha256 else []
    given = {"OMNI_PYTHON": OUR_PYTHON, **env, "OMNI_HOME": str(home)}
    last: deque[str] = deque(maxlen=LINES)
    name = ""
    try:
        with subprocess.Popen(  # noqa: S603 — install.sh of ours
            command, env=given, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as work:
            assert work.stdout is not None
            for line in map(str.rstrip, work.stdout):
                if line.startswith(PREPARED):
                    name = line.removeprefix(PREPARED)
                    continue
                last.append(line.strip())
                tell(f"      {line}")
    except OSError as error:
        raise UpdateError(f"The new release cannot be built: {error}.") from error
    if work.returncode or not name:
        said = next((line for line in last if line.startswith("install.sh:")), " / ".join(last))
        raise UpdateError(f"The new release could not be built, and nothing was changed. {said}")
    return named(home, name)
