"""Questions on a terminal. Nobody is asked where nobody can answer: `terminal()` decides, and Ctrl-C stops the command.

questionary takes a third of a second to import, so it is imported at the first question.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click


def terminal() -> bool:
    """Whether somebody is there to answer: both ends of the conversation are a terminal."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def select(question: str, choices: Sequence[tuple[str, str]], instruction: str = "(type to search)") -> str:
    """`choices` are (value, what is shown)."""
    import questionary

    shown = [questionary.Choice(title=title, value=value) for value, title in choices]
    return str(_answer(questionary.select(question, shown, use_search_filter=True, use_jk_keys=False, instruction=instruction)))


def several(question: str, choices: Sequence[tuple[str, bool]]) -> list[str]:
    """`choices` are (value, ticked at first)."""
    import questionary

    shown = [questionary.Choice(title=value, value=value, checked=ticked) for value, ticked in choices]
    return [str(value) for value in _answer(questionary.checkbox(question, shown))]


def text(question: str, default: str = "") -> str:
    import questionary

    return str(_answer(questionary.text(question, default=default))).strip()


def secret(question: str) -> str:
    import questionary

    return str(_answer(questionary.password(question))).strip()


def confirm(question: str, default: bool = True) -> bool:
    import questionary

    return bool(_answer(questionary.confirm(question, default=default)))


def _answer(question: Any) -> Any:
    answer = question.ask(kbi_msg="")
    if answer is None:
        raise click.Abort
    return answer
