"""`omni-connector verify` against a server as a user starts it, with demo accounts: one that works, one that fails, one that costs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

import omni_connector
from omni_connector.cli import prompts, verify
from omni_connector.cli.base import Stop
from omni_connector.cli.desk import running
from omni_connector.verifying import FORMAT_NAMES, SCENARIOS
from tests.cli.conftest import Cli

PACKAGE_ROOT = str(Path(omni_connector.__file__).parent.parent)
ADD = ("backend", "add", "demo", "--no-discover")


@pytest.fixture
def served(omni_home: Path) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-m", "omni_connector", "serve", "--port", "0"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": PACKAGE_ROOT},
    )
    until = time.monotonic() + 60
    while running(omni_home) is None and process.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    assert running(omni_home) is not None
    yield
    process.kill()
    process.wait()


def test_the_words_of_the_command_line_are_those_of_the_room() -> None:
    assert tuple(SCENARIOS) == verify.SCENARIOS
    assert tuple(FORMAT_NAMES) == verify.FORMATS


def test_the_demo_from_list_to_matrix(cli: Cli, served: None) -> None:
    assert cli(*ADD).code == 0
    listed = cli("verify", "--list", "--json")
    assert (listed.code, listed.json["accounts"][0]["model"]) == (0, "demo-chat")
    assert cli("key", "list", "--json").json == {"keys": []}, "the list sends nothing"

    result = cli("verify", "--yes")
    assert (result.code, "28 ok, 4 cannot" in result.err) == (0, True), result.out + result.err
    lines = result.out.splitlines()
    assert lines[0].split() == ["ACCOUNT", "MODEL", "FORMAT", *(name.upper() for name in SCENARIOS)]
    assert [line.split()[:3] for line in lines[1:5]] == [["demo", "demo-chat", name] for name in FORMAT_NAMES]
    assert "demo: $0.000000 for 28 requests" in result.out
    assert [key["status"] for key in cli("key", "list", "--json").json["keys"]] == ["revoked"]


def test_what_fails_and_what_the_cap_leaves_out(cli: Cli, served: None) -> None:
    cli(*ADD)
    cli(*ADD, "--label", "broken", "--option", 'demo={"behaviour": "500"}')
    cli(*ADD, "--label", "dear")
    assert cli("price", "set", "demo-chat", "--input", "1000", "--output", "1000", "--account", "dear").code == 0
    only = ("--only", "whole", "--only", "models", "--only", "tools", "--format", "chat", "--format", "gemini", "--yes")

    result = cli("verify", "broken", "demo", *only, "--json")
    outcomes = {(cell["account"], cell["scenario"], cell["format"]): cell["outcome"] for cell in result.json["cells"]}
    assert (result.code, result.json["ok"]) == (1, False)
    assert {outcome for (account, _, _), outcome in outcomes.items() if account == "demo"} == {"ok"}
    assert outcomes["broken", "whole", "gemini"] == "failed"
    assert outcomes["broken", "models", "chat"] == "ok"
    assert "broken, chat whole, chat tools, gemini whole, gemini tools: failed: 50" in cli("verify", "broken", *only).out

    capped = cli("verify", "dear", *only, "--max-cost", "0.000001", "--json")
    assert (capped.code, capped.json["outcomes"]) == (0, {"ok": 2, "failed": 0, "cannot": 0, "skipped": 4})
    assert (capped.json["cost_usd"], capped.json["cells"][0]["why"][:9]) == ("0.000000", "cost cap:")
    paid = cli("verify", "dear", "--only", "streamed", "--format", "anthropic", "--max-cost", "$9", "--yes", "--json").json
    assert paid["outcomes"]["ok"] == 1
    assert 0 < float(paid["cost_usd"]) < 9
    assert paid["accounts"][0]["cost_usd"] == paid["cost_usd"]


def test_wrong_use_is_one_line(cli: Cli, omni_home: Path) -> None:
    assert "backend add" in cli("verify", "--yes").err
    cli(*ADD)
    for argv, said, code in (
        (("demmo",), "did you mean 'demo'", 2),
        (("--max-cost", "lots"), "amount in dollars", 2),
        (("--max-cost", "0"), "more than 0", 2),
        (("--max-cost", "nan"), "more than 0", 2),
        (("--only", "wings"), "wings", 2),
        (("--yes",), "not running", 1),
    ):
        result = cli("verify", *argv)
        assert (result.code, result.err.count("\n")) == (code, 1), result.err
        assert said in result.err


async def test_nobody_pays_without_having_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    one = [SimpleNamespace(account="work", model="gpt-x", why="", demo=False)]
    with pytest.raises(Stop, match=r"Up to 2 small real requests to work \(gpt-x\).*add --yes") as stopped:
        await verify._agree(one, ["whole"], ["chat", "gemini"], "0.05", False, False)
    assert stopped.value.code == 2
    await verify._agree(one, ["whole"], ["chat"], "0.05", True, False)
    answers = iter([True, False])
    monkeypatch.setattr(prompts, "terminal", lambda: True)
    monkeypatch.setattr(prompts, "confirm", lambda *_: next(answers))
    await verify._agree(one, ["whole"], ["chat"], "0.05", False, False)
    with pytest.raises(Stop, match="Nothing was sent"):
        await verify._agree(one, ["whole"], ["chat"], "0.05", False, False)


def test_unknown_prices_are_counted_and_said() -> None:
    def row(outcome: str, usd: str | None, state: str = "settled") -> dict[str, object]:
        return {"outcome": outcome, "state": state, "cost": {"usd": usd}}

    rows = [row("ok", "0.010000"), row("ok", None), row("failed", None), row("failed", "0.000500"), row("", None, "open")]
    spent = verify._spent(rows)
    assert spent == {"cost_usd": "0.010500", "unpriced": 2, "requests": 5}
    assert verify._cost(spent) == "$0.010500 for 5 requests, and 2 without a known price"


def test_a_reason_is_said_once() -> None:
    cells = [{"account": "a", "format": "chat", "scenario": name, "outcome": "failed", "why": "x"} for name in ("b", "c", "d", "e", "f")]
    assert verify._reasons([*cells, {**cells[0], "why": ""}]) == ["a, chat b, chat c, chat d, 2 more: failed: x"]
