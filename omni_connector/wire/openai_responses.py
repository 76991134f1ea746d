"""OpenAI Responses, as a client's format and as an upstream's: the names every wire format gives.

The work is in the neighbours: `openai_responses_words` (maps, usage, opaque values), `_request`, `_items`, `_content` and
`_tools` (a client's body in), `_render` and `_history` (a body for an upstream), `_stream` and `_pieces` (an upstream's answer
in), `_answer` and `_writers` (an answer for a client), `_listen` (the pass-through ear), `_errors`, `_state` (what is kept
between requests).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from omni_connector.chat import Json
from omni_connector.errors import bad_request
from omni_connector.wire.late import late
from omni_connector.wire.openai_responses_errors import parse_error, render_error
from omni_connector.wire.openai_responses_listen import Listener
from omni_connector.wire.openai_responses_words import KEEPALIVE, NAME, PATH

if TYPE_CHECKING:
    from omni_connector.wire.openai_responses_answer import ResponseRenderer, render_response
    from omni_connector.wire.openai_responses_render import render_request
    from omni_connector.wire.openai_responses_request import parse_request
    from omni_connector.wire.openai_responses_stream import ResponseParser
else:
    __getattr__ = late(
        __name__,
        {
            "ResponseRenderer": "openai_responses_answer",
            "render_response": "openai_responses_answer",
            "render_request": "openai_responses_render",
            "parse_request": "openai_responses_request",
            "ResponseParser": "openai_responses_stream",
        },
    )

STATEFUL = ("previous_response_id", "conversation", "prompt")
"""Fields that stand for something only the provider that keeps it knows."""


def refuse_state(body: Json) -> None:
    """Raises GatewayError (BAD_REQUEST) when a request that is to be translated leans on a provider's memory."""
    for name in STATEFUL:
        if body.get(name) is not None:
            words = f"`{name}` is known only to the account that made it, and no such account can serve this request. Send the whole"
            raise bad_request(f"{words} conversation in `input` instead.", name)


__all__ = [
    "KEEPALIVE",
    "NAME",
    "PATH",
    "Listener",
    "ResponseParser",
    "ResponseRenderer",
    "parse_error",
    "parse_request",
    "refuse_state",
    "render_error",
    "render_request",
    "render_response",
]
