"""`migrate-to` from the command line."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.conftest import Cli


def test_to_another_file_and_what_comes_next(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cli("backend", "add", "demo", "--label", "one").code == 0
    monkeypatch.setenv("TARGET", f"sqlite:///{tmp_path}/there.db")
    said = cli("migrate-to", "--url-env", "TARGET")
    assert (said.code, "each compared" in said.out, "copy accounts: 1 of 1" in said.err) == (0, True, True)
    assert f"OMNI_DATABASE_URL=sqlite:///{tmp_path}/there.db" in said.err
    with closing(sqlite3.connect(tmp_path / "there.db")) as conn:
        assert conn.execute("SELECT label FROM accounts").fetchall() == [("one",)]
    again = cli("migrate-to", "--url-env", "TARGET", "--json")
    assert again.code == 1 and "not empty" in again.json["error"]["message"]
    told = cli("migrate-to", f"sqlite:///{tmp_path}/other.db", "--json")
    assert (told.code, told.json["tables"]["accounts"], len(told.json["sha256"])) == (0, 1, 64)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ((), "--url-env"),
        (("sqlite:////x", "--url-env", "X"), "--url-env"),
        (("--url-env", "NOT_SET"), "NOT_SET is empty"),
        (("mysql://h/x",), "not supported"),
    ],
)
def test_what_is_wrong_is_one_line(cli: Cli, argv: tuple[str, ...], said: str) -> None:
    assert cli("--init-only").code == 0
    result = cli("migrate-to", *argv)
    assert result.code in (1, 2) and said in result.err.splitlines()[-1]
