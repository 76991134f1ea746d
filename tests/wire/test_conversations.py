import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_connector.wire import CLIENT_FORMATS, EMBEDDINGS, conversations
from omni_connector.wire.conversations import LONGEST_ID, SESSION_HEADERS, Marks, marks

CHAT, MESSAGES, RESPONSES, GEMINI = "openai-chat", "anthropic-messages", "openai-responses", "gemini-generate"


def found(wire: str, fields: dict[str, Any], headers: dict[str, str] | None = None) -> Marks:
    return marks(wire, json.dumps({"model": "m", "stream": True, **fields}).encode(), headers or {})


def chat(*texts: str, system: str = "Be brief.") -> dict[str, Any]:
    turns = [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(texts)]
    return {"messages": [{"role": "system", "content": system}, *turns]}


def messages(*texts: str, system: str = "Be brief.") -> dict[str, Any]:
    """As clients with prompt caching write them: the newest user turn is a marked block, older ones are bare texts."""
    turns: list[dict[str, Any]] = [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(texts)]
    turns[-1]["content"] = [{"type": "text", "text": texts[-1], "cache_control": {"type": "ephemeral"}}]
    return {"system": [{"type": "text", "text": system}], "messages": turns, "tools": [{"name": "t" * len(texts)}]}


def responses(*texts: str, system: str = "Be brief.") -> dict[str, Any]:
    items: list[dict[str, Any]] = []
    for n, text in enumerate(texts):
        kind = ("input_text", "output_text")[n % 2]
        items += [{"type": "reasoning", "summary": []}] if n % 2 else []
        items.append({"type": "message", "role": ("user", "assistant")[n % 2], "content": [{"type": kind, "text": text}]})
    return {"instructions": system, "input": items}


def gemini(*texts: str, system: str = "Be brief.") -> dict[str, Any]:
    turns = [{"role": ("user", "model")[n % 2], "parts": [{"text": text}]} for n, text in enumerate(texts)]
    return {"systemInstruction": {"parts": [{"text": system}]}, "contents": turns}


WRITERS = [(CHAT, chat), (MESSAGES, messages), (RESPONSES, responses), (GEMINI, gemini)]
TALKS = {wire for wire, _ in WRITERS}


def test_every_conversation_format_is_known_and_no_other() -> None:
    assert CLIENT_FORMATS.keys() - TALKS == {"openai-completions"} and CLIENT_FORMATS.keys() >= TALKS
    for wire in ("openai-completions", *EMBEDDINGS, "audio", ""):
        assert found(wire, {**chat("hi"), "input": "hi", "prompt": "hi"}, {"session-id": "s"}) == ()


@pytest.mark.parametrize(("wire", "write"), WRITERS)
def test_all_turns_of_a_conversation_have_the_same_marks_and_others_have_not(wire: str, write: Any) -> None:  # O-19
    turns = ['What is "a" wall?\n', "A wall.", "And a door?", "A door.", "Why?"]
    all_turns = {found(wire, write(*turns[: n + 1])) for n in range(0, 5, 2)}
    assert len(all_turns) == 1 and all(next(iter(all_turns)))
    others = [write("What is a roof?"), write(*turns, system="Be long.")]
    assert len({*all_turns, *(found(wire, other) for other in others)}) == 3
    assert marks(wire, json.dumps(write(*turns), indent=2).encode(), {}) in all_turns


def test_long_beginnings_are_cut_off_at_the_same_place() -> None:
    long = "x" * 200_000
    assert found(MESSAGES, messages(long)) == found(MESSAGES, messages(long, "y", "z"))
    assert found(CHAT, chat("a", system=long)) != found(CHAT, chat("b", system=long))
    assert found(MESSAGES, messages(long + "a")) == found(MESSAGES, messages(long + "b"))  # the same prefix is cached


def test_the_short_spellings_of_a_first_message() -> None:
    assert found(RESPONSES, {"input": "hi"}) == found(RESPONSES, {"input": "hi"}) != found(RESPONSES, {"input": "ho"})
    assert found(GEMINI, {"contents": {"parts": [{"text": "hi"}]}}) != found(GEMINI, {"contents": {"parts": [{"text": "ho"}]}})
    no_role = {"contents": [{"parts": [{"text": "hi"}]}, {"role": "model", "parts": [{"text": "x"}]}]}
    assert found(GEMINI, no_role) == found(GEMINI, {"contents": [{"parts": [{"text": "hi"}]}]})
    assert found(CHAT, {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:a"}}]}]})
    called = {"input": [{"type": "function_call_output", "output": "1", "call_id": "c"}, {"role": "user", "content": "hi"}]}
    assert found(RESPONSES, called) == found(RESPONSES, {"input": [{"role": "user", "content": "hi"}]})


@pytest.mark.parametrize("wire", sorted(TALKS))
@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"messages":7,"input":7,"contents":7}',
        b'{"model":"m"}',
        b'{"messages":[],"input":[],"contents":[]}',
        b'{"messages":[7,null],"input":[7,null],"contents":[7,null]}',
        b"--b\r\n",
        b'{"messages":' + b"[" * 100_000,
        b'{"x":' + b"[" * 100_000,
    ],
    ids=lambda raw: repr(raw[:20]),
)
def test_what_is_no_conversation_has_no_marks(wire: str, raw: bytes) -> None:
    assert marks(wire, raw, {}) == ()


CLAUDE_OLD = "user_ab12_account_" + "_session_0c5e2f1a-1111-2222-3333-444455556666"
CLAUDE_NEW = json.dumps({"device_id": "d", "account_uuid": "", "session_id": "0c5e2f1a-1111-2222-3333-444455556666"})


@pytest.mark.parametrize(
    ("wire", "fields", "headers"),
    [
        *((wire, {}, {header: "session-1"}) for header in SESSION_HEADERS for wire in sorted(TALKS)),
        *((wire, {"prompt_cache_key": "session-1"}, {}) for wire in (CHAT, RESPONSES)),
        (RESPONSES, {"conversation": "conv_1"}, {}),
        (RESPONSES, {"conversation": {"id": "conv_1"}}, {}),
        (MESSAGES, {"metadata": {"user_id": CLAUDE_OLD}}, {}),
        (MESSAGES, {"metadata": {"user_id": CLAUDE_NEW}}, {}),
    ],
)
def test_the_client_s_own_word_for_the_conversation_wins(wire: str, fields: dict[str, Any], headers: dict[str, str]) -> None:
    write = dict(WRITERS)[wire]
    first, compacted = write("hi"), write("Summary of what was said", "…")
    assert found(wire, first | fields, headers) == found(wire, compacted | fields, headers) != found(wire, first)
    other = json.loads(json.dumps([fields, headers]).replace("1", "2"))
    assert found(wire, first | other[0], other[1]) != found(wire, first | fields, headers)


def test_the_client_s_words_in_their_order() -> None:
    told = {"conversation": "conv_1", "prompt_cache_key": "key"}
    assert found(RESPONSES, told, {"session-id": "s"}) == (b"conversation", b"conv_1")
    assert found(RESPONSES, {"prompt_cache_key": "key"}, {"session-id": "s"}) == (b"session", b"s")
    assert found(MESSAGES, {"metadata": {"user_id": CLAUDE_OLD}}, {"session-id": "s"}) == (b"session", b"s")
    assert found(CHAT, {"prompt_cache_key": "k" * 9999}) == (b"cache", b"k" * LONGEST_ID)


def test_who_goes_on_from_a_kept_answer_is_no_beginning() -> None:
    turn = {"input": "and then?", "previous_response_id": "resp_1"}
    assert found(RESPONSES, turn) == ()
    assert found(RESPONSES, turn, {"session-id": "s"}) == (b"session", b"s")


def test_a_user_is_no_conversation() -> None:
    users = [{"metadata": {"user_id": "u-1"}}, {"metadata": {"user_id": "u-2"}}]
    assert found(MESSAGES, messages("hi") | users[0]) == found(MESSAGES, messages("hi") | users[1])
    assert found(MESSAGES, messages("hi") | users[0]) != found(MESSAGES, messages("ho") | users[0])


def test_words_inside_the_conversation_are_not_taken_for_its_name() -> None:
    said = 'see {"prompt_cache_key": "x", "conversation": "c"}'
    tool = {"role": "assistant", "content": [{"type": "tool_use", "input": {"prompt_cache_key": "x", "role": "user"}}]}
    plain = chat(said)
    assert found(CHAT, plain) == found(CHAT, {**plain, "messages": [*plain["messages"], tool]})
    assert found(CHAT, plain) != found(CHAT, {"prompt_cache_key": "x", **plain})


@given(
    st.sampled_from(sorted(TALKS)),
    st.binary(max_size=300)
    | st.recursive(st.none() | st.integers() | st.text(max_size=9), st.lists, max_leaves=9).map(
        lambda v: json.dumps({"messages": v, "input": v, "contents": v, "conversation": v}).encode()
    ),
)
def test_nothing_breaks_it(wire: str, raw: bytes) -> None:
    parts = marks(wire, raw, {})
    assert parts == () or any(parts[1:])


SPELLED = st.text(max_size=60) | st.sampled_from(
    ['a "content":"b" c', "\\", '\\"', "\\\\", "x" * 70_000, "", "text", '{"text":"y"}', "\n\n"]
)
TURN = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "system", "assistant", "tool", "", None])},
    optional={
        "content": SPELLED | st.none() | st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": SPELLED}), max_size=2),
        "name": SPELLED,
        "text": SPELLED,
        "type": st.sampled_from(["message", "reasoning"]),
    },
)


@given(turns=st.lists(TURN, max_size=4), ascii_only=st.booleans(), blanks=st.booleans())
def test_what_is_quickly_read_of_a_bare_text_is_what_is_found_in_it(turns: list[Any], ascii_only: bool, blanks: bool) -> None:
    body = json.dumps({"messages": turns}, ensure_ascii=ascii_only, indent=1 if blanks else None).encode("utf-8", "surrogatepass")
    quickly = marks(CHAT, body, {})
    with pytest.MonkeyPatch.context() as slowly:
        slowly.setattr(conversations, "_plain", lambda turn: None)
        assert marks(CHAT, body, {}) == quickly
