"""What the pages tell a reader to type: it exists, with its options; and both languages tell the same."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from omni_connector.cli.shell import root as shell

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("README*.md"), *(ROOT / "docs").glob("*.md")])
SPAN = re.compile(r"`(omni-connector(?: [^`\n]+)?)`")
BLOCK = re.compile(r"```(?:sh|bash|text|console)?\n(.*?)```", re.DOTALL)
PYTHON = re.compile(r"```python\n(.*?)```", re.DOTALL)
END = re.compile(r" #| \| | > | < ")
WORD = re.compile(r"^[a-z][a-z0-9-]*$")


def commands(page: str) -> list[str]:
    """Every command line of ours on a page: in running text, and in blocks."""
    found = SPAN.findall(page)
    for block in BLOCK.findall(page):
        lines = re.sub(r"\\\n\s*", " ", block).splitlines()
        found += [line.strip().removeprefix("$ ") for line in lines if line.strip().removeprefix("$ ").startswith("omni-connector")]
    return found


def wrong(line: str) -> str:
    """What a command line names that is not there, "" when all of it is."""
    try:
        words = shlex.split(END.split(line, maxsplit=1)[0].replace("…", ""), comments=True)[1:]
    except ValueError:
        return ""  # a sentence with an apostrophe, not a line to type
    at: click.Command = shell
    context = click.Context(at, info_name="omni-connector")
    for word in words:
        if word.startswith("-"):
            known = {name for each in (shell, at) for param in each.params for name in (*param.opts, *param.secondary_opts)}
            known |= {"-h", "--help", "-V", "--version", "--update", "--rollback"}
            if word.split("=")[0] not in known and word != "--":
                return f"{at.name} has no {word}"
        elif isinstance(at, click.Group) and WORD.match(word):
            inner = at.get_command(context, word)
            if inner is None:
                return f"there is no command {word!r} in {at.name}"
            at = inner
    return ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_are_there(page: Path) -> None:
    assert [f"{line}: {reason}" for line in commands(page.read_text("utf-8")) if (reason := wrong(line))] == []


def test_a_command_that_is_not_there_is_noticed() -> None:
    assert (
        wrong("omni-connector backend fly")
        and wrong("omni-connector key create --wings")
        and not wrong("omni-connector key create --name x")
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_is_python(page: Path) -> None:
    for block in PYTHON.findall(page.read_text("utf-8")):
        compile(block, page.name, "exec")


def test_both_languages_tell_the_same() -> None:  # J-31
    english, chinese = ((ROOT / name).read_text("utf-8") for name in ("README.md", "README.zh.md"))
    blocks = re.compile(r"```\w*\n.*?```", re.DOTALL)
    assert blocks.findall(english) == blocks.findall(chinese)
    for pattern in (r"^## ", r"^\d\. ", r"^\| (?!\|)"):
        count = [len(re.findall(pattern, page, re.MULTILINE)) for page in (english, chinese)]
        assert count[0] == count[1], pattern
    links = [set(re.findall(r"\]\((docs/[^)#]+)", page)) for page in (english, chinese)]
    assert links[0] == links[1]
    row = re.compile(r"^\| (?:Command line|命令行) \|(.*)$", re.MULTILINE)
    ours = [set(re.findall(r"`([a-z-]+)`", "".join(row.findall(page)))) for page in (english, chinese)]
    assert ours[0] == ours[1] != set()
