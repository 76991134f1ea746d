"""Our dataclasses are those of the library: compared, hashed, printed, matched and copied alike, only made later."""

from __future__ import annotations

import copy
import dataclasses
import gc
import importlib
import inspect
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import KW_ONLY, asdict, field, fields, is_dataclass, replace
from pkgutil import walk_packages
from typing import Any, ClassVar

import pytest

import omni_connector
from omni_connector import values
from omni_connector.values import dataclass, quick


@dataclasses.dataclass(frozen=True, slots=True)
class Slow:
    name: str
    size: int = 1
    kept: dict[str, int] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class Late:
    name: str
    size: int = 1
    kept: dict[str, int] = field(default_factory=dict, compare=False)


@quick(frozen=True, slots=True)
class Quick:
    name: str
    size: int = 1
    kept: dict[str, int] = field(default_factory=dict, compare=False)


@dataclass(slots=True)
class Open:
    name: str
    size: int = 1


@dataclass(frozen=True, slots=True)
class Longer(Late):
    last: int = 7

    def __post_init__(self) -> None:
        if self.last < 0:
            raise ValueError("below nothing")


@pytest.mark.parametrize("kind", [Slow, Late, Quick])
def test_it_is_a_dataclass_like_any_other(kind: Any) -> None:
    one = kind("a", kept={"x": 1})
    assert one == kind("a") and one != kind("b") and len({one, kind("a"), kind("a", 2)}) == 2
    assert hash(one) == hash(Slow("a")) and [field.name for field in fields(one)] == ["name", "size", "kept"]
    assert replace(one, size=3) == kind("a", 3) and repr(one) == f"{kind.__name__}(name='a', size=1, kept={{'x': 1}})"
    assert asdict(one) == {"name": "a", "size": 1, "kept": {"x": 1}} and kind.__match_args__ == Slow.__match_args__
    assert copy.copy(one) == copy.deepcopy(one) == pickle.loads(pickle.dumps(one)) == one
    assert not hasattr(one, "__dict__") and kind.__slots__ == Slow.__slots__ and kind.__qualname__ == kind.__name__
    with pytest.raises((AttributeError, TypeError)):  # the library's own slip into a TypeError where there is no such field
        one.other = 1
    with pytest.raises(TypeError, match=r"__init__\(\) missing 1 required positional argument: 'name'"):
        kind()
    match one:
        case Slow(name, size) | Late(name, size) | Quick(name, size):
            assert (name, size) == ("a", 1)


def test_a_frozen_one_stays_as_it_is() -> None:
    one = Late("a")
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'name'"):
        one.name = "b"  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot delete field 'name'"):
        del one.name
    assert one.name == "a"


def test_an_open_one_changes_and_has_no_hash() -> None:
    one = Open("a")
    one.size = 5
    assert one == Open("a", 5) and copy.copy(one) == one
    with pytest.raises(TypeError, match="unhashable"):
        hash(one)


def test_one_grows_out_of_another() -> None:
    one = Longer("a", last=3)
    assert one == Longer("a", 1, {}, 3) and one != Late("a") and vars(Longer)["__slots__"] == ("last",)
    assert [field.name for field in fields(Longer)] == ["name", "size", "kept", "last"] and copy.deepcopy(one) == one
    with pytest.raises(ValueError, match="below nothing"):
        Longer("a", last=-1)


def _first_uses() -> list[Callable[[Any], object]]:
    return [
        lambda cls: cls(1),
        fields,
        lambda cls: cls.__match_args__,
        is_dataclass,
        inspect.signature,
        lambda cls: cls.__init__,
        lambda cls: cls(1) == cls(2),
    ]


@pytest.mark.parametrize("use", _first_uses())
def test_whatever_is_asked_for_first_makes_it(use: Callable[[Any], object]) -> None:
    @dataclass(frozen=True, slots=True)
    class Fresh:
        a: int

    assert Fresh in values._waiting
    use(Fresh)
    assert Fresh not in values._waiting and Fresh(2) == Fresh(2)


def test_what_is_special_is_left_to_the_library() -> None:
    @dataclass(frozen=True, slots=True)
    class Own:
        shared: ClassVar[int] = 3
        a: int

        def __hash__(self) -> int:
            return 5

    @dataclass(frozen=True)
    class Loose:
        a: int = 2

    @dataclass(slots=True)
    class Named:
        _: KW_ONLY
        a: int

    @dataclass(slots=True, eq=False)
    class Thing:
        a: int

    assert Own not in values._waiting and hash(Own(1)) == 5 and Own.shared == 3 and [one.name for one in fields(Own)] == ["a"]
    assert Loose().a == 2 and Loose not in values._waiting
    assert Named(a=1).a == 1 and [one.name for one in fields(Named)] == ["a"]
    assert Thing(1) != Thing(1) and len({Thing(1), Thing(1)}) == 2


def test_a_class_that_grows_out_of_it_may_call_what_is_made_only_then() -> None:
    @dataclass(slots=True)
    class Base:
        a: int

    class Ordinary(Base):
        def __init__(self, a: int, b: int) -> None:
            super().__init__(a)
            self.b = b

    @dataclass(slots=True)
    class Other:
        a: int

    class Named(Other):
        def __repr__(self) -> str:
            return f"<{super().__repr__()}>"

    assert (Ordinary(1, 2).a, Ordinary(1, 2).b) == (1, 2)
    unmade = Named.__new__(Named)
    unmade.a = 1
    assert repr(unmade).count("<") == 2  # its own, and that of <locals> in the name


@pytest.mark.parametrize("wish", ["order", "init", "repr", "match_args", "weakref_slot", "kw_only"])
def test_each_wish_of_the_library_is_heard(wish: str) -> None:
    wishes: dict[str, Any] = {wish: wish not in ("init", "repr", "match_args")}

    def plain() -> type:
        class Plain:
            a: int = 1

        return Plain

    ours: Any = dataclass(slots=True, **wishes)(plain())
    theirs: Any = dataclasses.dataclass(slots=True, **wishes)(plain())
    assert fields(ours)
    assert vars(ours).keys() - {"__doc__"} == vars(theirs).keys() - {"__doc__"}


def test_several_threads_make_their_first_at_once() -> None:
    @dataclass(frozen=True, slots=True)
    class Fresh:
        a: list[int] = field(default_factory=list)

    made: list[Fresh] = []
    start = threading.Barrier(4)

    def make() -> None:
        start.wait()
        made.append(Fresh())

    threads = [threading.Thread(target=make) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert made == [Fresh()] * 4


def test_every_declaration_of_ours_is_sound() -> None:
    """Late means that an error in one would show only when it is first used."""
    for module in walk_packages(omni_connector.__path__, "omni_connector."):
        if not module.name.endswith(("__main__", "granian_server")):
            importlib.import_module(module.name)
    ours = [one for one in list(values._waiting) if one.__module__.startswith("omni_connector.")]
    for one in ours:
        assert fields(one) is not None
    gc.collect()
    assert not any(one in values._waiting for one in ours)


def test_a_class_that_nobody_uses_is_not_made() -> None:
    said = "import omni_connector.chat, omni_connector.values as v; print(len(v._waiting))"
    assert int(subprocess.run([sys.executable, "-c", said], capture_output=True, check=True, timeout=30).stdout) > 20
