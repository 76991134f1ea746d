"""Recorded exchanges of eleven hosts: answers are understood and told again, requests go out as they came."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from omni_connector.chat import Origin, Target
from omni_connector.errors import GatewayError, Kind
from omni_connector.wire import anthropic_messages, openai_chat
from omni_connector.wire import openai_responses as wire
from tests.wire.openai_responses_reading import check_stream, cut, folded, recordings, tell

CLAUDE = Origin("anthropic", "claude")

RECORDED = recordings()
recorded = pytest.mark.parametrize(
    "path",
    RECORDED or [pytest.param(None, marks=pytest.mark.skip("no recorded exchanges beside this checkout"))],
    ids=lambda path: path and path.stem.removeprefix("openai-responses--"),
)


def told_by(answer: dict[str, Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """What a recorded answer says, gathered without our parser: its items, and its last response object."""
    if "sse" not in answer:
        return answer["body"].get("output") or [], answer["body"]
    items: list[dict[str, Any]] = []
    for line in answer["sse"].splitlines():
        event = json.loads(line[5:]) if line.startswith(("data: {", "data:{")) else {}
        if event.get("type") == "response.output_item.done":
            items.append(event["item"])
        if event.get("type") in {"response.completed", "response.incomplete", "response.failed"}:
            return items, event["response"]
    raise AssertionError("no terminal event was recorded")


def as_said(items: Iterable[dict[str, Any]]) -> list[Any]:
    """Items in the plainest form: what a reader, a tool runner and the provider need of them."""
    out: list[Any] = []
    for item in items:
        match item["type"]:
            case "message":
                for part in item["content"]:
                    notes = part.get("annotations") or []
                    out.append((part["type"], part.get("text", part.get("refusal")), notes))
            case "reasoning":
                texts = [piece["text"] for piece in item.get("content") or item["summary"]]
                out.append(("reasoning", "\n\n".join(texts), item.get("encrypted_content"), item.get("id")))
            case "function_call" | "custom_tool_call":
                out.append((item["type"], item["call_id"], item["name"], item.get("arguments", item.get("input")), item.get("namespace")))
            case _:
                out.append(item)
    return out


@recorded
def test_recorded_answers(path: Path) -> None:
    record = json.loads(path.read_text())
    answer, origin = record["response"], Origin(record["upstream"], record["model"] or "")
    if answer["status"] >= 400:
        error = wire.parse_error(answer["status"], answer["headers"], json.dumps(answer["body"]).encode())
        assert error.upstream_status == answer["status"]
        assert error.message in json.dumps(answer["body"])
        assert error.kind in {Kind.BAD_REQUEST, Kind.ACCOUNT_REJECTED, Kind.ACCOUNT_UNPAID, Kind.UPSTREAM_MODEL_MISSING}
        return
    ear = wire.Listener()
    if "sse" in answer:
        data = answer["sse"].encode()
        events = wire.ResponseParser(origin).feed(data)
        dice = random.Random(path.stem)
        for _ in range(3):
            pieces = cut(data, [dice.randrange(len(data)) for _ in range(40)])
            parser = wire.ResponseParser(origin)
            again = [event for piece in pieces for event in parser.feed(piece)] + parser.close()
            assert [str(event) for event in again] == [str(event) for event in events]
        for piece in pieces:
            ear.feed(piece)
        ear.close()
    else:
        events = wire.ResponseParser(origin).whole(answer["body"])
        ear.whole(answer["body"])
    found = folded(events)
    items, last = told_by(answer)
    if last.get("status") == "failed":
        assert found.error is not None
        assert ear.error is not None
        assert (found.error.message, ear.error.kind) == (last["error"]["message"], found.error.kind)
        return
    assert found.ended
    assert ear.ended
    response = found.response()
    (choice,) = response.choices
    assert ear.finish is choice.finish
    assert ear.usage == response.usage
    if last.get("usage"):
        assert response.usage is not None
        assert (response.usage.prompt, response.usage.output) == (last["usage"]["input_tokens"], last["usage"]["output_tokens"])
    # Told again in the own format, streamed and whole, it is the same answer.
    streamed = check_stream(tell(events))
    assert as_said(streamed["output"]) == as_said(items)
    assert as_said(wire.render_response(response, "m")["output"]) == as_said(items)
    assert (streamed["status"], streamed["incomplete_details"]) == (last.get("status", "completed"), last.get("incomplete_details"))


def normal(body: dict[str, Any]) -> dict[str, Any]:
    """The documented normalisations, done to a recorded body."""
    wanted = {key: value for key, value in body.items() if value not in (None, "") and (key, value) != ("stream", False)}
    wanted.setdefault("model", "")
    if isinstance(wanted.get("input"), str):
        wanted["input"] = [{"role": "user", "content": wanted["input"]}]
    wanted["input"] = [normal_item(item) for item in wanted["input"]]
    if "reasoning" in wanted:
        shown = {"summary" if key == "generate_summary" else key: value for key, value in wanted["reasoning"].items()}
        wanted["reasoning"] = {key: value for key, value in shown.items() if value is not None}
    if "tools" in wanted:
        wanted["tools"] = [{key: value for key, value in tool.items() if value is not None} for tool in wanted["tools"]]
    return wanted


def normal_item(item: dict[str, Any]) -> dict[str, Any]:
    item = {key: value for key, value in item.items() if value not in (None, [])} | ({"summary": []} if item.get("summary") == [] else {})
    item.setdefault("type", "message")
    if item["type"] != "message":
        return item
    if isinstance(item["content"], str):
        item["content"] = [{"type": "output_text" if item["role"] == "assistant" else "input_text", "text": item["content"]}]
    return {**item, "content": [{key: value for key, value in part.items() if value != []} for part in item["content"]]}


@recorded
def test_recorded_requests_go_out_as_they_came(path: Path) -> None:
    record = json.loads(path.read_text())
    body = record["request"]["body"]
    if not body or "input" not in body:
        pytest.skip("no request was recorded")
    asked = wire.parse_request(body)
    rendered = wire.render_request(asked, asked.model, Target(Origin(record["upstream"], record["model"] or "")))
    assert rendered.dropped == ()
    assert rendered.body == normal(body)
    # Nothing breaks on the way to other formats: it is said there, or refused with a reason.
    for other in (openai_chat, anthropic_messages):
        try:
            assert other.render_request(asked, "m", Target(CLAUDE)).body["messages"]
        except GatewayError as error:
            assert (error.kind, bool(error.message)) == (Kind.BAD_REQUEST, True)
