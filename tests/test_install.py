"""install.sh, run for real in a home of its own.

Most tests install a tiny program that has the real one's shape (files, lock file, commands), so that a whole installation takes
seconds; what is tested is install.sh, unchanged. `test_the_real_program` installs the checkout itself.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tarfile
import urllib.request
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "install.sh"
OPTIONS = ("--start", "--test", "--from", "--sha256", "--no-path", "--dry-run", "--prepare", "--uninstall", "--purge", "--help")

PROGRAM = """
import http.server, json, os, pathlib, signal, sys
from omni_connector import __version__
home = pathlib.Path(os.environ["OMNI_HOME"])

class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()

def serve():
    with http.server.HTTPServer(("127.0.0.1", 0), Health) as server:
        note = {"pid": os.getpid(), "url": f"http://localhost:{server.server_port}"}
        (home / "server.json").write_text(json.dumps(note))
        server.serve_forever()

match sys.argv[1:]:
    case ["--version"]: import click; print("omni-connector", __version__)
    case ["--init-only"]: home.mkdir(); (home / "omni.db").touch()
    case ["serve"]: serve()
    case ["stop"]: os.kill(json.loads((home / "server.json").read_text())["pid"], signal.SIGTERM); (home / "server.json").unlink()
    case _: sys.exit(2)
"""


def lock_of(package: str) -> str:
    """One package's entry of the real lock file."""
    found = re.search(rf"^{package}==.*\n(?: .*\n)+", (ROOT / "requirements.lock").read_text(), re.M)
    assert found
    return found[0]


def tiny_tree(folder: Path, version: str, program: str = PROGRAM) -> Path:
    files = {
        "omni_connector/__init__.py": f'__version__ = "{version}"\n',
        "omni_connector/__main__.py": program,
        "app.py": "",
        "migrations/env.py": "",
        "static/index.html": "<!doctype html>",
        "pyproject.toml": "",
        "requirements.lock": lock_of("click"),
        "omni_connector/__pycache__/left.pyc": "not for a release",
        ".git/config": "not for a release",
        "tests/test_it.py": "not for a release",
    }
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "install.sh").write_bytes(SCRIPT.read_bytes())
    (folder / "install.sh").chmod(0o755)
    return folder


@dataclass
class Place:
    """A user's home with an awkward name, and install.sh run in it."""

    home: Path
    env: dict[str, str]
    running: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def omni(self) -> Path:
        return self.home / ".omni-connector"

    @property
    def launcher(self) -> Path:
        return self.home / ".local/bin/omni-connector"

    def run(self, *args: str, script: Path = SCRIPT, stdin: str | None = None, **env: str) -> subprocess.CompletedProcess[str]:
        command = ["bash", "-s", "--", *args] if stdin is not None else ["bash", str(script), *args]
        return subprocess.run(
            command, input=stdin or "", env={**self.env, **env}, cwd=self.home, capture_output=True, text=True, timeout=400, check=False
        )

    def install(self, tree: Path, *args: str, **env: str) -> str:
        done = self.run(*args, script=tree / "install.sh", **env)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def version(self) -> str:
        """What the launcher says, with no PATH and no OMNI_HOME to lean on."""
        done = subprocess.run([self.launcher, "--version"], env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=True)
        return done.stdout.split()[-1]

    def releases(self) -> set[str]:
        return {path.name for path in (self.omni / "releases").iterdir()}

    def files(self) -> set[str]:
        return {path.relative_to(self.home).as_posix() for path in self.home.rglob("*")}


@pytest.fixture
def place(tmp_path: Path, installer_env: dict[str, str]) -> Place:
    home = tmp_path / "o'mni home"
    home.mkdir()
    real = Path.home()
    env = {name: value for name, value in installer_env.items() if not name.startswith(("OMNI_", "PYTEST_", "COV_"))}
    env |= {
        "HOME": str(home),
        "OMNI_PYTHON": sys.executable,
        # pip's settings and cache stay the machine's.
        "XDG_CONFIG_HOME": env.get("XDG_CONFIG_HOME", str(real / ".config")),
        "PIP_CACHE_DIR": env.get("PIP_CACHE_DIR", str(real / ".cache/pip")),
    }
    return Place(home, env)


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory, installer_env: dict[str, str]) -> Path:
    """The tiny program's one package, fetched once; the tests after that need no index."""
    folder = tmp_path_factory.mktemp("wheels")
    (folder / "lock").write_text(lock_of("click"))
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--require-hashes", "-r", "lock", "-d", "."]
    done = subprocess.run(command, cwd=folder, env=installer_env, capture_output=True, text=True, timeout=200, check=False)
    if done.returncode:
        pytest.skip(f"no package index is reachable: {done.stderr.strip().splitlines()[-1:]}")
    return folder


@pytest.fixture
def offline(place: Place, wheels: Path) -> Place:
    place.env |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels)}
    return place


# ---------------------------------------------------------------------------------------------------------- options


@pytest.mark.parametrize(
    "args",
    [
        ["--nonsense"],
        ["start"],
        ["--from"],
        ["--purge"],
        ["--start", "--test"],
        ["--start", "--prepare"],
        ["--prepare", "--uninstall"],
        ["--uninstall", "--from", "x.tgz"],
        ["--from", "https://files.example.invalid/omni.tar.gz"],
        ["--sha256", "abc", "--from", "x.tgz"],
        ["--sha256", "a" * 64],
        ["--", "tests"],
    ],
)
def test_a_wrong_command_line_ends_at_once(place: Place, args: list[str]) -> None:
    done = place.run(*args)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert place.files() == set()


def test_help_names_every_option(place: Place) -> None:
    done = place.run("--help")
    assert done.returncode == 0
    assert not [option for option in OPTIONS if option not in done.stdout]


def test_dry_run_tells_every_step_and_does_none(place: Place) -> None:
    done = place.run("--dry-run", "--start")
    assert done.returncode == 0, done.stderr
    assert re.findall(r"^\[(\d)/9\]", done.stdout, re.M) == list("123456789")
    assert done.stdout.endswith("nothing was changed.\n")
    assert place.files() == set()


def test_dry_run_of_the_others(place: Place) -> None:
    for args in (["--uninstall"], ["--uninstall", "--purge"], ["--test", "--", "-k", "nothing"]):
        done = place.run("--dry-run", *args, OMNI_TEST_VENV=str(place.home / "venv"))
        assert done.returncode == 0, done.stderr
        assert done.stdout.endswith("nothing was changed.\n")
    assert place.files() == set()


def test_piped_without_a_checkout(place: Place, tmp_path: Path) -> None:  # O-12
    script = SCRIPT.read_text()
    done = place.run("--dry-run", stdin=script, ARCHIVE_URL="https://files.example.invalid/omni.tar.gz")
    assert done.returncode == 0, done.stderr
    assert "https://files.example.invalid/omni.tar.gz" in done.stdout
    nowhere = place.run(stdin=script, ARCHIVE_URL="", OMNI_HOME=str(tmp_path / "other"))
    assert nowhere.returncode == 1
    assert "names no archive" in nowhere.stderr
    assert place.files() == set()


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8, 0.97, 0.9999])
def test_a_download_that_breaks_off_does_nothing(place: Place, share: float) -> None:
    script = SCRIPT.read_text().rstrip()
    place.run(stdin=script[: int(len(script) * share)])
    assert place.files() == set()


def test_a_python_that_is_too_old_or_broken_is_named(place: Place, tmp_path: Path) -> None:
    fake = tmp_path / "python3.14"
    fake.write_text("#!/bin/sh\necho 'is Python 3.9'; exit 1\n")
    fake.chmod(0o755)
    done = place.run(OMNI_PYTHON=str(fake))
    assert done.returncode == 1
    assert "is Python 3.9" in done.stderr
    assert place.files() == set()


def test_names_of_others_are_left_alone(place: Place, tmp_path: Path) -> None:
    (tmp_path / "pn").write_text("#!/bin/sh\n")
    (tmp_path / "pn").chmod(0o755)
    place.launcher.parent.mkdir(parents=True)
    place.launcher.write_text("#!/bin/sh\necho somebody else's\n")
    done = place.run("--dry-run", PATH=f"{tmp_path}:{place.env['PATH']}")
    assert f"left alone, because something else owns it: {place.launcher}" in done.stdout
    assert f"{tmp_path}/pn is there already" in done.stdout


# ------------------------------------------------------------------------------------------- a whole life, in small


@pytest.mark.slow
def test_install_again_upgrade_uninstall_purge(offline: Place, tmp_path: Path) -> None:  # O-09, O-12, R-20
    place, tree = offline, tiny_tree(tmp_path / "tree", "1.0.0")
    said = place.install(tree)
    assert place.version() == "1.0.0"
    assert (place.omni.stat().st_mode & 0o777) == 0o700
    assert 'export PATH="$HOME/.local/bin:$PATH"' in said
    assert not (place.home / ".bashrc").exists()
    release = place.omni / "releases/1.0.0"
    names = {path.relative_to(release).parts[0] for path in release.rglob("*")}
    assert not names & {"tests", ".git"}
    assert not (release / "omni_connector/__pycache__/left.pyc").exists()

    before = (place.omni / "current").lstat().st_mtime_ns
    assert "installed already and unchanged" in place.install(tree)
    assert (place.omni / "current").lstat().st_mtime_ns == before

    # The same version with other content gets a place of its own: a running server's files are never touched.
    (tree / "app.py").write_text("changed = True\n")
    place.install(tree)
    assert len(place.releases()) == 2

    for age in range(5):
        old = place.omni / f"releases/0.{age}"
        old.mkdir()
        (old / ".omni-release").touch()
        os.utime(old / ".omni-release", (age, age))
    place.install(tiny_tree(tree, "1.1.0"))
    assert place.version() == "1.1.0"
    assert (place.omni / "previous/app.py").read_text() == "changed = True\n"
    assert len(place.releases()) == 3
    assert "1.0.0" in place.releases()

    (place.omni / "omni.db").write_text("mine")
    done = place.run("--uninstall", script=place.omni / "current/install.sh")
    assert done.returncode == 0, done.stderr
    assert not place.launcher.exists()
    assert {path.name for path in place.omni.iterdir()} == {"omni.db", "logs"}

    refused = place.run("--uninstall", "--purge")
    assert refused.returncode == 1
    assert "OMNI_PURGE=yes" in refused.stderr
    assert (place.omni / "omni.db").exists()
    assert place.run("--uninstall", "--purge", OMNI_PURGE="yes").returncode == 0
    assert not place.omni.exists()


def test_purge_spares_what_is_no_omni_home(place: Place) -> None:
    (place.home / "letters").mkdir()
    for home in (place.home, place.home / "letters", place.home.parent):
        done = place.run("--uninstall", "--purge", OMNI_PURGE="yes", OMNI_HOME=str(home))
        assert done.returncode == 1
    assert (place.home / "letters").is_dir()


@pytest.mark.slow
def test_archives(offline: Place, tmp_path: Path) -> None:
    place, tree = offline, tiny_tree(tmp_path / "omni-connector-1.0.0", "1.0.0")
    archive = tmp_path / "omni.tar.gz"
    with tarfile.open(archive, "w:gz") as file:
        file.add(tree, tree.name)
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()

    wrong = place.run("--from", str(archive), "--sha256", "0" * 64)
    assert wrong.returncode == 1
    assert digest in wrong.stderr
    assert place.releases() == set()
    assert not (place.omni / "current").exists()

    right = place.run("--from", archive.as_uri(), "--sha256", digest.upper(), "--no-path")
    assert right.returncode == 0, right.stderr
    assert (place.omni / "current/app.py").exists()
    assert not place.launcher.exists()

    with zipfile.ZipFile(tmp_path / "omni.zip", "w") as bundle:
        for path in tiny_tree(tmp_path / "next", "1.0.1").rglob("*"):
            bundle.write(path, path.relative_to(tmp_path))
    piped = place.run(stdin=SCRIPT.read_text(), ARCHIVE_URL=(tmp_path / "omni.zip").as_uri())
    assert piped.returncode == 0, piped.stderr
    assert place.version() == "1.0.1"


def test_the_checksum_beside_an_archive_counts(place: Place, tmp_path: Path) -> None:
    archive = tmp_path / "omni.tar.gz"
    with tarfile.open(archive, "w:gz") as file:
        file.add(tiny_tree(tmp_path / "tree", "1.0.0"), "tree")
    archive.with_name("omni.tar.gz.sha256").write_text(f"{'0' * 64}  omni.tar.gz\n")
    for args, env in ((["--from", str(archive)], {}), ([], {"OMNI_ARCHIVE_URL": archive.as_uri()})):
        done = place.run(*args, stdin=SCRIPT.read_text(), **env)
        assert done.returncode == 1
        assert "not the expected one" in done.stderr and place.releases() == set()


@pytest.mark.parametrize("name", ["../outside", "tree/../../../outside", "/tmp/omni-outside"])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_an_archive_cannot_write_outside(place: Place, tmp_path: Path, name: str, kind: str) -> None:
    archive = tmp_path / f"evil.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr(name, "x")
    else:
        with tarfile.open(archive, "w") as file:
            entry = tarfile.TarInfo(name)
            entry.size = 1
            file.addfile(entry, io.BytesIO(b"x"))
    done = place.run("--from", str(archive))
    assert done.returncode == 1
    assert not [path for path in place.files() if path.endswith("outside")]
    assert not Path("/tmp/omni-outside").exists()


# ------------------------------------------------------------------------------------------------- what goes wrong


@pytest.mark.slow
def test_a_release_that_does_not_work_is_not_switched_to(offline: Place, tmp_path: Path) -> None:
    place = offline
    place.install(tiny_tree(tmp_path / "good", "1.0.0"))
    broken = tiny_tree(tmp_path / "broken", "1.0.1", PROGRAM.replace('(home / "omni.db").touch()', 'sys.exit("no database today")'))
    done = place.run(script=broken / "install.sh")
    assert done.returncode == 1
    assert "no database today" in done.stderr
    unlocked = tiny_tree(tmp_path / "unlocked", "1.0.2")
    (unlocked / "requirements.lock").write_text(re.sub(r"sha256:\w{8}", "sha256:00000000", lock_of("click")))
    done = place.run(script=unlocked / "install.sh")
    assert done.returncode == 1
    assert "could not be installed" in done.stderr
    assert "install.log" in done.stderr
    assert place.version() == "1.0.0"
    assert place.releases() == {"1.0.0"}


@pytest.fixture
def killer(offline: Place) -> Iterator[Place]:
    yield offline
    for process in offline.running:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def until(place: Place, tree: Path, marker: str) -> subprocess.Popen[str]:
    """install.sh as a process group of its own, at the moment it prints `marker`."""
    process = subprocess.Popen(
        ["bash", str(tree / "install.sh")],
        env=place.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    place.running.append(process)
    assert process.stdout
    for line in process.stdout:
        if line.startswith(marker):
            return process
    raise AssertionError(f"{marker} never came")


@pytest.mark.slow
def test_killed_at_any_moment_the_old_one_works(killer: Place, tmp_path: Path) -> None:
    place = killer
    place.install(tiny_tree(tmp_path / "old", "1.0.0"))
    tree = tiny_tree(tmp_path / "new", "2.0.0")
    for marker, number in [("[3/8]", signal.SIGKILL), ("[4/8]", signal.SIGTERM), ("[5/8]", signal.SIGKILL), ("[6/8]", signal.SIGINT)]:
        process = until(place, tree, marker)
        os.killpg(process.pid, number)
        process.wait(30)
        assert place.version() == "1.0.0", marker
        assert {name for name in place.releases() if not name.startswith(".new-")} == {"1.0.0"}, marker
        if number != signal.SIGKILL:
            assert place.releases() == {"1.0.0"}, f"{marker}: what was half done is cleared away"
    place.install(tree)
    assert place.version() == "2.0.0"
    assert place.releases() == {"1.0.0", "2.0.0"}, "what kill -9 left is cleared away by the next run"


@pytest.mark.slow
def test_two_installers_do_not_collide(killer: Place, tmp_path: Path) -> None:
    place = killer
    first = until(place, tiny_tree(tmp_path / "a", "1.0.0"), "[4/8]")
    second = place.run(script=tiny_tree(tmp_path / "b", "2.0.0") / "install.sh")
    assert second.returncode == 0, second.stderr
    assert "another install.sh is at work" in second.stdout
    assert first.wait(30) == 0
    assert place.releases() == {"1.0.0", "2.0.0"}
    assert place.version() == "2.0.0"


@pytest.mark.slow
def test_start_restart_stop(offline: Place, tmp_path: Path) -> None:  # O-02, O-10
    place, tree = offline, tiny_tree(tmp_path / "tree", "1.0.0")
    try:
        said = place.install(tree, "--start")
        first = json.loads((place.omni / "server.json").read_text())
        assert f"Dashboard   {first['url']}" in said
        assert f"already running at {first['url']}" in place.install(tree, "--start")
        said = place.install(tiny_tree(tree, "1.1.0"), "--start")
        second = json.loads((place.omni / "server.json").read_text())
        assert second["pid"] != first["pid"]
        assert f"restarting the one at {first['url']}" in said
        assert place.run("--uninstall").returncode == 0
        with pytest.raises(OSError, match="refused"):
            urllib.request.urlopen(second["url"] + "/health", timeout=30)
    finally:
        place.run("--uninstall")


@pytest.mark.slow
def test_a_server_that_ends_at_once_is_reported(offline: Place, tmp_path: Path) -> None:
    tree = tiny_tree(tmp_path / "tree", "1.0.0", PROGRAM.replace('case ["serve"]: serve()', 'case ["serve"]: sys.exit("port 1 is busy")'))
    done = offline.run("--start", script=tree / "install.sh")
    assert done.returncode == 1
    assert "port 1 is busy" in done.stderr
    assert "ended at once" in done.stderr
    assert offline.version() == "1.0.0"


# ------------------------------------------------------------------------------------------------------ the real thing


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.slow
def test_the_real_program(place: Place, wheels: Path) -> None:  # O-02, O-12, C-28
    """The checkout itself, with all its packages: installed, started, asked, stopped, removed."""
    port = str(free_port())
    done = place.run("--start", OMNI_PORT=port)
    try:
        assert done.returncode == 0, done.stdout + done.stderr
        assert f":{port}" in done.stdout
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=10) as answer:
            assert answer.status == 200
        shown = subprocess.run([place.launcher, "--version"], env=place.env, capture_output=True, text=True, check=True)
        assert re.search(r"\d+\.\d+\.\d+", shown.stdout)
        wrong = subprocess.run([place.launcher, "--nonsense"], env=place.env, capture_output=True, text=True, check=False)
        assert (wrong.returncode, len(wrong.stderr.splitlines())) == (2, 1)
    finally:
        gone = place.run("--uninstall", "--purge", OMNI_PURGE="yes")
    assert gone.returncode == 0, gone.stderr
    assert not place.omni.exists()
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=30)


@pytest.mark.slow
def test_the_wheel_is_complete(tmp_path: Path, wheels: Path, installer_env: dict[str, str]) -> None:  # P-15
    """app.py, migrations and dashboard travel inside the package, and nothing else lands in site-packages."""
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)]
    subprocess.run(command, env=installer_env, check=True, timeout=300, capture_output=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        names = wheel.namelist()
        wheel.extractall(tmp_path / "site")
    assert {"omni_connector/_root/app.py", "omni_connector/_root/migrations/env.py", "omni_connector/_root/static/index.html"} <= set(names)
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"omni_connector"}
    env = {**installer_env, "PYTHONPATH": str(tmp_path / "site"), "OMNI_HOME": str(tmp_path / "home")}
    made = subprocess.run(
        [sys.executable, "-P", "-m", "omni_connector", "--init-only"], env=env, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "home/omni.db").exists()
