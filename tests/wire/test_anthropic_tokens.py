"""Anthropic's token counter on both sides. P-43"""

from __future__ import annotations

import pytest
from anthropic.types import MessageTokensCount

from omni_connector.chat import Origin, Target
from omni_connector.errors import GatewayError
from omni_connector.wire import FORMATS
from omni_connector.wire import anthropic_tokens as module

MESSAGES = [{"role": "user", "content": "Hi"}]
AIM = Target(Origin("anthropic", "claude-x"), frozenset({"cache_control"}))


def test_only_what_counts_is_sent() -> None:
    chat = {
        "model": "asked", "messages": [{"role": "system", "content": "Be brief"}, *MESSAGES], "stream": True, "user": "u", "stop": ["x"],
        "temperature": 0.5, "max_tokens": 9, "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
    }  # fmt: skip
    body = module.render_count_request(FORMATS["openai-chat"].parse_request(chat), "claude-x", AIM).body
    assert body == {
        "model": "claude-x",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
        "system": [{"type": "text", "text": "Be brief"}],
        "tools": [{"name": "f", "input_schema": {"type": "object"}}],
    }


def test_a_client_s_own_body_keeps_its_bytes() -> None:
    body = b'{ "messages" : [],"model":"a", "new_field": 1.50}'
    value = {"messages": [], "model": "a"}
    assert module.same_format(body, value, "a") is body
    assert module.same_format(body, value, "b") == b'{"messages":[],"model":"b","new_field":1.50}'
    assert module.path("a/b") == "/messages/count_tokens"
    assert (module.has_words({"messages": []}), module.has_words({"messages": MESSAGES})) == (False, True)


def test_a_request_needs_no_limit() -> None:
    request = module.parse_count_request({"model": "a", "messages": MESSAGES})
    assert (request.model, request.max_tokens) == ("a", None)
    with pytest.raises(GatewayError):
        module.parse_count_request({"messages": 3})


def test_answers() -> None:
    assert MessageTokensCount.model_validate(module.render_count(7), strict=True).input_tokens == 7
    assert module.parse_count(b'{"input_tokens": 31}') == module.parse_count({"input_tokens": 31}) == 31
    for nothing in (b"<html>", b"[]", {}, {"input_tokens": -1}, {"input_tokens": "3"}, {"input_tokens": True}, None):
        assert module.parse_count(nothing) is None
