"""Writes AWS event streams for tests, after AWS's "Event stream encoding" specification: the other half of wire/event_stream.py."""

from __future__ import annotations

import json
import struct
import uuid
from collections.abc import Mapping
from typing import Any
from zlib import crc32


class Byte(int): ...


class Short(int): ...


class Long(int): ...


class Timestamp(int): ...


def frame(headers: Mapping[str, Any], payload: bytes = b"") -> bytes:
    head = b"".join(bytes([len(name.encode())]) + name.encode() + value(item) for name, item in headers.items())
    prelude = struct.pack(">II", 16 + len(head) + len(payload), len(head))
    body = prelude + struct.pack(">I", crc32(prelude)) + head + payload
    return body + struct.pack(">I", crc32(body))


def value(item: Any) -> bytes:
    match item:
        case bool():
            return b"\x00" if item else b"\x01"
        case Byte():
            return b"\x02" + struct.pack(">b", item)
        case Short():
            return b"\x03" + struct.pack(">h", item)
        case Long():
            return b"\x05" + struct.pack(">q", item)
        case Timestamp():
            return b"\x08" + struct.pack(">q", item)
        case int():
            return b"\x04" + struct.pack(">i", item)
        case bytes():
            return b"\x06" + struct.pack(">H", len(item)) + item
        case str():
            return b"\x07" + struct.pack(">H", len(item.encode())) + item.encode()
        case uuid.UUID():
            return b"\x09" + item.bytes
    raise TypeError(item)


def event(kind: str, payload: Any) -> bytes:
    headers = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    return frame(headers, json.dumps(payload).encode())


def exception(kind: str, payload: Any) -> bytes:
    headers = {":exception-type": kind, ":content-type": "application/json", ":message-type": "exception"}
    return frame(headers, json.dumps(payload).encode())
