"""What one omni-key may ask for per minute and at once, in this process.

Sliding windows in memory: a restart forgives at most a minute. Money has its own, durable book (ledger.py).
"""

from __future__ import annotations

from collections import deque

from omni_connector.errors import GatewayError, Kind
from omni_connector.snapshot import ClientKey

WINDOW = 60_000
"""Milliseconds."""


class _Use:
    __slots__ = ("in_flight", "requests", "tokens", "tokens_sum")

    def __init__(self) -> None:
        self.in_flight = 0
        self.requests: deque[int] = deque()
        self.tokens: deque[tuple[int, int]] = deque()
        self.tokens_sum = 0

    def forget(self, now: int) -> None:
        while self.requests and self.requests[0] <= now - WINDOW:
            self.requests.popleft()
        while self.tokens and self.tokens[0][0] <= now - WINDOW:
            self.tokens_sum -= self.tokens.popleft()[1]


class Limits:
    """`enter` before the upstream call, `leave` exactly once after it."""

    def __init__(self) -> None:
        self._uses: dict[str, _Use] = {}

    def enter(self, key: ClientKey, now: int) -> None:
        """Raises GatewayError (RATE_LIMITED with `retry_after`) when the key is over one of its limits."""
        use = self._uses.setdefault(key.id, _Use())
        use.forget(now)
        if key.max_in_flight is not None and use.in_flight >= key.max_in_flight:
            raise _limited(f"This key may have {key.max_in_flight} requests in flight.", 1.0)
        if key.rpm is not None and len(use.requests) >= key.rpm:
            raise _limited(f"This key may send {key.rpm} requests a minute.", (use.requests[0] + WINDOW - now) / 1000)
        if key.tpm is not None and use.tokens_sum >= key.tpm:
            raise _limited(f"This key may use {key.tpm} tokens a minute.", (use.tokens[0][0] + WINDOW - now) / 1000)
        use.in_flight += 1
        if key.rpm is not None:
            use.requests.append(now)

    def leave(self, key: ClientKey, now: int, tokens: int) -> None:
        use = self._uses.get(key.id)
        if use is None:
            return
        use.in_flight -= 1
        if key.tpm is not None and tokens:
            use.tokens.append((now, tokens))
            use.tokens_sum += tokens


def _limited(message: str, wait: float) -> GatewayError:
    return GatewayError(Kind.RATE_LIMITED, f"{message} Wait, or raise the limit of the key.", retry_after=max(wait, 0.1), stated=True)
