"""The generated pages: what is read from comments and lists, and how the tables come out. (Freshness: test_house.py.)"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from omni_connector import docs, paths
from omni_connector.errors import Kind
from omni_connector.paths import POSTS


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
    from omni_connector.routing.score import PARTS
    from omni_connector.settings import SETTINGS

    rows = {
        docs.errors_page(): [f"`{kind}`" for kind in Kind],
        docs.providers_page(): [f"### {name}\n" for name in PROVIDERS],
        docs.settings_page(): [f"`{setting.env}`" for setting in SETTINGS],
        docs.client_paths(): [f"`{path}`" for path in POSTS] + [f"{{model}}:{verb}`" for verb in docs.GEMINI_VERBS],
        docs.score_parts(): [f"| `{name}` | " for name in PARTS] + [part.sentence for part in PARTS.values()] + ["| -60 | +30 |"],
        docs.promises_page(): [f"| {name} |" for name in docs.read_promises()],
    }
    assert not [row for page, expected in rows.items() for row in expected if row not in page]


def test_the_client_paths_are_those_that_are_served() -> None:
    """Gemini's verbs stand in a pattern, and the calls that app.py answers itself in its source."""
    pattern = re.search(r"<verb>([^)]+)", paths._GEMINI.pattern)
    assert pattern is not None and tuple(pattern[1].split("|")) == docs.GEMINI_VERBS
    routes = docs._client_routes()
    assert routes["response"] == ["GET /v1/responses/{response_id}"]
    assert routes["gemini_verb"] == ["POST /v1/models/{name}:countTokens", "POST /v1beta/models/{name}:countTokens"]
    assert routes.keys() == docs.LOOKS.keys()


def test_a_section_is_rewritten_and_nothing_around_it() -> None:
    begin = docs._HEADER.format(source="x.py")
    page = f"# Title\n\n{begin}old\n{docs._END}\ntail\n"
    assert docs.with_section(page, "new\n", "x.py") == f"# Title\n\n{begin}new\n\n{docs._END}\ntail\n"
    for broken in ("# Title\n", f"{begin}never closed\n", f"{docs._END}{begin}"):
        with pytest.raises(ValueError, match="no section"):
            docs.with_section(broken, "new\n", "x.py")


def test_tables_survive_bars_and_line_breaks() -> None:
    assert docs._table(("A", "B"), [("on|off", "one\ntwo")]) == "| A | B |\n| --- | --- |\n| on\\|off | one two |\n"


def test_only_changed_pages_are_written(tmp_path: Path) -> None:
    assert docs.write(tmp_path) == list(docs.PAGES)
    assert docs.write(tmp_path) == []
