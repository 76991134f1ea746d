"""Replays a folder of recorded exchanges through a live gateway.

python -m tests.replay [DIR]        the table; exit code 1 when anything failed
python -m tests.replay --write      also writes results.tsv and the section of docs/wire-formats.md
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
import tempfile
import time
from pathlib import Path

from tests.replay import report
from tests.replay.recordings import FOLDER
from tests.replay.run import replay


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.replay", description="Replays recorded exchanges through a live gateway.")
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER, help="folder of recordings (default: %(default)s)")
    parser.add_argument("--write", action="store_true", help="write results.tsv and the section of docs/wire-formats.md")
    options = parser.parse_args()
    if not options.folder.is_dir():
        parser.error(f"{options.folder} is no folder")
    # Settings of this machine's own installation, and proxies that would take our calls away, are no part of a replay.
    for name in [name for name in os.environ if name.startswith("OMNI_") or name.lower().endswith("_proxy")]:
        del os.environ[name]
    logging.disable(logging.ERROR)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as home:
        results = asyncio.run(replay(options.folder, Path(home) / "home"))
    print(report.terminal(results))
    print(f"{time.monotonic() - began:.0f} s.")
    if options.write:
        report.RESULTS.write_text(report.to_tsv(results), encoding="utf-8")
        report.PAGE.write_text(report.page(report.PAGE.read_text(encoding="utf-8"), results), encoding="utf-8")
    return 1 if any(one.wrong for one in results) else 0


if __name__ == "__main__":
    sys.exit(main())
