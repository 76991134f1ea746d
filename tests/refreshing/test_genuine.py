"""Keys and addresses of issuers are asked for rarely, and an unknown key is no way to make us ask."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from omni_connector.errors import GatewayError, Kind
from omni_connector.oauth import OAuthError, OAuthRequest
from omni_connector.refreshing.genuine import ANEW_MS, KEEP_MS, Genuine
from omni_connector.tokens import Json
from omni_connector.upstream import Upstream, UpstreamRequest
from tests.auth_server import CLIENT, AuthServer


class Desk:
    def __init__(self, server: AuthServer) -> None:
        self.server, self.down = server, False
        self.genuine = Genuine(lambda: int(server.clock() * 1000))

    async def ask(self, request: OAuthRequest) -> tuple[int, Mapping[str, str], bytes]:
        if self.down:
            raise GatewayError(Kind.UPSTREAM_UNREACHABLE, "down")
        upstream = Upstream()
        try:
            return await upstream.fetch(UpstreamRequest(request.method, request.url, request.headers), 5)
        finally:
            await upstream.close()

    async def claims(self, token: str, subject: str = "") -> Json | None:
        addresses = {"issuer": self.server.url, "jwks": f"{self.server.url}/jwks"}
        return await self.genuine.claims(self.server.profile(), addresses, CLIENT, token, subject, self.ask)


async def test_keys_are_kept_and_fetched_anew_when_they_change() -> None:
    async with AuthServer() as server:
        desk = Desk(server)
        for _ in range(3):
            assert await desk.claims(server.id_token(), "user-1")
        assert server.count("jwks") == 1
        server.kid = "k2"
        for _ in range(3):  # within the minute it is not asked again: anybody can name an unknown key
            with pytest.raises(OAuthError) as caught:
                await desk.claims(server.id_token())
            assert caught.value.code == "unknown_key"
        assert server.count("jwks") == 1
        server.skip(ANEW_MS / 1000 + 1)
        assert await desk.claims(server.id_token()) and server.count("jwks") == 2
        server.skip(KEEP_MS / 1000 + 1)
        desk.down = True
        assert await desk.claims(server.id_token()) is None, "not known is not wrong"
        with pytest.raises(OAuthError, match="somebody else"):
            desk.down = False
            await desk.claims(server.id_token(), "user-9")
        assert await desk.genuine.claims(server.profile(), {"issuer": "", "jwks": ""}, CLIENT, "x", "", desk.ask) is None


async def test_a_clock_that_is_wrong_says_nothing_about_the_token() -> None:
    """Our own clock may be hours off: nobody is locked out for that, but somebody else stays somebody else."""
    async with AuthServer() as server:
        desk = Desk(server)
        now = int(server.clock())
        for claims in ({"iat": now + 7200}, {"exp": now - 7200, "iat": now - 9000}):
            assert await desk.claims(server.id_token(**claims), "user-1") is None
            with pytest.raises(OAuthError, match="somebody else"):
                await desk.claims(server.id_token(**claims), "user-9")


async def test_what_an_issuer_publishes_is_kept() -> None:
    async with AuthServer() as server:
        desk, start = Desk(server), {"issuer": server.url}
        profile = server.profile(discovery=True)
        for _ in range(2):
            assert (await desk.genuine.discover(profile, start, desk.ask))["token"] == f"{server.url}/token"
        assert server.count("discovery") == 1
        assert await desk.genuine.discover(server.profile(), start, desk.ask) is start
