"""The image's own two programs, and the Dockerfile read as a list of steps. (J-28, J-29)"""

from __future__ import annotations

import http.server
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
IMAGE = ROOT / "deploy/image"


def loaded(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, IMAGE / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def steps(text: str) -> list[tuple[str, str]]:
    """(instruction, rest) of each step, continued lines joined, comments left out."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    return [
        (word.upper(), " ".join(rest.split())) for word, _, rest in (line.strip().partition(" ") for line in joined.splitlines()) if word
    ]


STEPS = steps((ROOT / "Dockerfile").read_text())
FINAL = STEPS[max(at for at, (word, _) in enumerate(STEPS) if word == "FROM") :]


def test_the_final_stage_is_small_and_harmless() -> None:  # J-28
    words = dict(FINAL)
    assert words["USER"] == "10001:10001"
    assert {"HEALTHCHECK", "ENTRYPOINT", "CMD", "VOLUME", "STOPSIGNAL"} <= words.keys()
    assert words["EXPOSE"] == "38471" and words["VOLUME"] == "/data"
    assert not [rest for word, rest in STEPS if word == "ADD"]
    assert not re.search(r"apt-get|apk |gcc|curl|--privileged|chmod 777", (ROOT / "Dockerfile").read_text())
    runs = [rest for word, rest in STEPS if word == "RUN" and "pip " in rest]
    assert runs and all("--require-hashes" in rest and "--only-binary :all:" in rest and "--no-cache-dir" in rest for rest in runs)
    assert not any("pip " in rest for word, rest in FINAL if word == "RUN")
    # Names of keys may only stand where a file is read at run time.
    for word, rest in STEPS:
        assert word not in ("ENV", "ARG") or not re.search(r"KEY|SECRET|TOKEN|OMNI_ADMIN_PASSWORD|://", rest), rest


def test_bases_are_pinned_and_the_same() -> None:
    assert {rest.split()[0] for word, rest in STEPS if word == "FROM"} == {"${PYTHON_IMAGE}"}
    base = next(rest for word, rest in STEPS if word == "ARG" and rest.startswith("PYTHON_IMAGE="))
    assert re.fullmatch(r"PYTHON_IMAGE=python:3\.\d+-slim-[a-z]+", base)


def test_only_what_is_copied_reaches_the_build() -> None:
    copied = {
        source.rstrip("/") for word, rest in STEPS if word == "COPY" and not rest.startswith("--from") for source in rest.split()[:-1]
    }
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    allowed = {line[1:] for line in ignore if line.startswith("!")}
    assert "*" in ignore and copied == allowed
    assert all((ROOT / name).exists() for name in copied)


def test_the_version_is_ours() -> None:
    from omni_connector import __version__

    assert ("ARG", f"VERSION={__version__}") in STEPS


def test_signals_go_on_and_orphans_are_taken_leave_of(tmp_path: Path) -> None:  # J-29, C-20
    """In a process of its own that adopts orphans, as process 1 does: a child that leaves an orphan behind, then waits for SIGTERM."""
    ctypes = pytest.importorskip("ctypes")
    if not sys.platform.startswith("linux") or not hasattr(ctypes.CDLL(None), "prctl"):
        pytest.skip("only Linux lets a process adopt orphans")
    child = (
        "import os, signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n"
        "subprocess.Popen(['sh', '-c', 'sleep 0.05 & echo $!; exit'], stdout=open(sys.argv[1] + '/orphan', 'w')).wait()\n"
        "open(sys.argv[1] + '/ready', 'w').close()\n"
        "time.sleep(60)\n"
    )
    (tmp_path / "child.py").write_text(child)
    parent = (
        "import ctypes, runpy, sys\n"
        "ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)\n"  # PR_SET_CHILD_SUBREAPER
        f"first = runpy.run_path({str(IMAGE / 'first.py')!r})\n"
        f"sys.exit(first['run']([sys.executable, {str(tmp_path / 'child.py')!r}, {str(tmp_path)!r}]))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", parent])
    try:
        done = threading.Event()
        for _ in range(2000):
            if (tmp_path / "ready").exists() and not Path(f"/proc/{(tmp_path / 'orphan').read_text().strip()}").exists():
                done.set()
                break
            done.wait(0.005)
        assert done.is_set(), "the orphan stays as a zombie"
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 7
    finally:
        process.kill()
        process.wait()


def test_a_command_that_a_signal_ended_says_so() -> None:
    script = f"import runpy, sys; sys.exit(runpy.run_path({str(IMAGE / 'first.py')!r})['run'](['/bin/sh', '-c', 'kill -9 $$']))"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 128 + 9


def test_the_command_is_ours() -> None:
    assert loaded("first").command(["serve"])[1:] == ["-I", "-B", "-m", "omni_connector", "serve"]
    assert os.access(IMAGE / "omni-connector", os.X_OK)


class Healthy(http.server.BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/health" else 404)
        self.end_headers()

    def log_message(self, *args: object) -> None: ...


def test_health_is_asked_where_the_server_said_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = loaded("healthy").problem
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")  # nobody there, and nobody is asked
    assert "no server has started" in problem(tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Healthy) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        (tmp_path / "server.json").write_text(json.dumps({"url": f"http://127.0.0.1:{server.server_port}"}))
        assert problem(tmp_path) == ""
        monkeypatch.setattr(Healthy, "status", 503)
        assert "503" in problem(tmp_path)
        server.shutdown()
    assert "/health" in problem(tmp_path)
