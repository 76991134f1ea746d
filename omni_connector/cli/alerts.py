"""`omni-connector alerts …`: what is wrong with the accounts, and the channels that hear of it. (J-09)"""

from __future__ import annotations

import sys
from typing import Any

import click

from omni_connector.cli import prompts
from omni_connector.cli.base import Group, Stop, json_option, near, words
from omni_connector.cli.desk import Desk, ask, at_desk
from omni_connector.cli.output import note, say, show, table, when

Json = dict[str, Any]


@click.group(cls=Group)
def alerts() -> None:
    """See what is wrong, and tell DingTalk, Slack, Feishu, Lark, WeCom or a webhook of it."""


@alerts.command("list")
@click.option("--limit", type=int, default=20, show_default=True, help="So many alerts at most.")
@json_option
def list_alerts(limit: int, as_json: bool) -> None:
    """Alerts that are open or were lately, newest first, and the channels."""
    show(ask("alerts", {"limit": limit}), as_json, _show_list)


def _show_list(answer: Json) -> None:
    found = answer["alerts"]
    if found:
        rows = [(a["state"], a["title"], a["message"], when(a["at"]), when(a["ended_at"]), _told(a)) for a in found]
        table(("STATE", "ALERT", "WHAT", "SINCE", "UNTIL", "TOLD"), rows)
    else:
        say("Nothing is or was wrong.")
    say()
    _show_channels(answer)


def _told(alert: Json) -> str:
    told = alert["told"].values()
    failed = sum(bool(one["failed"]) for one in told)
    return f"{len(told) - failed} of {len(told)}" if told else "–"


def _show_channels(answer: Json) -> None:
    if not answer["channels"]:
        say("No channel yet. Add one: omni-connector alerts add slack")
        return
    rows = [
        (c["name"], c["label"], c["hint"], c["enabled"], c["kinds"] or "all", when(c["last_ok_at"]), c["last_error"] or "–")
        for c in answer["channels"]
    ]
    table(("CHANNEL", "KIND", "WHERE", "ON", "ALERTS", "LAST HEARD", "PROBLEM"), rows)


@alerts.command()
@click.argument("kind", required=False)
@click.option("--url", help="Its address, a secret as a whole; other users of this machine can see it.")
@click.option("--url-stdin", is_flag=True, help="Read the address from standard input.")
@click.option("--url-env", metavar="NAME", help="Take the address from this environment variable.")
@click.option("--secret-env", metavar="NAME", help="Take the secret that signs messages from this environment variable.")
@click.option("--name", default="", help="Your name for it (default: its kind).")
@click.option(
    "--kinds",
    metavar="A,B",
    help="Only these alerts: low_balance, budget_reached, account_locked, needs_login, all_down, disk_low, usage_differs.",
)
@json_option
def add(
    kind: str | None,
    url: str | None,
    url_stdin: bool,
    url_env: str | None,
    secret_env: str | None,
    name: str,
    kinds: str | None,
    as_json: bool,
) -> None:
    """Add a channel of KIND: dingtalk, slack, feishu, lark, wecom, webhook or apprise (default: what the address tells).

    \b
    Examples:
      omni-connector alerts add slack                      asks for the address
      pass show slack-hook | omni-connector alerts add --url-stdin
      omni-connector alerts add dingtalk --url-env DING --secret-env DING_SECRET
    """
    body: Json = {"url": _address(url, url_stdin, url_env), "kind": kind or "", "name": name}
    if secret_env:
        body["secret"] = _from_environment(secret_env)
    if kinds is not None:
        body["kinds"] = words(kinds)
    show(ask("add_alert_channel", body), as_json, _show_added)


@alerts.command()
@click.argument("channel")
@click.option("--url", help="Another address, a secret as a whole; other users of this machine can see it.")
@click.option("--url-stdin", is_flag=True, help="Read it from standard input.")
@click.option("--url-env", metavar="NAME", help="Take it from this environment variable.")
@click.option("--secret-env", metavar="NAME", help="Take the secret that signs messages from this environment variable.")
@click.option("--no-secret", is_flag=True, help="Sign no messages any more.")
@click.option("--name", help="Your name for it.")
@click.option("--kinds", metavar="A,B", help='Only these alerts; "" for all.')
@click.option("--on/--off", "enabled", default=None, help="Send to it, or send nothing for now.")
@json_option
def edit(channel: str, as_json: bool, **said: Any) -> None:
    """Change a channel (name or id). What you do not name stays."""
    body: Json = {name: said[name] for name in ("name", "enabled") if said[name] is not None}
    if said["url"] is not None or said["url_stdin"] or said["url_env"] is not None:
        body["url"] = _address(said["url"], said["url_stdin"], said["url_env"])
    if said["no_secret"]:
        body["secret"] = None
    elif said["secret_env"]:
        body["secret"] = _from_environment(said["secret_env"])
    if said["kinds"] is not None:
        body["kinds"] = words(said["kinds"])
    if not body:
        raise click.UsageError("Name what is to change; see --help.")

    async def work(desk: Desk) -> Json:
        return await desk.call("edit_alert_channel", (await find_channel(desk, channel))["id"], body)

    show(at_desk(work), as_json, lambda one: _show_channels({"channels": [one]}))


def _address(url: str | None, from_stdin: bool, variable: str | None) -> str:
    if sum((url is not None, from_stdin, variable is not None)) > 1:
        raise click.UsageError("Give the address once: --url, --url-stdin or --url-env.")
    if url is not None:
        return url
    if variable is not None:
        return _from_environment(variable)
    if from_stdin:
        return sys.stdin.readline().strip()
    if prompts.terminal():
        return prompts.secret("Address of the channel:")
    raise click.UsageError("Say where to: --url-stdin, --url-env NAME or --url URL.")


def _from_environment(variable: str) -> str:
    from omni_connector.cli.office import environment, home

    value = environment(home()).get(variable, "").strip()
    if not value:
        raise Stop(f"The environment variable {variable} is empty or not set.")
    return value


def _show_added(channel: Json) -> None:
    say(f"Channel {channel['name']!r} ({channel['label']}, {channel['hint']}) hears of alerts from now on.")
    note(f"Try it: omni-connector alerts test {channel['name']}")


@alerts.command()
@click.argument("channel")
@json_option
@click.pass_context
def test(ctx: click.Context, channel: str, as_json: bool) -> None:
    """Send a test message to a channel (name or id). Exit code 1 when it does not take it."""

    async def work(desk: Desk) -> Json:
        return await desk.call("test_alert_channel", (await find_channel(desk, channel))["id"])

    answer = at_desk(work)
    show(answer, as_json, lambda result: say(result["message"]))
    ctx.exit(0 if answer["ok"] else 1)


@alerts.command()
@click.argument("channel")
@json_option
def remove(channel: str, as_json: bool) -> None:
    """Remove a channel (name or id)."""

    async def work(desk: Desk) -> Json:
        return await desk.call("remove_alert_channel", (await find_channel(desk, channel))["id"])

    show(at_desk(work), as_json, lambda result: say(f"Channel {result['name']!r} is removed."))


async def find_channel(desk: Desk, wanted: str) -> Json:
    """A channel by id or name. Raises Stop."""
    known: list[Json] = (await desk.call("alert_channels"))["channels"]
    found = next((c for c in known if wanted in (c["id"], c["name"])), None)
    if found is None:
        raise Stop(f"There is no alert channel {wanted!r}{near(wanted, [c['name'] for c in known])}. See: omni-connector alerts list")
    return found
