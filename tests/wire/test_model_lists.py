"""Model lists in three forms. C-22, C-27, P-39, P-44"""

from __future__ import annotations

from omni_connector.wire import model_lists

MODELS = [("auto", "omni-connector"), ("gpt-5", "openai")]


def test_openai() -> None:
    listed = model_lists.many("openai-chat", MODELS)
    assert listed["object"] == "list"
    assert listed["data"][1] == {"id": "gpt-5", "object": "model", "created": 0, "owned_by": "openai"}


def test_anthropic() -> None:
    listed = model_lists.many("anthropic-messages", MODELS)
    assert (listed["first_id"], listed["last_id"], listed["has_more"]) == ("auto", "gpt-5", False)
    assert {"type": "model", "id": "auto", "display_name": "auto"}.items() <= listed["data"][0].items()
    assert model_lists.many("anthropic-messages", [])["first_id"] is None


def test_gemini() -> None:
    listed = model_lists.many("gemini-generate", MODELS)
    assert [model["name"] for model in listed["models"]] == ["models/auto", "models/gpt-5"]
    assert "generateContent" in listed["models"][0]["supportedGenerationMethods"]
    assert model_lists.one("gemini-generate", "text-embedding-3-small", "openai")["supportedGenerationMethods"] == [
        "embedContent",
        "batchEmbedContents",
    ]


def test_the_names_are_read_back() -> None:
    for wire in ("openai-chat", "openai-responses", "anthropic-messages", "gemini-generate"):
        assert model_lists.names(wire, model_lists.many(wire, MODELS)) == ["auto", "gpt-5"]
        assert model_lists.names(wire, []) == model_lists.names(wire, {"data": "x", "models": [1]}) == []
