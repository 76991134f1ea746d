"""`omni-connector config …`: settings, aliases, the default model and the strategy. (R-44, R-45)"""

from __future__ import annotations

from typing import Any

import click

from omni_connector.cli.base import Group, Stop, json_option, near
from omni_connector.cli.desk import ask
from omni_connector.cli.output import facts, note, say, show, table

Json = dict[str, Any]


@click.group(cls=Group)
def config() -> None:
    """Settings, model aliases, default model and strategy. Changes are effective at once."""


@config.command("list")
@json_option
def list_settings(as_json: bool) -> None:
    """Every setting with its value and where that comes from, the aliases and the chains."""
    show(ask("config"), as_json, _show_config)


def _show_config(answer: Json) -> None:
    table(("SETTING", "VALUE", "FROM", "ENVIRONMENT"), [(s["name"], s["value"], s["source"], s["env"]) for s in answer["settings"]])
    for title, entries in (("aliases", answer["aliases"]), ("chains", answer["chains"])):
        if entries:
            say()
            say(f"{title}:")
            facts((f"  {name}", " → ".join(_words(target) for target in targets)) for name, targets in entries.items())


def _words(target: Any) -> str:
    return ",".join(target) if isinstance(target, list) else str(target)


@config.command()
@click.argument("name")
@json_option
def get(name: str, as_json: bool) -> None:
    """The value of one setting."""
    settings: list[Json] = ask("config")["settings"]
    for setting in settings:
        if name in (setting["name"], setting["env"]):
            show(setting, as_json, lambda s: say(_text(s["value"])))
            return
    raise Stop(f"There is no setting {name!r}{near(name, [s['name'] for s in settings])}. See: omni-connector config list")


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(str(item) for item in value) if isinstance(value, list) else str(value)


@config.command("set")
@click.argument("name")
@click.argument("value")
@json_option
def set_value(name: str, value: str, as_json: bool) -> None:
    """Store a setting. 'default' as VALUE forgets it again."""
    _set(name, value, as_json)


@config.command("default-model")
@click.argument("model")
@json_option
def default_model(model: str, as_json: bool) -> None:
    """The model used when a request names none ("auto": the best one available)."""
    _set("default_model", model, as_json)


@config.command()
@click.argument("mode")
@json_option
def strategy(mode: str, as_json: bool) -> None:
    """How accounts are chosen when several can serve a request.

    \b
    auto          all of it weighed against each other (the default)
    performance   the fastest first
    cost          the cheapest for this request first; an unknown price is not a low one
    round-robin   each in turn
    fill-first    always the first, by priority; the next only when it is out
    lru           the one that rested longest first

    See what it changes: omni-connector explain auto
    """
    _set("strategy", mode, as_json)


def _set(name: str, value: str, as_json: bool) -> None:
    answer = ask("set_config", {name: None if value == "default" else value})
    setting = next(s for s in answer["settings"] if s["name"] == name)
    show(setting, as_json, lambda s: say(f"{s['name']} = {_text(s['value'])}"))
    if setting["source"] == "environment":
        note(f"It is stored, but the environment variable {setting['env']} comes first.")


@config.command()
@click.argument("name")
@click.argument("targets", nargs=-1)
@click.option("--remove", is_flag=True, help="Remove the alias.")
@json_option
def alias(name: str, targets: tuple[str, ...], remove: bool, as_json: bool) -> None:
    """NAME becomes another name for the first TARGET (model, provider/model, …) that can serve.

    \b
    Examples:
      omni-connector config alias fast groq/llama-3.3-70b cerebras/llama-3.3-70b
      omni-connector config alias fast --remove
    """
    if remove == bool(targets):
        raise click.UsageError("Give either one or more TARGETs or --remove.")
    if remove:
        show(ask("remove_alias", name), as_json, lambda _: say(f"Alias {name!r} is removed."))
        return
    show(ask("set_alias", name, {"targets": list(targets)}), as_json, lambda _: say(f"{name} → {' → '.join(targets)}"))


@config.command()
@json_option
def reload(as_json: bool) -> None:
    """Read the configuration anew. Changes made by commands, the dashboard or the API need no reload."""
    show(ask("reload_config"), as_json, lambda answer: say(f"The configuration is read anew (version {answer['version']})."))
