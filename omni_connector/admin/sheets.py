"""Answers of the books as files: CSV for spreadsheets (RFC 4180), JSON lines for programs. Pure.

CSV holds figures as they are in the JSON answers: exact dollars as text, times as ISO 8601 UTC, unknown as an empty cell.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

Json = dict[str, Any]

TYPES: Mapping[str, str] = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "jsonl": "application/x-ndjson",
}
"""Format → media type."""
_USAGE = ("requests", "failed", "input", "cache_read", "cache_write", "output", "reasoning", "unpriced", "cost_usd", "worth_usd")
_REQUEST = (
    *("id", "at", "state", "outcome", "http_status", "flag", "protocol", "path", "stream", "client", "key", "model_requested", "model"),
    *("provider", "account", "attempts", "first_token_ms", "duration_ms", "input", "cache_read", "cache_write", "output", "reasoning"),
    *("usage_source", "cost_usd", "price_source", "worth_usd", "error_kind", "error"),
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # the last ones: the wide forms of the first


def usage_csv(answer: Json) -> str:
    """The answer of GET /api/usage: a line of titles, then one line a row; no total, which would be added once more."""
    rows = ((row["name"], row["id"], *(row[name] for name in _USAGE)) for row in answer["rows"])
    return _lines(((answer["group"], "id", *_USAGE), *rows))


def request_titles(form: str) -> str:
    return _lines([_REQUEST]) if form == "csv" else ""


def request_lines(rows: Iterable[Json], form: str) -> str:
    """Rows as GET /api/requests has them, in the format "csv" or "jsonl"."""
    if form == "csv":
        return _lines(_flat(row) for row in rows)
    return "".join(msgspec.json.encode(row).decode() + "\n" for row in rows)


def _flat(row: Json) -> tuple[Any, ...]:
    error = row["error"] or {}
    flat = {
        **row,
        **row["usage"],
        "at": datetime.fromtimestamp(row["at"] / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "stream": "true" if row["stream"] else "false",
        "key": row["key"]["name"] or row["key"]["id"],
        "account": row["account"]["label"],
        "attempts": len(row["attempts"]),
        "usage_source": row["usage"]["source"],
        "cost_usd": row["cost"]["usd"],
        "price_source": row["cost"]["source"],
        "worth_usd": row["cost"]["worth_usd"],
        "error_kind": error.get("kind"),
        "error": error.get("message"),
    }
    return tuple(flat[name] for name in _REQUEST)


def _lines(rows: Iterable[Iterable[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue()


def _cell(value: Any) -> Any:
    """Names come from clients: what a spreadsheet would take for a formula gets a quote in front, which it shows as text."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
