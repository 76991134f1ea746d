import os
from pathlib import Path

import pytest

from omni_connector import clients
from omni_connector.clients.client import base, on_path, same_place
from omni_connector.errors import GatewayError, Kind
from tests.clients.conftest import Machine


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("http://localhost:38471/v1", "http://127.0.0.1:38471", True),
        ("http://[::1]:38471/v1beta", "http://localhost:38471/", True),
        ("https://gate.example/x", "https://GATE.example:443", True),
        ("http://localhost:1", "http://localhost:2", False),
        ("http://gate.example", "http://localhost", False),
        ("", "", False),
        ("http://x:y", "http://x:y", False),
    ],
)
def test_two_addresses_of_one_place(one: str, other: str, same: bool) -> None:
    assert same_place(one, other) is same


def test_the_address_that_programs_get() -> None:
    assert base("http://localhost:38471/v1/") == "http://127.0.0.1:38471"
    assert base("https://localhost:1") == "https://localhost:1", "a certificate is for the name"
    assert base("https://gate.example/gw/v1beta") == "https://gate.example/gw"
    for wrong in ("", "gate.example", "ftp://x", "http://", "http://u:p@x", "http://x:0", "http://x/\nb", 'http://x/"', "http://x/?a=1"):
        with pytest.raises(GatewayError) as caught:
            base(wrong)
        assert (caught.value.kind, caught.value.param) == (Kind.BAD_REQUEST, "url")


def test_names_and_near_names() -> None:
    assert clients.get("Claude").name == "claude-code"
    assert clients.get("print").name == "other"
    with pytest.raises(GatewayError, match="Did you mean codex"):
        clients.get("codx")


def test_a_file_that_cannot_be_read_is_named(machine: Machine) -> None:
    path = machine.put(".claude/settings.json", b'{\n"a": "\xff"}')
    with pytest.raises(GatewayError, match=r"settings\.json is left as it is: line 2 is not UTF-8"):
        machine.plan("claude-code")
    path.unlink()
    path.mkdir()
    with pytest.raises(GatewayError, match="is left as it is"):
        machine.plan("claude-code")


def test_a_link_is_kept_and_the_file_behind_it_changed(machine: Machine) -> None:
    behind = machine.put("dotfiles/claude.json", "{}\n")
    link = machine.home / ".claude/settings.json"
    link.parent.mkdir()
    link.symlink_to(Path("../dotfiles/claude.json"))
    machine.points_here_and_back("claude-code")
    machine.apply("claude-code")
    assert link.is_symlink()
    assert "ANTHROPIC_BASE_URL" in behind.read_text()


def test_a_file_that_gets_a_key_is_closed_to_others(machine: Machine) -> None:
    machine.put(".claude/settings.json", "{}", 0o664)
    assert machine.plan("claude-code")[0].mode == 0o600


def test_programs_are_looked_for_on_path(tmp_path: Path) -> None:
    (tmp_path / "codex").write_text("")
    (tmp_path / "codex").chmod(0o755)
    assert on_path(("nope", "codex"), {"PATH": f"/nowhere{os.pathsep}{tmp_path}"}) == str(tmp_path / "codex")
    assert on_path(("nope",), {"PATH": ""}) == ""
