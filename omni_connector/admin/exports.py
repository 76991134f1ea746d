"""The operation that writes accounts out. (P-14, P-26, P-28)"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec
from msgspec import Struct

from omni_connector import settings, transfer
from omni_connector.admin import bodies
from omni_connector.admin.imports import Imports
from omni_connector.errors import bad_request
from omni_connector.snapshot import Account

Json = dict[str, Any]

PARTS = ("aliases", "chains", "prices", "limits", "settings")


class ExportAccounts(Struct, forbid_unknown_fields=True, kw_only=True):
    """POST /api/accounts/export. `format`: omni, or oneproxy (P-28). `ids`: only these accounts. `include`: of PARTS, in our own format.
    `passphrase`: encrypts it. `password`, `admin_key`: for the route, which wants one of them again. `download` False: the answer tells
    about the file and holds it as `content`."""

    format: Literal["omni", "oneproxy"] = "omni"
    secrets: bool = True
    ids: list[str] = []
    include: list[str] = msgspec.field(default_factory=lambda: ["aliases", "chains", "prices", "limits"])
    passphrase: str = ""
    password: str = ""
    admin_key: str = ""
    download: bool = True


class Exports(Imports):
    async def export_accounts(self, body: object) -> Json:
        """POST /api/accounts/export → {"filename", "accounts": how many, "encrypted", "warning", "content": the file as text}. Whoever
        calls this has made sure that it is the owner who asks. Raises BAD_REQUEST naming the field, NOT_FOUND for an id."""
        given = bodies.read(body, ExportAccounts)
        unknown = next((name for name in given.include if name not in PARTS), None)
        if unknown is not None:
            raise bad_request(f"include: {', '.join(PARTS)}, not {unknown!r}.", "include")
        chosen = {self._find(name).id for name in given.ids}
        accounts = [account for account in await self._stored() if not chosen or account.id in chosen]
        content, count = self._document(given, accounts)
        sealed = bool(given.passphrase)
        if sealed:
            content = await asyncio.to_thread(transfer.seal, content, given.passphrase)
        stamp = datetime.fromtimestamp(self._clock() / 1000, UTC).strftime("%Y-%m-%d")
        return {
            "filename": f"omni-connector-accounts-{stamp}{'.encrypted' if sealed else ''}.json",
            "accounts": count,
            "left_out": len(accounts) - count,
            "encrypted": sealed,
            "warning": "" if sealed or not given.secrets else transfer.WARNING,
            "content": content.decode(),
        }

    def _document(self, given: ExportAccounts, accounts: Sequence[Account]) -> tuple[bytes, int]:
        if given.format == "oneproxy":
            if not given.secrets:
                raise bad_request("format: OneProxy's list is nothing without the credentials.", "secrets")
            entries = transfer.listed(accounts)
            return _pretty(entries), len(entries)
        picture = self._snapshot()
        parts: Mapping[str, Any] = {
            "aliases": picture.aliases,
            "chains": picture.chains,
            "prices": picture.prices,
            "limits": picture.limits,
            "settings": _plain_settings(picture.settings),
        }
        said = transfer.document(
            accounts, self._clock(), secrets=given.secrets, **{name: parts[name] for name in PARTS if name in given.include}
        )
        return _pretty(said), len(accounts)


def _pretty(value: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n"


def _plain_settings(stored: Mapping[str, str]) -> dict[str, str]:
    """What is stored and no secret."""
    return {
        name: text for name, text in stored.items() if (row := settings.BY_NAME.get(name)) is not None and row.stored and not row.secret
    }
