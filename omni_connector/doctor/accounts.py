"""Accounts and keys: who does not serve and why, sign-ins that end, programs that have no key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from omni_connector.doctor.finding import Finding, Json, Level, span
from omni_connector.errors import GatewayError
from omni_connector.snapshot import Account, Snapshot
from omni_connector.tokens import decode

if TYPE_CHECKING:
    from omni_connector.store.refreshes import Refresh

SOON_MS = 24 * 3_600_000
"""A sign-in that cannot be renewed is spoken of so long before its end."""


def accounts(
    picture: Snapshot, now: int, journal: Mapping[str, Refresh] = MappingProxyType({}), locate: Callable[[Json], object] | None = None
) -> list[Finding]:
    """One finding for each account that does not serve, or one that all do. `journal`: the last refresh, by account id. `locate`
    raises GatewayError where the program of a command is not there."""
    if not picture.accounts:
        return [Finding("warn", "accounts", "No account is connected.", "omni-connector backend add (or: backend add demo)")]
    findings = [finding for account in picture.accounts if (finding := _account(account, picture, now)) is not None]
    well = {f"account {account.label}": account for account in picture.accounts} | {finding.what: None for finding in findings}
    for account in filter(None, well.values()):
        found = _sign_in(account, journal.get(account.id), now) or (_program(account, locate) if locate else None)
        findings += [found] if found else []
    if not any(account.enabled and account.state == "ok" for account in picture.accounts):
        findings.append(Finding("fail", "accounts", "No account can serve a request.", "Enable or repair one of those above."))
    return findings or [Finding("ok", "accounts", f"{len(picture.accounts)} connected, all ready.")]


def _account(account: Account, picture: Snapshot, now: int) -> Finding | None:
    what, name = f"account {account.label}", f"'{account.label}'"
    if account.switched_off:
        return Finding("warn", what, f"It is not used: {account.switched_off}.", _switch_on(account, picture))
    if not account.enabled:
        return Finding("warn", what, "It is switched off.", f"omni-connector backend enable {name}")
    if account.state != "ok":
        words = "It needs a new login" if account.state == "needs_login" else "It does not work"
        reason = f": {account.state_reason}" if account.state_reason else "."
        return Finding("fail", what, f"{words}{reason}", _log_in(account))
    if not account.wire:
        return Finding("fail", what, f"This release knows no provider {account.provider!r}.", f"omni-connector backend remove {name}")
    cooling = [c for c in picture.cooldowns if c.account_id == account.id and c.until_at > now]
    if cooling:
        longest = max(cooling, key=lambda c: c.until_at)
        minutes = -(-(longest.until_at - now) // 60_000)
        until = "until you act" if longest.source == "terminal" else f"for {minutes} min more"
        return Finding("warn", what, f"It is out {until}: {longest.reason}.", f"omni-connector backend clear-cooldown {name}")
    if not account.known_models and not account.open_models:
        fix = f"omni-connector backend test {name} asks for them; backend edit {name} --models A,B names them"
        return Finding("warn", what, "None of its models is known.", fix)
    return None


def _switch_on(account: Account, picture: Snapshot) -> str:
    """An account is held back by its provider's switch, or by another one where the provider's terms want only one."""
    given = picture.providers.get(account.provider)
    if given is not None and not given.enabled:
        return f"omni-connector provider enable {account.provider}"
    used = next((one.label for one in picture.accounts if one.provider == account.provider and one.enabled), "")
    return f"Nothing to do. To use this one instead: omni-connector backend disable '{used}'"


def _log_in(account: Account) -> str:
    """What makes the credential good again, by its kind."""
    from omni_connector.providers import PROVIDERS, commands

    name, row = f"'{account.label}'", PROVIDERS.get(account.provider)
    if account.auth == "oauth":
        return f"Sign in again: omni-connector backend login {account.provider} {name}"
    if row is not None and row.command:
        login = commands.login(account)
        then = f"omni-connector backend test {name}"
        return f"{login} (in a terminal, as the user of the server), then: {then}" if login else then
    return f"omni-connector backend edit {name} --key-env NAME"


def _program(account: Account, locate: Callable[[Json], object]) -> Finding | None:
    from omni_connector.providers import PROVIDERS, commands, local_options

    row = PROVIDERS.get(account.provider)
    if row is None or not row.command:
        return None
    what, edit = f"account {account.label}", f"omni-connector backend edit '{account.label}'"
    try:
        commands.template(account.provider, account.options)
    except GatewayError as error:
        return Finding("fail", what, f"Its command is not valid: {error.message}", f"{edit} --command 'PROGRAM ARGUMENTS'")
    try:
        locate(local_options(account))
    except GatewayError as error:
        return Finding("fail", what, error.message, f"{edit} --program /PATH/TO/IT")
    return None


def _sign_in(account: Account, last: Refresh | None, now: int) -> Finding | None:
    """A sign-in that ends for good, or that could not be renewed lately."""
    if account.auth != "oauth":
        return None
    what, fix = f"account {account.label}", _log_in(account)
    tokens = decode(account.secret)
    if tokens is None:
        return Finding("fail", what, "It was never signed in, or what it was given cannot be read.", fix)
    if tokens.expires_at is not None and not tokens.refresh_token and tokens.expires_at < now + SOON_MS:
        ends = f"ended {span(now - tokens.expires_at)} ago" if tokens.expires_at <= now else f"ends in {span(tokens.expires_at - now)}"
        level: Level = "fail" if tokens.expires_at <= now else "warn"
        return Finding(level, what, f"Its sign-in {ends}, and its provider gave nothing to renew it with.", fix)
    if last is not None and last.failures and last.error:
        times = f", {last.failures} times in a row" if last.failures > 1 else ""
        return Finding("warn", what, f"Its sign-in could not be renewed{times}: {last.error}", f"The server tries again. {fix}")
    return None


def sign_ins_ahead(picture: Snapshot, now: int) -> list[Finding]:
    """How long what the sign-ins gave us holds."""
    signed = [account for account in picture.accounts if account.auth == "oauth" and account.state == "ok"]
    if not signed:
        return []
    ends = [account.access_until for account in signed if account.access_until is not None]
    if not ends:
        return [Finding("ok", "sign-ins", f"{len(signed)} signed in.")]
    first = min(ends)
    lives = f"ends in {span(first - now)}" if first > now else f"ended {span(now - first)} ago"
    return [Finding("ok", "sign-ins", f"{len(signed)} signed in; the first access token {lives}. A running server renews them.")]


def client_keys(picture: Snapshot, now: int) -> list[Finding]:
    standing = [key.status(now) for key in picture.keys.values()]
    active, expired = standing.count("active"), standing.count("expired")
    if active:
        return [Finding("ok", "keys", f"{active} active, {expired} expired.")]
    if expired:
        return [Finding("warn", "keys", "Every key has expired: programs are refused.", "omni-connector key create --name NAME")]
    return [Finding("warn", "keys", "There is no key for your programs yet.", "omni-connector key create --name NAME")]
