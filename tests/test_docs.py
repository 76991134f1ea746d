"""The generated pages: what is read from comments and lists, and how the tables come out. (Freshness: test_house.py.)"""

from __future__ import annotations

from pathlib import Path

import pytest

from omni_connector import docs
from omni_connector.errors import Kind


def test_promise_ids_are_read_from_comments_only() -> None:
    source = 'x = "R-01"  # O-20, J-16\n# C-39…C-41, C-100\n"""P-01"""\n'
    assert docs.promise_ids(source) == {"O-20", "J-16", "C-39", "C-40", "C-41", "C-100"}


def test_promises_are_kept_by_the_files_that_name_them(tmp_path: Path) -> None:
    (tmp_path / "wire").mkdir()
    (tmp_path / "wire/test_b.py").write_text("def test_it(): ...  # O-01\n")
    (tmp_path / "test_a.py").write_text("# O-01, R-12\n")
    (tmp_path / "helper.py").write_text("# O-02\n")
    assert docs.kept_by(tmp_path) == {"O-01": ("test_a.py", "wire/test_b.py"), "R-12": ("test_a.py",)}


@pytest.mark.parametrize("line", ["X-01  unknown letter", "O-01", "O-01  said twice\nO-01  said twice"])
def test_a_wrong_line_of_the_list_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "promises.txt"
    path.write_text(f"# comment\n\n{line}\n")
    with pytest.raises(ValueError, match=r"promises\.txt:[34]"):
        docs.read_promises(path)


def test_pages_hold_every_row_of_their_table() -> None:
    from omni_connector.providers import PROVIDERS
    from omni_connector.settings import SETTINGS

    rows = {
        docs.errors_page(): [f"`{kind}`" for kind in Kind],
        docs.providers_page(): [f"### {name}\n" for name in PROVIDERS],
        docs.settings_page(): [f"`{setting.env}`" for setting in SETTINGS],
        docs.promises_page(): [f"| {name} |" for name in docs.read_promises()],
    }
    assert not [row for page, expected in rows.items() for row in expected if row not in page]


def test_tables_survive_bars_and_line_breaks() -> None:
    assert docs._table(("A", "B"), [("on|off", "one\ntwo")]) == "| A | B |\n| --- | --- |\n| on\\|off | one two |\n"


def test_only_changed_pages_are_written(tmp_path: Path) -> None:
    assert docs.write(tmp_path) == list(docs.PAGES)
    assert docs.write(tmp_path) == []
