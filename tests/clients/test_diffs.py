from omni_connector.clients.diffs import taken_out, unified
from omni_connector.secrets import mint_key


def test_no_key_can_be_read_in_a_diff() -> None:
    key = mint_key()
    shown = unified("f", b'{"apiKey": "sk-secret-0123456789-of-somebody", "api_key_name": "omni"}\n', f'TOKEN="{key}"\n'.encode())
    assert key not in shown
    assert "0123456789" not in shown
    assert f"omni-{key[5:9]}…{key[-4:]}" in shown
    assert '"api_key_name": "omni"' in shown


def test_new_and_deleted_files() -> None:
    assert unified("~/f", None, b"a\n").splitlines()[:2] == ["--- /dev/null", "+++ ~/f"]
    assert unified("~/f", b"a\n", None).splitlines()[:2] == ["--- ~/f", "+++ /dev/null"]


def test_our_lines_are_taken_out_of_a_file_that_was_edited_since() -> None:
    before, after = "a\nb\nc\nd\n", "a\nB\nc\nours\nd\n"
    assert taken_out(before, after, after) == before
    assert taken_out(before, after, "new\na\nB\nc\nours\nd\nlast\n") == "new\na\nb\nc\nd\nlast\n"
    assert taken_out(before, after, "a\nB\nc\nours, edited\nd\n") is None
    assert taken_out("", "ours\n", "ours\nlater\n") == "later\n"
