"""The ear for Kiro answers says the same as the parser's events. P-22"""

from __future__ import annotations

from omni_connector.chat import Finish
from omni_connector.errors import Kind
from omni_connector.wire.kiro_listen import Listener
from tests.event_frames import exception
from tests.kiro_server import frames
from tests.live.answers import Call, Said

DATA = b"".join(frames(Said("Hello", thoughts="Hm.", calls=(Call("t", "f", {"a": 1}),))))


def test_what_is_heard() -> None:
    ear, whole = Listener(), Listener()
    assert not ear.first_output
    for byte in DATA:
        ear.feed(bytes([byte]))
    assert ear.first_output and not ear.ended
    ear.close()
    whole.whole(DATA)
    for one in (ear, whole):
        assert (one.finish, one.ended, one.error, one.output_chars) == (Finish.TOOL_CALLS, True, None, 5 + 3 + 8)
        assert one.usage is not None and one.usage.output == 4


def test_failures() -> None:
    ear = Listener()
    ear.feed(exception("ThrottlingException", {"message": "slow"}))
    ear.close()
    assert ear.error is not None and ear.error.kind is Kind.ACCOUNT_RATE_LIMITED and not ear.ended
