"""doctor: the folder and its key (the rest of both is in test_database.py, through `examine`)."""

from pathlib import Path

from omni_connector.doctor.home import home_folder, master_key


def test_a_log_that_others_can_read(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    tmp_path.chmod(0o700)
    assert [finding.level for finding in home_folder(tmp_path)] == ["ok"]
    path = tmp_path / "logs" / "omni-connector.log"
    path.touch(0o644)
    (finding,) = home_folder(tmp_path)
    assert (finding.level, finding.fix) == ("fail", f"chmod 600 '{path}'")


def test_a_home_without_a_key_yet(tmp_path: Path) -> None:
    finding, vault = master_key(tmp_path, {})
    assert (finding.level, vault, list(tmp_path.iterdir())) == ("warn", None, [])
