from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from omni_connector.updating import process
from tests.updating.conftest import Home

SERVER = """#!{python}
import http.server, json, os, pathlib, sys
home, release = pathlib.Path(os.environ["OMNI_HOME"]), pathlib.Path(__file__).resolve().parent.parent
class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header("content-length", "2"); self.end_headers(); self.wfile.write(b"{{}}")
    def log_message(self, *words): pass
with http.server.HTTPServer(("127.0.0.1", 0), Health) as server:
    note = {{"pid": os.getpid(), "url": f"http://127.0.0.1:{{server.server_port}}", "release": str(release), "args": sys.argv[1:]}}
    (home / "server.tmp").write_text(json.dumps(note))
    (home / "server.tmp").rename(home / "server.json")
    server.serve_forever()
"""


def stop(home: Path) -> None:
    found = process.running(home)
    if found is not None:
        process.end(home)
        os.waitpid(found.pid, 0)


def test_a_server_is_started_and_one_of_before_is_exchanged(home: Home) -> None:
    """One of a release that cannot hand over is ended and started anew, with its arguments."""
    launcher = SERVER.format(python=sys.executable)
    one, two = home.release("1.0", "0001", launcher=launcher), home.release("2.0", "0001", launcher=launcher)
    try:
        assert process.start(home.path, one, ["serve", "--port", "7"], False, os.environ)
        first = process.running(home.path)
        assert first is not None and first.args == ("serve", "--port", "7") and not first.hands_over
        assert process.bring(home.path, one, [], False, os.environ)
        assert process.running(home.path) == first
        assert process.bring(home.path, two, first.args, False, os.environ)
        second = process.running(home.path)
        assert second is not None and second.pid != first.pid and second.args == first.args
        assert process.serves(home.path, two) and not process.serves(home.path, one)
    finally:
        stop(home.path)


def test_one_that_does_not_start_is_not_waited_for(home: Home) -> None:
    assert not process.start(home.path, home.release("1.0", "0001"), [], False, os.environ)
    assert process.running(home.path) is None


def test_a_note_that_a_dead_server_left_counts_as_none(home: Home) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        (home.path / "server.json").write_text(json.dumps({"pid": dead.pid, "url": "http://127.0.0.1:1"}))
        dead.wait()
        assert process.running(home.path) is None
    process.end(home.path)


def test_nobody_there_is_an_answer_too() -> None:
    assert process.ask("http://127.0.0.1:1", "GET", "/health") == (0, {})


def test_another_one_listens_at_the_same_place() -> None:
    found = process.Server(1, "http://127.0.0.1:9000", "", 0, True, False, (), "0.0.0.0")
    assert found.same_place() == ["--host", "0.0.0.0", "--port", "9000"]
    assert process.Server(1, "http://127.0.0.1:9000", "", 0, True, False, ("serve", "--port=9000")).same_place() == ["serve", "--port=9000"]
