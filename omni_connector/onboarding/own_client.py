"""Whose sign-in it is where the user supplies client id and secret: given, kept with the account, environment, file. (R-40, R-41)

Nothing is looked for unasked: a file only when its variable names it, an installed gemini-cli only when the user says so.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from omni_connector.errors import bad_request
from omni_connector.oauth import Client
from omni_connector.providers import Provider, SignIn
from omni_connector.tokens import Tokens

MAX_FILE = 64 << 20
"""Bytes; gemini-cli's bundle has about twenty million."""
MOST_FILES = 200
CLI_PACKAGE = "@google/gemini-cli"
PLACES = (
    "node_modules/@google/gemini-cli-core/dist/**/oauth2.js",
    "../gemini-cli-core/dist/**/oauth2.js",
    "dist/**/code_assist/oauth2.js",
    "bundle/*.js",
)
"""Where the client stands in an installation, the likeliest first; beside and inside its own package only."""
_SOURCE = {
    # gemini-cli's source, as published and as bundled: const OAUTH_CLIENT_ID = '…'
    "client_id": re.compile(r"OAUTH_CLIENT_ID\w*\s*=\s*[\"'`]([\w.-]{10,200})[\"'`]"),
    "client_secret": re.compile(r"OAUTH_CLIENT_SECRET\w*\s*=\s*[\"'`]([\w-]{10,200})[\"'`]"),
}
_PRINTABLE = re.compile(r"[\x21-\x7e]{1,500}")


def own_client(
    provider: Provider,
    profile: SignIn,
    env: Mapping[str, str],
    *,
    given: Client,
    kept: Tokens | None = None,
    from_cli: bool = False,
    path: str | None = None,
) -> Client:
    """The first that is there: `given`, `from_cli` (the installed gemini-cli), what the account was connected with (`kept`), the
    profile's variables, the file that its file variable names. `path`: where programs are looked for (default: PATH).

    Raises GatewayError BAD_REQUEST that names every way.
    """
    if given.id:
        return _checked(given)
    if from_cli:
        return _from_cli(path)
    if kept is not None and kept.client_id:
        return Client(kept.client_id, kept.client_secret)
    for id_name, secret_name in profile.client_env:
        client_id, secret = env.get(id_name, "").strip(), env.get(secret_name, "").strip()
        if client_id and secret_name and not secret:
            raise bad_request(f"{id_name} is set, but {secret_name} is not. Set both.", "client_secret")
        if client_id:
            return _checked(Client(client_id, secret))
    file = env.get(profile.client_file_env, "").strip() if profile.client_file_env else ""
    if file:
        return _from_file(Path(file).expanduser(), profile.client_file_env)
    raise bad_request(_missing(provider, profile), "client_id")


def _missing(provider: Provider, profile: SignIn) -> str:
    pairs = " or ".join(f"{id_name} and {secret_name}" for id_name, secret_name in profile.client_env)
    ways = [f"set {pairs}"] if pairs else []
    ways.append("give client_id and client_secret (--client-id, --client-secret-env)")
    if profile.client_file_env:
        ways.append(f"name a file that holds them in {profile.client_file_env}")
    return f"{provider.label} is signed in to with an OAuth client of your own, and none is known here: {', or '.join(ways)}."


def _checked(client: Client) -> Client:
    if not all(_PRINTABLE.fullmatch(text) for text in (client.id, client.secret) if text):
        raise bad_request("client_id, client_secret: they hold blanks or strange characters; copy them again.", "client_id")
    return client


# ---------------------------------------------------------------- Files


def _from_file(file: Path, variable: str) -> Client:
    try:
        if file.stat().st_size > MAX_FILE:
            raise bad_request(f"{variable}: {file} is too large to hold a client id.", "client_id")
        text = file.read_text("utf-8", "replace")
    except OSError as error:
        raise bad_request(f"{variable}: {file} cannot be read ({error.strerror}).", "client_id") from error
    found = read_client(text)
    if found is None:
        raise bad_request(f"{variable}: no client id and secret are found in {file}.", "client_id")
    return _checked(found)


def read_client(text: str) -> Client | None:
    """Client id and secret from Google's download of a client ({"installed": {…}} or {"web": {…}}), a flat JSON object, or the
    source of gemini-cli; None when both are not there."""
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return _from_source(text)
    for holder in (said.get("installed"), said.get("web"), said) if isinstance(said, dict) else ():
        if isinstance(holder, dict) and isinstance(holder.get("client_id"), str) and isinstance(holder.get("client_secret"), str):
            return Client(holder["client_id"], holder["client_secret"])
    return None


def _from_source(text: str) -> Client | None:
    found = {name: pattern.search(text) for name, pattern in _SOURCE.items()}
    client_id, secret = found["client_id"], found["client_secret"]
    return Client(client_id[1], secret[1]) if client_id and secret else None


def _from_cli(path: str | None) -> Client:
    program = shutil.which("gemini", path=path)
    if program is None:
        raise bad_request("There is no `gemini` program here to take the client from. Install gemini-cli, or give the client yourself.")
    for file in _sources(Path(program).resolve()):
        if file.stat().st_size <= MAX_FILE and (found := read_client(file.read_text("utf-8", "replace"))) is not None:
            return _checked(found)
    raise bad_request(f"No client id and secret are found in the installation of {program}. Give them yourself.")


def _sources(program: Path) -> Iterator[Path]:
    """The files of an installed gemini-cli that may hold its client."""
    root = next((folder for folder in program.parents if _is_package(folder)), None)
    if root is None:
        return
    seen: set[Path] = set()
    patterns = (
        "node_modules/**/code_assist/oauth2.js",
        "dist/**/code_assist/oauth2.js",
        "bundle/*.js",
        "../gemini-cli-core/dist/**/oauth2.js",
    )
    for file in _some(found for pattern in patterns for found in root.glob(pattern)):
        if file not in seen and file.is_file():
            seen.add(file)
            yield file


def _some(files: Iterable[Path]) -> Iterator[Path]:
    for count, file in enumerate(files):
        if count >= MOST_FILES:
            return
        yield file


def _is_package(folder: Path) -> bool:
    try:
        said: Any = json.loads((folder / "package.json").read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(said, dict) and said.get("name") == CLI_PACKAGE
