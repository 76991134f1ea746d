"""Operations on the doors of the installation: its keys, its password, its processes. (R-21…R-30)

Where the listeners are is settings (`client_bind`, `admin_tls_cert`, …), changed by `set_config` like all others; a change that could not
be followed, an address that is taken or a certificate that does not load, is refused before it is stored.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import re
from collections.abc import Mapping
from typing import Any

from omni_connector import __version__, listeners, proxies, secrets, settings
from omni_connector.admin.keys import Keys
from omni_connector.admin.system import System, checked_settings
from omni_connector.certificates import Certificate
from omni_connector.errors import GatewayError, Kind, bad_request
from omni_connector.snapshot import ClientKey
from omni_connector.store import keys as key_table
from omni_connector.store import settings as table

Json = dict[str, Any]

CLIENT = "client"
"""Name of the key that `client key` and `client regen` set."""
SHORTEST_KEY, LONGEST_KEY = 12, 200
_PLAIN = re.compile(f"[!-~]{{{SHORTEST_KEY},{LONGEST_KEY}}}")
SHORTEST_PASSWORD = 8
LISTENING = frozenset(
    {"client_bind", "admin_bind", "client_tls_cert", "client_tls_key", "admin_tls_cert", "admin_tls_key", "admin_state", "trusted_proxies"}
)
"""Settings that move listeners."""


class Listening(System, Keys):
    # ------------------------------------------------------------ keys and password

    async def client_key(self, body: object) -> Json:
        """POST /api/client-key {"key"?}: the key "client" becomes this one, or a new random one, which is told this once ("key")."""
        given = _wanted(body, "key", secrets.ADMIN_PREFIX)
        secret = given or secrets.mint_key()
        hashed = secrets.hash_key(secret)
        known = self._snapshot().keys.get(hashed)
        if known is not None and (known.name != CLIENT or known.revoked_at is not None):
            raise GatewayError(Kind.CONFLICT, f"That is the key {known.name!r} already. Take another one.", param="key")
        now = self._clock()
        mine = next((key for key in self._snapshot().keys.values() if key.name == CLIENT and key.revoked_at is None), None)
        if mine is None:
            fresh = ClientKey(secrets.new_id("key", now), CLIENT, secrets.key_hint(secret), hashed, now)
            await self._change(lambda conn: key_table.insert(conn, fresh))
            key = fresh
        else:
            key = await self._change(lambda conn: key_table.replace_hash(conn, mine.id, hashed, secrets.key_hint(secret)))
        told = self._key_told(key)
        return told if given else {**told, "key": secret}

    async def admin_key(self, body: object) -> Json:
        """POST /api/admin-key {"key"?} → {"file"} and, when it is a new random one, "key". Every process takes it at once; sessions end."""
        given = _wanted(body, "key", secrets.KEY_PREFIX)
        if any(os.environ.get(name, "").strip() for name in (secrets.ADMIN_ENV, secrets.ADMIN_ENV + settings.IN_FILES)):
            words = f"The admin key stands in the environment ({secrets.ADMIN_ENV}). Change it there."
            raise GatewayError(Kind.CONFLICT, words, param="key")
        path = self.process.home / secrets.ADMIN_FILE
        key = given or secrets.mint_admin_key()
        await asyncio.to_thread(secrets.replace_private, path, key + "\n")
        await self._change(table.bump_config)
        return {"file": str(path)} if given else {"file": str(path), "key": key}

    def checked_password(self, body: object) -> str:
        """The password that a body wants. Raises BAD_REQUEST."""
        password = body.get("password") if isinstance(body, Mapping) else None
        if not isinstance(password, str):
            raise bad_request("`password` is missing. Send the new password as a text, or an empty one to remove it.", "password")
        if not password.isprintable():
            raise bad_request("`password` holds a control character or half an emoji. Leave it out.", "password")
        if password and len(password) < SHORTEST_PASSWORD:
            raise bad_request(f"`password` is too short. Take at least {SHORTEST_PASSWORD} characters.", "password")
        if self.settings.admin_password and password != self.settings.admin_password:
            words = "The password stands in the environment (OMNI_ADMIN_PASSWORD). Change it there."
            raise GatewayError(Kind.CONFLICT, words, param="password")
        if not password and any(entry["remote"] for entry in self.process.listeners):
            words = "A listener is reachable from other machines, so a password must stay. Bind it to 127.0.0.1 first."
            raise GatewayError(Kind.CONFLICT, words, param="password")
        return password

    async def admin_password(self, body: object) -> Json:
        """POST /api/admin-password {"password"}: "" removes it. Every session ends."""
        password = self.checked_password(body)
        hashed = await asyncio.to_thread(secrets.hash_password, password) if password else ""
        await self.end_sessions(hashed)
        return {"password_set": bool(password)}

    async def settle_password(self, has_guests: bool) -> str:
        """At the start of a server: the environment's password becomes the one in force. `has_guests`: other machines are let in, and when
        there is no password then, `first_password` lets one be made, which is returned; "" otherwise. Raises SettingsError."""
        stored = str(await self.db.run(lambda conn: table.get_meta(conn, "admin_password")) or "")
        wanted, made = self.settings.admin_password, ""
        if wanted:
            if len(wanted) < SHORTEST_PASSWORD:
                raise settings.SettingsError(f"OMNI_ADMIN_PASSWORD is too short; take at least {SHORTEST_PASSWORD} characters.")
            if stored != "" and await asyncio.to_thread(secrets.verify_password, wanted, stored):
                return ""
        elif stored or not has_guests or not self.settings.first_password:
            return ""
        else:
            wanted = made = secrets.mint_password()
        hashed = await asyncio.to_thread(secrets.hash_password, wanted)

        def write(conn: Any) -> bool:
            if (table.get_meta(conn, "admin_password") or "") != stored:
                return False  # another worker or node was first
            _write_password(conn, hashed)
            return True

        return made if await self._change(write) else ""

    async def end_sessions(self, password_hash: str | None = None) -> None:
        """Of all processes. `password_hash`: the new password's, "" for none, None leaves the old one."""

        await self._change(lambda conn: _write_password(conn, password_hash))

    # ------------------------------------------------------------ processes

    async def service_mode(self) -> Json:
        """GET /api/service-mode: how it runs, and every process of it."""
        crew: Json = {"pid": os.getpid(), "started_at": self.process.started_at, "wanted": 1, "workers": []}
        if self.serving is not None:
            crew = await self.serving.crew()
        several = crew["wanted"] > 1
        return {
            "mode": "workers" if several else "single" if self.serving is not None else "none",
            "pid": crew["pid"],
            "answered_by": os.getpid(),
            "workers": crew["workers"],
            "workers_wanted": crew["wanted"],
            "started_at": crew["started_at"],
            "uptime_s": max(0, self._clock() - int(crew["started_at"])) // 1000,
            "version": __version__,
            "service": _service(),
            "listeners": [dict(entry) for entry in self.process.listeners],
            "can_reload": self.serving is not None,
        }

    async def change_service(self, body: object) -> Json:
        """POST /api/service-mode {"action": "reload"} → {"action", "accepted"}. What runs goes on; see `Serving.reload`."""
        if not isinstance(body, Mapping) or body.get("action") != "reload" or len(body) != 1:
            raise bad_request('The body must be {"action": "reload"}.', "action")
        if self.serving is None:
            raise GatewayError(Kind.CONFLICT, "No server runs here. Start it: omni-connector", param="action")
        await self.serving.reload()
        return {"action": "reload", "accepted": True}

    # ------------------------------------------------------------ listeners

    async def set_config(self, body: object) -> Json:
        """As `System.set_config`; listeners have moved when it returns."""
        changes = checked_settings(body)
        if not LISTENING & changes.keys():
            return await super().set_config(body)
        await self._check_listening(changes)
        answer = await super().set_config(body)
        if self.serving is not None:
            await self.serving.follow()
        return answer

    async def _check_listening(self, changes: Mapping[str, str | None]) -> None:
        """`changes`: settings to be stored, as texts; None forgets one. Raises GatewayError when the listeners could not follow."""
        ahead = dataclasses.replace(self.settings, **_values(self.settings, changes))
        try:
            if self.serving is not None:
                await self.serving.check(ahead)
                return
            proxies.networks(ahead.trusted_proxies)
            places = listeners.plan(ahead, ahead.host, ahead.port)
            has_password = bool(await self.db.run(lambda conn: table.get_meta(conn, "admin_password")))
            listeners.check_reach(places, ahead.allow_remote, has_password)
            for place in places:
                if place.cert:
                    await asyncio.to_thread(Certificate, place.cert, place.key)
        except settings.SettingsError as error:
            raise bad_request(str(error), next(iter(LISTENING & changes.keys()))) from error


def _values(now: settings.Settings, changes: Mapping[str, str | None]) -> Json:
    """The typed values of what would be in force: the environment stays first."""
    rows = {name: settings.BY_NAME[name] for name in LISTENING & changes.keys() if now.sources.get(name) != "environment"}
    return {name: row.default if (text := changes[name]) is None else settings.parse(row, text) for name, row in rows.items()}


def _write_password(conn: Any, password_hash: str | None) -> None:
    if password_hash is not None:
        table.set_meta(conn, "admin_password", password_hash)
    table.set_meta(conn, "session_epoch", str(int(table.get_meta(conn, "session_epoch") or "0") + 1))
    table.bump_config(conn)


def _wanted(body: object, field: str, not_beginning: str) -> str:
    """A key given by hand, "" when a random one is wanted. Raises BAD_REQUEST."""
    if not isinstance(body, Mapping) or set(body) - {field}:
        raise bad_request(f"The body must be a JSON object with at most the field {field!r}.", field)
    given = body.get(field)
    if given is None:
        return ""
    if not isinstance(given, str) or not _PLAIN.fullmatch(given):
        words = f"{field}: give {SHORTEST_KEY} to {LONGEST_KEY} plain characters without blanks, or nothing for a random one."
        raise bad_request(words, field)
    if given.startswith(not_beginning) or len(set(given)) < 4:
        raise bad_request(f"{field}: this would be taken for another kind of key, or guessed. Leave it out for a random one.", field)
    return given


def _service() -> str | None:
    """The service manager that starts us again, if there is one."""
    if os.environ.get("NOTIFY_SOCKET"):
        return "systemd"
    return os.environ.get("OMNI_SERVICE") or None
