"""Kiro's private format (AWS CodeWhisperer), towards providers only: one JSON request, answered by an AWS event stream.

The names every format module gives, without the half that faces clients. There are no whole answers (`wire.always_streams`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from omni_connector.wire.kiro_words import KEEPALIVE, NAME, PATH
from omni_connector.wire.late import late

if TYPE_CHECKING:
    from omni_connector.wire.kiro_errors import parse_error
    from omni_connector.wire.kiro_listen import Listener
    from omni_connector.wire.kiro_request import render_request
    from omni_connector.wire.kiro_stream import ResponseParser
else:
    __getattr__ = late(
        __name__,
        {
            "render_request": "kiro_request",
            "ResponseParser": "kiro_stream",
            "Listener": "kiro_listen",
            "parse_error": "kiro_errors",
        },
    )

__all__ = ["KEEPALIVE", "NAME", "PATH", "Listener", "ResponseParser", "parse_error", "render_request"]
