"""Statements of the hot path, compiled once a dialect: SQLAlchemy's own handling of parameters costs three times as much as the
database (20 of 35 µs a row).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import import_module
from operator import itemgetter
from typing import Any

import sqlalchemy as sa

_FIXED = ""
"""Stands for "no column": a parameter of the statement itself."""


Statement = sa.Insert | sa.Update | sa.Delete | sa.Select[Any]


@cache
def dialect_of(name: str) -> Any:
    """`sqlalchemy.dialects.sqlite` or `.postgresql`, whose INSERT knows ON CONFLICT. Imported only here and when it is needed, because
    the one that is not used would cost every start 40 ms and 2 MB."""
    return import_module(f"sqlalchemy.dialects.{name}")


class Prebuilt:
    """A statement and the names of its parameters. Those called "new_<name>" come from the caller's rows, others are fixed.

    Where the dialects say it differently: a function that makes the statement of `dialect_of(name)`."""

    def __init__(self, statement: Statement | Callable[[Any], Statement]) -> None:
        self._statement = statement
        self._built: dict[str, tuple[str, tuple[tuple[str, Any], ...]]] = {}

    def run(self, conn: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """For all rows; JSON is text already."""
        sql, parameters = self._compiled(conn)
        conn.exec_driver_sql(sql, [_values(parameters, row) for row in rows])

    def run_whole(self, conn: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """`run` of rows that have every name, of which none is fixed: a third of the time."""
        sql, parameters = self._compiled(conn)
        conn.exec_driver_sql(sql, list(map(itemgetter(*(name for name, _ in parameters)), rows)))

    def rows(self, conn: sa.Connection, row: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """What a SELECT finds."""
        sql, parameters = self._compiled(conn)
        return [tuple(found) for found in conn.exec_driver_sql(sql, _values(parameters, row))]

    def _compiled(self, conn: sa.Connection) -> tuple[str, tuple[tuple[str, Any], ...]]:
        dialect = conn.dialect.name
        if dialect not in self._built:
            said = self._statement if isinstance(self._statement, sa.Executable) else self._statement(dialect_of(dialect))
            compiled = said.compile(dialect=conn.dialect)
            parameters = tuple(
                (name.removeprefix("new_") if name.startswith("new_") else _FIXED, compiled.params[name])
                for name in compiled.positiontup or ()
            )
            self._built[dialect] = (compiled.string, parameters)
        return self._built[dialect]


def _values(parameters: tuple[tuple[str, Any], ...], row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple([row.get(name, default) for name, default in parameters])
