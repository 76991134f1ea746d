import pytest

from omni_connector.clients import yaml_lines
from omni_connector.clients.yaml_lines import CLOSE, OPEN, put_item, scalar, set_scalars

ITEM = ["- name: x", "  y: 1"]
BLOCK = f"  {OPEN}\n  - name: x\n    y: 1\n  {CLOSE}\n"


def test_scalars() -> None:
    text = "---\na: 'b' # c\nd:\n"
    assert scalar(text, "a") == "b"
    assert scalar(text, "d") == scalar(text, "z") == ""
    after = set_scalars(text, {"a": "e", "d": False, "n": "m"})
    assert after == '---\na: "e" # c\nd: false\nn: "m"\n'
    assert set_scalars(after, {"a": "e", "d": False, "n": "m"}) == after
    assert set_scalars("a: 1\r\n", {"a": "2", "b": "3"}) == 'a: "2"\r\nb: "3"\r\n'


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("", f"models:\n{BLOCK}"),
        ("a: 1", f"a: 1\nmodels:\n{BLOCK}"),
        ("models:\n  - name: z\n", f"models:\n{BLOCK}  - name: z\n"),
        ("models: # mine\n\n  # z\n  - name: z\n", f"models: # mine\n{BLOCK}\n  # z\n  - name: z\n"),
        ("models: []\nb: 1\n", f"models:\n{BLOCK}b: 1\n"),
        ("models:", f"models:\n{BLOCK}"),
    ],
)
def test_an_item_is_the_first_of_its_list(text: str, after: str) -> None:
    assert put_item(text, "models", ITEM) == after
    assert put_item(after, "models", ITEM) == after
    assert put_item(after, "models", ["- name: q"]) == after.replace("- name: x\n    y: 1", "- name: q")
    assert yaml_lines.block(after) == BLOCK


def test_an_item_without_indent_stays_without() -> None:
    assert put_item("models:\n- name: z\n", "models", ["- name: x"]) == f"models:\n{OPEN}\n- name: x\n{CLOSE}\n- name: z\n"


def test_a_file_that_is_a_list() -> None:
    assert put_item("# c\n- a: 1", "", ["- b: 2"]) == f"# c\n- a: 1\n{OPEN}\n- b: 2\n{CLOSE}\n"
    assert put_item("[]\n", "", ["- b: 2"]) == f"{OPEN}\n- b: 2\n{CLOSE}\n"


@pytest.mark.parametrize(("text", "key"), [("a: 1\n", ""), ("models: [{name: z}]\n", "models"), ('"models":\n  - x: 1\n', "models")])
def test_what_is_written_otherwise_is_refused(text: str, key: str) -> None:
    with pytest.raises(ValueError, match=r"is not"):
        put_item(text, key, ITEM)
