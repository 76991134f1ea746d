"""What counts as a good answer, scenario by scenario and format by format. The server is played; its bytes are the codecs' own."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from omni_connector import verifying
from omni_connector.chat import ChatResponse, Choice, Ended, Finish, Part, TextPart, ToolCallPart, Usage, unfold
from omni_connector.errors import GatewayError, Kind
from omni_connector.upstream import UpstreamRequest
from omni_connector.verifying import FORMAT_NAMES, SCENARIOS, Cell, Tried
from omni_connector.wire import FORMATS, model_lists, parse_request

WORK = Tried("work", "openai", "gpt-x")
HEADS = {"x-omni-account": "work"}
USED = Usage(input=9, output=3)
CALL = ToolCallPart("call_1", "get_weather", '{"city": "Paris"}')


def answer(*parts: Part, finish: Finish = Finish.STOP, usage: Usage | None = USED) -> ChatResponse:
    return ChatResponse("id_1", "gpt-x", 1, (Choice(parts, finish),), usage)


GOOD: Mapping[str, tuple[ChatResponse, ...]] = {
    "whole": (answer(TextPart("pong")),),
    "streamed": (answer(TextPart("pong")),),
    "tools": (answer(CALL, finish=Finish.TOOL_CALLS), answer(TextPart("18 degrees"))),
    "json": (answer(TextPart('{"colour": "blue"}')),),
    "system": (answer(TextPart("Zebra.")),),
    "picture": (answer(TextPart("black")),),
    "usage": (answer(TextPart("pong")),),
}
BAD: Mapping[str, tuple[tuple[ChatResponse, str], ...]] = {
    "whole": ((answer(), "no text"), (answer(finish=Finish.LENGTH), "limit of 512 tokens")),
    "streamed": ((answer(TextPart(" ")), "no text"),),
    "tools": (
        (answer(TextPart("It is sunny.")), "in words"),
        (answer(replace(CALL, name="other")), "'other'"),
        (answer(replace(CALL, arguments="{")), "no JSON object"),
        (answer(replace(CALL, id="")), "no id"),
    ),
    "json": ((answer(TextPart("blue")), "no JSON object"), (answer(TextPart('{"color": "blue"}')), "schema"), (answer(), "no text")),
    "system": ((answer(TextPart("Hello!")), "does not follow"),),
    "picture": ((answer(), "no text"),),
    "usage": ((answer(TextPart("pong"), usage=None), "no usage"), (answer(TextPart("pong"), usage=Usage(input=0, output=3)), "counts no")),
}


@pytest.mark.parametrize("name", list(BAD))
def test_good_and_bad_answers(name: str) -> None:
    assert SCENARIOS[name].check(GOOD[name][0]) == ""
    for bad, said in BAD[name]:
        assert said in SCENARIOS[name].check(bad)


def test_the_list_of_models() -> None:
    assert verifying.lists("gpt-x", ["auto", "work/gpt-x"]) == verifying.lists("gpt-x", ["gpt-x"]) == ""
    assert "empty" in verifying.lists("gpt-x", [])
    assert "not in the list of 1" in verifying.lists("gpt-x", ["my-gpt-x"])


def test_the_cheapest_that_chats() -> None:
    prices = {"dear": 10.0, "cheap": 0.5, "text-embedding-x": 0.01}
    assert verifying.cheapest(["text-embedding-x", "unknown", "dear", "cheap"], prices) == "cheap"
    assert verifying.cheapest(["first", "second"], {}) == "first"
    assert verifying.cheapest(["whisper-1"], {}) == ""


# ---------------------------------------------------------------- Through the formats


Reply = tuple[int, Mapping[str, str], bytes]


class Server:
    """Answers in the format it is asked in. `change`: what it does to an answer before it leaves."""

    def __init__(self, *answers: ChatResponse, change: Callable[[Reply], Reply] = lambda reply: reply) -> None:
        self.answers = list(answers)
        self.change = change
        self.asked: list[tuple[UpstreamRequest, Any]] = []

    async def fetch(self, request: UpstreamRequest, within: float) -> Reply:
        wire = next(wire for part, wire in PLACES if part in request.url)
        body = json.loads(request.body or b"{}")
        self.asked.append((request, body))
        assert request.headers["authorization"] == "Bearer omni-k"
        if request.method == "GET":
            wire = "anthropic-messages" if "anthropic-version" in request.headers else wire
            return self.change((200, {}, json.dumps(model_lists.many(wire, [("gpt-x", "openai")])).encode()))
        if "count" in request.url.lower() or "input_tokens" in request.url:
            return self.change((200, {}, json.dumps(verifying.COUNTERS[wire].render_count(9)).encode()))
        stream = bool(body.get("stream")) or "stream" in request.url
        told = parse_request(wire, body, "work/gpt-x", stream)
        response = self.answers.pop(0)
        if not stream:
            return self.change((200, HEADS, json.dumps(FORMATS[wire].render_response(response, told.model, told)).encode()))
        renderer = FORMATS[wire].ResponseRenderer(told.model, told)
        events = list(unfold(response))
        assert isinstance(events[-1], Ended)
        return self.change((200, HEADS, b"".join(renderer.feed(event) for event in events)))


PLACES = (
    ("v1beta", "gemini-generate"),
    ("/messages", "anthropic-messages"),
    ("/responses", "openai-responses"),
    ("/chat/completions", "openai-chat"),
    ("/v1/models", "openai-chat"),
)


async def matrix(server: object, formats: list[str], names: list[str], one: Tried = WORK) -> list[Cell]:
    told: list[Cell] = []
    cells = await verifying.verify(server, "http://x", "omni-k", [one], formats, names, told.append)  # type: ignore[arg-type]
    assert told == cells
    return cells


@pytest.mark.parametrize("format_", FORMAT_NAMES)
@pytest.mark.parametrize("name", SCENARIOS)
async def test_a_good_answer_is_good_in_every_format(name: str, format_: str) -> None:
    server = Server(*GOOD.get(name, ()))
    assert await matrix(server, [format_], [name]) == [Cell("work", "gpt-x", format_, name, "ok")]
    posted = [body for request, body in server.asked if request.method == "POST"]
    assert len(posted) == SCENARIOS[name].requests + (name == "usage" and format_ != "chat")
    if name == "tools":
        assert "18 degrees" in json.dumps(posted[1])


def status(code: int, words: str) -> Callable[[Reply], Reply]:
    return lambda _: (code, {}, json.dumps({"error": {"message": words}}).encode())


@pytest.mark.parametrize(
    ("name", "change", "outcome", "said"),
    [
        ("whole", status(502, "account refused\nthe key"), "failed", "502: account refused the key"),
        ("whole", status(402, "The budget is spent."), "skipped", "cost cap: The budget is spent."),
        ("whole", lambda reply: (200, {"x-omni-account": "other"}, reply[2]), "failed", "'other' answered instead"),
        ("whole", lambda reply: (200, HEADS, b"<html>"), "failed", ""),
        ("whole", lambda reply: (200, HEADS, b"{}"), "failed", ""),
        ("streamed", lambda reply: (*reply[:2], b"\n\n".join(reply[2].split(b"\n\n")[:2]) + b"\n\n"), "failed", "broke off"),
        ("picture", status(400, "No connected account that serves 'x' can do vision, which messages asks for."), "cannot", "vision"),
        ("picture", status(404, "No endpoints found that support image input"), "cannot", "image"),
        ("picture", lambda reply: (200, {**HEADS, "x-omni-dropped": "messages[0].content[1] (image)"}, reply[2]), "cannot", "left out"),
        ("tools", status(400, "Unsupported parameter: max_tokens"), "failed", "max_tokens"),
        ("whole", status(400, "images are not supported"), "failed", "images"),
        ("system", lambda reply: (200, {**HEADS, "x-omni-dropped": "messages.role=system (as text)"}, reply[2]), "ok", ""),
        ("models", lambda reply: (200, {}, b"[]"), "failed", "empty"),
    ],
)
async def test_what_goes_wrong_is_told(name: str, change: Callable[[Reply], Reply], outcome: str, said: str) -> None:
    cells = await matrix(Server(*GOOD.get(name, ()), change=change), ["chat"], [name])
    assert [cell.outcome for cell in cells] == [outcome]
    assert said in cells[0].why
    assert (cells[0].why == "") == (outcome == "ok")


async def test_a_missing_count_is_a_failure() -> None:
    def uncounted(reply: Reply) -> Reply:
        return reply if b"choices" in reply[2] or b"usage" in reply[2] else (200, {}, b"{}")

    assert "count of tokens" in (await matrix(Server(*GOOD["usage"], change=uncounted), ["anthropic"], ["usage"]))[0].why


async def test_after_the_cap_nothing_is_sent_but_what_is_free() -> None:
    def capped(reply: Reply) -> Reply:
        return reply if b"data" in reply[2] else (402, {}, b"spent")

    server = Server(*GOOD["whole"], change=capped)
    cells = await matrix(server, ["chat", "responses"], ["whole", "json", "models"])
    assert [cell.outcome for cell in cells] == ["skipped", "skipped", "ok"] * 2
    assert len([1 for request, _ in server.asked if request.method == "POST"]) == 1


async def test_nobody_there_and_nothing_to_ask() -> None:
    class Gone:
        async def fetch(self, request: UpstreamRequest, within: float) -> Reply:
            raise GatewayError(Kind.UPSTREAM_UNREACHABLE, "x: refused.")

    cells = await matrix(Gone(), ["chat"], ["whole", "models", "json"])
    assert [(cell.outcome, cell.why) for cell in cells] == [("failed", "x: refused.")] * 2 + [("skipped", verifying.NO_ANSWER)]
    assert (await matrix(Gone(), ["chat"], ["whole"], replace(WORK, why="no model")))[0].outcome == "cannot"
    assert (await matrix(Gone(), ["chat"], ["system"], replace(WORK, demo=True)))[0].outcome == "cannot"
