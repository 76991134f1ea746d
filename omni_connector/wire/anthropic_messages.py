"""Anthropic's Messages format, both directions, streamed and whole: the names every format module gives.

What a request looks like after `parse_request` and `render_request` for the same format and origin: all values are kept,
and these forms are made one:
  - text in place of a list of blocks (`content`, `system`, a tool result) becomes one text block; empty text goes
  - neighbouring turns of one role are merged; tool results come first in their turn
  - leading `system` turns move to `system`; those in mid-conversation stay where the target knows them ("mid_system"),
    else they become a user's text block in <system> tags
  - null, `is_error: false`, `stream: false` and empty `citations` are left out; `output_format` moves to `output_config.format`
  - `max_tokens` is filled in; a temperature above 1 is lowered to 1
  - with thinking on: a temperature that is not 1, top_p below 0.95 and top_k go; thinking goes when a tool is forced
  - sealed values are opened: those of the target's origin are given back bare, thoughts of another origin go
  - tool ids in letters that the API refuses are written reversibly (`anthropic_words.to_wire_id`)
  - `input` that holds only text we could not read as JSON keeps it under "_raw_arguments" (`anthropic_words.to_input`)

Free-text tools of other formats are offered as functions with one string; `ResponseParser(origin, request)` turns their
calls back. Blocks of other formats that have no place here (their server tools, their citations) are left out of an answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from omni_connector.wire.anthropic_errors import parse_error, render_error
from omni_connector.wire.anthropic_listen import Listener
from omni_connector.wire.anthropic_words import KEEPALIVE, NAME, PATH
from omni_connector.wire.late import late

if TYPE_CHECKING:
    from omni_connector.wire.anthropic_answer import ResponseRenderer, render_response
    from omni_connector.wire.anthropic_parse import parse_request
    from omni_connector.wire.anthropic_render import render_request
    from omni_connector.wire.anthropic_stream import ResponseParser
else:
    __getattr__ = late(
        __name__,
        {
            "ResponseRenderer": "anthropic_answer",
            "render_response": "anthropic_answer",
            "parse_request": "anthropic_parse",
            "render_request": "anthropic_render",
            "ResponseParser": "anthropic_stream",
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
