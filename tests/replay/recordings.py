"""Recorded exchanges of real providers: one JSON file each, as the folder's own README describes them.

The folder is no part of the project: OMNI_RECORDINGS names it, ../shared/recordings beside the checkout is looked at.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

from tests.replay import told
from tests.replay.readers import FORMAT_OF, read_answer
from tests.replay.told import Json, Told
from tests.serving import Answer

FOLDER = Path(os.environ.get("OMNI_RECORDINGS") or Path(__file__).resolve().parents[2].parent / "shared" / "recordings")
NETWORK_CHUNK = 509
"""Bytes a read where the recording does not know: a prime, so that no event begins where a read does."""
_NOT_PLAYED = ("content-length", "date", "transfer-encoding", "content-encoding", "connection")


class NotARecording(ValueError):
    """The file is none, or lacks what makes an exchange; the words say what."""


@dataclass(frozen=True)
class Recording:
    name: str
    wire: str
    upstream: str
    features: frozenset[str]
    asked: Json | None
    """The request's body, where the recording has it."""
    path: str
    method: str
    status: int
    headers: dict[str, str]
    raw: bytes
    """The answer's body."""
    form: str
    """"body", "sse" or "raw"."""
    lengths: tuple[int, ...]
    """Of the network's chunks, where the recording knows them."""

    @property
    def format(self) -> str:
        """The chat format of its wire, "" when it has none."""
        return FORMAT_OF.get(self.wire, "")

    @property
    def streamed(self) -> bool:
        return self.form != "body"

    @cached_property
    def told(self) -> Told:
        """What a chat answer says. Raises whatever a reader raises on what it does not know."""
        if not self.format:
            return Told()
        return read_answer(self.format, self.raw, streamed=self.streamed)

    @property
    def failed(self) -> bool:
        """An error and nothing else, whatever its status."""
        return self.status >= 400 or bool(self.told.error and not self.told.spoke)

    @property
    def breaks_off(self) -> bool:
        """Some words, then an error."""
        return self.status < 400 and bool(self.told.error) and self.told.spoke

    def answer(self) -> Answer:
        """The recorded answer for the fake upstream, cut as the network cut it."""
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _NOT_PLAYED}
        lengths = list(self.lengths)
        cuts = [0]
        while cuts[-1] < len(self.raw):
            cuts.append(cuts[-1] + (lengths.pop(0) if lengths else NETWORK_CHUNK))
        if self.breaks_off:
            return Answer(self.status, headers, self._broken())
        return Answer(self.status, headers, [self.raw[start:end] for start, end in pairwise(cuts)])

    def _broken(self) -> list[bytes | float]:
        """What was said, a moment, and the error, so that the words are out before it comes."""
        ends = (found.end() for found in re.finditer(rb"\r?\n\r?\n", self.raw))
        place = max((end for end in ends if self._fine(end)), default=0)
        return [self.raw[:place], 0.1, self.raw[place:]]

    def _fine(self, end: int) -> bool:
        return not read_answer(self.format, self.raw[:end], streamed=True).error


def load(path: Path) -> Recording:
    """Raises NotARecording."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        request, response = value["request"], value["response"]
        raw, form = _raw(response)
        return Recording(
            name=path.stem,
            wire=value["wire"],
            upstream=value.get("upstream") or "",
            features=frozenset(value.get("features") or ()),
            asked=request.get("body"),
            path=request.get("path") or "",
            method=request.get("method") or "POST",
            status=response["status"],
            headers=response.get("headers") or {},
            raw=raw,
            form=form,
            lengths=tuple(response.get("chunks") or ()),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise NotARecording(f"{type(error).__name__}: {error}") from error


def _raw(response: Json) -> tuple[bytes, str]:
    if "sse" in response:
        return response["sse"].encode(), "sse"
    if "raw_base64" in response:
        return base64.b64decode(response["raw_base64"]), "raw"
    # Neither as compact nor as spread as anybody writes it, so that nobody's habit passes for the recorded bytes.
    return json.dumps(response["body"], separators=(", ", ":"), ensure_ascii=False).encode(), "body"


def files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.glob("*.json")) if path.is_file())


blocks = told.blocks
