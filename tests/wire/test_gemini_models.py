"""Model lists as Google's SDKs want them."""

from __future__ import annotations

from omni_connector.wire.gemini_models import EMBEDDING_METHODS, render_model, render_models


def test_a_list() -> None:
    # C-27, P-44
    chat = render_model("openai/gpt-5.5", display_name="GPT 5.5", input_limit=400_000, output_limit=128_000, thinking=True)
    assert chat == {
        "name": "models/openai/gpt-5.5",
        "baseModelId": "openai/gpt-5.5",
        "displayName": "GPT 5.5",
        "supportedGenerationMethods": ["generateContent", "streamGenerateContent", "countTokens"],
        "inputTokenLimit": 400_000,
        "outputTokenLimit": 128_000,
        "thinking": True,
    }
    embedding = render_model("models/e", methods=EMBEDDING_METHODS)
    assert (embedding["name"], embedding["displayName"], "inputTokenLimit" in embedding) == ("models/e", "e", False)
    assert render_models([chat, embedding]) == {"models": [chat, embedding]}
    assert render_models([], "next") == {"models": [], "nextPageToken": "next"}
