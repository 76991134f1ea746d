"""Exporting: what is stored, as a file."""

from __future__ import annotations

import json
from typing import Any

import pytest

from omni_connector.admin import Admin
from omni_connector.errors import GatewayError, Kind

Json = dict[str, Any]


async def filled(admin: Admin) -> list[str]:
    made = []
    for label, secret in (("work", "sk-SECRET-1"), ("spare", "sk-SECRET-2")):
        body = {"provider": "openai", "label": label, "api_key": secret, "headers": {"x-a": "h-SECRET"}, "discover": False}
        made.append((await admin.add_account(body))["id"])
    return made


async def test_all_accounts_with_their_credentials(admin: Admin) -> None:  # P-14, P-26
    await filled(admin)
    told = await admin.export_accounts({})
    said = json.loads(told["content"])
    assert {one["label"]: one["api_key"] for one in said["accounts"]} == {"work": "sk-SECRET-1", "spare": "sk-SECRET-2"}
    assert (said["format"], said["secrets"], told["accounts"], told["encrypted"]) == ("omni-connector", True, 2, False)
    assert "plain text" in told["warning"]
    assert told["filename"] == "omni-connector-accounts-2026-11-18.json"


async def test_chosen_ones_and_without_secrets(admin: Admin) -> None:
    work, _ = await filled(admin)
    told = await admin.export_accounts({"ids": [work], "secrets": False, "include": []})
    assert "SECRET" not in told["content"]
    assert [one["label"] for one in json.loads(told["content"])["accounts"]] == ["work"]
    assert told["warning"] == ""


async def test_what_is_set_for_a_provider_as_a_whole_is_no_part_of_its_accounts(admin: Admin) -> None:
    await filled(admin)
    await admin.edit_provider("openai", {"enabled": False, "base_url": "https://proxy.test/v1"})
    said = json.loads((await admin.export_accounts({}))["content"])
    assert [(one["enabled"], one["base_url"]) for one in said["accounts"]] == [(True, ""), (True, "")]


async def test_encrypted(admin: Admin) -> None:
    await filled(admin)
    told = await admin.export_accounts({"passphrase": "correct horse"})
    assert (told["encrypted"], told["warning"], "SECRET" in told["content"]) == (True, "", False)
    assert told["filename"].endswith(".encrypted.json")


async def test_oneproxy_s_list(admin: Admin) -> None:  # P-28
    await filled(admin)
    await admin.add_account({"provider": "ollama", "label": "box", "discover": False})
    told = await admin.export_accounts({"format": "oneproxy"})
    assert {(one["provider"], one["email"]) for one in json.loads(told["content"])} == {("openai", "work"), ("openai", "spare")}
    assert (told["accounts"], told["left_out"]) == (2, 1)


async def test_settings_leave_secret_ones_out(admin: Admin) -> None:
    await admin.set_config({"strategy": "cost", "required_api_key": "key-SECRET"})
    told = await admin.export_accounts({"include": ["settings"]})
    assert json.loads(told["content"])["settings"] == {"strategy": "cost"}
    assert "SECRET" not in told["content"]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"format": "xml"}, Kind.BAD_REQUEST),
        ({"include": ["everything"]}, Kind.BAD_REQUEST),
        ({"passphrase": "short"}, Kind.BAD_REQUEST),
        ({"format": "oneproxy", "secrets": False}, Kind.BAD_REQUEST),
        ({"ids": ["acc_no"]}, Kind.NOT_FOUND),
        ({"path": "/etc/passwd"}, Kind.BAD_REQUEST),
        ([], Kind.BAD_REQUEST),
    ],
    ids=str,
)
async def test_refusals(admin: Admin, body: Any, kind: Kind) -> None:
    with pytest.raises(GatewayError) as error:
        await admin.export_accounts(body)
    assert error.value.kind is kind
