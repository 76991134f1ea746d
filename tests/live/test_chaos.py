"""The chaos run of bench/chaos.py, small: every way in which a provider fails, alone and all together. (docs/reliability.md)"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bench.chaos import ALL, QUESTIONS, Figures, Limits, chaos
from bench.chaos_faults import FAULTS, answer
from tests.forwarding import proxy
from tests.live.processes import CHAT, MESSAGES

LIMITS = Limits(first_byte=0.3, idle=0.3, whole=0.3, total=4, pause=0.05, spread=0.2)


@pytest.mark.slow
async def test_no_fault_costs_a_request_while_one_account_is_healthy(omni_home: Path) -> None:  # O-01, C-101
    async with proxy() as proxy_url, chaos(omni_home, LIMITS, proxy_url) as gateway:
        found = await asyncio.gather(*(gateway.measure(fault.name, (fault,), 20) for fault in FAULTS))
        together = await gateway.measure(ALL, FAULTS, 60)
    for figures in (*found, together):
        assert figures.sound, figures
        assert figures.hits or figures.name == "refused", f"{figures.name} was never asked, so it proves nothing"
    by_name = {figures.name: figures for figures in found}
    for name in ("slow-drip", "stalled-stream"):  # the others may be cooling, thanks to a whole answer, before they break a stream
        assert by_name[name].ended["told"], f"{name} never broke a stream after commit"
    assert together.ended["ok"] >= 30 and together.ended["told"], together


def test_the_checker_sees_what_it_should() -> None:
    """A check that cannot fail proves nothing: a stream that only stops, or pretends to be complete, is no told break."""
    whole, streamed, _, messages = QUESTIONS
    assert (whole.path, streamed.stream, messages.path, messages.stream) == (CHAT, True, MESSAGES, True)

    def ending(body: bytes, *, whole: bool = True) -> str:
        return streamed.ending(200, body, whole=whole)

    good = b'data: {"choices":[{"finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
    told = b'data: {"choices":[]}\n\ndata: {"error":{"message":"broke off"}}\n\n'
    assert (ending(good), ending(told)) == ("ok", "told")
    for broken in (good[:-14], b"data: [DONE]\n\n", told + b"data: [DONE]\n\n", b""):
        assert ending(broken) == "untold", broken
    assert ending(good, whole=False) == ending(told, whole=False) == "untold"
    assert messages.ending(200, b"event: error\ndata: {}\n\n", whole=True) == "told"
    assert messages.ending(200, b"event: ping\ndata: {}\n\n", whole=True) == "untold"
    assert whole.ending(200, answer(), whole=True) == "ok"
    assert whole.ending(502, b"{}", whole=True) == "lost"
    for ended in ("lost", "untold"):
        figures = Figures("one")
        figures.ended.update(["ok", "told", ended])
        assert not figures.sound
    assert not Figures("late", worst=0.5).sound
