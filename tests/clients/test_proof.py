import json
from collections.abc import Mapping
from typing import Any

import pytest

from omni_connector.chat import ChatRequest, Message, TextPart
from omni_connector.clients import CLIENTS
from omni_connector.clients.proof import Proof, asking, prove, sending
from omni_connector.errors import GatewayError, Kind
from omni_connector.upstream import UpstreamRequest

PATHS = {
    "openai-chat": "/v1/chat/completions",
    "openai-responses": "/v1/responses",
    "anthropic-messages": "/v1/messages",
    "gemini-generate": "/v1beta/models/auto:generateContent",
}
HEADS = {"x-omni-account": "work", "x-omni-model": "gpt-5", "x-omni-cost": "0.000012"}


class Server:
    def __init__(self, *answers: tuple[int, Mapping[str, str], Any]) -> None:
        self.answers = list(answers)
        self.asked: list[UpstreamRequest] = []

    async def fetch(self, request: UpstreamRequest, within: float) -> tuple[int, Mapping[str, str], bytes]:
        self.asked.append(request)
        status, headers, body = self.answers.pop(0)
        return status, headers, body if isinstance(body, bytes) else json.dumps(body).encode()


async def proved(*answers: tuple[int, Mapping[str, str], Any]) -> Proof:
    return await prove(Server(*answers), "http://x", "omni-k", "auto", "openai-chat")  # type: ignore[arg-type]


@pytest.mark.parametrize("wire", sorted({client.wire for client in CLIENTS.values()}))
def test_each_client_is_asked_for_in_its_own_format(wire: str) -> None:
    request = asking("http://x", {"authorization": "Bearer k"}, "auto", wire)
    assert request.url == f"http://x{PATHS[wire]}"
    assert b"pong" in request.body


def test_a_streamed_one_goes_where_streams_are() -> None:
    request = ChatRequest("gemini-generate", "work/x", (Message("user", (TextPart("hi"),)),), stream=True)
    assert sending("http://x", {}, request).url.startswith("http://x/v1beta/models/work%2Fx:streamGenerateContent")


async def test_what_answered_is_told_with_what_it_cost() -> None:
    models = (200, {}, {"data": [{"id": "a"}, {"id": "b"}]})
    proof = await proved(models, (200, HEADS, {}))
    assert (proof.ok, proof.account, proof.model, proof.cost, proof.models) == (True, "work", "gpt-5", "0.000012", 2)
    assert "account 'work' answered with gpt-5, for $0.000012" in proof.words
    assert "an unknown amount" in (await proved(models, (200, {}, {}))).words


async def test_a_refusal_is_the_proof() -> None:
    models = (200, {}, {"data": []})
    refused = await proved((401, {}, {"error": {"message": "This key is revoked."}}))
    assert refused.ok is False
    assert "answers 401: This key is revoked." in refused.words
    assert "503: no account" in (await proved(models, (503, {}, {"error": {"message": "no\naccount"}}))).words
    assert "502: <html>" in (await proved(models, (502, {}, b"<html>"))).words
    assert "no omni-connector" in (await proved((200, {}, b"hello"))).words


async def test_nobody_there() -> None:
    class Gone(Server):
        async def fetch(self, request: UpstreamRequest, within: float) -> Any:
            raise GatewayError(Kind.UPSTREAM_UNREACHABLE, "refused")

    proof = await prove(Gone(), "http://x", "k", "auto", "openai-chat")  # type: ignore[arg-type]
    assert (proof.ok, proof.words) == (False, "http://x does not answer as it should: refused")
