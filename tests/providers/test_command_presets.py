import pytest

from omni_connector import providers
from omni_connector.errors import GatewayError
from omni_connector.providers.command_presets import COMMAND_ROWS, PRESETS
from omni_connector.providers.commands import Template, template
from omni_connector.wire import openai_chat

presets = pytest.mark.parametrize("name", [name for name in PRESETS if name != "generic"])


@presets
def test_every_preset_is_a_sound_template(name: str) -> None:
    argv = [element if element != PRESETS[name].edit else "mine" for element in PRESETS[name].command["argv"]]
    found = template("command", {"command": {"preset": name, "argv": argv}})
    assert found.name == PRESETS[name].command["argv"][0]
    assert found.check[:1] in ((), found.argv[:1])
    assert found.models or found.holds("{model}")
    assert PRESETS[name].about
    assert PRESETS[name].edit in ("", *PRESETS[name].command["argv"])


def test_what_only_the_user_knows_is_not_run_as_it_stands() -> None:
    with pytest.raises(
        GatewayError, match=r"yours in place of ENDPOINT_ID .*--command 'gcloud ai endpoints predict YOUR_ENDPOINT_ID"
    ) as caught:
        template("command", {"command": {"preset": "gcloud"}})
    assert caught.value.param == "options.command.argv"


def test_the_generic_one_asks_for_its_arguments() -> None:
    assert template("command", {"command": {"preset": "generic", "argv": ["cat"]}}).argv == ("cat",)


def test_agents_get_none_of_this_machines_files_and_settings() -> None:
    """A prompt with "@/etc/passwd" in it makes Claude Code read the file; settings of the user may point it back at us."""
    claude = list(template("claude-code", {}).flat)
    assert claude[claude.index("--tools") + 1] == ""
    assert '"deny":["Read"' in claude[claude.index("--settings") + 1]
    assert claude[claude.index("--setting-sources") + 1] == "project"
    assert template("claude-code", {}).set["CLAUDE_CODE_DISABLE_ATTACHMENTS"] == "1"
    codex = list(template("command", {"command": {"preset": "codex-exec"}}).flat)
    assert {"features.shell_tool=false", "--ignore-user-config", "read-only"} <= set(codex)
    for name in PRESETS:
        assert not any(word in text for word in ("dangerously", "bypass", "yolo") for text in _words(name))


def _words(name: str) -> list[str]:
    command = PRESETS[name].command
    return list(Template(argv=tuple(map(tuple_or_text, command.get("argv", ())))).flat)


def tuple_or_text(element: str | list[str]) -> str | tuple[str, ...]:
    return element if isinstance(element, str) else tuple(element)


def test_rows_are_commands_that_speak_the_format_of_their_runner() -> None:
    assert {row.id for row in providers.PROVIDERS.values() if row.command} == {row.id for row in COMMAND_ROWS} == {"claude-code", "command"}
    assert all(row.wire == openai_chat.NAME and row.auth == "none" and not row.base_url for row in COMMAND_ROWS)
