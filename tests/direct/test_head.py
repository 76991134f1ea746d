"""What a request says of itself."""

from __future__ import annotations

import pytest

from omni_connector.direct.address import target_of
from omni_connector.direct.head import head_of

TARGET = target_of("http://h/x")


def lines(method: str = "POST", size: int = 0, url: str = "http://h/x", **headers: str) -> list[str]:
    said = head_of(method, target_of(url), {name.replace("_", "-"): value for name, value in headers.items()}, size, "me/1")
    assert said.endswith(b"\r\n\r\n") and said.count(b"\r\n\r\n") == 1
    return said[:-4].decode().split("\r\n")


def test_what_is_said_where_nothing_is_given() -> None:
    common = ["Accept: */*", "Accept-Encoding: gzip, deflate", "User-Agent: me/1"]
    assert lines("GET") == ["GET /x HTTP/1.1", "Host: h", *common]
    assert lines("POST") == ["POST /x HTTP/1.1", "Host: h", *common, "Content-Length: 0"]
    assert lines("DELETE")[-1] == "Content-Length: 0"
    assert lines("POST", 5)[-2:] == ["Content-Length: 5", "Content-Type: application/octet-stream"]
    assert lines("GET", 5)[-2:] == ["Content-Length: 5", "Content-Type: application/octet-stream"]


def test_what_is_given_stands_as_it_was_written() -> None:
    given = {"Accept": "a", "ACCEPT_ENCODING": "identity", "user_agent": "ü", "Content_Type": "c", "X_Key": "sk\t1", "connection": "close"}
    assert lines("POST", 2, **given)[2:] == [
        "Accept: a", "ACCEPT-ENCODING: identity", "user-agent: ü", "Content-Type: c", "X-Key: sk\t1", "connection: close",
        "Content-Length: 2",
    ]  # fmt: skip


def test_nobody_else_says_where_the_body_ends() -> None:
    """Else one request could become two on the way."""
    said = lines("POST", 3, Content_Length="99", transfer_encoding="chunked", Expect="100-continue")
    assert [line for line in said if line.lower().startswith(("content-length", "transfer", "expect"))] == ["Content-Length: 3"]


def test_another_host_may_be_named_once() -> None:
    assert [line for line in lines(host="other") if line.lower().startswith("host")] == ["host: other"]


def test_credentials_come_from_one_place() -> None:
    assert "Authorization: Basic dTpw" in lines(url="http://u:p@h/x")
    with pytest.raises(ValueError):
        lines(url="http://u:p@h/x", authorization="Bearer y")


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "a\rb", "a\0b", "a\x7fb", "\r\n\r\nGET / HTTP/1.1"])
@pytest.mark.parametrize("size", [0, 5])
def test_a_value_is_one_line(value: str, size: int) -> None:
    for name in ("x-key", "host", "accept", "X-Some-Other"):
        with pytest.raises(ValueError):
            head_of("POST", TARGET, {name: value}, size, "me")


@pytest.mark.parametrize("name", ["", "a b", "a:", "a\r\nb", "a\n", "ä", "a\0", "a(b)"])
def test_a_name_is_a_token(name: str) -> None:
    for _ in range(2):
        with pytest.raises(ValueError):
            head_of("POST", TARGET, {name: "x"}, 0, "me")
        with pytest.raises(ValueError):
            head_of(name, TARGET, {}, 0, "me")
