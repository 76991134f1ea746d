"""The table of mutations does not rot: each text is found, each test is there. (`python -m bench.mutations` makes the mutations.)"""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from bench import mutations
from bench.mutation_rules import RULES, Mutation
from bench.mutations import ROOT, mutated, with_table


@cache
def source(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def faults(rule: Mutation) -> list[str]:
    text = mutated(source(rule.module), rule)
    if text is None:
        return [f"{rule.rule}: {rule.module} has this {source(rule.module).count(rule.old)} times, not once:\n{rule.old}"]
    ast.parse(text)
    found = [] if rule.tests and rule.old != rule.new else [f"{rule.rule}: nothing is tried"]
    for test in rule.tests:
        file, _, name = test.partition("::")
        if not re.search(rf"^(async )?def {re.escape(name.partition('[')[0])}\(", source(file), re.MULTILINE):
            found.append(f"{rule.rule}: there is no {test}")
    return found


def test_every_text_is_found_and_every_test_is_there() -> None:
    found = [fault for rule in RULES for fault in faults(rule)]
    assert not found, "\n".join(found)
    gone = Mutation("x", "X", RULES[0].module, "no such text", "", RULES[0].tests)
    renamed = Mutation("x", "X", RULES[0].module, RULES[0].old, RULES[0].new, (RULES[0].tests[0] + "_of_old",))
    assert [len(faults(rule)) for rule in (gone, renamed)] == [1, 1]


def test_a_rule_has_one_name() -> None:
    assert len({one.rule for one in RULES}) == len({one.says for one in RULES}) == len(RULES)


def test_a_text_that_is_not_there_once_is_not_replaced() -> None:
    rule = Mutation("x", "X", "x.py", "a", "b", ())
    assert [mutated(text, rule) for text in ("xax", "aa", "x")] == ["xbx", None, None]


def test_the_page_shows_the_table() -> None:
    page = mutations.PAGE.read_text(encoding="utf-8")
    assert with_table(page) == page, "run `python -m bench.mutations --table`"
    with pytest.raises(ValueError, match="no section"):
        with_table("# Title\n")
