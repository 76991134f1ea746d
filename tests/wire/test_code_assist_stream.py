"""Recorded answers of Antigravity through the parser and the ear, however the bytes are cut. P-21"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from omni_connector.chat import Event, Failed, Finish, Origin, ReasoningPart, TextPart, ToolCallPart, fold
from omni_connector.errors import Kind
from omni_connector.wire.code_assist import Listener, ResponseParser
from omni_connector.wire.code_assist_words import PLACEHOLDER

RECORDINGS = Path(os.environ.get("OMNI_RECORDINGS") or Path(__file__).resolve().parents[3] / "shared" / "recordings")
ORIGIN = Origin("antigravity", "m")


def recorded() -> list[Path]:
    found = sorted(RECORDINGS.glob("codeassist-stream--*.json")) if RECORDINGS.is_dir() else []
    return [path for path in found if "sse" in json.loads(path.read_text())["response"]]


each_recording = pytest.mark.parametrize("path", recorded(), ids=lambda path: path.stem[-60:])


def parsed(*pieces: bytes) -> list[Event]:
    parser = ResponseParser(ORIGIN)
    return [event for piece in pieces for event in parser.feed(piece)] + parser.close()


@each_recording
def test_recorded_streams_split_at_every_byte(path: Path) -> None:
    raw = json.loads(path.read_text())["response"]["sse"].encode()
    whole = parsed(raw)
    answer = fold(whole)
    assert fold(parsed(*(raw[at : at + 1] for at in range(len(raw))))) == answer
    for cut in range(0, len(raw), 97):
        assert fold(parsed(raw[:cut], raw[cut:])) == answer
    (choice,) = answer.choices
    signed = [opaque for part in choice.parts if isinstance(part, ReasoningPart | ToolCallPart) for opaque in part.opaque]
    assert raw.count(b'"thoughtSignature"') == len(signed) and all(opaque.origin == ORIGIN for opaque in signed)
    assert all(f'"{opaque.value}"'.encode() in raw for opaque in signed)
    ear = Listener()
    ear.feed(raw)
    ear.close()
    assert ear.ended and ear.usage == answer.usage and ear.finish is choice.finish


@each_recording
def test_a_recorded_answer_told_whole_is_the_same(path: Path) -> None:
    raw = json.loads(path.read_text())["response"]["sse"].encode()
    chunks = [json.loads(line[6:]) for line in raw.splitlines() if line.startswith(b"data: ")]
    parser = ResponseParser(ORIGIN)
    assert fold(parser.whole(chunks)) == fold(parsed(raw))


def event(response: Any) -> bytes:
    return f"data: {json.dumps({'response': response, 'traceId': 't'})}\r\n\r\n".encode()


def test_an_event_of_several_lines() -> None:
    told = json.dumps({"response": {"candidates": [{"content": {"parts": [{"text": "Hi"}]}, "finishReason": "STOP"}]}}, indent=1)
    lines = "".join(f"data: {line}\n" for line in told.splitlines())
    assert fold(parsed(f"{lines}\n".encode())).choices[0].parts == (TextPart("Hi"),)


def test_the_placeholder_is_taken_out_of_calls() -> None:
    call = {"name": "ping", "args": {PLACEHOLDER: True, "deep": {PLACEHOLDER: True}}, "id": "c1"}
    raw = event({"candidates": [{"content": {"parts": [{"functionCall": call}]}, "finishReason": "STOP"}]})
    (choice,) = fold(parsed(raw)).choices
    (part,) = choice.parts
    assert isinstance(part, ToolCallPart) and json.loads(part.arguments) == {"deep": {}} and choice.finish is Finish.TOOL_CALLS


def test_an_error_in_the_stream_is_code_assist_s() -> None:
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "QUOTA_EXHAUSTED", "metadata": {"quotaResetDelay": "1h"}}
    error = {"code": 429, "message": "spent", "details": [info]}
    for raw in (f"data: {json.dumps({'error': error})}\r\n\r\n".encode(), event({"error": error})):
        (failed,) = parsed(raw)
        assert isinstance(failed, Failed) and failed.error.kind is Kind.ACCOUNT_RATE_LIMITED and failed.error.retry_after == 3600


@pytest.mark.parametrize("odd", [{"candidates": 5}, {"candidates": [5, {"content": 5}, {"content": {"parts": [5, {"functionCall": {}}]}}]}])
def test_odd_answers_are_no_crash(odd: Any) -> None:
    ResponseParser(ORIGIN).whole({"response": odd})
    parsed(event(odd))
