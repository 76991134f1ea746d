"""No question of the dashboard and of the hot path reads a big table from end to end, on either database: shown by their own plans.

SQLite plans by statistics (`sqlite_stat1`), so it is told that there are a million rows; without statistics, as an installation is, it
must come to the same. PostgreSQL looks at its files, so there 40,000 rows lie in four months, and a page looks at fewer. What a million
real rows take is measured by hand (bench/million.py, docs/performance.md).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from bench import million
from omni_connector import upkeep
from omni_connector.secrets import new_id
from omni_connector.store import (
    allowances,
    bars,
    books,
    following,
    homes,
    jobs,
    kept,
    partitions,
    prices,
    pruning,
    reconciliations,
    requests,
    rollups,
    server,
    sums,
)
from omni_connector.store.allowances import Ask, Claim
from omni_connector.store.engine import Database
from tests.postgres import Server

DAY, NOW = million.DAY, million.NOW
ROWS = 40_000
MIDDLE = new_id("req", NOW - 45 * DAY)
BIG = ("requests", "usage_hours", "kept", "homes", "holds")
SMALL = 3_000
"""Rows of a partition that may well be read whole."""
Ask_ = Callable[[sa.Connection], Any]


def _page(filters: dict[str, str], before: str | None) -> Ask_:
    return lambda conn: requests.page(conn, filters, before, 51)


def _claim(scope: str, subject: str) -> Claim:
    return Claim(scope, subject, 10**9, NOW - DAY, NOW + DAY, rpm=10**6, tpm=10**12, max_in_flight=10**6)


def _whole_life(conn: sa.Connection) -> None:
    """A request from its first row to its sums, its limits and what it leaves."""
    row = {"id": new_id("req", NOW), "started_at": NOW, "process_id": "prc_1", "key_id": "key_1", "client": "curl/8.7"}
    requests.insert_open(conn, [row])
    claims = (_claim("key", "key_1"), _claim("account", "acc_0"), _claim("", ""), _claim("model", "openai-model-1"))
    allowances.read(conn, [(one.scope, one.subject, one.start_at, one.end_at) for one in claims])
    for again in (False, True):
        allowances.admit(conn, [Ask(row["id"], NOW, claims, 1000, 10, 20, again=again)], NOW)
    end = {"id": row["id"], "settled_at": NOW, "outcome": "ok", "account_id": "acc_0", "model": "m", "cost_nano": 5}
    books.settle(conn, [end])
    books.settle(conn, [end])
    kept.put(conn, [{"kind": kept.RESPONSE, "key_id": "key_1", "id": "r-new", "created_at": NOW, "value": b"x"}])
    homes.store(conn, [("h-new", "acc_0", NOW, 5)])


def _tail(conn: sa.Connection) -> None:
    known = following.begin(conn, NOW)
    following.look(conn, {"provider": "openai"}, known, NOW)
    following.last(conn, {"status": "failed"}, 50)
    following.since(conn, {}, NOW - DAY)
    following.opened(conn, "prc_1", 200)


ASKS: dict[str, Ask_] = {
    **{
        f"page {filters or 'all'} {'back' if before else ''}": _page(filters, before)
        for filters in million.PAGES
        for before in (None, MIDDLE)
    },
    "a request": lambda conn: requests.get(conn, MIDDLE),
    "the tail": _tail,
    "the oldest in flight": requests.oldest_open,
    "the overview": lambda conn: sums.account_activity(conn, NOW - NOW % DAY),
    **{f"usage by {group}": lambda conn, g=group: sums.usage(conn, g, NOW - 3 * DAY, NOW) for group in get_args(sums.Group)},
    "usage of a provider": lambda conn: sums.usage(conn, "model", NOW - 3 * DAY, NOW, provider="openai"),
    "usage by day elsewhere": lambda conn: sums.usage(conn, "day", NOW - 5 * DAY, NOW, ZoneInfo("Asia/Kolkata")),
    "usage over time": lambda conn: bars.usage(conn, "model", bars.places("day", NOW - 3 * DAY, NOW), (NOW - 3 * DAY, NOW)),
    "what an account spent": lambda conn: requests.spent(conn, "account", ["acc_0"], NOW - DAY, NOW, "prc_2"),
    "a request's life": _whole_life,
    "what was spent of a model": lambda conn: allowances.known(conn, [("model", "m", NOW - DAY, NOW)]),
    "what to price anew": lambda conn: prices.booked(conn, NOW - 30 * DAY, NOW, MIDDLE, 100),
    "pricing anew": lambda conn: books.reprice(conn, [(MIDDLE, 7, "own")]),
    "what a day cost": lambda conn: reconciliations.booked(conn, ["acc_0"], upkeep_day()),
    "what dead processes left": lambda conn: books.recover(conn, ["prc_9"], NOW),
    "what is old": lambda conn: pruning.oldest(conn, NOW - 80 * DAY, MIDDLE),
    "deleting": lambda conn: pruning.delete(conn, [{"id": MIDDLE, "started_at": 0}]),
    "a day of the sums": lambda conn: rollups.check_on(conn, (NOW - 3 * DAY) // requests.HOUR_MS),
    "an earlier answer": lambda conn: [*kept.get(conn, kept.RESPONSE, "key_1", ["r-7"]), *kept.chain(conn, "key_1", "r-7")],
    "another's answer": lambda conn: kept.is_of_another(conn, kept.RESPONSE, "key_2", "r-7"),
    "old answers": lambda conn: kept.prune(conn, NOW - 20 * DAY, 10),
    "old homes": lambda conn: homes.prune(conn, NOW - 36 * DAY),
    "the conversations' homes": homes.load,
    "jobs that are due": lambda conn: jobs.claim(conn, "prc_1", NOW, 1000),
}


def upkeep_day() -> Any:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(NOW / 1000, UTC).date()


def statements(conn: sa.Connection, ask: Ask_) -> list[tuple[str, Any]]:
    """What it asks the database, each once, with parameters."""
    found: dict[str, Any] = {}

    def hear(_conn: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        if any(f" {table}" in statement.replace('"', "") for table in BIG):
            found.setdefault(statement, parameters[0] if many else parameters)

    sa.event.listen(conn, "before_cursor_execute", hear)
    try:
        ask(conn)
    finally:
        sa.event.remove(conn, "before_cursor_execute", hear)
    return list(found.items())


class Undo(Exception):
    pass


async def plans(db: Database, ask: Ask_, explain: Callable[[sa.Connection, str, Any], list[str]]) -> list[str]:
    """What is wrong with the plans of what it asks; nothing is changed."""
    wrong: list[str] = []

    def look(conn: sa.Connection) -> None:
        for statement, parameters in statements(conn, ask):
            wrong.extend(f"{line}\n    {statement[:600]}" for line in explain(conn, statement, parameters))
        raise Undo

    with pytest.raises(Undo):
        await db.tx(look)
    return wrong


# ---------------------------------------------------------------- SQLite

STATISTICS = {
    "sqlite_autoindex_requests_1": "1000000 1",
    "ix_requests_started_at": "1000000 1",
    "ix_requests_account_id_id": "1000000 50000 1",
    "ix_requests_key_id_id": "1000000 83334 1",
    "ix_requests_model_id": "1000000 41667 1",
    "ix_requests_open": "20 1",
    "ix_requests_wire_id": "1000000 250000 1",
    "ix_requests_model_requested_id": "1000000 40000 1",
    "ix_requests_provider_id": "1000000 125000 1",
    "ix_requests_flag_id": "20000 20000 1",
    "ix_requests_error_status_id": "40000 20000 1",
    "ix_requests_failed": "40000 1",
}


@pytest.fixture(params=["without statistics", "a million rows"])
async def lite_million(request: pytest.FixtureRequest, tmp_path: Path, sqlite_template: bytes) -> Any:
    path = tmp_path / "omni.db"
    path.write_bytes(sqlite_template)
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.begin() as conn:
        fill_small(conn)
        if request.param != "without statistics":
            conn.exec_driver_sql("ANALYZE")
            conn.exec_driver_sql("DELETE FROM sqlite_stat1 WHERE tbl = 'requests'")
            names = set(conn.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = 'requests'").scalars())
            assert names == set(STATISTICS), "a new index wants its statistics here"
            for index, figures in STATISTICS.items():
                conn.exec_driver_sql("INSERT INTO sqlite_stat1 VALUES ('requests', ?, ?)", (index, figures))
    engine.dispose()
    db = await Database.open(f"sqlite:///{path}")
    yield db
    await db.close()


def fill_small(conn: sa.Connection) -> None:
    marks = ", ".join("?" * len(million.COLUMNS))
    conn.exec_driver_sql(f"INSERT INTO requests ({', '.join(million.COLUMNS)}) VALUES ({marks})", list(million.made(200, 90, 10)))
    conn.exec_driver_sql("INSERT INTO accounts (id, provider, label) VALUES ('acc_0', 'openai', 'label0')")
    conn.exec_driver_sql("INSERT INTO client_keys (id, name, hash) VALUES ('key_3', 'name3', 'x')")
    conn.exec_driver_sql(million.FILL)


PARTIAL = ("ix_requests_open", "ix_requests_failed", "ix_requests_flag_id", "ix_requests_error_status_id")


def explain_lite(conn: sa.Connection, statement: str, parameters: Any) -> list[str]:
    lines = [row[3] for row in conn.exec_driver_sql("EXPLAIN QUERY PLAN " + statement, parameters)]
    bounded = "LIMIT" in statement
    return [line for line in lines if _reads_all(line, bounded)]


def _reads_all(line: str, bounded: bool) -> bool:
    if not line.startswith("SCAN ") or not line.split()[1].startswith(BIG):
        return False
    return "INDEX" not in line or not (bounded or any(index in line for index in PARTIAL))


async def test_sqlite_goes_by_an_index(lite_million: Database) -> None:
    wrong = {name: found for name, ask in ASKS.items() if (found := await plans(lite_million, ask, explain_lite))}
    assert not wrong, "\n".join(f"{name}:\n  {line}" for name, lines in wrong.items() for line in lines)


# ---------------------------------------------------------------- PostgreSQL

MORE = (
    "INSERT INTO accounts (id, provider, label) SELECT 'acc_' || n, 'openai', 'label' || n FROM generate_series(0, 19) n",
    "INSERT INTO client_keys (id, name, hash) SELECT 'key_' || n, 'name' || n, n::text FROM generate_series(0, 11) n",
    "INSERT INTO kept (kind, key_id, id, created_at, value) "
    f"SELECT 'response', 'key_' || n % 12, 'r-' || n, {NOW} - n * 400000::bigint, repeat('x', 200)::bytea FROM generate_series(1, 8000) n",
    "INSERT INTO homes (id, account_id, at) "
    f"SELECT 'h-' || n, 'acc_' || n % 20, {NOW} - n * 400000::bigint FROM generate_series(1, 8000) n",
    "INSERT INTO holds (request_id, scope, subject, at, nano, tokens, open) "
    f"SELECT 'req_' || n, 'key', 'key_' || n % 2000, {NOW} - n * 10, 5, 5, n % 10 = 0 FROM generate_series(1, 8000) n",
)


@pytest.fixture
async def pg_months(postgres: Server) -> Any:
    url = await postgres.fresh()
    db = await Database.open(url)
    for part in await db.run(partitions.parts):  # those of the day on which the test runs
        await db.tx(lambda conn, one=part: partitions.drop(conn, one, 0, None))
    await upkeep.make_months(db, NOW - 90 * DAY, 5)
    driver = await server.open_connection(db.url)
    stream = million.COLUMNS.index("stream")
    rows = ((*row[:stream], bool(row[stream]), *row[stream + 1 :]) for row in million.made(ROWS, 90, 10))
    await driver.copy_records_to_table("requests", records=rows, columns=million.COLUMNS)
    for statement in (*MORE, million.FILL, "ANALYZE"):
        await driver.execute(statement)
    await driver.close()
    yield db
    await db.close()
    await postgres.drop(url)


SIZES = """
SELECT c.relname, CASE WHEN pg_get_expr(i.indpred, i.indrelid) LIKE '%%open%%' THEN 0 ELSE c.reltuples END
FROM pg_class c LEFT JOIN pg_index i ON i.indexrelid = c.oid WHERE c.relkind IN ('r', 'i')
"""
"""Rows of tables and indexes; the index of what is open is small, however many rows there are."""


def explain_server(conn: sa.Connection, statement: str, parameters: Any) -> list[str]:
    told = conn.exec_driver_sql("EXPLAIN (FORMAT JSON) " + statement, parameters).scalar()
    if "sizes" not in conn.info:
        conn.info["sizes"] = dict(tuple(row) for row in conn.exec_driver_sql(SIZES))
    (tree,) = json.loads(told) if isinstance(told, str) else told
    return [line for node, limited in nodes(tree["Plan"]) if (line := whole(node, limited, conn.info["sizes"]))]


def nodes(node: dict[str, Any], limited: bool = False) -> Iterator[tuple[dict[str, Any], bool]]:
    """Each with whether somebody above it takes only the first rows, in the order in which they come."""
    yield node, limited
    limited = node["Node Type"] == "Limit" or (limited and node["Node Type"] not in ("Sort", "Aggregate", "Hash"))
    for child in node.get("Plans", ()):
        yield from nodes(child, limited)


def whole(node: dict[str, Any], limited: bool, sizes: dict[str, float]) -> str:
    relation, kind = node.get("Relation Name", ""), node["Node Type"]
    if not relation.startswith(BIG) or sizes.get(relation, 0) < SMALL:
        return ""
    if kind == "Seq Scan":
        return f"Seq Scan on {relation} filter {node.get('Filter')}"
    if kind in ("Index Scan", "Index Only Scan") and "Index Cond" not in node and not limited and sizes.get(node["Index Name"]):
        return f"{kind} of all of {node['Index Name']}"
    return ""


async def test_postgresql_goes_by_an_index_in_every_month(pg_months: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "SEARCHED", 500)
    wrong = {name: found for name, ask in ASKS.items() if (found := await plans(pg_months, ask, explain_server))}
    assert not wrong, "\n".join(f"{name}:\n  {line}" for name, lines in wrong.items() for line in lines)
    # Who asks for one request is led to its month.
    tree = await pg_months.run(explain_one)
    assert [node["Relation Name"] for node, _ in nodes(tree) if "Relation Name" in node] == ["requests_y2026m12"]


def explain_one(conn: sa.Connection) -> dict[str, Any]:
    told = conn.exec_driver_sql("EXPLAIN (FORMAT JSON) SELECT * FROM requests WHERE id = $1::VARCHAR", (MIDDLE,)).scalar()
    (tree,) = json.loads(told) if isinstance(told, str) else told
    found: dict[str, Any] = tree["Plan"]
    return found


# ---------------------------------------------------------------- Can it fail?


def test_a_full_scan_is_seen() -> None:
    assert _reads_all("SCAN requests", True) and _reads_all("SCAN requests USING INDEX ix_requests_model_id", False)
    assert not _reads_all("SEARCH requests USING INDEX ix_requests_model_id (model=?)", False)
    assert not _reads_all("SCAN requests USING INDEX ix_requests_open", False) and not _reads_all("SCAN accounts", False)
    scan = {"Node Type": "Seq Scan", "Relation Name": "requests_y2026m12"}
    sizes = {"requests_y2026m12": 20_000.0, "x_pkey": 20_000.0}
    assert whole(scan, True, sizes) and not whole(scan, False, {"requests_y2026m12": 10.0})
    walk = {"Node Type": "Index Scan", "Relation Name": "requests_y2026m12", "Index Name": "x_pkey"}
    assert whole(walk, False, sizes) and not whole(walk, True, sizes)
    sorted_first = {"Node Type": "Limit", "Plans": [{"Node Type": "Sort", "Plans": [walk]}]}
    assert [limited for node, limited in nodes(sorted_first) if node is walk] == [False]
