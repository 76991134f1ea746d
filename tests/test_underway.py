"""One request under way."""

from __future__ import annotations

import gc
import time
import weakref
from types import SimpleNamespace
from typing import Any

from omni_connector.errors import GatewayError, Kind
from omni_connector.underway import Deadlines, Job


def test_time_counts_from_the_beginning() -> None:
    nothing: Any = None
    assert 5000 <= Job(nothing, nothing, nothing, time.monotonic() - 5).elapsed_ms() < 6000


def test_attempts_are_bounded_by_default() -> None:
    limits = Deadlines()
    assert limits.max_attempts > 1 and limits.window < limits.total and limits.keepalive < limits.idle


def test_a_request_that_is_over_is_held_by_no_error() -> None:
    """Also not by what an error was raised for: the frames of the transport have the body."""

    class Body:
        pass

    def send(body: Body) -> None:
        lost = ConnectionError("lost")
        raise lost  # as whoever keeps it beside the connection

    def ask() -> tuple[GatewayError, weakref.ref[Body]]:
        body = Body()
        try:
            try:
                send(body)
            except OSError as error:
                raise GatewayError(Kind.UPSTREAM_FAILED, "broke off") from error
        except GatewayError as error:
            return error, weakref.ref(body)
        raise AssertionError

    gc.disable()
    try:
        nothing: Any = None
        record: Any = SimpleNamespace(error=None)
        job = Job(nothing, nothing, record, 0.0)
        for keep in (job.errors.append, lambda error: setattr(record, "error", error)):
            error, body = ask()
            keep(error)
            assert body() is not None
            job.forget()
            assert body() is None and not job.errors and error.message == "broke off"
    finally:
        gc.enable()
