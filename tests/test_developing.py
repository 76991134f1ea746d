"""The server anew whenever a source changes."""

from __future__ import annotations

import sys
from pathlib import Path

from omni_connector.developing import run, stamps

PROGRAM = "import pathlib, signal, sys; pathlib.Path(sys.argv[1]).open('a').write('x'); signal.pause()"


def test_a_change_starts_it_anew_and_an_interrupt_ends_it(tmp_path: Path) -> None:  # C-106
    root, starts = tmp_path / "root", tmp_path / "starts"
    for name in ("app.py", "omni_connector/a.py", "static/css/x.css", "other.txt"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("")
    assert {path.name for path in stamps(root) if path.is_file()} == {"app.py", "a.py", "x.css"}
    said: list[str] = []
    looks = 0

    def wait(seconds: float) -> None:
        nonlocal looks
        while (len(starts.read_text()) if starts.exists() else 0) < len(said) + 1:  # the program of this round has begun
            pass
        looks += 1
        if looks == 1:
            (root / "other.txt").write_text("no source")
        if looks == 2:
            (root / "omni_connector/b.py").write_text("new")
        if looks == 3:
            (root / "app.py").unlink()
        if looks == 4:
            raise KeyboardInterrupt

    code = run([sys.executable, "-c", PROGRAM, str(starts)], root, said.append, wait)
    assert said == ["omni_connector/b.py changed: starting anew", "app.py changed: starting anew"]
    assert (starts.read_text(), code) == ("xxx", -15)
