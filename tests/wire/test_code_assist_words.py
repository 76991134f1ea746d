from __future__ import annotations

import pytest

from omni_connector.wire.code_assist_words import backend_model, is_claude, is_gemini, opened, path, request_type


def test_the_model_stands_in_the_body() -> None:
    assert path("gemini-2.5-pro", False) == "/v1internal:generateContent"
    assert path("x/../y", True) == "/v1internal:streamGenerateContent?alt=sse"


@pytest.mark.parametrize(
    ("model", "variant", "named"),
    [
        ("gemini-3.5-flash", False, "gemini-3-flash"),
        ("gemini-3.5-flash", True, "gemini-3.5-flash"),
        ("models/gemini-2.5-pro", False, "gemini-2.5-pro"),
        ("gemini-claude-sonnet-4-5", True, "claude-sonnet-4-5"),
        ("gemini-claude-opus-4-5-thinking", True, "claude-opus-4-5-thinking"),
        ("claude-sonnet-4-6", True, "claude-sonnet-4-6"),
    ],
)
def test_names_of_the_backend(model: str, variant: bool, named: str) -> None:  # C-02
    assert backend_model(model, variant=variant) == named


def test_whose_model_it_is() -> None:
    assert is_claude("gemini-claude-sonnet-4-5") and not is_gemini("gemini-claude-sonnet-4-5")
    assert is_gemini("gemini-pro-agent") and not is_gemini("gpt-oss-120b-medium")
    assert (request_type("gemini-3.1-flash-image"), request_type("gemini-3-flash")) == ("image_gen", "agent")


def test_the_wrapper_is_opened_once() -> None:
    inner: dict[str, object] = {"candidates": [], "usageMetadata": {}}
    assert opened({"response": inner, "traceId": "t"}) == inner
    assert opened({"response": {"usage_metadata": {}}}) == {"usageMetadata": {}}
    assert opened(inner) == inner and opened({"error": {}}) == {"error": {}}
