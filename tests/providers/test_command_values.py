"""The values that an account's program is given: kept as its credential, and nowhere else."""

from __future__ import annotations

from typing import Any

import pytest

from omni_connector import providers
from omni_connector.errors import GatewayError
from omni_connector.providers import command_values
from omni_connector.providers.command_values import MASK
from omni_connector.snapshot import Account

Json = dict[str, Any]


def options(**values: str) -> Json:
    return {"price_id": "x", "command": {"argv": ["tool"], "set": values}}


def account(given: Json, secret: str = "") -> Account:
    return providers.complete(Account("acc_1", "command", "mine", "cli", secret, options=given))


def test_values_are_put_away_kept_replaced_and_removed() -> None:
    kept, secret = command_values.put_away(options(TOKEN="SECRET-1", EMPTY="", GONE="SECRET-2"))
    assert kept == options(TOKEN=MASK, EMPTY=MASK, GONE=MASK)
    stored = account(kept, secret)
    assert command_values.values(stored) == {"TOKEN": "SECRET-1", "EMPTY": "", "GONE": "SECRET-2"}
    assert providers.local_options(stored)["command"] == options(TOKEN="SECRET-1", EMPTY="", GONE="SECRET-2")["command"]
    assert (stored.access, providers.request_headers(providers.get("command"), stored).get("authorization")) == ("", None)
    kept, secret = command_values.put_away(options(TOKEN=MASK, EMPTY="no", NEW="SECRET-3"), command_values.known(stored))
    assert command_values.values(account(kept, secret)) == {"TOKEN": "SECRET-1", "EMPTY": "no", "NEW": "SECRET-3"}
    assert command_values.put_away(options(), command_values.known(stored))[1] == ""
    with pytest.raises(GatewayError) as refused:
        command_values.put_away(options(OTHER=MASK), command_values.known(stored))
    assert refused.value.param == "options.command.set.OTHER"


def test_an_older_row_holds_them_in_its_options() -> None:
    older = account(options(TOKEN="SECRET"))
    assert command_values.filled(older) == options(TOKEN="SECRET")
    assert command_values.shown(older.options) == options(TOKEN=MASK)
    kept, secret = command_values.put_away(older.options, command_values.known(older))
    assert "SECRET" not in str(kept)
    assert command_values.filled(account(kept, secret)) == options(TOKEN="SECRET")


def test_a_name_may_wait_for_its_value() -> None:
    waits = account(options(TOKEN=MASK))
    assert (command_values.known(waits), command_values.values(waits)) == ({"TOKEN": None}, {})
    assert command_values.masked(command_values.filled(waits)) == ["TOKEN"]
    assert command_values.put_away(waits.options, command_values.known(waits)) == (options(TOKEN=MASK), "")


@pytest.mark.parametrize("given", [{}, {"command": None}, {"command": {"set": 3}}, {"command": "x"}, {"command": {"preset": "generic"}}])
def test_without_any_nothing_changes(given: Json) -> None:
    assert command_values.put_away(given) == (given, "")
    assert command_values.filled(account(given)) == given
