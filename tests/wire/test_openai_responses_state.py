"""Answers kept between requests: conversations that go on, and what `/responses/{id}` shows of them. (C-23)"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai._models import construct_type
from openai.types.responses import Response, ResponseItemList

from omni_connector.chat import ChatRequest, RefusalPart, TextPart, ToolCallPart
from omni_connector.errors import GatewayError, Kind
from omni_connector.wire import openai_responses_state as state
from omni_connector.wire.openai_chat_errors import render_error
from omni_connector.wire.openai_responses import Listener, parse_request
from omni_connector.wire.openai_responses_state import Kept, joined, own_input, render_input_items, stored, wants_store
from tests.wire.openai_responses_reading import recordings

Json = dict[str, Any]
REASONING: Json = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"}
CALL: Json = {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}", "status": "completed"}
RESULT: Json = {"type": "function_call_output", "call_id": "c", "output": "ok"}
WORDS: Json = {"type": "output_text", "text": "Hi", "annotations": []}
SAID: Json = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [WORDS]}
NOW: Json = {"type": "message", "role": "user", "content": "And now?"}
HI: Json = {"type": "message", "role": "user", "content": "Hi"}


def answer(*output: Json, number: int = 1, **more: Any) -> Json:
    return {"id": f"resp_{number}", "object": "response", "status": "completed", "model": "served", "output": list(output), **more}


def replayed(*output: Json, **more: Any) -> list[Any]:
    chain = [Kept(stored(answer(*output, **more), {"input": []}))]
    items: list[Any] = joined({"previous_response_id": "resp_1", "input": [RESULT]}, chain)["input"]
    assert items.pop() == RESULT
    return items


def items(kept: Json, **query: Any) -> list[Json]:
    return list(render_input_items(kept, **query)["data"])


def test_answers_are_kept_unless_the_client_says_no() -> None:
    assert [wants_store(body) for body in ({}, {"store": None}, {"store": True}, {"store": False}, {"store": 0})] == [
        True,
        True,
        True,
        False,
        False,
    ]


def test_what_a_request_brings_itself() -> None:
    assert own_input({"input": "Hi"}) == [HI]
    assert own_input({"input": [RESULT]}) == [RESULT]
    assert [own_input(body) for body in ({}, {"input": None}, {"input": ""}, {"input": 5})] == [[]] * 4


def test_a_kept_answer_is_the_clients_not_the_upstreams() -> None:
    body = {"model": "fast", "input": "Hi", "previous_response_id": "resp_0"}
    response = answer(SAID, previous_response_id=None, store=False)
    kept = stored(response, body)
    assert kept == {"input": [HI], "response": {**response, "model": "fast", "previous_response_id": "resp_0", "store": True}}
    assert state.render_stored(kept) == kept["response"]
    assert stored(response, {"input": "Hi"})["response"]["model"] == "served"


# ---------------------------------------------------------------- Conversations that go on


def test_a_conversation_goes_on_from_earlier_answers() -> None:
    first = {"model": "m", "input": "Hi", "instructions": "Be brief.", "tools": [{"type": "function", "name": "f"}]}
    second = {"model": "m", "input": [RESULT], "previous_response_id": "resp_1"}
    chain = [Kept(stored(answer(REASONING, CALL), first), "acc_1"), Kept(stored(answer(SAID, number=2), second), "acc_2", "resp_1")]
    body = {"model": "m", "previous_response_id": "resp_2", "input": "Go on", "store": True}
    found = joined(body, chain)
    history = [HI, REASONING, CALL, RESULT, SAID, {"type": "message", "role": "user", "content": "Go on"}]
    assert found == {"model": "m", "input": history, "store": True}
    assert body["previous_response_id"] == "resp_2"
    assert [message.role for message in parse_request(found).messages] == ["user", "assistant", "tool", "assistant", "user"]


def test_a_conversation_without_its_beginning_is_refused() -> None:
    later = Kept(stored(answer(SAID, number=2), {"input": "x", "previous_response_id": "resp_1"}), None, "resp_1")
    for body, chain, missing in (
        ({"previous_response_id": "resp_9"}, [], "resp_9"),
        ({"previous_response_id": "resp_2"}, [later], "resp_1"),
    ):
        with pytest.raises(GatewayError) as refused:
            joined(body, chain)
        error = render_error(refused.value)["error"]
        assert (error["status"], error["type"]) == (400, "invalid_request_error")
        assert (error["code"], error["param"]) == ("previous_response_not_found", "previous_response_id")
        assert error["message"].startswith(f"Previous response with id '{missing}' not found.")


def test_thoughts_go_on_only_where_somebody_can_read_them() -> None:
    spoken = {"type": "reasoning", "id": "rs_2", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}]}
    bare = {"type": "reasoning", "id": "rs_3", "summary": [{"type": "summary_text", "text": "About."}], "encrypted_content": None}
    assert replayed(REASONING, spoken, CALL) == [REASONING, spoken, CALL]
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "x"}}
    nameless = [{key: value for key, value in item.items() if key != "id"} for item in (CALL, SAID)]
    assert replayed(bare, CALL, search, SAID) == [nameless[0], search, nameless[1]], "its account would miss the thought"


@pytest.mark.parametrize(
    ("item", "more", "goes"),
    [
        ({**CALL, "call_id": "cut", "status": "incomplete"}, {}, False),
        ({**CALL, "status": "incomplete"}, {}, True),  # answered
        ({**CALL, "call_id": "cut", "status": "in_progress"}, {"status": "incomplete"}, False),
        ({**CALL, "call_id": "cut", "status": "in_progress"}, {}, True),  # some hosts leave it so
        ({**CALL, "call_id": "x"}, {"status": "incomplete"}, True),
        ({"type": "web_search_call", "id": "ws", "status": "searching"}, {}, False),
        ({"type": "web_search_call", "id": "ws", "status": "failed"}, {}, True),
        ({"type": "image_generation_call", "id": "ig", "status": "generating"}, {}, False),
        ({"type": "compaction", "id": "cmp", "encrypted_content": "x"}, {}, True),
        ({**SAID, "content": []}, {}, False),
        ({**SAID, "status": "incomplete"}, {"status": "incomplete"}, True),
        ({"type": "mcp_call", "id": "m", "error": None, "output": "x"}, {}, True),
        ({"type": ["odd"], "status": {}}, {}, True),
    ],
)  # fmt: skip
def test_what_is_no_more_than_a_beginning_is_left_out(item: Json, more: Json, goes: bool) -> None:
    without_nulls = {key: value for key, value in item.items() if value is not None}
    assert replayed(item, **more) == ([without_nulls] if goes else [])


def test_an_answer_without_items_adds_nothing() -> None:
    for output in (None, {}, [5, "x"]):
        assert replayed(output=output) == []


def spoken(request: ChatRequest) -> list[str]:
    """Words and calls of everybody, in order."""
    parts = [part for message in request.messages for part in message.parts]
    told = ((getattr(part, "id", ""), getattr(part, "arguments", "") or getattr(part, "text", "")) for part in parts)
    return [" ".join(one) for one, part in zip(told, parts, strict=True) if isinstance(part, TextPart | RefusalPart | ToolCallPart)]


def recorded_answer(recorded: Json) -> Json | None:
    ear = Listener()
    ear.keeping = True
    if "sse" in recorded["response"]:
        ear.feed(recorded["response"]["sse"].encode())
        ear.close()
    elif recorded["response"]["status"] == 200:
        ear.whole(recorded["response"]["body"])
    return ear.final


@pytest.mark.skipif(not recordings(), reason="needs the recordings beside the checkout")
def test_every_recorded_answer_can_be_continued() -> None:
    continued = 0
    for path in recordings():
        recorded = json.loads(path.read_text())
        body, final = recorded["request"].get("body"), recorded_answer(recorded)
        if not isinstance(body, dict) or final is None:
            continue
        kept = stored(final, {**body, "previous_response_id": None})
        assert construct_type(type_=Response, value=state.render_stored(kept)).output_text is not None
        told = spoken(parse_request({"model": "m", "input": [*kept["input"], *final["output"], NOW]}))
        request = parse_request(joined({"model": "m", "previous_response_id": final["id"], "input": [NOW]}, [Kept(kept)]))
        assert spoken(request) == told, path.name
        continued += 1
    assert continued > 30


# ---------------------------------------------------------------- /responses/{id}


def test_input_items_are_listed_in_pages() -> None:
    kept = stored(answer(), {"input": [{"role": "user", "content": f"{number}"} for number in range(25)]})
    newest = render_input_items(kept)
    assert (newest["object"], len(newest["data"]), newest["has_more"]) == ("list", 20, True)
    assert (newest["first_id"], newest["last_id"]) == (newest["data"][0]["id"], newest["data"][-1]["id"])
    rest = render_input_items(kept, after=newest["last_id"])
    assert (len(rest["data"]), rest["has_more"]) == (5, False)
    everything = items(kept, limit="100", order="asc")
    assert everything == [*reversed([*newest["data"], *rest["data"]])]
    assert [item["content"][0]["text"] for item in everything] == [f"{number}" for number in range(25)]
    assert len({item["id"] for item in everything}) == 25
    assert render_input_items(kept, after=everything[0]["id"])["data"] == []
    empty = render_input_items(stored(answer(), {}))
    assert (empty["data"], empty["first_id"], empty["has_more"]) == ([], None, False)


def test_items_are_listed_as_sdks_read_them() -> None:
    given = [
        {"role": "system", "content": "x"},
        HI,
        {"role": "assistant", "content": "y"},
        SAID,
        REASONING,
        CALL,
        RESULT,
        {"id": "msg_7"},
        5,
    ]
    page = render_input_items(stored(answer(), {"input": given}), order="asc")
    listed = ResponseItemList.model_validate({**page, "data": page["data"][:-1]})
    assert [item.type for item in listed.data] == ["message"] * 4 + ["reasoning", "function_call", "function_call_output"]
    assert [item.id.partition("_")[0] for item in listed.data] == ["msg", "msg", "msg", "msg", "rs", "fc", "fco"]
    assert page["data"][-1] == {"id": "msg_7", "type": "item_reference"}
    assert page["data"][3:6] == [SAID, REASONING, CALL]


@pytest.mark.parametrize(
    ("query", "param"),
    [
        *(({"limit": limit}, "limit") for limit in ("0", "101", "²", "many", "9" * 5000)),
        ({"order": "up"}, "order"),
        ({"after": "msg_x"}, "after"),
    ],
)
def test_a_page_that_cannot_be_is_refused(query: Json, param: str) -> None:
    with pytest.raises(GatewayError) as refused:
        render_input_items(stored(answer(), {"input": "Hi"}), **query)
    assert (refused.value.kind, refused.value.param) == (Kind.BAD_REQUEST, param)


def test_an_answer_that_is_not_there_or_is_deleted() -> None:
    error = state.not_found("resp_x")
    assert (error.status, error.param) == (404, "id")
    assert error.message.startswith("Response with id 'resp_x' not found.")
    assert len(state.not_found("x" * 9999).message) < 300
    assert state.render_deleted("resp_x") == {"id": "resp_x", "object": "response", "deleted": True}


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["message", "reasoning", "function_call", "x_output", "in_progress"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["type", "status", "id", "call_id", "role", "content"]), inner)
    ),
    max_leaves=12,
)


@given(ANYTHING, ANYTHING, ANYTHING)
def test_whatever_was_kept_can_be_shown_and_continued(output: Any, asked: Any, status: Any) -> None:
    kept = stored({"id": "resp_1", "output": output, "status": status}, {"input": asked})
    assert isinstance(joined({"previous_response_id": "resp_1", "input": asked}, [Kept(kept)])["input"], list)
    assert len({item["id"] for item in items(kept)}) <= 20
