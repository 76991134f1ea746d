"""A file of the user's is read, and nothing else in its place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from omni_connector.local_logins.files import MOST_BYTES, Unreadable, names, read_object


def test_a_plain_file_of_the_user_s(tmp_path: Path) -> None:
    file = tmp_path / "auth.json"
    assert read_object(file) is None
    assert read_object(file / "below") is None
    file.write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_object(file) == {"a": 1}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"[" * 100_000, b'"sk-SECRET"', b" " * (MOST_BYTES + 1)])
def test_what_is_no_sign_in(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "f").write_bytes(content)
    with pytest.raises(Unreadable) as error:
        read_object(tmp_path / "f")
    assert "SECRET" not in str(error.value)


def test_no_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("{}")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(Unreadable, match="symbolic link"):
        read_object(tmp_path / "link")


def test_devices_pipes_and_folders_hold_nobody_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero")):
        with pytest.raises(Unreadable):
            read_object(path)
    with pytest.raises(Unreadable):
        read_object(Path("a\0b"))


def test_nobody_else_s_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "f").write_text("{}")
    uid = os.getuid()
    monkeypatch.setattr(os, "geteuid", lambda: uid + 1)
    with pytest.raises(Unreadable, match="another user"):
        read_object(tmp_path / "f")
    assert names(tmp_path, "f", 5) == []


def test_names_of_plain_files_only(tmp_path: Path) -> None:
    for name in ("b.json", "a.json", "c.txt"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "d.json").symlink_to(tmp_path / "a.json")
    (tmp_path / "e.json").mkdir()
    assert names(tmp_path, ".json", 9) == ["a.json", "b.json"]
    assert names(tmp_path, ".json", 1) == ["a.json"]
    assert names(tmp_path / "none", ".json", 1) == []
