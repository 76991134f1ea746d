"""Kiro's private format (AWS CodeWhisperer), towards providers only: one JSON request, answered by an AWS event stream.

The names every format module gives, without the half that faces clients. There are no whole answers (`wire.always_streams`).
"""

from __future__ import annotations

from omni_connector.wire.kiro_errors import parse_error
from omni_connector.wire.kiro_listen import Listener
from omni_connector.wire.kiro_request import render_request
from omni_connector.wire.kiro_stream import ResponseParser
from omni_connector.wire.kiro_words import KEEPALIVE, NAME, PATH

__all__ = ["KEEPALIVE", "NAME", "PATH", "Listener", "ResponseParser", "parse_error", "render_request"]
