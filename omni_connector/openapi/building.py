"""The document: the rows of the tables as OpenAPI 3.1, with the schemas of the Structs that read the bodies."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import msgspec
from msgspec import Struct

from omni_connector import __version__
from omni_connector.errors import CALLER_STATUSES, KINDS, Kind
from omni_connector.openapi import account_calls, client_calls, system_calls
from omni_connector.openapi.operation import JSON, Json, Operation
from omni_connector.openapi.shapes import COMPONENTS, reference, schema

OPERATIONS: tuple[Operation, ...] = tuple(
    replace(operation, tag=tag)
    for table in (client_calls.TAGS, account_calls.TAGS, system_calls.TAGS)
    for tag, rows in table.items()
    for operation in rows
)
"""Every call of the client and the admin API."""

_TEMPLATE = "#/components/schemas/{name}"
UNGUARDED = ("/health", "/ready")
"""What balancers ask, under whatever name of the host."""
_PARAMETER = re.compile(r"\{(\w+)\}")
UPSTREAM = tuple(sorted({info.status for info in KINDS.values() if info.status not in (405, 499, 500)} | set(CALLER_STATUSES)))
"""What a call that accounts answer can be refused with."""
MEANINGS: Mapping[int, str] = {
    400: "The request is malformed, or a value is not allowed; `param` names the field.",
    401: "The key is missing or wrong.",
    402: KINDS[Kind.BUDGET_SPENT].meaning,
    403: "Not allowed to whoever asks, or from where it was asked.",
    404: "There is no such thing.",
    409: KINDS[Kind.CONFLICT].meaning,
    413: "The body is too large.",
    415: "The body is compressed, or of a kind that is not taken.",
    421: "The dashboard does not answer to this host name.",
    422: "The provider cannot work with the request.",
    429: "Too much in too short a time; `Retry-After` says how long to wait.",
    502: "The provider refused the account, failed, or was not reached.",
    503: "Nobody can serve the request now; `provider_failures` names every candidate with its reason.",
    504: "The provider did not answer in time.",
}
SECURITY: Mapping[str, list[Json]] = {
    "admin": [{"adminKey": []}, {"session": []}],
    "client": [{"clientKey": []}, {"xApiKey": []}, {"xGoogApiKey": []}, {"queryKey": []}],
    "open": [{}],
}
SCHEMES: Mapping[str, Json] = {
    "adminKey": {"type": "http", "scheme": "bearer", "description": "The admin key, which stands in admin.key of OMNI_HOME."},
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "omni_session",
        "description": "The dashboard's session; changes also carry the header X-CSRF-Token of GET /api/session.",
    },
    "clientKey": {"type": "http", "scheme": "bearer", "description": "A client key (omni-…)."},
    "xApiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"},
    "xGoogApiKey": {"type": "apiKey", "in": "header", "name": "x-goog-api-key"},
    "queryKey": {"type": "apiKey", "in": "query", "name": "key"},
}
ABOUT = (
    "One address and one key for every AI account you own. The client API takes client keys (omni-…), the admin API the admin key or the "
    "dashboard's session. GET calls also answer HEAD. Errors come in the form of the API that was called."
)


def document(base_url: str) -> Json:
    """The OpenAPI document of a server that is reached under `base_url`."""
    return {**_document(), "servers": [{"url": base_url}]}


@cache
def _document() -> Json:
    paths: dict[str, Json] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _described(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "omni-connector", "version": __version__, "description": ABOUT},
        "tags": [{"name": tag} for tag in dict.fromkeys(operation.tag for operation in OPERATIONS)],
        "paths": paths,
        "components": {"schemas": _components(), "securitySchemes": dict(SCHEMES)},
    }


def refusals(operation: Operation) -> tuple[int, ...]:
    """The error statuses of a call: those of its row, and those that come of what it is."""
    found = set(operation.refusals)
    if operation.path in UNGUARDED:
        return tuple(sorted(found))
    found |= {"client": {401}, "admin": {401, 403, 421}, "open": {403, 421}}[operation.access]
    if operation.access == "client" and operation.method == "POST":
        found |= set(UPSTREAM)
    if operation.body is not None or operation.query is not None:
        found |= {400}
    if operation.body is not None:
        found |= {413}
    if _PARAMETER.search(operation.path) or operation.access == "client":
        found |= {404}
    return tuple(sorted(found - set(operation.answers)))


def _described(operation: Operation) -> Json:
    told: Json = {
        "operationId": _name(operation),
        "summary": operation.summary,
        "tags": [operation.tag],
        "parameters": [*_path_parameters(operation), *_query_parameters(operation)],
        "security": SECURITY[operation.access],
        "responses": {
            **{str(status): _answer(operation, status) for status in operation.answers},
            **{str(status): _refusal(status) for status in refusals(operation)},
        },
    }
    if operation.body is not None:
        found = _body(operation.body)
        content = {kind: {"schema": found if kind == JSON else {}} for kind in operation.body_kinds}
        told["requestBody"] = {"content": content, "required": bool(_resolved(operation.body).get("required"))}
    return told


def _name(operation: Operation) -> str:
    words = re.findall(r"\w+", operation.path)
    return "_".join([operation.method.lower(), *words]).replace("-", "_")


def _answer(operation: Operation, status: int) -> Json:
    shape = operation.answers[status]
    content = {kind: {"schema": schema(shape)} if kind == JSON and shape is not None else {} for kind in operation.kinds}
    return {"description": operation.summary if status < 400 else MEANINGS[status], "content": content}


def _refusal(status: int) -> Json:
    return {"description": MEANINGS[status], "content": {JSON: {"schema": reference("Error")}}}


def _path_parameters(operation: Operation) -> Iterable[Json]:
    for name in _PARAMETER.findall(operation.path):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def _query_parameters(operation: Operation) -> Iterable[Json]:
    if operation.query is None:
        return
    found = _resolved(operation.query)
    for name, field in found["properties"].items():
        # In an address there is no null: what is not said is left out.
        choices = [choice for choice in field.get("anyOf", ()) if choice != {"type": "null"}]
        told = choices[0] if len(choices) == 1 else {key: value for key, value in field.items() if key != "default"}
        yield {"name": name, "in": "query", "required": name in found.get("required", ()), "schema": told}


def _body(body: type[Struct] | Json) -> Json:
    return body if isinstance(body, dict) else reference(body.__name__)


def _resolved(body: type[Struct] | Json) -> Json:
    return body if isinstance(body, dict) else _structs()[body.__name__]


@cache
def _structs() -> Mapping[str, Json]:
    """The schemas of all Structs that read a body or a query, by name."""
    kinds = dict.fromkeys(kind for operation in OPERATIONS for kind in (operation.body, operation.query) if isinstance(kind, type))
    _, found = msgspec.json.schema_components(list(kinds), ref_template=_TEMPLATE)
    return {name: _tidy(each) for name, each in found.items()}


def _tidy(found: Json) -> Json:
    """Without the words that are meant for who reads the source, and without an empty list of what is required."""
    return {key: value for key, value in found.items() if key != "description" and (key != "required" or value)}


def _components() -> dict[str, Any]:
    answers = {name: schema(shape) for name, shape in COMPONENTS.items()}
    bodies = {operation.body.__name__ for operation in OPERATIONS if isinstance(operation.body, type)}
    taken = {name: each for name, each in _structs().items() if name in bodies}
    if clash := answers.keys() & taken.keys():
        raise ValueError(f"the name of an answer and of a body: {clash}")
    return {**answers, **taken}
