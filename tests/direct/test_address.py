"""URLs lead where they led before, byte by byte, and what could be read in two ways leads nowhere."""

from __future__ import annotations

import base64
import subprocess
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from yarl import URL

from omni_connector.direct import address as module
from omni_connector.direct.address import PLAIN, target_of

FOUND = {
    "http://127.0.0.1:8080/v1/chat/completions": ((False, "127.0.0.1", 8080), "127.0.0.1:8080", "/v1/chat/completions"),
    "https://api.example.com": ((True, "api.example.com", 443), "api.example.com", "/"),
    "https://api.example.com:443/?": ((True, "api.example.com", 443), "api.example.com", "/"),
    "https://api.example.com?alt=sse": ((True, "api.example.com", 443), "api.example.com", "/?alt=sse"),
    "http://api.example.com:443/a?b=c&d#e": ((False, "api.example.com", 443), "api.example.com:443", "/a?b=c&d"),
    "HTTPS://API.Example.com/A": ((True, "api.example.com", 443), "api.example.com", "/A"),
    "http://[::1]:8080/v1": ((False, "::1", 8080), "[::1]:8080", "/v1"),
    "http://[2001:DB8::1]/": ((False, "2001:db8::1", 80), "[2001:db8::1]", "/"),
    "http://bücher.example/ä b": ((False, "xn--bcher-kva.example", 80), "xn--bcher-kva.example", "/%C3%A4%20b"),
    "http://h/models/a%3A0/x%2Fy": ((False, "h", 80), "h", "/models/a:0/x%2Fy"),
    "http://h/a/../b/./c": ((False, "h", 80), "h", "/b/c"),
    "http://example.com../": ((False, "example.com.", 80), "example.com..", "/"),
}


@pytest.mark.parametrize("url", FOUND)
def test_where_a_url_leads(url: str) -> None:
    key, host, path = FOUND[url]
    target = target_of(url)
    assert (target.key, target.start) == (key, f" {path} HTTP/1.1\r\nHost: {host}\r\n")
    assert target.authorization == ""


@pytest.mark.parametrize(
    "url",
    [
        "", "http://", "https:///path", "/v1/chat", "ftp://h/x", "file:///etc/passwd", "http://h:0/", "http://h:65536/", "http://h:x/",
        "http://h/a\r\nX: y", "http://h/a\nb", "http://h\r\n/", "http://h/a\tb", "http://h/\0", "http://h/\x7f", "http://h/?a=\r\nb", "http://[::1/",
        # Names of figures that resolvers take for addresses.
        "http://127.1/", "http://2130706433/", "http://0177.0.0.1/", "http://1.2.3.4.5/", "http://a b/",
    ],
)  # fmt: skip
def test_what_leads_nowhere(url: str) -> None:
    with pytest.raises(ValueError):
        target_of(url)


def test_long_addresses_are_not_kept() -> None:
    before = module._kept.cache_info().currsize
    assert target_of(f"http://long.example/{'x' * module.LONGEST}").key == (False, "long.example", 80)
    assert module._kept.cache_info().currsize == before


def test_credentials_in_a_url_become_a_header() -> None:
    target = target_of("https://us%40er:p%3Ass@api.example.com/x")
    assert target.shown == "api.example.com" and "us" not in target.start.replace("Host", "")
    assert base64.b64decode(target.authorization.removeprefix("Basic ")) == b"us@er:p:ss"


@given(st.from_regex(PLAIN, fullmatch=True))
@example("http://a/.../b..c")
@example("https://a.b-c.d:8443/v1beta/models/x:generate?alt=sse&key=a~b")
@example("http://a?b")
def test_plain_addresses_need_no_parser(url: str) -> None:
    """What is split here is what a full parser makes of it."""
    try:
        full = URL(url)
    except ValueError:
        return
    try:
        target = target_of(url)
    except ValueError:
        assert full.raw_host is not None and (full.raw_host.replace(".", "").isdigit() or not 0 < (full.port or 0) < 65536)
        return
    assert target.key == (full.scheme == "https", full.raw_host, full.port)
    assert target.start == f" {full.raw_path_qs} HTTP/1.1\r\nHost: {full.host_port_subcomponent}\r\n"


def test_plain_addresses_load_no_parser() -> None:
    code = "import sys; from omni_connector.direct import address; address.target_of('https://a.b/c?d=e'); sys.exit('yarl' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
