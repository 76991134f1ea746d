"""Our dataclasses: the library's, without what it does at every start for classes that nobody uses then.

The library writes and compiles up to eight methods for each class when it is imported, 0.3 ms and 6 kB for each of 250 classes. Here a
class with slots is made at once, and its methods when one of them is first asked for: the same methods, by the same library. What is wrong
with a declaration is therefore told when the class is first used (tests/test_values.py uses each of them).
"""

from __future__ import annotations

import dataclasses
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import dataclass as quick
from typing import TYPE_CHECKING, Any

__all__ = ["dataclass", "quick"]

if not TYPE_CHECKING:

    def dataclass(cls: type | None = None, /, *, slots: bool = False, **wishes: Any) -> Any:
        """As `dataclasses.dataclass`, which makes those without slots."""
        if not slots:
            return dataclasses.dataclass(cls, **wishes)
        return _slotted(**wishes)

    def quick(*, frozen: bool, slots: bool) -> Any:
        """`@quick(frozen=True, slots=True)` is for values that are made with every request. A frozen dataclass sets each field through
        `object.__setattr__`, which makes it three times as dear as an ordinary one. The type checker holds these for frozen too; at run
        time nothing but it keeps them from being changed. They hash and compare alike."""
        return _slotted(unsafe_hash=frozen) if slots else dataclasses.dataclass(unsafe_hash=frozen)


_FACTS = (
    "__dataclass_fields__", "__dataclass_params__", "__match_args__", "__init__", "__repr__",
    *(("__replace__",) if sys.version_info >= (3, 13) else ()),
)  # fmt: skip
"""What every dataclass has. Their names in a class body mean: its own."""
_OWN = {"__init__", "__eq__", "__hash__", "__setattr__", "__delattr__", "__getstate__", "__setstate__"}
"""What the library treats in ways of its own when a class body defines it; such a class is made by it, at once."""

_SPECIAL = ("ClassVar", "InitVar", "KW_ONLY")
"""Annotations that make no field."""
_USUAL = {"kw_only"}
"""Wishes that change nothing about which methods there are. Where there are others, the library makes the class as well."""

_waiting: dict[type, tuple[type, dict[str, Any]]] = {}
"""Class → the same as it was written, with its defaults, and the wishes; until its methods are made."""
_lock = threading.RLock()


class _Late:
    """Stands in a class for one of its methods, or for what is known about it, until somebody asks."""

    __slots__ = ("_class", "_name")

    def __set_name__(self, owner: type, name: str) -> None:
        self._class, self._name = owner, name

    def __get__(self, instance: Any, owner: type) -> Any:
        _finish(self._class)
        # Of this very class: who asks by `super()` does not want his own.
        found = vars(self._class)[self._name]
        return found.__get__(instance, owner) if hasattr(found, "__get__") else found


def _finish(cls: type) -> None:
    with _lock:  # several threads may make their first of a class at once
        if cls not in _waiting:
            return
        written, wishes = _waiting[cls]
        made = vars(dataclasses.dataclass(**wishes)(written))
        for name in [name for name, value in vars(cls).items() if isinstance(value, _Late)]:
            setattr(cls, name, made[name])
        del _waiting[cls]


def _slotted(frozen: bool = False, eq: bool = True, unsafe_hash: bool = False, **others: Any) -> Callable[[type], type]:
    wishes = {"frozen": frozen, "eq": eq, "unsafe_hash": unsafe_hash, **others}

    def make(cls: type) -> type:
        body = dict(vars(cls))
        fields = cls.__annotations__
        special = any(word in str(one) for one in fields.values() for word in _SPECIAL)
        if special or others.keys() - _USUAL or not _OWN.isdisjoint(body):
            return dataclasses.dataclass(slots=True, **wishes)(cls)
        for name in (*fields, "__dict__", "__weakref__"):
            body.pop(name, None)
        kept = {name for base in cls.__mro__[1:] for name in vars(base).get("__slots__", ())}
        late = [name for name in _FACTS if name not in body]
        if eq:
            late.append("__eq__")
            body["__hash__"] = _Late() if frozen or unsafe_hash else None
        elif unsafe_hash:
            late.append("__hash__")
        if frozen:
            body |= _FROZEN
        body |= {name: _Late() for name in late}
        body |= {"__slots__": tuple(name for name in fields if name not in kept), "__qualname__": cls.__qualname__}
        found = type(cls)(cls.__name__, cls.__bases__, body)
        _waiting[found] = (cls, wishes)
        return found

    return make


# ---------------------------------------------------------------- Frozen ones


def _set(self: Any, name: str, value: Any) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")


def _delete(self: Any, name: str) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")


def _get_state(self: Any) -> list[Any]:
    return [getattr(self, field.name) for field in dataclasses.fields(self)]


def _set_state(self: Any, state: list[Any]) -> None:
    for field, value in zip(dataclasses.fields(self), state, strict=True):
        object.__setattr__(self, field.name, value)


_FROZEN = {"__setattr__": _set, "__delattr__": _delete, "__getstate__": _get_state, "__setstate__": _set_state}
"""As the library's. Without them a copy would be set through `__setattr__`."""
