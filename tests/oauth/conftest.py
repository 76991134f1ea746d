"""A mock authorization server, and a network that reaches it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import pytest

from omni_connector.oauth import OAuthRequest
from omni_connector.upstream import Upstream, UpstreamRequest
from tests.auth_server import AuthServer

Send = Callable[[OAuthRequest], Awaitable[tuple[int, Mapping[str, str], bytes]]]


@pytest.fixture
async def server() -> AsyncIterator[AuthServer]:
    async with AuthServer() as running:
        yield running


@pytest.fixture
async def send() -> AsyncIterator[Send]:
    upstream = Upstream()

    async def fetch(request: OAuthRequest) -> tuple[int, Mapping[str, str], bytes]:
        return await upstream.fetch(UpstreamRequest(request.method, request.url, request.headers, request.body), 5)

    yield fetch
    await upstream.close()
