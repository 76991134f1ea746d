"""The words of a message. J-09"""

from __future__ import annotations

from omni_connector.alerts.kinds import KINDS, MOST_LINES, compose, shape, trial_message
from omni_connector.store.alerts import Alert, News

AT = 1_795_000_000_000  # 2026-11-18 11:06:40 UTC
LOCKED = Alert("alr_1", "account_locked", "acc_1", "openai/work is out until you act: no credit left", at=AT)
OVER = Alert("alr_2", "needs_login", "acc_2", "kimi/me needs to be signed in again", "ended", AT - 60_000, AT + 60_000)


def test_one_alert() -> None:
    message = compose("alm_1", [News(LOCKED, "begun")])
    assert (message.id, message.type, message.at) == ("alm_1", "account_locked", AT)
    assert message.text == "omni-connector: Account locked\nopenai/work is out until you act: no credit left (since 2026-11-18 11:06 UTC)"
    assert message.alerts[0]["state"] == "open"


def test_it_is_over() -> None:
    message = compose("alm_1", [News(OVER, "over")])
    assert (message.type, message.title, message.at) == ("back", "omni-connector: Back again", AT + 60_000)
    assert message.lines == ("Over: kimi/me needs to be signed in again (2026-11-18 11:05 UTC to 2026-11-18 11:07 UTC)",)


def test_a_digest() -> None:
    message = compose("alm_1", [News(LOCKED, "begun"), News(OVER, "over")])
    assert (message.type, message.title, len(message.lines)) == ("digest", "omni-connector: 2 alerts", 2)
    many = compose("alm_2", [News(LOCKED, "begun")] * 50)
    assert len(many.lines) == MOST_LINES + 1
    assert many.lines[-1] == "… and 30 more"
    assert len(many.alerts) == 50


def test_the_same_news_make_the_same_message() -> None:
    assert compose("alm_1", [News(LOCKED, "begun")]) == compose("alm_1", [News(LOCKED, "begun")])
    gone = Alert(**{**{name: getattr(LOCKED, name) for name in LOCKED.__slots__}, "state": "closed", "ended_at": AT + 5})
    assert compose("alm_1", [News(gone, "begun")]) == compose("alm_1", [News(LOCKED, "begun")]), "what has ended meanwhile is told later"


def test_a_test_says_so() -> None:
    assert trial_message("alm_1", AT).type == "test"


def test_what_the_api_shows() -> None:
    told = {"alc_1": {"at": AT, "back_at": AT + 1}, "alc_2": {"at": AT, "failed": "gone"}}
    shown = shape(Alert("alr_1", "low_balance", "acc_1", "words", "dropped", AT, AT + 5, AT, told))
    assert shown == {
        "id": "alr_1",
        "kind": "low_balance",
        "title": KINDS["low_balance"],
        "subject": "acc_1",
        "message": "words",
        "state": "ended",
        "at": AT,
        "ended_at": AT + 5,
        "told": {
            "alc_1": {"at": AT, "back_at": AT + 1, "failed": None},
            "alc_2": {"at": AT, "back_at": None, "failed": "gone"},
        },
    }
