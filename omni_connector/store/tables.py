"""The schema, as data, portable between SQLite and PostgreSQL.

Times are integer milliseconds UTC (`*_at`), money is integer nano-dollars (`*_nano`), JSON is text written by `encode`.
`migrations/versions/` creates the same tables; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from omni_connector.store.prebuilt import dialect_of

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Id = sa.String(40)
Word = sa.String(40)
Given = sa.String(255)
"""An id that a provider or client gave."""
Name = sa.Text()
Json = sa.Text()


def _column(name: str, type_: sa.types.TypeEngine[Any], default: Any = None, *, primary_key: bool = False) -> sa.Column[Any]:
    """A column is NOT NULL exactly when it has a default or is a key; the default is also the server's."""
    if primary_key:
        return sa.Column(name, type_, primary_key=True)
    if default is None:
        return sa.Column(name, type_, nullable=True)
    if isinstance(default, bool):
        return sa.Column(name, type_, nullable=False, default=default, server_default=sa.true() if default else sa.false())
    return sa.Column(name, type_, nullable=False, default=default, server_default=str(default))


meta = sa.Table("meta", metadata, _column("name", Name, primary_key=True), _column("value", sa.Text(), ""))

accounts = sa.Table(
    "accounts",
    metadata,
    _column("id", Id, primary_key=True),
    sa.Column("provider", Name, nullable=False),
    sa.Column("label", Name, nullable=False),
    _column("auth", Word, "api_key"),
    _column("secret", sa.LargeBinary()),
    _column("base_url", sa.Text(), ""),
    _column("models", Json, "[]"),
    _column("discovered", Json, "[]"),
    _column("prefix", Name, ""),
    _column("model_map", Json, "{}"),
    _column("enabled", sa.Boolean(), True),
    _column("priority", sa.Integer(), 0),
    _column("weight", sa.Integer(), 1),
    _column("max_in_flight", sa.Integer()),
    _column("budget", Json),
    _column("headers", sa.LargeBinary()),
    _column("proxy_url", sa.LargeBinary()),
    _column("options", Json, "{}"),
    _column("state", Word, "ok"),
    _column("state_reason", sa.Text(), ""),
    _column("quota", Json, "[]"),
    _column("balance", Json),
    _column("key_hint", Name, ""),
    _column("created_at", Big, 0),
    _column("updated_at", Big, 0),
    _column("last_used_at", Big),
    _column("rpm", sa.Integer()),
    _column("tpm", Big),
    _column("usage_key", sa.LargeBinary()),
    sa.UniqueConstraint("label"),
)

cooldowns = sa.Table(
    "cooldowns",
    metadata,
    sa.Column(
        "account_id", Id, sa.ForeignKey("accounts.id", ondelete="CASCADE", name="fk_cooldowns_account_id_accounts"), primary_key=True
    ),
    _column("scope", Name, primary_key=True),
    _column("until_at", Big, 0),
    _column("source", Word, "guessed"),
    _column("reason", sa.Text(), ""),
    _column("step", sa.Integer(), 0),
    _column("created_at", Big, 0),
)

client_keys = sa.Table(
    "client_keys",
    metadata,
    _column("id", Id, primary_key=True),
    _column("name", Name, ""),
    _column("hint", Word, ""),
    sa.Column("hash", sa.String(64), nullable=False),
    _column("created_at", Big, 0),
    _column("expires_at", Big),
    _column("revoked_at", Big),
    _column("models", Json),
    _column("providers", Json),
    _column("rpm", sa.Integer()),
    _column("tpm", Big),
    _column("max_in_flight", sa.Integer()),
    _column("budget", Json),
    _column("last_used_at", Big),
    sa.UniqueConstraint("hash"),
)

settings = sa.Table("settings", metadata, _column("name", Name, primary_key=True), _column("value", sa.Text(), ""))
providers = sa.Table(
    "providers",
    metadata,
    _column("id", Name, primary_key=True),
    _column("enabled", sa.Boolean(), True),
    _column("base_url", sa.Text(), ""),
    _column("model_map", Json, "{}"),
    _column("name", Name, ""),
    _column("updated_at", Big, 0),
)
aliases = sa.Table("aliases", metadata, _column("name", Name, primary_key=True), _column("targets", Json, "[]"))
chains = sa.Table("chains", metadata, _column("name", Name, primary_key=True), _column("tiers", Json, "[]"))

requests = sa.Table(
    "requests",
    metadata,
    _column("id", Id, primary_key=True),
    _column("started_at", Big, 0),
    _column("settled_at", Big),
    _column("state", Word, "open"),
    _column("outcome", Word),
    _column("process_id", Id, ""),
    _column("wire", Word, ""),
    _column("path", Name, ""),
    _column("stream", sa.Boolean(), False),
    _column("client", Name, ""),
    _column("key_id", Id),
    _column("key_name", Name),
    _column("model_requested", Name, ""),
    _column("model", Name),
    _column("provider", Name),
    _column("account_id", Id),
    _column("account_label", Name),
    _column("http_status", sa.Integer()),
    _column("flag", Word),
    _column("error_kind", Word),
    _column("error_message", sa.Text()),
    _column("route", sa.Text()),
    _column("attempts", Json),
    _column("skipped", Json),
    _column("dropped", Json),
    _column("first_token_ms", sa.Integer()),
    _column("duration_ms", Big),
    _column("est_input", Big),
    _column("input", Big),
    _column("cache_read", Big),
    _column("cache_write", Big),
    _column("output", Big),
    _column("reasoning", Big),
    _column("usage_source", Word, "none"),
    _column("usage_raw", Json),
    _column("cost_nano", Big),
    _column("price_source", Word),
    _column("plan", Json),
    _column("cache_write_1h", Big),
    _column("web_searches", Big),
    _column("shadow_nano", Big),
    # Ids sort by time, so (x, id) serves "newest first of x" without a sort. Only open rows are ever looked up by state.
    # On PostgreSQL the conditions are the same ones; they stand in the migrations only, because naming them here would import its dialect.
    sa.Index("ix_requests_started_at", "started_at"),
    sa.Index("ix_requests_account_id_id", "account_id", "id"),
    sa.Index("ix_requests_key_id_id", "key_id", "id"),
    sa.Index("ix_requests_model_id", "model", "id"),
    sa.Index("ix_requests_open", "id", sqlite_where=sa.text("state = 'open'")),
    sa.Index("ix_requests_wire_id", "wire", "id"),
    sa.Index("ix_requests_model_requested_id", "model_requested", "id"),
    # What most rows have not, or not yet at opening, costs nothing where they have it not.
    *(
        sa.Index(f"ix_requests_{name}", *columns, sqlite_where=sa.text(where))
        for name, columns, where in (
            ("provider_id", ("provider", "id"), "provider IS NOT NULL"),
            ("flag_id", ("flag", "id"), "flag IS NOT NULL"),
            ("error_status_id", ("http_status", "id"), "http_status >= 400"),
            ("failed", ("id",), "outcome IN ('failed', 'cut')"),
        )
    ),
)

prices = sa.Table(
    "prices",
    metadata,
    _column("pattern", Name, primary_key=True),
    _column("scope", Name, primary_key=True),
    # Dollars as decimal text: what was written is what is multiplied, to the last digit.
    _column("input", sa.Text()),
    _column("output", sa.Text()),
    _column("cache_read", sa.Text()),
    _column("cache_write", sa.Text()),
    _column("per_request", sa.Text()),
    _column("subscription", sa.Boolean(), False),
    _column("updated_at", Big, 0),
)

kept = sa.Table(
    "kept",
    metadata,
    _column("kind", Word, primary_key=True),
    _column("key_id", Id, primary_key=True),
    _column("id", Given, primary_key=True),
    _column("account_id", Id),
    _column("provider", Name),
    _column("model", Name),
    _column("created_at", Big, 0),
    _column("previous_id", Given),
    sa.Column("value", sa.LargeBinary(), nullable=False),
    sa.Index("ix_kept_created_at", "created_at"),
    sa.Index("ix_kept_id", "id"),
)

homes = sa.Table(
    "homes",
    metadata,
    _column("id", Id, primary_key=True),
    sa.Column("account_id", Id, nullable=False),
    sa.Column("at", Big, nullable=False),
    _column("prompt_tokens", Big),
    sa.Index("ix_homes_at", "at"),
)

jobs = sa.Table(
    "jobs",
    metadata,
    _column("id", Id, primary_key=True),
    sa.Column("kind", Name, nullable=False),
    _column("key", Name, ""),
    _column("due_at", Big, 0),
    _column("interval_ms", Big),
    _column("jitter", Big, 0),
    _column("attempts", sa.Integer(), 0),
    _column("max_attempts", sa.Integer(), 5),
    _column("state", Word, "ready"),
    _column("lease_owner", Id),
    _column("lease_until", Big),
    _column("fence", Big, 0),
    _column("payload", Json, "{}"),
    _column("last_run_at", Big),
    _column("last_ok_at", Big),
    _column("last_error", sa.Text()),
    sa.UniqueConstraint("kind", "key"),
    sa.Index("ix_jobs_state_due_at", "state", "due_at"),
)

flows = sa.Table(
    "oauth_flows",
    metadata,
    _column("id", Id, primary_key=True),
    sa.Column("provider", Name, nullable=False),
    _column("state", Word, "waiting"),
    _column("state_hash", sa.String(64)),
    _column("created_at", Big, 0),
    _column("expires_at", Big, 0),
    _column("account_id", Id),
    _column("error", sa.Text()),
    _column("shown", Json, "{}"),
    sa.Column("secret", sa.LargeBinary(), nullable=False),
    sa.UniqueConstraint("state_hash"),
    sa.Index("ix_oauth_flows_expires_at", "expires_at"),
)

refreshes = sa.Table(
    "token_refreshes",
    metadata,
    _column("account_id", Id, primary_key=True),
    _column("fence", Big, 0),
    _column("owner", Id),
    _column("lease_until", Big),
    _column("begun_at", Big),
    _column("spent", sa.String(64)),
    _column("ended_at", Big),
    _column("error", sa.Text()),
    _column("tries", sa.Integer(), 0),
    _column("failures", sa.Integer(), 0),
    _column("retry_at", Big),
)

notices = sa.Table("notices", metadata, _column("provider", Name, primary_key=True), _column("text", sa.Text(), ""), _column("at", Big, 0))

channels = sa.Table(
    "alert_channels",
    metadata,
    _column("id", Id, primary_key=True),
    sa.Column("kind", Word, nullable=False),
    sa.Column("name", Name, nullable=False),
    sa.Column("target", sa.LargeBinary(), nullable=False),
    _column("options", Json, "{}"),
    _column("enabled", sa.Boolean(), True),
    _column("created_at", Big, 0),
    _column("last_ok_at", Big),
    _column("last_error", sa.Text()),
    sa.UniqueConstraint("name"),
)

alerts = sa.Table(
    "alerts",
    metadata,
    _column("id", Id, primary_key=True),
    sa.Column("kind", Word, nullable=False),
    _column("subject", Name, ""),
    _column("message", sa.Text(), ""),
    _column("state", Word, "open"),
    _column("at", Big, 0),
    _column("ended_at", Big),
    _column("told_at", Big),
    _column("told", Json, "{}"),
    sa.Index("ix_alerts_state_kind_subject", "state", "kind", "subject"),
)

limits = sa.Table(
    "limits",
    metadata,
    _column("scope", Word, primary_key=True),
    _column("subject", Name, primary_key=True),
    _column("budget", Json),
    _column("rpm", sa.Integer()),
    _column("tpm", Big),
    _column("max_in_flight", sa.Integer()),
    _column("updated_at", Big, 0),
)

spend = sa.Table(
    "spend",
    metadata,
    _column("scope", Word, primary_key=True),
    _column("subject", Name, primary_key=True),
    _column("start_at", Big, primary_key=True),
    _column("end_at", Big, primary_key=True),
    _column("spent_nano", Big, 0),
)

holds = sa.Table(
    "holds",
    metadata,
    _column("request_id", Id, primary_key=True),
    _column("scope", Word, primary_key=True),
    _column("subject", Name, primary_key=True),
    _column("at", Big, 0),
    _column("nano", Big, 0),
    _column("tokens", Big, 0),
    _column("open", sa.Boolean(), True),
    sa.Index("ix_holds_scope_subject_at", "scope", "subject", "at"),
    sa.Index("ix_holds_at", "at"),
)

usage_hours = sa.Table(
    "usage_hours",
    metadata,
    # Whole hours since 1970 (UTC). What a request has not is "" here: NULL is never equal to NULL, so it cannot be part of a key.
    _column("hour", Big, primary_key=True),
    *(_column(name, type_, primary_key=True) for name, type_ in (("key_id", Id), ("account_id", Id), ("provider", Name), ("model", Name))),
    _column("client", Name, primary_key=True),
    _column("key_name", Name, ""),
    _column("account_label", Name, ""),
    *(
        _column(name, Big, 0)
        for name in ("requests", "failed", "input", "cache_read", "cache_write", "output", "reasoning", "cost_nano", "unpriced")
    ),
    _column("shadow_nano", Big, 0),
    # On SQLite the table is its own index: half the size, and one write a row instead of two.
    sqlite_with_rowid=False,
)

calibrations = sa.Table(
    "calibrations",
    metadata,
    _column("family", Name, primary_key=True),
    _column("seen", Big, 0),
    sa.Column("mean", sa.Float(), nullable=False),
    sa.Column("spread", sa.Float(), nullable=False),
    _column("updated_at", Big, 0),
)

reconciliations = sa.Table(
    "reconciliations",
    metadata,
    _column("account_id", Id, primary_key=True),
    sa.Column("day", sa.String(10), primary_key=True),
    _column("provider", Name, ""),
    _column("label", Name, ""),
    _column("state", Word, "unknown"),
    _column("scope", Word, ""),
    _column("words", sa.Text(), ""),
    _column("theirs_nano", Big),
    _column("ours_nano", Big),
    _column("unpriced", Big, 0),
    _column("at", Big, 0),
    sa.Index("ix_reconciliations_day", "day"),
)

processes = sa.Table(
    "processes",
    metadata,
    _column("id", Id, primary_key=True),
    _column("host", Name, ""),
    _column("pid", Big, 0),
    _column("started_at", Big, 0),
    _column("seen_at", Big, 0),
)


def encode(value: Any) -> str | None:
    """A JSON column's text; None stays NULL."""
    return None if value is None else msgspec.json.encode(value).decode()


def decode(text: str | None) -> Any:
    """What `encode` wrote."""
    return None if text is None else msgspec.json.decode(text)


def upsert(conn: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]], keys: Sequence[str], change: Sequence[str]) -> None:
    """INSERT … ON CONFLICT (keys) DO UPDATE the columns `change`, on both databases."""
    insert = dialect_of(conn.dialect.name).insert(table)
    conn.execute(insert.on_conflict_do_update(index_elements=keys, set_={c: insert.excluded[c] for c in change}), rows)
