"""How a client of each format asks: with the recorded request in its own format, with a plain question in another one."""

from __future__ import annotations

from tests.replay.recordings import Recording
from tests.replay.told import CHAT, GEMINI, MESSAGES, RESPONSES, Json

PATHS = {CHAT: "/v1/chat/completions", RESPONSES: "/v1/responses", MESSAGES: "/v1/messages"}
_HI: Json = {"messages": [{"role": "user", "content": "hi"}]}


def plain(client: str, model: str, *, stream: bool) -> tuple[str, Json]:
    """(path and query, body) of a question in a client's format."""
    if client == GEMINI:
        verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
        return f"/v1beta/models/{model}:{verb}", {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
    asked: Json = {"model": model, "stream": stream}
    if client == RESPONSES:
        return PATHS[client], {**asked, "input": "hi"}
    if client == MESSAGES:
        return PATHS[client], {**asked, **_HI, "max_tokens": 300}
    return PATHS[client], {**asked, **_HI, **({"stream_options": {"include_usage": True}} if stream else {})}


def recorded(recording: Recording, model: str) -> tuple[str, Json]:
    """What was asked then, where the recording has it, under our model name."""
    wire, stream = recording.format, recording.streamed
    if recording.status >= 400:
        stream = bool((recording.asked or {}).get("stream")) or "stream" in recording.path
    address, asked = plain(wire, model, stream=stream)
    if wire == GEMINI:
        if recording.raw.startswith(b"["):
            address = address.partition("?")[0]
        return address, recording.asked or asked
    if recording.asked is None:
        return address, asked
    kept = {key: value for key, value in asked.items() if key in ("model", "stream", "stream_options")}
    if recording.asked.get("stream") is None and not stream:
        del kept["stream"]
    return address, {**recording.asked, **kept}
