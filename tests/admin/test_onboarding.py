"""Signing in through the admin operations: bodies, what a sign-in becomes, what removing does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from omni_connector.admin import Admin
from omni_connector.errors import GatewayError, Kind
from omni_connector.store import accounts as table
from tests.auth_server import Fault
from tests.signing import Place, opened_place

Json = dict[str, Any]


@pytest.fixture
async def place(migrated_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Place]:
    async with opened_place(migrated_home, tmp_path / "home", monkeypatch) as place:
        yield place


@pytest.fixture
def admin(place: Place) -> Admin:
    return place.gateway.admin


async def signed_in(place: Place, **body: Any) -> Json:
    admin = place.gateway.admin
    flow = await admin.start_sign_in("mock", body)
    return await admin.complete_sign_in(flow["flow_id"], {"code": await place.visit(flow)})


async def refusal(work: Any) -> GatewayError:
    with pytest.raises(GatewayError) as error:
        await work
    return error.value


async def test_a_sign_in_ends_with_the_account(place: Place, admin: Admin) -> None:  # C-19, O-03
    events: list[tuple[str, Json]] = []
    admin._publish = lambda name, value: events.append((name, value))
    flow = await admin.start_sign_in("mock", {"label": " work "})
    assert (await admin.sign_in(flow["flow_id"]))["account"] is None
    told = await admin.complete_sign_in(flow["flow_id"], {"code": await place.visit(flow)})
    assert (told["status"], told["account"]["label"], told["account"]["auth"]) == ("done", "work", "oauth")
    assert told["account"]["options"]["identity"]["email"] == "ada@example.org"
    assert [value["label"] for name, value in events if name == "account"]
    await admin.remove_account(told["account_id"])
    assert (await admin.sign_in(flow["flow_id"]))["account"] is None


@pytest.mark.parametrize("field", ["code", "url", "redirect_url", "redirect_uri", "callback_url"])
async def test_a_paste_by_any_of_its_names(place: Place, admin: Admin, field: str) -> None:
    flow = await admin.start_sign_in("mock", {})
    assert (await admin.complete_sign_in(flow["flow_id"], {field: await place.visit(flow)}))["status"] == "done"


async def test_code_and_state_in_two_fields(place: Place, admin: Admin) -> None:
    flow = await admin.start_sign_in("mock", {})
    values = dict(pair.split("=") for pair in urlsplit(await place.visit(flow)).query.split("&"))
    body = {"code": values["code"], "state": values["state"]}
    assert (await admin.complete_sign_in(flow["flow_id"], body))["status"] == "done"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"label": "a/b"}, "label"),
        ({"label": "x\r\nset-cookie: a=b"}, "label"),
        ({"label": "x" * 65}, "label"),
        ({"options": {"endpoints": {"token": "javascript:alert(1)"}}}, "options.endpoints.token"),
        ({"options": {"region": "mars"}}, "options.region"),
        ({"proxy_url": "ftp://x"}, "proxy_url"),
        ({"account": "nobody"}, "account"),
        ({"colour": "red"}, "colour"),
        ({"headless": "yes"}, "headless"),
    ],
)
async def test_what_a_sign_in_cannot_begin_with(admin: Admin, body: Json, param: str) -> None:
    error = await refusal(admin.start_sign_in("mock", body))
    assert error.param == param


async def test_a_state_with_line_breaks_is_no_state(place: Place, admin: Admin) -> None:
    flow = await admin.start_sign_in("mock", {})
    for pasted in ("code=x&state=y%0d%0aset-cookie:+a", "http://h/?code=a%00b&state=c", "a b", "x" * 20_000, "https://[", "code=1&code=2"):
        error = await refusal(admin.complete_sign_in(flow["flow_id"], {"code": pasted}))
        assert error.kind is Kind.BAD_REQUEST, pasted
    assert (await refusal(admin.complete_sign_in(flow["flow_id"], {}))).param == "code"
    assert (await admin.sign_in(flow["flow_id"]))["status"] == "waiting"


async def test_identity_comes_from_the_provider_alone(place: Place, admin: Admin) -> None:
    told = await signed_in(place, options={"identity": {"email": "eve@example.org", "account_id": "x"}, "signed_in": False, "note": "mine"})
    options = told["account"]["options"]
    assert options["identity"] == {"email": "ada@example.org", "subject": "user-1", "name": "Ada"}
    assert (options["signed_in"], options["note"]) == (True, "mine")


async def test_a_label_of_the_same_provider_means_that_account(place: Place, admin: Admin) -> None:
    first = await signed_in(place, label="work")
    await admin.edit_account(first["account_id"], {"budget": {"amount": "5", "period": "month"}, "models": ["m"]})
    await place.gateway.db.tx(lambda conn: table.set_state(conn, first["account_id"], "needs_login", "refused"))
    await place.gateway.reload()
    again = await signed_in(place, label="work")
    assert again["account_id"] == first["account_id"]
    account = again["account"]
    assert (account["status"], account["models"], account["budget"]["amount"]) == ("ready", ["m"], "5")


async def test_an_account_is_renewed_by_its_id_and_its_cooldowns_end(place: Place, admin: Admin) -> None:
    from omni_connector.snapshot import Cooldown

    first = await signed_in(place)
    out = Cooldown(first["account_id"], "", place.clock.now() + 10**9, "terminal", "locked", created_at=1)
    await place.gateway.db.tx(lambda conn: table.extend_cooldown(conn, out))
    await place.gateway.reload()
    assert (await admin.account(first["account_id"]))["status"] == "locked"
    again = await signed_in(place, account=first["account_id"])
    assert (again["account_id"], again["account"]["status"]) == (first["account_id"], "ready")


async def test_a_label_of_another_provider_is_taken(place: Place, admin: Admin) -> None:
    await admin.add_account({"provider": "demo", "label": "work"})
    error = await refusal(admin.start_sign_in("mock", {"label": "work"}))
    assert (error.kind, error.param) == (Kind.CONFLICT, "label")
    flow = await admin.start_sign_in("mock", {"label": "later"})
    await admin.add_account({"provider": "demo", "label": "later"})
    error = await refusal(admin.complete_sign_in(flow["flow_id"], {"code": await place.visit(flow)}))
    assert error.kind is Kind.CONFLICT
    assert (await admin.sign_in(flow["flow_id"]))["status"] == "failed"


async def test_an_account_that_was_removed_meanwhile_stays_removed(place: Place, admin: Admin) -> None:
    first = await signed_in(place)
    flow = await admin.start_sign_in("mock", {"account": first["account_id"]})
    await admin.remove_account(first["account_id"])
    error = await refusal(admin.complete_sign_in(flow["flow_id"], {"code": await place.visit(flow)}))
    assert error.kind is Kind.NOT_FOUND
    assert place.accounts == ()


async def test_removing_takes_the_grant_back_in_the_background(place: Place, admin: Admin) -> None:
    told = await signed_in(place)
    place.server.fault("revoke", Fault(500))
    assert (await admin.remove_account(told["account_id"]))["removed"]
    await place.until(lambda: place.server.count("revoke"))
    assert place.accounts == ()


async def test_other_accounts_are_added_with_their_key_as_ever(place: Place, admin: Admin) -> None:
    error = await refusal(admin.add_account({"provider": "mock", "auth": "oauth"}))
    assert "/api/oauth/mock/start" in error.message


async def test_a_cancelled_sign_in(place: Place, admin: Admin) -> None:
    flow = await admin.start_sign_in("mock", {})
    assert (await admin.cancel_sign_in(flow["flow_id"]))["status"] == "cancelled"
    assert (await refusal(admin.sign_in("flw_nowhere"))).kind is Kind.NOT_FOUND
