from omni_connector.clients import CLIENTS, standing
from tests.clients.conftest import URL, Machine


def states(machine: Machine, url: str = URL) -> dict[str, str]:
    return {look.client.name: look.state for look in standing.all_of(machine.places, url)}


def test_each_client_says_where_it_points(machine: Machine) -> None:
    assert set(states(machine).values()) == {"not set up", "by hand"}
    machine.apply("claude-code")
    machine.put(".aider.conf.yml", "openai-api-base: https://other.invalid/v1\n")
    machine.put(".config/zed/settings.json", "{")
    found = states(machine)
    assert (found["claude-code"], found["aider"], found["zed"], found["codex"]) == (
        "points here", "points elsewhere", "unreadable", "not set up"
    )  # fmt: skip
    look = standing.look(CLIENTS["claude-code"], machine.places, URL)
    assert (look.installed, look.undoable) == ("~/.claude", True)


def test_doctor_hears_of_what_is_ours_only(machine: Machine) -> None:
    def said(url: str = URL, works: bool = True) -> list[tuple[str, str, str]]:
        found = standing.findings(machine.omni, url, user=machine.home, works=lambda _: works)
        return [(one.level, one.what, one.message) for one in found]

    machine.put(".aider.conf.yml", "openai-api-base: https://other.invalid/v1\n")
    assert said() == [("ok", "clients", "No program's own configuration points here.")]
    machine.apply("codex")
    assert said() == [("ok", "client codex", "It points here.")]
    assert said(works=False) == [("warn", "client codex", "It points here with a key that is not valid any more.")]
    assert said("http://127.0.0.1:9") == [
        ("warn", "client codex", f"It was set up here, and now points to {URL}/v1; we are at http://127.0.0.1:9.")
    ]
    machine.put(".claude/settings.json", "{")
    assert said()[0][:2] == ("warn", "client claude-code")
