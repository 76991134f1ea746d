"""The router under its own name: why a request would go where it goes, how all accounts are, and the configuration (`/v1/router/…`).

`explain` asks the selector that serves requests, on its live state, and sends nothing. Everything else here is the same functions
as under `/api`, gathered in the way of OneAPI's router endpoints. (R-48…R-51, C-77, CONTRACT §5)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from omni_connector import __version__, providers
from omni_connector.admin import bodies
from omni_connector.admin.books import Books
from omni_connector.admin.catalogue import Catalogue
from omni_connector.admin.health import Health, counted, counts, overall
from omni_connector.admin.limits import Limits
from omni_connector.admin.prices import Prices
from omni_connector.admin.system import System
from omni_connector.call import Call
from omni_connector.errors import GatewayError, Kind, bad_request
from omni_connector.routing.health import FOREVER
from omni_connector.routing.patience import HEADER, patience_ms, wait_for
from omni_connector.routing.plan import Plan, Skipped, earliest_recovery, refusal
from omni_connector.routing.score import Score
from omni_connector.snapshot import ClientKey
from omni_connector.wire import ocr, views
from omni_connector.wire.raw import RAW

Json = dict[str, Any]
PATH = "/v1/router/explain"
ANYBODY = ClientKey("key_explain", "explain", "", "", 0)
"""Asks for whoever has a key without limits."""
WIRES: Mapping[str, str] = {
    **dict.fromkeys(sorted(views.WIRES), PATH),
    ocr.NAME: ocr.PATH,
    **{kind.purpose: path for path, kind in RAW.items()},
}
"""Wire format, or purpose where only bytes pass → the endpoint that a call of it has come to."""
BACKEND_FACTS = (
    "id", "label", "provider", "enabled", "priority", "weight", "status", "status_reason", "cooldown", "cooldowns", "in_flight",
    "last_used_at", "requests_today", "cost_today", "quota", "balance",
)  # fmt: skip
"""Of an account, what `status` tells."""


class Question(Struct, forbid_unknown_fields=True, kw_only=True):
    """`body`: a request as the client would send it, else only the name of the model counts. `key`: id or name of a client key
    whose limits on models and providers count. `headers`: those of the request, such as `Model-Provider`."""

    model: str = ""
    wire: str = "openai-chat"
    body: Json | None = None
    key: str | None = None
    headers: dict[str, str] = {}


class Router(Limits, Prices, Health, Catalogue, Books, System):
    async def explain(self, body: object) -> Json:
        """POST /v1/router/explain → the plan that the request would get now: attempts in order, exclusions, and why.

        Raises what the request itself would be refused with for its name, its key or its body: MODEL_NOT_FOUND, FORBIDDEN,
        BAD_REQUEST, NO_ACCOUNT (nothing is connected). A plan without attempts is no error here: `refusal` tells the client's.
        """
        asked = bodies.read(body, Question)
        if self._preview is None:
            raise GatewayError(Kind.INTERNAL, "This process routes nothing, so it cannot explain a route.")
        call = self._call(asked)
        patience = patience_ms(call.headers.get(HEADER), self.settings.wait_for_account_s)
        kind, plan = await self._preview(call)
        return plan_json(plan, kind, self._clock(), patience)

    async def router_status(self) -> Json:
        """GET /v1/router/status: how the whole is ("ok", "degraded", "down", "empty"), and every account's live state. (R-48)"""
        rows = (await self.accounts())["accounts"]
        return {
            "status": overall(row["status"] for row in rows),
            "version": __version__,
            "uptime_s": max(0, self._clock() - self.process.started_at) // 1000,
            "strategy": self.settings.strategy,
            "in_flight": sum(row["in_flight"] for row in rows),
            "counts": counts(row["status"] for row in rows),
            "backends": [self._backend(row) for row in rows],
        }

    async def router_usage(self, params: Mapping[str, str] | None = None) -> Json:
        """GET /v1/router/usage: spend by account and by model over [from, to); with `group`, that of GET /api/usage. (R-49)

        A file (`format=csv`) holds one group, by account where none is named.
        """
        query = dict(params or {})
        if query.get("group") or query.get("format") == "csv":
            return await self.usage(query)
        by_account = await self.usage({**query, "group": "account"})
        # The same span for both, though time goes on.
        span = {"from": str(by_account["from"]), "to": str(by_account["to"])}
        by_model = await self.usage({**span, "group": "model"})
        return {
            "from": by_account["from"],
            "to": by_account["to"],
            "accounts": by_account["rows"],
            "models": by_model["rows"],
            "total": by_account["total"],
        }

    async def router_config(self) -> Json:
        """GET /v1/router/config: strategy, accounts, aliases, chains, prices, limits and all settings; no secret stands in it. (R-50)"""
        config = await self.config()
        return {
            "strategy": self.settings.strategy,
            "default_model": self.settings.default_model,
            "backends": (await self.accounts())["accounts"],
            "aliases": config["aliases"],
            "chains": config["chains"],
            "prices": (await self.prices())["prices"],
            "limits": (await self.limits())["limits"],
            "settings": config["settings"],
        }

    async def put_router(self, part: str, name: str, body: object) -> Json:
        """POST /v1/router/config/{part}[/{name}]: effective at once. `name` "": the body has it. (R-51)

        backend: a new account, or with a name (label or id) changes to one. strategy: {"strategy"}, or its name in the path.
        alias: {"name", "targets"}. chain: {"name", "tiers"}.
        """
        if part == "backend":
            return await (self.edit_account(self._account_id(name), body) if name else self.add_account(body))
        if part == "strategy":
            return await self._put_strategy(name, body)
        name, rest = _named(name, body)
        return await (self.set_alias(name, rest) if part == "alias" else self.set_chain(name, rest))

    async def drop_router(self, part: str, name: str) -> Json:
        """DELETE /v1/router/config/{part}/{name}; of the strategy, without a name: back to its default. (R-51)"""
        if part == "strategy":
            if name not in ("", self.settings.strategy):
                words = f"The strategy is {self.settings.strategy!r}, not {name!r}."
                raise GatewayError(Kind.NOT_FOUND, words, param="strategy")
            await self.set_config({"strategy": None})
            return {"strategy": self.settings.strategy}
        if not name:
            raise bad_request(f"name: say which {part} is to go: DELETE /v1/router/config/{part}/NAME.", "name")
        if part == "backend":
            return await self.remove_account(self._account_id(name))
        return await (self.remove_alias(name) if part == "alias" else self.remove_chain(name))

    async def reload_config(self) -> Json:
        """POST /api/reload-config → {"version"}: the configuration, read anew. Changes do that by themselves."""
        await self._reload()
        return {"version": self._snapshot().version}

    # ------------------------------------------------------------ inside

    def _call(self, asked: Question) -> Call:
        """The call as if its client had sent it."""
        endpoint = WIRES.get(asked.wire)
        if endpoint is None:
            raise bad_request(f"wire: there is no format {asked.wire!r}{bodies.did_you_mean(asked.wire, WIRES)}.", "wire")
        headers = {"content-type": "application/json", **{name.lower(): text for name, text in asked.headers.items()}}
        pinned = headers.get("model-provider", "").strip()
        return Call(
            id="explain",
            wire=asked.wire,
            path=endpoint,
            body=_body(asked),
            headers=headers,
            key=ANYBODY if asked.key is None else self._client_key(asked.key),
            client="explain",
            started_at=self._clock(),
            provider=providers.get(pinned).id if pinned else "",
            model=asked.model.strip(),
            endpoint=endpoint,
        )

    def _client_key(self, wanted: str) -> ClientKey:
        """By id, else by name. A key that is not good any more would be refused before any routing."""
        known = list(self._snapshot().keys.values())
        key = next((k for k in known if k.id == wanted), None) or next((k for k in known if k.name == wanted), None)
        if key is None:
            raise GatewayError(Kind.NOT_FOUND, f"There is no key {wanted!r}{bodies.did_you_mean(wanted, [k.name for k in known])}.", "key")
        if key.status(self._clock()) != "active":
            raise bad_request(f"key: {key.name!r} is {key.status(self._clock())}, so every request with it is refused.", "key")
        return key

    def _account_id(self, wanted: str) -> str:
        """Of a label or an id."""
        known = {account.label: account.id for account in self._snapshot().accounts}
        return known.get(wanted) or self._find(wanted).id

    def _backend(self, row: Json) -> Json:
        live = self._live(row["id"])
        speed = None if live.latency_ms is None else round(live.latency_ms)
        figures = {"latency_ms": speed, "error_rate": round(live.error_rate, 4)}
        return {**{name: row[name] for name in BACKEND_FACTS}, **figures, **counted(live)}

    async def _put_strategy(self, name: str, body: object) -> Json:
        given = body.get("strategy") if isinstance(body, Mapping) else None
        wanted = name or given
        if not isinstance(wanted, str) or not wanted or (isinstance(body, Mapping) and set(body) - {"strategy"}):
            raise bad_request('The body must be a JSON object with the one field "strategy".', "strategy")
        if given is not None and given != wanted:
            raise bad_request(f"strategy: the path says {name!r} and the body {given!r}.", "strategy")
        await self.set_config({"strategy": wanted})
        return {"strategy": self.settings.strategy}


# ---------------------------------------------------------------- Shapes


def plan_json(plan: Plan, kind: str, now: int, patience: int = 0) -> Json:
    """A plan as people and programs read it. Times are ms UTC, `retry_after` seconds, null when somebody can be tried; `waits_s`: how
    long the request would wait for somebody to be back (it has `patience` ms), null when nobody is in time."""
    attempts = [
        {
            "rank": place + 1,
            "tier": plan.tiers[place] + 1,
            "account": candidate.account.label,
            "provider": candidate.account.provider,
            "model": candidate.model,
            "level": candidate.level,
            "reason": plan.scores[place].words,
            "score": _score(plan.scores[place]),
        }
        for place, candidate in enumerate(plan.attempts)
    ]
    nobody = None if plan.attempts else refusal(plan, now)
    wait = None if plan.attempts else wait_for((entry.until_at for entry in plan.skipped), now, patience)
    return {
        "requested": plan.requested,
        "kind": kind,
        "policy": plan.policy,
        "route": plan.route,
        "note": plan.note,
        "panic": plan.panic,
        "attempts": attempts,
        "skipped": [_skipped(entry) for entry in plan.skipped],
        "retry_after": None if plan.attempts else earliest_recovery(plan, now),
        "waits_s": None if wait is None else wait / 1000,
        "refusal": nobody and {"status": nobody.status, "kind": str(nobody.kind), "message": nobody.message},
    }


def _score(score: Score) -> Json | None:
    """None where the policy gives no points but an order. Points are comparable within a tier only."""
    return {"total": round(score.total, 6), "parts": {name: round(part, 6) for name, part in score.parts.items()}} if score.parts else None


def _skipped(entry: Skipped) -> Json:
    known = entry.until_at is not None and entry.until_at < FOREVER
    return {**entry.as_json(), "until": entry.until_at if known else None, "guess": entry.guess}


def _body(asked: Question) -> bytes:
    """The body, with the model that is asked about where the format has it in the body; b"" when none was given."""
    if asked.body is None:
        return b""
    named = asked.model.strip() and not asked.wire.startswith("gemini")
    return msgspec.json.encode({**asked.body, "model": asked.model.strip()} if named else asked.body)


def _named(name: str, body: object) -> tuple[str, object]:
    """The name, from the path or else from the body, and what is left of the body."""
    if name:
        return name, body
    if not isinstance(body, Mapping):
        raise bad_request("The body must be a JSON object.")
    given = body.get("name")
    if not isinstance(given, str) or not given:
        raise bad_request("The field 'name' is missing.", "name")
    return given, {field: value for field, value in body.items() if field != "name"}
