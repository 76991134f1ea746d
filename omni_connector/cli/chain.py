"""`omni-connector chain …`: names that stand for tiers of accounts. Without a command, a manager on the terminal. (R-46)"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from omni_connector.cli import prompts
from omni_connector.cli.base import Group, json_option, near
from omni_connector.cli.desk import ask
from omni_connector.cli.output import note, say, show, table

Json = dict[str, Any]
Tiers = list[list[str]]

NEW, DONE, BACK = "new", "done", "back"


@click.group(cls=Group, invoke_without_command=True)
@click.pass_context
def chain(ctx: click.Context) -> None:
    """Chains: a name for accounts in tiers. The members of a tier share the work; the next tier is for when all of them are out.

    A member is an account (its best model), or account::model. Without a command, chains are managed here, step by step.
    Changes are effective at once; what is in flight goes on as it began.

    \b
    Examples:
      omni-connector chain set careful claude-work,openai groq-free
      omni-connector chain set coding claude-work::claude-opus-4-5 openai::gpt-5 local
      curl … -d '{"model": "careful", …}'
    """
    if ctx.invoked_subcommand is not None:
        return
    if not prompts.terminal():
        raise click.UsageError("Nobody can be asked here. Use 'chain list', 'chain set NAME TIER…' or 'chain remove NAME'.")
    _manage()


@chain.command("list")
@json_option
def list_chains(as_json: bool) -> None:
    """Every chain with its tiers, first to be used first."""
    show({"chains": ask("config")["chains"]}, as_json, _show)


def _show(answer: Json) -> None:
    if not answer["chains"]:
        say("No chains. Make one: omni-connector chain set NAME TIER…")
        return
    table(("NAME", "TIERS"), [(name, _text(tiers)) for name, tiers in answer["chains"].items()])


@chain.command("set")
@click.argument("name")
@click.argument("tiers", nargs=-1, required=True, metavar="TIER...")
@json_option
def set_chain(name: str, tiers: Sequence[str], as_json: bool) -> None:
    """Make or replace the chain NAME. Each TIER is a list of members with commas: a,b or a::model.

    \b
    Example: first both work accounts, then the free one, then this machine
      omni-connector chain set careful claude-work,openai groq-free workstation::qwen3:32b
    """
    wanted = [_members(tier) for tier in tiers]
    if not all(wanted):
        raise click.UsageError("A TIER is empty. Write its members with commas: a,b.")
    answer = ask("set_chain", name, {"tiers": wanted})
    show(answer, as_json, lambda chain: say(f"{chain['name']} = {_text(chain['tiers'])}"))
    _warn(answer["tiers"])


@chain.command()
@click.argument("name")
@json_option
def remove(name: str, as_json: bool) -> None:
    """Remove the chain NAME. Its accounts stay."""
    show(ask("remove_chain", name), as_json, lambda _: say(f"Chain {name!r} is removed."))


def _members(text: str) -> list[str]:
    """`a, b` → ["a", "b"]. Only commas part them: a label may hold blanks."""
    return [member.strip() for member in text.split(",") if member.strip()]


def _text(tiers: Sequence[Sequence[str]]) -> str:
    return " → ".join(",".join(tier) for tier in tiers)


def _warn(tiers: Sequence[Sequence[str]]) -> None:
    """A chain may name accounts that come later; usually it is a slip."""
    accounts = ask("accounts")["accounts"]
    known = {name for account in accounts for name in (account["label"], account["id"])}
    for name in dict.fromkeys(member.partition("::")[0] for tier in tiers for member in tier):
        if name not in known:
            note(f"There is no account {name!r} yet{near(name, [account['label'] for account in accounts])}: the chain passes over it.")


# ---------------------------------------------------------------- On a terminal


def _manage() -> None:
    """Every step is stored before the next question, so leaving at any time loses nothing."""
    while True:
        chains: Mapping[str, Tiers] = ask("config")["chains"]
        listed = [(f"chain {name}", f"{name}   {_text(tiers)}") for name, tiers in chains.items()]
        picked = prompts.select("Which chain?", [*listed, (NEW, "+ a new chain"), (DONE, "Done")])
        if picked == DONE:
            return
        if picked == NEW:
            _create(chains)
        else:
            _edit(picked.removeprefix("chain "))


def _create(chains: Mapping[str, Tiers]) -> None:
    name = prompts.text("Name of the chain, as programs will ask for it:")
    if not name or name in chains:
        note(f"There is a chain {name!r} already." if name else "Nothing is made without a name.")
        return
    members = _ask_members("Members of the first tier, with commas:", [])
    if members and _store(name, [members]):
        _edit(name)


def _edit(name: str) -> None:
    while name in (chains := ask("config")["chains"]):
        tiers: Tiers = chains[name]
        for place, tier in enumerate(tiers):
            say(f"  {place + 1}. {', '.join(tier)}")
        picked = prompts.select(f"Chain {name}:", _choices(tiers), instruction="(each change is stored at once)")
        if picked == BACK:
            return
        if picked == "delete":
            if prompts.confirm(f"Remove the chain {name!r}?", default=False):
                ask("remove_chain", name)
            continue
        changed = _changed(tiers, picked)
        if changed is not None and changed != tiers:
            _store(name, changed)


def _choices(tiers: Tiers) -> list[tuple[str, str]]:
    several = len(tiers) > 1
    found = [("add", "Add a tier")]
    for place in range(len(tiers)):
        found.append((f"members {place}", f"Change the members of tier {place + 1}"))
        if place:
            found.append((f"up {place}", f"Move tier {place + 1} up"))
        if several:
            found.append((f"drop {place}", f"Remove tier {place + 1}"))
    return [*found, ("delete", "Remove the whole chain"), (BACK, "Back")]


def _changed(tiers: Tiers, picked: str) -> Tiers | None:
    """The tiers after one step; None when nothing was said."""
    step, _, number = picked.partition(" ")
    if step == "add":
        members = _ask_members(f"Members of tier {len(tiers) + 1}, with commas:", [])
        return [*tiers, members] if members else None
    place = int(number)
    if step == "members":
        members = _ask_members(f"Members of tier {place + 1}, with commas:", tiers[place])
        return [*tiers[:place], members, *tiers[place + 1 :]] if members else None
    if step == "up":
        return [*tiers[: place - 1], tiers[place], tiers[place - 1], *tiers[place + 1 :]]
    return [*tiers[:place], *tiers[place + 1 :]]


def _ask_members(question: str, now: Sequence[str]) -> list[str]:
    labels = [account["label"] for account in ask("accounts")["accounts"]]
    note(f"Accounts: {', '.join(labels) or 'none yet'}. A member is an account, or account::model.")
    return _members(prompts.text(question, ", ".join(now)))


def _store(name: str, tiers: Tiers) -> bool:
    """False, and said why, when the chain is refused: on a terminal the next try is one question away."""
    from omni_connector.errors import GatewayError, Kind

    try:
        ask("set_chain", name, {"tiers": tiers})
    except GatewayError as error:
        if error.kind is not Kind.BAD_REQUEST:
            raise
        note(error.message)
        return False
    _warn(tiers)
    return True
