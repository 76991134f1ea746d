"""The log: its lines, its level at run time, and what never stands in it. (R-52, P-58)"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from omni_connector import logs
from omni_connector.settings import Settings
from tests.serving import Answer, Rig, stream, whole

Json = dict[str, Any]
LOG = logging.getLogger("omni.test")
SECRET = "sk-" + "proj-" + "abcdefghijklmnop1234567890"


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, given back as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    others = {name: logging.getLogger(name).level for name in logs.NOISY}
    yield root
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in others.items():
        logging.getLogger(name).setLevel(before)


def lines(home: Path) -> list[str]:
    return (home / logs.FILE).read_text("utf-8").splitlines()


def test_one_json_object_a_line(tmp_path: Path, root: logging.Logger) -> None:
    (tmp_path / "logs").mkdir()
    logs.set_up(tmp_path, Settings(log_format="json"))
    token = logs.request_id.set("req_1")
    try:
        raise ValueError(f'upstream said {{"api_key": "{SECRET}"}}')
    except ValueError:
        LOG.exception("two\nlines and ü, key %s", SECRET)
    finally:
        logs.request_id.reset(token)
    LOG.info("outside")
    first, second = (json.loads(line) for line in lines(tmp_path))
    assert (first["level"], first["logger"], first["request"], first["time"][-1]) == ("error", "omni.test", "req_1", "Z")
    assert first["message"].startswith("two\nlines and ü") and "ValueError" in first["trace"]
    assert second.keys() == {"time", "level", "logger", "message", "pid"}
    assert SECRET not in str(first)


def test_level_and_format_change_at_once(tmp_path: Path, root: logging.Logger) -> None:  # P-58
    (tmp_path / "logs").mkdir()
    logs.set_up(tmp_path, Settings())
    LOG.debug("not yet")
    logs.follow(Settings(log_level="debug", log_format="json"))
    LOG.debug("now")
    logs.follow(Settings(log_level="warning"))
    LOG.info("not any more")
    LOG.warning("words again")
    debug, warning = lines(tmp_path)
    assert json.loads(debug)["message"] == "now"
    assert warning.endswith("WARNING omni.test: words again")
    assert logging.getLogger("sqlalchemy").level >= logging.WARNING, "it would repeat what clients said"


def test_standard_error_for_containers(tmp_path: Path, root: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up(tmp_path, Settings(log_target="stderr"))
    LOG.warning("Authorization: Bearer %s", SECRET)
    told = capsys.readouterr().err
    assert "WARNING omni.test:" in told and SECRET not in told
    assert list(tmp_path.iterdir()) == []
    assert root.handlers[0].stream is sys.stderr  # type: ignore[attr-defined]


@pytest.mark.parametrize("level", ["info", "debug"])
async def test_a_chaos_of_requests_leaves_no_secret_and_no_prompt(tmp_path: Path, root: logging.Logger, level: str) -> None:  # R-52, P-58
    hidden = ["sk-first-key-0123456789", "header-secret-77", "proxy-password-78"]
    said = ["the plan in the cellar", "forty-two it is", "tool-argument-cellar"]
    (tmp_path / "logs").mkdir(mode=0o700)
    async with Rig(tmp_path) as rig, aiohttp.ClientSession(headers=rig.bearer) as web:
        logs.set_up(tmp_path, Settings(log_format="json"))
        rig.gateway.sight.followers.append(logs.follow)
        await rig.gateway.admin.set_config({"log_level": level, "log_format": "json", "wait_for_account_s": 0})
        assert root.level == getattr(logging, level.upper()), "effective at once"
        await rig.account("openai", "first", headers={"x-extra": hidden[1]})
        await rig.account("groq", "second", proxy_url=f"http://user:{hidden[2]}@127.0.0.1:1")
        hidden += [rig.key, rig.gateway.admin_key]
        refusal = {"error": {"message": f"Incorrect API key {hidden[0]}; you said: {said[0]}"}}
        good = {"choices": [{"message": {"role": "assistant", "content": said[1]}, "finish_reason": "stop"}]}
        chaos: list[Answer] = [
            whole(good),
            whole(refusal, 400),
            whole(refusal, 500),
            Answer(200, {"content-type": "application/json"}, [f'{{"choices": "{said[1]}'.encode()], cut=True),
            Answer(200, {"content-type": "application/json"}, [b"\xff\xfe not json " + said[1].encode()]),
            stream(f'data: {{"choices":[{{"delta":{{"content":"{said[1]}"}}}}]}}\n\n', cut=True),
            stream(f'data: {{"error":{{"message":"{hidden[0]} {said[0]}"}}}}\n\n'),
            whole(refusal, 401),  # last: the account needs a new login then
        ]
        asked: Json = {
            "model": "test-model",
            "messages": [
                {"role": "user", "content": said[0]},
                {
                    "role": "assistant",
                    "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": json.dumps({"x": said[2]})}}],
                },
                {"role": "tool", "tool_call_id": "c", "content": said[2]},
            ],
        }
        for answer in chaos:
            rig.upstream.answer(answer)
            for path, body in (
                ("/v1/chat/completions", {**asked, "stream": "event-stream" in answer.headers.get("content-type", "")}),
                ("/v1/messages", {"model": "test-model", "max_tokens": 9, "messages": [{"role": "user", "content": said[0]}]}),
                ("/v1/responses", {"model": "test-model", "input": [{"type": said[0]}, {"role": "user", "content": said[0]}]}),
                ("/v1/chat/completions", [said[0]]),
            ):
                try:
                    async with web.post(f"{rig.url}{path}", json=body) as got:
                        await got.read()
                except aiohttp.ClientError:
                    pass  # a stream that broke off
            for account in (await rig.gateway.admin.accounts())["accounts"]:
                await rig.gateway.admin.clear_cooldown(account["id"])
        await rig.rows()
        LOG.error("the end")
    written = lines(tmp_path)
    assert len(written) > 0 and all(json.loads(line)["time"] for line in written)
    found = [(word, line) for line in written for word in (*hidden, *said) if word in line]
    assert not found
    assert any("tried: openai/test-model" in line for line in written) is (level == "debug")
    assert any("tried: openai/test-model" in line for line in written) is (level == "debug")
