from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from omni_connector import prompts
from omni_connector.call import Call, Headers, Sink
from omni_connector.prompts import FOLDER, MARGIN, Part, Prompts
from omni_connector.settings import Settings, load
from omni_connector.snapshot import ClientKey

NOW = 1_763_700_000_000
DAY = 86_400_000
SECRET = "sk-proj-abcdefghijklmnop0123456789"
KEY = ClientKey("key_1", "laptop", "", "", 0)


def call(body: bytes = b'{"prompt":"hello"}', kind: str = "application/json") -> Call:
    return Call("req_1", "openai-chat", "/v1/chat/completions", body, {"content-type": kind}, KEY, "curl/8", NOW)


class Out:
    """A sink that keeps what it is given."""

    def __init__(self) -> None:
        self.started = False
        self.sent = b""

    async def whole(self, status: int, headers: Headers, body: bytes) -> None:
        self.started, self.sent = True, body

    async def start(self, status: int, headers: Headers) -> None:
        self.started = True

    def say(self, data: bytes) -> bool:
        return False

    async def write(self, data: bytes) -> None:
        self.sent += data

    async def end(self, data: bytes = b"") -> None:
        self.sent += data


async def streaming(_: Call, sink: Sink) -> None:
    await sink.start(200, [(b"content-type", b"text/event-stream")])
    assert sink.started
    await sink.write(b"data: one\n\n")
    await sink.end(b"data: two\n\n")


async def written(home: Path, run: Any = streaming, asked: Call | None = None, **changes: Any) -> list[dict[str, Any]]:
    settings = replace(Settings(), **{"prompt_log_mode": "file", **changes})
    log = Prompts(home, lambda: settings, lambda: NOW)
    try:
        await log.around(run, asked or call(), Out())
    finally:
        await log.close()
    file = home / FOLDER / prompts.file_name(settings.prompt_log_file)
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


async def test_off_the_answer_goes_straight_to_the_client_and_nothing_is_written(tmp_path: Path) -> None:  # R-52, C-59
    assert Settings().prompt_log_mode == "none"
    out, seen = Out(), []

    async def run(_: Call, sink: Sink) -> None:
        seen.append(sink)

    log = Prompts(tmp_path, Settings, lambda: NOW)
    await log.around(run, call(), out)
    await log.close()
    assert seen == [out]
    assert list(tmp_path.iterdir()) == []


async def test_a_call_is_one_line_in_a_file_that_only_the_owner_reads(tmp_path: Path) -> None:  # C-59, C-60, J-19
    env = {"PROMPT_LOG_MODE": "file", "PROMPT_LOG_FILENAME": "../../mine.log"}
    settings = load(env)
    (entry,) = await written(tmp_path, prompt_log_mode=settings.prompt_log_mode, prompt_log_file=settings.prompt_log_file)
    assert entry == {
        "at": NOW, "id": "req_1", "path": "/v1/chat/completions", "protocol": "openai-chat", "client": "curl/8", "key": "laptop",
        "status": 200, "request": '{"prompt":"hello"}', "answer": "data: one\n\ndata: two\n\n", "cut": [],
    }  # fmt: skip
    file = tmp_path / "logs/prompts/mine.log"
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert [prompts.file_name(name) for name in ("..", "", "C:\\\\a.log")] == ["prompts.jsonl", "prompts.jsonl", "a.log"]


async def test_secrets_are_masked_and_bytes_are_told_by_their_size(tmp_path: Path) -> None:
    async def picture(_: Call, sink: Sink) -> None:
        await sink.whole(200, [(b"content-type", b"image/png")], b"\x89PNG" * 10)

    (entry,) = await written(tmp_path, picture, call(f'{{"api_key":"{SECRET}","text":"use {SECRET}"}}'.encode()))
    assert SECRET not in json.dumps(entry)
    assert "use sk-proj-[redacted]" in entry["request"]
    assert entry["answer"] == "[40 bytes of image/png]"
    (entry, *_) = await written(tmp_path / "form", asked=call(b"--x", "multipart/form-data; boundary=x"))
    assert entry["request"] == "[3 bytes of multipart/form-data]"


async def test_what_waits_is_bounded_and_holds_no_whole_bodies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that stands still: what is kept for it has a size, and the calls that are over are gone."""
    monkeypatch.setattr(prompts, "WAITING_BYTES", 3 * 1024)
    still, begun = threading.Event(), threading.Event()

    def slow(*_: Any) -> None:
        begun.set()
        still.wait(10)

    monkeypatch.setattr(prompts, "append", slow)
    settings = replace(Settings(), prompt_log_mode="file", prompt_log_kb=1)
    log = Prompts(tmp_path, lambda: settings, lambda: NOW)
    calls = [call(b"x" * 100_000) for _ in range(5)]
    for one in calls:
        await log.around(streaming, one, Out())
    assert await asyncio.to_thread(begun.wait, 10)
    assert log._bytes <= 3 * 1024 + 1024 + MARGIN
    assert log._left_out >= 3
    still.set()
    await log.close()
    await asyncio.sleep(0)
    assert log._bytes == 0


async def test_the_small_fields_hold_no_secret_either(tmp_path: Path) -> None:
    asked = replace(call(), client=f"tool/{SECRET}", path=f"/v1/x?key={SECRET}")
    (entry,) = await written(tmp_path, asked=asked)
    assert SECRET not in json.dumps(entry)
    pem = "-----BEGIN RSA PRIVATE KEY-----\\nMIIEpAIBAAKCAQEA1c7\\nabc=\\n-----END RSA PRIVATE KEY-----"
    (entry,) = await written(tmp_path / "pem", asked=call(f'{{"text":"{pem}"}}'.encode()))
    assert "MIIE" not in entry["request"]
    assert json.loads(entry["request"])["text"].endswith("-----END RSA PRIVATE KEY-----")


@pytest.mark.parametrize("before", range(1000, 1024 + 40, 3))
def test_a_secret_across_the_cut_is_masked_not_halved(before: int) -> None:
    part = Part(1024)
    for at in range(0, 8000, 7):
        part.add((b" " * before + SECRET.encode() + b" " * 8000)[at : at + 7])
    assert part.cut
    assert "abcdefgh" not in part.text()
    assert len(part.text()) <= 1024
    assert len(part.held) <= 1024 + MARGIN


async def test_a_call_whose_client_left_is_written_too(tmp_path: Path) -> None:
    async def left(_: Call, sink: Sink) -> None:
        await sink.start(200, [(b"content-type", b"text/event-stream")])
        await sink.write(b"data: half")
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await written(tmp_path, left)
    assert json.loads((tmp_path / FOLDER / "prompts.jsonl").read_text())["answer"] == "data: half"


async def test_the_console_cannot_be_steered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # C-59
    await written(tmp_path, asked=call("\x1b[2J\x9b2J\u202eé".encode()), prompt_log_mode="console")
    line = capsys.readouterr().err
    assert line.rstrip("\n").isascii()
    assert line.rstrip("\n").isprintable()
    assert json.loads(line)["request"].endswith("é")
    assert list(tmp_path.iterdir()) == []


async def test_a_disk_that_refuses_costs_no_answer(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "logs").write_text("not a folder")
    assert await written(tmp_path) == []
    await asyncio.sleep(0)
    assert "could not be written" in caplog.text


def test_files_are_set_aside_by_size_and_by_day_and_deleted_when_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    folder = tmp_path / FOLDER

    def write(at: int) -> None:
        prompts.append(folder, "p.jsonl", "{}", at)
        os.utime(folder / "p.jsonl", (at / 1000, at / 1000))

    write(NOW)
    write(NOW + 1)
    assert len(list(folder.iterdir())) == 1
    write(NOW + DAY)
    assert len(list(folder.iterdir())) == 2
    monkeypatch.setattr(prompts, "FILE_BYTES", 1)
    write(NOW + DAY + 5)
    assert len(list(folder.iterdir())) == 3
    assert sum(len(path.read_text().splitlines()) for path in folder.iterdir()) == 4
    assert prompts.prune(tmp_path, 0, NOW + 400 * DAY) == 0
    assert prompts.prune(tmp_path, 7, NOW + 8 * DAY - 1000) == 1
    monkeypatch.setattr(prompts, "MOST_FILES", 1)
    assert prompts.prune(tmp_path, 0, NOW) == 1
    assert [path.name for path in folder.iterdir()] == ["p.jsonl"]
    assert prompts.prune(tmp_path / "none", 1, NOW) == 0
