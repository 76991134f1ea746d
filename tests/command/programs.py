"""Tiny real programs, and a place to run them as commands."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any

from omni_connector.chat import ChatResponse, fold
from omni_connector.command import Commands
from omni_connector.command.run import Run
from omni_connector.wire import FORMATS

Json = dict[str, Any]
CHAT = FORMATS["openai-chat"]

SAY = """
import sys
print(sys.argv[1:], sys.stdin.read())
"""


class Workshop:
    """`program(code)` writes one; `ask(...)` runs it as the command of an account."""

    def __init__(self, folder: Path, env: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.commands = Commands(self.home, os.environ if env is None else env)

    def program(self, code: str) -> list[str]:
        """The beginning of an argv that runs `code`."""
        script = self.folder / f"program{len(list(self.folder.glob('program*')))}.py"
        script.write_text(dedent(code))
        return [sys.executable, "-I", str(script)]

    def local(self, command: Json, account: str = "acc_1", provider: str = "command") -> Json:
        return {"account": account, "provider": provider, "command": command}

    async def start(self, command: Json, *said: str, stream: bool = True, **body: Any) -> Run:
        messages = body.pop("messages", None) or [{"role": "user", "content": text} for text in (said or ("hello",))]
        asked = {"model": body.pop("model", "m"), "messages": messages, "stream": stream, **body}
        account = body.pop("account", "acc_1")
        return await self.commands.send(f"command:{account}/chat/completions", json.dumps(asked).encode(), self.local(command, account))

    async def ask(self, command: Json, *said: str, **body: Any) -> ChatResponse:
        """The answer, read as the house reads every provider's."""
        run = await self.start(command, *said, **body)
        return await answer_of(run)

    async def text(self, command: Json, *said: str, **body: Any) -> str:
        return text_of(await self.ask(command, *said, **body))


async def bytes_of(run: Run) -> bytes:
    told = b""
    while piece := await run.read():
        told += piece
    run.close()
    return told


async def answer_of(run: Run) -> ChatResponse:
    told = await bytes_of(run)
    parser = CHAT.ResponseParser(None)
    if run.headers["content-type"] == "application/json":
        return fold(parser.whole(json.loads(told)))
    return fold([*parser.feed(told), *parser.close()])


def text_of(answer: ChatResponse) -> str:
    return "".join(part.text for part in answer.choices[0].parts if hasattr(part, "text"))


async def gone(pid: int, within: float = 5) -> bool:
    """Whether a process ends."""
    async with asyncio.timeout(within):
        while is_running(pid):
            await asyncio.sleep(0.01)
    return True


def is_running(pid: int) -> bool:
    """A zombie has ended: only its parent has not looked yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
