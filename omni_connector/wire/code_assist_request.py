"""ChatRequest → a Code Assist body: Gemini's own request (`gemini_render`) inside an envelope that names model and project.

Feature words of the target beside those of `gemini_render`: "antigravity_envelope" (the variant, see `code_assist_words`),
"no_max_tokens" (its models but Claude are not told how long an answer may be).
"""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import replace

from omni_connector.chat import ChatRequest, Json, Rendered, Target
from omni_connector.wire import gemini_render
from omni_connector.wire.code_assist_claude import fit_calling, fit_thinking, fit_tools
from omni_connector.wire.code_assist_words import AGENT, FIELDS, VARIANT, backend_model, is_claude, is_gemini, request_type
from omni_connector.wire.gemini_turns import OPENING
from omni_connector.wire.gemini_words import dumps


def render_request(request: ChatRequest, model: str, target: Target) -> Rendered:
    """The envelope with the request in it. `max_tokens` goes as it is, and none is put in where there is none. Raises GatewayError
    (BAD_REQUEST) where dropping would change the meaning."""
    body, dropped = _request(request, model, target)
    session = _digest(target.project, body)
    if VARIANT not in target.features:
        envelope: Json = {"model": backend_model(model, variant=False), **_project(target), "user_prompt_id": str(uuid.uuid4())}
        return Rendered({**envelope, "request": {**body, "session_id": str(uuid.UUID(bytes=session[:16]))}}, tuple(dropped))
    envelope = {
        **_project(target),
        "model": backend_model(model, variant=True),
        "userAgent": AGENT,
        "requestType": request_type(model),
        "requestId": f"agent-{uuid.uuid4()}",
    }
    number = int.from_bytes(session[:8], "big") >> 1
    return Rendered({**envelope, "request": {**body, "sessionId": f"-{number}"}}, tuple(dropped))


def aimed(model: str, target: Target) -> Target:
    """The target as Gemini's renderer must see it. No limit of the model is told, since the answer's limit goes as it is; the
    variant's names say less about their generation than Gemini's, and Claude is told in tokens how much to think."""
    words: set[str] = set()
    if VARIANT in target.features and is_claude(model):
        words.add("thinking_budget")
    elif VARIANT in target.features and is_gemini(model):
        words.add("thought_signatures_required")
    return replace(target, features=target.features | words, max_output=None)


def _project(target: Target) -> Json:
    return {"project": target.project} if target.project else {}


def _digest(project: str, body: Json) -> bytes:
    """The same for every turn of a conversation, so that what the provider keeps of it is found again."""
    contents = body.get("contents")
    first = contents[0] if isinstance(contents, list) and contents else {}
    return hashlib.sha256(project.encode("utf-8", "replace") + b"\n" + dumps(first)).digest()


def _request(request: ChatRequest, model: str, target: Target) -> tuple[Json, dict[str, None]]:
    rendered = gemini_render.render_request(request, model, aimed(model, target))
    dropped = dict.fromkeys(rendered.dropped)
    dropped.update(dict.fromkeys(name for name in rendered.body if name not in FIELDS))
    body = {name: rendered.body[name] for name in FIELDS if name in rendered.body}
    if VARIANT in target.features:
        _fit_variant(body, model, target, dropped)
    return body, dropped


def _fit_variant(body: Json, model: str, target: Target, dropped: dict[str, None]) -> None:
    if body.pop("safetySettings", None):
        dropped["safetySettings"] = None
    if body["contents"][0].get("role") == "model":
        body["contents"] = [{"role": "user", "parts": [{"text": OPENING}]}, *body["contents"]]
        dropped["contents[0].role=model (a user turn was put before it)"] = None
    config: Json = dict(body.get("generationConfig") or {})
    if is_claude(model):
        fit_thinking(config, dropped)
        if body.get("tools"):
            body["tools"] = fit_tools(body["tools"])
            body["toolConfig"] = fit_calling(body.get("toolConfig") or {}, dropped)
    elif "no_max_tokens" in target.features and config.pop("maxOutputTokens", None) is not None:
        dropped["max_tokens"] = None
    body.pop("generationConfig", None)
    if config:
        body["generationConfig"] = config
