"""Which account a conversation is at home with: the one whose provider has its beginning in a cache.

`fingerprint` names a conversation, the same in each of its turns; `Homes` remembers where it was answered last. What a home is worth
against everything else is decided by `score`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any

from omni_connector.values import quick

TTL_MS = 60 * 60_000
"""No provider keeps a prompt cache longer than that without being asked to."""
MOST = 20_000


def fingerprint(key_id: str, model: str, marks: Sequence[bytes]) -> str:
    """The name of a conversation of that client key: 32 hex digits, "" without marks (then it has no home).

    `model`: as requested. `marks`: what is the same in all its turns (`wire.conversations.marks`).
    """
    if not marks:
        return ""
    parts = (key_id.encode(), model.encode("utf-8", "surrogatepass"), *marks)
    told = b"".join([piece for part in parts for piece in (len(part).to_bytes(4, "big"), part)])
    return blake2b(told, digest_size=16).hexdigest()


# ---------------------------------------------------------------- Where it was answered last


@quick(frozen=True, slots=True)
class Home:
    """`at`: ms UTC of the last answer. `prompt_tokens`: how long the prompt was then, which is what may be cached."""

    account_id: str
    at: int
    prompt_tokens: int


Row = tuple[str, str, int, int]
"""(fingerprint, account id, at, prompt tokens): what the caller stores."""


class Homes:
    """At most `most` conversations, the one that rested longest gives way. In memory only: the caller stores what `take` gives."""

    def __init__(self, most: int = MOST, ttl_ms: int = TTL_MS) -> None:
        self._most = most
        self._ttl_ms = ttl_ms
        self._homes: OrderedDict[str, Home] = OrderedDict()
        self._news: set[str] = set()

    def __len__(self) -> int:
        return len(self._homes)

    def home(self, fingerprint: str, now: int) -> Home | None:
        """Reading only: a question changes nothing."""
        found = self._homes.get(fingerprint)
        return None if found is None or now - found.at >= self._ttl_ms else found

    def settle(self, fingerprint: str, account_id: str, prompt_tokens: int | None, now: int) -> None:
        """This account answered. Call it when an answer is whole; `prompt_tokens` None: not known."""
        if fingerprint:
            self._homes[fingerprint] = Home(account_id, now, max(0, prompt_tokens or 0))
            self._homes.move_to_end(fingerprint)
            self._news.add(fingerprint)
            self._tidy(now)

    @property
    def has_news(self) -> bool:
        """Was anything settled since the last `take`?"""
        return bool(self._news)

    def take(self) -> list[Row]:
        """What was settled since the last time; `give_back` what could not be stored."""
        names, self._news = self._news, set()
        return [(name, home.account_id, home.at, home.prompt_tokens) for name in names if (home := self._homes.get(name)) is not None]

    def give_back(self, rows: Iterable[Row]) -> None:
        """The next `take` gives these again, as they are by then."""
        self._news.update(row[0] for row in rows)

    def load(self, rows: Iterable[Sequence[Any]], now: int) -> None:
        """Takes rows in, from before a restart or of another process. The later answer of a conversation counts; what is older than
        an hour, or lies in the future, does not."""
        for name, account_id, at, prompt_tokens in rows:
            known = self._homes.get(name)
            if name and at <= now and (known is None or known.at < at):
                self._homes[name] = Home(account_id, at, max(0, prompt_tokens or 0))
        self._homes = OrderedDict(sorted(self._homes.items(), key=lambda entry: entry[1].at))
        self._tidy(now)

    def _tidy(self, now: int) -> None:
        while self._homes:
            oldest = next(iter(self._homes))
            if len(self._homes) <= self._most and now - self._homes[oldest].at < self._ttl_ms:
                return
            del self._homes[oldest]
