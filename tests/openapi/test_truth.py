"""/openapi.json tells the truth: schemathesis calls what it describes, with what it allows and what it does not, and believes no answer.

A bounded number of made-up requests an operation; more by `OMNI_EXAMPLES=200 pytest tests/openapi/test_truth.py`.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar, cast

import hypothesis
import pytest
import requests
from hypothesis import strategies as st
from schemathesis import GenerationMode, Response
from schemathesis.checks import CHECKS
from schemathesis.openapi import from_dict

from omni_connector import secrets
from omni_connector.admin import now_ms
from omni_connector.openapi import OPERATIONS, Operation, document
from omni_connector.store import jobs as job_rows
from tests.desk import HERE, HOST, Desk, closed, opened

Json = dict[str, Any]
T = TypeVar("T")
BASE = f"http://{HOST}"
EXAMPLES = int(os.environ.get("OMNI_EXAMPLES", "2"))
ENDLESS = ("/api/events", "/api/requests/tail")
"""Streams without an end; test_app_books and test_app read them."""
TWINS = "/{provider}/"
"""The same handlers again: one request each shows that they are there."""
NAMED = ("status_code_conformance", "content_type_conformance", "response_headers_conformance", "response_schema_conformance")


STRICT = (*NAMED, "negative_data_rejection")
"""The admin API also refuses bodies that it does not describe; the client API passes them on to providers. (Of a parameter that is
said twice the first counts, so in addresses there is little that is wrong.)"""


class Rig:
    """The app in a loop of its own thread: schemathesis is synchronous."""

    def __init__(self, migrated_home: Path, home: Path) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.desk: Desk = self.wait(opened(migrated_home, home))
        self.key: str = self.wait(self.desk.gateway.admin.create_key({"name": "tester"}))["key"]
        self.known: dict[str, list[str]] = {}
        self.touched = True

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def close(self) -> None:
        self.wait(closed(self.desk))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def furnish(self) -> None:
        """One of everything, and by which parameter it is asked for. What the test before has removed is there again."""
        self.known = self.wait(self._furnished())
        self.touched = False

    async def _furnished(self) -> dict[str, list[str]]:
        admin = self.desk.gateway.admin
        for account in (await admin.accounts())["accounts"]:
            await admin.remove_account(account["id"])
        for channel in (await admin.alert_channels())["channels"]:
            await admin.remove_alert_channel(channel["id"])
        account = await admin.add_account({"provider": "demo", "label": "demo", "discover": False})
        await admin.enable_provider("demo")
        key = await admin.create_key({"name": "laptop", "budget": {"amount": 1, "period": "day"}})
        await admin.set_alias("fast", {"targets": ["demo"]})
        await admin.set_chain("careful", {"tiers": [["demo"]]})
        await admin.set_price("gpt-x", {"input": "1", "output": "2"})
        await admin.set_limit("provider", "demo", {"rpm": 1_000_000})
        await admin.set_limit("model", "gpt-x", {"rpm": 1_000_000})
        channel = await admin.add_alert_channel({"kind": "webhook", "url": "https://alerts.invalid/x", "name": account["id"]})
        (self.desk.gateway.home / "notes.txt").write_text("nothing\n")
        body = {"model": "demo", "messages": [{"role": "user", "content": "hello"}]}
        answer = await self.desk.ask("POST", "/v1/chat/completions", body, authorization=f"Bearer {self.key}")
        job = await self.desk.gateway.db.tx(lambda conn: job_rows.ensure(conn, "snapshot", "", None, None, now_ms(), due_at=1 << 50))
        return {
            "account_id": [account["id"]], "wanted": ["demo"], "provider_id": ["demo"], "provider": ["demo"], "key_id": [key["id"]],
            "name": ["fast", "careful", "notes.txt", "cost"], "subject": ["demo", "gpt-x"], "pattern": ["gpt-x"],
            "channel_id": [channel["id"]], "request_id": [answer.headers["x-omni-request-id"]], "job_id": [job.id],
            "model": ["demo"], "flow_id": ["flow_x"], "response_id": ["resp_x"],
        }  # fmt: skip

    def send(self, case: Any, operation: Operation) -> Response:
        if operation.access == "client" and isinstance(case.body, dict) and "model" in case.body:
            case.body["model"] = "demo"  # a made-up name would be refused before anything else is looked at
        prepared = requests.Request(**case.as_transport_kwargs(base_url=BASE)).prepare()
        key = self.key if operation.access == "client" else self.desk.gateway.admin_key
        headers = {name: str(value) for name, value in prepared.headers.items() if name.lower() not in ("content-length", "cookie")}
        prepared.headers.update(headers | {"host": HOST, "authorization": f"Bearer {key}"})
        return self.wait(self._sent(prepared))

    async def _sent(self, prepared: requests.PreparedRequest) -> Response:
        body = prepared.body.encode() if isinstance(prepared.body, str) else prepared.body
        headers = {name: value for name, value in prepared.headers.items() if name.lower() != "x-api-key"}
        answer = await self.desk.client.open(prepared.path_url, method=prepared.method, headers=headers, data=body, scope_base=HERE)
        told = {name.lower(): answer.headers.getlist(name) for name, _ in answer.headers}
        return Response(answer.status_code, told, await answer.get_data(as_text=False), request=prepared, elapsed=0.0, verify=False)


@pytest.fixture(scope="module")
def rig(migrated_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    patch = pytest.MonkeyPatch()
    patch.setattr(secrets, "hash_password", lambda text: f"hash:{text}")  # 0.2 s each, and tested in test_secrets
    patch.setattr(secrets, "verify_password", lambda text, stored: stored == f"hash:{text}")
    rig = Rig(migrated_home, tmp_path_factory.mktemp("truth") / "home")
    yield rig
    rig.close()
    patch.undo()


TABLE = {(operation.method, operation.path): operation for operation in OPERATIONS}
DESCRIBED: list[Any] = [found.ok() for found in cast(Any, from_dict(document(BASE)).get_all_operations())]


@pytest.mark.parametrize("described", [d for d in DESCRIBED if d.path not in ENDLESS], ids=lambda d: f"{d.method.upper()} {d.path}")
def test_every_answer_is_as_it_is_described(rig: Rig, described: Any) -> None:
    operation = TABLE[described.method.upper(), described.path]
    if rig.touched:
        rig.furnish()
    rig.touched = operation.access != "client" and operation.method != "GET"
    names = [name for name in rig.known if f"{{{name}}}" in operation.path]
    fixed: Any = st.fixed_dictionaries({name: st.sampled_from(rig.known[name]) for name in names})
    names_of_checks = STRICT if operation.access == "admin" and operation.query is None else NAMED
    once = operation.path.startswith(TWINS)
    takes_something = operation.body is not None or operation.query is not None
    modes = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE] if takes_something and not once else [GenerationMode.POSITIVE]

    @hypothesis.seed(7)
    @hypothesis.settings(
        max_examples=1 if once else EXAMPLES,
        phases=[hypothesis.Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(data=st.data())
    def look(data: st.DataObject) -> None:
        for mode in modes:
            found: Any = data.draw(st.one_of(st.none(), fixed)) if names else None
            case = data.draw(described.as_strategy(generation_mode=mode, **({"path_parameters": found} if found else {})))
            response = rig.send(case, operation)
            assert response.status_code != 500, (case.as_curl_command(), response.text)
            case.validate_response(response, checks=[CHECKS.get_one(name) for name in names_of_checks])

    look()
