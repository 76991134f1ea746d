"""Media for Gemini."""

from __future__ import annotations

import pytest

from omni_connector.chat import MediaPart
from omni_connector.errors import GatewayError, Kind
from omni_connector.wire.gemini_media import render_media

NONE: frozenset[str] = frozenset()
URL = "https://example.com/a.png"


def test_bytes_inline_with_a_type() -> None:
    # C-10
    assert render_media(MediaPart("image", "image/webp", data="AAAA"), "x", NONE, False) == {
        "inlineData": {"mimeType": "image/webp", "data": "AAAA"}
    }
    assert render_media(MediaPart("image", data="/9j/AAAA"), "x", NONE, False)["inlineData"]["mimeType"] == "image/jpeg"
    assert render_media(MediaPart("audio", data="AAAA"), "x", NONE, False)["inlineData"]["mimeType"] == "audio/wav"
    assert render_media(MediaPart("document", text="words", name="a.txt"), "x", NONE, False) == {
        "text": '<document name="a.txt">\nwords\n</document>'
    }


def test_addresses_only_where_the_target_reads_them() -> None:
    picture = MediaPart("image", "image/png", url=URL)
    assert render_media(picture, "x", frozenset({"url_images"}), False) == {"fileData": {"fileUri": URL, "mimeType": "image/png"}}
    assert render_media(picture, "x", NONE, True) == {"fileData": {"fileUri": URL, "mimeType": "image/png"}}
    for read in ("https://www.youtube.com/watch?v=x", "https://youtu.be/x", "https://generativelanguage.googleapis.com/v1beta/files/x"):
        assert render_media(MediaPart("image", url=read), "x", NONE, False) == {"fileData": {"fileUri": read}}
    with pytest.raises(GatewayError) as caught:
        render_media(picture, "messages[2].content[1]", NONE, False)
    assert (caught.value.kind, caught.value.param) == (Kind.BAD_REQUEST, "messages[2].content[1]")


def test_files_of_other_accounts_are_refused() -> None:
    file = MediaPart("document", file_id="files/1", name="n")
    assert render_media(file, "x", NONE, True) == {"fileData": {"fileUri": "files/1", "displayName": "n"}}
    with pytest.raises(GatewayError, match="another provider"):
        render_media(file, "x", frozenset({"url_images"}), False)
