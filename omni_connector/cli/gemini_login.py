"""`omni-connector backend gemini-oauth-login`: a Google account for Gemini Code Assist, in a profile of its own. (R-32…R-42)"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from omni_connector.cli import prompts
from omni_connector.cli.accounts import option_values
from omni_connector.cli.base import Stop, json_option, words
from omni_connector.cli.desk import ask
from omni_connector.cli.login import sign_in_options
from omni_connector.cli.office import environment, home
from omni_connector.cli.output import note, say, show
from omni_connector.cli.signing import allowed, show_signed_in, sign_in, start_body

Json = dict[str, Any]

PROVIDER = "gemini-cli"
FOLDER = "gemini-oauth"
CREDENTIALS = Path(".gemini") / "oauth_creds.json"
"""Where gemini-cli keeps its sign-in, below its home."""
MAX_CREDENTIALS = 1 << 20
FOREIGN = ("GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_APPLICATION_CREDENTIALS", "GEMINI_CLI_HOME")
"""Variables with which gemini-cli would not sign in, or not into the profile."""
AUTO = "auto"


@click.command("gemini-oauth-login")
@click.argument("account")
@click.option(
    "--model-ids", metavar="auto|A,B", help="Models of the account: a list, or 'auto' to pick from what there is (terminal only)."
)
@click.option("--prepare-only", is_flag=True, help="Only print what is to be done by hand; nothing is sent.")
@click.option("--run-gemini", is_flag=True, help="Sign in with the installed gemini-cli itself, in a profile of this account's own.")
@sign_in_options
@json_option
def gemini_oauth_login(account: str, model_ids: str | None, prepare_only: bool, run_gemini: bool, as_json: bool, **given: Any) -> None:
    """Sign in to Gemini Code Assist with Google, and connect it as ACCOUNT, or sign that account in again.

    The OAuth client is your own: ONEAPI_GEMINI_OAUTH_CLIENT_ID and ONEAPI_GEMINI_OAUTH_CLIENT_SECRET (or GEMINI_OAUTH_CLIENT_ID/_SECRET),
    or a file named by ONEAPI_GEMINI_OAUTH_SOURCE_FILE. GOOGLE_CLOUD_PROJECT names the project where Google wants one.

    \b
    Examples:
      omni-connector backend gemini-oauth-login work
      omni-connector backend gemini-oauth-login work --headless --model-ids gemini-2.5-pro,gemini-2.5-flash
      omni-connector backend gemini-oauth-login work --headless --prepare-only
    """
    if prepare_only and run_gemini:
        raise click.UsageError("--prepare-only and --run-gemini exclude each other.")
    profile = profile_of(account)
    given["options"] = option_values(given.pop("option"))
    if prepare_only:
        show(_prepared(account, profile), as_json, lambda told: say("\n".join(told["steps"])))
        return
    given = {**given, "label": account, "client_from_cli": given["client_from_cli"] or run_gemini}
    body = start_body(PROVIDER, given)
    flow = _by_gemini(profile, body, given["yes"], as_json) if run_gemini else sign_in(PROVIDER, body, yes=given["yes"], as_json=as_json)
    if flow["status"] == "done" and flow["account"] is not None:
        flow["account"] = _with_models(flow["account"], model_ids, as_json)
    show(flow, as_json, show_signed_in)


def profile_of(account: str) -> Path:
    """The account's own folder, private, below OMNI_HOME. Raises UsageError for a name that would lead elsewhere."""
    name = re.sub(r"[^\w.@+-]", "_", account.strip()).lstrip(".")
    if not name or len(name) > 64:
        raise click.UsageError("ACCOUNT: 1 to 64 characters, and more than dots.")
    folder = home() / FOLDER / name
    try:
        for path in (home(), folder.parent, folder):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Stop(f"The folder {folder} cannot be made ({error.strerror}).") from error
    return folder


# ---------------------------------------------------------------- By hand


def _prepared(account: str, profile: Path) -> Json:
    from omni_connector import providers

    sign_in_row = providers.get(PROVIDER).sign_in
    env = environment(home())
    pairs = sign_in_row.client_env if sign_in_row is not None else ()
    ready = any(env.get(client_id) and env.get(secret) for client_id, secret in pairs)
    first_id, first_secret = pairs[0]
    command = f"omni-connector backend gemini-oauth-login {account}"
    steps = [
        "1. In the Google Cloud console (https://console.cloud.google.com/apis/credentials) make an OAuth client of the type Desktop app. "
        "For a client of the type Web application, allow the redirect address http://localhost:8085/oauth2callback.",
        f"2. export {first_id}=…  and  export {first_secret}=…{'  (one such pair is set)' if ready else ''}",
        "3. Only for accounts that need a project of yours (Standard, Enterprise): export GOOGLE_CLOUD_PROJECT=your-project-id",
        f"4. {command} --headless",
        "   Open the address that is printed, on any machine, and paste the address of the page that you end at.",
        "Or, with gemini-cli installed: "
        f"{command} --headless --run-gemini  starts it in the profile {profile}; sign in there, then leave it by /quit.",
    ]
    return {"account": account, "profile": str(profile), "client_ready": ready, "steps": steps}


# ---------------------------------------------------------------- By gemini-cli itself


def _by_gemini(profile: Path, body: Json, yes: bool, as_json: bool) -> Json:
    """Its own sign-in, in the account's profile; what it leaves there becomes the account."""
    program = shutil.which("gemini")
    if program is None:
        raise Stop("There is no `gemini` program here. Install gemini-cli, or leave --run-gemini out.")
    if not prompts.terminal():
        raise Stop("gemini-cli asks its questions on a terminal, and there is none. Leave --run-gemini out.")
    env = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    note(f"gemini-cli is started in the profile {profile}. Choose 'Login with Google', then leave it by /quit.")
    # Its home alone is ours; a shell of it would still find the user's programs.
    subprocess.run([program], env={**env, "HOME": str(profile), "GEMINI_CLI_HOME": str(profile)}, check=False)  # noqa: S603
    tokens = read_credentials(profile / CREDENTIALS)
    names = ("label", "project", "options", "proxy_url", "client_id", "client_secret", "acknowledged")
    given = {name: body[name] for name in names if body.get(name)}
    account = allowed(PROVIDER, given, lambda asked: ask("adopt_sign_in", PROVIDER, {**tokens, **asked}), yes=yes, as_json=as_json)
    return {"status": "done", "account": account}


def read_credentials(file: Path) -> Json:
    """gemini-cli's oauth_creds.json → access_token, refresh_token, expires_at (ms), id_token, scope. Raises Stop."""
    try:
        if file.stat().st_size > MAX_CREDENTIALS:
            raise Stop(f"{file} is too large for a sign-in.")
        said = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        raise Stop(f"gemini-cli left no sign-in in {file}. Choose 'Login with Google' there.") from None
    except (OSError, ValueError) as error:
        raise Stop(f"{file} cannot be read: {error}") from error
    if not isinstance(said, dict) or not isinstance(said.get("refresh_token"), str) or not isinstance(said.get("access_token"), str):
        raise Stop(f"{file} holds no sign-in.")
    found = {name: said[name] for name in ("access_token", "refresh_token", "id_token", "scope") if isinstance(said.get(name), str)}
    return {**found, "expires_at": said["expiry_date"]} if isinstance(said.get("expiry_date"), int) else found


# ---------------------------------------------------------------- Models


def _with_models(account: Json, model_ids: str | None, as_json: bool) -> Json:
    """The account with the models that were chosen; as it is where nobody chose. (R-33, R-37)"""
    chosen = None if model_ids is None else words(model_ids)
    if chosen == [AUTO]:
        chosen = pick_models(account) if prompts.terminal() and not as_json else None
    if not chosen:
        return account
    return ask("edit_account", account["id"], {"models": chosen, "discover": False})


def pick_models(account: Json) -> list[str]:
    """From the models known for Code Assist and those that the account lists; ticked is what it has, else what it lists."""
    return prompts.several("Models of this account?", model_choices(account))


def model_choices(account: Json) -> Sequence[tuple[str, bool]]:
    from omni_connector import providers

    known = providers.get(account["provider"]).default_models
    names = list(dict.fromkeys((*account["models"], *account["discovered"], *known)))
    ticked = set(account["models"] or account["discovered"] or known)
    return [(name, name in ticked) for name in names]
