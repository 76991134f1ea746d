"""`backup` and `restore` from the command line, with the server and without."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.live.processes import Server

WORDS = "correct horse"


@pytest.fixture(autouse=True)
def words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORDS", WORDS)
    monkeypatch.setenv("WRONG", "wrong horse")


def test_there_and_back_without_a_server(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # P-61
    assert cli("backend", "add", "demo", "--label", "one").code == 0
    target = tmp_path / "b"
    told = cli("backup", str(target), "--passphrase-env", "WORDS", "--json")
    assert (told.code, told.json["bytes"], stat.S_IMODE(target.stat().st_mode)) == (0, target.stat().st_size, 0o600)
    assert "is there already" in cli("backup", str(target), "--passphrase-env", "WORDS").err
    monkeypatch.setenv("OMNI_HOME", str(tmp_path / "other"))
    assert "does not open" in cli("restore", str(target), "--passphrase-env", "WRONG").err
    said = cli("restore", str(target), "--passphrase-env", "WORDS")
    assert (said.code, "1 accounts, 0 keys" in said.out) == (0, True)
    assert [one["label"] for one in cli("backend", "list", "--json").json["accounts"]] == ["one"]


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("backup", "f"), "--passphrase-env"),
        (("backup", "no/such/f", "--passphrase-env", "WORDS"), "no folder"),
        (("restore",), "--snapshot"),
        (("restore", "f", "--snapshot", "x"), "not both"),
        (("restore", "no-file", "--passphrase-env", "WORDS"), "no file"),
        (("restore", "--snapshot", "omni-1.db"), "no copy"),
    ],
)
def test_what_is_wrong_is_one_line(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, argv: tuple[str, ...], said: str) -> None:
    monkeypatch.chdir(tmp_path)
    result = cli(*argv)
    assert result.code in (1, 2)
    assert said in result.err.splitlines()[-1]


def test_with_a_running_server(cli: Cli, omni_home: Path, tmp_path: Path) -> None:
    server = Server(omni_home)
    server.spawn()
    try:
        asyncio.run(server.ready())
        target = tmp_path / "b"
        assert cli("backup", str(target), "--passphrase-env", "WORDS").code == 0
        assert not list((omni_home / "backups").iterdir())
        for more in ((), ("--force",)):
            refused = cli("restore", str(target), "--passphrase-env", "WORDS", *more)
            assert (refused.code, "omni-connector stop" in refused.err) == (1, True)
        assert "goes on" in refused.err or "go on" in refused.err
        assert WORDS not in "".join(log.read_text() for log in (omni_home / "logs").iterdir())
    finally:
        server.kill()
    assert cli("restore", str(target), "--passphrase-env", "WORDS").code == 0
