"""doctor: the way to the providers, and the clock."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path

import pytest

from omni_connector.doctor.network import Address, addresses, asking, clock, network
from omni_connector.errors import GatewayError, Kind
from omni_connector.providers import complete
from omni_connector.snapshot import Account
from omni_connector.upstream import Upstream
from tests.serving import FakeUpstream, whole

NOW = 1_795_000_000_000
OPENAI = complete(Account("acc_1", "openai", "work", secret="sk-1"))
GROQ = complete(Account("acc_2", "groq", "fast", secret="gsk", proxy_url="http://u:hidden-77@p:1"))
LOCAL = complete(Account("acc_3", "ollama", "mine"))


def date(ms: int) -> str:
    return formatdate(ms / 1000, usegmt=True)


def answering(**failures: GatewayError):  # type: ignore[no-untyped-def]
    async def ask(url: str, proxy: str) -> str:
        await asyncio.sleep(0)
        for name, error in failures.items():
            if name in url:
                raise error
        return date(NOW)

    return ask


def test_each_host_is_asked_once_and_never_with_a_credential() -> None:
    demo = complete(Account("acc_4", "demo", "demo"))
    again = replace(OPENAI, id="acc_5", label="second", base_url="https://api.openai.com/v2")
    found = addresses([OPENAI, again, GROQ, demo, replace(LOCAL, enabled=False)], {})
    assert found == [
        Address("https://api.openai.com/", "", ("work", "second")),
        Address("https://api.groq.com/", "http://u:hidden-77@p:1", ("fast",)),
    ]
    moved = addresses([OPENAI], {"openai": {"inference": "http://127.0.0.1:9/v1"}})
    assert (moved[0].url, moved[0].local) == ("http://127.0.0.1:9/", True)


async def test_all_is_well() -> None:
    findings = await network([OPENAI, GROQ, LOCAL], {}, answering(), NOW)
    assert [(f.what, f.level) for f in findings] == [("network", "ok"), ("clock", "ok")]
    assert await network([], {}, answering(), NOW) == []


@pytest.mark.parametrize(
    ("name", "words", "level", "fix"),
    [
        ("openai", "api.openai.com: the host name is unknown.", "warn", "DNS"),
        ("openai", "api.openai.com: the TLS certificate is not valid.", "fail", "clock is wrong"),
        ("groq", "api.groq.com: the proxy refused the connection.", "warn", "--proxy-url"),
        ("11434", "localhost:11434: nothing answers at the address.", "warn", "Start that program"),
    ],
)
async def test_who_cannot_be_reached_is_named_with_its_fix(name: str, words: str, level: str, fix: str) -> None:  # P-59
    ask = answering(**{name: GatewayError(Kind.UPSTREAM_UNREACHABLE, words)})
    finding, *rest = await network([OPENAI, GROQ, LOCAL], {}, ask, NOW)
    assert (finding.level, fix in finding.fix, finding.message.startswith(words.rstrip("."))) == (level, True, True)
    assert "hidden-77" not in str(finding)
    assert [f.what for f in rest] == ["clock"]


async def test_a_machine_that_is_offline_is_one_finding() -> None:
    unknown = GatewayError(Kind.UPSTREAM_UNREACHABLE, "api.openai.com: the host name is unknown.")
    (finding,) = await network([OPENAI, GROQ, LOCAL], {}, answering(openai=unknown, groq=unknown), NOW)
    assert (finding.level, "None of 2 providers" in finding.message, "online" in finding.fix) == ("warn", True, True)


@pytest.mark.parametrize(("off_s", "level"), [(0, "ok"), (-59, "ok"), (100, "warn"), (-100, "warn"), (4000, "fail")])
def test_the_clock_by_the_providers(off_s: int, level: str) -> None:
    told = [date(NOW - off_s * 1000), date(NOW - off_s * 1000), "Mon, 01 Jan 1990 00:00:00 GMT", "not a date", ""]
    (finding,) = clock(told, NOW)
    assert (finding.level, bool(finding.fix)) == (level, level != "ok")
    assert clock(["", "x"], NOW) == []


async def test_the_question_itself(tmp_path: Path) -> None:
    server, upstream = FakeUpstream(), Upstream()
    server.answer(whole({}, 404))
    await server.start()
    try:
        assert await asking(upstream)(f"{server.url}/", "")
        assert "authorization" not in server.seen[0].headers
        with pytest.raises(GatewayError, match="nothing answers"):
            await asking(upstream)("http://127.0.0.1:1/", "")
    finally:
        await upstream.close()
        await server.stop()
