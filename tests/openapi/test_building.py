"""The document and the program name the same calls, the same fields and the same statuses."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from omni_connector.openapi import OPERATIONS, Operation, building, document
from omni_connector.openapi.account_calls import FORM
from omni_connector.openapi.shapes import COMPONENTS
from omni_connector.paths import POSTS, client_route
from tests.desk import ADMIN_READS, Desk, closed, opened

try:
    import jsonschema_rs as SCHEMA  # a tool of its own, beside the locked ones
except ModuleNotFoundError:
    SCHEMA = None

Json = dict[str, Any]
BASE = "http://localhost:38471"
PAGES = {
    "/": "the dashboard",
    "/static/{filename}": "its files",
    "/favicon.ico": "its picture",
    **dict.fromkeys(("/oauth/callback", "/auth/callback", "/oauth-callback", "/oauth2callback"), "where providers send browsers back to"),
}
"""Paths that are no API, and why."""
VERB = ":countTokens"
"""What Quart's route for POST …/models/NAME takes; the other verbs are served ahead of it."""


@pytest.fixture
async def desk(migrated_home: Path, tmp_path: Path) -> AsyncIterator[Desk]:
    desk = await opened(migrated_home, tmp_path / "home")
    yield desk
    await closed(desk)


def routes(desk: Desk) -> set[tuple[str, str]]:
    """Method and path of everything that is served, spelled as the document does."""
    found = {("POST", path) for path in POSTS}
    for verb in ("generateContent", "streamGenerateContent", "embedContent", "batchEmbedContents"):
        for path in (f"/v1/models/{{model}}:{verb}", f"/v1beta/models/{{model}}:{verb}"):
            assert client_route(path) is not None
            found.add(("POST", path))
    found |= {(method, f"/{{provider}}{path}") for method, path in found}
    for rule in desk.app.url_map.iter_rules():
        for path in spelled(rule.rule):
            for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
                counts = method == "POST" and path.endswith("/models/{name}")
                found.add((method, path.replace("{name}", "{model}") + VERB if counts else path))
    return {(method, path) for method, path in found if path not in PAGES}


def spelled(rule: str) -> list[str]:
    """`/a/<any(b, c):x>/<path:y>` → /a/b/{y}, /a/c/{y}."""
    one_of = re.search(r"<any\(([^)]*)\):\w+>", rule)
    if one_of is None:
        return [re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule)]
    words = [word.strip(" '\"") for word in one_of[1].split(",")]
    return [path for word in words for path in spelled(rule.replace(one_of[0], word, 1))]


async def test_every_route_is_described_and_nothing_else(desk: Desk) -> None:  # C-67…C-79, C-84…C-92, R-48…R-51
    served, told = routes(desk), {(operation.method, operation.path) for operation in OPERATIONS}
    assert sorted(served - told) == [], "served, but not in omni_connector/openapi"
    assert sorted(told - served) == [], "described, but not served"
    assert len(told) == len(OPERATIONS), "described twice"


async def test_the_document_is_one_and_open_to_whoever_may_look(desk: Desk) -> None:
    answer = await desk.ask("GET", "/openapi.json")
    told = await answer.get_json()
    assert (answer.status_code, told) == (200, json.loads(json.dumps(document(BASE))))
    assert (await desk.ask("GET", "/openapi.json", host="evil.example")).status_code == 421
    names = [each["operationId"] for path in told["paths"].values() for each in path.values()]
    assert len(names) == len(set(names))
    references = set(re.findall(r"#/components/schemas/(\w+)", json.dumps(told)))
    assert references <= told["components"]["schemas"].keys()
    if SCHEMA is not None:
        for schema in told["components"]["schemas"].values():
            SCHEMA.meta.validate(schema)


STRUCTS = [operation for operation in OPERATIONS if isinstance(operation.body, type) and operation.path.startswith(("/api", "/v1/router"))]


@pytest.mark.parametrize("operation", STRUCTS, ids=lambda operation: operation.call)
async def test_the_fields_are_those_that_are_read(desk: Desk, operation: Operation) -> None:
    """A field that nobody knows is refused by naming all there are: these must be the documented ones."""
    assert isinstance(operation.body, type)
    admin = desk.gateway.admin
    await admin.add_account({"provider": "demo", "label": "demo", "discover": False})
    known = {"account_id": (await admin.accounts())["accounts"][0]["id"], "key_id": (await admin.create_key({}))["id"]}
    channel = await admin.add_alert_channel({"url": "https://alerts.invalid/x", "kind": "webhook"})
    known |= {"channel_id": channel["id"], "provider_id": "demo", "wanted": "demo", "name": "demo", "subject": "demo", "pattern": "gpt-x"}
    path = re.sub(r"\{(\w+)\}", lambda hit: known.get(hit[1], "x"), operation.path)
    nonsense: Json = {"no_such_field": 1} | ({"content": "x"} if FORM in operation.body_kinds else {})
    if operation.path.endswith("/backup"):
        nonsense["passphrase"] = "long enough"
    answer = await desk.ask(operation.method, path, nonsense, authorization=desk.admin["authorization"])
    message = (await answer.get_json())["error"]["message"]
    fields = {field.encode_name for field in msgspec.structs.fields(operation.body)}
    if FORM in operation.body_kinds:
        return  # what is no instruction is taken for the file itself
    assert answer.status_code == 400
    assert {word.strip() for word in message.partition("Fields: ")[2].rstrip(".").split(",")} == fields, message


async def test_what_is_read_looks_as_it_is_described(desk: Desk) -> None:
    """With strict eyes: every field of the first thing of each kind is there (an empty list proves nothing)."""
    admin = desk.gateway.admin
    await admin.add_account({"provider": "demo", "label": "demo", "discover": False, "budget": {"amount": 1}})
    await admin.create_key({"name": "laptop", "budget": {"amount": 1, "period": "day"}})
    await admin.set_price("gpt-x", {"input": "1", "output": "2"})
    await admin.set_limit("model", "gpt-x", {"rpm": 5})
    await admin.add_alert_channel({"url": "https://alerts.invalid/x", "kind": "webhook"})
    told = document(BASE)
    table = {(operation.method, operation.path): operation for operation in OPERATIONS}
    for path in ADMIN_READS:
        operation = table[("GET", path.replace("/providers/openai", "/providers/{provider_id}"))]
        if operation.kinds[0] != "application/json":
            continue
        answer = await desk.ask("GET", path, **desk.admin)
        described = told["paths"][operation.path]["get"]["responses"][str(answer.status_code)]["content"]["application/json"]["schema"]
        if SCHEMA is not None:
            SCHEMA.validate({**described, "components": told["components"]}, await answer.get_json())


def test_a_refusal_is_said_where_it_can_come() -> None:
    table = {operation.call: building.refusals(operation) for operation in OPERATIONS}
    assert table["GET /api/keys"] == (401, 403, 421)
    assert {400, 401, 409, 413} <= set(table["POST /api/accounts"])
    assert {400, 402, 404, 429, 502, 503, 504} <= set(table["POST /v1/chat/completions"])
    assert table["GET /health"] == ()
    assert 503 in {status for operation in OPERATIONS for status in operation.answers}


def test_names_of_answers_and_bodies_are_kept_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "COMPONENTS", {**COMPONENTS, "NewKey": "object"})
    with pytest.raises(ValueError, match="NewKey"):
        building._components()
