import json

from omni_connector.clients import CLIENTS, Wanted
from tests.clients.conftest import URL, Machine


def test_the_provider_is_written_and_the_key_is_for_the_keychain(machine: Machine) -> None:
    machine.put(".config/zed/settings.json", '// Zed\n{\n  "theme": "One", // mine\n  "agent": {"enabled": true}\n}\n')
    before = machine.tree()
    text = machine.text("zed", ".config/zed/settings.json")
    assert machine.key not in text
    assert text.startswith('// Zed\n{\n  "theme": "One", // mine\n')
    said = json.loads(text.replace("// Zed", "").replace("// mine", ""))
    assert said["language_models"]["openai_compatible"]["omni"]["api_url"] == f"{URL}/v1"
    assert said["agent"] == {"enabled": True, "default_model": {"provider": "omni", "model": "auto"}}
    steps = CLIENTS["zed"].steps(machine.places, Wanted(URL, machine.key, "auto"))
    assert machine.key in steps[-1]
    machine.apply("zed")
    pointing = machine.read("zed")
    assert pointing is not None
    assert (pointing.url, pointing.key) == (f"{URL}/v1", "")
    machine.undo("zed")
    assert machine.tree() == before
