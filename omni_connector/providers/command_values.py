"""The values of `options.command.set`: environment given to an account's program, such as its credential. Pure.

They are kept apart from the options, in the account's encrypted `secret`, as one JSON object of name and value. The options hold only
the names, each with `MASK`, and are shown like that. A row that holds values in its options (as older ones do) is read all the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from omni_connector.errors import bad_request
from omni_connector.providers.commands import FIELD
from omni_connector.snapshot import EMPTY, Account, Json

MASK = "••••••"
"""Stands for a value that is kept. Not "": that is a value of its own, which some programs look for."""


def put_away(options: Json, known: Mapping[str, str | None] = EMPTY) -> tuple[Json, str]:
    """(The options without values, what goes into `secret`). A masked name keeps its value of `known`, a name left out is gone.

    `known`: see `known`. Raises BAD_REQUEST for a masked name that is not in it.
    """
    given = _set(options)
    for name, value in given.items():
        if value == MASK and name not in known:
            field = f"{FIELD}.set.{name}"
            raise bad_request(f"{field}: give its value; {MASK} keeps one, and there is none.", field)
    named = {name: known[name] if value == MASK else value for name, value in given.items()}
    values = {name: value for name, value in named.items() if value is not None}
    return shown(options), json.dumps(values, sort_keys=True) if values else ""


def known(account: Account) -> dict[str, str | None]:
    """Each name of the account's environment with its value; None: it waits for one, as after an import without secrets."""
    if account.auth != "cli":
        return {}
    kept = _kept(account.secret)
    return {name: kept.get(name) if value == MASK else value for name, value in _set(account.options).items()}


def values(account: Account) -> dict[str, str]:
    """Each name of the account's environment that has a value."""
    return {name: value for name, value in known(account).items() if value is not None}


def shown(options: Mapping[str, Any]) -> Json:
    """The options as anybody may see them."""
    return _with(options, dict.fromkeys(_set(options), MASK))


def filled(account: Account) -> Json:
    """The options with the values, as the program gets them. A name that waits for its value keeps `MASK`."""
    return _with(account.options, values(account))


def masked(options: Mapping[str, Any]) -> list[str]:
    """The names without a value in what `filled` gave, or in what a file says."""
    return [name for name, value in _set(options).items() if value == MASK]


def _set(options: Mapping[str, Any]) -> dict[str, str]:
    """`options.command.set`, as far as it is one: what is wrong in it is said by `commands.template`."""
    command = options.get("command")
    given = command.get("set") if isinstance(command, Mapping) else None
    return {name: value for name, value in given.items() if isinstance(value, str)} if isinstance(given, Mapping) else {}


def _with(options: Mapping[str, Any], found: Mapping[str, str]) -> Json:
    if not found:
        return dict(options)
    command = options["command"]
    return {**options, "command": {**command, "set": {**command["set"], **found}}}


def _kept(secret: str) -> dict[str, str]:
    return json.loads(secret) if secret else {}
