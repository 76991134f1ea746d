"""The root command: what `omni-connector` without a command does, and the help that teaches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from importlib import import_module
from typing import Any, ClassVar

import click

from omni_connector import __version__
from omni_connector.cli.base import Group, json_option, near

MODULES: Mapping[str, str] = {
    "serve": "server",
    "status": "server",
    "stop": "server",
    "reload": "server",
    "open": "server",
    "doctor": "server",
    "logs": "logs",
    "backend": "backend",
    "provider": "provider",
    "key": "key",
    "config": "config",
    "chain": "chain",
    "limit": "limit",
    "client": "listener",
    "admin": "listener",
    "price": "price",
    "explain": "explain",
    "verify": "verify",
    "alerts": "alerts",
    "quota": "quota",
    "jobs": "jobs",
    "files": "files",
    "completion": "completion",
    "setup": "setup",
    "models": "report",
    "usage": "report",
    "backup": "backup",
    "restore": "backup",
    "migrate-to": "moving",
    "partitions": "partitions",
    "update": "update",
    "rollback": "update",
    "service": "service",
}
"""Command → the module in this folder that has it, under the command's name with "_" for "-"."""
NAMED: Mapping[str, str] = {"open": "open_dashboard"}
"""Those whose name is a builtin's."""

# The root help, in the order in which a newcomer needs things.
SECTIONS: Mapping[str, Sequence[str]] = {
    "Server": ("serve", "status", "stop", "reload", "open", "logs", "doctor"),
    "Accounts and keys": ("backend", "provider", "key"),
    "Programs": ("setup",),
    "What happens": ("models", "usage", "quota", "explain", "verify", "alerts", "jobs"),
    "Doors": ("client", "admin"),
    "Settings": ("config", "chain", "limit", "price"),
    "Safety": ("backup", "restore", "files", "migrate-to", "partitions"),
    "Installation": ("update", "rollback", "service", "completion"),
}
EPILOG = """\b
First steps:
  omni-connector                              start the server; the dashboard opens on the printed address
  omni-connector backend add                  connect an account (asks; every answer is also an option)
  omni-connector backend add demo             … or look around first: the built-in demo needs no key
  omni-connector key create --name laptop     the key your programs use, shown once
  omni-connector setup claude-code            point a program here: shows the changes first, and can undo them
  omni-connector doctor                       something does not work? this names the reason and the fix

\b
Any OpenAI or Anthropic client then works with base URL http://localhost:38471/v1 and model "auto".
Everything is kept in ~/.omni-connector (or OMNI_HOME). Every command explains itself with --help."""
FORMS = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


AS_OPTIONS: Mapping[str, str] = {"--update": "update", "--upd": "update", "--rollback": "rollback"}
"""Commands that may also be written as an option, with theirs behind it."""


class Commands(MutableMapping[str, click.Command]):
    """The commands by their names. Each is imported when it is asked for: one command, and the server above all, needs no other's code."""

    def __init__(self) -> None:
        self._found: dict[str, click.Command] = {}

    def __getitem__(self, name: str) -> click.Command:
        if name not in self._found:
            module = import_module(f"omni_connector.cli.{MODULES[name]}")
            self._found[name] = getattr(module, NAMED.get(name, name.replace("-", "_")))
        return self._found[name]

    def __contains__(self, name: object) -> bool:
        return name in self._found or name in MODULES

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys((*MODULES, *self._found)))

    def __len__(self) -> int:
        return len(MODULES.keys() | self._found.keys())

    def __setitem__(self, name: str, command: click.Command) -> None:
        self._found[name] = command

    def __delitem__(self, name: str) -> None:
        del self._found[name]


class Root(Group):
    """The command itself: `omni-connector` alone serves, and takes the options of `serve`."""

    aliases: ClassVar[Mapping[str, str]] = {"account": "backend"}

    def __init__(self, **words: Any) -> None:
        super().__init__(**words)
        self.commands = Commands()

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        serve_options = _options(self.commands["serve"])
        if args and args[0].startswith("-") and args[0].split("=")[0] in serve_options:
            args = ["serve", *args]
        if args and args[0] in AS_OPTIONS:
            args = [AS_OPTIONS[args[0]], *args[1:]]
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            known = serve_options | _options(self) | set(ctx.help_option_names) | set(AS_OPTIONS)
            raise click.UsageError(f"There is no option {error.option_name!r}{near(error.option_name, known)}.") from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, names in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name, self.commands[name].get_short_help_str(90)) for name in names])


def _options(command: click.Command) -> set[str]:
    return {name for param in command.params for name in (*param.opts, *param.secondary_opts)}


@click.group(cls=Root, invoke_without_command=True, context_settings=FORMS, epilog=EPILOG)
@click.version_option(__version__, "--version", "-V", prog_name="omni-connector", message="%(prog)s %(version)s")
@click.option("--init-only", is_flag=True, help="Create home, keys and database, say where they are, and exit.")
@json_option
@click.pass_context
def root(ctx: click.Context, init_only: bool, as_json: bool) -> None:
    """One key for every AI account you own: a local gateway that routes, translates, fails over and keeps exact books.

    Without a command the server starts (see 'serve').
    """
    if ctx.invoked_subcommand is not None:
        if init_only:
            raise click.UsageError("--init-only stands alone, without a command.")
        return
    if init_only:
        from omni_connector.cli.server import initialise

        initialise(as_json)
        return
    ctx.exit(ctx.invoke(root.commands["serve"]))
