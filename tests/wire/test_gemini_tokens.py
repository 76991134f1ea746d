"""countTokens on both sides."""

from __future__ import annotations

from typing import Any

import pytest

from omni_connector.chat import Target
from omni_connector.errors import GatewayError
from omni_connector.wire.gemini_tokens import (
    has_words,
    parse_count,
    parse_count_request,
    path,
    render_count,
    render_count_request,
    same_format,
)
from tests.wire.gemini_reading import ORIGIN

CONTENTS = [{"role": "user", "parts": [{"text": "Hi"}]}]


@pytest.mark.parametrize(
    "body",
    [
        {"model": "gemini-3-flash", "contents": CONTENTS},
        {"model": "gemini-3-flash", "generateContentRequest": {"model": "models/other", "contents": CONTENTS}},
        {"generate_content_request": {"model": "models/gemini-3-flash", "contents": CONTENTS}},
    ],
)
def test_both_forms_of_the_request(body: dict[str, Any]) -> None:
    request = parse_count_request(body)
    assert request.model == "gemini-3-flash"
    assert render_count_request(request, "gemini-3-flash", Target(ORIGIN)).body == {
        "generateContentRequest": {"model": "models/gemini-3-flash", "contents": CONTENTS}
    }


@pytest.mark.parametrize("body", [[], {}, {"generateContentRequest": 3}, {"generateContentRequest": {}}])
def test_mistakes(body: Any) -> None:
    with pytest.raises(GatewayError):
        parse_count_request(body)


def test_answers() -> None:
    assert render_count(7) == {"totalTokens": 7, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 7}]}
    assert render_count(7, 3)["cachedContentTokenCount"] == 3
    assert parse_count(b'{"totalTokens": 31}') == parse_count({"total_tokens": 31}) == 31
    assert parse_count({"totalTokens": "x"}) is parse_count(b"<html>") is parse_count([]) is None


def test_a_client_s_own_body_keeps_its_bytes() -> None:
    body = b'{ "contents" : [1.50] }'
    assert same_format(body, {"contents": [1.5]}, "m") is body
    inner = b'{"generateContentRequest":{"model":"models/asked","contents":[]}, "x": 1.50}'
    value = {"generateContentRequest": {"model": "models/asked", "contents": []}, "x": 1.5}
    assert same_format(inner, value, "models/m") == b'{"generateContentRequest":{"model":"models/m","contents":[]},"x":1.50}'
    assert same_format(inner, value, "asked") is inner
    assert path("models/a/b") == "/models/a%2Fb:countTokens"
    assert has_words({"contents": CONTENTS}) and has_words({"generate_content_request": {"contents": CONTENTS}})
    assert not has_words({"contents": []})
