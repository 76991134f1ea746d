"""What becomes of each account of a file, decided before anything is written. Pure.

The same credential is never stored twice: two accounts with one refresh token would sign each other out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field, replace
from typing import Any, Literal

import msgspec

from omni_connector import providers
from omni_connector import tokens as token_values
from omni_connector.admin import bodies
from omni_connector.admin.draft import new_account, provider_of
from omni_connector.errors import GatewayError, bad_request
from omni_connector.onboarding.signed import same_person, same_place
from omni_connector.providers import command_values, sign_ins
from omni_connector.secrets import redact
from omni_connector.snapshot import Account
from omni_connector.transfer import Draft
from omni_connector.values import dataclass

Json = dict[str, Any]
OnConflict = Literal["skip", "rename", "update"]
Outcome = Literal["added", "updated", "skipped", "failed"]

NO_ADDRESS = frozenset({"models", "prefix", "model_map", "enabled", "priority", "weight", "max_in_flight", "rpm", "tpm", "budget"})
"""What an entry without a credential may change of an account that has one."""
ADDRESS_STAYS = "Its credential, address, proxy, headers and options stay as they are: the file holds no credential for others."
NO_KEY = "It was imported without its key. Edit it and give one."
NO_VALUES = "The file does not hold the values of {names}. Edit options.command.set and give them."
NO_SIGN_IN = "It was imported without its sign-in. Sign in again."
RUNS = "It runs a program that its file names, so it is switched off. Look at its command, then switch it on."
HARMLESS = frozenset({"preset", "models", "max_in_flight", "max_waiting", "timeout_s", "idle_s"})
"""Of options.command, what makes no other program run, and with no other arguments, than omni-connector's own presets do."""
FACT = 200


@dataclass(frozen=True, slots=True)
class Row:
    """What became, or would become, of one entry. `code`: "notice" or "connector_off" where the user has to decide first."""

    where: str
    outcome: Outcome
    label: str = ""
    provider: str = ""
    why: str = ""
    id: str | None = None
    code: str = ""
    note: str = ""

    def as_json(self) -> Json:
        return {name: getattr(self, name) for name in ("where", "outcome", "label", "provider", "id", "why", "code", "note")}


@dataclass(frozen=True, slots=True)
class Ready:
    """An entry that can be stored. `account.id` is that of the account to change when `changes` is not None."""

    draft: Draft
    account: Account
    changes: Json | None = field(default=None, repr=False)
    note: str = ""


# ---------------------------------------------------------------- Draft → account


def account_of(draft: Draft, now: int) -> tuple[Account, str]:
    """The account that a draft describes, checked as any other, and what is to be said about it. Raises BAD_REQUEST."""
    provider = provider_of(draft.provider)
    if provider.retired:
        raise bad_request(provider.retired, "provider")
    if draft.auth == "oauth" and provider.sign_in is None:
        raise bad_request(f"{provider.label} is not connected by signing in.", "auth")
    given = dict(draft.fields)
    person = _identity(draft)
    given["options"] = {name: value for name, value in (given.get("options") or {}).items() if name not in ("identity", "signed_in")}
    missing = not draft.has_credential and not (provider.command or provider.local or provider.demo)
    # Whatever its kind, its fields are checked as those of an account without a credential; that is put in below.
    plain = {**given, "provider": draft.provider, "auth": "none" if draft.auth in ("oauth", "none") or missing else draft.auth}
    checked = bodies.read(plain | ({"api_key": draft.secret} if draft.secret else {}), bodies.NewAccount)
    waiting = command_values.masked(given["options"]) if provider.command else []
    account = new_account(checked, draft.label or provider.id, now, known=dict.fromkeys(waiting))
    note = draft.note
    if draft.auth == "oauth" and draft.tokens is not None:
        options = {**account.options, **sign_ins.made_up(provider, account.options), "identity": person, "signed_in": False}
        account = replace(account, auth="oauth", secret=draft.tokens.encode(), options=options, key_hint="")
    elif missing:
        signed = draft.auth == "oauth"
        options = {**account.options, **({"identity": person} if person else {})}
        reason = NO_SIGN_IN if signed else NO_KEY
        account = replace(account, auth="oauth" if signed else "api_key", options=options, state="needs_login", state_reason=reason)
    if provider.command and not (account.options.get("command") or {}).keys() <= HARMLESS:
        account, note = replace(account, enabled=False), RUNS
    if waiting:
        reason = NO_VALUES.format(names=", ".join(waiting))
        account, note = replace(account, state="needs_login", state_reason=reason), f"{note} {reason}"
    return account, note


def _identity(draft: Draft) -> dict[str, str]:
    """What a file says about a person: short printable texts only, because some of it goes into headers."""
    return {
        str(name): value for name, value in draft.identity.items() if isinstance(value, str) and len(value) <= FACT and value.isprintable()
    }


# ---------------------------------------------------------------- What is there already


class Known:
    """The accounts that exist, by label and by credential; those that an import adds join them."""

    def __init__(self, accounts: Iterable[Account]) -> None:
        self._labels: dict[str, Account] = {}
        self._marks: dict[str, Account] = {}
        self._people: dict[str, list[Account]] = {}
        self._next: dict[str, int] = {}
        self.fresh: set[str] = set()
        """Ids of accounts that this import adds."""
        for account in accounts:
            self._note(account)

    def add(self, account: Account) -> None:
        self.fresh.add(account.id)
        self._note(account)

    def _note(self, account: Account) -> None:
        self._labels[account.label] = account
        for mark in marks(account):
            self._marks.setdefault(mark, account)
        for name in _person_marks(account):
            self._people.setdefault(name, []).append(account)

    def labelled(self, label: str) -> Account | None:
        return self._labels.get(label)

    def same(self, account: Account) -> Account | None:
        """The account with this credential, or of this person."""
        found = next((self._marks[mark] for mark in marks(account) if mark in self._marks), None)
        if found is not None:
            return found
        others = (other for name in _person_marks(account) for other in self._people.get(name, ()))
        mine = account.options
        return next((o for o in others if same_person(_person(o), _person(account)) and same_place(o.options, mine)), None)

    def free(self, base: str) -> str:
        """`base`, `base-2`, … that nobody has."""
        label = base
        while label in self._labels:
            self._next[base] = number = self._next.get(base, 1) + 1
            label = f"{base[: bodies.MAX_LABEL - len(str(number)) - 1]}-{number}"
        return label


def marks(account: Account) -> Iterator[str]:
    """What tells two accounts to be one, without holding a secret."""
    if account.auth == "oauth":
        kept = token_values.decode(account.secret)
        if kept is not None:
            yield from (f"{account.provider} token {_hash(token)}" for token in (kept.refresh_token, kept.access_token) if token)
    elif account.auth == "cli":
        command = command_values.filled(account).get("command")
        yield f"{account.provider} command {_hash(msgspec.json.encode(command, order='sorted').decode())}"
    elif account.secret:
        yield f"{account.provider} key {_address(account)} {_hash(account.secret)}"
    elif account.auth == "none":
        yield f"{account.provider} address {_address(account)}"


def _address(account: Account) -> str:
    """Where it is called; "" for the provider's own address."""
    row = providers.PROVIDERS.get(account.provider)
    own = {"", row.base_url, *row.regions.values()} if row is not None else {""}
    found = account.base_url.rstrip("/").replace("://127.0.0.1", "://localhost")
    options = account.options.get("endpoints")
    named = str(options.get("inference") or "") if isinstance(options, Mapping) else ""
    return named if found in own else found


def _person(account: Account) -> Mapping[str, Any]:
    found = account.options.get("identity")
    return found if isinstance(found, dict) else {}


def _person_marks(account: Account) -> Iterator[str]:
    if account.auth == "oauth":
        person = _person(account)
        yield from (f"{account.provider} {name} {str(person[name]).strip().lower()}" for name in ("subject", "email") if person.get(name))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


# ---------------------------------------------------------------- Deciding


def decide(draft: Draft, known: Known, on_conflict: OnConflict, now: int) -> Ready | Row:
    """What is to be done with one entry; a Row where nothing is. What is Ready is noted in `known`."""
    try:
        account, note = account_of(draft, now)
    except GatewayError as error:
        # It may repeat a value of the file, such as an address with a key in it.
        return Row(draft.where, "failed", draft.label, draft.provider, redact(error.message)[:500])
    same = known.same(account) if draft.has_credential else None
    holder = known.labelled(account.label) if draft.label else None
    other = same or holder
    if same is not None and same.id in known.fresh:
        return _skipped(draft, account, f"It is in the file twice; see {same.label!r}.")
    if other is not None and other.id not in known.fresh and on_conflict == "update":
        return _update(draft, account, other, note)
    if same is not None:
        return _skipped(draft, account, f"It is connected already as {same.label!r}.", same.id)
    if holder is not None and holder.id not in known.fresh and on_conflict == "skip":
        return _skipped(draft, account, f"There is another account labelled {holder.label!r}. Import it under another label (rename).")
    account = replace(account, label=known.free(account.label))
    known.add(account)
    return Ready(draft, account, None, note)


def _skipped(draft: Draft, account: Account, why: str, account_id: str | None = None) -> Row:
    return Row(draft.where, "skipped", account.label, account.provider, why, account_id)


def _update(draft: Draft, account: Account, other: Account, note: str) -> Ready | Row:
    if other.provider != account.provider:
        why = f"The account labelled {other.label!r} is one of another provider. Import it under another label (rename)."
        return _skipped(draft, account, why)
    if _keeps_credential(draft, account, other):
        # Its own credential stays, so a file must not say where that is sent.
        kept = {name: getattr(account, name) for name in draft.fields.keys() & NO_ADDRESS}
        return Ready(
            draft, replace(account, id=other.id, label=other.label), kept, ADDRESS_STAYS if draft.fields.keys() - NO_ADDRESS else note
        )
    changes = {name: getattr(account, name) for name in draft.fields.keys() - {"options"}}
    options = {**(other.own or other).options, **{name: value for name, value in account.options.items() if value != {}}}
    if options != other.options:
        changes["options"] = options
    if draft.has_credential:
        changes |= {name: getattr(account, name) for name in ("auth", "secret", "key_hint", "state", "state_reason")}
    if account.auth == "cli" and not account.options.get("command"):
        changes.pop("secret", None)  # its command stays, with what it is given
    if not account.enabled and note.startswith(RUNS):
        changes["enabled"] = False
    return Ready(draft, replace(account, id=other.id, label=other.label), changes, note)


def _keeps_credential(draft: Draft, account: Account, other: Account) -> bool:
    """Whether the stored account has a credential that the file does not hold."""
    if other.auth == "cli":
        return bool(command_values.values(other)) and (not draft.has_credential or None in command_values.known(account).values())
    return bool(other.secret) and not draft.has_credential
