"""The command line `omni-connector`: every command is one call of the same operations the admin API calls.

This file is what the launcher imports, so it imports next to nothing: `--version` has to answer at once. Whatever goes
wrong ends in ONE line on standard error: exit 2 for a wrong command line, 1 for a failure, 130 for Ctrl-C.
With `--json` the failure is also the JSON document on standard output.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

USAGE, FAILED, INTERRUPTED = 2, 1, 130


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Entry point of the launcher."""
    sys.exit(run(list(sys.argv[1:] if argv is None else argv)))


def run(argv: list[str]) -> int:
    """Run one command line and return its exit code; nothing but an interpreter fault leaves here as an exception."""
    import click

    from omni_connector.cli.base import Stop
    from omni_connector.cli.shell import root
    from omni_connector.errors import GatewayError, Kind

    try:
        code = root.main(argv, prog_name="omni-connector", standalone_mode=False)
        sys.stdout.flush()
    except click.UsageError as error:
        return _fail(argv, error.format_message(), USAGE, "usage")
    except click.ClickException as error:
        return _fail(argv, error.format_message(), FAILED, "failed")
    except (click.Abort, KeyboardInterrupt):
        return _fail(argv, "Stopped.", INTERRUPTED, "stopped")
    except GatewayError as error:
        # A value that is refused is a mistake in the command line; everything else is a failure.
        return _fail(argv, error.message, USAGE if error.kind is Kind.BAD_REQUEST else FAILED, str(error.kind))
    except Stop as error:
        return _fail(argv, str(error), error.code, "failed")
    except BrokenPipeError:
        # The reader (`| head`) has seen enough. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code if isinstance(code, int) else 0


def _fail(argv: Sequence[str], message: str, code: int, kind: str) -> int:
    line = " ".join(message.split())
    print(f"omni-connector: {line}", file=sys.stderr)
    if "--json" in argv:
        print(json.dumps({"error": {"message": line, "code": kind}}, ensure_ascii=False))
    return code
