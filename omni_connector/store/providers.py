"""What the user set for providers as a whole. A provider without a row is as the program knows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from omni_connector.snapshot import ProviderSettings
from omni_connector.store.settings import bump_config
from omni_connector.store.tables import decode, encode, upsert
from omni_connector.store.tables import providers as t


def list_providers(conn: sa.Connection) -> dict[str, ProviderSettings]:
    """By id; only those that something was set for."""
    return {row["id"]: _settings(row) for row in conn.execute(sa.select(t).order_by(t.c.id)).mappings()}


def get(conn: sa.Connection, provider_id: str) -> ProviderSettings:
    row = conn.execute(sa.select(t).where(t.c.id == provider_id)).mappings().first()
    return ProviderSettings(provider_id) if row is None else _settings(row)


def put(conn: sa.Connection, provider_id: str, changes: Mapping[str, Any]) -> ProviderSettings:
    """Sets the named fields of ProviderSettings and leaves the others; returns what holds now."""
    values = {name: encode(value) if name == "model_map" else value for name, value in changes.items()}
    upsert(conn, t, [{"id": provider_id, **values}], ["id"], list(values))
    bump_config(conn)
    return get(conn, provider_id)


def _settings(row: sa.RowMapping) -> ProviderSettings:
    return ProviderSettings(**{**row, "model_map": decode(row["model_map"])})
