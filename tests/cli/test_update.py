from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from omni_connector.updating import steps
from tests.cli.conftest import Cli

Json = dict[str, Any]
DONE = {"updated": True, "version": "2.0", "before": "1.0"}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Json]:
    """What the command hands on."""
    calls: list[Json] = []

    def update(home: Path, env: Any, tell: Any, **more: str) -> Json:
        tell("[1/5] begun")
        calls.append(more)
        return DONE

    def rollback(home: Path, env: Any, tell: Any, agreed: Any) -> Json:
        lost = {"accounts": 1, "keys": 0, "requests": 3}
        calls.append({"agreed": agreed({"version": "1.0", "copy": "x.db", "lost": lost})})
        return DONE | {"lost": lost}

    monkeypatch.setattr(steps, "update", update)
    monkeypatch.setattr(steps, "rollback", rollback)
    return calls


@pytest.mark.parametrize("words", [["update"], ["--update"], ["--upd"]])
def test_three_spellings(cli: Cli, asked: list[Json], words: list[str]) -> None:  # O-07, O-08
    done = cli(*words, "--from", "a.tgz", "--sha256", "ab")
    assert done.code == 0 and "1.0 → 2.0" in done.out and "[1/5] begun" in done.out
    assert asked == [{"source": str(Path("a.tgz").absolute()), "sha256": "ab", "name": ""}]
    assert cli(*words, "--json").json == DONE


def test_a_url_needs_a_checksum_unless_it_is_the_default(cli: Cli, asked: list[Json], monkeypatch: pytest.MonkeyPatch) -> None:
    url = "https://files.example.invalid/a.tgz"
    assert cli("update", "--from", url).code == 2
    monkeypatch.setenv("OMNI_ARCHIVE_URL", url)
    assert cli("update", "--from", url).code == 0


def test_rows_are_never_left_behind_without_a_word(cli: Cli, asked: list[Json]) -> None:
    refused = cli("--rollback")
    assert refused.code == 1 and "1 accounts, 0 keys, 3 requests" in refused.err and not asked
    done = cli("rollback", "--yes")
    assert done.code == 0 and "left behind: 3 requests" in done.out and asked == [{"agreed": True}]


def test_without_an_installation_it_says_what_to_do(cli: Cli, omni_home: Path) -> None:
    omni_home.mkdir()
    for words in (["update"], ["update", "--check"], ["rollback"]):
        done = cli(*words)
        assert done.code == 1 and "./install.sh" in done.err and len(done.err.splitlines()) == 1
