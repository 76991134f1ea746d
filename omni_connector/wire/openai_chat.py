"""OpenAI Chat Completions, as a client's format and as an upstream's: the names every wire format gives.

The work is in the neighbours: `openai_chat_words` (maps, usage), `_request` and `_messages` (a client's body in),
`_render` and `_history` (a body for an upstream), `_stream` and `_parts` (an upstream's answer in), `_answer` (an answer
for a client), `_listen` (the pass-through ear), `_errors`, `_details` (reasoning_details).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from omni_connector.wire.late import late
from omni_connector.wire.openai_chat_errors import parse_error, render_error
from omni_connector.wire.openai_chat_listen import Listener
from omni_connector.wire.openai_chat_words import KEEPALIVE, NAME, PATH

if TYPE_CHECKING:
    from omni_connector.wire.openai_chat_answer import ResponseRenderer, render_response
    from omni_connector.wire.openai_chat_render import render_request
    from omni_connector.wire.openai_chat_request import parse_request
    from omni_connector.wire.openai_chat_stream import ResponseParser
else:
    __getattr__ = late(
        __name__,
        {
            "ResponseRenderer": "openai_chat_answer",
            "render_response": "openai_chat_answer",
            "render_request": "openai_chat_render",
            "parse_request": "openai_chat_request",
            "ResponseParser": "openai_chat_stream",
        },
    )

__all__ = [
    "KEEPALIVE",
    "NAME",
    "PATH",
    "Listener",
    "ResponseParser",
    "ResponseRenderer",
    "parse_error",
    "parse_request",
    "render_error",
    "render_request",
    "render_response",
]
