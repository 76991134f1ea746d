"""Every way to fail has a kind and words that hold no URL."""

from __future__ import annotations

import inspect

from omni_connector.direct import faults
from omni_connector.errors import KINDS


def test_every_fault_is_told() -> None:
    classes = [found for _, found in inspect.getmembers(faults, inspect.isclass) if issubclass(found, faults.DirectError)]
    assert set(classes) == set(faults.FAULTS)
    for cls in classes:
        error = faults.told(cls("https://h/path?key=secret"), "h")
        assert error.message.startswith("h: ") and "secret" not in error.message
        assert error.kind in KINDS and KINDS[error.kind].retry
