"""The dashboard's texts in another language: the table (static/texts/zh.json) against the sources of the page and of the server."""

from __future__ import annotations

import ast
import json
import re
from functools import cache
from pathlib import Path

import pytest

from omni_connector.providers import PROVIDERS
from omni_connector.settings import SETTINGS

from .texts_of import PLACE, STATIC, NotWritten, Text, scripts, strings, table, texts

PACKAGE = STATIC.parent / "omni_connector"


@cache
def said_by_the_page() -> tuple[Text, ...]:
    """Raises NotWritten where the first argument is no literal."""
    return tuple(text for path in scripts() for text in texts(path))


@cache
def said_by_the_server() -> frozenset[str]:
    """Every string of the package and of its tables: what said() looks up comes from there."""
    words: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        constants = (node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant))
        words |= {value for value in constants if isinstance(value, str)}
    for path in PACKAGE.rglob("*.json"):
        words |= set(strings(json.loads(path.read_text())))
    words |= {row.terms for row in PROVIDERS.values()}  # Put together of several.
    return frozenset(words | {word.replace("_", " ") for word in words})


# ---------------------------------------------------------------- The table


def test_every_text_has_a_chinese_row() -> None:  # C-96
    missing = {text.words: text.where for text in said_by_the_page() if text.words not in table()}
    assert missing == {}


def test_every_setting_is_described_in_chinese() -> None:
    """And the terms of every provider."""
    helps = {row.help for row in SETTINGS} | {row.terms for row in PROVIDERS.values() if row.terms}
    assert sorted(helps - set(table())) == []


def test_a_row_has_the_places_of_its_text() -> None:
    wrong = {text: zh for text, zh in table().items() if sorted(set(PLACE.findall(text))) != sorted(set(PLACE.findall(zh)))}
    assert wrong == {}


def test_a_row_says_something_in_chinese() -> None:
    """Or is a name: then it is the same in both."""
    english = re.compile(r"(?:[ -~]*?\b[a-z]{2,}\b){4}[ -~]*")
    assert [text for text, zh in table().items() if not zh.strip() or english.fullmatch(PLACE.sub("", zh))] == []


def test_no_row_is_left_over() -> None:
    used = {text.words for text in said_by_the_page()}
    assert sorted(set(table()) - used - said_by_the_server()) == []


def test_the_table_is_in_order() -> None:
    """Sorted, so that two people who add to it meet in one place only."""
    assert list(table()) == sorted(table())


# ---------------------------------------------------------------- How they are found

HEAD = 'import { counted, parts, t } from "./texts.js";\n'


def test_texts_are_found_as_they_are_written(tmp_path: Path) -> None:
    source = r"""
        t("A \"b\" {x}", { x }); ${parts('It\'s')} counted(rows.filter((a) => a[","]).length, `{n} row`, "{n} rows"); set("no"); at.t("no")
    """
    (tmp_path / "a.js").write_text(HEAD + source)
    found = [text.words for text in texts(tmp_path / "a.js", tmp_path)]
    assert found == ['A "b" {x}', "It's", "{n} row", "{n} rows"]


@pytest.mark.parametrize(
    "source", ["t(name)", 't("a" + b)', "t(`a ${b}`)", 't(n ? "a" : "b")', 'counted(1, "a", b)', 'import { t as say } from "./texts.js";']
)
def test_a_text_that_is_put_together_is_refused(source: str, tmp_path: Path) -> None:
    (tmp_path / "a.js").write_text(HEAD + source)
    with pytest.raises(NotWritten):
        list(texts(tmp_path / "a.js", tmp_path))


def test_a_function_of_the_same_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.js").write_text('const t = (x) => x; t("a")')
    with pytest.raises(NotWritten):
        list(texts(tmp_path / "a.js", tmp_path))
