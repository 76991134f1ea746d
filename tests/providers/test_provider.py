from __future__ import annotations

import re
from pathlib import Path

from omni_connector.providers import provider
from omni_connector.providers.provider import FEATURES, WIRES, Provider


def test_words_are_explained() -> None:
    assert all(word.islower() and meaning and not meaning.endswith(".") for word, meaning in FEATURES.items())
    assert all(word.removeprefix("no_") for word in FEATURES)


def test_custom_and_local_providers_take_any_model() -> None:
    assert Provider("a", "A", "", custom=True).open_models
    assert Provider("a", "A", "", local=True).open_models
    assert not Provider("a", "A", "").open_models


def test_wires_are_the_formats_there_are() -> None:
    from omni_connector.wire import TWO_WAY

    assert set(WIRES) == set(TWO_WAY)


def test_the_wire_formats_read_no_word_that_is_not_explained() -> None:
    folder = Path(provider.__file__).parents[1] / "wire"
    text = "".join(file.read_text() for file in folder.glob("*.py"))
    read = re.findall(r'"([a-z_]+)" (?:not )?in (?:[a-z_]+[.])*_?features', text)
    read += [word for words in re.findall(r"_can[(]([^)]*)[)]", text) for word in re.findall(r'"([a-z_]+)"', words)]
    assert read
    assert set(read) <= FEATURES.keys()
