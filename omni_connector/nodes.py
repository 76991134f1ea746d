"""What a node is called. Its name is part of the ids of its processes, and so stands in every row that they write."""

from __future__ import annotations

import re
import socket

from omni_connector.secrets import new_id

NAME = 15
"""Characters of a name at most."""


def node_name(given: str) -> str:
    """What this node is called: `given`, else the machine's name; the last NAME characters of it, which tell one pod from another."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", given or socket.gethostname())[-NAME:] or "node"


def new_process_id(node: str) -> str:
    """`node`: as the settings name it, or ""."""
    return f"{new_id('prc')}.{node_name(node)}"


def node_of(process_id: str) -> str | None:
    """The node that a process runs, or ran, on; None for those of releases that did not say so."""
    return process_id.partition(".")[2] or None
