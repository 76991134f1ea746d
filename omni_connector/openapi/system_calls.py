"""The admin API, second half: books, limits, prices, routing, settings, alerts, files, jobs, and what runs."""

from __future__ import annotations

from collections.abc import Mapping

from omni_connector.admin import bodies
from omni_connector.admin.alerts import AlertQuery, ChannelPatch, NewChannel
from omni_connector.admin.bodies import Followed
from omni_connector.admin.clients import SetUpClient, UndoClient
from omni_connector.admin.health import PARAMS
from omni_connector.admin.limits import LimitBody
from omni_connector.admin.prices import Period, PriceBody, Whose
from omni_connector.admin.reconciliations import Since
from omni_connector.admin.router import Question
from omni_connector.admin.sheets import TYPES
from omni_connector.metrics import CONTENT_TYPE
from omni_connector.openapi.operation import EVENTS, JSON, TEXT, TEXTS, Json, Operation, fields, row
from omni_connector.openapi.shapes import Shape
from omni_connector.settings import SETTINGS, Setting

CSV = (JSON, TYPES["csv"])
_JSON_KIND: Mapping[str, Json] = {
    "str": TEXT,
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "list": {"type": "array", "items": TEXT},
}


def _setting(setting: Setting) -> Json:
    found: Json = {**_JSON_KIND[setting.kind], "description": setting.help}
    if setting.choices:
        found["enum"] = list(setting.choices)
    for name, bound in (("minimum", setting.low), ("maximum", setting.high)):
        if bound is not None:
            found[name] = bound
    return {"anyOf": [found, {"type": "null"}]}


HEALTH: Shape = {
    "healthy": "bool", "status": "text", "ready": "int", "total": "int", "counts": "Counts", "unhealthy_ratio": "number",
    "providers": "object",
}  # fmt: skip
GONE = {"removed": "bool"}
SET_CONFIG: Json = {**fields(**{s.name: _setting(s) for s in SETTINGS if s.stored}), "minProperties": 1}
ALIAS = fields("targets", targets={**TEXTS, "maxItems": 50})
CHAIN = fields("tiers", tiers={"type": "array", "items": {**TEXTS, "maxItems": 50}, "minItems": 1, "maxItems": 50})


def _named(body: Json) -> Json:
    """The same body with its name in it, as the router's calls without a name in the path take it."""
    return {**body, "properties": {"name": TEXT, **body["properties"]}, "required": ["name", *body["required"]]}


BOOKS = (
    row("GET /api/usage", "Requests, tokens and cost by account, model, provider, key, client, day or hour.", "Usage",
        query=bodies.UsageQuery, kinds=CSV),
    row("GET /api/usage/{provider_id}", "The same of one provider.", "Usage", query=bodies.UsageQuery, kinds=CSV),
    row("GET /api/reconciliations", "What providers say that days cost, beside these books.",
        {"accounts": ["object"], "days": ["object"], "tolerance": "object"}, query=Since),
    row("GET /api/requests", "The request log, newest first; `next` is the `before` of the next page.",
        {"requests": ["Request"], "next": "text?"}, query=bodies.RequestFilters, kinds=(JSON, *TYPES.values()), refusals=(404,)),
    row("GET /api/requests/tail", "Each request when it is settled, for ever.", None, query=Followed, kinds=(EVENTS,), refusals=(404,)),
    row("GET /api/requests/{request_id}", "One request with its plan.", "Request"),
    row("GET /api/quota", "What is left of each account's quota and money.", {"accounts": ["object"], "interval_min": "int"}),
)  # fmt: skip

LIMITS = (
    row("GET /api/limits", "The limits of the installation, of providers and of models.", {"limits": ["Limit"]}),
    row("PUT /api/limits/installation", "Limit everything together.", "Limit", body=LimitBody),
    row("DELETE /api/limits/installation", "No limit for everything any more.", "Limit", refusals=(404,)),
    *(
        operation
        for scope in ("provider", "model")
        for operation in (
            row(f"PUT /api/limits/{scope}/{{subject}}", f"Limit a {scope}.", "Limit", body=LimitBody),
            row(f"DELETE /api/limits/{scope}/{{subject}}", f"No limit for the {scope} any more.", "Limit", refusals=(400,)),
        )
    ),
    row("GET /api/prices", "Prices of your own.", {"prices": ["Price"]}),
    row("PUT /api/prices/{pattern}", "The price of a model, or of a family.", "Price", body=PriceBody),
    row("DELETE /api/prices/{pattern}", "Back to the list's price.", "Price", query=Whose),
    row("POST /api/prices/reprice", "Price a period anew, or only tell the difference.",
        {"rows": "int", "changed": "int", "before_usd": "usd", "after_usd": "usd", "dry_run": "bool"}, body=Period, refusals=(409,)),
)  # fmt: skip

SETTINGS_CALLS = (
    row("GET /api/config", "Every setting, the aliases and the chains; secrets are masked.", "Config"),
    row("POST /api/config", "Change settings; null forgets what was set. All or none.", "Config", body=SET_CONFIG),
    row("POST /api/reload-config", "Read the configuration anew. Changes do that by themselves.", {"version": "int"}),
    row("GET /api/aliases/{name}", "What a name stands for.", "Alias"),
    row("PUT /api/aliases/{name}", "Another name for the first target that can serve.", "Alias", body=ALIAS),
    row("DELETE /api/aliases/{name}", "Remove the alias.", "Gone"),
    row("GET /api/chains/{name}", "The tiers of a chain.", "Chain"),
    row("PUT /api/chains/{name}", "Accounts in tiers; the next is for when all of one are out.", "Chain", body=CHAIN),
    row("DELETE /api/chains/{name}", "Remove the chain. Its accounts stay.", "Gone"),
)

ROUTER = (
    row("POST /v1/router/explain", "Whom a request would go to now, and why; nothing is sent.",
        {"requested": "text", "kind": "text", "policy": "text", "route": "text", "attempts": ["object"], "skipped": ["object"],
         "retry_after": "number?", "refusal": "object?"}, body=Question, refusals=(402, 404, 413, 429, 503)),
    row("GET /v1/router/status", "How the whole is, and every account.",
        {"status": "=ok|degraded|down|empty", "version": "text", "uptime_s": "int", "strategy": "text", "in_flight": "int",
         "counts": "Counts", "backends": ["Backend"]}),
    row("GET /v1/router/usage", "Spend by account and by model.", "object", query=bodies.UsageQuery, kinds=CSV),
    row("GET /v1/router/config", "Strategy, accounts, aliases, chains, prices, limits and settings, without secrets.",
        {"strategy": "text", "default_model": "text", "backends": ["Account"], "aliases": "object", "chains": "object",
         "prices": ["Price"], "limits": ["Limit"], "settings": ["Setting"]}),
    row("POST /v1/router/config/backend", "Connect an account.", "Account", 201, body=bodies.NewAccount, refusals=(404, 409)),
    row("POST /v1/router/config/backend/{name}", "Change an account, by id or label.", "Account", body=bodies.AccountPatch,
        refusals=(409,)),
    row("DELETE /v1/router/config/backend/{name}", "Remove an account.", {"id": "text", "label": "text", "removed": "bool"}),
    row("POST /v1/router/config/strategy", "Choose the strategy.", {"strategy": "text"}, body=fields("strategy", strategy=TEXT)),
    row("POST /v1/router/config/strategy/{name}", "Choose the strategy.", {"strategy": "text"}, body=fields(strategy=TEXT)),
    row("DELETE /v1/router/config/strategy", "Back to the default strategy.", {"strategy": "text"}),
    row("DELETE /v1/router/config/strategy/{name}", "Back to the default strategy, if it is this one now.", {"strategy": "text"}),
    *(
        operation
        for part, body, shape in (("alias", ALIAS, "Alias"), ("chain", CHAIN, "Chain"))
        for operation in (
            row(f"POST /v1/router/config/{part}", f"Make or replace the {part}.", shape, body=_named(body)),
            row(f"POST /v1/router/config/{part}/{{name}}", f"Make or replace the {part}.", shape, body=body),
            row(f"DELETE /v1/router/config/{part}/{{name}}", f"Remove the {part}.", "Gone"),
        )
    ),
    *(
        row(f"DELETE /v1/router/config/{part}", "Refused: say which one.", "object", refusals=(400,))
        for part in ("backend", "alias", "chain")
    ),
)  # fmt: skip

ALERTS = (
    row("GET /api/alerts", "Open and past alerts, newest first.",
        {"alerts": ["object"], "channels": ["Channel"], "kinds": "object", "next": "text?"},
        query=AlertQuery),
    row("GET /api/alerts/channels", "Where alerts are sent.", {"channels": ["Channel"], "channel_kinds": ["object"]}),
    row("POST /api/alerts/channels", "Send alerts to one more place.", "Channel", 201, body=NewChannel, refusals=(409,)),
    row("PATCH /api/alerts/channels/{channel_id}", "Change a channel.", "Channel", body=ChannelPatch, refusals=(403, 409)),
    row("DELETE /api/alerts/channels/{channel_id}", "Remove a channel.", GONE, refusals=(403, 409)),
    row("POST /api/alerts/channels/{channel_id}/test", "Send one test message.", {"ok": "bool", "message": "text"}),
)  # fmt: skip

FILES = (
    row("GET /api/upload-configs", "The files of OMNI_HOME, what each is, and what can be done with it.",
        {"home": "text", "files": ["File"]}),
    row("GET /api/upload-configs/view/{name}", "The text of one of them, secrets masked.",
        {"path": "text", "content": "text", "cut": "bool", "kind": "text"}),
    row("DELETE /api/upload-configs/delete/{name}", "Remove one of them, where nothing is lost by it.", {"path": "text", "removed": "bool"},
        refusals=(409,)),
    row("GET /api/upload-configs/download-all", "All that is shown, as it is shown, in one ZIP.", None, kinds=("application/zip",)),
)  # fmt: skip

PROGRAMS = (
    row("GET /api/clients", "Programs on this machine that can be pointed here.", {"url": "text", "clients": ["object"]}),
    row("POST /api/clients/{name}/setup", "Point a program here; `dry_run` only shows the changes.",
        {"client": "text", "files": "array", "diff": "text", "steps": "array", "applied": "bool"}, body=SetUpClient, refusals=(409,)),
    row("POST /api/clients/{name}/undo", "Give the program its former files back.", {"client": "text", "undone": "bool"}, body=UndoClient,
        refusals=(409,)),
    row("GET /api/agent-prompt", "What to tell an agent that sets a tool up.", {"text": "text"}),
)  # fmt: skip

RUNNING = (
    row("GET /api/system", "What runs: version, memory, CPU, uptime, database.",
        {"version": "text", "started_at": "time", "uptime_s": "int", "memory_mb": "number?", "cpu_s": "number", "in_flight": "int",
         "home": "text", "database": "text", "database_away": "object?", "base_url": "text", "python": "text", "pid": "int",
         "server": "text", "node": "text?", "nodes": [{"id": "text", "node": "text?", "started_at": "time", "seen_at": "time"}],
         "mode": "=workers|single|none", "workers": "int", "pids": ["int"], "supervisor": "int?", "listeners": ["object"]}),
    row("POST /api/update/check", "Look whether there is a newer release; nothing is changed.",
        {"present": "text", "offered": "text", "update": "bool", "source": "text", "schema": "object", "previous": "text?",
         "command": "text"},
        refusals=(409,)),
    row("GET /api/service-mode", "How it runs: one process or several, and each of them.",
        {"mode": "=workers|single|none", "pid": "int", "answered_by": "int", "workers": ["object"], "workers_wanted": "int",
         "started_at": "time", "uptime_s": "int", "version": "text", "service": "text?", "listeners": ["object"], "can_reload": "bool"}),
    row("POST /api/service-mode", "`reload`: new processes take over, what runs goes on.", {"action": "text", "accepted": "bool"}, 202,
        body=fields("action", action={"enum": ["reload"]}), refusals=(409,)),
    row("GET /api/jobs", "The jobs that are due, wait, or are paused.", {"jobs": ["Job"]}),
    row("POST /api/jobs/{job_id}/run", "Run a job as soon as somebody is free.", "Job"),
    row("POST /api/jobs/{job_id}/cancel", "Pause a job until it is run by hand.", "Job"),
    row("POST /api/jobs/tick", "Run what is due now, where no clock runs inside; after `seconds` (30) no further job is begun.",
        {"ran": "int", "jobs": [{"kind": "text", "key": "text", "ok": "bool", "error": "text?", "ms": "int"}], "more": "bool",
         "next_due_at": "time?"},
        query=fields(seconds={"type": "integer", "minimum": 1, "maximum": 600})),
    row("GET /api/events", "Server-sent events: a snapshot, then what changes.", None, kinds=(EVENTS,)),
    Operation("GET /provider_health", "Whether somebody can serve: 200, or 503 when nobody can.",
              {200: HEALTH, 503: HEALTH},
              query=fields(**dict.fromkeys(PARAMS, TEXT)), refusals=(404,)),
    row("GET /metrics", "Figures for Prometheus.", None, kinds=(CONTENT_TYPE,)),
    row("GET /openapi.json", "This description.", {"openapi": "text", "paths": "object"}, access="open"),
    row("GET /llms.txt", "What an agent needs to know to use this.", None, kinds=("text/plain; charset=utf-8",), access="open"),
)  # fmt: skip

TAGS: Mapping[str, tuple[Operation, ...]] = {
    "Books": BOOKS,
    "Limits and prices": LIMITS,
    "Settings": SETTINGS_CALLS,
    "Router": ROUTER,
    "Alerts": ALERTS,
    "Files": FILES,
    "Programs": PROGRAMS,
    "Running": RUNNING,
}
