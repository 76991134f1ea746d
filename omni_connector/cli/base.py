"""What all command modules share: groups that name near commands, the way to stop, common options."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


class Stop(Exception):
    """Ends a command with one line on standard error and an exit code."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


class Group(click.Group):
    """A group whose unknown commands name near ones, in one line, wherever in the tree those are."""

    aliases: ClassVar[Mapping[str, str]] = {}

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return super().get_command(ctx, self.aliases.get(cmd_name, cmd_name))

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-") and not ctx.resilient_parsing:
            raise click.UsageError(f"There is no command {name!r}{self._near(ctx, name)}")
        return super().resolve_command(ctx, args)

    def _near(self, ctx: click.Context, name: str) -> str:
        here = difflib.get_close_matches(name, [*self.commands, *self.aliases], n=3, cutoff=0.5)
        below = [f"{group} {name}" for group, command in self.commands.items() if isinstance(command, Group) and name in command.commands]
        near = [f"'{ctx.command_path} {found}'" for found in (*here, *below)]
        if near:
            return f". Did you mean {' or '.join(near)}?"
        return f". See '{ctx.command_path} --help'."


def json_option(command: F) -> F:
    return click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output, for programs.")(command)


def words(text: str | None) -> list[str] | None:
    """`a, b,c` → ["a", "b", "c"]; None stays None (not said), "" is an empty list (said: none)."""
    return None if text is None else [word for word in re.split(r"[,\s]+", text.strip()) if word]


def near(wanted: str, known: Iterable[str]) -> str:
    """` (did you mean 'x'?)` or nothing."""
    found = difflib.get_close_matches(wanted, list(known), n=3, cutoff=0.5)
    return f" (did you mean {' or '.join(repr(name) for name in found)}?)" if found else ""
