import tomllib

import pytest

from omni_connector.errors import GatewayError
from tests.clients.conftest import URL, Machine

CONFIG = """# my Codex
model = "gpt-5.5"   # the good one
approval_policy = "on-request"

[projects."/home/me/work"]
trust_level = "trusted"

# a server
[mcp_servers.x]
command = "npx"
"""


def test_a_provider_of_its_own_beside_what_is_there(machine: Machine) -> None:  # P-56
    machine.put(".codex/config.toml", CONFIG)
    text = machine.text("codex", ".codex/config.toml")
    assert 'model = "auto"   # the good one\n' in text
    assert CONFIG.splitlines()[4:] == text.splitlines()[5:11], "all from the first table on stays"
    said = tomllib.loads(text)
    assert said["model_provider"] == "omni"
    assert said["model_providers"]["omni"]["base_url"] == f"{URL}/v1"
    assert said["model_providers"]["omni"]["wire_api"] == "responses"
    machine.points_here_and_back("codex")


def test_there_and_back_from_nothing(machine: Machine) -> None:
    machine.points_here_and_back("codex")


def test_another_provider_is_seen_as_elsewhere(machine: Machine) -> None:
    machine.put(".codex/config.toml", 'model_provider = "x"\n[model_providers.x]\nbase_url = "https://x.invalid/v1"\n')
    pointing = machine.read("codex")
    assert pointing is not None
    assert pointing.url == "https://x.invalid/v1"
    machine.put(".codex/config.toml", 'model = "gpt-5.5"\n')
    assert machine.read("codex") is None
    machine.put(".codex/config.toml", 'openai_base_url = "https://y.invalid/v1"\n')
    assert machine.read("codex") is not None


def test_a_broken_file_is_left_alone(machine: Machine) -> None:
    machine.put(".codex/config.toml", 'model = "gpt\n')
    with pytest.raises(GatewayError, match=r"config\.toml is left as it is: it is not valid TOML .*line 1"):
        machine.plan("codex")
