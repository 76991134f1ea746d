"""The log: where it goes, how a line looks, and how much is said. (R-52, P-58)

Every line is masked by `secrets.redact`; one that is written while a request is served names it. Level and format follow the settings
while the server runs.
"""

from __future__ import annotations

import json
import logging
import logging.handlers
import os
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path

from omni_connector import secrets
from omni_connector.record import Record
from omni_connector.settings import Settings

FILE = Path("logs") / "omni-connector.log"
"""Below OMNI_HOME."""
FILE_BYTES, FILES_KEPT = 10_000_000, 3
NOISY = ("apscheduler", "alembic", "aiosqlite", "sqlalchemy", "hpack", "asyncio", "urllib3", "opentelemetry")
"""Libraries whose lines below a warning say nothing about us, and may repeat what a client said."""

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""Of the request that is being served; "" outside of one."""


class Text(logging.Formatter):
    """`2026-01-31 12:00:00,000 INFO omni.relay [req_…]: words`."""

    def __init__(self, pattern: str = "%(asctime)s %(levelname)s %(name)s%(request)s: %(message)s") -> None:
        super().__init__(pattern)

    def format(self, record: logging.LogRecord) -> str:
        found = request_id.get()
        record.request = f" [{found}]" if found else ""
        return secrets.redact(super().format(record))


class Lines(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message, pid; request where there is one, trace where something failed."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, object] = {
            "time": at.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            # Masked before they are escaped: a secret in quotes looks different afterwards.
            "message": secrets.redact(record.getMessage()),
            "pid": record.process,
        }
        if found := request_id.get():
            line["request"] = found
        if record.exc_info:
            line["trace"] = secrets.redact(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False)


def words(record: Record) -> str:
    """A request that is over, in one line for the level debug: who was tried and what it came to. Nothing of what was said."""
    tried = ", ".join(
        f"{attempt.provider}/{attempt.model} {attempt.status or 'no answer'} {attempt.kind or ''}".rstrip() + f" {attempt.ms} ms"
        for attempt in record.attempts
    )
    took = (record.settled_at or record.started_at) - record.started_at
    became = " ".join(filter(None, (record.outcome, str(record.http_status), record.flag)))
    return (
        f"{became} in {took} ms; asked: {record.wire}{' streamed' if record.stream else ''}, about {record.est_input} tokens; "
        f"tried: {tried or 'nobody'}; left out: {len(record.skipped)}; "
        f"{record.usage.prompt}+{record.usage.output or 0} tokens ({record.usage_source}); dropped: {len(record.dropped)}"
    )


def set_up(home: Path, settings: Settings) -> None:
    """Everything that is logged from here on goes to one file that rolls (0600), or to standard error. Raises OSError."""
    handler: logging.Handler
    if settings.log_target == "stderr":
        handler = logging.StreamHandler(sys.stderr)
    else:
        path = home / FILE
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
        handler = logging.handlers.RotatingFileHandler(path, maxBytes=FILE_BYTES, backupCount=FILES_KEPT, encoding="utf-8")
    logging.getLogger().handlers[:] = [handler]
    follow(settings)


def follow(settings: Settings) -> None:
    """Level and format as the settings have them now."""
    root = logging.getLogger()
    root.setLevel(settings.log_level.upper())
    for handler in root.handlers:
        handler.setFormatter(Lines() if settings.log_format == "json" else Text())
    for noisy in NOISY:
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
