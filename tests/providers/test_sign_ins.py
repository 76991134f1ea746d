from __future__ import annotations

from dataclasses import replace

import pytest

from omni_connector.errors import GatewayError
from omni_connector.providers import PROVIDERS, Provider, SignIn
from omni_connector.providers.sign_ins import made_up, only_one, sign_in_of, signing
from omni_connector.snapshot import Account

KIMI, CUSTOM, OPENAI, CODEX = (PROVIDERS[name] for name in ("kimi-code", "custom-oauth", "openai", "codex"))
OAUTH = {"oauth": {"authorization": "https://id.test/a", "token": "https://id.test/t", "client_id": "c"}}


def test_whose_sign_in_it_is() -> None:
    assert sign_in_of(OPENAI, {}) is None and signing(OPENAI, {}) is OPENAI
    assert sign_in_of(CODEX, {}) is CODEX.sign_in and signing(CODEX, {}) is CODEX
    found = signing(CUSTOM, OAUTH).sign_in
    assert found is not None and (found.token, found.client_id) == ("https://id.test/t", "c")
    with pytest.raises(GatewayError):
        sign_in_of(CUSTOM, {})


def test_a_device_of_its_own_is_made_up_once() -> None:  # P-23
    first, second = made_up(KIMI, {})["device_id"], made_up(KIMI, {})["device_id"]
    assert first != second and made_up(KIMI, {"device_id": first}) == {} and made_up(CODEX, {}) == {}
    found = sign_in_of(KIMI, {"device_id": first})
    assert found is not None and found.headers["x-msh-device-id"] == first
    bare = sign_in_of(KIMI, {})
    assert bare is not None and "x-msh-device-id" not in bare.headers and bare.headers["x-msh-platform"] == "omni-connector"


def test_only_the_oldest_that_is_on_is_used_where_one_alone_may_be() -> None:  # upstreams.md §6B: no pooling
    single = Provider("p", "P", "https://p.test", sign_in=SignIn(single=True))
    rows = {"p": single, "q": replace(single, id="q", sign_in=SignIn())}
    off, old, new = (
        Account(name, "p", name, created_at=at, enabled=on) for name, at, on in (("off", 1, False), ("old", 2, True), ("new", 3, True))
    )
    others = Account("q1", "q", "q1"), Account("q2", "q", "q2"), Account("x", "unknown", "x")
    told = only_one((new, off, old, *others), rows)
    assert [account.enabled for account in told] == [False, False, True, True, True, True]
    assert "that is old" in told[0].switched_off and told[0].own == new and told[1] is off and told[3:] == others
