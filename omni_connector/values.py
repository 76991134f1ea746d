"""Values that are made with every request.

A frozen dataclass of the library sets each field through `object.__setattr__`, which makes it three times as dear as an ordinary one. The
type checker holds these for frozen too; at run time nothing but it keeps them from being changed. They hash and compare alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import dataclass as quick
from typing import TYPE_CHECKING, Any

if not TYPE_CHECKING:

    def quick(*, frozen: bool, slots: bool = False) -> Any:
        """`@quick(frozen=True, slots=True)`, as `dataclass`."""
        return dataclass(slots=slots, unsafe_hash=frozen)


__all__ = ["quick"]
