from __future__ import annotations

import stat
import zipfile
from pathlib import Path

from tests.cli.conftest import Cli


def test_files_are_listed_shown_removed_and_packed(cli: Cli, omni_home: Path, tmp_path: Path) -> None:  # C-84…C-87, R-20
    cli("--init-only")
    (omni_home / "notes.toml").write_text('api_key = "hush-hush-hush"\n')
    (omni_home / ".env").write_text("OPENAI_API_KEY=hush-hush-hush\n")
    rows = {line.split()[0]: line for line in cli("files", "list").out.splitlines()}
    assert rows["master.key"].endswith("–      –") and rows["notes.toml"].endswith("yes    yes")
    for name in ("notes.toml", ".env"):
        shown = cli("files", "show", name)
        assert shown.code == 0 and "hush" not in shown.out
    target = tmp_path / "all.zip"
    told = cli("files", "download", str(target), "--json").json
    assert told == {"file": str(target), "bytes": target.stat().st_size}
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    with zipfile.ZipFile(target) as archive:
        assert "notes.toml" in archive.namelist() and "master.key" not in archive.namelist()
        assert b"hush" not in b"".join(archive.read(name) for name in archive.namelist())
    assert "--force" in cli("files", "download", str(target)).err
    assert cli("files", "remove", "notes.toml").out == "notes.toml is removed.\n"
    for command, name in (("remove", "master.key"), ("show", "omni.db"), ("show", "../secret"), ("remove", "/etc/passwd")):
        refused = cli("files", command, name)
        assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert (omni_home / "master.key").exists()
