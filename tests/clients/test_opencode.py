import json

from tests.clients.conftest import URL, Machine


def test_a_provider_beside_the_user_s(machine: Machine) -> None:
    machine.put(".config/opencode/opencode.jsonc", '{\n\t"theme": "x", // nice\n\t"provider": {"mine": {}}\n}\n')
    text = machine.text("opencode", ".config/opencode/opencode.jsonc")
    assert '\t"theme": "x", // nice\n' in text
    said = json.loads(text.replace("// nice", ""))
    assert said["provider"]["omni"]["options"] == {"baseURL": f"{URL}/v1", "apiKey": machine.key}
    assert (said["provider"]["mine"], said["model"], said["small_model"]) == ({}, "omni/auto", "omni/auto")
    machine.points_here_and_back("opencode")


def test_there_and_back_from_nothing(machine: Machine) -> None:
    assert json.loads(machine.text("opencode", ".config/opencode/opencode.json"))["$schema"]
    machine.points_here_and_back("opencode")


def test_its_file_may_be_elsewhere(machine: Machine) -> None:
    machine.env["OPENCODE_CONFIG"] = str(machine.home / "oc.json")
    assert machine.plan("opencode")[0].path == machine.home / "oc.json"
    machine.put("oc.json", '{"model": "anthropic/claude"}')
    assert machine.read("opencode") is None
