import pytest

from omni_connector.clients import CLIENTS, Wanted
from tests.clients.conftest import URL, Machine


@pytest.mark.parametrize("name", ["cursor", "cline", "other"])
def test_steps_have_everything_filled_in_and_nothing_is_written(machine: Machine, name: str) -> None:  # O-14, P-56
    client = CLIENTS[name]
    steps = "\n".join(client.steps(machine.places, Wanted(URL, machine.key, "gpt-5")))
    assert f"{URL}/v1" in steps
    assert machine.key in steps
    assert "gpt-5" in steps
    assert not client.writes
    assert machine.plan(name) == []


def test_cursor_s_limit_is_said(machine: Machine) -> None:
    assert "cannot reach an address of this machine" in "\n".join(CLIENTS["cursor"].steps(machine.places, Wanted(URL, "k", "auto")))
