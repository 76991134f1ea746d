"""PostgreSQL's address, its errors in plain words, and what must work through a pooler, over TLS and with few rights."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import make_url

from omni_connector.store import allowances, books, requests, server
from omni_connector.store import settings as facts
from omni_connector.store.connections import ServerConnections
from omni_connector.store.engine import Database, unsafe, without_password
from omni_connector.store.files import Away, DatabaseError, Silent
from tests.postgres import LocalServer, Server


def error(state: str = "", text: str = "x") -> Any:
    return SimpleNamespace(orig=type("Error", (Exception,), {"sqlstate": state})(text), connection_invalidated=False)


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (error("08006"), Away),
        (error("57P01"), Away),
        (error("53300"), Away),
        (error("53100"), Away),
        (error("25006"), Away),
        (ConnectionRefusedError(111, "refused"), Away),
        (TimeoutError(), Away),
        (error("", "connection is closed"), Away),
        (sa.exc.TimeoutError("QueuePool limit"), Away),
        (error("28P01"), DatabaseError),
        (error("3D000"), DatabaseError),
        (error("42501"), DatabaseError),
        (error("42P01"), DatabaseError),
        (error("40P01"), DatabaseError),
        (error("23505"), None),
        (error("42601"), None),
    ],
)
def test_what_it_says_in_plain_words(given: Any, kind: Any) -> None:
    assert type(server.explain(given)) is (kind or type(None))


def test_what_may_be_run_again() -> None:
    assert [server.again(error(state)) for state in ("40P01", "40001", "55P03", "23505", "08006")] == [True, True, True, False, False]
    assert server.again(error("0A000", "cached statement plan is invalid due to a database schema change"))


def test_our_words_in_the_address_are_not_told_to_the_driver() -> None:
    url = make_url("postgresql+asyncpg://u:p%40ss@h/x?pooler=1&pool=3&sslmode=require")
    assert server.libpq(url) == "postgresql://u:p%40ss@h/x?sslmode=require"
    assert (server.pooled(url), server.pool_size(url)) == (True, 3)
    assert not server.pooled(make_url("postgresql://h/x?pooler=0"))
    assert without_password("postgres://u:secret@h/x") == "postgresql://u:***@h/x"
    for wrong in ("0", "many", "-1"):
        with pytest.raises(DatabaseError, match="pool="):
            server.pool_size(make_url(f"postgresql://h/x?pool={wrong}"))


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("", "without TLS"),
        ("?sslmode=prefer", "without TLS"),
        ("?sslmode=require", "nobody checks"),
        ("?sslmode=verify-full", ""),
        ("?sslmode=verify-full&sslrootcert=/no/such/file", "not there"),
        ("?host=/run/postgresql", ""),
    ],
)
def test_whether_others_may_read_along(query: str, said: str) -> None:
    assert said in unsafe(f"postgresql://u@db.example.org/x{query}", {}) and bool(said) == bool(
        unsafe(f"postgresql://u@db.example.org/x{query}", {})
    )
    assert unsafe("postgresql://localhost/x", {}) == unsafe("", {}) == unsafe("sqlite:////x.db", {}) == ""


async def test_a_wrong_word_in_the_address_is_a_sentence(postgres: Server) -> None:
    with pytest.raises(DatabaseError, match="sslmode"):
        await Database.open(postgres.url("x") + "?sslmode=sometimes")
    with pytest.raises(DatabaseError, match="refuses us"):
        await Database.open(postgres.url("no_such_database"))


async def test_through_a_pooler_nothing_stays_on_a_connection(postgres: Server) -> None:
    url = await postgres.fresh()
    database = await Database.open(f"{url}?pooler=1&pool=2")
    seen: list[int] = []
    news = asyncio.Event()

    async def moved(version: int) -> None:
        seen.append(version)
        news.set()

    await database.watch(moved, interval=0.01)
    await asyncio.gather(*(database.tx(lambda conn, n=n: facts.set_meta(conn, "a", str(n))) for n in range(20)))
    left = sa.text("SELECT count(*) FROM pg_prepared_statements")
    assert await database.run(lambda conn: conn.execute(left).scalar()) in (0, 1), "the one that asks"
    other = await Database.open(url)
    await other.tx(lambda conn: facts.set_setting(conn, "strategy", "cost"))
    await asyncio.wait_for(news.wait(), 30)
    await other.close()
    await database.close()
    postgres.done(url)


async def test_a_change_is_told_and_not_only_found(postgres: Server) -> None:
    url = await postgres.fresh()
    one, two = await Database.open(url), await Database.open(url)
    news: asyncio.Queue[int] = asyncio.Queue()
    await two.watch(news.put, interval=3600)
    await one.tx(lambda conn: facts.set_setting(conn, "strategy", "cost"))
    assert await asyncio.wait_for(news.get(), 30) == 1
    await one.close()
    await two.close()
    postgres.done(url)


async def test_two_that_wait_for_each_other_both_get_through(postgres: Server) -> None:
    url = await postgres.fresh()
    one, two = await Database.open(url), await Database.open(url)
    await one.tx(lambda conn: [facts.set_meta(conn, name, "0") for name in "ab"])
    first = asyncio.Event()
    runs: list[str] = []

    def add(names: str) -> Any:
        def work(conn: sa.Connection) -> None:
            runs.append(names)
            for place, name in enumerate(names):
                conn.execute(sa.text("UPDATE meta SET value = CAST(CAST(value AS integer) + 1 AS text) WHERE name = :name"), {"name": name})
                if not place and len(runs) < 3:
                    conn.execute(sa.text("SELECT pg_sleep(0.05)"))  # so that each has its first row
            first.set()

        return work

    await asyncio.gather(one.tx(add("ab")), two.tx(add("ba")))
    assert await one.run(lambda conn: (facts.get_meta(conn, "a"), facts.get_meta(conn, "b"))) == ("2", "2")
    assert len(runs) == 3, "one of them twice"
    await one.close()
    await two.close()
    postgres.done(url)


async def test_the_character_0_is_left_out_of_texts(postgres: Server) -> None:
    url = await postgres.fresh()
    database = await Database.open(url)
    row = {"id": "req_a", "started_at": 1, "process_id": "p", "client": "a\0b", "plan": {"why": "c\0d"}}
    await database.tx(lambda conn: requests.insert_open(conn, [row]))
    ((found,), _) = await database.run(lambda conn: requests.page(conn, {}, None, 1))
    assert found["client"] == "ab"
    await database.close()
    postgres.done(url)


async def test_a_role_without_the_right_to_make_tables_serves(postgres: Server) -> None:
    """docs/postgresql.md: one role migrates, another one works."""
    url = await postgres.fresh()
    name = str(make_url(url).database)
    role = f"omni_app_{name[-6:]}"
    for statement in (
        f"CREATE ROLE {role} LOGIN",
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
        f"GRANT USAGE ON SCHEMA public TO {role}",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}",
    ):
        await postgres.execute(statement, name)
    small = await Database.open(make_url(url).set(username=role).render_as_string(hide_password=False))
    assert await small.migrate() is False
    await small.tx(lambda conn: facts.set_setting(conn, "strategy", "cost"))
    await small.tx(lambda conn: allowances.read(conn, [("key", "k", 0, 1)]))
    with pytest.raises(DatabaseError, match="rights of the role"):
        await small.tx(lambda conn: conn.execute(sa.text("CREATE TABLE more (n integer)")))
    await small.close()
    await postgres.execute(f"DROP OWNED BY {role}; DROP ROLE {role}", name)


async def test_tls_that_checks_the_server(postgres: Server, tmp_path: Path) -> None:
    if not isinstance(postgres, LocalServer):
        pytest.skip("the PostgreSQL of these tests is somebody else's")
    cert, key = tmp_path / "server.crt", postgres.data / "server.key"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(tmp_path / "key"), "-out", str(cert)]
    if await asyncio.to_thread(lambda: subprocess.run(command, capture_output=True, check=False).returncode):
        pytest.skip("no openssl here")
    postgres.give("server.crt", cert.read_bytes())
    postgres.give("server.key", (tmp_path / "key").read_bytes())
    assert key.exists()
    await postgres.execute("ALTER SYSTEM SET ssl = on")
    await postgres.execute("SELECT pg_reload_conf()")
    query = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    base = postgres.url("postgres")
    for _ in range(50):
        try:
            database = await Database.open(f"{base}?sslmode=verify-full&sslrootcert={cert}")
            break
        except DatabaseError:
            await asyncio.sleep(0.05)  # the server reads its settings anew
    assert await database.run(lambda conn: conn.execute(sa.text(query)).scalar()) is True
    await database.close()
    other = tmp_path / "other.crt"
    command[-1], command[-3] = str(other), str(tmp_path / "other.key")
    await asyncio.to_thread(lambda: subprocess.run(command, capture_output=True, check=True))
    with pytest.raises(DatabaseError):
        await Database.open(f"{base}?sslmode=verify-full&sslrootcert={other}")
    await postgres.execute("ALTER SYSTEM RESET ssl")
    await postgres.execute("SELECT pg_reload_conf()")


async def test_a_cost_that_settles_while_its_period_is_summed_up_counts(postgres: Server) -> None:
    """It is in the rows too late for the one and too early for the other, unless they wait for each other."""
    url = await postgres.fresh()
    database = await Database.open(url)
    period = ("key", "key_1", 0, 10_000)
    row = {"id": "req_a", "started_at": 5_000, "process_id": "p", "key_id": "key_1"}
    await database.tx(lambda conn: requests.insert_open(conn, [row]))

    async def waits() -> bool:
        query = "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'spend'::regclass"
        return bool(await postgres.execute(query, str(make_url(url).database)))

    assert isinstance(database._writer, ServerConnections)
    async with database._writer._engine.connect() as conn:
        await conn.run_sync(lambda c: books.settle(c, [{"id": "req_a", "settled_at": 6_000, "outcome": "ok", "cost_nano": 7}]))
        reading = asyncio.create_task(database.tx(lambda conn: allowances.read(conn, [period])))
        while not reading.done() and not await waits():
            await asyncio.sleep(0)
        await conn.commit()
    assert await reading == [(*period, 7)]
    both = await asyncio.gather(*(database.tx(lambda conn: allowances.read(conn, [("key", "key_1", 0, 20_000)])) for _ in range(4)))
    assert both == [[("key", "key_1", 0, 20_000, 7)]] * 4, "four that ask for a new one at once"
    await database.close()
    postgres.done(url)


async def test_who_waits_is_told_soon_and_the_connection_is_free_again(postgres: Server) -> None:
    url = await postgres.fresh()
    db = await Database.open(f"{url}?pool=1")
    db.patience_s = 0.2
    sleep = sa.text("SELECT pg_sleep(:s) /* long */")
    running = sa.text(
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%/* long */%' AND state = 'active' AND pid <> pg_backend_pid()"
    )
    for work in (db.tx, db.run):
        with pytest.raises(Silent, match=r"not answered for 0\.2 s"):
            await work(lambda conn: conn.execute(sleep, {"s": 60}), soon=True)
        async with asyncio.timeout(30):
            assert await db.run(lambda conn: conn.execute(running).scalar()) == 0, "the server was told to stop"
    await db.tx(lambda conn: conn.execute(sleep, {"s": 0.4}))
    await db.close()
    postgres.done(url)
