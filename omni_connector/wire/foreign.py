"""Blocks and items that only one wire format knows, in a request for a provider of another one: left out, or refused.

What a provider ran itself (searches, code, MCP calls) is finished: the words that came of it stand in the conversation, so it is left
out and named. What stands for a conversation that cannot be read, or is the client's own word, is refused.
"""

from __future__ import annotations

from collections.abc import Mapping

from omni_connector.chat import ForeignPart, Role
from omni_connector.errors import bad_request

_STANDS_FOR: Mapping[str, str] = {
    "item_reference": "stands for an item that only its provider keeps. Send the item itself",
    "compaction": "holds the conversation so far in a form that only its provider can read. Send the conversation itself",
    "compaction_summary": "holds the conversation so far in a form that only its provider can read. Send the conversation itself",
}
"""Types of all formats whose absence would change the meaning, whoever's turn they stand in."""

_HARMLESS = frozenset({"tool_reference", "mcp_approval_response"})
"""Types in a client's turn that only concern tools which are not offered elsewhere, or offered anyway."""

_MARKS = frozenset({"type", "cache_control", "thought", "thoughtSignature"})
"""Fields that say nothing by themselves."""


def left_out(part: ForeignPart, role: Role, at: str) -> str:
    """The name under which a block of another format is left out of a turn. Raises GatewayError (BAD_REQUEST) naming it where that
    would change the meaning."""
    kind = _kind(part)
    why = _STANDS_FOR.get(kind)
    if why is not None:
        raise bad_request(f"`{at}` is a {kind!r} block: it {why}, or use a provider that speaks {part.wire}.", at)
    if role == "assistant" or kind in _HARMLESS or part.value.keys() <= _MARKS:
        return kind
    raise bad_request(
        f"`{at}` is a {kind!r} block, which only {part.wire} can say. Use a provider of that format, or remove the block.", at
    )


def _kind(part: ForeignPart) -> str:
    """Its type; Gemini's parts have none, their first field says what they are."""
    kind = part.value.get("type")
    name = kind if isinstance(kind, str) else next((key for key in part.value if key not in _MARKS), "block")
    return name[:60]
