"""An OMNI_HOME with releases that are shells of ones: a version, migrations and a launcher."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from omni_connector.updating.releases import Release, named


@dataclass
class Home:
    path: Path

    def release(self, name: str, *revisions: str, launcher: str = "#!/bin/sh\nexit 1\n") -> Release:
        folder = self.path / "releases" / name
        (folder / "migrations/versions").mkdir(parents=True)
        (folder / "bin").mkdir()
        (folder / ".omni-release").write_text(f"version={name}\ndigest=d\n")
        (folder / "install.sh").write_text('ARCHIVE_URL="${OMNI_ARCHIVE_URL:-${ARCHIVE_URL:-}}"\n')
        (folder / "bin/omni-connector").write_text(launcher)
        (folder / "bin/omni-connector").chmod(0o755)
        before = "None"
        for revision in revisions:
            (folder / f"migrations/versions/{revision}.py").write_text(f'revision = "{revision}"\ndown_revision = {before}\n')
            before = f'"{revision}"'
        return named(self.path, name)

    def link(self, link: str, name: str) -> None:
        (self.path / link).symlink_to(f"releases/{name}")

    def database(self, revision: str, requests: int = 0, name: str = "omni.db") -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(path)) as conn:
            conn.execute("CREATE TABLE alembic_version (version_num TEXT)")
            conn.execute("INSERT INTO alembic_version VALUES (?)", (revision,))
            for table in ("accounts", "client_keys", "requests"):
                conn.execute(f"CREATE TABLE {table} (id TEXT)")
            conn.executemany("INSERT INTO requests VALUES (?)", [(f"r{number}",) for number in range(requests)])
            conn.commit()
        return path


@pytest.fixture
def home(tmp_path: Path) -> Home:
    (tmp_path / "home/logs").mkdir(parents=True)
    (tmp_path / "home/backups").mkdir()
    return Home(tmp_path / "home")
