"""Every family of `GET /metrics`, once: its kind, its labels and what it says. docs/monitoring.md is made from this table.

Labels are bounded by what the installation has connected and by tables of the program. Names of keys and labels of accounts are
never among them, and a model's name only when the account or the catalogue knows it: clients can ask for any name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from omni_connector.values import dataclass


@dataclass(frozen=True, slots=True)
class Family:
    """`bounds`: of a histogram, the upper ends of its buckets in ms; it is told in seconds."""

    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    help: str
    bounds: tuple[int, ...] = ()


DURATIONS = (50, 100, 250, 500, 1000, 2500, 5000, 10_000, 20_000, 30_000, 60_000, 120_000, 300_000, 600_000)
FIRST_TOKENS = (50, 100, 200, 300, 500, 750, 1000, 1500, 2500, 5000, 10_000, 20_000, 30_000, 60_000, 120_000)

FAMILIES: Mapping[str, Family] = {
    # Counted when a request is settled, since this process started
    "omni_requests_total": Family(
        "counter",
        ("protocol", "provider", "outcome"),
        "Requests that are over. provider none: nobody was asked. outcome: ok, failed, client_left or cut.",
    ),
    "omni_failures_total": Family("counter", ("kind",), "Requests that ended in an error, by its kind (docs/errors.md)."),
    "omni_attempts_total": Family(
        "counter", ("provider", "result"), "Tries at accounts. result: answered, unfinished (the client left), or the kind of the failure."
    ),
    "omni_failovers_total": Family("counter", ("outcome",), "Requests that took more than one try; outcome ok were rescued by that."),
    "omni_request_duration_seconds": Family(
        "histogram", ("protocol", "provider"), "From the request to its settled row, whatever became of it.", DURATIONS
    ),
    "omni_time_to_first_token_seconds": Family(
        "histogram", ("protocol", "provider"), "From the request to the first words of its answer.", FIRST_TOKENS
    ),
    "omni_tokens_total": Family(
        "counter",
        ("provider", "model", "kind"),
        "Tokens. kind: input (without cached ones), cache_read, cache_write, output (with reasoning), reasoning.",
    ),
    "omni_cost_dollars_total": Family("counter", ("provider", "model"), "What answers cost, as far as their price is known."),
    "omni_unpriced_requests_total": Family("counter", ("provider", "model"), "Requests that used tokens whose price is not known."),
    # As it is now
    "omni_requests_in_flight": Family("gauge", (), "Requests being answered now."),
    "omni_retries_in_flight": Family("gauge", (), "Those of them on a second or later try whose answer has not begun."),
    "omni_accounts": Family("gauge", ("provider", "status"), "Accounts. status: ready, cooling, locked, needs_login, disabled or error."),
    "omni_cooldowns": Family("gauge", ("provider", "source"), "Cooldowns in force. source: stated, guessed or terminal."),
    "omni_ledger_commits_total": Family("counter", (), "Transactions that the books were written with."),
    "omni_ledger_rows_total": Family("counter", (), "Rows of the books that were opened or settled in them."),
    "omni_ledger_waiting": Family("gauge", (), "Rows that wait to be written."),
    "omni_ledger_unsettled": Family("gauge", (), "Settled requests that the database refused; they are tried again."),
    "omni_database_away": Family("gauge", (), "1 while the database takes nothing and entries of the books go to OMNI_HOME/spill."),
    "omni_spill_bytes": Family("gauge", (), "Bytes of such entries that wait."),
    "omni_spilled_rows_total": Family("counter", (), "Rows that were opened or settled there."),
    "omni_jobs": Family("gauge", ("kind", "state"), "Background jobs. state: ready, running, done, paused or dead (given up)."),
    "omni_build_info": Family("gauge", ("version", "python", "node"), "Always 1. node: what it is called (node_name)."),
    "process_resident_memory_bytes": Family("gauge", (), "Memory of this process."),
    "process_cpu_seconds_total": Family("counter", (), "Processor time of this process."),
    "process_open_fds": Family("gauge", (), "Open files and connections of this process."),
    "process_max_fds": Family("gauge", (), "How many it may have."),
    "process_start_time_seconds": Family("gauge", (), "When this process started, in seconds since 1970."),
}
