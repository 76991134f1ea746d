"""What a format's module gives, loaded when somebody first asks for it: most installations translate between two formats or none, and
the code for the others would cost each start 20 ms and 2 MB."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

_PARTS: set[str] = set()


def late(module: str, parts: Mapping[str, str]) -> Callable[[str], Any]:
    """The `__getattr__` of `module`. `parts`: name → the module of this package that has it."""
    _PARTS.update(parts.values())

    def ask(name: str) -> Any:
        if name not in parts:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        found = getattr(import_module(f"{__package__}.{parts[name]}"), name)
        setattr(sys.modules[module], name, found)  # the next one finds it without asking
        return found

    return ask


def load_all() -> None:
    """Before a process is forked, so that all share it."""
    for part in sorted(_PARTS):
        import_module(f"{__package__}.{part}")
