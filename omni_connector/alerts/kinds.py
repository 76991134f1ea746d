"""The alerts there are, and the words of a message: one alert, or a digest of many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from omni_connector.store.alerts import Alert, News
from omni_connector.values import dataclass

Json = dict[str, Any]

KINDS: Mapping[str, str] = {
    "low_balance": "Low balance",
    "budget_reached": "Budget reached",
    "account_locked": "Account locked",
    "needs_login": "Sign-in needed",
    "all_down": "All accounts are down",
    "books_differ": "Books differ from the provider's",
    "disk_low": "Disk nearly full",
    "usage_differs": "Usage sums were wrong",
}
"""Kind → its title."""
BACK = "back"
"""The type of a message that only says that something is over."""
DIGEST, TEST = "digest", "test"
NAME = "omni-connector"
"""Begins every title: robots that only take messages with a keyword can be given this one."""
MOST_LINES = 20
"""Alerts that one message spells out; more are counted."""


@dataclass(frozen=True, slots=True)
class Message:
    """What one channel is sent at once. `id`: the same whenever it is sent again. `at`: of the newest thing in it (ms)."""

    id: str
    type: str
    title: str
    lines: tuple[str, ...]
    at: int
    alerts: tuple[Json, ...] = ()

    @property
    def text(self) -> str:
        return "\n".join((self.title, *self.lines))


def compose(message_id: str, news: Sequence[News]) -> Message:
    """One message of all that a channel has to hear. The same news make the same message."""
    lines = [_line(one) for one in news[:MOST_LINES]]
    if len(news) > MOST_LINES:
        lines.append(f"… and {len(news) - MOST_LINES} more")
    only = news[0] if len(news) == 1 else None
    if only is not None:
        kind = only.alert.kind if only.what == "begun" else BACK
        title = KINDS.get(only.alert.kind, only.alert.kind) if only.what == "begun" else "Back again"
    else:
        kind, title = DIGEST, f"{len(news)} alerts"
    return Message(message_id, kind, f"{NAME}: {title}", tuple(lines), max(map(_moment, news)), tuple(map(_told, news)))


def trial_message(message_id: str, now: int) -> Message:
    return Message(message_id, TEST, f"{NAME}: Test", ("This channel works. Alerts will come here.",), now)


def _line(news: News) -> str:
    if news.what == "begun":
        return f"{news.alert.message} (since {_clock(news.alert.at)})"
    return f"Over: {news.alert.message} ({_clock(news.alert.at)} to {_clock(news.alert.ended_at or news.alert.at)})"


def _moment(news: News) -> int:
    return news.alert.at if news.what == "begun" else news.alert.ended_at or news.alert.at


def _clock(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _told(news: News) -> Json:
    alert, over = news.alert, news.what == "over"
    return {
        "id": alert.id,
        "kind": alert.kind,
        "subject": alert.subject,
        "message": alert.message,
        "state": "ended" if over else "open",
        "at": alert.at,
        "ended_at": alert.ended_at if over else None,
    }


def shape(alert: Alert) -> Json:
    """An alert as the admin API and the event `alert` have it. `told`: by channel id, {"at", "back_at", "failed"}."""
    return {
        "id": alert.id,
        "kind": alert.kind,
        "title": KINDS.get(alert.kind, alert.kind),
        "subject": alert.subject,
        "message": alert.message,
        "state": "open" if alert.state == "open" else "ended",
        "at": alert.at,
        "ended_at": alert.ended_at,
        "told": {channel: {name: told.get(name) for name in ("at", "back_at", "failed")} for channel, told in alert.told.items()},
    }
