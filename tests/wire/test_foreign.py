"""Blocks that one format alone knows, asked of a provider of another: finished ones are left out and named, others refused. C-23"""

from __future__ import annotations

import json
from typing import Any

import pytest

from omni_connector.chat import ChatRequest, ForeignPart, Json, Origin, Role, Target
from omni_connector.errors import GatewayError, Kind
from omni_connector.wire import TWO_WAY
from omni_connector.wire.foreign import left_out

TARGET = Target(Origin("somebody", "model"))
RESPONSES, MESSAGES, GEMINI, CHAT = "openai-responses", "anthropic-messages", "gemini-generate", "openai-chat"

FINISHED: dict[str, list[Json]] = {
    RESPONSES: [
        {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "tide"}},
        {"type": "file_search_call", "id": "fs_1", "status": "completed", "queries": ["tide"], "results": None},
        {"type": "code_interpreter_call", "id": "ci_1", "code": "1+1", "container_id": "c", "outputs": []},
        {"type": "mcp_call", "id": "mcp_1", "name": "f", "arguments": "{}", "server_label": "s", "output": "x"},
        {"type": "mcp_list_tools", "id": "mcpl_1", "server_label": "s", "tools": []},
        {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": "iVBORw0KGgo="},
        {"type": "tool_search_call", "id": "ts_1", "arguments": {}},
    ],
    MESSAGES: [
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "tide"}},
        {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
        {"type": "code_execution_tool_result", "tool_use_id": "srvtoolu_2", "content": {}},
        {"type": "mcp_tool_use", "id": "m", "name": "f", "input": {}, "server_name": "s"},
        {"type": "fallback", "from": {"model": "a"}, "to": {"model": "b"}},
    ],
    GEMINI: [{"executableCode": {"code": "1+1", "language": "PYTHON"}}, {"codeExecutionResult": {"outcome": "OUTCOME_OK"}}],
    CHAT: [{"type": "brand_new", "x": 1}],
}


def request(wire: str, block: Json | None, role: str = "assistant") -> ChatRequest:
    """ "Tide?" – (block) – "High at noon." – "Thanks", or the block in the first turn of the user."""
    blocks = [] if block is None else [block]
    mine, theirs = (blocks, []) if role == "user" else ([], blocks)
    if wire == RESPONSES:
        first = {"role": "user", "content": [{"type": "input_text", "text": "Tide?"}]}
        answer = {"role": "assistant", "content": [{"type": "output_text", "text": "High at noon."}]}
        body: Json = {"model": "m", "input": [first, *mine, *theirs, answer, {"role": "user", "content": "Thanks"}]}
    elif wire == GEMINI:
        turns = [("user", [{"text": "Tide?"}, *mine]), ("model", [*theirs, {"text": "High at noon."}]), ("user", [{"text": "Thanks"}])]
        body = {"model": "m", "contents": [{"role": said, "parts": parts} for said, parts in turns]}
    else:
        words: Json = {"type": "text", "text": "Tide?"}
        answers: Json = {"type": "text", "text": "High at noon."}
        talk = [("user", [words, *mine]), ("assistant", [*theirs, answers]), ("user", "Thanks")]
        body = {"model": "m", "max_tokens": 99, "messages": [{"role": said, "content": content} for said, content in talk]}
    parsed: ChatRequest = TWO_WAY[wire].parse_request(body)
    return parsed


def pairs() -> list[Any]:
    found = [(here, there, block) for here, blocks in FINISHED.items() for there in TWO_WAY if there != here for block in blocks]
    return [pytest.param(*one, id=f"{one[0]}-{one[1]}-{next(iter(one[2].values()))!s:.20}") for one in found]


@pytest.mark.parametrize(("here", "there", "block"), pairs())
def test_what_a_provider_ran_itself_is_left_out_and_named(here: str, there: str, block: Json) -> None:
    rendered = TWO_WAY[there].render_request(request(here, block), "m", TARGET)
    name = block.get("type") or next(iter(block))
    assert rendered.dropped == (name,)
    assert rendered.body == TWO_WAY[there].render_request(request(here, None), "m", TARGET).body
    assert "High at noon." in json.dumps(rendered.body) and "Thanks" in json.dumps(rendered.body)


@pytest.mark.parametrize("there", [CHAT, MESSAGES, GEMINI])
def test_a_turn_of_nothing_but_such_blocks_leaves_no_empty_message(there: str) -> None:
    items = [{"role": "user", "content": "Tide?"}, FINISHED[RESPONSES][0], {"role": "user", "content": "Well?"}]
    body = TWO_WAY[there].render_request(TWO_WAY[RESPONSES].parse_request({"input": items}), "m", TARGET).body
    turns = body.get("messages") or body["contents"]
    assert {turn["role"] for turn in turns} == {"user"}


REFUSED: list[tuple[str, Json, str]] = [
    (RESPONSES, {"type": "item_reference", "id": "msg_1"}, "assistant"),
    (RESPONSES, {"type": "compaction", "id": "cmp_1", "encrypted_content": "gAAA"}, "assistant"),
    (RESPONSES, {"type": "computer_call_output", "call_id": "c", "output": {"type": "computer_screenshot"}}, "user"),
    (RESPONSES, {"type": "shell_call_output", "call_id": "c", "output": []}, "user"),
    (MESSAGES, {"type": "compaction", "content": "They spoke of the tide."}, "assistant"),
    (MESSAGES, {"type": "container_upload", "file_id": "file_1"}, "user"),
    (MESSAGES, {"type": "search_result", "source": "s", "title": "t", "content": []}, "user"),
    (GEMINI, {"fileData": {"fileUri": "https://youtu.be/x", "mimeType": "video/mp4"}}, "user"),
    (CHAT, {"type": "video_url", "video_url": {"url": "https://a.example/x.mp4"}}, "user"),
]


@pytest.mark.parametrize(
    ("here", "there", "block", "role"),
    [
        pytest.param(here, there, block, role, id=f"{here}-{there}-{block.get('type', 'video')}")
        for here, block, role in REFUSED
        for there in TWO_WAY
        if there != here
    ],
)
def test_what_changes_the_meaning_is_refused_by_name(here: str, there: str, block: Json, role: str) -> None:
    with pytest.raises(GatewayError) as caught:
        TWO_WAY[there].render_request(request(here, block, role), "m", TARGET)
    error = caught.value
    assert error.kind is Kind.BAD_REQUEST
    assert repr(block.get("type", "fileData")) in error.message and here in error.message
    assert (error.param or "").startswith(("messages[", "messages."))


@pytest.mark.parametrize("wire", TWO_WAY)
def test_in_its_own_format_a_block_stays_what_it_is(wire: str) -> None:
    for block in FINISHED[wire]:
        rendered = TWO_WAY[wire].render_request(request(wire, block), "m", TARGET)
        assert json.dumps(block) in json.dumps(rendered.body)
        assert rendered.dropped == ()


@pytest.mark.parametrize(
    ("value", "role", "name"),
    [
        ({"type": "tool_reference", "tool_name": "f"}, "tool", "tool_reference"),
        ({"type": "mcp_approval_response", "approve": True}, "tool", "mcp_approval_response"),
        ({"type": "container_upload", "cache_control": {"type": "ephemeral"}}, "user", "container_upload"),
        ({}, "user", "block"),
        ({"type": 5, "x": 1}, "assistant", "x"),
        ({"type": "x" * 99}, "assistant", "x" * 60),
    ],
)
def test_names(value: Json, role: Role, name: str) -> None:
    assert left_out(ForeignPart(MESSAGES, value), role, "messages[0]") == name


@pytest.mark.parametrize("there", [CHAT, MESSAGES, GEMINI])
def test_the_bookkeeping_of_an_item_is_not_named_as_dropped(there: str) -> None:
    items = [
        {"type": "message", "role": "user", "id": "msg_1", "status": "completed", "content": [{"type": "input_text", "text": "Go"}]},
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "message", "role": "assistant", "id": "msg_2", "phase": "commentary", "content": [{"type": "output_text", "text": "Hm"}]},
        {"type": "function_call", "id": "fc_1", "status": "completed", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "id": "fco_1", "call_id": "c", "output": "x"},
    ]
    dropped = TWO_WAY[there].render_request(TWO_WAY[RESPONSES].parse_request({"input": items}), "m", TARGET).dropped
    assert not [name for name in dropped if name.endswith(".item")]
