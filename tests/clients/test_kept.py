import json
import os
from pathlib import Path

import pytest

from omni_connector.clients import kept
from omni_connector.errors import GatewayError, Kind
from tests.clients.conftest import URL, Machine

FILE = ".claude/settings.json"
SETTINGS = '{\n  "a": 1,\n\n  "b": 2,\n\n  "c": {\n    "d": 3\n  }\n}\n'


def test_a_backup_lies_beside_and_the_note_holds_no_key(machine: Machine) -> None:
    path = machine.put(FILE, SETTINGS, 0o640)
    machine.put(f"{FILE}{kept.BESIDE}", "somebody else's")
    note = machine.apply("claude-code")
    assert Path(note.files[0].backup).read_text() == SETTINGS
    assert path.stat().st_mode & 0o777 == 0o600
    written = (machine.omni / "setup/claude-code.json").read_text()
    assert machine.key not in written
    assert kept.read_note(machine.places, "claude-code") == note
    machine.undo("claude-code")
    assert (path.read_text(), path.stat().st_mode & 0o777) == (SETTINGS, 0o640)
    assert machine.home.joinpath(f"{FILE}{kept.BESIDE}").read_text() == "somebody else's"


def test_set_up_twice_goes_back_to_the_first(machine: Machine) -> None:
    machine.put(FILE, SETTINGS)
    before = machine.tree()
    machine.apply("claude-code", "auto")
    machine.apply("claude-code", "gpt-5")
    pointing = machine.read("claude-code")
    assert pointing is not None
    assert pointing.model == "gpt-5"
    machine.undo("claude-code")
    assert machine.tree() == before


def test_a_file_that_was_changed_since_is_not_clobbered(machine: Machine) -> None:
    path = machine.put(FILE, SETTINGS)
    machine.apply("claude-code")
    edited = path.read_text().replace('"a": 1', '"a": 100')
    path.write_text(edited)
    with pytest.raises(GatewayError, match="changed since it was set up") as caught:
        machine.undo("claude-code")
    assert caught.value.kind is Kind.CONFLICT
    assert '-  "a": 100' in caught.value.details["diff"]
    assert machine.key not in caught.value.details["diff"]
    assert path.read_text() == edited
    machine.undo("claude-code", keep_later=True)
    assert path.read_text() == SETTINGS.replace('"a": 1', '"a": 100')


def test_a_program_that_writes_its_settings_anew_is_set_up_again_and_taken_back(machine: Machine) -> None:
    for theirs in (None, SETTINGS):
        path = machine.home / FILE
        if theirs:
            machine.put(FILE, theirs)
        machine.apply("claude-code")
        said = json.loads(path.read_text())
        path.write_text(json.dumps({**said, "theme": "dark", "env": {**said["env"], "MINE": "1"}}, indent=4))
        machine.apply("claude-code", "gpt-5")
        pointing = machine.read("claude-code")
        assert pointing is not None
        assert pointing.model == "gpt-5"
        machine.undo("claude-code")
        assert json.loads(path.read_text()) == {**json.loads(theirs or "{}"), "theme": "dark", "env": {"MINE": "1"}}
        assert not list(machine.home.rglob(f"*{kept.BESIDE}*"))
        path.unlink()


def test_what_touches_our_own_lines_is_left_to_the_user(machine: Machine) -> None:
    path = machine.put(FILE, SETTINGS)
    machine.apply("claude-code")
    path.write_text(path.read_text().replace(URL, "https://elsewhere.invalid"))
    with pytest.raises(GatewayError, match="Edit it by hand"):
        machine.undo("claude-code", keep_later=True)


def test_a_deleted_file_of_ours_stays_deleted(machine: Machine) -> None:
    machine.apply("claude-code")
    (machine.home / FILE).unlink()
    machine.undo("claude-code")
    assert machine.tree() == {}, "the folder was ours, too"


def test_a_folder_that_is_used_by_now_stays(machine: Machine) -> None:
    machine.apply("claude-code")
    machine.put(".claude/history.jsonl", "")
    machine.undo("claude-code")
    assert set(machine.tree()) == {".claude", ".claude/history.jsonl"}


def test_a_change_between_look_and_write_is_seen(machine: Machine) -> None:
    changes = machine.plan("claude-code")
    machine.put(FILE, "{}")
    with pytest.raises(GatewayError, match="in this moment"):
        kept.apply(machine.places, kept.Note("claude-code", 1, URL, "auto"), changes, machine.key)


def test_nothing_is_half_done(machine: Machine) -> None:
    machine.put(".gemini/.env", "A=1\n")
    before = machine.tree()
    changes = machine.plan("gemini-cli")
    with pytest.MonkeyPatch.context() as patch:
        write, count = kept.write, iter(range(9))

        def failing(path: Path, data: bytes, mode: int) -> None:
            if next(count) == 3:  # note, backup, first file, then this one
                raise OSError(28, "No space left on device", str(path))
            write(path, data, mode)

        patch.setattr(kept, "write", failing)
        with pytest.raises(GatewayError, match=r"settings\.json is left as it is: writing failed \(No space"):
            kept.apply(machine.places, kept.Note("gemini-cli", 1, URL, "auto"), changes, machine.key)
    assert machine.tree() == {**before, ".gemini/.env": (0o600, b"A=1\n")}
    assert kept.read_note(machine.places, "gemini-cli") is None


@pytest.mark.parametrize("lived", [1, 2, 3])
def test_what_a_crash_left_half_done_can_be_undone_or_done_again(machine: Machine, lived: int) -> None:
    """Killed after so many of: note, backup, first file, second file."""
    machine.put(".gemini/.env", "A=1\n", 0o600)
    before = machine.tree()

    class Killed(BaseException):
        pass

    def attempt(after: int) -> None:
        with pytest.MonkeyPatch.context() as patch:
            write, count = kept.write, iter(range(9))

            def dying(path: Path, data: bytes, mode: int) -> None:
                if next(count) == after:
                    raise Killed
                write(path, data, mode)

            patch.setattr(kept, "write", dying)
            with pytest.raises(Killed):
                machine.apply("gemini-cli")

    attempt(lived)
    machine.apply("gemini-cli")
    machine.undo("gemini-cli")
    assert machine.tree() == before


def test_a_lost_backup_is_said(machine: Machine) -> None:
    machine.put(FILE, SETTINGS)
    os.unlink(machine.apply("claude-code").files[0].backup)
    with pytest.raises(GatewayError, match="is gone or was changed"):
        machine.undo("claude-code")


def test_a_note_that_cannot_be_read_says_where_the_former_files_are(machine: Machine) -> None:
    (machine.omni / "setup").mkdir(parents=True)
    kept.note_path(machine.places, "codex").write_text("{")
    with pytest.raises(GatewayError, match=kept.BESIDE):
        kept.read_note(machine.places, "codex")
