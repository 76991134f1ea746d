"""Gemini's generateContent format, both directions, streamed and whole: the names every format module gives.

The upstream path depends on model and streaming, so `path(model, stream)` gives it; a client's model and streaming stand in
its URL and are put into the body as `model` and `stream` before `parse_request`. A stream is server-sent events, or one
JSON array without `alt=sse`: `ResponseParser` and `Listener` read both, `ResponseRenderer` and `ArrayRenderer` write them.

What a request looks like after `parse_request` and `render_request` for the same format and origin: all values are kept, and
these forms are made one:
  - names in camelCase; `contents`, `parts` and `tools` as lists; `systemInstruction` as a content without role; text as parts
  - roles user and model; neighbouring turns of one role merged; empty parts and contents left out; false and null flags too
  - results directly behind their calls and in their order; base64 in the standard alphabet
  - functions in one object, where the first of them stood; every tool that the provider runs in one of its own
  - `responseSchema` becomes `responseJsonSchema` (a function's `parameters` stay); ANY with one allowed name is "named"
  - a thought's placeholder signature goes; calls without a signature get it where the model demands one (Gemini 3)
  - sealed values are opened: those of the target's origin are given back bare, thoughts of another origin go

Free-text tools of other formats are offered as functions with one string; `ResponseParser(origin, request)` turns their
calls back, and names that this API refuses too. Blocks of other formats that have no place here are left out and named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from omni_connector.wire.gemini_errors import parse_error, render_error
from omni_connector.wire.gemini_listen import Listener
from omni_connector.wire.gemini_words import KEEPALIVE, NAME, PATH, path
from omni_connector.wire.late import late

if TYPE_CHECKING:
    from omni_connector.wire.gemini_answer import ArrayRenderer, ResponseRenderer
    from omni_connector.wire.gemini_parse import parse_request
    from omni_connector.wire.gemini_render import render_request
    from omni_connector.wire.gemini_stream import ResponseParser
    from omni_connector.wire.gemini_whole import render_response
else:
    __getattr__ = late(
        __name__,
        {
            "ArrayRenderer": "gemini_answer",
            "ResponseRenderer": "gemini_answer",
            "parse_request": "gemini_parse",
            "render_request": "gemini_render",
            "ResponseParser": "gemini_stream",
            "render_response": "gemini_whole",
        },
    )

__all__ = [
    "KEEPALIVE",
    "NAME",
    "PATH",
    "ArrayRenderer",
    "Listener",
    "ResponseParser",
    "ResponseRenderer",
    "parse_error",
    "parse_request",
    "path",
    "render_error",
    "render_request",
    "render_response",
]
