"""Local commands on the command line: `--preset` and `--command` → options.command, and the questions of `backend add`."""

from __future__ import annotations

import json
import shlex
from typing import Any

import click

from omni_connector.cli import prompts
from omni_connector.cli.output import note

Json = dict[str, Any]
OWN = "generic"


def command_of(line: str | None, preset: str | None, program: str | None = None) -> Json:
    """What the three options say, as `options.command`; {} when none was given. The line is split as a shell would, and run by none."""
    found: Json = {name: value for name, value in (("preset", preset), ("program", program)) if value}
    if line is not None:
        try:
            found["argv"] = shlex.split(line)
        except ValueError as error:
            raise click.UsageError(f"--command: {error} in {line!r}.") from None
        if not found["argv"]:
            raise click.UsageError("--command: name a program, such as --command 'llm -m {model}'.")
    return found


def changed(options: Json, known: Json) -> Json:
    """The options of an account that is edited. Another program is another one for the command that it has."""
    command, before = options.get("command"), known.get("command") or {}
    merged = {**before, **command} if isinstance(command, dict) and command.keys() == {"program"} else command
    return {**known, **options, **({"command": merged} if merged else {})}


def ask_command(body: Json, row: Any, ask_for_missing: bool) -> bool:
    """Completes the body of a command account. Returns whether somebody was asked. Without a terminal: UsageError naming the options."""
    from omni_connector.providers.command_presets import PRESETS

    if row.terms and ask_for_missing:
        note(row.terms)
    if row.id in PRESETS or body.get("options", {}).get("command"):
        return False
    if not ask_for_missing:
        raise click.UsageError(
            f"Missing the command: give --preset ({', '.join(PRESETS)}) or --command 'PROGRAM ARGUMENTS…'. "
            "What clients send replaces {model}, {system} and {prompt} in it, or goes to its standard input."
        )
    name = prompts.select("Which command?", [(name, f"{preset.label}  ({preset.about})") for name, preset in PRESETS.items()])
    preset = PRESETS[name]
    command: Json = {"preset": name}
    if name == OWN:
        command = command_of(prompts.text("Command ({model}, {system}, {prompt} stand for what is asked):"), None)
    elif preset.edit:
        value = prompts.text(f"{preset.edit}:")
        command["argv"] = [value if argument == preset.edit else argument for argument in json.loads(json.dumps(preset.command["argv"]))]
    body["options"] = {**body.get("options", {}), "command": command}
    return True
