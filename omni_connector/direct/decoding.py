"""Compressed answers, unpacked in bounded steps."""

from __future__ import annotations

import zlib

STEP = 256 * 1024
"""Bytes that one step gives at most, however small what they come from."""
MEMBERS = 100
"""Parts that one answer may be put together from (RFC 1952 §2.2): who sends more wants us busy."""
GZIP = b"\x1f\x8b"

READ = frozenset({"gzip", "deflate"})
UNREADABLE = frozenset({"br", "zstd"})
"""Known, but never asked for. What has another name is passed on as it came."""


class Decoder:
    """One answer's body. Raises zlib.error for what is damaged."""

    __slots__ = ("_coding", "_members", "_tail", "_unpacker", "is_fed", "is_pending")

    def __init__(self, coding: str) -> None:
        """`coding`: one of READ."""
        self._coding = coding
        self._unpacker: zlib._Decompress | None = None
        self._tail = b""
        self._members = 0
        self.is_fed = False
        self.is_pending = False
        """More is there to give without more being fed: call `step(b"")`."""

    def step(self, data: bytes) -> bytes:
        """The next bytes, at most STEP."""
        data = self._tail + data if self._tail else data
        self._tail = b""
        while data or self.is_pending:
            self.is_fed = True
            unpacker = self._unpacker
            if unpacker is None or unpacker.eof:
                unpacker = self._begin(data)
            given = unpacker.decompress(data, STEP)
            self._tail = unpacker.unused_data if unpacker.eof else unpacker.unconsumed_tail
            self.is_pending = bool(self._tail) or (len(given) == STEP and not unpacker.eof)
            if given:
                return given
            data, self._tail = self._tail, b""
            if not data:
                self.is_pending = False
        return b""

    @property
    def is_whole(self) -> bool:
        """Nothing is missing. An empty body is whole too, whatever its header says."""
        return not self.is_fed or (self._unpacker is not None and self._unpacker.eof and not self._tail)

    def _begin(self, data: bytes) -> zlib._Decompress:
        self._members += 1
        if self._members > MEMBERS or (self._members > 1 and not GZIP.startswith(data[:2])):
            raise zlib.error("more follows the end")
        if self._coding == "gzip":
            bits = 16 + zlib.MAX_WBITS
        else:
            # Some call it "deflate" and leave out the header of zlib (RFC 9110 §8.4.1.2, note).
            bits = zlib.MAX_WBITS if data[0] & 0xF == 8 else -zlib.MAX_WBITS
        self._unpacker = zlib.decompressobj(bits)
        return self._unpacker
