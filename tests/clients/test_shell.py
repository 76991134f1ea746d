import subprocess

import pytest

from tests.clients.conftest import URL, Machine

PROFILE = "# ~/.profile\nexport A=1"


@pytest.mark.parametrize(
    ("shell", "files"),
    [
        ("/bin/bash", [".profile", ".bashrc"]),
        ("/usr/bin/zsh", [".zshrc"]),
        ("/usr/bin/fish", [".config/fish/config.fish"]),
        ("/bin/sh", [".profile"]),
        ("", [".profile"]),
    ],
)
def test_there_and_back_for_each_shell(machine: Machine, shell: str, files: list[str]) -> None:
    machine.env["SHELL"] = shell
    machine.put(files[0], PROFILE)
    startup = [change.path for change in machine.plan("openai-env") if change.startup]
    assert startup == [machine.home / name for name in files]
    assert machine.text("openai-env", files[0]).startswith(f"{PROFILE}\n# >>> omni-connector >>>\n")
    machine.points_here_and_back("openai-env")


def test_a_login_file_of_bash_that_hides_profile_is_the_one(machine: Machine) -> None:
    machine.env["SHELL"] = "bash"
    machine.put(".bash_profile", "")
    assert [c.path.name for c in machine.plan("openai-env") if c.startup] == [".bash_profile", ".bashrc"]


def test_a_shell_that_reads_it_has_the_variables(machine: Machine) -> None:
    machine.put(".profile", PROFILE)
    machine.apply("openai-env")
    told = subprocess.run(
        ["/bin/sh", "-c", '. "$HOME/.profile"; echo "$A $OPENAI_BASE_URL $OPENAI_API_KEY $OPENAI_MODEL"'],
        env={"HOME": str(machine.home)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert told.stdout.split() == ["1", f"{URL}/v1", machine.key, "auto"]
    assert (machine.omni / "setup/openai-env.sh").stat().st_mode & 0o777 == 0o600
