import pytest

from omni_connector.errors import GatewayError
from tests.clients.conftest import URL, Machine

CONFIG = """name: Mine
version: 0.0.1
schema: v1
models:
    - name: Local  # mine
      provider: ollama
      model: qwen3
context:
    - provider: code
"""


def test_our_model_is_the_first_of_the_list(machine: Machine) -> None:
    machine.put(".continue/config.yaml", CONFIG)
    text = machine.text("continue", ".continue/config.yaml")
    before, _, rest = text.partition("    # >>> omni-connector >>>\n")
    ours, _, after = rest.partition("    # <<< omni-connector <<<\n")
    assert before + after == CONFIG
    assert ours.startswith("    - name: omni-connector\n      provider: openai\n")
    assert f'      apiBase: "{URL}/v1"\n' in ours
    machine.points_here_and_back("continue")


def test_there_and_back_from_nothing(machine: Machine) -> None:
    assert machine.text("continue", ".continue/config.yaml").startswith("name: Local Config\nversion: 1.0.0\nschema: v1\nmodels:\n  # >>>")
    machine.points_here_and_back("continue")


def test_an_older_form_is_not_hidden(machine: Machine) -> None:
    machine.put(".continue/config.json", "{}")
    with pytest.raises(GatewayError, match="would hide"):
        machine.plan("continue")
