"""Asks a provider for its models: the one question that costs nothing and still proves address, network and credential."""

from __future__ import annotations

import json
import time
import uuid

from omni_connector import providers
from omni_connector.admin.shapes import TestResult
from omni_connector.errors import GatewayError, Kind
from omni_connector.providers import aliyun_ocr
from omni_connector.secrets import redact, scrub
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
        if provider.auth == "signed":
            return await _ask_signed(account, provider, upstream, endpoints, within)
        if provider.command:
            words = await upstream.commands.check(providers.local_options(account), within)
            return TestResult(True, 200, words, (), _ms(began))
        url, headers = providers.models_request(provider, account, endpoints)
        body = providers.models_body(provider, account)
        local = providers.local_options(account)
        request = UpstreamRequest("POST" if body else "GET", url, headers, body, account.proxy_url, local)
        status, _, answer = await upstream.fetch(request, within)
        if status in (404, 405) and provider.open_models:
            words = f"{provider.label} answers, but has no model list (HTTP {status}). Name the models of this account by hand."
            return TestResult(True, status, words, (), _ms(began))
        models = providers.parse_models(provider, status, _json(answer))
    except GatewayError as error:
        return TestResult(False, error.upstream_status or status, redact(error.message), (), _ms(began))
    if not models:
        return TestResult(True, status, f"{provider.label} accepts the account, but lists no models. Name them by hand.", (), _ms(began))
    return TestResult(True, status, f"{provider.label} accepts the account and lists {len(models)} models.", models, _ms(began))


async def _ask_signed(
    account: Account, provider: providers.Provider, upstream: Upstream, endpoints: providers.Endpoints, within: float
) -> TestResult:
    """A signed call without a picture: nothing is read and nothing is billed, but a wrong credential is refused before that."""
    began = time.monotonic()
    base = providers.base_url(provider, account, endpoints)
    try:
        built = aliyun_ocr.question(base, account.access, time.time(), uuid.uuid4().hex)
    except GatewayError as error:
        return TestResult(False, 401, error.message, (), _ms(began))
    headers = {**providers.request_headers(provider, account), **built.headers}
    status, told, body = await upstream.fetch(UpstreamRequest("POST", built.url, headers, built.body, account.proxy_url), within)
    refusal = aliyun_ocr.parse_error(status, told, body)
    if aliyun_ocr.accepts(refusal):
        return TestResult(True, status, f"{provider.label} accepts the account.", (), _ms(began))
    if refusal.kind is Kind.ACCOUNT_REJECTED:
        status = 401  # they answer 400 and 404 to a wrong key
    return TestResult(False, status, scrub(refusal.message, account.access), (), _ms(began))


def _ms(began: float) -> int:
    return round((time.monotonic() - began) * 1000)


def _json(body: bytes) -> object:
    """None when it is no JSON: an error page then counts by its status alone."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
