"""`omni-connector backend login` and `backend gemini-oauth-login`: accounts that are connected by signing in. (R-32…R-42)"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from omni_connector.cli.accounts import option_values
from omni_connector.cli.base import Stop, json_option
from omni_connector.cli.desk import Desk, at_desk
from omni_connector.cli.output import show
from omni_connector.cli.signing import finish, show_flow, show_signed_in, sign_in, start_body

Json = dict[str, Any]
F = TypeVar("F", bound=Callable[..., Any])

SIGN_IN_OPTIONS = (
    click.option("--headless", is_flag=True, help="Open no browser: print the address, then take the code or the address you end at."),
    click.option("--yes", "-y", is_flag=True, help="Acknowledge the provider's terms, and switch its sign-in on if it is off."),
    click.option("--client-id", metavar="ID", help="Your own OAuth client, where the provider wants one."),
    click.option("--client-secret-env", metavar="NAME", help="Take the client's secret from this environment variable."),
    click.option("--client-from-cli", is_flag=True, help="Take the client from the gemini-cli that is installed on this machine."),
    click.option("--project", metavar="ID", help="Google Cloud project (else GOOGLE_CLOUD_PROJECT)."),
    click.option("--proxy-url", metavar="URL", help="Reach the provider through this proxy."),
    click.option("--option", metavar="NAME=JSON", multiple=True, help="Anything else the provider understands. Repeatable."),
)


def sign_in_options(command: F) -> F:
    for option in reversed(SIGN_IN_OPTIONS):
        command = option(command)
    return command


@click.command()
@click.argument("provider", required=False)
@click.argument("label", required=False)
@click.option("--way", help="One of the provider's ways (browser, device), where it has several.")
@click.option("--finish", "finished", metavar="FLOW", help="Go on with a sign-in that was begun before: takes the code or address.")
@sign_in_options
@json_option
def login(provider: str | None, label: str | None, finished: str | None, as_json: bool, **given: Any) -> None:
    """Connect an account by signing in at PROVIDER; a LABEL that exists is signed in again.

    The browser opens and comes back by itself. Where there is none (ssh, containers), the address is printed: open it anywhere, and
    paste the address of the page that you end at, also when that page could not be loaded. Some providers show a code to type instead.

    \b
    Examples:
      omni-connector backend login openrouter
      omni-connector backend login codex work --headless
      omni-connector backend login codex --headless --json < /dev/null     begins; then, with what you copied:
      pbpaste | omni-connector backend login --finish FLOW
    """
    if finished:
        show(at_desk(lambda desk: _go_on(desk, finished, as_json)), as_json, show_signed_in)
        return
    if not provider:
        raise click.UsageError("Missing provider. 'omni-connector backend login openrouter' is one; the dashboard shows all.")
    given["options"] = option_values(given.pop("option"))
    body = start_body(provider, {**given, "label": label})
    show(sign_in(provider, body, yes=given["yes"], as_json=as_json), as_json, show_signed_in)


async def _go_on(desk: Desk, flow_id: str, as_json: bool) -> Json:
    flow = await desk.call("sign_in", flow_id)
    if flow["status"] == "waiting":
        show_flow(flow, as_json)
        return await finish(desk, flow, as_json=as_json)
    if flow["status"] != "done":
        raise Stop(flow["error"] or f"The sign-in was {flow['status']}.")
    return flow
