"""Reading fields of somebody's JSON: the right type, or a BAD_REQUEST that names field, reason and fix.

`Fields` remembers what was taken; what is left is a format's `extra`.
"""

from __future__ import annotations

import math
from typing import Any

from omni_connector.chat import Json
from omni_connector.errors import GatewayError, bad_request

_NAMES = ((bool, "a boolean"), (int, "a number"), (float, "a number"), (str, "a string"), (list, "a list"), (dict, "an object"))


def name_of(value: Any) -> str:
    """What JSON calls a value, for messages."""
    return next((name for kind, name in _NAMES if isinstance(value, kind)), "null")


def wrong(param: str, value: Any, wanted: str) -> GatewayError:
    """ "`n` must be an integer, not a string." with the field as `param`."""
    return bad_request(f"`{param}` must be {wanted}, not {name_of(value)}. Send {wanted} or leave the field out.", param)


def integer(value: Any) -> int | None:
    """A JSON integer (2 or 2.0), else None."""
    if type(value) is int:
        return value
    return int(value) if isinstance(value, float) and value.is_integer() else None


class Fields:
    """The fields of one JSON object at `at` ("messages[2]", "" for the body). null counts as absent.

    Every reader takes its field away and raises GatewayError (BAD_REQUEST) for a wrong type.
    """

    __slots__ = ("_at", "_left")

    def __init__(self, value: Any, at: str) -> None:
        if not isinstance(value, dict):
            raise wrong(at, value, "an object") if at else bad_request(f"The body must be a JSON object, not {name_of(value)}.")
        self._at = at
        self._left: Json = dict(value)

    def path(self, key: str) -> str:
        return f"{self._at}.{key}" if self._at else key

    def has(self, key: str) -> bool:
        return self._left.get(key) is not None

    def spent(self) -> bool:
        """Whether nothing is left to be taken."""
        return not self._left

    def take(self, key: str) -> Any:
        return self._left.pop(key, None)

    def string(self, key: str) -> str | None:
        value = self._left.pop(key, None)
        if value is None or isinstance(value, str):
            return value
        raise wrong(self.path(key), value, "a string")

    def required(self, key: str, example: str) -> str:
        """A string that must be there and not be empty."""
        value = self._left.pop(key, None)
        if not isinstance(value, str) and value is not None:
            raise wrong(self.path(key), value, "a string")
        if not value:
            path = self.path(key)
            raise bad_request(f"`{path}` is missing or empty. Add it, for example {example}.", path)
        return value

    def boolean(self, key: str) -> bool | None:
        value = self.take(key)
        if value is None or isinstance(value, bool):
            return value
        raise wrong(self.path(key), value, "a boolean")

    def integer(self, key: str) -> int | None:
        value = self.take(key)
        if value is None:
            return None
        number = integer(value)
        if number is None:
            raise wrong(self.path(key), value, "an integer")
        return number

    def number(self, key: str) -> float | None:
        value = self.take(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise wrong(self.path(key), value, "a number")
        if isinstance(value, float) and not math.isfinite(value):
            raise bad_request(f"`{self.path(key)}` must be a finite number.", self.path(key))
        return value

    def object(self, key: str) -> Json | None:
        value = self._left.pop(key, None)
        if value is None or isinstance(value, dict):
            return value
        raise wrong(self.path(key), value, "an object")

    def items(self, key: str) -> list[Any] | None:
        value = self._left.pop(key, None)
        if value is None or isinstance(value, list):
            return value
        raise wrong(self.path(key), value, "a list")

    def inner(self, key: str) -> Fields:
        """The object under `key`, which must be there."""
        return Fields(self.take(key), self.path(key))

    def rest(self) -> Json:
        """What nobody took."""
        if not self._left:
            return {}
        return {key: value for key, value in self._left.items() if value is not None}
