"""The Responses format's token counter on both sides. P-43"""

from __future__ import annotations

import pytest
from openai.types.responses import InputTokenCountResponse

from omni_connector.chat import Origin, Target
from omni_connector.errors import GatewayError
from omni_connector.wire import FORMATS
from omni_connector.wire import openai_responses_tokens as module

AIM = Target(Origin("openai", "gpt-x"), frozenset({"reasoning_effort", "encrypted_reasoning"}))


def test_only_what_counts_is_sent() -> None:
    messages = {
        "model": "asked", "max_tokens": 9, "stream": True, "system": "Be brief", "messages": [{"role": "user", "content": "Hi"}],
        "metadata": {"user_id": "u"}, "temperature": 1,
        "thinking": {"type": "enabled", "budget_tokens": 2000},
        "tools": [{"name": "f", "input_schema": {"type": "object"}}],
    }  # fmt: skip
    body = module.render_count_request(FORMATS["anthropic-messages"].parse_request(messages), "gpt-x", AIM).body
    assert set(body) == {"model", "instructions", "input", "tools", "reasoning"}
    assert body["model"] == "gpt-x"
    assert set(body) <= set(module.FIELDS)


def test_a_client_s_own_body_keeps_its_bytes() -> None:
    body = b'{"input" : "Hi","model":"a", "personality": "friendly"}'
    assert module.same_format(body, {"model": "a"}, "a") is body
    assert module.same_format(body, {"model": "a"}, "b") == b'{"input":"Hi","model":"b","personality":"friendly"}'
    assert module.path("a/b") == "/responses/input_tokens"
    assert module.has_words({"instructions": "x"}) and module.has_words({"previous_response_id": "x"})
    assert not module.has_words({"input": []})


def test_what_only_a_provider_remembers_cannot_be_counted_elsewhere() -> None:
    assert module.parse_count_request({"model": "a", "input": "Hi"}).model == "a"
    with pytest.raises(GatewayError) as caught:
        module.parse_count_request({"model": "a", "input": "Hi", "previous_response_id": "resp_1"})
    assert caught.value.param == "previous_response_id"


def test_answers() -> None:
    assert InputTokenCountResponse.model_validate(module.render_count(7), strict=True).input_tokens == 7
    assert module.parse_count(b'{"object":"response.input_tokens","input_tokens":31}') == 31
    for nothing in (b"<html>", b"[]", {}, {"input_tokens": -1}, {"input_tokens": "3"}, None):
        assert module.parse_count(nothing) is None
