"""The compact table says what genai-prices says: of every model it lists, under every name, at every kind of moment."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from omni_connector import price_table
from omni_connector.price_table import PRICES, Model, NotMade, Provider, Table

VERSION = "0.0"
MOMENTS = [datetime(*day, hour, 15, tzinfo=UTC) for day in ((2024, 1, 1), (2025, 9, 30), (2026, 3, 1), (2027, 1, 1)) for hour in (1, 17)]
CONTEXTS: list[dict[str, str] | None] = [
    None,
    {"service_tier": "flex"},
    {"service_tier": "priority"},
    {"speed": "fast"},
    {"service_tier": "default"},
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def table(home: Path) -> Table:
    return price_table.opened(home, VERSION)


def said(clause: Any) -> Iterator[str]:
    """Every word that the library's clauses look for."""
    for value in vars(clause).values():
        if isinstance(value, str):
            yield value
        else:
            for one in value:
                yield from said(one)


def as_plain(price: Any) -> Any:
    return (price.base, [(tier.start, tier.price) for tier in price.tiers]) if hasattr(price, "base") else price


def theirs_of(price_id: str, name: str) -> Any:
    from genai_prices.data_snapshot import get_snapshot

    try:
        return get_snapshot().find_provider_model(name, None, price_id, None)[1]
    except LookupError:
        return None


def agree(ours: Any, theirs: Any) -> None:
    assert (ours is None) == (theirs is None)
    if ours is None:
        return
    assert ours.context_window == theirs.context_window
    assert [variant.when for variant in ours.price_variants] == [variant.when for variant in theirs.price_variants or ()]
    for moment in MOMENTS:
        for mine, listed in zip(ours.price_variants, theirs.price_variants or (), strict=True):
            assert mine.constraint is None or mine.constraint.active(moment) == listed.constraint.active(moment)
        for context in CONTEXTS if ours.price_variants else CONTEXTS[:1]:
            mine, listed = ours.get_prices(moment, context), theirs.get_prices(moment, context)
            assert [as_plain(getattr(mine, name)) for name in PRICES] == [as_plain(getattr(listed, name)) for name in PRICES]


def test_models_under_all_their_names(table: Table) -> None:
    from genai_prices.data_snapshot import get_snapshot

    compared = 0
    for provider in get_snapshot().providers:
        for at, model in enumerate(provider.models):
            for name in {model.id, *said(model.match)} if at % 9 == 0 else ():  # each is a look through the whole list, on both sides
                agree(table.find(provider.id, name), theirs_of(provider.id, name))
                compared += 1
    assert compared > 300


def test_every_model_of_the_file(home: Path, table: Table) -> None:
    from genai_prices.data_snapshot import get_snapshot

    content = (home / "cache" / f"prices-{price_table.FORMAT}-{VERSION}.json").read_bytes()
    for ours, theirs in zip(msgspec.json.decode(content, type=list[Provider]), get_snapshot().providers, strict=True):
        for mine, listed in zip(msgspec.json.decode(ours.models, type=list[Model]), theirs.models, strict=True):
            agree(mine, listed)


@pytest.mark.parametrize(
    "price_id", ["openai", "OpenAI ", "azure", "aws", "google", "vertex", "litellm", "anthropic", "openrouter", "none", ""]
)
@pytest.mark.parametrize(
    "name",
    [
        "gpt-5.2-20251211", "GPT-4o", "gpt-5-20259999", "claude-sonnet-4-5@20250929", "anthropic/claude-opus-4-5", "openai/gpt-4o",
        "/gpt-4o",
        "gpt-4o/", "nobody/gpt-4o", "no-such-model", "", "global.anthropic.claude-sonnet-4-5-20250929-v1:0",
    ],
)  # fmt: skip
def test_odd_names_and_other_peoples_models(table: Table, price_id: str, name: str) -> None:
    agree(table.find(price_id, name), theirs_of(price_id, name))


def test_it_is_made_once_and_again_when_damaged(home: Path, table: Table) -> None:
    path = home / "cache" / f"prices-{price_table.FORMAT}-{VERSION}.json"
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    whole = path.read_bytes()
    os.utime(path, (1, 1))
    price_table.opened(home, VERSION)
    assert path.stat().st_mtime == 1, "it was read, not made"
    path.write_bytes(whole[: len(whole) // 2])
    price_table.opened(home, VERSION)
    assert path.read_bytes() == whole
    price_table.opened(home, "0.1")
    assert [file.name for file in path.parent.iterdir()] == [f"prices-{price_table.FORMAT}-0.1.json"], "that of another version goes"
    price_table.opened(home, VERSION)


def test_a_home_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(NotMade):
        price_table.opened(tmp_path, VERSION)


def test_a_disk_that_is_full_is_not_filled_further(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(path: Path, content: bytes) -> int:
        with path.open("wb") as file:
            file.write(content[:100])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(OSError, match="No space"):
        price_table.write(tmp_path / "cache" / "prices.json")
    assert not list((tmp_path / "cache").iterdir())


def test_a_server_prices_without_the_library(home: Path) -> None:
    """And where no table can be made, with it."""
    code = (
        "import sys, pathlib; from omni_connector import usage, chat; usage.tables_in(pathlib.Path(sys.argv[1]))\n"
        "cost = usage.price(chat.Usage(input=1_000_000, output=0), 'openai', 'gpt-4o')\n"
        "print(cost.cost, cost.source.split()[0], 'pydantic' in sys.modules)"
    )
    (home / "file").touch()
    for place, loaded in ((home, "False"), (home / "file", "True")):
        done = subprocess.run([sys.executable, "-c", code, str(place)], capture_output=True, text=True, check=True)
        cost, source, is_loaded = done.stdout.split()
        assert (Decimal(cost), source, is_loaded) == (Decimal("2.5"), "genai-prices", loaded), done.stderr
