"""What is worked out of an account again and again, and changes only with it."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from omni_connector.snapshot import Account

T = TypeVar("T")
MOST = 4096


class Remembered(Generic[T]):
    """A changed account is another object, so what was made of the one before is never given for it."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, Hashable], tuple[Account, T]] = {}

    def of(self, account: Account, about: Hashable, make: Callable[[], T]) -> T:
        """What `make` gave for this account and `about`; what it raises is not remembered."""
        known = self._known.get((account.id, about))
        if known is not None and known[0] is account:
            return known[1]
        made = make()
        if len(self._known) >= MOST:
            self._known.clear()
        self._known[account.id, about] = account, made
        return made

    def clear(self) -> None:
        """Forgets all, for accounts with their secrets may be gone."""
        self._known.clear()
