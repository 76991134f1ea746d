import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

import omni_connector
from tests.cli.conftest import Cli

PACKAGE_ROOT = str(Path(omni_connector.__file__).parent.parent)


def process(*argv: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """The command as a user starts it: another process, no terminal."""
    return subprocess.run(
        [sys.executable, "-m", "omni_connector", *argv],
        capture_output=True,
        text=True,
        input=stdin or "",
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": PACKAGE_ROOT},
    )


@pytest.mark.parametrize(
    "argv",
    [("--colour",), ("serve", "--prot", "1"), ("frobnicate",), ("key", "create", "--nmae", "x"), ("key", "show"), ("backend", "add")],
)
def test_a_wrong_command_line_is_one_line_and_exit_2(argv: tuple[str, ...]) -> None:
    result = process(*argv)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("omni-connector: ")
    assert result.stderr.count("\n") == 1


def test_the_version_comes_at_once_and_makes_nothing(omni_home: Path) -> None:
    fastest = 10.0
    for _ in range(3):  # the machine may be busy: the best of three counts
        began = time.monotonic()
        result = process("--version")
        fastest = min(fastest, time.monotonic() - began)
    assert result.stdout == f"omni-connector {omni_connector.__version__}\n"
    assert fastest < 0.5
    assert not omni_home.exists()


def test_the_command_line_imports_next_to_nothing() -> None:
    heavy = "{'sqlalchemy', 'quart', 'rich', 'questionary', 'cryptography', 'aiohttp', 'msgspec'}"
    code = f"import sys; import omni_connector.cli.shell; sys.exit(','.join({heavy} & set(sys.modules)) or None)"
    env = {**os.environ, "PYTHONPATH": PACKAGE_ROOT}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=env)
    assert (result.returncode, result.stderr) == (0, "")


def test_help_teaches_first_steps_and_names_no_command_that_is_not_there(cli: Cli) -> None:
    out = cli("--help").out
    assert "First steps:" in out
    for command in ("serve", "backend add", "key create", "doctor"):
        assert command in out
    from omni_connector.cli.shell import root

    listed = set(re.findall(r"^  ([a-z][a-z-]*)  ", out.partition("First steps")[0], re.M))
    assert listed == root.commands.keys()


def test_every_command_explains_itself(cli: Cli) -> None:
    from omni_connector.cli.shell import SECTIONS, root

    assert {name for names in SECTIONS.values() for name in names} == set(root.commands)
    for name, command in root.commands.items():
        for argv in ((name,), *((name, inner) for inner in getattr(command, "commands", {}))):
            result = cli(*argv, "--help")
            assert (result.code, result.err) == (0, "")
            assert "Usage: omni-connector " + " ".join(argv) in result.out
            if not hasattr(command, "commands") and name not in ("serve", "completion"):
                assert "--json" in result.out


def test_options_of_serve_work_without_the_word(cli: Cli) -> None:
    wrong = cli("--port", "many")
    assert wrong.code == 2
    assert "'many'" in wrong.err
    assert "'--port'" in cli("--prot", "1").err


def test_init_only_makes_a_private_home_and_can_be_repeated(cli: Cli, omni_home: Path) -> None:
    first = cli("--init-only", "--json")
    assert first.code == 0
    assert first.json["home"] == str(omni_home)
    for path in (omni_home, *omni_home.iterdir()):
        assert path.stat().st_mode & 0o077 == 0, path
    keys = [(omni_home / name).read_text() for name in ("master.key", "admin.key")]
    again = cli("--init-only")
    assert again.code == 0
    assert [(omni_home / name).read_text() for name in ("master.key", "admin.key")] == keys
    for key in keys:
        assert key.strip() not in again.out + again.err
    assert cli("--init-only", "status").code == 2


def test_a_failure_is_json_too(cli: Cli) -> None:
    result = cli("key", "show", "nobody", "--json")
    assert result.code == 1
    assert "nobody" in result.json["error"]["message"]
    assert result.err.count("\n") == 1


def test_an_unusable_home_is_one_line(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("OMNI_HOME", str(tmp_path / "file" / "home"))
    result = cli("key", "list")
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert str(tmp_path / "file" / "home") in result.err
