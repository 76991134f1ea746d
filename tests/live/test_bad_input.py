"""Whatever a client sends: a clear error in its own format, never a 500, never a hang, and the connection stays usable or ends cleanly."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from omni_connector import secrets
from omni_connector.admin import now_ms
from tests.live.processes import CHAT, MESSAGES, Json, Line, Reply, chat, message
from tests.serving import Rig, whole

PATHS = (CHAT, MESSAGES)
FORMAT = {CHAT: "openai-chat", MESSAGES: "anthropic-messages"}
MAKE = {CHAT: chat, MESSAGES: message}
ANSWER = {
    "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "test-model",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12},
}  # fmt: skip
MESSAGE_ANSWER = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-model", "content": [{"type": "text", "text": "hello"}],
    "stop_reason": "end_turn", "stop_sequence": None, "usage": {"input_tokens": 9, "output_tokens": 3},
}  # fmt: skip
TYPES = {400: "invalid_request_error", 401: "authentication_error", 405: "invalid_request_error"}
TYPES_OF_ITS_OWN = {
    CHAT: {404: "not_found", 413: "request_too_large"},
    MESSAGES: {404: "not_found_error", 413: "request_too_large"},
}


@pytest.fixture
async def rig(omni_home: Path) -> AsyncIterator[Rig]:
    async with Rig(omni_home) as rig:
        rig.upstream.answer(whole(ANSWER))
        await rig.account("openai", model_map={"renamed": "test-model"})
        yield rig


def fault(reply: Reply, path: str, status: int, *words: str, param: Any = None) -> str:
    """Checks an error's status, shape and words; returns its message. `param`: the field it must name, ANY for any."""
    assert reply.status == status, (reply.status, reply.body[:500])
    assert reply.headers["content-type"].startswith("application/json")
    assert reply.whole
    body = reply.json
    error: Json = body["error"]
    kind = {**TYPES, **TYPES_OF_ITS_OWN[MESSAGES if "/v1/messages" in path else CHAT]}[status]
    if "/v1/messages" in path:
        assert body["type"] == "error"
    else:
        assert param is ANY or error["param"] == param
        assert error["status"] == status
    assert error["type"] == kind, error
    message = str(error["message"])
    assert len(message) > 15
    assert message[-1] in ".!?", message
    if isinstance(param, str):
        assert param in message
    for word in words:
        assert word in message, message
    return message


async def ask(rig: Rig, path: str, body: Any, **headers: str) -> Reply:
    """One request on a connection of its own; afterwards the connection is either usable or ended."""
    async with Line.open(rig.url) as line:
        reply = await line.ask("POST", path, body, {**rig.bearer, **headers})
        if reply.headers.get("connection") != "close":
            assert (await line.ask("GET", "/health")).status == 200
        else:
            assert await line.closed()
        return reply


# ---------------------------------------------------------------- Bodies

ROOT_FAULTS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "empty"),
    "blank": (b"  \n ", "empty"),
    "cut off": (b'{"model": "test-model", "messages": [', "not valid JSON"),
    "not JSON": (b"hello", "not valid JSON"),
    "rest after it": (b'{"messages": [{"role": "user", "content": "x"}]} x', "not valid JSON"),
    "array": (b'[{"role": "user"}]', "JSON object"),
    "string": (b'"hello"', "JSON object"),
    "null": (b"null", "JSON object"),
    "number": (b"17", "JSON object"),
    "invalid UTF-8": (b'{"messages": [{"role": "user", "content": "\xff\xfe"}]}', "not valid JSON"),
    "invalid UTF-8 in a key": (b'{"\xff\xfe": 1, "messages": [{"role": "user", "content": "x"}], "model": "renamed"}', "not valid JSON"),
    "UTF-16": ('{"messages": []}'.encode("utf-16"), "not valid JSON"),
    "NaN": (b'{"messages": [{"role": "user", "content": "x"}], "temperature": NaN}', "not valid JSON"),
    "Infinity": (b'{"messages": [{"role": "user", "content": "x"}], "top_p": Infinity}', "not valid JSON"),
    "single quotes": (b"{'messages': []}", "not valid JSON"),
    "control character": (b'{"messages": [{"role": "user", "content": "a\x00b"}]}', "not valid JSON"),
    "deep array": (b"[" * 100_000 + b"]" * 100_000, ""),
    "deep unknown field": (b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b', "messages": [{"role": "user", "content": "x"}]}', ""),
    "deep object": (b'{"messages": ' * 100_000 + b"1" + b"}" * 100_000, ""),
    "deep content": (b'{"messages": [{"role": "user", "content": ' + b"[" * 100_000 + b"]" * 100_000 + b"}]}", ""),
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", ROOT_FAULTS)
async def test_a_body_that_is_none(rig: Rig, path: str, name: str) -> None:  # C-39
    body, words = ROOT_FAULTS[name]
    fault(await ask(rig, path, body), path, 400, words, param=ANY)
    assert rig.upstream.seen == []
    (row,) = await rig.rows()
    assert (row["outcome"], row["flag"], row["http_status"]) == ("failed", "BAD_REQUEST", 400)


FIELD_FAULTS: dict[str, tuple[Json, str]] = {
    "no messages": ({"messages": None}, "messages"),
    "messages text": ({"messages": "hello"}, "messages"),
    "messages object": ({"messages": {"role": "user"}}, "messages"),
    "messages empty": ({"messages": []}, "messages"),
    "message text": ({"messages": ["hello"]}, "messages[]"),
    "message null": ({"messages": [None]}, "messages[]"),
    "no role": ({"messages": [{"content": "x"}]}, "messages[].role"),
    "role number": ({"messages": [{"role": 7, "content": "x"}]}, "messages[].role"),
    "content number": ({"messages": [{"role": "user", "content": 7}]}, "messages[].content"),
    "content object": ({"messages": [{"role": "user", "content": {"text": "x"}}]}, "messages[].content"),
    "model number": ({"model": 7}, "model"),
    "model list": ({"model": ["a"]}, "model"),
    "stream text": ({"stream": "yes"}, "stream"),
    "stream number": ({"stream": 1}, "stream"),
    "max_tokens text": ({"max_tokens": "100"}, "max_tokens"),
    "max_tokens fraction": ({"max_tokens": 1.5}, "max_tokens"),
    "temperature text": ({"temperature": "hot"}, "temperature"),
    "tools object": ({"tools": {}}, "tools"),
}
CHAT_FAULTS: dict[str, tuple[Json, str]] = {
    "top_p list": ({"top_p": []}, "top_p"),
    "n text": ({"n": "2"}, "n"),
    "stop number": ({"stop": 7}, "stop"),
    "stop list of numbers": ({"stop": [7]}, "stop[]"),
    "stream_options text": ({"stream_options": "x"}, "stream_options"),
    "include_usage text": ({"stream_options": {"include_usage": "x"}}, "stream_options.include_usage"),
}
MESSAGES_FAULTS: dict[str, tuple[Json, str]] = {
    "system number": ({"system": 7}, "system"),
    "stop_sequences text": ({"stop_sequences": "x"}, "stop_sequences"),
}
FIELD_CASES = [
    *((path, name, *case) for path in PATHS for name, case in FIELD_FAULTS.items()),
    *((CHAT, name, *case) for name, case in CHAT_FAULTS.items()),
    *((MESSAGES, name, *case) for name, case in MESSAGES_FAULTS.items()),
]


@pytest.mark.parametrize(("path", "name", "change", "param"), FIELD_CASES, ids=[f"{case[0]} {case[1]}" for case in FIELD_CASES])
async def test_the_field_at_fault_is_named(rig: Rig, path: str, name: str, change: Json, param: str) -> None:  # C-39
    reply = await ask(rig, path, {**MAKE[path](), **change})
    told = fault(reply, path, 400, param=ANY)
    field = param.replace("[]", "[0]")
    assert field in told or param in told or field.replace("[0]", "[...]") in told, told
    assert rig.upstream.seen == []


async def test_messages_left_out(rig: Rig) -> None:
    for path in PATHS:
        fault(await ask(rig, path, {"model": "test-model", "max_tokens": 5}), path, 400, "missing", param="messages")


@pytest.mark.parametrize("path", PATHS)
async def test_unusual_but_legal(rig: Rig, path: str) -> None:
    """Half an emoji, huge numbers, duplicate keys, unknown fields: served, or refused clearly; never a 500."""
    said = b'"messages": [{"role": "user", "content": "%s"}], "max_tokens": %s'
    for content, tokens, more in (
        (b"\\ud83d", b"5", b""),
        (b"x", b"1" + b"0" * 400, b""),
        (b"x", b"5", b', "temperature": 1e999'),
        (b"x", b"-5", b""),
        (b"x", b"5", b', "model": "nothing", "model": "test-model"'),
        (b"x", b"5", b', "no_such_field": {"a": [1, null, 1e308]}'),
        (b"\\u0000", b"5", b', "user": "\\u0000"'),
    ):
        body = b'{"model": "test-model", ' + said % (content, tokens) + more + b"}"
        reply = await ask(rig, path, body)
        assert reply.status in (200, 400), (body[:200], reply.status, reply.body)
        if reply.status == 400:
            fault(reply, path, 400, param=ANY)


# ---------------------------------------------------------------- Names and routes


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("model", ["no-such-model", "openai/", "x/y", "\u0000", "ü" * 300, "a" * 100_000, "../../etc/passwd", "%s%n{}"])
async def test_unknown_models(rig: Rig, path: str, model: str) -> None:  # C-42
    reply = await ask(rig, path, MAKE[path](model=model))
    assert reply.status == 404
    body = reply.json["error"]
    assert len(reply.body) < 2_000, "an error does not repeat what it was sent without end"
    if path == CHAT:
        assert (body["code"], body["param"]) == ("model_not_found", "model")
    else:
        assert body["type"] == "not_found_error"
    (row,) = await rig.rows()
    assert row["flag"] == "NO_MODEL"


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("path", [*PATHS, f"/openai{CHAT}", f"/anthropic{MESSAGES}", "/v1/messages/count_tokens"])
async def test_wrong_method(rig: Rig, method: str, path: str) -> None:
    async with Line.open(rig.url) as line:
        reply = await line.ask(method, path, b"", rig.bearer)
        fault(reply, path, 405, method)
        assert "POST" in reply.headers["allow"]
        assert (await line.ask("GET", "/health")).status == 200


@pytest.mark.parametrize(
    "path",
    ["/v1/nothing", "/v1/messages/nothing", "/v1", "/v1/chat/completions/", f"/no-such-provider{CHAT}", f"/no-such-provider{MESSAGES}"],
)
async def test_unknown_path(rig: Rig, path: str) -> None:  # C-42
    fault(await ask(rig, path, chat()), path, 404, param=ANY)


# ---------------------------------------------------------------- Keys


@pytest.mark.parametrize("path", PATHS)
async def test_keys_that_are_refused(rig: Rig, path: str) -> None:  # C-40, O-20
    admin = rig.gateway.admin
    expired = await admin.create_key({"name": "expired", "expires_at": now_ms() + 30})
    revoked = await admin.create_key({"name": "revoked"})
    await admin.revoke_key(revoked["id"])
    await asyncio.sleep(0.04)
    typo = rig.key[:20] + ("A" if rig.key[20] != "A" else "B") + rig.key[21:]
    cases = {
        "": "No omni-key",
        "Bearer": "",
        typo: "typo",
        rig.key[:-3]: "typo",
        expired["key"]: "expired",
        revoked["key"]: "revoked",
        rig.gateway.admin_key: "admin key",
        secrets.mint_key(): "not known",
        "sk-ant-api03-0123456789": "begin with `omni-`",
        "é" * 20: "begin with `omni-`",
        "x" * 50_000: "begin with `omni-`",
    }
    for key, words in cases.items():
        async with Line.open(rig.url) as line:
            header = {"Authorization": f"Bearer {key}"} if key else {}
            reply = await line.ask("POST", path, MAKE[path](), header)
            told = fault(reply, path, 401, words)
            assert not key or len(key) < 10 or key not in told, "an error never repeats a secret"
            assert (await line.ask("POST", path, MAKE[path](), rig.bearer)).status == 200, "the connection is still good"
    assert len(rig.upstream.seen) == len(cases)


@pytest.mark.parametrize("path", PATHS)
async def test_a_refusal_reaches_a_client_that_is_still_uploading(rig: Rig, path: str) -> None:  # C-40
    body = json.dumps(MAKE[path]("x" * (8 << 20))).encode()
    async with Line.open(rig.url) as line:
        line.writer.write(line.request("POST", "/v1/no/such/route", body, rig.bearer))
        await line.writer.drain()
        assert (await line.reply()).status == 404
    for headers, status in (
        ({}, 401),
        ({**rig.bearer, "Content-Encoding": "gzip"}, 415),
        ({**rig.bearer, "Model-Provider": "nobody"}, 404),
    ):
        async with Line.open(rig.url) as line:
            line.writer.write(line.request("POST", path, body, headers))
            await line.writer.drain()  # raises when the server has hung up in the middle
            assert (await line.reply()).status == status
            assert (await line.ask("POST", path, MAKE[path](), rig.bearer)).status == 200


async def test_the_dashboard_has_one_host(rig: Rig) -> None:
    async with Line.open(rig.url) as line:
        for path in ("/", "/api/accounts", "/api/session", "/static/app.js"):
            reply = await line.ask("GET", path, headers={"Host": "evil.example"})
            assert reply.status in (403, 421), path
            assert b"evil.example" in reply.body
        assert (await line.ask("GET", "/api/session")).status == 200


# ---------------------------------------------------------------- Sizes and encodings


async def test_forty_megabytes_pass_whole(rig: Rig) -> None:
    text = "0123456789abcdef" * (40 << 16)
    body = json.dumps(chat(text)).encode()
    reply = await ask(rig, CHAT, body)
    assert reply.status == 200
    assert rig.upstream.seen[-1].raw == body
    reply = await ask(rig, MESSAGES, message(text))
    assert reply.status == 200
    assert rig.upstream.seen[-1].body["messages"][-1]["content"] == text


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
async def test_too_large_is_said_to_a_client_that_is_still_sending(omni_home: Path, path: str, chunked: bool) -> None:
    async with Rig(omni_home, OMNI_BODY_LIMIT_MB="1") as rig, Line.open(rig.url) as line:
        body = json.dumps(MAKE[path]("x" * (20 << 20))).encode()
        if chunked:
            head = line.request("POST", path, b"", {**rig.bearer, "Transfer-Encoding": "chunked"}).replace(b"Content-Length: 0\r\n", b"")
            line.writer.write(head)
            for at in range(0, len(body), 1 << 16):
                piece = body[at : at + (1 << 16)]
                line.writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                await line.writer.drain()
            line.writer.write(b"0\r\n\r\n")
        else:
            line.writer.write(line.request("POST", path, body, rig.bearer))
            await line.writer.drain()
        fault(await line.reply(), path, 413, "1 MB", "OMNI_BODY_LIMIT_MB")
        assert (await line.ask("GET", "/health")).status == 200


async def test_compressed_bodies_are_refused_plainly(rig: Rig) -> None:
    for path in PATHS:
        packed = gzip.compress(json.dumps(MAKE[path]()).encode())
        reply = await ask(rig, path, packed, **{"Content-Encoding": "gzip"})
        assert reply.status == 415
        assert "ompressed" in reply.json["error"]["message"]


# ---------------------------------------------------------------- Connections


async def test_one_connection_survives_a_row_of_errors(rig: Rig) -> None:
    async with Line.open(rig.url) as line:
        for _ in range(3):
            for path in PATHS:
                assert (await line.ask("POST", path, b"{", rig.bearer)).status == 400
                assert (await line.ask("POST", path, MAKE[path]())).status == 401
                assert (await line.ask("GET", path, b"", rig.bearer)).status == 405
                assert (await line.ask("POST", path, MAKE[path](), rig.bearer)).status == 200


async def test_pipelined_requests_are_answered_in_order(rig: Rig) -> None:
    async with Line.open(rig.url) as line:
        parts = (b"{", chat(), chat(model="nobody"), chat())
        line.writer.write(b"".join(line.request("POST", CHAT, part, rig.bearer) for part in parts))
        assert [(await line.reply()).status for _ in parts] == [400, 200, 404, 200]


async def test_broken_http_is_ended_cleanly(rig: Rig) -> None:
    for junk in (b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"POST /v1/messages HTTP/1.1\r\nbad header\r\n\r\n"):
        async with Line.open(rig.url) as line:
            line.writer.write(junk)
            assert (await line.reply()).status == 400
            assert await line.closed()
    async with Line.open(rig.url) as line:
        assert (await line.ask("GET", "/health")).status == 200


# ---------------------------------------------------------------- Anything at all

leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=12)
anything = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4), max_leaves=12
)


def field_or(good: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return good | good | good | anything


part = st.fixed_dictionaries(
    {"type": field_or(st.sampled_from(["text", "image_url", "image", "tool_use", "tool_result", "thinking", "document", "file"]))},
    optional={
        name: field_or(st.text(max_size=8)) for name in ("text", "id", "tool_use_id", "content", "source", "image_url", "input", "name")
    },
)
call = st.fixed_dictionaries(
    {}, optional={"id": field_or(st.text(max_size=5)), "type": field_or(st.just("function")), "function": anything | st.fixed_dictionaries(
        {"name": field_or(st.text(max_size=5)), "arguments": field_or(st.sampled_from(["{}", "{", "[]"]))})},
)  # fmt: skip
said = st.fixed_dictionaries(
    {
        "role": field_or(st.sampled_from(["user", "assistant", "system", "tool", "developer", "function"])),
        "content": field_or(st.text(max_size=8) | st.lists(part, max_size=3)),
    },
    optional={
        "tool_calls": field_or(st.lists(call, max_size=2)),
        "tool_call_id": anything,
        "name": anything,
        "reasoning_content": anything,
    },
)
tool = st.fixed_dictionaries(
    {},
    optional={"type": field_or(st.just("function")), "function": anything, "name": field_or(st.text(max_size=5)), "input_schema": anything},
)
bodies = anything | st.fixed_dictionaries(
    {
        "messages": field_or(st.lists(field_or(said), min_size=1, max_size=4)),
        "model": st.sampled_from(["demo-chat", "demo-chat", "demo-tool", "demo-reasoning", "claude-model", "claude-model", "auto", "x"]),
    },
    optional={
        "max_tokens": field_or(st.integers(-1, 50)),
        "stream": field_or(st.booleans()),
        "stream_options": anything,
        "temperature": field_or(st.floats(0, 2)),
        "tools": field_or(st.lists(field_or(tool), max_size=2)),
        "tool_choice": field_or(st.sampled_from(["auto", "none", "required", {"type": "auto"}, {"type": "any"}])),
        "response_format": field_or(st.fixed_dictionaries({"type": st.sampled_from(["text", "json_object", "json_schema"])})),
        "stop": anything, "stop_sequences": anything, "system": anything, "thinking": anything, "reasoning_effort": anything, "n": anything,
        "metadata": anything, "seed": anything, "logprobs": anything, "user": anything, "top_k": anything, "modalities": anything,
    },
)  # fmt: skip


async def test_anything_at_all(omni_home: Path) -> None:  # C-39, C-44, C-45
    """Arbitrary bodies, most of them nearly right, passed through and translated both ways: no 5xx but 503, no hang, an answer in
    the caller's format, one closed row each."""
    async with Rig(omni_home) as rig:
        rig.upstream.answer(whole(MESSAGE_ANSWER))
        await rig.account("anthropic", models=["claude-model"])
        await rig.gateway.admin.add_account({"provider": "demo", "label": "demo", "options": {"demo": {"latency_ms": 0, "chunk_ms": 0}}})
        loop = asyncio.get_running_loop()
        sent = 0

        async def one(path: str, body: Any) -> None:
            nonlocal sent
            sent += 1
            async with Line.open(rig.url) as line:
                reply = await line.ask("POST", path, body, rig.bearer, within=5)
            assert reply.whole, reply
            if reply.status == 200:
                return
            assert reply.status < 500 or reply.status == 503, (reply.status, reply.body)
            error = reply.json["error"]
            assert error["message"]
            assert error["type"]
            assert (reply.json.get("type") == "error") == (path == MESSAGES)

        @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        @given(path=st.sampled_from(PATHS), body=bodies)
        def check(path: str, body: Any) -> None:
            data = json.dumps(body).encode()
            asyncio.run_coroutine_threadsafe(one(path, data), loop).result(20)

        began = time.monotonic()
        await asyncio.to_thread(check)
        assert time.monotonic() - began < 60
        rows = await rig.rows()
        assert len(rows) == min(sent, 200)
        assert {row["outcome"] for row in rows} <= {"ok", "failed", "cut"}
        assert {row["protocol"] for row in rows if row["outcome"] == "ok"} == set(FORMAT.values()), "too much nonsense proves nothing"
        assert not [row for row in rows if row["flag"] == "INTERNAL"]
