"""The face of Kiro's format: towards providers only, and never whole. P-22"""

from __future__ import annotations

from omni_connector.wire import CLIENT_FORMATS, FORMATS, TWO_WAY, always_streams, dialect, kiro, upstream_path


def test_it_is_a_format_of_providers_only() -> None:
    assert FORMATS["kiro"] is kiro is dialect("kiro")
    assert "kiro" not in CLIENT_FORMATS and "kiro" not in TWO_WAY
    assert upstream_path("kiro", "m", True) == upstream_path("kiro", "m", False) == "/generateAssistantResponse"


def test_who_knows_no_whole_answers() -> None:
    assert always_streams("kiro", frozenset()) and always_streams("openai-responses", frozenset({"codex_backend"}))
    assert not any(always_streams(wire, frozenset()) for wire in FORMATS if wire != "kiro")
