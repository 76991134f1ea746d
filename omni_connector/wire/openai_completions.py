"""OpenAI's older Completions (`POST /v1/completions`), as a client's format: a prompt in, text out.

Upstreams are never asked in it by a translation: it passes through where a provider has the endpoint, and everywhere else the
prompt becomes one user message and the answer's words become the text. The work is in the neighbours: `_request` (a
client's body in), `_answer` (an answer for a client), `_listen` (the pass-through ear); errors are those of chat.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from omni_connector.wire.late import late
from omni_connector.wire.openai_chat_errors import parse_error, render_error
from omni_connector.wire.openai_chat_words import KEEPALIVE
from omni_connector.wire.openai_completions_listen import NAME, Listener

if TYPE_CHECKING:
    from omni_connector.wire.openai_completions_answer import ResponseRenderer, render_response
    from omni_connector.wire.openai_completions_request import parse_request
else:
    __getattr__ = late(
        __name__,
        {
            "ResponseRenderer": "openai_completions_answer",
            "render_response": "openai_completions_answer",
            "parse_request": "openai_completions_request",
        },
    )

PATH = "/completions"

__all__ = [
    "KEEPALIVE",
    "NAME",
    "PATH",
    "Listener",
    "ResponseRenderer",
    "parse_error",
    "parse_request",
    "render_error",
    "render_response",
]
