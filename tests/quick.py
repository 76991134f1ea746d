"""What hundreds of tests do from nothing, done once and remembered: the routes of the app, and the schema of a new SQLite file.

A new home costs an app with its rules (60 ms) and every migration (100 ms). Both come out the same each time, so the second one gets the
first one's result. tests/store sees the real migrations, and so does every process that a test starts.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

Made = dict[str, tuple[list[str], list[tuple[str, list[tuple[Any, ...]]]]]]
_real: dict[str, Callable[[sa.Connection], None]] = {}


def set_up() -> None:
    """For what the collected tests have imported; nothing is imported for it."""
    if rules := sys.modules.get("werkzeug.routing.rules"):
        _remember_builders(rules)
    if schema := sys.modules.get("omni_connector.store.schema"):
        _remember_schema(schema)


def really() -> Callable[[sa.Connection], None]:
    """The `upgrade` that runs every migration."""
    from omni_connector.store import schema

    return _real.get("upgrade", schema.upgrade)


def _remember_builders(rules: Any) -> None:
    """A rule's builder is a function of the rule alone: what it needs of the map it finds through `self` when it is called."""
    compiled: dict[Any, Any] = {}
    compile_builder = rules.Rule._compile_builder

    def remembered(self: Any, append_unknown: bool = True) -> Any:
        if self.defaults:
            return compile_builder(self, append_unknown)
        key = (self.rule, tuple(self._trace), append_unknown)
        if key not in compiled:
            compiled[key] = compile_builder(self, append_unknown)
        return compiled[key]

    rules.Rule._compile_builder = remembered


def _remember_schema(schema: Any) -> None:
    made: Made = {}
    upgrade = _real["upgrade"] = schema.upgrade

    def remembered(conn: sa.Connection) -> None:
        blank = conn.dialect.name == "sqlite" and not conn.exec_driver_sql("SELECT 1 FROM sqlite_master").first()
        key = f"{schema.MIGRATIONS} {schema.head(schema.MIGRATIONS / 'versions')}"
        if not blank:
            upgrade(conn)
        elif key in made:
            _replay(conn, *made[key])
        else:
            upgrade(conn)
            made[key] = _read(conn)

    schema.upgrade = remembered


def _read(conn: sa.Connection) -> tuple[list[str], list[tuple[str, list[tuple[Any, ...]]]]]:
    ours = "FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'"
    statements = [sql for (sql,) in conn.exec_driver_sql(f"SELECT sql {ours} AND sql IS NOT NULL ORDER BY rowid")]
    tables = [name for (name,) in conn.exec_driver_sql(f"SELECT name {ours} AND type = 'table'")]
    return statements, [(name, [tuple(row) for row in conn.exec_driver_sql(f'SELECT * FROM "{name}"')]) for name in tables]


def _replay(conn: sa.Connection, statements: list[str], rows: list[tuple[str, list[tuple[Any, ...]]]]) -> None:
    for statement in statements:
        conn.exec_driver_sql(statement)
    for table, found in rows:
        if found:
            conn.exec_driver_sql(f'INSERT INTO "{table}" VALUES ({", ".join("?" * len(found[0]))})', found)
