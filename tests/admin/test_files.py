from __future__ import annotations

import dataclasses
import io
import zipfile
from pathlib import Path
from typing import Any

import pytest

from omni_connector.admin import files
from omni_connector.errors import GatewayError
from omni_connector.settings import MASK
from tests.admin.conftest import House

KEY = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789"
OUTSIDE = ("../outside.txt", "/etc/passwd", "logs/../../outside.txt", "logs/../master.key", "..", ".", "", "logs", "logs/",
    "./notes.txt", "%2e%2e/outside.txt", "a\0b", "\\..\\x", "x" * 5000)  # fmt: skip


@pytest.fixture
def home(house: House) -> Path:
    """A home with one of each, and a file beside it that nobody may reach."""
    home = house.admin.process.home / "home"
    house.admin.process = files_process(house, home)
    for folder in ("logs/prompts", "backups", "releases/1/docs", "commands/x"):
        (home / folder).mkdir(parents=True)
    for name, text in {
        "master.key": "k1:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa=\n", "admin.key": "omni-admin-topsecret\n", "omni.db": "SQLite",
        "omni.db-wal": "x", "backups/omni-1.db": "SQLite", "backups/all.backup": "sealed", "releases/1/docs/a.txt": "a",
        "commands/x/oauth.json": "{}", ".env": f"# mine\nexport OPENAI_API_KEY={KEY}\nOMNI_PORT=1234 # port\nQUOTED='a b'\n",
        "endpoints.toml": '[openai]\nbase_url = "https://me:hunter22@proxy.example/v1"\napi_key = "plain-word-secret"\n',
        "notes.json": '{"refresh_token": "abc-not-a-known-form", "n": 1, "list": ["x"], "token": 5}',
        "logs/omni-connector.log": f"sent {KEY}\n", "logs/omni-connector.log.1": "old\n",
        "logs/prompts/prompts.jsonl": "{}\n", "thing.bin": "x",
    }.items():  # fmt: skip
        (home / name).write_text(text)
    (home.parent / "outside.txt").write_text("not yours")
    (home / "link.txt").symlink_to(home.parent / "outside.txt")
    (home / "logs/link.log").symlink_to("/etc/passwd")
    (home / "logs/away").symlink_to(home.parent)
    return home


def files_process(house: House, home: Path) -> Any:
    return dataclasses.replace(house.admin.process, home=home)


async def test_the_list_holds_the_files_of_the_home_and_nothing_else(house: House, home: Path) -> None:  # C-84, P-37
    told = await house.admin.config_files()
    assert told["home"] == str(home)
    rows = {row["path"]: row for row in told["files"]}
    assert list(rows) == sorted({
        ".env", "admin.key", "backups/all.backup", "backups/omni-1.db", "endpoints.toml", "logs/omni-connector.log",
        "logs/omni-connector.log.1", "logs/prompts/prompts.jsonl", "master.key", "notes.json", "omni.db", "omni.db-wal", "thing.bin",
    })  # fmt: skip
    assert {name: row["kind"] for name, row in rows.items() if not row["shown"]} == {
        "admin.key": "key", "master.key": "key", "omni.db": "database", "omni.db-wal": "database", "backups/all.backup": "backup",
        "backups/omni-1.db": "backup", "thing.bin": "other",
    }  # fmt: skip
    assert {name for name, row in rows.items() if row["removable"]} == {
        "backups/all.backup", "backups/omni-1.db", "endpoints.toml", "logs/omni-connector.log.1", "logs/prompts/prompts.jsonl",
        "notes.json",
    }  # fmt: skip
    assert all(row["why"] for row in rows.values() if not row["removable"])
    assert rows["notes.json"]["bytes"] == (home / "notes.json").stat().st_size


async def test_what_is_shown_holds_no_secret(house: House, home: Path) -> None:  # C-85
    env = (await house.admin.config_file(".env"))["content"]
    assert env == f"# mine\nexport OPENAI_API_KEY={MASK}\nOMNI_PORT={MASK}\nQUOTED={MASK}\n"
    toml = (await house.admin.config_file("endpoints.toml"))["content"]
    assert "hunter22" not in toml and "plain-word-secret" not in toml and "proxy.example" in toml
    notes = (await house.admin.config_file("notes.json"))["content"]
    assert "abc-not" not in notes and '"n": 1' in notes and '["x"]' in notes
    assert KEY not in (await house.admin.config_file("logs/omni-connector.log"))["content"]


def test_masking_leaves_no_line_of_variables_open() -> None:
    text = "#OLD_KEY=abcdefgh\nA=\nB = x\nkey with words\nmultiline='one\ntwo'\n"
    assert files.masked(".env", text) == f"#OLD_KEY={MASK}\nA=\nB = {MASK}\n{MASK}\nmultiline={MASK}\n{MASK}\n"
    assert files.masked("notes.txt", "the word is mellon-mellon", ["mellon-mellon"]) == f"the word is {MASK}"


@pytest.mark.parametrize(
    "name", [*OUTSIDE, "link.txt", "logs/link.log", "logs/away/outside.txt", "releases/1/docs/a.txt", "commands/x/oauth.json"]
)
async def test_nothing_outside_is_reached(house: House, home: Path, name: str) -> None:  # C-84, C-85, C-86
    for ask in (house.admin.config_file, house.admin.remove_config_file):
        with pytest.raises(GatewayError) as refused:
            await ask(name)
        assert refused.value.status == 404
    assert (home.parent / "outside.txt").read_text() == "not yours"


async def test_a_link_that_takes_a_files_place_is_not_followed(home: Path) -> None:
    for name in ("link.txt", "logs/away/outside.txt"):
        with pytest.raises(GatewayError, match="no file"):
            files.read_text(home, name, 100)


@pytest.mark.parametrize("name", ["master.key", "admin.key", "omni.db", "omni.db-wal", ".env", "logs/omni-connector.log", "thing.bin"])
async def test_what_would_be_missed_is_not_removed(house: House, home: Path, name: str) -> None:  # C-86
    with pytest.raises(GatewayError) as refused:
        await house.admin.remove_config_file(name)
    assert refused.value.status == 403
    assert (home / name).exists()
    if not files.sort_of(name).shown:
        with pytest.raises(GatewayError, match="is not shown"):
            await house.admin.config_file(name)


async def test_one_is_removed(house: House, home: Path) -> None:  # C-86
    assert await house.admin.remove_config_file("notes.json") == {"path": "notes.json", "removed": True}
    assert not (home / "notes.json").exists()
    house.admin.settings = dataclasses.replace(house.admin.settings, endpoints_file=str(home / "endpoints.toml"))
    with pytest.raises(GatewayError, match="OMNI_ENDPOINTS_FILE"):
        await house.admin.remove_config_file("endpoints.toml")


async def test_all_come_as_one_archive(house: House, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # C-87
    with zipfile.ZipFile(io.BytesIO(await house.admin.config_archive())) as archive:
        texts = {name: archive.read(name).decode() for name in archive.namelist()}
    assert set(texts) == {
        ".env", "endpoints.toml", "notes.json", "logs/omni-connector.log", "logs/omni-connector.log.1", "logs/prompts/prompts.jsonl",
    }  # fmt: skip
    everything = "".join(texts.values())
    assert KEY not in everything and "hunter22" not in everything and "topsecret" not in everything
    monkeypatch.setattr(files, "PACKED_BYTES", 100)
    with zipfile.ZipFile(io.BytesIO(await house.admin.config_archive())) as archive:
        assert ".env" in archive.read("LEFT_OUT.txt").decode()


async def test_only_the_end_of_a_long_file_is_shown(house: House, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "logs/long.log").write_text("password: first\n" + "x" * 50 + "\nlast\n")
    monkeypatch.setattr(files, "SHOWN_BYTES", 20)
    told = await house.admin.config_file("logs/long.log")
    assert (told["content"], told["cut"]) == ("last\n", True)
