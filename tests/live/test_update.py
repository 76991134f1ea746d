"""A machine with Python and nothing else: installed from the built archive, updated, rolled back, killed in between, removed.

Real archives, the real install.sh and the real program. Only the packages are not fetched: the archives ask for one tiny wheel, made
here, that leads to the packages this test suite runs with. A newer release is the present one with another version, and what a test
breaks in it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import sysconfig
import threading
import time
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from omni_connector import release
from omni_connector.store import schema
from tests.test_install import free_port

ROOT = Path(__file__).resolve().parent.parent.parent
Json = dict[str, Any]
DOWN_S = 2.0

MIGRATION = """
import sqlalchemy as sa
from alembic import op

revision = "9999"
down_revision = "{head}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table("of_the_future", sa.Column("id", sa.Integer, primary_key=True))
"""


@dataclass
class Archives:
    """Archives of doctored releases, built by the project's own build."""

    folder: Path
    tree: Path

    def build(self, version: str, doctor: Callable[[Path], None] = lambda tree: None) -> Path:
        tree = self.folder / f"tree-{version}"
        shutil.copytree(self.tree, tree, symlinks=True)
        edit(tree / "omni_connector/__init__.py", r'^__version__ = ".*"', f'__version__ = "{version}"')
        doctor(tree)
        names = [path.relative_to(tree).as_posix() for path in tree.rglob("*") if path.is_file()]
        path, _ = release.write(self.folder, release.build(tree, names, version, 1_800_000_000), version)
        shutil.rmtree(tree)
        return path


def edit(path: Path, pattern: str, text: str) -> None:
    old = path.read_text("utf-8")
    new, number = re.subn(pattern, lambda _: text, old, count=1, flags=re.M)
    assert number == 1, f"{pattern} is not in {path}"
    path.write_text(new, "utf-8")


def wheel(folder: Path) -> str:
    """A package that holds nothing but the way to ours; its line of a lock file."""
    name, info = "omni_test_packages-1.0-py3-none-any.whl", "omni_test_packages-1.0.dist-info"
    files = {
        "omni_test_packages.pth": f"{sysconfig.get_path('purelib')}\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: omni-test-packages\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = [
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b'=').decode()},{len(text)}"
        for path, text in files.items()
    ]
    with zipfile.ZipFile(folder / name, "w") as packed:
        for path, text in {**files, f"{info}/RECORD": "\n".join([*record, f"{info}/RECORD,,"])}.items():
            packed.writestr(path, text)
    return f"omni-test-packages==1.0 \\\n    --hash=sha256:{hashlib.sha256((folder / name).read_bytes()).hexdigest()}\n"


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Archives:
    folder = tmp_path_factory.mktemp("archives")
    tree = folder / "tree"
    for name in release.parts(ROOT):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tree / name, ignore=shutil.ignore_patterns("__pycache__", "vendor"))
        else:
            tree.mkdir(exist_ok=True)
            shutil.copy(source, tree / name)
    (tree / "requirements.lock").write_text(wheel(folder))
    return Archives(folder, tree)


@dataclass
class Machine:
    home: Path
    env: dict[str, str]
    port: int
    begun: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def omni(self) -> Path:
        return self.home / ".omni-connector"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def run(self, *command: str | Path, expect: int = 0, **env: str) -> str:
        done = subprocess.run(
            [str(word) for word in command],
            env={**self.env, **env}, cwd=self.home, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == expect, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def omni_connector(self, *words: str | Path, expect: int = 0, **env: str) -> str:
        return self.run(self.home / ".local/bin/omni-connector", *words, expect=expect, **env)

    def install(self, archive: Path, *words: str) -> str:
        return self.run("bash", ROOT / "install.sh", "--from", archive, *words, OMNI_PORT=str(self.port))

    def note(self) -> Json:
        return dict(json.loads((self.omni / "server.json").read_text()))

    def serving(self) -> str:
        """The version that answers."""
        with urllib.request.urlopen(f"{self.url}/health", timeout=10) as answer:
            return str(json.load(answer)["version"])

    def linked(self) -> tuple[str, str]:
        return os.readlink(self.omni / "current"), os.readlink(self.omni / "previous") if (self.omni / "previous").is_symlink() else ""

    def chat(self, key: str) -> int:
        body = json.dumps({"model": "demo-chat", "messages": [{"role": "user", "content": "hello"}]}).encode()
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        asked = urllib.request.Request(f"{self.url}/v1/chat/completions", body, headers)
        with urllib.request.urlopen(asked, timeout=20) as answer:
            return int(answer.status)

    def until(self, marker: str, *words: str | Path) -> subprocess.Popen[str]:
        """`omni-connector` as a process group of its own, at the moment it prints `marker`."""
        process = subprocess.Popen(
            [str(self.home / ".local/bin/omni-connector"), *map(str, words)],
            env=self.env, cwd=self.home, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip
        self.begun.append(process)
        assert process.stdout
        said = []
        for line in process.stdout:
            said.append(line)
            if line.startswith(marker):
                return process
        raise AssertionError(f"{marker} never came: {''.join(said)}")


@pytest.fixture
def machine(tmp_path: Path, archives: Archives) -> Iterator[Machine]:
    home = tmp_path / "o'mni home"
    home.mkdir()
    env = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(home),
        "OMNI_PYTHON": getattr(sys, "_base_executable", sys.executable),
        "OMNI_SERVER": os.environ.get("OMNI_TEST_SERVER", "hypercorn"),
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(archives.folder),
    }
    made = Machine(home, env, free_port())
    yield made
    for process in made.begun:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    if (made.omni / "server.json").exists():
        os.kill(made.note()["pid"], signal.SIGKILL)


class Watched:
    """Asks /health all the time. `down`: the longest time without a good answer; `refused`: how often nobody listened."""

    def __init__(self, machine: Machine) -> None:
        self.machine, self.down, self.refused, self.versions = machine, 0.0, 0, set[str]()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Watched:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        good = time.monotonic()
        while not self._ended.is_set():
            try:
                self.versions.add(self.machine.serving())
                self.down, good = max(self.down, time.monotonic() - good), time.monotonic()
            except ConnectionRefusedError:
                self.refused += 1
            except OSError as error:
                self.refused += isinstance(getattr(error, "reason", None), ConnectionRefusedError)
            time.sleep(0.02)
        self.down = max(self.down, time.monotonic() - good)


def furnished(machine: Machine, archive: Path) -> str:
    """Installed and started, with an account, a setting and a key, which is returned."""
    machine.install(archive, "--start")
    machine.omni_connector("backend", "add", "demo", "--label", "mine")
    machine.omni_connector("config", "set", "drain_s", "7")
    key = json.loads(machine.omni_connector("key", "create", "--name", "laptop", "--json"))["key"]
    assert machine.chat(key) == 200
    return str(key)


def future(tree: Path) -> None:
    """A release whose database has one table more."""
    (tree / "migrations/versions/9999_future.py").write_text(MIGRATION.format(head=schema.head(tree / "migrations/versions")))


def broken_demo(tree: Path) -> None:
    """It starts and is healthy; only an answer shows what is wrong."""
    edit(tree / "omni_connector/providers/demo.py", r"^(?=def _problem)", "def _problem(request: Any) -> str:\n    return 'broken'\n\n\n")
    edit(
        tree / "omni_connector/providers/demo.py",
        r"^def _problem\(request: Any\) -> str:\n    (?!return)",
        "def _other(request: Any) -> str:\n    ",
    )


def broken_start(tree: Path) -> None:
    """All is well on trial; as the server that has jobs to do it ends, after it has migrated the database."""
    serving = r"^        await gateway\.serve\(jobs=self\._wish\.jobs\)"
    changed = "        assert not self._wish.jobs\n        await gateway.serve(jobs=self._wish.jobs)"
    edit(tree / "omni_connector/server.py", serving, changed)


def tables(machine: Machine) -> set[str]:
    with closing(sqlite3.connect(machine.omni / "omni.db")) as conn:
        return {row[0] for row in conn.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def bearable() -> float:
    """Two seconds, where the machine is ours; others who compute at the same time make everything longer."""
    return DOWN_S * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


@pytest.mark.slow
def test_a_life(machine: Machine, archives: Archives) -> None:  # O-07, O-08, O-10…O-12, R-18, R-20
    """Installed, updated while it serves, an update that fails, back, removed."""
    key = furnished(machine, archives.build("1.0.0"))
    first = machine.note()["pid"]
    newer = archives.build("1.1.0")
    told = json.loads(machine.omni_connector("update", "--check", "--json", "--from", newer))
    assert (told["present"], told["offered"], told["update"], told["schema"]["moves"]) == ("1.0.0", "1.1.0", True, False)
    with Watched(machine) as watched:
        said = machine.omni_connector("--update", "--from", newer)
    assert re.findall(r"^\[(\d)/5\]", said, re.M) == list("12345")
    assert machine.serving() == "1.1.0" and machine.note()["pid"] != first
    assert watched.down < bearable() and not watched.refused, (watched.down, watched.refused)
    print(f"an update: {watched.down:.2f} s without an answer")
    assert machine.linked() == ("releases/1.1.0", "releases/1.0.0")
    assert machine.chat(key) == 200
    assert "7" in machine.omni_connector("config", "get", "drain_s")
    assert "nothing to do" in machine.omni_connector("--upd", OMNI_ARCHIVE_URL=newer.as_uri())

    with Watched(machine) as watched:
        said = machine.omni_connector("update", "--from", archives.build("1.2.0", broken_demo), expect=1)
    assert "does not answer" in said and watched.versions == {"1.1.0"} and not watched.refused
    assert machine.linked() == ("releases/1.1.0", "releases/1.0.0")
    assert not {path.name for path in machine.omni.iterdir()} & {"update.json", ".update-trial"}
    assert not (machine.omni / "releases/1.2.0").exists()

    machine.omni_connector("--rollback")
    assert machine.serving() == "1.0.0" and machine.chat(key) == 200
    machine.run("bash", machine.omni / "current/install.sh", "--uninstall", "--purge", OMNI_PURGE="yes")
    assert not [path for path in machine.home.rglob("*") if path.is_file() and ".cache" not in path.parts]


@pytest.mark.slow
def test_killed_in_every_step(machine: Machine, archives: Archives) -> None:  # O-09, R-18
    """An update to another schema, killed again and again: somebody serves, and the next run goes on. Then back, and a bad start."""
    key = furnished(machine, archives.build("1.0.1"))
    newer = archives.build("2.0.0", future)
    for marker in ("[1/5]", "[3/5]", "[4/5]", "[5/5]"):
        killed = machine.until(marker, "update", "--from", newer)
        os.kill(killed.pid, signal.SIGKILL)
        assert killed.wait(30) == -signal.SIGKILL, f"{marker}: it had ended already"
        assert machine.serving() in ("1.0.1", "2.0.0"), marker
        assert machine.omni_connector("--version"), marker
    said = machine.install(newer)
    assert machine.serving() == "2.0.0", said
    assert "of_the_future" in tables(machine)
    assert not {path.name for path in machine.omni.iterdir()} & {"update.json", ".update-trial"}
    assert machine.chat(key) == 200

    said = machine.omni_connector("rollback", expect=1)
    assert re.search(r"leaves behind 0 accounts, 0 keys, \d requests", said), said
    assert machine.serving() == "2.0.0"
    with Watched(machine) as watched:
        machine.omni_connector("rollback", "--yes")
    assert machine.serving() == "1.0.1" and not watched.refused and watched.down < bearable(), watched.down
    assert "of_the_future" not in tables(machine) and machine.chat(key) == 200
    assert list((machine.omni / "backups").glob("before-restore-*/omni.db"))

    with Watched(machine) as watched:
        said = machine.omni_connector(
            "update", "--from", archives.build("2.1.0", lambda tree: (future(tree), broken_start(tree))), expect=1
        )
    assert "serves again" in said and machine.serving() == "1.0.1", said
    assert machine.linked()[0] == "releases/1.0.1" and machine.chat(key) == 200
    print(f"an update whose start fails: {watched.down:.2f} s without an answer")
