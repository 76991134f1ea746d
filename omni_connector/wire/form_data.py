"""multipart/form-data by its bytes (RFC 7578, RFC 2046 §5.1): where each part's content stands, and one part replaced.

A body may hold 100 MB of sound, so nothing is decoded or copied here but the few short fields that routing must know; a changed
body is put together in one copy, and every byte outside the changed value stays as it came.

Strict on purpose: what one reader would guess and the next one guess otherwise could name one model here and another at the
provider, so it is refused.
"""

from __future__ import annotations

import re

from omni_connector.errors import GatewayError, bad_request
from omni_connector.values import dataclass

MAX_PARTS = 1000
MAX_HEAD = 16 * 1024
"""Bytes of one part's header lines."""
MAX_VALUE = 4096
"""Bytes of a field that is read as text."""
MAX_PADDING = 200
"""Blanks that may follow a boundary on its line."""

_BOUNDARY = re.compile(r';\s*boundary\s*=\s*(?:"(?P<quoted>(?:[^"\\]|\\.)+)"|(?P<token>[^\s;,"]+))', re.IGNORECASE)
_DISPOSITION = re.compile(rb"(?:^|\r\n)content-disposition[ \t]*:[ \t]*form-data[ \t]*", re.IGNORECASE)
_PARAM = re.compile(rb';[ \t]*([!#-\'*+.\w^`|~-]+)[ \t]*=[ \t]*(?:"((?:[^"\\\r\n]|\\[^\r\n])*)"|([^\s;"]*))[ \t]*')
_FOLD = re.compile(rb"\r\n[ \t]+")
_LONE = re.compile(rb"\r(?!\n)|(?<!\r)\n")


@dataclass(frozen=True, slots=True)
class Part:
    """One part: its content is body[start:end]. `is_file`: it has a file name, so it is no plain field."""

    name: str
    is_file: bool
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Form:
    """`first`: where the first boundary line begins, "--" included."""

    boundary: bytes
    first: int
    parts: tuple[Part, ...]

    def field(self, name: str) -> Part | None:
        """The plain field of that name. GatewayError (BAD_REQUEST) when there are several, or a file of that name."""
        found = [part for part in self.parts if part.name == name]
        if len(found) > 1:
            raise bad_request(f"`{name}` is in the form {len(found)} times. Send it once.", name)
        if found and found[0].is_file:
            raise bad_request(f"`{name}` came as a file. Send it as a plain form field, without a file name.", name)
        return found[0] if found else None

    def text(self, body: bytes, name: str) -> str | None:
        """A plain field's value; None when it is absent. Raises as `field`, and for what is no short text."""
        part = self.field(name)
        if part is None:
            return None
        if part.end - part.start > MAX_VALUE:
            raise bad_request(f"`{name}` is longer than {MAX_VALUE} bytes.", name)
        try:
            return body[part.start : part.end].decode()
        except UnicodeDecodeError as error:
            raise bad_request(f"`{name}` is not valid UTF-8.", name) from error


def read(body: bytes, content_type: str) -> Form:
    """Raises GatewayError (BAD_REQUEST) for a form that is torn or ambiguous."""
    boundary = _boundary(content_type)
    delimiter = b"--" + boundary
    first = at = _first(body, delimiter)
    parts: list[Part] = []
    while True:
        after = at + len(delimiter)
        if body.startswith(b"--", after):
            if body[after + 2 : after + 3].strip():
                raise _malformed("its boundary also begins other lines; choose a longer one")
            return Form(boundary, first, tuple(parts))
        if len(parts) == MAX_PARTS:
            raise _malformed(f"it has more than {MAX_PARTS} parts")
        part = _part(body, delimiter, after)
        parts.append(part)
        at = part.end + 2


def with_field(body: bytes, form: Form, name: str, value: str) -> bytes:
    """The same body with one plain field replaced, or added in front of the others. Raises as `Form.field`."""
    part = form.field(name)
    whole = memoryview(body)
    if part is not None:
        return b"".join((whole[: part.start], value.encode(), whole[part.end :]))
    head = b"--" + form.boundary + b'\r\nContent-Disposition: form-data; name="' + name.encode() + b'"\r\n\r\n'
    return b"".join((whole[: form.first], head, value.encode(), b"\r\n", whole[form.first :]))


def _boundary(content_type: str) -> bytes:
    found = _BOUNDARY.search(content_type)
    if found is None:
        words = "The content-type of a form must name its boundary. Let the HTTP library set this header, or send JSON."
        raise bad_request(words, "content-type")
    quoted = found["quoted"]
    text = re.sub(r"\\(.)", r"\1", quoted) if quoted else found["token"]
    return text.encode("latin-1", "replace")


def _first(body: bytes, delimiter: bytes) -> int:
    """Where the first boundary line begins; a preamble may stand before it."""
    if body.startswith(delimiter):
        return 0
    line_end = _next(body, delimiter, 0)
    if line_end < 0:
        raise _malformed("the boundary that its content-type names is not in it")
    return line_end + 2


def _next(body: bytes, delimiter: bytes, start: int) -> int:
    """Where the CRLF before the next boundary line stands, -1 if there is none. Some readers take a bare LF or CR for a line's end
    too, and would find other parts than the strict ones."""
    found = body.find(b"\n" + delimiter, start)
    lone_lf = found >= 0 and body[found - 1 : found] != b"\r"
    if lone_lf or body.find(b"\r" + delimiter, start, found if found >= 0 else len(body)) >= 0:
        raise _malformed("a boundary line does not begin after CRLF")
    return found - 1 if found >= 0 else -1


def _part(body: bytes, delimiter: bytes, after: int) -> Part:
    """The part whose boundary line goes on at `after`."""
    line_end = body.find(b"\r\n", after, after + MAX_PADDING)
    if line_end < 0 or body[after:line_end].strip(b" \t"):
        raise _malformed("a boundary line does not end with CRLF, or other lines begin like it")
    head_end = body.find(b"\r\n\r\n", line_end, line_end + MAX_HEAD)
    if head_end < 0:
        raise _malformed("the headers of a part do not end with an empty line")
    head = body[line_end:head_end]
    end = _next(body, delimiter, head_end + 2)
    if end < 0:
        raise _malformed('it ends without its last boundary ("--…--"), so the upload was probably cut off')
    if end < head_end + 4 or b"\r\n" + delimiter in head:
        raise _malformed("a part has no empty line between its headers and its content")
    name, is_file = _disposition(head)
    return Part(name, is_file, head_end + 4, end)


def _disposition(head: bytes) -> tuple[str, bool]:
    """(name, whether a file name stands beside it)."""
    if _LONE.search(head):
        raise _malformed("a header line of a part does not end with CRLF")
    line = _FOLD.sub(b" ", head)
    places = list(_DISPOSITION.finditer(line))
    params: dict[bytes, bytes] = {}
    at = places[0].end() if len(places) == 1 else len(line)
    while found := _PARAM.match(line, at):
        key = found[1].lower()
        if key in params or key == b"name*":
            raise _malformed("a part has two names")
        params[key] = found[2] if found[2] is not None else found[3]
        at = found.end()
    if not params.get(b"name"):
        raise _malformed('a part has no `Content-Disposition: form-data; name="…"`')
    return params[b"name"].decode("utf-8", "replace"), b"filename" in params or b"filename*" in params


def _malformed(reason: str) -> GatewayError:
    return bad_request(f"The multipart body is malformed: {reason}. Let an HTTP library build it, or send JSON.")
