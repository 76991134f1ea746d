"""Fetching what clients name by address: what comes, what is refused, and that no address leads inside. C-10"""

from __future__ import annotations

import asyncio
import gzip
import ipaddress
import zlib
from collections.abc import AsyncIterator, Sequence

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from omni_connector.errors import GatewayError, Kind
from omni_connector.fetch import ANSWER, Fetched, PublicFetcher, check_address, is_allowed, look_up

PNG = b"\x89PNG\r\n\x1a\n" + b"pixels"
PDF = b"%PDF-1.7 words"
WEBP = b"RIFF\x10\0\0\0WEBPVP8 "
LIMIT = 1000


class Site:
    """A server of our own on loopback: path → (status, headers, body); every request is remembered."""

    def __init__(self) -> None:
        self.pages: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.asked: list[web.BaseRequest] = []
        self.port = 0

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked.append(request)
        if request.path == "/slow":
            await asyncio.get_running_loop().create_future()
        status, headers, body = self.pages[request.path]
        response = web.StreamResponse(status=status, headers={"Set-Cookie": "a=b", **headers})
        if request.path == "/lies":  # more than it says
            response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(body)
        if request.path == "/cut":
            assert request.transport is not None
            request.transport.abort()
        return response

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site = Site()
    runner = web.ServerRunner(web.Server(site.handle), shutdown_timeout=0.01)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    site.port = runner.addresses[0][1]
    yield site
    await runner.cleanup()


class Names:
    """A resolver whose every answer is written down; several answers come one after the other, the last one stays."""

    def __init__(self, **names: Sequence[Sequence[str]]) -> None:
        self._names = {name.replace("_", "."): list(answers) for name, answers in names.items()}
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        if host not in self._names:
            raise OSError("unknown name")
        answers = self._names[host]
        return answers.pop(0) if len(answers) > 1 else answers[0]


async def get(url: str, names: Names | None = None, *, private: bool = True, within_s: float = 5, limit: int = LIMIT) -> Fetched:
    fetcher = PublicFetcher(names or look_up)
    return await fetcher.fetch_public(url, limit_bytes=limit, within_s=within_s, allow_private=private)


async def refused(url: str, names: Names | None = None, *, private: bool = True, within_s: float = 5) -> str:
    with pytest.raises(GatewayError) as caught:
        await get(url, names, private=private, within_s=within_s)
    assert (caught.value.kind, caught.value.param) == (Kind.BAD_REQUEST, None)
    assert caught.value.message.endswith("Send it as base64.")
    return caught.value.message


# ---------------------------------------------------------------- What comes


@pytest.mark.parametrize(
    ("headers", "body", "media_type"),
    [
        ({"Content-Type": "image/png"}, PNG, "image/png"),
        ({"Content-Type": "image/svg+xml; charset=utf-8"}, b"<svg/>", "image/svg+xml"),
        ({"Content-Type": "Application/PDF"}, PDF, "application/pdf"),
        ({"Content-Type": "audio/mpeg"}, b"\xff\xfbsound", "audio/mpeg"),
        ({"Content-Type": "application/octet-stream"}, PDF, "application/pdf"),
        ({"Content-Type": ""}, PNG, "image/png"),
        ({"Content-Type": "image/jpeg"}, WEBP, "image/webp"),
        ({"Content-Type": "text/plain", "Content-Encoding": "gzip"}, gzip.compress(b"words"), "text/plain"),
        ({"Content-Type": "text/plain", "Content-Encoding": "deflate"}, zlib.compress(b"words"), "text/plain"),
    ],
)
async def test_pictures_documents_sounds_and_text(site: Site, headers: dict[str, str], body: bytes, media_type: str) -> None:
    site.pages["/x"] = 200, headers, body
    fetched = await get(site.url("/x"))
    assert fetched == Fetched(media_type, b"words" if "Content-Encoding" in headers else body)


async def test_text_of_another_charset_becomes_utf8(site: Site) -> None:
    site.pages["/x"] = 200, {"Content-Type": 'text/plain; charset="ISO-8859-1"'}, "Öl".encode("latin-1")
    assert (await get(site.url("/x"))).data == "Öl".encode()


async def test_what_the_server_is_told(site: Site) -> None:
    site.pages["/a"] = 302, {"Location": "/b?c=d"}, b""
    site.pages["/b"] = 200, {"Content-Type": "image/png"}, PNG
    await get(site.url("/a#part"))
    first, second = site.asked
    assert second.path_qs == "/b?c=d"
    assert first.headers["User-Agent"].startswith("omni-connector/")
    assert set(second.headers) == {"Host", "User-Agent", "Accept", "Accept-Encoding", "Connection"}  # no cookie, no credential, no referrer


async def test_all_of_a_request_in_base64(site: Site) -> None:
    for name in "abcdef":
        site.pages[f"/{name}"] = 200, {"Content-Type": "image/png"}, PNG
    urls = [site.url(f"/{name}") for name in "abcdefa"]
    fetcher = PublicFetcher()
    found = await fetcher.fetch_all(urls, limit_bytes=LIMIT, within_s=5, allow_private=True)
    assert found == dict.fromkeys(urls, ("image/png", "iVBORw0KGgpwaXhlbHM="))
    assert len(site.asked) == 6
    with pytest.raises(GatewayError, match="larger than the 80 bytes"):
        await fetcher.fetch_all(urls, limit_bytes=80, within_s=5, allow_private=True)
    with pytest.raises(GatewayError, match="501 files"):
        await fetcher.fetch_all([f"{urls[0]}?{number}" for number in range(501)], limit_bytes=LIMIT, within_s=5, allow_private=True)
    assert len(site.asked) < 20
    with pytest.raises(GatewayError, match="not arrive in time"):
        await fetcher.fetch_all([urls[0], site.url("/slow")], limit_bytes=LIMIT, within_s=0.05, allow_private=True)


# ---------------------------------------------------------------- What is refused


@pytest.mark.parametrize(
    ("path", "page", "says"),
    [
        ("/x", (404, {"Content-Type": "image/png"}, PNG), "it answers 404"),
        ("/x", (200, {"Content-Type": "text/html"}, b"<html>"), "it is 'text/html', not a picture"),
        ("/x", (200, {"Content-Type": "application/octet-stream"}, b"MZ"), "does not say what it is"),
        ("/x", (200, {"Content-Type": "image/png"}, b""), "it is empty"),
        ("/x", (200, {"Content-Type": "image/png", "Content-Length": "1001"}, b"x"), "larger than the 1000 bytes"),
        ("/lies", (200, {"Content-Type": "image/png"}, b"x" * 1001), "larger than the 1000 bytes"),
        ("/x", (200, {"Content-Type": "image/png", "Content-Encoding": "gzip"}, gzip.compress(b"0" * 10_000_000)), "larger than"),
        ("/x", (200, {"Content-Type": "image/png", "Content-Encoding": "gzip"}, gzip.compress(PNG)[:-9]), "damaged"),
        ("/x", (200, {"Content-Type": "image/png", "Content-Encoding": "gzip"}, PNG), "damaged"),
        ("/x", (200, {"Content-Type": "image/png", "Content-Encoding": "br"}, PNG), "compressed by 'br'"),
        ("/cut", (200, {"Content-Type": "image/png", "Content-Length": "900"}, PNG), "broke off"),
        ("/x", (302, {"Location": "/x"}, b""), "redirects more than 3 times"),
        ("/x", (302, {"Location": "ftp://a.test/x"}, b""), "only http:// and https://"),
        ("/x", (302, {"Location": "http://me:secret@a.test/"}, b""), "holds credentials"),
        ("/x", (302, {"Location": "http://[::1"}, b""), "not valid"),
        ("/x", (302, {"Location": "http://169.254.169.254/latest"}, b""), "not an address on the public internet"),
    ],
)
async def test_answers_that_are_refused(site: Site, path: str, page: tuple[int, dict[str, str], bytes], says: str) -> None:
    site.pages[path] = page
    message = await refused(site.url(path + "?key=secret"))
    assert says in message
    assert "secret" not in message
    assert len(site.asked) == (4 if "3 times" in says else 1)


async def test_nobody_there_and_too_slow(site: Site) -> None:
    assert "127.0.0.1" in await refused(site.url("/slow"), within_s=0.05)
    assert "nothing answers there" in await refused("http://127.0.0.1:9/x")
    assert "the host name is unknown" in await refused("http://a.test/x", Names())


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/x", "http://localhost/x", "http://[::1]/x", "http://10.1.2.3/x", "https://192.168.0.1:8443/x", "http://0.0.0.0/",
        "http://100.64.0.1/", "http://169.254.169.254/latest/meta-data", "http://224.0.0.1/", "http://255.255.255.255/",
        # Other spellings of 127.0.0.1, which resolvers and sockets understand.
        "http://2130706433/", "http://0x7f000001/", "http://0x7f.1/", "http://127.1/", "http://0177.0.0.1/", "http://017700000001/",
        "http://127.0.0.1./", "http://①②⑦.0.0.1/", "http://127。0。0。1/", "http://%31%32%37.0.0.1/",
        # IPv4 inside IPv6: mapped, compatible, NAT64, 6to4, Teredo; link-local with a zone, unique local, multicast.
        "http://[::ffff:127.0.0.1]/", "http://[::127.0.0.1]/", "http://[64:ff9b::7f00:1]/", "http://[2002:7f00:1::]/", "http://[2001::1]/",
        "http://[fe80::1%25eth0]/", "http://[fd00::1]/", "http://[ff02::1]/", "http://[::]/", "http://[2001:db8::1]/",
        # Parsers that disagree about the host.
        "http://example.com@127.0.0.1/", "http://127.0.0.1\\@example.com/", "http://127.0.0.1#@example.com/", "http://127.0.0.1:80:80/",
        "//127.0.0.1/x", "file:///etc/passwd", "http://", "http:///x", "http://a.test:0/", "gopher://127.0.0.1/", "",
    ],
)  # fmt: skip
async def test_no_address_leads_inside(url: str) -> None:
    names = Names(localhost=[["127.0.0.1", "::1"]])
    await refused(url, names, private=False)
    assert set(names.asked) <= {"localhost"}


async def test_a_name_is_what_it_resolves_to(site: Site) -> None:
    """Checked is what is connected to: one lookup a connection, made again for every hop, and only good addresses are used."""
    site.pages["/x"] = 200, {"Content-Type": "image/png"}, PNG
    site.pages["/again"] = 302, {"Location": site.url("/x", "rebind.test")}, b""
    names = Names(rebind_test=[["169.254.169.254", "127.0.0.1", "nonsense"], ["169.254.169.254"]])
    assert (await get(site.url("/x", "rebind.test"), names)).data == PNG
    assert names.asked == ["rebind.test"]
    assert "rebind.test" in await refused(site.url("/x", "rebind.test"), names)
    names = Names(rebind_test=[["127.0.0.1"], ["169.254.169.254"]])
    assert "public internet" in await refused(site.url("/again", "rebind.test"), names)
    assert names.asked == ["rebind.test", "rebind.test"]
    assert "public internet" in await refused(site.url("/x", "inside.test"), Names(inside_test=[["127.0.0.1"]]), private=False)
    assert [request.path for request in site.asked] == ["/x", "/again"]


async def test_sending_follows_the_same_rules_and_no_redirect(site: Site) -> None:  # J-09
    fetcher = PublicFetcher(Names(rebind_test=[["127.0.0.1"], ["169.254.169.254"]], inside_test=[["127.0.0.1"]]))

    async def send(url: str, *, private: bool = True, within_s: float = 2) -> tuple[int, bytes]:
        status, headers, body = await fetcher.post(url, {"x-mark": "1"}, b"words", within_s=within_s, allow_private=private)
        assert all(name == name.lower() for name in headers)
        return status, body

    site.pages["/hook"] = 200, {}, b"x" * (ANSWER + 10)
    site.pages["/moved"] = 302, {"Location": site.url("/hook")}, b"gone"
    assert await send(site.url("/hook", "rebind.test")) == (200, b"x" * ANSWER)
    assert await send(site.url("/moved")) == (302, b"gone")
    assert [(request.method, request.path, request.headers["x-mark"]) for request in site.asked] == [
        ("POST", "/hook", "1"),
        ("POST", "/moved", "1"),
    ]
    for url, private, kind, says in (
        (site.url("/token-1", "rebind.test"), True, Kind.BAD_REQUEST, "rebind.test: it is not an address on the public internet."),
        (site.url("/token-1", "inside.test"), False, Kind.BAD_REQUEST, "inside.test: it is not an address on the public internet."),
        (site.url("/token-1"), False, Kind.BAD_REQUEST, "127.0.0.1"),
        ("ftp://a.test/token-1", True, Kind.BAD_REQUEST, "a.test"),
        ("http://unknown.test/token-1", True, Kind.UPSTREAM_UNREACHABLE, "unknown.test: the host name is unknown."),
        ("http://127.0.0.1:9/token-1", True, Kind.UPSTREAM_UNREACHABLE, "127.0.0.1: nothing answers there."),
    ):
        with pytest.raises(GatewayError, match=says.replace(".", r"\.")) as told:
            await send(url, private=private)
        assert told.value.kind is kind
        assert "token" not in told.value.message and "base64" not in told.value.message
    with pytest.raises(GatewayError, match="no answer within") as told:
        await send(site.url("/slow"), within_s=0.05)
    assert told.value.kind is Kind.UPSTREAM_TIMEOUT


def test_an_address_is_checked_by_its_words() -> None:
    assert check_address("https://a.test/x", False).host == "a.test"
    for url in ("https://127.1/token-1", "https://a:b@a.test/token-1", "token-1"):
        with pytest.raises(GatewayError) as told:
            check_address(url, False)
        assert "base64" not in told.value.message and "a:b" not in told.value.message


def test_which_addresses_are_open() -> None:
    for address in ("93.184.216.34", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8"):
        assert is_allowed(address) and is_allowed(address, allow_private=True)
    for address in ("10.0.0.1", "127.0.0.1", "192.168.1.1", "172.31.0.1", "100.64.0.1", "::1", "fd12::1", "::ffff:10.0.0.1"):
        assert not is_allowed(address) and is_allowed(address, allow_private=True)
    never = ("169.254.169.254", "100.100.100.200", "fd00:ec2::254", "168.63.129.16", "0.0.0.0", "fe80::1", "::ffff:169.254.169.254",
             "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::", "224.0.0.1", "nonsense", "")  # fmt: skip
    for address in never:
        assert not is_allowed(address, allow_private=True), address


@given(st.ip_addresses())
def test_what_is_open_is_global_to_everybody(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    if is_allowed(str(address)):
        plain = getattr(address, "ipv4_mapped", None) or address
        assert plain.is_global and not plain.is_multicast and not plain.is_reserved
