import json

from omni_connector.clients import CLIENTS, Wanted
from tests.clients.conftest import URL, Machine

SETTINGS = """{
  // mine
  "permissions": {"allow": ["Bash(ls:*)"]},
  "env": {
    "FOO": "bar", // stays
    "ANTHROPIC_API_KEY": "sk-ant-of-the-user-0123456789"
  },
}
"""


def test_the_five_variables_are_set_and_the_rest_stays(machine: Machine) -> None:  # P-57, P-56
    machine.put(".claude/settings.json", SETTINGS)
    text = machine.text("claude-code", ".claude/settings.json")
    for kept in ("  // mine\n", '"permissions": {"allow": ["Bash(ls:*)"]},', '"FOO": "bar", // stays\n'):
        assert kept in text
    assert "sk-ant" not in text, "Claude Code would ask which of two credentials to use"
    machine.put(".claude/settings.json", text.replace("// mine", "").replace("// stays", "").replace("},\n}", "}\n}"))
    assert json.loads((machine.home / ".claude/settings.json").read_text())["env"] == {
        "FOO": "bar",
        "ANTHROPIC_BASE_URL": URL,
        "ANTHROPIC_AUTH_TOKEN": machine.key,
        **{f"ANTHROPIC_DEFAULT_{size}_MODEL": "auto" for size in ("OPUS", "SONNET", "HAIKU")},
    }


def test_there_and_back(machine: Machine) -> None:  # P-57, P-10
    machine.points_here_and_back("claude-code")
    machine.put(".claude/settings.json", SETTINGS, 0o644)
    machine.points_here_and_back("claude-code")


def test_a_model_of_the_user_s_is_replaced_where_one_was_named(machine: Machine) -> None:
    machine.put(".claude/settings.json", '{"env": {"ANTHROPIC_MODEL": "claude-opus-4-1"}}')
    assert json.loads(machine.text("claude-code", ".claude/settings.json"))["env"]["ANTHROPIC_MODEL"] == "auto"


def test_its_folder_may_be_elsewhere(machine: Machine) -> None:
    machine.env["CLAUDE_CONFIG_DIR"] = str(machine.home / "cc")
    assert [change.path for change in machine.plan("claude-code")] == [machine.home / "cc/settings.json"]


def test_notes_name_the_model(machine: Machine) -> None:
    assert "'gpt-5'" in CLIENTS["claude-code"].notes(machine.places, Wanted(URL, machine.key, "gpt-5"))[0]
