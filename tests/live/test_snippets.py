"""Every client snippet of the documents the product was asked for with, run as printed but for address and key, against every
provider format: shell, Python and JavaScript, each by its own interpreter.

The documents are no part of the project: OMNI_SEEDS names their folder, ../shared/seeds beside the checkout is looked at, and
without either the tests are skipped.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.live.answers import CHAT, MESSAGES, Call, Said
from tests.live.answers_more import GEMINI, RESPONSES, told
from tests.live.conftest import Stage
from tests.live.test_formats import PNG, PROVIDER
from tests.serving import Answer, Seen

pytestmark = pytest.mark.asyncio(loop_scope="module")

FOLDER = Path(os.environ.get("OMNI_SEEDS") or Path(__file__).resolve().parents[2].parent / "shared" / "seeds")
FENCE = re.compile(r"^```(bash|python|javascript)\n(.*?)^```", re.M | re.S)
PLACES = ("http://localhost:3000", "http://localhost:38471")
KEYS = ("YOUR_API_KEY", "omni-abc123")
MODELS = ("gemini-2.5-flash", "gpt-4o", "claude-3-sonnet-20240229", "sonnet")
TEXT = "The answer is 42, as printed."
PERSON = '{"name": "Alice Johnson", "age": 28, "occupation": "Data Scientist", "skills": ["Python", "SQL"]}'
PRELUDE = "from openai import OpenAI\nclient = OpenAI(api_key='YOUR_API_KEY', base_url='http://localhost:3000/v1')\n"
"""What the fragments of "best practices" take for granted."""


RUNNER = """
import json, sys
for code in json.load(sys.stdin):
    print("-- next")
    exec(compile(code, "snippet", "exec"), {"__name__": "__main__"})
"""
USES = {
    "def chat_with_fallback": "print(chat_with_fallback('Hello'))",
    "def chat_with_retry": "print(chat_with_retry(client, [{'role': 'user', 'content': 'Hi'}]))",
}
"""How a snippet that only defines something is used."""


@dataclass(frozen=True)
class Snippet:
    language: str
    code: str

    @property
    def calls(self) -> bool:
        """It talks to the client API; the others install things, start servers or sign in."""
        marks = {"bash": ("curl", "/v1"), "python": ("client",), "javascript": ("/v1",)}[self.language]
        fetches = self.language == "python" and "requests.post" in self.code
        return fetches or (all(mark in self.code for mark in marks) and "\n  ...\n" not in self.code)

    def at(self, url: str, key: str) -> str:
        code = self.code
        for place in PLACES:
            code = code.replace(place, url)
        for word in KEYS:
            code = code.replace(word, key)
        # One round of a conversation with a picture needs a picture that can be had.
        return code.replace("https://example.com/image.jpg", f"data:image/png;base64,{PNG}").replace("/9j/4AAQSkZJRg...", PNG)


def snippets(language: str) -> list[Snippet]:
    names = ("codenex-ai-proxy-api.md", "omni-connector.md")
    found = [Snippet(*block) for name in names for block in FENCE.findall((FOLDER / name).read_text())]
    return [one for one in found if one.language == language and one.calls]


needs_folder = pytest.mark.skipif(not FOLDER.is_dir(), reason="the documents are not here; OMNI_SEEDS names their folder")
every_provider = pytest.mark.parametrize("wire", [CHAT, MESSAGES, RESPONSES, GEMINI])


def script(wire: str, seen: Seen) -> Answer:
    """A model that calls the first tool it is given, keeps to a schema, and says its sentence otherwise."""
    body = json.dumps(seen.body)
    streamed = "streamGenerateContent" in seen.path or seen.body.get("stream") is True
    if "get_weather" in body and "call_" not in body and "functionResponse" not in body:
        return told(Said(calls=(Call("call_1", "get_weather", {"location": "London"}),)), wire, streamed)
    if '"calculate"' in body:
        return told(Said(calls=(Call("call_1", "calculate", {"expression": "0.15*250"}),)), wire, streamed)
    if "Data Scientist" in body:
        return told(Said(PERSON), wire, streamed)
    return told(Said(TEXT), wire, streamed)


async def prepare(stage: Stage, wire: str) -> None:
    stage.upstream.answer(lambda seen: script(wire, seen))
    mapped = dict.fromkeys((*MODELS, "gpt-5"), "test-model")
    await stage.account(PROVIDER[wire], "main", model_map=mapped)
    if wire != CHAT:
        stage.upstream.answer(lambda seen: script(CHAT if seen.path.endswith("/chat/completions") else wire, seen))
        await stage.account("openai-custom", "pinned", model_map={"gpt-4o": "test-model"}, priority=-1)
    if wire != MESSAGES:
        both = {"/messages": MESSAGES, "/chat/completions": CHAT}
        stage.upstream.answer(lambda seen: script(next((w for end, w in both.items() if seen.path.endswith(end)), wire), seen))
        await stage.account("claude-custom", "claude", model_map={"claude-3-sonnet-20240229": "test-model"}, priority=-1)


async def run(*command: str, folder: Path, said: str = "") -> str:
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "NO_PROXY": "*", "PYTHONWARNINGS": "ignore"},
    )
    async with asyncio.timeout(120):
        out, trouble = await process.communicate(said.encode())
    assert process.returncode == 0, trouble.decode()[-2000:]
    return out.decode()


@needs_folder
@every_provider
# C-07 C-08 C-09 C-10 C-11 C-12 C-13 C-14 C-15 C-22 C-25 C-26 C-28 C-29 C-31 C-108
async def test_the_shell_snippets(stage: Stage, wire: str, tmp_path: Path) -> None:
    await prepare(stage, wire)
    found = snippets("bash")
    assert len(found) >= 11
    for one in found:
        code = one.at(stage.rig.url, stage.rig.key).replace("curl ", "curl --silent --show-error --fail-with-body ")
        out = await run("bash", "-e", folder=tmp_path, said=code)
        if "/health" in one.code:
            assert '"status":"ok"' in out.replace(" ", "") and "gemini-2.5-flash" in out
        elif '"tools"' in one.code:
            choice = json.loads(out)["choices"][0]
            assert (choice["finish_reason"], choice["message"]["content"]) == ("tool_calls", None)  # C-50
            assert json.loads(choice["message"]["tool_calls"][0]["function"]["arguments"]) == {"location": "London"}
        elif '"stream": true' in one.code:
            check_stream(out)
        else:
            texts = re.findall(r'"text": ?"([^"]*)"', out)
            assert TEXT in out or "".join(texts) == TEXT, (one.code, out)


def check_stream(out: str) -> None:  # C-48 C-49
    data = [line.removeprefix("data: ") for line in out.splitlines() if line.startswith("data: ")]
    assert data[-1] == "[DONE]"
    chunks = [json.loads(line) for line in data[:-1]]
    assert chunks[0]["id"].startswith("chatcmpl-") and {chunk["model"] for chunk in chunks} == {"gemini-2.5-flash"}
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]
    assert deltas[0]["role"] == "assistant"
    assert "".join(delta.get("content") or "" for delta in deltas) == TEXT
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks if chunk["choices"]][-1] == "stop"


def complete(code: str) -> str:
    whole = PRELUDE + code if "client" in code and "client =" not in code else code
    return "\n".join([whole, *(use for mark, use in USES.items() if mark in code)])


@needs_folder
@every_provider
# C-07 C-08 C-09 C-10 C-11 C-13 C-32 C-47 C-108 O-13
async def test_the_python_snippets(stage: Stage, wire: str, tmp_path: Path) -> None:
    """All in one interpreter, one after the other, because importing the SDKs is what takes time."""
    await prepare(stage, wire)
    (tmp_path / "image.jpg").write_bytes(base64.b64decode(PNG))
    found = snippets("python")
    assert len(found) >= 13
    codes = [complete(one.code) for one in found]
    at = [Snippet("python", code).at(stage.rig.url, stage.rig.key) for code in codes]
    out = await run(sys.executable, "-c", RUNNER, folder=tmp_path, said=json.dumps(at))
    printed = out.split("-- next\n")[1:]
    for code, text in zip(codes, printed, strict=True):
        if "print(" not in code:
            assert text == ""
        elif "Person" in code:
            assert "'skills': ['Python', 'SQL']" in text
        elif "except AuthenticationError" in code:
            assert text == ""
        else:
            assert TEXT in text, code


@needs_folder
@every_provider
# C-108
async def test_the_script_snippets(stage: Stage, wire: str, tmp_path: Path) -> None:
    """Those for browsers run as they are; those that import the SDK need it beside them (OMNI_NODE_MODULES)."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node here")
    await prepare(stage, wire)
    modules = os.environ.get("OMNI_NODE_MODULES", "")
    if modules:
        (tmp_path / "node_modules").symlink_to(modules)
    found = [one for one in snippets("javascript") if modules or "import OpenAI" not in one.code]
    assert len(found) >= 2
    for number, one in enumerate(found):
        file = tmp_path / f"snippet{number}.mjs"
        file.write_text(one.at(stage.rig.url, stage.rig.key))
        out = await run(node, str(file), folder=tmp_path)
        if "calculate" in one.code:
            assert 'Arguments: {"expression":"0.15*250"}' in out
        elif "instanceof" in one.code:
            assert out == ""
        else:
            assert TEXT in out.replace("\n", ""), one.code
