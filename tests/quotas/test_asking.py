"""Questions side by side, and what they come to. P-05, J-07"""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from omni_connector import providers
from omni_connector.errors import GatewayError, Kind
from omni_connector.quotas.asking import Asker, parsed, same_credential
from omni_connector.snapshot import Account
from omni_connector.tokens import Tokens
from omni_connector.upstream import UpstreamRequest
from tests.quotas.conftest import START, Reply

SECRET = "ya29.a-long-enough-token"
BUCKETS = {"buckets": [{"modelId": "gemini-2.5-pro", "remainingFraction": 0.25}]}
TIERS = {"currentTier": {"name": "Standard"}}


def google(**more: Any) -> Account:
    options: dict[str, Any] = {"project": "p-1", "endpoints": {"quota": "http://127.0.0.1:1"}, "identity": {"email": "a@b.c"}}
    return providers.complete(
        Account("acc_1", "gemini-cli", "g", auth="oauth", secret=Tokens(SECRET, "r").encode(), options=options | more)
    )


class Network:
    def __init__(self, **says: Reply | Exception) -> None:
        self.says = says
        self.asked: list[str] = []
        self.together = 0
        self.most = 0

    async def fetch(self, request: UpstreamRequest, within: float) -> tuple[int, dict[str, str], bytes]:
        call = request.url.rpartition(":")[2]
        self.asked.append(call)
        self.together += 1
        self.most = max(self.most, self.together)
        await asyncio.sleep(0)
        self.together -= 1
        told = self.says[call]
        if isinstance(told, Exception):
            raise told
        return told[0], told[1], json.dumps(told[2]).encode()

    def asker(self) -> Asker:
        network: Any = self

        async def renew(account: Account, refused: str) -> Account:
            raise GatewayError(Kind.ACCOUNT_REJECTED, f"no newer token than {SECRET}")

        return Asker(network, dict, renew, lambda: START)


async def test_all_questions_at_once_at_the_address_that_is_set() -> None:  # P-05
    network = Network(retrieveUserQuota=(200, {}, BUCKETS), loadCodeAssist=(200, {}, TIERS))
    answer = await network.asker().ask(google())
    assert (sorted(network.asked), network.most) == (["loadCodeAssist", "retrieveUserQuota"], 2)
    assert answer.windows is not None
    assert (answer.windows[0]["used"], answer.plan, answer.error, answer.whole) == (75.0, "Standard", "", True)
    assert (answer.told, answer.hosts) == (True, frozenset({"127.0.0.1:1"}))


async def test_half_an_answer_is_worth_having() -> None:
    answer = (
        await Network(retrieveUserQuota=(200, {}, BUCKETS), loadCodeAssist=(403, {}, {"error": {"message": SECRET}})).asker().ask(google())
    )
    assert answer.windows is not None
    assert (len(answer.windows), answer.whole, answer.limited) == (1, False, False)
    assert "403" in answer.error and SECRET not in answer.error
    other = await Network(retrieveUserQuota=(500, {}, None), loadCodeAssist=(200, {}, TIERS)).asker().ask(google())
    assert (other.windows, other.plan, other.told) == (None, "Standard", False), "no windows are not zero windows"


@pytest.mark.parametrize(
    ("status", "headers", "wait"),
    [(429, {"retry-after": "90"}, 90), (429, {"retry-after": "9999999"}, 86_400), (500, {"retry-after": "9"}, None)],
)
async def test_how_long_to_wait(status: int, headers: dict[str, str], wait: float | None) -> None:
    reply: Reply = (status, headers, {})
    answer = await Network(retrieveUserQuota=reply, loadCodeAssist=reply).asker().ask(google())
    assert (answer.told, answer.limited, answer.wait_s) == (False, status == 429, wait)


async def test_nothing_raises() -> None:
    lost = GatewayError(Kind.UPSTREAM_UNREACHABLE, f"nothing answers, {SECRET}")
    answer = await Network(retrieveUserQuota=lost, loadCodeAssist=lost).asker().ask(google())
    assert answer.error == "nothing answers, [redacted]"
    refused = await Network(retrieveUserQuota=(401, {}, {}), loadCodeAssist=(401, {}, {})).asker().ask(google())
    assert refused.error == "no newer token than [redacted]"


async def test_who_is_asked_at_all() -> None:
    asker = Network().asker()
    assert asker.asks(google())
    assert not asker.asks(google(endpoints={"quota": "not a url"}))
    for provider, asks in (("deepseek", True), ("openai", False), ("glm", False), ("gone", False)):
        assert asker.asks(Account("acc_1", provider, "x", secret="sk-1")) is asks, provider


def test_a_renewed_sign_in_is_the_same_credential() -> None:
    old = google()
    assert same_credential(replace(old, secret=Tokens("ya29.b").encode()), old)
    assert same_credential(google(identity={"email": "a@b.c", "plan": "new"}), old)
    assert not same_credential(google(identity={"email": "x@b.c"}), old)
    assert not same_credential(google(signed_in=5), old)
    keyed = Account("acc_1", "openai", "x", secret="sk-1")
    assert same_credential(keyed, keyed) and not same_credential(replace(keyed, secret="sk-2"), keyed)


def test_what_is_no_json_is_nothing() -> None:
    assert [parsed(raw) for raw in (b"", b"<html>", b'{"a', b"[" * 200_000, b"\xff", b'{"a": 1}')] == [None] * 5 + [{"a": 1}]
