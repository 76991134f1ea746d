"""Forms by their bytes: read as an independent reader reads them, changed in one place only, refused when torn or ambiguous."""

from __future__ import annotations

import io
import re
import tracemalloc
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.formparser import FormDataParser

from omni_connector.errors import GatewayError, Kind
from omni_connector.wire import form_data

TYPE = "multipart/form-data; boundary=b0"
Piece = tuple[str, bytes]
"""The parameters of a content-disposition, and the content."""


def build(*pieces: Piece, boundary: str = "b0", preamble: bytes = b"", epilogue: bytes = b"\r\n") -> bytes:
    line = b"--" + boundary.encode()
    parts = [line + b"\r\nContent-Disposition: form-data; " + head.encode() + b"\r\n\r\n" + content + b"\r\n" for head, content in pieces]
    return preamble + b"".join(parts) + line + b"--" + epilogue


def field(name: str, value: bytes) -> Piece:
    return f'name="{name}"', value


def upload(value: bytes, name: str = "file") -> Piece:
    return f'name="{name}"; filename="a.wav"\r\nContent-Type: audio/wav', value


def texts(body: bytes, content_type: str = TYPE) -> list[tuple[str, bool, bytes]]:
    return [(part.name, part.is_file, body[part.start : part.end]) for part in form_data.read(body, content_type).parts]


def independent(body: bytes, boundary: str = "b0") -> list[tuple[str, bool, bytes]]:
    """The same by werkzeug's reader, fields before files."""
    parser = FormDataParser(stream_factory=lambda *_, **__: io.BytesIO(), silent=False)
    _, fields, files = parser.parse(io.BytesIO(body), "multipart/form-data", len(body), {"boundary": boundary})
    found = [(name, False, value.encode()) for name, value in fields.items(multi=True)]
    return found + [(name, True, storage.read()) for name, storage in files.items(multi=True)]


# ---------------------------------------------------------------- Reading


def test_contents_are_found_as_they_stand() -> None:
    tricky = b"\r\n--b\r\n\r\n--\r\n--b1--\r\n\x00\xff--b0"
    body = build(field("model", b"whisper-1"), upload(tricky), field("empty", b""), preamble=b"ignored\r\n", epilogue=b"  \r\nignored")
    assert texts(body) == [("model", False, b"whisper-1"), ("file", True, tricky), ("empty", False, b"")]


@pytest.mark.parametrize(
    "content_type",
    [
        'multipart/form-data; boundary="b0"',
        "Multipart/Form-Data; charset=utf-8; BOUNDARY=b0",
        'multipart/form-data;boundary="b\\0"; x=y',
    ],
)
def test_spellings_of_the_boundary(content_type: str) -> None:
    assert texts(build(field("a", b"1")), content_type) == [("a", False, b"1")]


@pytest.mark.parametrize(
    ("head", "name", "is_file"),
    [
        (b"CONTENT-DISPOSITION:form-data;name=model", "model", False),
        (b'Content-Type: text/plain\r\nContent-Disposition: form-data;\r\n\tname="model"', "model", False),
        (b'Content-Disposition: form-data; filename="x; name=evil"; name="file"', "file", True),
        (b'Content-Disposition: form-data; name="a\\"b"; filename*=utf-8\'\'x', 'a\\"b', True),
        ('Content-Disposition: form-data; name="größe"'.encode(), "größe", False),
    ],
)
def test_spellings_of_a_head(head: bytes, name: str, is_file: bool) -> None:
    body = b"--b0 \t\r\n" + head + b"\r\n\r\nx\r\n--b0--"
    assert texts(body) == [(name, is_file, b"x")]


CONTENTS = st.lists(st.sampled_from([b"\r\n", b"--", b"b", b"0", b"\n", b"\r", b"model", b" ", b"\xff"]), max_size=8).map(b"".join)
PIECES = st.lists(st.builds(upload, CONTENTS) | st.builds(field, st.sampled_from(["model", "n"]), st.sampled_from([b"", b"m-1", b"2"])))


@given(PIECES, st.sampled_from([b"", b"pre\r\n"]))
def test_it_reads_what_an_independent_reader_reads(pieces: list[Piece], preamble: bytes) -> None:
    delimited = [piece for piece in pieces if not re.search(rb"[\r\n]--b0", b"\n" + piece[1])]
    body = build(*delimited, preamble=preamble)
    ours = texts(body)
    assert sorted(ours) == sorted(independent(body))
    assert len(ours) == len(delimited)


# ---------------------------------------------------------------- Changing


def test_a_field_is_replaced_and_nothing_else() -> None:
    sound = bytes(range(256)) * 4
    body = build(upload(sound), field("model", b"openai/whisper-1"), field("stream", b"true"), preamble=b"p\r\n", epilogue=b"\r\nend")
    changed = form_data.with_field(body, form_data.read(body, TYPE), "model", "größer")
    assert changed == body.replace(b"openai/whisper-1", "größer".encode())


def test_a_missing_field_is_added_in_front() -> None:
    for body in (build(upload(b"x"), preamble=b"p\r\n"), build(), build(field("a", b"1"), epilogue=b"")):
        changed = form_data.with_field(body, form_data.read(body, TYPE), "model", "m")
        assert texts(changed) == [("model", False, b"m"), *texts(body)]
        added = b'--b0\r\nContent-Disposition: form-data; name="model"\r\n\r\nm\r\n'
        assert changed.replace(added, b"", 1) == body


def test_large_bodies_are_copied_once() -> None:
    body = build(upload(b"\r\n--b" + bytes(8 << 20)), field("model", b"m"))
    tracemalloc.start()
    try:
        form = form_data.read(body, TYPE)
        assert form.text(body, "model") == "m"
        looked = tracemalloc.get_traced_memory()[1]
        changed = form_data.with_field(body, form, "model", "m2")
        copied = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(changed) == len(body) + 1
    assert looked < 1 << 20
    assert copied < len(body) + (1 << 20)


# ---------------------------------------------------------------- Refusing

GOOD = build(field("model", b"m"), upload(b"sound"))


@pytest.mark.parametrize(
    ("body", "content_type", "words"),
    [
        (GOOD, "multipart/form-data", "HTTP library"),
        (GOOD, "multipart/form-data; boundary=", "boundary"),
        (GOOD, "multipart/form-data; boundary=other", "not in it"),
        (b"", TYPE, "not in it"),
        (b"x--b0--", TYPE, "not in it"),
        (GOOD[:-6], TYPE, "last boundary"),
        (GOOD[:-10], TYPE, "last boundary"),
        (GOOD[:20], TYPE, "empty line"),
        (b"--b0", TYPE, "CRLF"),
        (b"--b0x\r\n\r\n--b0--", TYPE, "CRLF"),
        (GOOD.replace(b"\r\n", b"\n"), TYPE, "CRLF"),
        (b"--b0--x", TYPE, "longer"),
        (b"--b0\r\n\r\nx\r\n--b0--", TYPE, "Content-Disposition"),
        (b"--b0\r\nContent-Disposition: attachment; name=a\r\n\r\nx\r\n--b0--", TYPE, "Content-Disposition"),
        (b'--b0\r\nContent-Disposition: form-data; name=""\r\n\r\nx\r\n--b0--', TYPE, "Content-Disposition"),
        (build(("name=a\r\nContent-Disposition: form-data; name=b", b"")), TYPE, "Content-Disposition"),
        (b"--b0\r\nContent-Disposition: form-data; name=a\r\n\r\n--b0--", TYPE, "empty line"),
        (b"--b0\r\nA: b\r\n--b0\r\nA: b\r\n\r\nx\r\n--b0--", TYPE, "empty line"),
        (build(("name=a\r\nA: " + "x" * form_data.MAX_HEAD, b"")), TYPE, "empty line"),
        # Readers that end lines at a bare LF or CR would find a second model here.
        (build(upload(b'x\n--b0\r\nContent-Disposition: form-data; name="model"\r\n\r\ndear')), TYPE, "after CRLF"),
        (build(upload(b'x\r--b0\r\nContent-Disposition: form-data; name="model"\r\n\r\ndear')), TYPE, "after CRLF"),
        (b"\n" + GOOD, TYPE, "after CRLF"),
        (build(('name="a"\nContent-Disposition: form-data; name="model"', b"dear")), TYPE, "CRLF"),
        (build(('name="a"; name="model"', b"dear")), TYPE, "two names"),
        (build(("name=a; name*=utf-8''model", b"dear")), TYPE, "two names"),
        (build(*[field("a", b"")] * (form_data.MAX_PARTS + 1)), TYPE, "parts"),
    ],
)
def test_a_torn_form_is_refused_with_the_fix(body: bytes, content_type: str, words: str) -> None:
    with pytest.raises(GatewayError) as caught:
        form_data.read(body, content_type)
    assert caught.value.kind is Kind.BAD_REQUEST
    assert words in caught.value.message
    assert "HTTP library" in caught.value.message


@pytest.mark.parametrize(
    "pieces",
    [
        (field("model", b"cheap"), field("model", b"dear")),
        (upload(b"m", "model"),),
        (field("model", b"\xff"),),
        (field("model", b"x" * 5000),),
    ],
)
def test_an_ambiguous_field_is_refused(pieces: Sequence[Piece]) -> None:
    body = build(*pieces)
    form = form_data.read(body, TYPE)
    with pytest.raises(GatewayError) as caught:
        form.text(body, "model")
    assert (caught.value.kind, caught.value.param) == (Kind.BAD_REQUEST, "model")


SCRAPS = st.sampled_from([b"--b0", b"--", b"\r\n", b"Content-Disposition: form-data; name=a", b'; filename="', b'"', b"\n", b" ", b"x"])


@given(st.lists(SCRAPS, max_size=20).map(b"".join))
def test_no_bytes_raise_anything_but_a_bad_request(body: bytes) -> None:
    try:
        form = form_data.read(body, TYPE)
        form_data.with_field(body, form, "a", "new")
    except GatewayError as error:
        assert error.kind is Kind.BAD_REQUEST
