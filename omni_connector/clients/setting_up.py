"""Setting one client up from beginning to end, and back: what the command line and the admin API both call.

plan → (a key) → write → one real request. What the installation has to do for it, keys and accounts, comes in as `Office`: the running
server's operations or, without one, those on the database.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import field, replace
from typing import Any, Protocol

from omni_connector.clients import diffs, kept, standing
from omni_connector.clients.client import NEW_KEY, Change, Client, Places, Wanted, base, plan, same_place
from omni_connector.clients.proof import Proof
from omni_connector.errors import GatewayError, Kind, bad_request
from omni_connector.secrets import key_hint
from omni_connector.values import dataclass

Json = dict[str, Any]
Prove = Callable[[str, str, str, str], Awaitable[Proof]]
"""Address, key, model, wire format → what came of a real request."""
MAX_VALUE = 200


class Office(Protocol):
    """Operations of `admin.Admin`, wherever they are carried out."""

    async def call(self, operation: str, *args: Any) -> Json: ...


@dataclass(frozen=True, slots=True)
class Asked:
    """What the user said. `url`: "" for where we are. `model`: "" for the client's usual one. `startup`: startup files of the shell may
    be written. `prove`: make the request at the end."""

    url: str = ""
    key: str = field(default="", repr=False)
    model: str = ""
    startup: bool = False
    prove: bool = True


@dataclass(frozen=True, slots=True)
class Intent:
    """What will be done. `key` is NEW_KEY while none was made; `known_key`: the row of the key that is used again, {} for none."""

    client: Client
    places: Places
    wanted: Wanted
    asked: Asked
    changes: Sequence[Change]
    known_key: Json

    @property
    def needs_key(self) -> bool:
        return self.wanted.key == NEW_KEY

    @property
    def diff(self) -> str:
        return diffs.of(self.changes, self.places)


async def intend(client: Client, places: Places, here: str, asked: Asked, office: Office) -> Intent:
    """Looks only. `here`: where our server is, or would be. Raises GatewayError: BAD_REQUEST for a value, CONFLICT for a file."""
    url = base(asked.url or here)
    model = _plain(asked.model or client.model, "model")
    keys = (await office.call("keys"))["keys"]
    key = _plain(asked.key, "key") if asked.key else ""
    row: Json = {}
    if not key:
        key, row = _used_again(client, places, url, keys)
    elif same_place(url, here):
        row = next((one for one in keys if one["hint"] == key_hint(key) and one["status"] == "active"), {})
    if not key and not same_place(url, here):
        raise bad_request("key: a gateway somewhere else knows none of the keys made here. Give one of its keys: --key K.", "key")
    wanted = Wanted(url, key or NEW_KEY, model)
    changes = [change for change in plan(client, places, wanted) if asked.startup or not change.startup]
    return Intent(client, places, wanted, asked, changes, row)


def _used_again(client: Client, places: Places, url: str, keys: Sequence[Json]) -> tuple[str, Json]:
    """The key that stands in the client's files, while it is good."""
    look = standing.look(client, places, url)
    key = look.pointing.key if look.pointing is not None else ""
    row = next((one for one in keys if key and one["hint"] == key_hint(key) and one["status"] == "active"), None)
    return (key, row) if row is not None else ("", {})


def _plain(text: str, param: str) -> str:
    """A value that can stand in any file. Model names and keys have no blanks, quotes or backslashes."""
    value = text.strip()
    if not value or len(value) > MAX_VALUE or not value.isascii() or not value.isprintable() or any(c in value for c in " \"'\\`$#{}"):
        raise bad_request(f"{param}: 1 to {MAX_VALUE} plain characters, without blanks and quotes.", param)
    return value


def told(intent: Intent) -> Json:
    """What a dry run says."""
    client, places, wanted = intent.client, intent.places, intent.wanted
    key = wanted.key if intent.needs_key else key_hint(wanted.key)
    shown = replace(wanted, key=NEW_KEY if intent.needs_key else key)
    return {
        "client": client.name,
        "label": client.label,
        "url": wanted.url,
        "model": wanted.model,
        "key": {"hint": key, "new": intent.needs_key, "id": intent.known_key.get("id", "")},
        "files": [
            {"path": str(change.path), "action": "create" if change.before is None else "change", "startup": change.startup}
            for change in intent.changes
        ],
        "diff": intent.diff,
        "steps": client.steps(places, shown),
        "notes": notes(client, places, wanted),
    }


def notes(client: Client, places: Places, wanted: Wanted) -> list[str]:
    shadowing = [name for name in client.shadows if places.env.get(name)]
    warning = [f"{', '.join(shadowing)}: set in this environment, and wins over the file. Unset it."] if shadowing else []
    return [*warning, *client.notes(places, wanted)]


async def set_up(intent: Intent, office: Office, prove: Prove | None, now: int) -> Json:
    """Do it. → `told` and "applied", "proof", "key" with the key itself where the user has to paste it. A key that was made for it is
    revoked again when writing fails. `prove` None: no server is running."""
    client, places = intent.client, intent.places
    answer = told(intent)
    made: Json = {}
    lost = await _of_that_name(office, client.name) if intent.needs_key and not client.keeps_key else None
    if lost is not None:
        intent = replace(intent, wanted=replace(intent.wanted, key=f"the one that was made before ({lost['hint']})"))
    elif intent.needs_key:
        made = await office.call("create_key", {"name": client.name})
        wanted = replace(intent.wanted, key=made["key"])
        changes = [change for change in plan(client, places, wanted) if intent.asked.startup or not change.startup]
        intent = replace(intent, wanted=wanted, changes=changes)
        answer = {**told(intent), "key": {"hint": made["hint"], "new": True, "id": made["id"], "name": made["name"]}}
        if not client.writes:
            answer["key"]["key"] = made["key"]
    answer["steps"] = client.steps(places, intent.wanted)
    if lost is not None:
        answer["steps"] += [f"A key is shown only once. Lost? A new one in its place: omni-connector key rotate {lost['id']}"]
        answer["key"] = {"hint": lost["hint"], "new": False, "id": lost["id"], "name": lost["name"]}
    if client.writes and intent.changes:
        former = kept.read_note(places, client.name)
        key_id = made.get("id") or (former.key_id if former else "")
        note = kept.Note(client.name, now, intent.wanted.url, intent.wanted.model, key_id)
        try:
            kept.apply(places, note, intent.changes, intent.wanted.key)
        except GatewayError:
            if made:
                await office.call("revoke_key", made["id"])
            raise
        if made and former and former.key_id and former.key_id != made["id"]:
            await _revoke(office, former.key_id)
    proof = Proof(None, "Not asked: the key is not known here.") if lost is not None else await _proof(intent, office, prove)
    return {**answer, "applied": client.writes, "proof": proof.as_json()}


async def _of_that_name(office: Office, name: str) -> Json | None:
    keys: list[Json] = (await office.call("keys"))["keys"]
    return next((one for one in keys if one["name"] == name and one["status"] == "active"), None)


async def _proof(intent: Intent, office: Office, prove: Prove | None) -> Proof:
    if not intent.asked.prove:
        return Proof(None, "Not asked, as you wished.")
    if prove is None and not intent.asked.url:
        return Proof(None, "Not asked: the server is not running. Start it: omni-connector")
    if prove is None:
        return Proof(None, "Not asked.")
    if not intent.asked.url and not any(one["enabled"] for one in (await office.call("accounts"))["accounts"]):
        return Proof(None, "Not asked: no account is connected yet. Connect one: omni-connector backend add")
    return await prove(intent.wanted.url, intent.wanted.key, intent.wanted.model, intent.client.wire)


# ---------------------------------------------------------------- Taking it back


@dataclass(frozen=True, slots=True)
class Undoing:
    client: Client
    places: Places
    note: kept.Note
    back: Sequence[kept.Return]

    def told(self) -> Json:
        files = [{"path": str(one.path), "action": "delete" if one.after is None else "restore"} for one in self.back]
        diff = "".join(diffs.unified(self.places.short(one.path), one.now, one.after) for one in self.back)
        return {"client": self.client.name, "files": files, "diff": diff, "key": self.note.key_id}


def intend_undo(client: Client, places: Places, *, keep_later: bool = False) -> Undoing:
    """Looks only. Raises GatewayError: NOT_FOUND when it was not set up from here, CONFLICT (with `details["diff"]`) when a file was
    changed since."""
    note = kept.read_note(places, client.name)
    if note is None:
        raise GatewayError(Kind.NOT_FOUND, f"There is nothing to undo: {client.name} was not set up from {places.omni}.", param="name")
    look = standing.look(client, places, note.url)
    key = look.pointing.key if look.pointing is not None else ""
    return Undoing(client, places, note, kept.returns(places, note, key, keep_later=keep_later))


async def take_back(undoing: Undoing, office: Office) -> Json:
    """Do it, and revoke the key that was made for the client: nobody uses it any more."""
    kept.undo(undoing.places, undoing.note, undoing.back)
    revoked = await _revoke(office, undoing.note.key_id)
    return {**undoing.told(), "undone": True, "key_revoked": revoked}


async def _revoke(office: Office, key_id: str) -> bool:
    if not key_id:
        return False
    try:
        await office.call("revoke_key", key_id)
    except GatewayError as error:
        if error.kind is not Kind.NOT_FOUND:
            raise
        return False
    return True


# ---------------------------------------------------------------- The list


def listed(places: Places, here: str) -> list[Json]:
    return [shape(look) for look in standing.all_of(places, here)]


def shape(look: standing.Standing) -> Json:
    at = look.pointing
    return {
        "name": look.client.name,
        "label": look.client.label,
        "installed": look.installed,
        "state": look.state,
        "url": at.url if at else "",
        "model": at.model if at else "",
        "key_hint": key_hint(at.key) if at and at.key else "",
        "undoable": look.undoable,
        "why": look.why,
    }


def places_of(user: Any, omni: Any, env: Mapping[str, str]) -> Places:
    """Raises GatewayError (CONFLICT) where there is no home."""
    if user is None:
        raise GatewayError(Kind.CONFLICT, "This process knows no home folder (HOME), so it cannot find the files of programs.")
    return Places(user, omni, env)
