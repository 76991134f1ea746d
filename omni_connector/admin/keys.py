"""Operations on client keys: minted once, stored as a hash, limited, rotated, revoked. (O-05, O-20, J-16)"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from msgspec import UNSET

from omni_connector import providers
from omni_connector.admin import bodies, shapes
from omni_connector.admin.room import Room
from omni_connector.admin.when import parse_when
from omni_connector.errors import GatewayError, Kind, bad_request
from omni_connector.secrets import hash_key, key_hint, mint_key, new_id
from omni_connector.snapshot import ClientKey
from omni_connector.store import keys as table

Json = dict[str, Any]
MAX_NAME = 64


class Keys(Room):
    async def keys(self) -> Json:
        """GET /api/keys, newest first. Revoked ones stay listed: the books name them."""
        now = self._clock()
        # From the database, because the time of last use is no change of configuration and moves no snapshot.
        oldest_first = await self.db.run(table.list_keys)
        return {"keys": [self._spent(shapes.key(k, now)) for k in reversed(oldest_first)]}

    async def create_key(self, body: object) -> Json:
        """POST /api/keys → the key's row and, this once, "key" itself."""
        given = bodies.read(body, bodies.NewKey)
        now = self._clock()
        secret = mint_key()
        key = ClientKey(
            id=new_id("key", now),
            name=self._name(given.name) if given.name.strip() else self._free_name(),
            hint=key_hint(secret),
            hash=hash_key(secret),
            created_at=now,
            expires_at=self._expiry(given.expires_at),
            models=_allowed(given.models, "models"),
            providers=_providers(given.providers),
            rpm=bodies.at_least(given.rpm, 1, "rpm"),
            tpm=bodies.at_least(given.tpm, 1, "tpm"),
            max_in_flight=bodies.at_least(given.max_in_flight, 1, "max_in_flight"),
            budget=bodies.budget(given.budget),
        )
        await self._change(lambda conn: table.insert(conn, key))
        return {**self._key_told(key), "key": secret}

    async def edit_key(self, key_id: str, body: object) -> Json:
        """PATCH /api/keys/{id}: name, expiry and limits. A revoked key stays revoked."""
        patch = bodies.read(body, bodies.KeyPatch)
        self._find_key(key_id)
        changes = self._key_changes(patch)
        if not changes:
            return self._spent(shapes.key(self._find_key(key_id), self._clock()))
        return self._key_told(await self._change(lambda conn: table.update(conn, key_id, changes)))

    async def revoke_key(self, key_id: str) -> Json:
        """DELETE /api/keys/{id}: the next request with it is refused. Revoking twice keeps the first date."""
        now = self._clock()
        return self._key_told(await self._change(lambda conn: table.revoke(conn, key_id, now)))

    async def rotate_key(self, key_id: str) -> Json:
        """POST /api/keys/{id}/rotate → the row with a new "key". The old one is refused at once. CONFLICT when it is revoked."""
        if self._find_key(key_id).revoked_at is not None:
            raise GatewayError(Kind.CONFLICT, "This key is revoked, and stays so. Create a new one instead.", param="id")
        secret = mint_key()
        key = await self._change(lambda conn: table.replace_hash(conn, key_id, hash_key(secret), key_hint(secret)))
        return {**self._key_told(key), "key": secret}

    # ------------------------------------------------------------ inside

    def _find_key(self, key_id: str) -> ClientKey:
        for key in self._snapshot().keys.values():
            if key.id == key_id:
                return key
        raise GatewayError(Kind.NOT_FOUND, f"There is no key {key_id!r}. GET /api/keys lists them.", param="id")

    def _key_told(self, key: ClientKey) -> Json:
        answer = self._spent(shapes.key(key, self._clock()))
        self._publish("key", answer)
        return answer

    def _free_name(self) -> str:
        taken = {key.name for key in self._snapshot().keys.values()}
        return next(name for n in range(1, len(taken) + 2) if (name := "key" if n == 1 else f"key-{n}") not in taken)

    def _name(self, text: str) -> str:
        name = text.strip()
        if not name or len(name) > MAX_NAME or not name.isprintable():
            raise bad_request(f"name: give 1 to {MAX_NAME} printable characters.", "name")
        return name

    def _expiry(self, value: int | str | None) -> int | None:
        """None or "": never. A time that is over already is a mistake, not a key that never works."""
        if value is None or value == "":
            return None
        at = parse_when(value, self._clock(), "expires_at", "ahead")
        if at <= self._clock():
            raise bad_request(
                "expires_at: this time is over already. Give a later one, or null for a key that does not expire.", "expires_at"
            )
        return at

    def _key_changes(self, patch: bodies.KeyPatch) -> Json:
        checks: dict[str, Callable[[Any], object]] = {
            "name": self._name,
            "expires_at": self._expiry,
            "models": lambda v: _allowed(v, "models"),
            "providers": _providers,
            "rpm": lambda v: bodies.at_least(v, 1, "rpm"),
            "tpm": lambda v: bodies.at_least(v, 1, "tpm"),
            "max_in_flight": lambda v: bodies.at_least(v, 1, "max_in_flight"),
            "budget": bodies.budget,
        }
        return {name: check(getattr(patch, name)) for name, check in checks.items() if getattr(patch, name) is not UNSET}


def _allowed(values: list[str] | None, param: Literal["models", "providers"]) -> tuple[str, ...] | None:
    """null: all. A list: only these; an empty one would be a key for nothing, so it is refused."""
    if values is None:
        return None
    if not values:
        raise bad_request(f"{param}: an empty list would allow nothing. Leave it out (or null) to allow all.", param)
    return bodies.names(values, param)


def _providers(values: list[str] | None) -> tuple[str, ...] | None:
    """Provider ids in their own spelling; an unknown one is refused, because it would silently allow nothing."""
    named = _allowed(values, "providers")
    try:
        return None if named is None else tuple(providers.get(name.lower()).id for name in named)
    except GatewayError as error:
        raise bad_request(f"providers: {error.message}", "providers") from None
