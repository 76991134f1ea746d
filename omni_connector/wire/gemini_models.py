"""Model lists and single models in Gemini's form (`GET /v1beta/models`, `GET /v1beta/models/{id}`).

google-genai shows an empty list, without an error, for any other form (clients.md, finding 1).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from omni_connector.chat import Json

CHAT_METHODS = ("generateContent", "streamGenerateContent", "countTokens")
EMBEDDING_METHODS = ("embedContent", "batchEmbedContents")


def render_model(
    model: str,
    *,
    display_name: str = "",
    input_limit: int | None = None,
    output_limit: int | None = None,
    thinking: bool | None = None,
    methods: Sequence[str] = CHAT_METHODS,
) -> Json:
    """{"name": "models/…", "displayName", "supportedGenerationMethods", "inputTokenLimit"?, …}. Limits are in tokens;
    what is not known is left out."""
    known: Json = {"inputTokenLimit": input_limit, "outputTokenLimit": output_limit, "thinking": thinking}
    return {
        "name": f"models/{model.removeprefix('models/')}",
        "baseModelId": model.removeprefix("models/"),
        "displayName": display_name or model.removeprefix("models/"),
        "supportedGenerationMethods": list(methods),
        **{key: value for key, value in known.items() if value is not None},
    }


def render_models(models: Iterable[Json], next_page_token: str = "") -> Json:
    """{"models": […], "nextPageToken"?} of what `render_model` gave."""
    body: Json = {"models": list(models)}
    return {**body, "nextPageToken": next_page_token} if next_page_token else body
