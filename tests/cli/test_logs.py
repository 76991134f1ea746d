import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from omni_connector.cli import run
from omni_connector.cli.logs import LOG_FILE, request_line, tail
from tests.cli.conftest import Cli


def log(home: Path, text: str) -> Path:
    (home / "logs").mkdir(parents=True, exist_ok=True)
    path = home / "logs" / LOG_FILE
    path.write_text(text)
    return path


def test_the_last_lines(cli: Cli, omni_home: Path) -> None:
    assert cli("logs").code == 1
    log(omni_home, "".join(f"line {n}\n" for n in range(30)))
    assert cli("logs", "-n", "2").out == "line 28\nline 29\n"
    assert cli("logs", "-n", "1", "--json").json["lines"] == ["line 29"]


def test_following_goes_on_after_the_log_is_rotated(tmp_path: Path) -> None:
    path = log(tmp_path, "old\n")

    def append(text: str) -> None:
        with path.open("a") as file:
            file.write(text)

    def rotate() -> None:
        path.rename(tmp_path / "log.1")
        path.write_text("new file\n")

    steps = [lambda: append("half"), lambda: append(" a line\n"), rotate]
    lines = tail(path, len("old\n"), lambda _: steps.pop(0)())
    assert next(lines) == "half a line"
    assert next(lines) == "new file"
    lines.close()  # type: ignore[attr-defined]


def test_a_failed_request_says_why_and_cannot_steer_the_terminal() -> None:
    row = {
        "at": 0,
        "state": "settled",
        "key": {"name": None},
        "protocol": "openai-chat",
        "model_requested": "x\x1b[2J",
        "model": None,
        "account": {"label": None},
        "duration_ms": 12,
        "http_status": 503,
        "flag": "NO_ACCOUNT",
        "error": {"message": "No connected account"},
    }
    line = request_line(row)
    assert line.endswith("x [2J → – 0.0 s 503 NO_ACCOUNT No connected account")
    assert request_line({**row, "state": "open", "duration_ms": None}).endswith("→ – …")


def test_following_goes_on_where_a_server_ended_and_tells_nothing_twice(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:  # P-06
    """The stream ends twice (a restart); what comes back a second time is not said again, and Ctrl-C is a quiet end."""
    asked: list[tuple[dict[str, str], str]] = []
    streams: list[list[tuple[str, dict[str, str]] | None]] = [
        [],
        [("5-a", {"id": "a"}), None, ("6-b", {"id": "b"})],
        [("6-b", {"id": "b"}), ("7-c", {"id": "c"})],
    ]

    class Desk:
        async def follow(self, query: dict[str, str], after: str) -> AsyncIterator[tuple[str, dict[str, str]] | None]:
            asked.append((query, after))
            if not streams:
                raise KeyboardInterrupt
            for one in streams.pop(0):
                yield one

    @asynccontextmanager
    async def opened() -> AsyncIterator[Desk]:
        yield Desk()

    monkeypatch.setattr("omni_connector.cli.logs.open_desk", opened)
    monkeypatch.setattr("omni_connector.cli.logs.POLL_S", 0)
    assert run(["logs", "-f", "-n", "3", "--only", "status=ok", "--json"]) == 0
    out, err = capsys.readouterr()
    assert [json.loads(line)["id"] for line in out.splitlines()] == ["a", "b", "c"]
    assert err == ""
    assert asked[0] == ({"status": "ok", "lines": "3"}, "")
    assert asked[1][1].endswith("-")
    assert [after for _, after in asked[2:]] == ["6-b", "7-c"]
    assert all("lines" not in query for query, _ in asked[1:])
