"""The command line in this process: `cli("key", "list")` → exit code and both outputs, on the test's own OMNI_HOME."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from omni_connector.cli import run


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output alone must be one JSON document."""
        return json.loads(self.out)


Cli = Callable[..., Result]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    def call(*argv: str) -> Result:
        code = run(list(argv))
        out, err = capsys.readouterr()
        return Result(code, out, err)

    return call
