"""Google's Code Assist format (gemini-cli's sign-in) and Antigravity's variant of it, towards providers only.

Gemini's generateContent inside an envelope: {"model", "project", "request": {…}} and {"response": {…}}, streamed and whole. The
names every format module gives, without the half that faces clients.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from omni_connector.wire.code_assist_errors import parse_error
from omni_connector.wire.code_assist_words import KEEPALIVE, NAME, PATH, path
from omni_connector.wire.gemini_listen import Listener
from omni_connector.wire.late import late

if TYPE_CHECKING:
    from omni_connector.wire.code_assist_request import render_request
    from omni_connector.wire.code_assist_stream import ResponseParser
else:
    __getattr__ = late(
        __name__,
        {
            "render_request": "code_assist_request",
            "ResponseParser": "code_assist_stream",
        },
    )

__all__ = ["KEEPALIVE", "NAME", "PATH", "Listener", "ResponseParser", "parse_error", "path", "render_request"]
