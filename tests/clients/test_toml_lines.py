import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_connector.clients import toml_lines

TABLE = ("p", "omni")
LINES = st.lists(
    st.sampled_from(
        [
            "# words", "", 'model = "x" # mine', "n = 1", 's = """\n[a]\nmodel = 1\n"""', "l = [\n  1, # one\n]", "[p.other]\nu = 1", "[t]",
            'model = "in a table"', "[[arr]]", "[p.omni]\nold = true\n# end", 'd."e f".g = 1', "\n", "[p.omni.deeper]\nz = 1",
        ]
    ),
    max_size=7,
)  # fmt: skip


@given(LINES, st.booleans())
def test_what_comes_out_is_what_was_wanted_or_nothing_is(lines: list[str], windows: bool) -> None:
    text = "\n".join(lines).replace("\n", "\r\n" if windows else "\n")
    try:
        before = toml_lines.loads(text)
    except ValueError:
        return
    try:
        after = toml_lines.edit(text, {"model": "auto"}, TABLE, {"url": "u"})
    except ValueError as error:
        assert "cannot be changed safely" in str(error)
        return
    assert toml_lines.loads(after) == {**before, "model": "auto", "p": {**before.get("p", {}), "omni": {"url": "u"}}}
    assert toml_lines.edit(after, {"model": "auto"}, TABLE, {"url": "u"}) == after
    for line in lines:
        if line.startswith("#") and "[p.omni]\nold = true\n# end" not in lines:
            assert line in after


def test_comments_stay_and_our_table_is_replaced() -> None:
    text = "# a\n\n[p.omni]\nurl = 'old'\n\n# about t\n[t]\nx = 1\n"
    assert toml_lines.edit(text, {"m": "v"}, TABLE, {"url": "new", "on": True}) == (
        'm = "v"\n# a\n\n[p.omni]\nurl = "new"\non = true\n\n# about t\n[t]\nx = 1\n'
    )


def test_a_form_that_cannot_be_edited_is_told_with_what_to_add() -> None:
    with pytest.raises(ValueError, match=r'by hand:\nm = "v"\n\[p\.omni\]\nurl = "new"'):
        toml_lines.edit("p = {omni = {url = 'x'}}\n", {"m": "v"}, TABLE, {"url": "new"})
    with pytest.raises(ValueError, match="p is not a table"):
        toml_lines.edit("p = 1\n", {}, TABLE, {})
    with pytest.raises(ValueError, match="not valid TOML"):
        toml_lines.loads("a = ")
    assert tomllib.loads(toml_lines.edit("", {"m": "v"}, TABLE, {"url": "new"})) == {"m": "v", "p": {"omni": {"url": "new"}}}
