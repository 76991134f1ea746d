import json

from omni_connector.clients import CLIENTS, Places, Wanted, plan
from tests.clients.conftest import URL, Machine

FOLDER = ".config/io.datasette.llm"


def test_a_model_and_its_key_beside_the_user_s(machine: Machine) -> None:
    machine.put(f"{FOLDER}/extra-openai-models.yaml", "- model_id: mine\n  model_name: x")
    machine.put(f"{FOLDER}/keys.json", '{"// Note": "This file stores secret API credentials.", "openai": "sk-mine"}', 0o600)
    machine.put(f"{FOLDER}/default_model.txt", "mine")
    changes = {change.path.name: change.after.decode() for change in machine.plan("llm")}
    assert set(changes) == {"extra-openai-models.yaml", "keys.json"}, "the user's default stays"
    models = changes["extra-openai-models.yaml"]
    assert models.startswith('- model_id: mine\n  model_name: x\n# >>> omni-connector >>>\n- model_id: omni\n  model_name: "auto"\n')
    assert f'  api_base: "{URL}/v1"\n' in models
    assert json.loads(changes["keys.json"])["omni"] == machine.key
    machine.points_here_and_back("llm")


def test_there_and_back_from_nothing(machine: Machine) -> None:
    assert machine.text("llm", f"{FOLDER}/default_model.txt") == "omni"
    machine.points_here_and_back("llm")


def test_where_the_files_are_on_a_mac_or_by_variable(machine: Machine) -> None:
    wanted = Wanted(URL, machine.key, "auto")
    mac = plan(CLIENTS["llm"], Places(machine.home, machine.omni, {}, "darwin"), wanted)
    assert mac[0].path.parent == machine.home / "Library/Application Support/io.datasette.llm"
    machine.env["LLM_USER_PATH"] = str(machine.home / "l")
    assert machine.plan("llm")[0].path.parent == machine.home / "l"
