"""Where conversations were answered last (routing/affinity.py), so that a restart does not scatter them over other accounts."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from omni_connector.store.tables import homes as t
from omni_connector.store.tables import upsert

Home = tuple[str, str, int, int | None]
"""Conversation, account id, when it was answered (ms), its prompt's tokens."""

MOST = 20_000


def store(conn: sa.Connection, homes: Sequence[Home]) -> None:
    """Stores them over what was known; what is older than the newest MOST goes when it is loaded next."""
    # In the order of their names: processes that store the same ones must not wait for each other crosswise.
    rows = [{"id": name, "account_id": account, "at": at, "prompt_tokens": tokens} for name, account, at, tokens in sorted(homes)]
    if rows:
        upsert(conn, t, rows, ("id",), ("account_id", "at", "prompt_tokens"))


def load(conn: sa.Connection) -> list[Home]:
    """The newest, oldest first."""
    query = sa.select(t.c.id, t.c.account_id, t.c.at, t.c.prompt_tokens).order_by(t.c.at.desc()).limit(MOST)
    return [(row.id, row.account_id, row.at, row.prompt_tokens) for row in conn.execute(query)][::-1]


def prune(conn: sa.Connection, before_ms: int) -> int:
    """Deletes what was answered before `before_ms`; returns how many."""
    return conn.execute(sa.delete(t).where(t.c.at < before_ms)).rowcount
