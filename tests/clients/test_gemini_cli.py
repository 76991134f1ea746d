import json

from tests.clients.conftest import URL, Machine


def test_env_and_settings(machine: Machine) -> None:
    machine.put(".gemini/.env", "# mine\nGOOGLE_CLOUD_PROJECT=p\nGEMINI_API_KEY='AIza-of-the-user'\n", 0o600)
    machine.put(".gemini/settings.json", '{"security": {"auth": {"selectedType": "oauth-personal"}}, "ui": {"theme": "x"}}')
    env = machine.text("gemini-cli", ".gemini/.env")
    assert env == f"# mine\nGOOGLE_CLOUD_PROJECT=p\nGEMINI_API_KEY={machine.key}\nGOOGLE_GEMINI_BASE_URL={URL}\n"
    settings = json.loads(machine.text("gemini-cli", ".gemini/settings.json"))
    assert settings["security"]["auth"] == {"selectedType": "gemini-api-key"}
    assert settings["ui"] == {"theme": "x"}
    assert settings["model"] == {"name": "AUTO"}, "Gemini CLI has a meaning of its own for auto"
    machine.points_here_and_back("gemini-cli")


def test_there_and_back_from_nothing(machine: Machine) -> None:
    machine.points_here_and_back("gemini-cli")


def test_another_model_is_asked_for_as_it_is(machine: Machine) -> None:
    changes = machine.plan("gemini-cli", "gpt-5")
    assert json.loads(changes[1].after)["model"] == {"name": "gpt-5"}
    assert [oct(change.mode) for change in changes] == ["0o600", "0o644"]
