import pytest

from omni_connector.errors import GatewayError
from tests.clients.conftest import URL, Machine


def test_values_are_replaced_where_they_stand(machine: Machine) -> None:
    machine.put(".aider.conf.yml", "# mine\nmodel: gpt-5  # big\nauto-commits: false\nread:\n  - CONVENTIONS.md\n")
    lines = machine.text("aider", ".aider.conf.yml").splitlines()
    assert lines[:5] == ["# mine", 'model: "openai/auto"  # big', "auto-commits: false", "read:", "  - CONVENTIONS.md"]
    assert lines[5:] == [
        'weak-model: "openai/auto"', f'openai-api-base: "{URL}/v1"', f'openai-api-key: "{machine.key}"', "show-model-warnings: false"
    ]  # fmt: skip
    machine.points_here_and_back("aider")


def test_there_and_back_from_nothing(machine: Machine) -> None:
    machine.points_here_and_back("aider")
    machine.apply("aider", "gpt-5")
    pointing = machine.read("aider")
    assert pointing is not None
    assert pointing.model == "gpt-5"


@pytest.mark.parametrize("text", ["- a\n- list\n", "model:\n  - x\n", "model: |\n  x\n", "{model: x}\n"])
def test_what_is_written_otherwise_is_left_alone(machine: Machine, text: str) -> None:
    machine.put(".aider.conf.yml", text)
    with pytest.raises(GatewayError, match="is left as it is"):
        machine.plan("aider")
