import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_connector.routing.affinity import SESSION_HEADERS, TTL_MS, Home, Homes, fingerprint, following

NOW = 1_800_000_000_000


def body(**fields: Any) -> bytes:
    return json.dumps({"model": "m", "stream": True, **fields}).encode()


def name(fields: dict[str, Any], headers: dict[str, str] | None = None) -> str:
    return fingerprint("key_1", "m", body(**fields), headers or {})


def chat(*texts: str, system: str = "Be brief.") -> dict[str, Any]:
    turns = [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(texts)]
    return {"messages": [{"role": "system", "content": system}, *turns]}


def messages(*texts: str, system: str = "Be brief.") -> dict[str, Any]:
    """As clients with prompt caching write them: the newest user turn is a marked block, older ones are bare texts."""
    turns: list[dict[str, Any]] = [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(texts)]
    turns[-1]["content"] = [{"type": "text", "text": texts[-1], "cache_control": {"type": "ephemeral"}}]
    return {"system": [{"type": "text", "text": system}], "messages": turns, "tools": [{"name": "t" * len(texts)}]}


def responses(*texts: str, system: str = "Be brief.") -> dict[str, Any]:
    items: list[dict[str, Any]] = [{"type": "reasoning", "summary": []}] if len(texts) > 90 else []
    for n, text in enumerate(texts):
        kind = ("input_text", "output_text")[n % 2]
        items.append({"type": "message", "role": ("user", "assistant")[n % 2], "content": [{"type": kind, "text": text}]})
    return {"instructions": system, "input": items}


def gemini(*texts: str, system: str = "Be brief.") -> dict[str, Any]:
    turns = [{"role": ("user", "model")[n % 2], "parts": [{"text": text}]} for n, text in enumerate(texts)]
    return {"systemInstruction": {"parts": [{"text": system}]}, "contents": turns}


@pytest.mark.parametrize("write", [chat, messages, responses, gemini])
def test_all_turns_of_a_conversation_have_one_name_and_others_another(write: Any) -> None:
    turns = ['What is "a" wall?\n', "A wall.", "And a door?", "A door.", "Why?"]
    names = {name(write(*turns[: n + 1])) for n in range(0, 5, 2)}
    assert len(names) == 1
    assert len(next(iter(names))) == 32
    others = [write("What is a roof?"), write(*turns, system="Be long.")]
    assert len({*names, *(name(other) for other in others)}) == 3
    raw = body(**write(*turns))
    assert fingerprint("key_2", "m", raw) not in names
    assert fingerprint("key_1", "n", raw) not in names
    pretty = json.dumps(json.loads(raw), indent=2).encode()
    assert fingerprint("key_1", "m", pretty) in names


def test_long_beginnings_are_cut_off_at_the_same_place() -> None:
    long = "x" * 200_000
    assert name(messages(long)) == name(messages(long, "y", "z"))
    assert name(chat("a", system=long)) != name(chat("b", system=long))
    assert name(messages(long + "a")) == name(messages(long + "b"))  # the same prefix is cached


def test_the_short_spellings_of_a_first_message() -> None:
    assert name({"input": "hi"}) == name({"input": "hi"}) != name({"input": "ho"})
    assert name({"contents": {"parts": [{"text": "hi"}]}}) != name({"contents": {"parts": [{"text": "ho"}]}})
    no_role = {"contents": [{"parts": [{"text": "hi"}]}, {"role": "model", "parts": [{"text": "x"}]}]}
    assert name(no_role) == name({"contents": [{"parts": [{"text": "hi"}]}]})
    picture = {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:a"}}]}]}
    assert name(picture)
    called = {"input": [{"type": "function_call_output", "output": "1", "call_id": "c"}, {"role": "user", "content": "hi"}]}
    assert name(called) == name({"input": [{"role": "user", "content": "hi"}]})


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"messages":7}', b'{"model":"m"}', b'{"messages":[]}', b'{"messages":[7,null]}', b"--b\r\n"],
)
def test_what_is_no_conversation_has_no_name(raw: bytes) -> None:
    assert fingerprint("key_1", "m", raw) == ""


CLAUDE_OLD = "user_ab12_account_" + "_session_0c5e2f1a-1111-2222-3333-444455556666"
CLAUDE_NEW = json.dumps({"device_id": "d", "account_uuid": "", "session_id": "0c5e2f1a-1111-2222-3333-444455556666"})


@pytest.mark.parametrize(
    ("fields", "headers"),
    [
        *(({}, {header: "session-1"}) for header in SESSION_HEADERS),
        ({"prompt_cache_key": "session-1"}, {}),
        ({"conversation": "conv_1"}, {}),
        ({"conversation": {"id": "conv_1"}}, {}),
        ({"metadata": {"user_id": CLAUDE_OLD}}, {}),
        ({"metadata": {"user_id": CLAUDE_NEW}}, {}),
        ({"previous_response_id": "resp_1"}, {}),
    ],
)
def test_the_client_s_own_word_for_the_conversation_wins(fields: dict[str, Any], headers: dict[str, str]) -> None:
    first, compacted = messages("hi"), messages("Summary of what was said", "…")
    assert name(first | fields, headers) == name(compacted | fields, headers) != name(first)
    other = json.loads(json.dumps([fields, headers]).replace("1", "2"))
    assert name(first | other[0], other[1]) != name(first | fields, headers)


def test_a_user_is_no_conversation() -> None:
    users = [{"metadata": {"user_id": "u-1"}}, {"metadata": {"user_id": "u-2"}}]
    assert name(messages("hi") | users[0]) == name(messages("hi") | users[1])
    assert name(messages("hi") | users[0]) != name(messages("ho") | users[0])


def test_words_inside_the_conversation_are_not_taken_for_its_name() -> None:
    said = 'see {"prompt_cache_key": "x", "previous_response_id": "resp_9"}'
    tool = {"role": "assistant", "content": [{"type": "tool_use", "input": {"prompt_cache_key": "x", "role": "user"}}]}
    plain = messages(said)
    assert name(plain) == name({**plain, "messages": [*messages(said, "a")["messages"][:1], tool]})
    assert name(plain) != name({"prompt_cache_key": "x", **plain})


def test_an_answer_s_id_leads_to_the_same_home() -> None:
    assert following("key_1", "m", "resp_1") == name({"input": "and then?", "previous_response_id": "resp_1"})
    assert following("key_1", "m", "resp_2") != following("key_2", "m", "resp_2")


@given(
    st.binary(max_size=300)
    | st.recursive(st.none() | st.integers() | st.text(max_size=9), st.lists, max_leaves=9).map(
        lambda v: json.dumps({"messages": v, "input": v}).encode()
    )
)
def test_nothing_breaks_it(raw: bytes) -> None:
    found = fingerprint("key_1", "m", raw)
    assert len(found) in (0, 32)


# ---------------------------------------------------------------- Homes


def test_a_home_lasts_an_hour_from_the_last_answer() -> None:
    homes = Homes()
    homes.settle("f", "acc_a", 100, NOW)
    homes.settle("f", "acc_b", 250, NOW + 5)
    assert homes.home("f", NOW + TTL_MS) == Home("acc_b", NOW + 5, 250)
    assert homes.home("f", NOW + 5 + TTL_MS) is None
    assert homes.home("g", NOW) is None
    homes.settle("", "acc_a", 1, NOW)
    assert homes.home("", NOW) is None
    homes.settle("u", "acc_a", None, NOW)
    assert homes.home("u", NOW) == Home("acc_a", NOW, 0)


def test_homes_are_bounded_and_the_longest_rested_gives_way() -> None:
    homes = Homes(most=3)
    for n, fingerprinted in enumerate("abcad"):
        homes.settle(fingerprinted, "acc_x", n, NOW + n)
    assert [row[0] for row in homes.dump()] == ["c", "a", "d"]
    homes.settle("e", "acc_x", 1, NOW + 10 + TTL_MS)
    assert len(homes) == 1  # the others had run out


def test_homes_survive_a_restart_and_meet_those_of_another_process() -> None:
    homes = Homes()
    for n, fingerprinted in enumerate("abc"):
        homes.settle(fingerprinted, f"acc_{fingerprinted}", n, NOW + n)
    assert homes.dump(since=NOW + 2) == [("c", "acc_c", NOW + 2, 2)]
    again = Homes()
    again.settle("b", "acc_new", 9, NOW + 50)
    again.load(json.loads(json.dumps(homes.dump())), NOW + 60)
    again.load([("", "acc_x", NOW, 1), ("future", "acc_x", NOW + 10**9, 1), ("old", "acc_x", NOW - TTL_MS, 1)], NOW + 60)
    assert again.dump() == [("a", "acc_a", NOW, 0), ("c", "acc_c", NOW + 2, 2), ("b", "acc_new", NOW + 50, 9)]


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, TTL_MS // 2)), max_size=40), st.integers(1, 5))
def test_the_newest_answers_are_always_known(turns: list[tuple[str, int]], most: int) -> None:
    homes, now = Homes(most), NOW
    for fingerprinted, passed in turns:
        now += passed
        homes.settle(fingerprinted, "acc_a", 1, now)
        assert len(homes) <= most
        assert homes.home(fingerprinted, now) == Home("acc_a", now, 1)
    restored = Homes(most)
    restored.load(homes.dump(), now)
    assert restored.dump() == homes.dump()
