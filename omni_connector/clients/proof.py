"""One real request through a client's key, in the client's own wire format: what the client will get, before it asks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, field
from typing import Any

from omni_connector.chat import ChatRequest, Message, Origin, Target, TextPart
from omni_connector.errors import GatewayError
from omni_connector.upstream import Upstream, UpstreamRequest
from omni_connector.values import dataclass
from omni_connector.wire import FORMATS, upstream_path

WITHIN_S = 90.0
MODELS_S = 10.0
WORDS = "Reply with the word pong."
MOST_TOKENS = 16
"""The Responses format takes no smaller answer."""


@dataclass(frozen=True, slots=True)
class Proof:
    """`ok` None: it was not made, and `words` says why. `cost` in dollars as the server says it, "" where it does not know."""

    ok: bool | None
    words: str
    account: str = ""
    model: str = ""
    cost: str = ""
    models: int = field(default=0)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


async def prove(upstream: Upstream, url: str, key: str, model: str, wire: str) -> Proof:
    """Lists the models, then asks for a word. Never raises for what the server says: that is the proof."""
    headers = {"authorization": f"Bearer {key}", "accept-encoding": "identity"}
    try:
        status, _, body = await upstream.fetch(UpstreamRequest("GET", f"{url}/v1/models", headers), MODELS_S)
        if status != 200:
            return Proof(False, f"GET {url}/v1/models answers {status}: {said(body)}")
        models = len(json.loads(body)["data"])
        status, heads, body = await upstream.fetch(asking(url, headers, model, wire), WITHIN_S)
    except (GatewayError, ValueError, KeyError, TypeError) as error:
        words = error.message if isinstance(error, GatewayError) else "what answers there is no omni-connector"
        return Proof(False, f"{url} does not answer as it should: {words}")
    if status != 200:
        return Proof(False, f"A request for {model!r} answers {status}: {said(body)}", models=models)
    account, served, cost = (heads.get(f"x-omni-{name}", "") for name in ("account", "model", "cost"))
    spent = f"${cost}" if cost else "an unknown amount"
    words = f"It works: account {account!r} answered with {served or model}, for {spent}. {models} models can be asked for."
    return Proof(True, words, account, served, cost, models)


async def by_http(url: str, key: str, model: str, wire: str) -> Proof:
    """The same with connections of its own."""
    upstream = Upstream()
    await upstream.open()
    try:
        return await prove(upstream, url, key, model, wire)
    finally:
        await upstream.close()


def asking(url: str, headers: Mapping[str, str], model: str, wire: str) -> UpstreamRequest:
    """The request for a word, as a client of that format sends it."""
    return sending(url, headers, ChatRequest(wire, model, (Message("user", (TextPart(WORDS),)),), max_tokens=MOST_TOKENS))


def sending(url: str, headers: Mapping[str, str], request: ChatRequest) -> UpstreamRequest:
    """Any conversation, as a client of its format (`request.wire`) sends it to the gateway at `url`."""
    rendered = FORMATS[request.wire].render_request(request, request.model, Target(Origin("", request.model)))
    return posting(address(url, request.wire, upstream_path(request.wire, request.model, request.stream)), headers, rendered.body)


def posting(url: str, headers: Mapping[str, str], body: Mapping[str, Any]) -> UpstreamRequest:
    return UpstreamRequest("POST", url, {**headers, "content-type": "application/json"}, json.dumps(body).encode())


def address(url: str, wire: str, path: str) -> str:
    """Where clients of a format find a path of it below the gateway's address."""
    full = path if path.startswith("/v1") else f"/{'v1beta' if wire == 'gemini-generate' else 'v1'}{path}"
    return f"{url}{full}"


def said(body: bytes) -> str:
    """The words of a refusal, short."""
    try:
        words = json.loads(body)["error"]["message"]
    except (ValueError, KeyError, TypeError):
        words = body.decode("utf-8", "replace")
    return " ".join(str(words).split())[:400]
