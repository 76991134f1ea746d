"""`omni-connector partitions`: the monthly tables of the requests on PostgreSQL, made by the role that may. (J-12)"""

from __future__ import annotations

import asyncio
from typing import Any

import click

from omni_connector.cli.base import Stop, json_option
from omni_connector.cli.office import environment, home, plain_errors
from omni_connector.cli.output import note, show, table, when

Json = dict[str, Any]


@click.command()
@click.option("--months", type=click.IntRange(0, 120), help="Make the tables of this month and so many more, where they are missing.")
@json_option
def partitions(months: int | None, as_json: bool) -> None:
    """The monthly tables of the requests (PostgreSQL): which there are, and those of coming months made ahead.

    A server whose role owns the database makes them by itself. Where it does not, let the owner run this now and then; until a month has
    its table, its requests are kept in requests_default.

    \b
    Examples:
      omni-connector partitions
      OMNI_DATABASE_URL=postgresql://omni_owner:…@db.example.org/omni omni-connector partitions --months 24
    """
    with plain_errors():
        answer = asyncio.run(_partitions(months))
    show(answer, as_json, _show)


async def _partitions(months: int | None) -> Json:
    from omni_connector import settings
    from omni_connector.admin import now_ms
    from omni_connector.store import partitions as tables
    from omni_connector.store.engine import Database
    from omni_connector.upkeep import make_months

    url = settings.load(environment(home()), {}).database_url
    db = await Database.open(url) if url else None
    try:
        if db is None or db.path is not None:
            raise Stop("The database is SQLite, which has no partitions: there is nothing to do.")
        made, refused = await make_months(db, now_ms(), months) if months is not None else ([], [])
        if refused:
            raise Stop(f"This role does not own the table requests: it may not make {', '.join(refused)}. Use the owner's address.")
        found = await db.run(tables.parts)
        rows = [
            {"name": p.name, "from": p.begins_at, "to": p.ends_at, "rows": p.rows, "bytes": p.bytes, "new": p.name in made} for p in found
        ]
        return {"partitions": rows, "made": made}
    finally:
        if db is not None:
            await db.close()


def _show(answer: Json) -> None:
    rows = [(p["name"], when(p["from"]), when(p["to"]), p["rows"], f"{p['bytes'] / 1e6:.1f}") for p in answer["partitions"]]
    table(("TABLE", "FROM", "TO", "ROWS (ABOUT)", "MB"), rows, right=("ROWS (ABOUT)", "MB"))
    if answer["made"]:
        note(f"Made: {', '.join(answer['made'])}")
