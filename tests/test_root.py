"""Where the product's own files are found, in both layouts."""

from __future__ import annotations

import runpy
import shutil
from pathlib import Path

from omni_connector import root


def test_a_checkout_has_them_beside_the_package() -> None:
    assert {"app.py", "migrations", "static"} <= {path.name for path in root.ROOT.iterdir()}


def test_a_wheel_has_them_inside_it(tmp_path: Path) -> None:
    package = tmp_path / "omni_connector"
    (package / "_root").mkdir(parents=True)
    shutil.copy(root.__file__, package)
    assert runpy.run_path(str(package / "root.py"))["ROOT"] == package / "_root"
