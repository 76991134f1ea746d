"""Values as dataclasses are: compared, hashed and copied alike."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace

import pytest

from omni_connector.values import quick


@dataclass(frozen=True, slots=True)
class Slow:
    name: str
    size: int = 1
    kept: dict[str, int] = field(default_factory=dict, compare=False)


@quick(frozen=True, slots=True)
class Quick:
    name: str
    size: int = 1
    kept: dict[str, int] = field(default_factory=dict, compare=False)


def test_it_is_a_dataclass_like_any_other() -> None:
    one = Quick("a", kept={"x": 1})
    assert one == Quick("a") and one != Quick("b") and len({one, Quick("a"), Quick("a", 2)}) == 2
    assert hash(one) == hash(Slow("a")) and [field.name for field in fields(one)] == ["name", "size", "kept"]
    assert replace(one, size=3) == Quick("a", 3) and repr(one) == "Quick(name='a', size=1, kept={'x': 1})"
    with pytest.raises(AttributeError):
        one.other = 1  # type: ignore[attr-defined]
