"""An account that only reads pictures is there for pictures, and for nothing else. J-11"""

from __future__ import annotations

import pytest

from omni_connector.errors import GatewayError, Kind
from omni_connector.routing.resolve import Resolution, resolve
from omni_connector.routing.serving import serving
from omni_connector.snapshot import Account, Snapshot

READS = frozenset({"ocr"})
CHAT = Account("acc_1", "openai", "work", models=("gpt-5",))
READER = Account("acc_2", "aliyun-ocr", "reader", default_models=("RecognizeGeneral", "RecognizeAllText-Table"), features=READS)
BOTH = Snapshot(1, (CHAT, READER), chains={"all": (("work", "reader"),)}, aliases={"any": ("gpt-5", "RecognizeGeneral")})
NAMES = {"openai": "openai", "aliyun-ocr": "aliyun-ocr"}


def found(name: str | None, wire: str, snapshot: Snapshot = BOTH, **more: str) -> Resolution:
    return resolve(name, snapshot, wire, None, family=str.lower, provider_aliases=NAMES, **more)  # type: ignore[arg-type]


def who(name: str | None, wire: str, **more: str) -> list[tuple[str, str]]:
    return [(candidate.account.label, candidate.model) for candidate in found(name, wire, **more).candidates]


def test_auto_asks_those_the_call_is_for() -> None:
    assert who("auto", "openai-chat") == [("work", "gpt-5")]
    assert who("auto", "ocr") == who(None, "ocr") == [("reader", "RecognizeGeneral")]
    assert who("cost-priority", "openai-chat") == [("work", "gpt-5")]


def test_names_of_several_lead_to_those_that_can() -> None:
    for name in ("all", "any"):
        assert who(name, "anthropic-messages") == [("work", "gpt-5")]
        assert who(name, "ocr") == [("reader", "RecognizeGeneral")]


def test_a_default_meant_for_conversations_keeps_nobody_from_reading() -> None:
    assert who(None, "ocr", default_model="gpt-5", default_provider="openai") == [("reader", "RecognizeGeneral")]


@pytest.mark.parametrize("name", ["reader", "aliyun-ocr", "RecognizeAllText-Table", "aliyun-ocr/RecognizeAllText-Table"])
def test_a_reader_by_name(name: str) -> None:
    assert who(name, "ocr")[0][0] == "reader"
    with pytest.raises(GatewayError, match="POST /v1/ocr") as told:
        found(name, "openai-chat")
    assert told.value.kind is Kind.MODEL_NOT_FOUND


def test_what_reads_no_pictures_says_so() -> None:
    with pytest.raises(GatewayError, match="does not read pictures") as told:
        found("openai/gpt-5", "ocr")
    assert told.value.kind is Kind.MODEL_NOT_FOUND
    with pytest.raises(GatewayError, match="No connected account serves"):
        found("gtp-6", "ocr")


def test_nobody_for_the_call_is_connected() -> None:
    for accounts, wire, says in (
        ((CHAT,), "ocr", "aliyun-ocr"),
        ((READER,), "openai-chat", "/v1/ocr"),
        ((READER,), "openai-embeddings", "/v1/ocr"),
    ):
        with pytest.raises(GatewayError, match=says) as told:
            found("auto", wire, Snapshot(1, accounts))
        assert told.value.kind is Kind.NO_ACCOUNT


def test_an_ordinary_snapshot_is_not_copied() -> None:
    ordinary = Snapshot(1, (CHAT,))
    assert serving(ordinary, "openai-chat") is ordinary
    assert serving(BOTH, "openai-chat") is serving(BOTH, "gemini-generate")
