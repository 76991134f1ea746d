"""Where the product's own files are: `app.py`, `migrations/`, `static/`.

In a checkout or a release tree they stand beside the package. A wheel carries them inside it, under `_root`
(a top-level `app.py` in site-packages would collide with everybody else's).
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
ROOT = _PACKAGE / "_root" if (_PACKAGE / "_root").is_dir() else _PACKAGE.parent
