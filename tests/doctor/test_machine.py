"""doctor: Python, libraries, disk, limits and proxy variables."""

from importlib import metadata
from pathlib import Path

import pytest

from omni_connector.doctor.machine import disk, launcher, libraries, open_files, proxies, python_version
from omni_connector.settings import Settings


def test_the_machine(tmp_path: Path) -> None:
    assert python_version((3, 10, 1)).level == "fail"
    assert [disk(tmp_path, free).level for free in (10 * 1024**3, 500 * 1024**2, 1)] == ["ok", "warn", "fail"]

    def none_installed(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    assert libraries(none_installed)[0].level == "fail"
    assert launcher(str(tmp_path)).level == "warn"
    (tmp_path / "omni-connector").write_text("#!/bin/sh\n")
    (tmp_path / "omni-connector").chmod(0o755)
    assert launcher(str(tmp_path)).level == "ok"


def test_few_open_files() -> None:
    assert [open_files(most).level for most in (None, 8192, 256)] == ["ok", "ok", "warn"]


@pytest.mark.parametrize(
    ("env", "stored", "level", "said"),
    [
        ({}, Settings(), "ok", "No proxy variable"),
        ({"HTTPS_PROXY": "http://u:pass-word-1@p:1", "no_proxy": "localhost, 127.0.0.1"}, Settings(), "ok", "not used"),
        ({"https_proxy": "http://u:pass-word-1@p:1"}, Settings(), "warn", "NO_PROXY does not name this machine"),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "*"}, Settings(use_system_proxy_openai=True), "ok", "used for use_system_proxy_openai"),
        ({}, Settings(use_system_proxy_claude=True), "warn", "no proxy variable is set"),
    ],
)
def test_proxy_variables(env: dict[str, str], stored: Settings, level: str, said: str) -> None:
    (finding,) = proxies(env, stored)
    assert (finding.level, said in finding.message, bool(finding.fix)) == (level, True, level == "warn")
    assert "pass-word-1" not in str(finding)
