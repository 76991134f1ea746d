"""The waiting of a sign-in on the command line: standard input in all its forms, decisions, what is shown."""

from __future__ import annotations

import asyncio
import io
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from omni_connector.cli import prompts, signing
from omni_connector.cli.base import Stop
from omni_connector.cli.signing import END, Pasted, allowed, finish, pasted, show_flow, start_body
from omni_connector.errors import GatewayError, Kind

Json = dict[str, Any]
FLOW: Json = {
    "flow_id": "flw_1",
    "status": "waiting",
    "authorization_url": "https://x.invalid/a",
    "redirect_uri": "http://localhost:1455/auth/callback",
    "manual": "Paste it.",
    "port_problem": "",
    "expires_at": 1_795_000_000_000,
}


class FakeDesk:
    """A desk whose sign-in is done once the right thing was pasted, or after so many looks."""

    place = "server"

    def __init__(self, looks: int = 10**6, wrong: GatewayError | None = None) -> None:
        self.looks = looks
        self.wrong = wrong
        self.pastes: list[str] = []

    async def call(self, operation: str, *args: Any) -> Json:
        if operation == "complete_sign_in":
            self.pastes.append(args[1]["code"])
            if self.wrong is not None and "right" not in args[1]["code"]:
                raise self.wrong
            return {**FLOW, "status": "done", "account": {"label": "work"}}
        self.looks -= 1
        return {**FLOW, "status": "done" if self.looks < 0 else "waiting", "account": None, "error": None}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signing, "LOOK_S", 0.01)


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Standard input as a pipe; → its writing end."""
    reading, writing = os.pipe()
    with os.fdopen(reading) as stdin, os.fdopen(writing, "wb", buffering=0) as end:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield end


async def test_a_paste_that_comes_in_pieces(pipe: Any) -> None:
    desk = FakeDesk()
    waiting = asyncio.create_task(finish(desk, FLOW, as_json=False))
    for piece in (b"http://localhost", b"", b":1455/auth/callback?code=1&state=2", b"\n"):
        pipe.write(piece)
        await asyncio.sleep(0.002)
    assert (await waiting)["status"] == "done"
    assert desk.pastes == ["http://localhost:1455/auth/callback?code=1&state=2"]


async def test_a_wrong_paste_is_said_and_the_next_one_taken(pipe: Any, capsys: pytest.CaptureFixture[str]) -> None:
    desk = FakeDesk(wrong=GatewayError(Kind.BAD_REQUEST, "That is another sign-in's."))
    pipe.write(b"wrong\n\n right \n")
    assert (await finish(desk, FLOW, as_json=False))["status"] == "done"
    assert desk.pastes == ["wrong", "right"]
    assert "another sign-in's" in capsys.readouterr().err


async def test_the_browser_may_be_faster_than_the_paste(pipe: Any) -> None:
    assert (await finish(FakeDesk(looks=3), FLOW, as_json=False))["status"] == "done"


async def test_the_end_of_a_pipe_ends_the_waiting(pipe: Any) -> None:
    pipe.close()
    with pytest.raises(Stop, match="--finish flw_1"):
        await finish(FakeDesk(), FLOW, as_json=False)
    assert (await finish(FakeDesk(), FLOW, as_json=True))["status"] == "waiting"
    assert (await finish(FakeDesk(looks=0), FLOW, as_json=False))["status"] == "done"


async def test_a_device_code_needs_nobody_at_the_keyboard(pipe: Any) -> None:
    pipe.close()
    flow = {name: value for name, value in FLOW.items() if name != "authorization_url"}
    assert (await finish(FakeDesk(looks=5), flow, as_json=False))["status"] == "done"


async def there(lines: Pasted) -> str:
    """The next line, once it is read: that is the work of a thread."""
    async with asyncio.timeout(30):
        while not (line := await lines.line(0.05)):
            pass
    return line


@pytest.mark.parametrize("form", ["file", "null", "text", "closed"])
async def test_every_other_standard_input(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "code").write_text("the code\nno newline")
    (tmp_path / "null").symlink_to(os.devnull)
    stdin: Any = (tmp_path / form.replace("file", "code")).open() if form in ("file", "null") else None
    if form == "text":
        stdin = io.StringIO("the code\nno newline")
    monkeypatch.setattr(sys, "stdin", stdin)
    async with pasted() as lines:
        got = [await there(lines) for _ in range(3)]
    if stdin is not None:
        stdin.close()
    assert got == (["the code", "no newline", END] if form in ("file", "text") else [END, END, END])


async def test_lines_are_lines_however_they_are_cut() -> None:
    whole = "ä b\nc\n".encode()
    for at in range(len(whole)):
        lines = Pasted()
        lines.feed(whole[:at] or b"\n")
        lines.feed(whole[at:])
        assert [await lines.line(0.01) for _ in range(3)] == ["ä b", "c", ""]


def test_terms_are_shown_before_they_are_acknowledged(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    tried: list[bool] = []

    def work(body: Json) -> Json:
        tried.append(body.get("acknowledged", False))
        if not tried[-1]:
            raise GatewayError(Kind.CONFLICT, "Its own programs only.", code="notice")
        return {"ok": True}

    with pytest.raises(Stop, match=r"Its own programs only\.\n.*--yes"):
        allowed("codex", {}, work, yes=False, as_json=False)
    assert allowed("codex", {}, work, yes=True, as_json=True) == {"ok": True}
    assert "Its own programs only." in capsys.readouterr().err
    monkeypatch.setattr(prompts, "terminal", lambda: True)
    monkeypatch.setattr(prompts, "confirm", lambda question: True)
    assert allowed("codex", {}, work, yes=False, as_json=False) == {"ok": True}
    assert tried == [False, False, True, False, True]


def test_the_client_of_this_shell_goes_along(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "client_id" not in start_body("gemini-cli", {})
    monkeypatch.setenv("GEMINI_OAUTH_CLIENT_ID", "alias-id")
    monkeypatch.setenv("GEMINI_OAUTH_CLIENT_SECRET", "alias-secret")
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT_ID", "p-1")
    body = start_body("gemini-cli", {"label": "work", "headless": True, "project": None})
    assert body == {"label": "work", "headless": True, "client_id": "alias-id", "client_secret": "alias-secret", "project": "p-1"}
    monkeypatch.setenv("MY_SECRET", "s")
    body = start_body("gemini-cli", {"client_id": "mine", "client_secret_env": "MY_SECRET", "project": "p-2"})
    assert (body["client_id"], body["client_secret"], body["project"]) == ("mine", "s", "p-2")
    assert "client_id" not in start_body("openrouter", {})


def test_what_is_shown_for_a_device_code(capsys: pytest.CaptureFixture[str]) -> None:
    device = {"user_code": "AB-CD", "verification_uri": "https://x.invalid/d", "verification_uri_complete": "https://x.invalid/d?c=1"}
    show_flow({**FLOW, **device}, as_json=False)
    said = capsys.readouterr()
    assert "type the code AB-CD" in said.out
    assert "https://x.invalid/d?c=1" in said.out
    show_flow({**FLOW, "port_problem": "Port 1455 is taken."}, as_json=True)
    said = capsys.readouterr()
    assert (said.out, "https://x.invalid/a" in said.err, "Port 1455" in said.err) == ("", True, True)
