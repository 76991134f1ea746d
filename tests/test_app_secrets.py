"""app.py: secrets and prompts stay in the house, and a start that would open it to others is refused (R-52, CONTRACT §3)."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import app as module
from omni_connector import logs, server
from omni_connector.handover import Turn
from omni_connector.listeners import Place, listen, told
from omni_connector.notify import Notifier
from omni_connector.settings import Settings, SettingsError
from tests.desk import ADMIN_READS
from tests.serving import Rig, stream, whole

Json = dict[str, Any]
CHAT = {"model": "test-model", "messages": [{"role": "user", "content": "the secret plan is in the cellar"}]}

# ---------------------------------------------------------------- Secrets


class Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(logs.Text("%(levelname)s %(name)s %(message)s"))
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def log_lines() -> Iterator[list[str]]:
    """What a log file at the default level would hold."""
    root, handler = logging.getLogger(), Lines()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield handler.lines
    root.setLevel(level)
    root.removeHandler(handler)


async def test_no_secret_and_no_prompt_leaves_the_house(tmp_path: Path, log_lines: list[str]) -> None:  # R-52, O-03
    """Every admin answer, the live events, the answers to clients and the log, after requests that worked and that failed."""
    import aiohttp

    hidden = ["sk-first-key-0123456789", "plainpassword-of-proxy", "header-secret-77"]
    async with Rig(tmp_path) as rig, aiohttp.ClientSession(headers=rig.bearer) as web:
        await rig.account("openai", "first", headers={"x-extra": hidden[2]})
        await rig.account("groq", "second", enabled=False, proxy_url=f"http://user:{hidden[1]}@127.0.0.1:1")
        hidden.append(rig.key)
        told: list[str] = []
        live = rig.gateway.live.stream(dict)
        await anext(live)
        refusal = {"error": {"message": f"Incorrect API key provided: {hidden[0]}. Bearer {hidden[0]}"}}
        inside = f'data: {{"error":{{"message":"key {hidden[0]} expired"}}}}\n\n'
        for answer in (
            whole({"choices": [{"message": {"role": "assistant", "content": "42 is the answer"}, "finish_reason": "stop"}]}),
            whole(refusal, 500),
            whole(refusal, 400),
            stream(inside),
            whole(refusal, 401),
        ):
            rig.upstream.answer(answer)
            async with web.post(
                f"{rig.url}/v1/chat/completions", json={**CHAT, "stream": b"data" in b"".join(map(bytes, answer.pieces))}
            ) as got:
                told.append(await got.text() + str(dict(got.headers)))
            await asyncio.gather(*rig.gateway._tasks)  # what a failure leaves is written beside the answer
            for account in (await rig.gateway.admin.accounts())["accounts"]:
                await rig.gateway.admin.clear_cooldown(account["id"])
        assert len(rig.upstream.seen) == 5
        admin = {"authorization": f"Bearer {rig.gateway.admin_key}"}
        rows = await rig.rows()
        for path in (
            *(path for path in ADMIN_READS if path != "/api/events"),
            *(f"/api/requests/{row['id']}" for row in rows),
            "/api/session",
        ):
            async with web.get(rig.url + path, headers=admin) as got:
                assert got.status == 200, path
                told.append(await got.text())
        rig.gateway.live.close()
        told += [event.decode() async for event in live]
        hidden.append(rig.gateway.admin_key)
        for text in (*told, *log_lines):
            assert not [secret for secret in hidden if secret in text], text[:300]
        prompts = [text for text in log_lines if "cellar" in text or "42 is the answer" in text]
        assert not prompts
        assert not [row for row in rows if "cellar" in json.dumps(row)]


async def test_what_a_program_is_given_leaves_by_no_door(tmp_path: Path, log_lines: list[str]) -> None:
    """A program that repeats its credential: in the answer, the books, the log, and the files of the server."""
    import aiohttp

    hidden = "tok-SECRET-0123456789"
    script = tmp_path / "tool.py"
    script.write_text("import os, sys\nsys.exit('refused: ' + os.environ['TOKEN'])")
    command = {"argv": [sys.executable, "-I", str(script)], "set": {"TOKEN": hidden}}
    async with Rig(tmp_path / "home") as rig, aiohttp.ClientSession(headers=rig.bearer) as web:
        added = await rig.gateway.admin.add_account({"provider": "command", "options": {"command": {**command, "check": command["argv"]}}})
        assert "refused: [redacted]" in added["test"]["message"]
        async with web.post(f"{rig.url}/v1/chat/completions", json={**CHAT, "model": f"{added['label']}/default"}) as got:
            told = [json.dumps(added), await got.text() + str(dict(got.headers))]
        await asyncio.gather(*rig.gateway._tasks)
        told.append(json.dumps([await rig.rows(), await rig.gateway.admin.accounts()]))
        assert "refused: [redacted]" in told[-1]
    for text in (*told, *log_lines):
        assert "SECRET" not in text
    assert not [path for path in (tmp_path / "home").rglob("*") if path.is_file() and b"tok-SECRET" in path.read_bytes()]


@given(st.text(max_size=40))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_log_masks_secrets_wherever_they_stand(text: str) -> None:
    secret = "sk-ant-" + "api03-" + "Zx9" * 12
    record = logging.LogRecord("omni", logging.ERROR, "x.py", 1, "%s failed: %s", (text, f"key={secret} Bearer {secret}"), None)
    try:
        raise ValueError(f"upstream said {secret}")
    except ValueError as error:
        record.exc_info = (type(error), error, error.__traceback__)
    line = logs.Text("%(message)s").format(record)
    assert secret not in line
    assert "ValueError" in line


def test_the_log_file_is_private_and_names_no_prompt_library_noise(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        logs.set_up(tmp_path, Settings())
        logging.getLogger("omni.test").info("Authorization: Bearer sk-proj-abcdefghijklmnop1234567890")
        logging.getLogger("sqlalchemy.engine").info("INSERT INTO requests ('the secret plan')")
    finally:
        for handler in root.handlers:
            handler.close()
        root.handlers[:] = before
        root.setLevel(level)
    path = tmp_path / "logs" / "omni-connector.log"
    assert path.stat().st_mode & 0o777 == 0o600
    assert "[redacted]" in path.read_text() and "secret plan" not in path.read_text()


# ---------------------------------------------------------------- Start


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.7", "::", "example.com", ""])
def test_a_bind_that_others_reach_is_refused_in_one_line(host: str, omni_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert module.main(host or " ", 0) == 1
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "OMNI_ALLOW_REMOTE=1" in told
    assert not (omni_home / "omni.db").exists()


def test_remote_access_without_a_password_is_refused_in_one_line(
    migrated_home: Path, omni_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(migrated_home, omni_home)
    monkeypatch.setenv("OMNI_ALLOW_REMOTE", "1")
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        assert module.main("0.0.0.0", 0, jobs=False) == 1
    finally:
        for handler in root.handlers:
            handler.close()
        root.handlers[:] = before
        root.setLevel(level)
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1 and "no password is set" in told.err


def test_a_busy_port_is_named_in_one_line(omni_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    taken = listen("127.0.0.1", 0)
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        assert module.main("127.0.0.1", taken.getsockname()[1]) == 1
    finally:
        for handler in root.handlers:
            handler.close()
        root.handlers[:] = before
        root.setLevel(level)
        taken.close()
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "--port" in told and "cannot be used" in told


def test_the_note_for_the_command_line_is_private(tmp_path: Path) -> None:
    for host, url in (("127.0.0.1", "http://127.0.0.1:5"), ("0.0.0.0", "http://127.0.0.1:5"), ("::1", "http://[::1]:5")):
        server.Note(tmp_path, Turn({}), Notifier()).serves(told([(Place("both", host, 5), 5)]))
        note = tmp_path / "server.json"
        assert note.stat().st_mode & 0o777 == 0o600
        assert json.loads(note.read_text())["url"] == url


def test_a_note_that_cannot_be_written_is_said_in_plain_words(tmp_path: Path) -> None:
    """A full disk: the start ends with one line, not with a traceback."""
    with pytest.raises(SettingsError, match=r"server\.json cannot be written \(.+\)\. Free some space"):
        server.Note(tmp_path / "gone", Turn({}), Notifier()).serves(told([(Place("both", "127.0.0.1", 5), 5)]))
