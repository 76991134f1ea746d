"""What the SDKs raise when something goes wrong, whom the gateway asks instead, and what it remembers of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import anthropic
import openai
import pytest

from omni_connector.store import keys as key_rows
from tests.live.answers import CHAT, MESSAGES, Said, chat_chunks, chat_error, event, message_events, messages_error
from tests.live.asking import Clients
from tests.live.conftest import Json, Stage
from tests.serving import Answer, stream, whole

pytestmark = pytest.mark.asyncio(loop_scope="module")

WIRE = {"openai": CHAT, "anthropic": MESSAGES}
DIRECTIONS = pytest.mark.parametrize(("client", "provider"), [(client, provider) for client in WIRE for provider in WIRE])
STREAMED = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
ASKED: Json = {"model": "asked-model", "max_tokens": 300, "messages": [{"role": "user", "content": "hi"}]}

RAISED: Mapping[int, tuple[type[openai.APIStatusError], type[anthropic.APIStatusError]]] = {
    400: (openai.BadRequestError, anthropic.BadRequestError),
    401: (openai.AuthenticationError, anthropic.AuthenticationError),
    403: (openai.PermissionDeniedError, anthropic.PermissionDeniedError),
    404: (openai.NotFoundError, anthropic.NotFoundError),
    413: (openai.APIStatusError, anthropic.RequestTooLargeError),
    422: (openai.UnprocessableEntityError, anthropic.UnprocessableEntityError),
    429: (openai.RateLimitError, anthropic.RateLimitError),
    500: (openai.InternalServerError, anthropic.InternalServerError),
    503: (openai.InternalServerError, anthropic.ServiceUnavailableError),
}
TYPES: Mapping[int, tuple[str, str]] = {
    400: ("invalid_request_error", "invalid_request_error"),
    401: ("authentication_error", "authentication_error"),
    403: ("permission_denied", "permission_error"),
    404: ("not_found", "not_found_error"),
    413: ("request_too_large", "request_too_large"),
    422: ("invalid_request_error", "invalid_request_error"),
    429: ("rate_limit_exceeded", "rate_limit_error"),
    500: ("internal_error", "api_error"),
    503: ("service_unavailable", "api_error"),
}


async def refused(clients: Clients, client: str, status: int, asked: Json = ASKED, *, streamed: bool = False) -> tuple[Json, Any]:
    """The inner error object and the headers of what the SDK raised, after a look at its class, status and form."""
    side = 0 if client == "openai" else 1
    with pytest.raises(RAISED[status][side]) as caught:
        await clients.ask(client, asked, streamed=streamed)
    answer = caught.value.response
    assert answer.status_code == status
    body = answer.json()
    error: Json = body["error"]
    assert error["type"] == TYPES[status][side]
    if client == "openai":
        assert error.keys() >= {"message", "type", "code", "param", "status"} and error["status"] == status
    else:
        assert body["type"] == "error"
    return error, answer.headers


# ---------------------------------------------------------------- The caller's own mistakes

MISTAKES: Mapping[str, tuple[int, str, Callable[[], Answer], Callable[[], Answer]]] = {
    "bad value": (
        400,
        "7 is greater than the maximum of 2",
        lambda: chat_error(400, "'temperature': 7 is greater than the maximum of 2", "decimal_above_max_value"),
        lambda: messages_error(400, "temperature: 7 is greater than the maximum of 2"),
    ),
    "too long": (
        400,
        "maximum context",
        lambda: chat_error(400, "This model's maximum context length is 8192 tokens.", "context_length_exceeded"),
        lambda: messages_error(400, "prompt is too long: 210000 tokens > 200000 maximum context"),
    ),
    "too large": (
        413,
        "too large",
        lambda: chat_error(413, "Request too large.", None, "request_too_large"),
        lambda: messages_error(413, "Request too large.", "request_too_large"),
    ),
    "unprocessable": (
        422,
        "no such field",
        lambda: whole({"detail": [{"loc": ["body", "tools"], "msg": "no such field"}]}, 422),
        lambda: messages_error(422, "no such field"),
    ),
}


@DIRECTIONS
@pytest.mark.parametrize("mistake", MISTAKES)
# C-39 C-46 C-47 P-55
async def test_a_mistake_returns_at_once(stage: Stage, client: str, provider: str, mistake: str) -> None:
    """Nobody else is asked, nobody cools, and the provider's words arrive."""
    status, words, *answers = MISTAKES[mistake]
    account = await stage.account(provider, "main", priority=9)
    await stage.account(provider, "spare")
    stage.upstream.answer(answers[0 if provider == "openai" else 1](), Said("fine").answer(WIRE[provider], False))
    error, headers = await refused(stage.clients, client, status)
    assert words.lower() in error["message"].lower()
    assert len(stage.upstream.seen) == 1 and headers["x-omni-attempts"] == "1"
    if mistake == "too long":
        # The words and the code by which clients know that they must shorten the conversation.
        assert error["code"] == "context_length_exceeded" if client == "openai" else error["message"].startswith("prompt is too long")

    row = await stage.row()
    assert (row["outcome"], row["http_status"]) == ("failed", status)
    assert row["usage"]["source"] == "none" and row["error"]["message"]
    assert (await stage.ask(client, ASKED)).headers["x-omni-account"] == "main"
    assert (await stage.rig.gateway.admin.account(account["id"]))["status"] == "ready"


# ---------------------------------------------------------------- An account's fault

FAULTS: Mapping[str, tuple[Callable[[], Answer], Callable[[], Answer]]] = {
    "401": (
        lambda: chat_error(401, "Incorrect API key provided: sk-main-key-0123456789.", "invalid_api_key"),
        lambda: messages_error(401, "invalid x-api-key", "authentication_error"),
    ),
    "403": (
        lambda: chat_error(403, "Country not supported", "unsupported_country"),
        lambda: messages_error(403, "Your key may not do this", "permission_error"),
    ),
    "404": (
        lambda: chat_error(404, "The model `test-model` does not exist", "model_not_found"),
        lambda: messages_error(404, "model: test-model", "not_found_error"),
    ),
    "429": (
        lambda: chat_error(429, "Rate limit reached", "rate_limit_exceeded", "requests", retry_after="17"),
        lambda: messages_error(429, "You would exceed your limit", "rate_limit_error", retry_after="17"),
    ),
    "500": (
        lambda: chat_error(500, "The server had an error", None, "server_error"),
        lambda: messages_error(500, "Internal server error", "api_error"),
    ),
    "529": (
        lambda: chat_error(503, "That model is overloaded", None, "server_error"),
        lambda: messages_error(529, "Overloaded", "overloaded_error"),
    ),
}
STATUS = {"401": "needs_login", "403": "cooling", "404": "cooling", "429": "cooling", "500": "cooling", "529": "cooling"}


@DIRECTIONS
@pytest.mark.parametrize("fault", FAULTS)
@STREAMED
# C-17 J-04 P-55
async def test_another_account_takes_over(stage: Stage, client: str, provider: str, fault: str, streamed: bool) -> None:
    failing = await stage.account(provider, "main", priority=9)
    await stage.account(provider, "spare")
    fails = FAULTS[fault][0 if provider == "openai" else 1]()
    stage.upstream.answer(fails, Said("from the spare one").answer(WIRE[provider], streamed))
    heard = await stage.ask(client, ASKED, streamed=streamed)
    assert heard.text == "from the spare one"
    assert (heard.headers["x-omni-account"], heard.headers["x-omni-attempts"]) == ("spare", "2")

    row = await stage.row()
    assert (row["outcome"], row["account"]["label"], row["flag"]) == ("ok", "spare", None)
    assert [(one["account"], one["status"]) for one in row["attempts"]] == [("main", fails.status), ("spare", 200)]
    assert row["attempts"][0]["kind"] and row["attempts"][0]["message"]
    account = await stage.until(lambda account: account["status"] not in ("ready",), failing["id"])
    assert account["status"] in (STATUS[fault], "locked")


@DIRECTIONS
@pytest.mark.parametrize("fault", FAULTS)
# O-21 C-45 C-46 C-47
async def test_nobody_left(stage: Stage, client: str, provider: str, fault: str) -> None:
    """503 with each candidate's own failure; never the provider's 401 or 429 as if it were about the omni-key."""
    account = await stage.account(provider)
    disabled = await stage.account(provider, "resting", enabled=False)
    fails = FAULTS[fault][0 if provider == "openai" else 1]()
    stage.upstream.answer(fails)
    error, headers = await refused(stage.clients, client, 503)
    tried, skipped = error["provider_failures"]
    assert (tried["provider"], tried["account"], tried["status"], tried["skipped"]) == (provider, "main", fails.status, False)
    assert (skipped["account"], skipped["skipped"]) == (disabled["label"], True) and skipped["message"]
    said = json.loads(b"".join(piece for piece in fails.pieces if isinstance(piece, bytes)))["error"]["message"]
    assert tried["message"].startswith(said.partition(": sk-")[0])
    assert "sk-main-key-0123456789" not in str(error)
    if fault == "429":
        assert 15 <= int(headers["retry-after"]) <= 17
    row = await stage.row()
    assert (row["outcome"], row["http_status"], row["flag"]) == ("failed", 503, "NO_ACCOUNT")
    assert "sk-main-key-0123456789" not in str(row)

    await stage.until(lambda account: account["status"] == STATUS[fault] or account["status"] == "locked", account["id"])
    if fault in ("401", "429"):
        # Known to be out: nobody is troubled again, and the reason is told.
        again, _ = await refused(stage.clients, client, 503)
        assert len(stage.upstream.seen) == 1
        assert [one["skipped"] for one in again["provider_failures"]] == [True, True]


# ---------------------------------------------------------------- Inside a stream

OPENINGS: Mapping[str, Callable[[], str]] = {
    "openai": lambda: next(chat_chunks(Said("x"))),
    "anthropic": lambda: "".join(list(message_events(Said("x")))[:2]),
}
WORDS: Mapping[str, Callable[[], str]] = {
    "openai": lambda: "".join(list(chat_chunks(Said("half of an answer")))[:-1]),
    "anthropic": lambda: "".join(list(message_events(Said("half of an answer")))[:-1]),
}
FAILURES: Mapping[str, str] = {
    "openai": 'data: {"error":{"message":"The engine is on fire","type":"server_error","code":null}}\n\n',
    "anthropic": event("error", error={"type": "overloaded_error", "message": "The engine is on fire"}),
}


@DIRECTIONS
@pytest.mark.parametrize("how", ["error", "cut"])
async def test_a_stream_that_fails_before_its_first_word(stage: Stage, client: str, provider: str, how: str) -> None:
    await stage.account(provider, "main", priority=9)
    await stage.account(provider, "spare")
    begun = OPENINGS[provider]()
    fails = stream(begun + FAILURES[provider]) if how == "error" else stream(begun, cut=True)
    stage.upstream.answer(fails, Said("whole again").answer(WIRE[provider], True))
    heard = await stage.ask(client, ASKED, streamed=True)
    assert (heard.text, heard.headers["x-omni-attempts"]) == ("whole again", "2")


@DIRECTIONS
@pytest.mark.parametrize("how", ["error", "cut", "closed"])
async def test_a_stream_that_fails_after_its_first_word(stage: Stage, client: str, provider: str, how: str) -> None:
    """The SDK raises instead of taking half an answer for a whole one, and no clean end follows the error."""
    await stage.account(provider, "main", priority=9)
    await stage.account(provider, "spare")
    fails = stream(WORDS[provider](), cut=how == "cut")
    fails.pieces.append(0.05)  # the words are on their way to the client before the rest goes wrong
    if how == "error":
        fails.pieces.append(FAILURES[provider].encode())
    stage.upstream.answer(fails)
    with pytest.raises(openai.APIError if client == "openai" else anthropic.APIError) as caught:
        await stage.ask(client, ASKED, streamed=True)
    assert how != "error" or "on fire" in str(caught.value)
    assert len(stage.upstream.seen) == 1
    row = await stage.row()
    assert (row["outcome"], row["http_status"]) == ("cut", 200) and row["flag"] and row["error"]
    assert row["usage"]["output"] > 0 and row["usage"]["source"] in ("counted", "reported")

    path = {"openai": "chat/completions", "anthropic": "messages"}[client]
    raw = await stage.clients.http.post(f"{stage.rig.url}/v1/{path}", json={**ASKED, "stream": True}, headers=stage.rig.bearer)
    assert '"error"' in raw.text.rstrip().rsplit("\n\n", 1)[-1] and raw.text.endswith("\n\n")
    assert '"half of' in raw.text and "[DONE]" not in raw.text and "message_stop" not in raw.text


@DIRECTIONS
async def test_an_error_in_a_whole_answer_with_status_200(stage: Stage, client: str, provider: str) -> None:
    await stage.account(provider, "main", priority=9)
    await stage.account(provider, "spare")
    fails = {
        "openai": whole({"error": {"message": "Upstream idle", "code": 502}}),
        "anthropic": whole({"type": "error", "error": {"type": "api_error", "message": "Upstream idle"}}),
    }
    stage.upstream.answer(fails[provider], Said("well").answer(WIRE[provider], False))
    heard = await stage.ask(client, ASKED)
    assert (heard.text, heard.headers["x-omni-account"]) == ("well", "spare")


@DIRECTIONS
@STREAMED
async def test_an_answer_that_is_no_json(stage: Stage, client: str, provider: str, streamed: bool) -> None:
    await stage.account(provider, "main", priority=9)
    stage.upstream.answer(Answer(200, {"content-type": "application/json"}, [b"<html>gateway</html>"]))
    error, _ = await refused(stage.clients, client, 503, streamed=streamed)
    assert "gateway" in error["provider_failures"][0]["message"]


# ---------------------------------------------------------------- Ours


@pytest.mark.parametrize("client", WIRE)
# O-20 C-40
async def test_keys_that_do_not_open(stage: Stage, client: str) -> None:
    await stage.account()
    gateway, rig = stage.rig.gateway, stage.rig
    revoked = await gateway.admin.create_key({"name": f"revoked for {client}"})
    await gateway.admin.revoke_key(revoked["id"])
    expired = await gateway.admin.create_key({"name": f"expired for {client}"})
    await gateway.db.tx(lambda conn: key_rows.update(conn, expired["id"], {"expires_at": 1}))
    await gateway.reload()
    typo = rig.key[:-1] + ("y" if rig.key.endswith("x") else "x")
    for wrong in ("sk-of-somebody-else", typo, revoked["key"], expired["key"], gateway.admin_key):
        clients = Clients(rig.url, wrong)
        error, _ = await refused(clients, client, 401)
        assert client == "anthropic" or error["code"] == "invalid_api_key"
        assert wrong not in str(error)
        await clients.close()
    path = {"openai": "chat/completions", "anthropic": "messages"}[client]
    missing = await stage.clients.http.post(f"{rig.url}/v1/{path}", json=ASKED)
    assert (missing.status_code, missing.json()["error"]["type"]) == (401, "authentication_error")
    assert not stage.upstream.seen


@pytest.mark.parametrize("client", WIRE)
# C-42
async def test_a_model_nobody_has(stage: Stage, client: str) -> None:
    await stage.account()
    error, _ = await refused(stage.clients, client, 404, {**ASKED, "model": "tset-model"})
    assert "test-model" in error["message"]
    assert client == "anthropic" or error["code"] == "model_not_found"
    assert (await stage.row())["model_requested"] == "tset-model"


@pytest.mark.parametrize("client", WIRE)
# C-41 C-43
async def test_what_a_key_may_not(stage: Stage, client: str) -> None:
    await stage.account()
    stage.upstream.answer(Said("once").answer(CHAT, False))
    elsewhere = await stage.rig.gateway.admin.create_key({"name": f"elsewhere {client}", "providers": ["groq"]})
    clients = Clients(stage.rig.url, elsewhere["key"])
    await refused(clients, client, 403)
    await clients.close()
    seldom = await stage.rig.gateway.admin.create_key({"name": f"seldom {client}", "rpm": 1})
    clients = Clients(stage.rig.url, seldom["key"])
    await clients.ask(client, ASKED)
    _, headers = await refused(clients, client, 429)
    assert 1 <= int(headers["retry-after"]) <= 60
    await clients.close()
    assert len(stage.upstream.seen) == 1


@pytest.mark.parametrize("client", WIRE)
# O-21 C-45
async def test_nothing_connected(stage: Stage, client: str) -> None:
    error, _ = await refused(stage.clients, client, 503, {**ASKED, "model": "auto"})
    assert "connect" in error["message"].lower()


@pytest.mark.parametrize("client", WIRE)
# C-44
async def test_a_fault_of_our_own(stage: Stage, client: str, monkeypatch: pytest.MonkeyPatch) -> None:
    await stage.account()

    def broken(*_: object) -> None:
        raise ZeroDivisionError("secret inner life")

    relay = stage.rig.gateway.relay
    monkeypatch.setattr(relay, "_doors", replace(relay._doors, plan=broken))
    error, _ = await refused(stage.clients, client, 500)
    row = await stage.row()
    assert row["id"] in error["message"] and "inner life" not in error["message"]
    assert (row["outcome"], row["flag"]) == ("failed", "INTERNAL")
