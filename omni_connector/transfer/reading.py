"""Any file with accounts in it → `Imported`. The format is told by what stands there, never by a name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from omni_connector.errors import GatewayError, Kind, bad_request
from omni_connector.transfer import ours, peers, programs, sealed
from omni_connector.transfer.shapes import MOST_ACCOUNTS, MOST_BYTES, Draft, Entry, Imported, Json, Problem, mapping

HELP = (
    "Nothing in it is known as an account. Understood are exports of omni-connector, OneProxy and one-api, files of CLIProxyAPI's token "
    "folder, provider_pools.json, and the sign-ins that Codex, Gemini CLI, Antigravity, Kimi and Kiro keep."
)
LISTS = ("accounts", "channels", "items", "data")
"""Names under which a document may have its list."""
WHOSE = "Its file does not say whose sign-in it is. Name the provider."


def read(data: bytes, *, provider: str = "", passphrase: str = "") -> Imported:
    """`provider`: whose sign-in it is, where the file does not say. Opening a sealed export takes a fifth of a second: call it in a
    thread. Raises GatewayError: TOO_LARGE, BAD_REQUEST for what is no JSON, holds nothing known, or does not open."""
    if len(data) > MOST_BYTES:
        raise GatewayError(Kind.TOO_LARGE, f"A file of accounts may have {MOST_BYTES >> 20} MB; this one is larger.")
    return read_value(_parsed(data), provider=provider, passphrase=passphrase)


def read_value(value: Any, *, provider: str = "", passphrase: str = "") -> Imported:
    """The same for JSON that is parsed already."""
    if sealed.is_sealed(value):
        value = _parsed(sealed.unseal(value, passphrase))
    found = _document(value, provider)
    if len(found.accounts) + len(found.problems) > MOST_ACCOUNTS:
        raise GatewayError(Kind.TOO_LARGE, f"It holds more than {MOST_ACCOUNTS} accounts. Import it in parts.")
    if not (found.accounts or found.problems or found.aliases or found.chains or found.settings or found.prices or found.limits):
        raise bad_request(HELP, "content")
    return found


def _parsed(data: bytes) -> Any:
    try:
        # Strict where json.loads is not: half an emoji, NaN, and numbers without end are refused here.
        return msgspec.json.decode(data.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise bad_request(f"The file is not valid JSON ({error}).", "content") from error
    except RecursionError as error:
        raise bad_request("The file is nested too deeply.", "content") from error


def _document(value: Any, provider: str) -> Imported:
    if isinstance(value, dict) and (value.get("format") == ours.FORMAT):
        return ours.read(value)
    if isinstance(value, list):
        return _listed(value, provider)
    if not isinstance(value, dict):
        raise bad_request(HELP, "content")
    if _is_single(value):
        return _gathered(_entry(value, "the file", provider))
    for name in LISTS:
        inner = value.get(name)
        if isinstance(inner, list | dict):
            return _document(inner, provider)
    return _pools(value)


def _is_single(said: Json) -> bool:
    return _kind(said) != ""


def _kind(said: Json) -> str:
    """What one object is, "" when it is nothing known."""
    token = said.get("token")
    if isinstance(said.get("provider"), str) and ("token" in said or "email" in said):
        return "oneproxy"
    if isinstance(said.get("type"), int) and not isinstance(said.get("type"), bool) and ("key" in said or "base_url" in said):
        return "one-api"
    if isinstance(said.get("type"), str) and (isinstance(token, dict) or {"access_token", "refresh_token", "api_key"} & said.keys()):
        # Google's libraries name their kind of credential so as well.
        return "google" if said["type"] == "authorized_user" else "cli-proxy-api"
    if isinstance(said.get("tokens"), dict) or isinstance(said.get("OPENAI_API_KEY"), str):
        return "codex" if "label" not in said else "omni"
    if "claudeAiOauth" in said:
        return "claude-code"
    if "accessToken" in said and "refreshToken" in said:
        return "kiro"
    if "refresh_token" in said or "access_token" in said:
        return "sign-in"
    return "omni" if isinstance(said.get("provider"), str) else ""


def _entry(said: Json, where: str, provider: str) -> tuple[str, list[Entry]]:
    """Format, and what the object holds."""
    kind = _kind(said)
    match kind:
        case "oneproxy":
            return kind, [peers.oneproxy(said, where)]
        case "one-api":
            return kind, peers.one_api(said, where)
        case "cli-proxy-api":
            return kind, [peers.cli_proxy(said, where)]
        case "codex":
            return kind, programs.codex(said, where)
        case "claude-code":
            return kind, [Problem(where, programs.CLAUDE, provider="claude-code")]
        case "kiro":
            return kind, [programs.kiro(said, where)]
        case "google":
            return kind, [programs.google(said, where, provider)]
        case "sign-in":
            return _sign_in(said, where, provider)
        case "omni":
            return kind, [ours.account(said, where)]
    return "", [Problem(where, "It is no account that is known here.")]


def _sign_in(said: Json, where: str, provider: str) -> tuple[str, list[Entry]]:
    """Plain tokens: Google's file has expiry_date, or scopes of Google; Kimi's and Qwen's say so themselves; else `provider` has to."""
    named = peers.SIGNED.get(provider, provider)
    scope = said.get("scope") if isinstance(said.get("scope"), str) else ""
    if "resource_url" in said or provider in peers.REFUSED:
        refused = provider if provider in peers.REFUSED else "qwen"
        return refused, [Problem(where, peers.REFUSED[refused], provider=refused)]
    if named in ("gemini-cli", "antigravity") or (not named and ("expiry_date" in said or "googleapis.com" in str(scope))):
        return "google", [programs.google(said, where, named)]
    if named == "kimi-code" or (not named and "kimi" in str(scope)):
        return "kimi", [programs.kimi(said, where)]
    if not named:
        return "", [Problem(where, WHOSE)]
    return named, [peers.signed_in(named, said, where, "")]


def _listed(rows: list[Any], provider: str) -> Imported:
    """A list of entries, each of any kind."""
    if len(rows) > MOST_ACCOUNTS:
        raise GatewayError(Kind.TOO_LARGE, f"It holds more than {MOST_ACCOUNTS} accounts. Import it in parts.")
    formats: dict[str, None] = {}
    entries: list[Entry] = []
    for number, row in enumerate(rows, 1):
        where = f"entry {number}"
        if not isinstance(row, dict):
            entries.append(Problem(where, "It is no account that is known here."))
            continue
        kind, found = _entry(row, where, provider)
        formats |= {kind: None} if kind else {}
        entries += found
    return _gathered((" and ".join(formats) or "list", entries))


def _pools(value: Json) -> Imported:
    """provider_pools.json: kind of provider → entries. Anything else with such a shape gives problems, not accounts."""
    entries: list[Entry] = []
    for kind, rows in value.items():
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise bad_request(HELP, "content")
        entries += [peers.pool(kind, mapping(row), f"{kind[:40]} {number}") for number, row in enumerate(rows, 1)]
    return _gathered(("provider-pools", entries))


def _gathered(found: tuple[str, Iterable[Entry]]) -> Imported:
    name, entries = found[0], list(found[1])
    drafts = tuple(entry for entry in entries if isinstance(entry, Draft))
    return Imported(name, drafts, tuple(entry for entry in entries if isinstance(entry, Problem)))
