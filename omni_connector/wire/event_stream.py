"""AWS event streams, bytes → frames (`application/vnd.amazon.eventstream`; AWS's "Event stream encoding" specification).

    total length u32 | headers length u32 | CRC of these 8 bytes | headers | payload | CRC of everything before it

All numbers are big-endian, both checksums are CRC-32 as in zlib. A header is name length u8, name, type u8, value.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from zlib import crc32

from omni_connector.errors import GatewayError, Kind
from omni_connector.values import dataclass

CONTENT_TYPE = "application/vnd.amazon.eventstream"

MAX_FRAME = 16 * 1024 * 1024
"""Bytes of a frame; an upstream must not eat the memory."""
MAX_HEADERS = 128 * 1024
"""Bytes of a frame's headers (AWS's own limit)."""
LEAST = 16
"""Bytes of a frame that holds nothing: prelude (12) and the last checksum (4)."""

_PRELUDE = struct.Struct(">III")
_CRC = struct.Struct(">I")
_LENGTH = struct.Struct(">H")
_TRUE, _FALSE, _BYTES, _STRING = 0, 1, 6, 7
_FIXED: Mapping[int, struct.Struct] = {
    2: struct.Struct(">b"),
    3: struct.Struct(">h"),
    4: struct.Struct(">i"),
    5: struct.Struct(">q"),
    8: struct.Struct(">q"),
    9: struct.Struct(">16s"),
}
"""Type → its value: byte, short, integer, long, timestamp (ms UTC), UUID (16 bytes)."""

Value = bool | int | bytes | str


@dataclass(frozen=True, slots=True)
class Frame:
    headers: Mapping[str, Value]
    payload: bytes

    def text(self, name: str) -> str:
        """A header that is text; "" where it is missing or something else."""
        value = self.headers.get(name)
        return value if isinstance(value, str) else ""


class Decoder:
    """Push bytes, get whole frames; the input may be split anywhere.

    Raises GatewayError (UPSTREAM_FAILED) for a wrong checksum, impossible lengths and headers that cannot be read. Nothing that comes
    later can be trusted then.
    """

    __slots__ = ("_buffer", "_checked")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._checked = 0
        """Length of the frame that is being collected, once its prelude is known to be right; 0 before."""

    @property
    def pending(self) -> int:
        """Bytes of a frame that is not complete: at the end of the input, it was cut when this is not 0."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[Frame]:
        self._buffer += data
        frames: list[Frame] = []
        while (length := self._checked or self._prelude()) and len(self._buffer) >= length:
            raw = bytes(memoryview(self._buffer)[:length])
            del self._buffer[:length]
            self._checked = 0
            frames.append(_frame(raw))
        return frames

    def _prelude(self) -> int:
        """Checked before the rest is waited for: of what is no event stream, nothing is collected."""
        if len(self._buffer) < _PRELUDE.size:
            return 0
        total, headers, checksum = _PRELUDE.unpack_from(self._buffer)
        if crc32(self._buffer[:8]) != checksum:
            raise _broken("the checksum of a frame's beginning is wrong")
        if not LEAST <= total <= MAX_FRAME or headers > min(total - LEAST, MAX_HEADERS):
            raise _broken(f"a frame of {total} bytes with {headers} bytes of headers")
        self._checked = total
        return self._checked


def _frame(raw: bytes) -> Frame:
    (checksum,) = _CRC.unpack_from(raw, len(raw) - 4)
    if crc32(memoryview(raw)[:-4]) != checksum:
        raise _broken("a frame's checksum is wrong")
    edge = _PRELUDE.size + int(_PRELUDE.unpack_from(raw)[1])
    try:
        return Frame(_headers(raw[_PRELUDE.size : edge]), raw[edge:-4])
    except (struct.error, UnicodeDecodeError, IndexError) as error:
        raise _broken("a frame's headers cannot be read") from error


def _headers(data: bytes) -> dict[str, Value]:
    found: dict[str, Value] = {}
    at = 0
    while at < len(data):
        end = at + 1 + data[at]
        name, kind = data[at + 1 : end].decode(), data[end]
        found[name], at = _value(data, end + 1, kind)
    return found


def _value(data: bytes, at: int, kind: int) -> tuple[Value, int]:
    """The value of a header, and where the next one begins."""
    if kind in (_TRUE, _FALSE):
        return kind == _TRUE, at
    if kind in _FIXED:
        value: Value = _FIXED[kind].unpack_from(data, at)[0]
        return value, at + _FIXED[kind].size
    if kind not in (_BYTES, _STRING):
        raise _broken(f"a header of the unknown type {kind}")
    start = at + _LENGTH.size
    end = start + int(_LENGTH.unpack_from(data, at)[0])
    if end > len(data):
        raise _broken("a header is longer than its frame says")
    return (data[start:end] if kind == _BYTES else data[start:end].decode()), end


def _broken(what: str) -> GatewayError:
    return GatewayError(Kind.UPSTREAM_FAILED, f"The provider's event stream is broken: {what}.")
