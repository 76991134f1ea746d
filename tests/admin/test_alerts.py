"""Channels through the admin operations: what is taken, what is shown, and what never is. J-09"""

from __future__ import annotations

import json
from typing import Any

import pytest

from omni_connector.admin import Admin
from omni_connector.alerts.channels import Verdict
from omni_connector.alerts.telling import KIND
from omni_connector.errors import GatewayError, Kind
from omni_connector.store import alerts as table
from omni_connector.store import jobs as queue
from omni_connector.store.alerts import Channel
from tests.admin.conftest import NOW, House

URL = "https://oapi.dingtalk.com/robot/send?access_token=0123456789abcdef"
SLACK = "https://hooks.slack.com/services/T0123456/B0123456/abcdefghijkl"


async def test_a_channel_is_added_changed_and_removed(admin: Admin, house: House) -> None:  # J-09
    made = await admin.add_alert_channel({"url": f" {URL} ", "secret": "SEC-of-mine", "kinds": ["low_balance"]})
    assert made == {
        "id": made["id"],
        "kind": "dingtalk",
        "label": "DingTalk",
        "name": "dingtalk",
        "hint": "oapi.dingtalk.com",
        "signed": True,
        "kinds": ["low_balance"],
        "enabled": True,
        "created_at": NOW,
        "last_ok_at": None,
        "last_error": None,
    }
    stored = await house.db.run(lambda conn: table.find_channel(conn, house.vault, made["id"]))
    assert stored is not None
    assert (stored.url, stored.secret) == (URL, "SEC-of-mine")
    assert (await admin.add_alert_channel({"url": URL}))["name"] == "dingtalk-2"
    assert (await admin.add_alert_channel({"url": SLACK, "name": "team", "enabled": False}))["kind"] == "slack"
    changed = await admin.edit_alert_channel(made["id"], {"name": "people", "kinds": None, "secret": None, "enabled": False})
    assert (changed["name"], changed["kinds"], changed["signed"], changed["enabled"]) == ("people", [], False, False)
    await admin.edit_alert_channel(made["id"], {"url": URL + "1"})
    stored = await house.db.run(lambda conn: table.find_channel(conn, house.vault, made["id"]))
    assert stored is not None
    assert (stored.url, stored.name) == (URL + "1", "people")
    assert (await admin.remove_alert_channel(made["id"]))["removed"]
    assert [channel["name"] for channel in (await admin.alert_channels())["channels"]] == ["dingtalk-2", "team"]
    for work in (admin.remove_alert_channel, admin.test_alert_channel):
        with pytest.raises(GatewayError) as told:
            await work(made["id"])
        assert told.value.kind is Kind.NOT_FOUND
    names = [name for name, _ in house.events]
    assert names[0] == "alert-channel"
    assert names[-1] == "alert-channel-removed"
    shown = json.dumps([await admin.alerts(), await admin.alert_channels(), house.events])
    for secret in ("0123456789abcdef", "SEC-of", "T0123456", "abcdefghijkl"):
        assert secret not in shown


@pytest.mark.parametrize(
    ("body", "param", "says"),
    [
        ({}, "url", "missing"),
        ({"url": ""}, "url", "one address"),
        ({"url": "https://a.example/\x00"}, "url", "one address"),
        ({"url": "https://a.example/ b"}, "url", "one address"),
        ({"url": "https://a.example/" + "x" * 5000}, "url", "4096"),
        ({"url": "http://a.example/x"}, "url", "https"),
        ({"url": "https://10.0.0.1/x"}, "url", "public internet"),
        ({"url": "https://u:p@a.example/x"}, "url", "credentials"),
        ({"url": URL, "kind": "dingdong"}, "kind", "dingtalk"),
        ({"url": SLACK, "secret": "x"}, "secret", "not signed"),
        ({"url": URL, "secret": "a\nb"}, "secret", "printable"),
        ({"url": URL, "kinds": ["low_balanse"]}, "kinds", "low_balance"),
        ({"url": URL, "name": "a/b"}, "label", "/"),
        ({"url": URL, "token": "x"}, "token", "no field"),
        ({"url": "ntfys://n.example/t", "kind": "webhook"}, "url", "http"),
    ],
)
async def test_mistakes_are_said_without_the_address(admin: Admin, body: Any, param: str, says: str) -> None:
    with pytest.raises(GatewayError, match=says) as told:
        await admin.add_alert_channel(body)
    assert (told.value.kind, told.value.param) == (Kind.BAD_REQUEST, param)
    assert "u:p" not in told.value.message
    assert (await admin.alert_channels())["channels"] == []


async def test_apprise_is_offered_only_where_it_is_installed(admin: Admin, monkeypatch: pytest.MonkeyPatch) -> None:
    from omni_connector.admin import alerts as module

    monkeypatch.setattr(module, "has_apprise", lambda: False)
    with pytest.raises(GatewayError, match=r"omni-connector\[notify\]"):
        await admin.add_alert_channel({"url": "ntfys://n.example/topic-1"})
    assert "apprise" not in [kind["id"] for kind in (await admin.alert_channels())["channel_kinds"]]
    monkeypatch.setattr(module, "has_apprise", lambda: True)
    made = await admin.add_alert_channel({"url": "ntfys://n.example/topic-1"})
    assert (made["kind"], made["hint"]) == ("apprise", "ntfys://…")


async def test_the_own_network_is_open_where_the_setting_says_so(admin: Admin) -> None:
    await admin.set_config({"alert_private_targets": True})
    assert (await admin.add_alert_channel({"url": "http://127.0.0.1:9/x"}))["kind"] == "webhook"


async def test_names_are_unique(admin: Admin) -> None:
    await admin.add_alert_channel({"url": URL, "name": "ops"})
    with pytest.raises(GatewayError, match="'ops'") as told:
        await admin.add_alert_channel({"url": SLACK, "name": "ops"})
    assert told.value.kind is Kind.CONFLICT


async def test_a_corrected_address_is_tried_at_once(admin: Admin, house: House) -> None:
    made = await admin.add_alert_channel({"url": URL})
    await house.db.tx(lambda conn: queue.wake(conn, KIND, made["id"], NOW, NOW + 3_600_000))
    await admin.edit_alert_channel(made["id"], {"name": "ops"})
    assert [job.due_at for job in await house.db.run(queue.list_jobs)] == [NOW + 3_600_000]
    await admin.edit_alert_channel(made["id"], {"url": URL + "1"})
    assert [job.due_at for job in await house.db.run(queue.list_jobs)] == [NOW]


async def test_the_test_button(admin: Admin, house: House) -> None:
    made = await admin.add_alert_channel({"url": URL})
    with pytest.raises(GatewayError, match="cannot test"):
        await admin.test_alert_channel(made["id"])

    class Says:
        verdict = Verdict("ok")

        async def test(self, channel: Channel) -> Verdict:
            assert channel.url == URL
            return self.verdict

    admin.teller = Says()  # type: ignore[assignment]
    assert await admin.test_alert_channel(made["id"]) == {"ok": True, "message": "dingtalk took the test message."}
    Says.verdict = Verdict("never", "it answers 310000: sign not match")
    assert await admin.test_alert_channel(made["id"]) == {"ok": False, "message": "dingtalk: it answers 310000: sign not match"}


async def test_alerts_open_and_past(admin: Admin, house: House) -> None:
    for number in range(3):
        await house.db.tx(lambda conn, at=NOW + number: table.open_alert(conn, "low_balance", f"acc_{at}", "words", at))  # type: ignore[misc]
    await house.db.tx(lambda conn: table.end_alert(conn, "low_balance", f"acc_{NOW}", NOW + 9))
    first = await admin.alerts({"limit": "2"})
    assert [alert["state"] for alert in first["alerts"]] == ["open", "open"]
    second = await admin.alerts({"limit": "2", "before": first["next"]})
    assert [(alert["state"], alert["ended_at"]) for alert in second["alerts"]] == [("ended", NOW + 9)]
    assert second["next"] is None
    assert first["kinds"]["low_balance"] == "Low balance"
    for wrong in ({"limit": "0"}, {"limit": "999"}, {"page": "2"}):
        with pytest.raises(GatewayError):
            await admin.alerts(wrong)
