"""Which addresses a target must be given as bytes, and putting the bytes in. C-10"""

from __future__ import annotations

import json
from typing import Any

import pytest

from omni_connector.chat import ChatRequest, MediaPart, Message, Origin, Target, TextPart, ToolCallPart, ToolResultPart
from omni_connector.errors import GatewayError
from omni_connector.providers import PROVIDERS
from omni_connector.wire import FORMATS, TWO_WAY
from omni_connector.wire.media_urls import place_of, urls_needed, with_bytes

CHAT, RESPONSES, MESSAGES, GEMINI = "openai-chat", "openai-responses", "anthropic-messages", "gemini-generate"
NONE: frozenset[str] = frozenset()
PICTURE, PAPER, SOUND = "https://a.test/a.png", "https://a.test/b.pdf", "https://a.test/c.mp3"
PNG = ("image/png", "iVBORw0KGgo=")


def asked(*parts: Any, wire: str = "elsewhere") -> ChatRequest:
    return ChatRequest(wire, "m", (Message("user", (TextPart("Look"), *parts)),))


@pytest.mark.parametrize(
    ("wire", "features", "needed"),
    [
        (CHAT, NONE, (PAPER, SOUND)),
        (CHAT, frozenset({"document_urls"}), (SOUND,)),
        (CHAT, frozenset({"bytes_only", "url_images", "document_urls"}), (PICTURE, PAPER, SOUND)),
        (RESPONSES, NONE, (SOUND,)),
        (MESSAGES, NONE, (SOUND,)),
        (MESSAGES, frozenset({"bytes_only"}), (PICTURE, PAPER, SOUND)),
        (GEMINI, NONE, (PICTURE, PAPER, SOUND)),
        (GEMINI, frozenset({"url_images"}), (PAPER, SOUND)),
    ],
)
def test_what_each_format_must_be_given(wire: str, features: frozenset[str], needed: tuple[str, ...]) -> None:
    request = asked(MediaPart("image", url=PICTURE), MediaPart("document", url=PAPER), MediaPart("audio", url=SOUND))
    assert urls_needed(request, wire, features) == needed


@pytest.mark.parametrize("wire", FORMATS)
def test_a_request_in_the_target_s_own_format_keeps_its_addresses(wire: str) -> None:
    request = asked(MediaPart("image", url=PICTURE), MediaPart("document", url=PAPER), wire=wire)
    assert urls_needed(request, wire, NONE) == ()
    assert urls_needed(request, wire, frozenset({"bytes_only"})) == (PICTURE, PAPER)


def test_only_addresses_and_each_once() -> None:
    other = "HTTP://a.test/b.png"
    messages = (
        Message("user", (MediaPart("image", url=PICTURE), MediaPart("image", data="AAAA"), MediaPart("document", file_id="f"))),
        Message("tool", (ToolResultPart("c", (MediaPart("image", url=other), MediaPart("image", url=PICTURE))),)),
        Message("user", (MediaPart("image", url="gs://x/y"), MediaPart("image", url="ms://x"), MediaPart("document", text="http://x"))),
    )
    request = ChatRequest(CHAT, "m", messages)
    assert urls_needed(request, GEMINI, NONE) == (PICTURE, other)
    assert urls_needed(request, MESSAGES, NONE) == (other,)  # that vendor fetches https only
    assert (place_of(request, PICTURE), place_of(request, other), place_of(request, "?")) == ("messages[0]", "messages[1]", "messages")


def test_what_gemini_reads_itself() -> None:
    for url in ("https://www.youtube.com/watch?v=x", "https://youtu.be/x", "https://generativelanguage.googleapis.com/v1beta/files/x"):
        assert urls_needed(asked(MediaPart("document", url=url)), GEMINI, NONE) == ()
        assert urls_needed(asked(MediaPart("document", url=url)), CHAT, NONE) == (url,)
    assert urls_needed(asked(MediaPart("image", url="https://youtube.com.a.test/x")), GEMINI, NONE)


def test_bytes_in_every_place_and_nothing_else() -> None:
    shown = MediaPart("image", url=PICTURE, detail="high", cache={"type": "ephemeral"}, extra={"x": 1})
    left = MediaPart("image", url=SOUND)
    call = Message("assistant", (ToolCallPart("c", "look", "{}"),))
    request = ChatRequest(
        CHAT, "m", (Message("user", (shown, left)), call, Message("tool", (ToolResultPart("c", (TextPart("Here"), shown)),)))
    )
    given = with_bytes(request, {PICTURE: PNG, "https://unused.test/": PNG})
    picture = MediaPart("image", *PNG, detail="high", cache={"type": "ephemeral"}, extra={"x": 1})
    assert given.messages[0].parts == (picture, left)
    assert given.messages[1] is call
    assert given.messages[2].parts == (ToolResultPart("c", (TextPart("Here"), picture)),)
    assert with_bytes(request, {}) is request
    assert urls_needed(given, GEMINI, NONE) == (SOUND,)


def test_what_came_decides_what_it_is() -> None:
    kinds = {"application/pdf": "document", "text/plain": "document", "audio/mpeg": "audio", "image/webp": "image"}
    for media_type, kind in kinds.items():
        given = with_bytes(asked(MediaPart("image", url=PICTURE)), {PICTURE: (media_type, "QQ==")})
        part = given.messages[0].parts[1]
        assert isinstance(part, MediaPart)
        assert (part.kind, part.media_type, part.data, part.url) == (kind, media_type, "QQ==", None)


BODIES: dict[str, Any] = {
    CHAT: {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": PICTURE}}]}]},
    RESPONSES: {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": PICTURE}]}]},
    MESSAGES: {
        "max_tokens": 9,
        "messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": PICTURE}}]}],
    },
    GEMINI: {"contents": [{"role": "user", "parts": [{"fileData": {"fileUri": PICTURE, "mimeType": "image/png"}}]}]},
}


@pytest.mark.parametrize("target", FORMATS)
@pytest.mark.parametrize("source", TWO_WAY)
@pytest.mark.parametrize("features", [NONE, frozenset({"bytes_only"})])
def test_a_picture_by_address_reaches_every_format(source: str, target: str, features: frozenset[str]) -> None:
    request = TWO_WAY[source].parse_request({"model": "m", **BODIES[source]})
    aim = Target(Origin("p", "m"), features)
    needed = urls_needed(request, target, features)
    if needed and source != target and target == GEMINI:
        with pytest.raises(GatewayError, match="base64"):
            FORMATS[target].render_request(request, "m", aim)
    body = json.dumps(FORMATS[target].render_request(with_bytes(request, dict.fromkeys(needed, PNG)), "m", aim).body)
    assert (PNG[1] in body, PICTURE in body) == (bool(needed), not needed)
    assert bool(needed) == (bool(features) or target in ("code-assist", "kiro") or (target == GEMINI and source != GEMINI))


def test_rows_of_servers_that_take_bytes_only() -> None:
    assert {row.id for row in PROVIDERS.values() if "bytes_only" in row.features} == {"kimi", "ollama", "lmstudio", "llamacpp"}
