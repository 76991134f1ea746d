"""`omni-connector backend …` (alias `account`): the accounts at providers. (R-31, R-43, R-47)"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from omni_connector.cli import prompts
from omni_connector.cli.accounts import (
    body_of,
    find_account,
    probe_one,
    show_account,
    show_list,
    show_probe,
    show_saved,
    show_tests,
    wizard,
)
from omni_connector.cli.base import Group, Stop, json_option, words
from omni_connector.cli.budget import OPTIONS, budget_of, budget_options, limit_options, names_budget, plain
from omni_connector.cli.commands import changed
from omni_connector.cli.desk import Desk, ask, at_desk
from omni_connector.cli.gemini_login import gemini_oauth_login, pick_models
from omni_connector.cli.login import login
from omni_connector.cli.output import note, say, show
from omni_connector.cli.quota import balance_of, show_refreshed
from omni_connector.cli.transfer import export, import_

Json = dict[str, Any]
F = TypeVar("F", bound=Callable[..., Any])

_FIELDS = (
    click.option("--label", help="Your name for it, unique (default: the provider's id)."),
    click.option("--key-env", metavar="NAME", help="Take the API key from this environment variable."),
    click.option("--key-stdin", is_flag=True, help="Read the API key from standard input."),
    click.option("--api-key", metavar="KEY", help="The API key itself; other users of this machine can see it."),
    click.option("--base-url", metavar="URL", help="Another address than the provider's own."),
    click.option("--region", help="One of the provider's regions (see 'backend add PROVIDER --help')."),
    click.option("--models", metavar="A,B", help="Only these models, best first ('none': all that the provider lists)."),
    click.option("--prefix", help="Also answer to PREFIX/model."),
    click.option("--map", "model_map", metavar="NAME=ID", multiple=True, help="Answer NAME with the provider's model ID. Repeatable."),
    click.option("--priority", type=int, help="Higher is tried first (default 0)."),
    click.option("--weight", type=int, help="Share of the work among equals (default 1)."),
    limit_options,
    budget_options,
    click.option("--header", metavar="'NAME: VALUE'", multiple=True, help="Send this header along. Repeatable."),
    click.option("--proxy-url", metavar="URL", help="Reach the provider through this proxy (http, https, socks5)."),
    click.option("--preset", metavar="NAME", help="For a local command: one that is known by name, such as claude-code or codex-exec."),
    click.option("--command", metavar="'PROGRAM ARGS'", help="For a local command: what is run, with {model}, {system}, {prompt} in it."),
    click.option("--program", metavar="PATH", help="For a local command: where its program is, when the server does not find it."),
    click.option("--option", metavar="NAME=JSON", multiple=True, help="Anything else the provider understands. Repeatable."),
    click.option("--discover/--no-discover", default=True, help="Ask the provider for its models at once (default: yes)."),
)


def _fields(command: F) -> F:
    for option in reversed(_FIELDS):
        command = option(command)
    return command


@click.group(cls=Group)
def backend() -> None:
    """Connect, list, test, probe, edit and remove accounts at AI providers. ('account' is the same command.)"""


@backend.command()
@click.argument("provider", required=False)
@click.option("--provider", "named", metavar="PROVIDER", help="The same as the argument.")
@_fields
@click.option("--disabled", is_flag=True, help="Add it switched off.")
@json_option
def add(provider: str | None, named: str | None, disabled: bool, as_json: bool, **given: Any) -> None:
    """Connect an account. On a terminal it asks for what is missing, and tries the account before it saves it.

    \b
    Examples:
      omni-connector backend add demo
      omni-connector backend add openai --key-env OPENAI_API_KEY
      pass show anthropic | omni-connector backend add anthropic --key-stdin --label work
      omni-connector backend add custom-openai --base-url http://10.0.0.5:8000/v1 --label gpu-box
      omni-connector backend add claude-code
      omni-connector backend add command --preset codex-exec --label codex
      omni-connector backend add command --command 'llm -m {model}' --models gpt-5-mini
    """
    if provider and named and provider != named:
        raise click.UsageError(f"The provider is given twice: {provider!r} and {named!r}.")
    body = body_of(given)
    body["provider"] = provider or named or ""
    if disabled:
        body["enabled"] = False
    body = wizard(body, ask_for_missing=prompts.terminal() and not as_json)
    show(ask("add_account", body), as_json, show_saved)


@backend.command("list")
@json_option
def list_accounts(as_json: bool) -> None:
    """All accounts: standing, models, use of today."""
    show(ask("accounts"), as_json, show_list)


@backend.command("show")
@click.argument("account")
@json_option
def show_one(account: str, as_json: bool) -> None:
    """One account by label or id, with everything but its secrets."""

    async def work(desk: Desk) -> Json:
        return await find_account(desk, account)

    show(at_desk(work), as_json, show_account)


@backend.command()
@click.argument("account")
@_fields
@click.option("--balance", metavar="'AMOUNT CURRENCY'", help="What is left on it, where its provider does not tell ('none': unknown).")
@json_option
def edit(account: str, as_json: bool, **given: Any) -> None:
    """Change an account. What you do not name stays; '' or 'none' clears a field.

    \b
    Examples:
      omni-connector backend edit work --priority 10
      omni-connector backend edit work --key-env NEW_KEY
      omni-connector backend edit gpu-box --models "qwen3-32b,llama-3.3-70b" --max-in-flight 4
      omni-connector backend edit work --budget 20 --period week --zone Europe/Berlin --rpm 60
    """
    money = {option: given.pop(option) for option in OPTIONS}
    changes = body_of(given) | balance_of(given["balance"])
    if not changes.keys() - {"discover"} and not names_budget(money):
        raise click.UsageError("Nothing to change. Name a field, such as --label, --priority or --key-env (see --help).")

    async def work(desk: Desk) -> Json:
        found = await find_account(desk, account)
        if "options" in changes:
            changes["options"] = changed(changes["options"], found["options"])
        changes.update(budget_of(money, found["budget"] and plain(found["budget"])))
        return await desk.call("edit_account", found["id"], changes)

    show(at_desk(work), as_json, show_saved)


def _simple(operation: str, done: str) -> Callable[[str, bool], None]:
    """A command that does one operation to one account and says so."""

    def run(account: str, as_json: bool) -> None:
        async def work(desk: Desk) -> Json:
            return await desk.call(operation, (await find_account(desk, account))["id"])

        show(at_desk(work), as_json, lambda a: say(f"{a['label']}: {done} Status: {a['status']}."))

    return run


@backend.command()
@click.argument("account")
@json_option
def enable(account: str, as_json: bool) -> None:
    """Let an account take requests again."""
    _simple("enable", "switched on.")(account, as_json)


@backend.command()
@click.argument("account")
@json_option
def disable(account: str, as_json: bool) -> None:
    """Send no more requests to an account; what is in flight ends normally."""
    _simple("disable", "switched off.")(account, as_json)


@backend.command("clear-cooldown")
@click.argument("account")
@json_option
def clear_cooldown(account: str, as_json: bool) -> None:
    """Let an account back in at once, whatever kept it out."""
    _simple("clear_cooldown", "cleared.")(account, as_json)


@backend.command()
@click.argument("account")
@json_option
def probe(account: str, as_json: bool) -> None:
    """Ask now whether an account that is out is back.

    The server asks by itself, at first soon and then ever more rarely (settings probe_first_s, probe_max_s). It begins with what
    costs nothing: is it reached, is the credential taken, is there money left. Where only a request can tell, it sends one token, a
    few times a day at most (probe_billed_per_day); that is a row in 'omni-connector logs --requests' like any request. An account that
    works, and one whose provider said when it is back, is not asked. To let it in without asking: clear-cooldown.

    \b
    Examples:
      omni-connector backend probe work
      omni-connector backend probe work --json
    """
    show(at_desk(lambda desk: probe_one(desk, account)), as_json, show_probe)


@backend.command()
@click.argument("account")
@json_option
def refresh(account: str, as_json: bool) -> None:
    """Ask now what is left of an account's quota and money. (The server does so by itself: setting quota_refresh_interval.)"""

    async def work(desk: Desk) -> Json:
        return await desk.call("refresh", (await find_account(desk, account))["id"])

    show(at_desk(work), as_json, show_refreshed)


@backend.command("models")
@click.argument("account")
@click.option("--set", "chosen", metavar="A,B", help='These; "" for all that the account lists. Without it they are picked on a terminal.')
@json_option
def pick(account: str, chosen: str | None, as_json: bool) -> None:
    """Pick the models that an account may serve. Where nobody can be asked, the models that it has are listed."""
    found = at_desk(lambda desk: find_account(desk, account))
    wanted = words(chosen)
    if wanted is None and prompts.terminal() and not as_json:
        wanted = pick_models(found)
    if wanted is not None:
        found = ask("edit_account", found["id"], {"models": wanted, "discover": False})
    told = {"account": found["label"], "models": found["serves"]}
    show(told, as_json, lambda one: say("\n".join(one["models"]) or "No models are known."))


@backend.command()
@click.argument("account")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@json_option
def remove(account: str, yes: bool, as_json: bool) -> None:
    """Forget an account and its credential. Its requests stay in the books."""
    found = at_desk(lambda desk: find_account(desk, account))
    if not yes and not as_json and prompts.terminal() and not prompts.confirm(f"Remove {found['label']!r}?", default=False):
        raise click.Abort
    show(ask("remove_account", found["id"]), as_json, lambda a: say(f"{a['label']} is removed."))


@backend.command()
@click.argument("account", required=False)
@click.option("--all", "every", is_flag=True, help="Test all accounts that are switched on.")
@json_option
@click.pass_context
def test(ctx: click.Context, account: str | None, every: bool, as_json: bool) -> None:
    """Ask an account's provider for its models (this costs nothing). Exit code 1 when it fails."""
    if (account is None) != every:
        raise click.UsageError("Name one account, or give --all.")

    async def work(desk: Desk) -> list[Json]:
        chosen = [await find_account(desk, account)] if account else [a for a in (await desk.call("accounts"))["accounts"] if a["enabled"]]
        return [{"id": a["id"], "label": a["label"], **await desk.call("test", a["id"])} for a in chosen]

    results = at_desk(work)
    if every and not results:
        raise Stop("There is no account to test. Connect one: omni-connector backend add")
    show({"results": results} if every else results[0], as_json, lambda _: show_tests(results))
    failed = sum(not result["ok"] for result in results)
    if failed and every and not as_json:
        note(f"{failed} of {len(results)} failed.")
    ctx.exit(1 if failed else 0)


for command in (login, gemini_oauth_login, import_, export):
    backend.add_command(command)
