"""`omni-connector completion SHELL`: the lines that make a shell complete commands and options with the Tab key."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import click
from click.shell_completion import ShellComplete, get_completion_class

from omni_connector.cli.output import note

PROGRAM = "omni-connector"
VARIABLE = "_OMNI_CONNECTOR_COMPLETE"
"""click's, of the program's own name: it is the same under every name that the launcher has."""
INSTALLED: Mapping[str, str] = {
    "bash": "~/.local/share/bash-completion/completions/{name}",
    "zsh": "~/.zfunc/_{name}  (with `fpath+=~/.zfunc` before `compinit` in ~/.zshrc)",
    "fish": "~/.config/fish/completions/{name}.fish",
}
"""Shell → the file that it reads by itself."""


@click.command()
@click.argument("shell", type=click.Choice(tuple(INSTALLED)))
@click.option("--name", default=PROGRAM, show_default=True, help="What you call the program, for example pn.")
def completion(shell: str, name: str) -> None:
    """Print the lines that make SHELL complete commands and options with the Tab key. Nothing is written.

    \b
    Examples:
      omni-connector completion bash > ~/.local/share/bash-completion/completions/omni-connector
      source <(omni-connector completion zsh)
      omni-connector completion fish | source
    """
    from omni_connector.cli import shell as shells

    kind = get_completion_class(shell)
    assert kind is not None, shell
    # Without the look at the shell's version that click takes first: it would start one.
    click.echo(ShellComplete.source(kind(shells.root, {}, name, VARIABLE)))
    if sys.stdout.isatty():
        note(f"To keep it, write these lines to {INSTALLED[shell].format(name=name)}.")
