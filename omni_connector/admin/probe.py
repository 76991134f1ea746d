"""Asks a provider for its models: the one question that costs nothing and still proves address, network and credential."""

from __future__ import annotations

import json
import time

from omni_connector import providers
from omni_connector.admin.shapes import TestResult
from omni_connector.errors import GatewayError
from omni_connector.secrets import redact
from omni_connector.snapshot import Account
from omni_connector.upstream import Upstream, UpstreamRequest

WITHIN_S = 15.0


async def ask_models(account: Account, upstream: Upstream, endpoints: providers.Endpoints, within: float = WITHIN_S) -> TestResult:
    """The result of asking; raises nothing for what a provider does. `within`: seconds for all of it."""
    account = providers.complete(account)
    provider = providers.get(account.provider)
    began = time.monotonic()
    status: int | None = None
    try:
        url, headers = providers.models_request(provider, account, endpoints)
        request = UpstreamRequest("GET", url, headers, proxy_url=account.proxy_url, demo=account.options.get("demo") or {})
        status, _, body = await upstream.fetch(request, within)
        if status in (404, 405) and provider.open_models:
            words = f"{provider.label} answers, but has no model list (HTTP {status}). Name the models of this account by hand."
            return TestResult(True, status, words, (), _ms(began))
        models = providers.parse_models(provider, status, _json(body))
    except GatewayError as error:
        return TestResult(False, error.upstream_status or status, redact(error.message), (), _ms(began))
    if not models:
        return TestResult(True, status, f"{provider.label} accepts the account, but lists no models. Name them by hand.", (), _ms(began))
    return TestResult(True, status, f"{provider.label} accepts the account and lists {len(models)} models.", models, _ms(began))


def _ms(began: float) -> int:
    return round((time.monotonic() - began) * 1000)


def _json(body: bytes) -> object:
    """None when it is no JSON: an error page then counts by its status alone."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
