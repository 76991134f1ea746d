"""After a Google sign-in: which tier the account has, and the project that its calls belong to (upstreams.md §4 Onboarding, §5).

`:loadCodeAssist` tells both for an account that was there before; a new one is put on a tier by `:onboardUser`, which may take a
minute. The free tier brings a project of its own; other tiers may need one of the user's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import msgspec

from omni_connector import __version__, providers, secrets
from omni_connector.errors import GatewayError, Kind, bad_request
from omni_connector.providers.addresses import check_url, named_endpoint
from omni_connector.providers.provider import EMPTY
from omni_connector.snapshot import Account
from omni_connector.upstream import UpstreamRequest
from omni_connector.values import dataclass
from omni_connector.wire.code_assist_errors import UNSUPPORTED, UNSUPPORTED_ADVICE, VALIDATION, parse_error, validation_message
from omni_connector.wire.code_assist_words import METADATA, VARIANT_METADATA

Json = dict[str, Any]
Ask = Callable[[UpstreamRequest], Awaitable[tuple[int, Mapping[str, str], bytes]]]
Sleep = Callable[[float], Awaitable[None]]

FREE, LEGACY, STANDARD = "free-tier", "legacy-tier", "standard-tier"
VARIABLES = "GOOGLE_CLOUD_PROJECT (or GOOGLE_CLOUD_PROJECT_ID)"
PERIMETER = "SECURITY_POLICY_VIOLATED"
"""What a company's service perimeter answers to the first question; such accounts have the standard tier."""


@dataclass(frozen=True, slots=True)
class _Manner:
    """How one of the two providers is asked. `load`, `onboard`: names of the row's regions, "" where there is one host."""

    metadata: Mapping[str, str]
    project_field: str
    tier_field: str
    onboard_metadata: Mapping[str, str]
    load: str = ""
    onboard: str = ""
    operation: bool = True
    """The onboarding answers with an operation to ask for; else the same call is made again until it is done."""
    wait_s: float = 5.0
    tries: int = 24


_MANNERS: Mapping[str, _Manner] = {
    "gemini-cli": _Manner(METADATA, "cloudaicompanionProject", "tierId", METADATA),
    "antigravity": _Manner(
        VARIANT_METADATA,
        "cloudaicompanion_project",
        "tier_id",
        # The type names the product that is asked for; name and version of the program are our own.
        {"ide_type": "ANTIGRAVITY", "ide_version": __version__, "ide_name": "omni-connector"},
        load="prod",
        onboard="daily",
        operation=False,
        wait_s=2.0,
        tries=5,
    ),
}


async def set_up(account: Account, ask: Ask, *, endpoints: providers.Endpoints = EMPTY, sleep: Sleep = asyncio.sleep) -> Json:
    """The options to change: {"project": …, "identity": {"plan": the tier's name, "tier": its id}}.

    `account` is complete and holds the access token; its `options.project` is the user's own. Raises GatewayError: BAD_REQUEST
    (param "project") when one is needed or is no project id, ACCOUNT_FORBIDDEN when Google does not serve the account (with the
    address to visit where there is one), UPSTREAM_TIMEOUT when onboarding does not end, or what the provider answered.
    """
    return await _Setup(account, ask, endpoints, sleep).run()


class _Setup:
    def __init__(self, account: Account, ask: Ask, endpoints: providers.Endpoints, sleep: Sleep) -> None:
        self._account = account
        self._provider = providers.get(account.provider)
        self._manner = _MANNERS[self._provider.id]
        self._endpoints = endpoints
        self._ask = ask
        self._sleep = sleep
        self._wanted = providers.project(account)

    async def run(self) -> Json:
        if self._wanted.isdigit():
            raise bad_request(f"{self._wanted} is a project's number. Give its id, the name with letters in it.", "project")
        loaded = await self._load()
        current, paid = _object(loaded.get("currentTier")), _object(loaded.get("paidTier"))
        tier = current
        project = _project_of(loaded)
        if not current:
            tier = self._tier_to_take(loaded)
            project = await self._onboard(tier)
        project = project or self._wanted
        if not project:
            self._refuse(loaded)
            raise self._project_needed(tier)
        shown = paid or tier
        plan = _text(shown.get("name")) or _text(shown.get("id"))
        return {"project": project, "identity": {"plan": plan, "tier": _text(shown.get("id"))}}

    # ------------------------------------------------------------ What there is

    async def _load(self) -> Json:
        metadata: Json = dict(self._manner.metadata)
        body: Json = {"metadata": metadata}
        if self._wanted and self._manner.operation:
            body = {"cloudaicompanionProject": self._wanted, "metadata": {**metadata, "duetProject": self._wanted}}
        status, headers, answer = await self._post(self._url(":loadCodeAssist", self._manner.load), body)
        if not 200 <= status < 300 and PERIMETER.encode() in answer:
            return {"currentTier": {"id": STANDARD}}
        return self._read(status, headers, answer)

    def _tier_to_take(self, loaded: Json) -> Json:
        """The default of the tiers that are allowed; an account that is allowed none is refused with Google's own reason."""
        allowed = _objects(loaded.get("allowedTiers"))
        if not allowed or any(_text(one.get("reasonCode")) == VALIDATION for one in _objects(loaded.get("ineligibleTiers"))):
            self._refuse(loaded)
        return next((tier for tier in allowed if tier.get("isDefault") is True), {"id": LEGACY, "userDefinedCloudaicompanionProject": True})

    def _refuse(self, loaded: Json) -> None:
        """Raises the reason why tiers are not to be had, where Google gives one."""
        reasons = _objects(loaded.get("ineligibleTiers"))
        for reason in reasons:
            code, words = _text(reason.get("reasonCode")), self._clean(_text(reason.get("reasonMessage")))
            if code == VALIDATION:
                link = self._clean(_text(reason.get("validationUrl")))
                error = self._forbidden(validation_message(words, link), code)
                error.details = {"links": [link]} if link else {}
                raise error
            if code == UNSUPPORTED:
                raise self._forbidden(f"{words} {UNSUPPORTED_ADVICE}".strip(), code)
        words = " ".join(dict.fromkeys(filter(None, (self._clean(_text(reason.get("reasonMessage"))) for reason in reasons))))
        if words:
            raise self._forbidden(words, _text(reasons[0].get("reasonCode")))

    def _forbidden(self, words: str, code: str) -> GatewayError:
        return GatewayError(Kind.ACCOUNT_FORBIDDEN, f"{self._provider.label}: {words}", code=code or None, scope="account")

    # ------------------------------------------------------------ Onboarding

    async def _onboard(self, tier: Json) -> str:
        """The project that the account got, "" when it got none of its own."""
        tier_id = _text(tier.get("id")) or LEGACY
        body: Json = {self._manner.tier_field: tier_id, "metadata": dict(self._manner.onboard_metadata)}
        if tier_id != FREE:
            # On the free tier a project of the user's is answered with "Precondition Failed".
            if not self._wanted and tier.get("userDefinedCloudaicompanionProject") is True:
                raise self._project_needed(tier)
            if self._wanted:
                body[self._manner.project_field] = self._wanted
        url = self._url(":onboardUser", self._manner.onboard)
        operation = self._read(*await self._post(url, body))
        for _ in range(self._manner.tries):
            if operation.get("done") is True:
                return self._granted(operation)
            await self._sleep(self._manner.wait_s)
            name = _text(operation.get("name"))
            again = self._get(self._url(f"/{name}", self._manner.onboard)) if self._manner.operation and name else self._post(url, body)
            operation = self._read(*await again)
        if operation.get("done") is True:
            return self._granted(operation)
        seconds = round(self._manner.tries * self._manner.wait_s)
        words = f"{self._provider.label} has not made the account ready within {seconds} s. Sign in again in a few minutes."
        raise GatewayError(Kind.UPSTREAM_TIMEOUT, words, scope="account")

    def _granted(self, operation: Json) -> str:
        failed = _object(operation.get("error"))
        if failed:
            words = self._clean(_text(failed.get("message"))) or "the account could not be made ready"
            raise self._forbidden(words, _text(failed.get("status")))
        return _project_of(_object(operation.get("response")))

    def _project_needed(self, tier: Json) -> GatewayError:
        name = _text(tier.get("name")) or _text(tier.get("id")) or "this tier"
        fix = f"Set {VARIABLES} to the id of a project of yours with the Gemini for Google Cloud API, or give it as `project`"
        return bad_request(f"{self._provider.label} needs a Google Cloud project for this account ({name}). {fix}.", "project")

    # ------------------------------------------------------------ Asking

    def _url(self, call: str, region: str) -> str:
        """Below the address that account or server set ("setup", else "inference"), else on the host that answers this call."""
        named = named_endpoint("setup", self._provider, self._account, self._endpoints)
        own = named_endpoint("inference", self._provider, self._account, self._endpoints) or self._account.base_url
        chosen = self._account.options.get("region")
        if named:
            base = check_url(named, "options.endpoints.setup")
        elif own or chosen or not region:
            base = providers.base_url(self._provider, self._account, self._endpoints)
        else:
            base = self._provider.regions[region]
        return f"{base.removesuffix('/v1internal')}/v1internal{call}"

    async def _post(self, url: str, body: Json) -> tuple[int, Mapping[str, str], bytes]:
        headers = {**providers.request_headers(self._provider, self._account), "content-type": "application/json"}
        return await self._ask(UpstreamRequest("POST", url, headers, msgspec.json.encode(body), self._account.proxy_url))

    async def _get(self, url: str) -> tuple[int, Mapping[str, str], bytes]:
        headers = providers.request_headers(self._provider, self._account)
        return await self._ask(UpstreamRequest("GET", check_url(url, "operation"), headers, proxy_url=self._account.proxy_url))

    def _read(self, status: int, headers: Mapping[str, str], body: bytes) -> Json:
        if not 200 <= status < 300:
            error = parse_error(status, headers, body)
            error.message = self._clean(error.message)
            raise error
        try:
            value = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            value = None
        if not isinstance(value, dict):
            words = f"{self._provider.label} answered the set-up with something that is no JSON object."
            raise GatewayError(Kind.UPSTREAM_FAILED, words, upstream_status=status)
        return value

    def _clean(self, words: str) -> str:
        return secrets.scrub(words, self._account.access)


def _project_of(value: Json) -> str:
    """A project is told as its id, or as an object with one."""
    found = value.get("cloudaicompanionProject")
    return _text(found.get("id")) if isinstance(found, dict) else _text(found)


def _object(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def _objects(value: Any) -> list[Json]:
    found: Iterable[Any] = value if isinstance(value, list) else ()
    return [item for item in found if isinstance(item, dict)]


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""
