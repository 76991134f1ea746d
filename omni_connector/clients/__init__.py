"""Setting up the programs that talk to us: who they are, what would change in their files, writing it and taking it back.

`CLIENTS` has one row for each; `plan` says what would change; `kept.apply` and `kept.undo` write; `standing.look` tells where a
client points; `setting_up` puts it together for the command line and the admin API.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from omni_connector.clients import aider, by_hand, claude_code, codex, continue_dev, gemini_cli, llm_cli, opencode, shell, zed
from omni_connector.clients.client import NEW_KEY, Change, Client, Places, Pointing, Wanted, base, plan, same_place
from omni_connector.errors import GatewayError, Kind

__all__ = ["CLIENTS", "NEW_KEY", "Change", "Client", "Places", "Pointing", "Wanted", "base", "get", "plan", "same_place"]

CLIENTS: Mapping[str, Client] = {
    client.name: client
    for client in (
        claude_code.CLIENT,
        codex.CLIENT,
        gemini_cli.CLIENT,
        opencode.CLIENT,
        aider.CLIENT,
        continue_dev.CLIENT,
        zed.CLIENT,
        llm_cli.CLIENT,
        shell.CLIENT,
        by_hand.CURSOR,
        by_hand.CLINE,
        by_hand.OTHER,
    )
}
ALIASES: Mapping[str, str] = {
    "claude": "claude-code",
    "gemini": "gemini-cli",
    "print": "other",
    "env": "openai-env",
    "openai": "openai-env",
}


def get(name: str) -> Client:
    """Raises GatewayError (NOT_FOUND) with near names."""
    wanted = ALIASES.get(name.lower(), name.lower())
    if wanted in CLIENTS:
        return CLIENTS[wanted]
    near = difflib.get_close_matches(wanted, CLIENTS, n=2, cutoff=0.5)
    words = f" Did you mean {' or '.join(near)}?" if near else ""
    raise GatewayError(Kind.NOT_FOUND, f"There is no client {name!r}.{words} Known: {', '.join(CLIENTS)}.", param="name")
