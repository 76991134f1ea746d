"""One attempt made ready: what leaves for which account, and through which lane the answer comes back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from omni_connector import lanes, prepare, providers
from omni_connector.call import Call
from omni_connector.chat import Opaque, Origin, seal
from omni_connector.errors import GatewayError, Kind, bad_request
from omni_connector.prepare import Asked, Prepared, Preparer, Sources, Unable, kept_rows
from omni_connector.routing.resolve import Candidate
from omni_connector.snapshot import Account, ClientKey
from omni_connector.wire import call_marks
from omni_connector.wire import openai_responses_state as state

Json = dict[str, Any]
KEY = ClientKey("key_1", "test", "", "", 0)
PATHS = {
    "openai-chat": "/v1/chat/completions",
    "openai-responses": "/v1/responses",
    "anthropic-messages": "/v1/messages",
    "openai-completions": "/v1/completions",
    "openai-embeddings": "/v1/embeddings",
    "image": "/v1/images/generations",
}
HELLO: Json = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
PICTURE: Json = {
    "model": "m",
    "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://pictures.example/a.png"}}]}],
}


@dataclass
class House:
    """What the preparer may ask for, and what it did ask for."""

    kept: Sequence[state.Kept] = ()
    marks: Mapping[str, call_marks.Mark] = field(default_factory=dict)
    keeping: bool = True
    fetched: list[str] = field(default_factory=list)
    looked_up: list[str] = field(default_factory=list)

    def preparer(self) -> Preparer:
        return Preparer(Sources(dict, lambda: self.keeping, self._earlier, self._marks, self._media))

    async def _earlier(self, key_id: str, response_id: str) -> Sequence[state.Kept]:
        assert key_id == "key_1"
        return self.kept

    async def _marks(self, key_id: str, ids: Sequence[str]) -> Mapping[str, call_marks.Mark]:
        self.looked_up += ids
        return self.marks

    async def _media(self, urls: Sequence[str]) -> Mapping[str, tuple[str, str]]:
        self.fetched += urls
        if any("gone" in url for url in urls):
            raise bad_request("The file cannot be fetched.")
        return dict.fromkeys(urls, ("image/png", "aGk="))


def account(provider: str, id: str = "acc_1", **more: Any) -> Account:
    base = {"base_url": "http://127.0.0.1:9/v1"} if provider.startswith("custom") else {}
    return providers.complete(Account(id, provider, id, secret="sk-0123456789abcdef", **{**base, **more}))


def call(wire: str, body: Json) -> Call:
    raw = json.dumps(body).encode()
    return Call("req_abc", wire, PATHS[wire], raw, {"content-type": "application/json"}, KEY, "test", 0, endpoint=PATHS[wire])


async def ready(house: House, wire: str, body: Json, *accounts: Account, model: str = "theirs", level: str = "") -> tuple[Asked, Prepared]:
    preparer = house.preparer()
    asked = await preparer.look(call(wire, body))
    for one in accounts:
        prepared = await preparer.prepare(asked, Candidate(one, model, level))
    return asked, prepared


def sent(prepared: Prepared) -> Json:
    return dict(json.loads(prepared.request.body))


async def test_the_same_format_passes() -> None:
    asked, prepared = await ready(House(), "openai-chat", {**HELLO, "odd": 1.50}, account("groq"))
    assert isinstance(prepared.lane, lanes.PassThrough) and asked.request is None
    assert sent(prepared) == {**HELLO, "odd": 1.50, "model": "theirs"}
    assert prepared.request.headers["authorization"] == "Bearer sk-0123456789abcdef"


async def test_a_provider_of_two_formats_is_asked_in_the_clients_own() -> None:
    _, prepared = await ready(House(), "anthropic-messages", {**HELLO, "max_tokens": 9}, account("deepseek"))
    assert isinstance(prepared.lane, lanes.PassThrough)
    assert prepared.request.url == "https://api.deepseek.com/anthropic/v1/messages"


async def test_what_a_format_cannot_say_leaves_the_account_to_others() -> None:
    with pytest.raises(Unable) as unable:
        await ready(House(), "openai-chat", {**HELLO, "n": 2}, account("anthropic"))
    assert unable.value.error.param == "n"


async def test_who_only_streams_is_listened_to_for_a_whole_answer() -> None:
    backend = account("custom-responses", options={"features_add": ["codex_backend"]})
    for wire, more in (("openai-chat", {}), ("openai-responses", {"input": "hello"})):
        _, prepared = await ready(House(), wire, {**HELLO, **more}, backend)
        assert isinstance(prepared.lane, lanes.Gathered) and prepared.stream
        assert sent(prepared)["stream"] is True


async def test_pictures_are_fetched_once_and_only_for_who_wants_bytes() -> None:  # C-10
    house = House()
    await ready(house, "openai-chat", PICTURE, account("groq"))
    await ready(house, "openai-chat", PICTURE, account("anthropic"))
    assert house.fetched == []
    _, prepared = await ready(house, "openai-chat", PICTURE, account("ollama"), account("gemini"))
    assert house.fetched == ["https://pictures.example/a.png"]
    assert sent(prepared)["contents"][0]["parts"] == [{"inlineData": {"mimeType": "image/png", "data": "aGk="}}]
    _, prepared = await ready(house, "openai-chat", PICTURE, account("ollama"))
    assert sent(prepared)["messages"][0]["content"][0]["image_url"]["url"] == "data:image/png;base64,aGk="


async def test_a_picture_that_cannot_be_had_is_named() -> None:
    gone = json.loads(json.dumps(PICTURE).replace("a.png", "gone.png"))
    house = House()
    preparer, asked = house.preparer(), await house.preparer().look(call("openai-chat", gone))
    for number in range(3):
        with pytest.raises(Unable) as unable:
            await preparer.prepare(asked, Candidate(account("gemini", f"acc_{number}"), "theirs"))
        assert unable.value.error.param == "messages[0]"
    assert len(house.fetched) == 1, "fetching takes its time: the next account knows already"


async def test_an_earlier_answer() -> None:  # C-23
    """Told in full to everybody but the account that has it; lost ones are refused."""
    value = {"input": [{"role": "user", "content": "one"}], "response": {"id": "resp_1", "output": [said("two")]}, "theirs": True}
    kept = state.Kept(value, "acc_1", None)
    body = {"model": "m", "input": "three", "previous_response_id": "resp_1"}
    house = House(kept=[kept])
    _, prepared = await ready(house, "openai-responses", body, account("openai"))
    assert sent(prepared)["previous_response_id"] == "resp_1"
    _, prepared = await ready(house, "openai-responses", body, account("openai", "acc_2"))
    assert [one["role"] for one in sent(prepared)["input"]] == ["user", "assistant", "user"]
    _, prepared = await ready(house, "openai-responses", body, account("openai"), account("anthropic", "acc_3"))
    assert [one["role"] for one in sent(prepared)["messages"]] == ["user", "assistant", "user"]
    _, prepared = await ready(House(), "openai-responses", body, account("openai"))
    assert sent(prepared)["previous_response_id"] == "resp_1", "it may be older than we are: the provider knows"
    with pytest.raises(Unable) as unable:
        await ready(House(), "openai-responses", body, account("anthropic"))
    assert unable.value.error.code == "previous_response_not_found"
    # An id that was made here means nothing to a provider, also to the one that gave the answer.
    translated = House(kept=[replace(kept, value={**value, "theirs": False})])
    _, prepared = await ready(translated, "openai-responses", body, account("openai"))
    assert [one["role"] for one in sent(prepared)["input"]] == ["user", "assistant", "user"]


def said(text: str) -> Json:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": text}],
    }


async def test_only_wanted_answers_are_kept() -> None:
    response = {"id": "resp_9", "object": "response", "status": "completed", "model": "x", "output": [said("hi")]}
    for body, keeping, expected in (({}, True, 1), ({"store": False}, True, 0), ({}, False, 0)):
        asked, prepared = await ready(House(keeping=keeping), "openai-responses", {"model": "m", "input": "q", **body}, account("openai"))
        prepared.lane.whole(json.dumps(response).encode())
        rows = kept_rows(asked, prepared.lane, keeping=keeping)
        assert [(row["kind"], row["id"], row["value"]["theirs"]) for row in rows] == [("response", "resp_9", True)] * expected


async def test_the_id_of_a_retold_answer_is_known_here_only() -> None:  # C-23
    """The provider ignored `stream`, or was given another body than the client's: the client has an id that we made."""
    envelope = seal(Opaque("anthropic.signature", "x", Origin("anthropic", "m")))
    thought = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": envelope}
    body = {"model": "m", "input": [{"role": "user", "content": "q"}, thought, {"role": "user", "content": "go on"}]}
    asked, prepared = await ready(House(), "openai-responses", body, account("openai"))
    response = {"id": "resp_9", "object": "response", "status": "completed", "model": "x", "output": [said("hi")]}
    prepared.lane.whole(json.dumps(response).encode())
    (row,) = kept_rows(asked, prepared.lane, keeping=True)
    assert row["id"] != "resp_9" and row["value"]["theirs"] is False


async def test_what_passed_is_retold_whatever_it_says() -> None:
    """Prompts of token ids and stored prompts are for the provider alone; its answer is for the client all the same."""
    for wire, body in (
        ("openai-completions", {"model": "m", "prompt": [[1, 2], [3]], "stream": True}),
        ("openai-responses", {"model": "m", "prompt": {"id": "pmpt_1"}, "stream": True}),
    ):
        preparer = House().preparer()
        asked = await preparer.look(call(wire, body))
        assert preparer.telling(asked, Candidate(account("custom-openai"), "theirs")).ended is False


async def test_a_huge_request_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "MOST_KEPT", 200)
    response = {"id": "resp_9", "object": "response", "status": "completed", "model": "x", "output": [said("hi")]}
    for length, expected in ((10, 1), (300, 0)):
        asked, prepared = await ready(House(), "openai-responses", {"model": "m", "input": "q" * length}, account("openai"))
        prepared.lane.whole(json.dumps(response).encode())
        assert len(kept_rows(asked, prepared.lane, keeping=True)) == expected


async def test_a_level_is_said_to_the_provider() -> None:  # P-49
    _, prepared = await ready(House(), "openai-chat", HELLO, account("groq"), level="low")
    assert sent(prepared)["reasoning_effort"] == "low"
    _, prepared = await ready(House(), "openai-chat", HELLO, account("anthropic"), model="claude-opus-5-5", level="high")
    assert sent(prepared)["output_config"] == {"effort": "high"} and "thinking" not in prepared.dropped


async def test_completions_go_where_prompts_are_completed() -> None:  # P-41
    body = {"model": "m", "prompt": "Once"}
    _, prepared = await ready(House(), "openai-completions", body, account("together"))
    assert prepared.request.url.endswith("/completions") and sent(prepared)["prompt"] == "Once"
    for model, path in (("gpt-5", "/chat/completions"), ("gpt-3.5-turbo-instruct", "/v1/completions")):
        _, prepared = await ready(House(), "openai-completions", body, account("openai"), model=model)
        assert prepared.request.url.endswith(path)


async def test_embeddings_and_pictures_need_a_provider_that_has_them() -> None:  # J-02
    _, prepared = await ready(House(), "openai-embeddings", {"model": "m", "input": "x"}, account("gemini"))
    assert prepared.request.url.endswith("/models/theirs:embedContent")
    odd = {"model": "m", "input": [{"image": "https://pictures.example/a.png"}], "encoding_format": "int8"}
    _, prepared = await ready(House(), "openai-embeddings", odd, account("together"))
    assert isinstance(prepared.lane, lanes.PassThrough) and sent(prepared) == {**odd, "model": "theirs"}
    with pytest.raises(Unable, match="must be a string"):
        await ready(House(), "openai-embeddings", odd, account("gemini"))
    for wire, body in (("openai-embeddings", {"model": "m", "input": "x"}), ("image", {"model": "m", "prompt": "x"})):
        with pytest.raises(Unable, match="has no"):
            await ready(House(), wire, body, account("anthropic"))
    _, prepared = await ready(House(), "image", {"model": "m", "prompt": "x"}, account("openai"))
    assert isinstance(prepared.lane, lanes.Raw) and sent(prepared) == {"model": "theirs", "prompt": "x"}


async def test_a_bad_body_is_refused_before_anything_else() -> None:
    with pytest.raises(GatewayError) as refused:
        await House().preparer().look(replace(call("openai-chat", {}), body=b"{"))
    assert refused.value.kind is Kind.BAD_REQUEST
