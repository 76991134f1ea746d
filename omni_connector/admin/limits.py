"""Operations on limits: what the installation, a provider or a model may use. (R-19)

Accounts and keys carry theirs in their own rows; every limit that applies to a request must let it through.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from omni_connector import providers
from omni_connector.admin import bodies
from omni_connector.admin.accounts import Accounts
from omni_connector.errors import GatewayError, Kind, bad_request
from omni_connector.snapshot import Limit
from omni_connector.store import limits as table

Json = dict[str, Any]
Scope = Literal["installation", "provider", "model"]

MAX_MODEL = 256
EVERYTHING = "Everything"
"""What people call the installation's limit."""


class LimitBody(Struct, forbid_unknown_fields=True, kw_only=True):
    """PUT /api/limits/…: the whole limit. `budget`: {"amount", "period", "zone", "mode"}. null: as much as it likes."""

    budget: Json | None = None
    rpm: int | None = None
    tpm: int | None = None
    max_in_flight: int | None = None


class Limits(Accounts):
    async def limits(self) -> Json:
        """GET /api/limits → {"limits": [{"scope", "subject", "name", "budget", "rpm", "tpm", "max_in_flight", "updated_at"}]}: the
        installation's first, then providers and models by name. `budget` has the live figures: "spent_usd", "held_usd", "resets_at"."""
        order = ("installation", "provider", "model")
        ours = [limit for limit in self._snapshot().limits if limit.scope in order]
        return {"limits": [self._limit_json(one) for one in sorted(ours, key=lambda one: (order.index(one.scope), one.subject.lower()))]}

    async def set_limit(self, scope: Scope, subject: str, body: object) -> Json:
        """PUT /api/limits/{provider|model}/{subject}: replaces the limit as a whole, effective at once in every process.

        Raises BAD_REQUEST naming the field, NOT_FOUND for a provider with near names. A model is any id or family: one that nobody
        serves yet is limited from its first request on.
        """
        given = bodies.read(body, LimitBody)
        limit = Limit(
            scope,
            self._subject(scope, subject),
            budget=bodies.budget(given.budget),
            rpm=bodies.at_least(given.rpm, 1, "rpm"),
            tpm=bodies.at_least(given.tpm, 1, "tpm"),
            max_in_flight=bodies.at_least(given.max_in_flight, 1, "max_in_flight"),
            updated_at=self._clock(),
        )
        if limit.budget is None and limit.rpm is limit.tpm is limit.max_in_flight is None:
            raise bad_request(
                "budget: name `budget`, `rpm`, `tpm` or `max_in_flight`. To have no limit any more, DELETE this address.", "budget"
            )
        await self._change(lambda conn: table.put(conn, limit))
        return self._limit_told(limit)

    async def remove_limit(self, scope: Scope, subject: str) -> Json:
        """DELETE /api/limits/{provider|model}/{subject} → what is removed. NOT_FOUND."""
        stored = [limit for limit in self._snapshot().limits if limit.scope == scope]
        # As it is stored first: a provider that this version does not know any more can still be let go.
        wanted = subject if any(limit.subject == subject for limit in stored) else self._subject(scope, subject)
        found = next((limit for limit in stored if limit.subject == wanted), None)
        if found is None:
            near = bodies.did_you_mean(subject, [limit.subject for limit in stored])
            words = "the installation" if scope == "installation" else f"{scope} {subject!r}"
            raise GatewayError(Kind.NOT_FOUND, f"No limit is set for {words}{near}. GET /api/limits lists them.", param="subject")
        shown = self._limit_json(found)
        await self._change(lambda conn: table.delete(conn, scope, wanted))
        self._publish("limit", {**shown, "removed": True})
        return {**shown, "removed": True}

    async def set_installation_limit(self, body: object) -> Json:
        """PUT /api/limits/installation: all accounts, keys and models together."""
        return await self.set_limit("installation", "", body)

    async def remove_installation_limit(self) -> Json:
        """DELETE /api/limits/installation."""
        return await self.remove_limit("installation", "")

    # ------------------------------------------------------------ inside

    def _subject(self, scope: Scope, text: str) -> str:
        if scope == "installation":
            return ""
        if scope == "provider":
            return providers.get(text.strip().lower()).id
        clean = text.strip()
        if not 0 < len(clean) <= MAX_MODEL or not clean.isprintable():
            raise bad_request(f"subject: a model's id or its family, up to {MAX_MODEL} characters.", "subject")
        return clean

    def _limit_told(self, limit: Limit) -> Json:
        answer = self._limit_json(limit)
        self._publish("limit", answer)
        return answer

    def _limit_json(self, limit: Limit) -> Json:
        return {
            "scope": limit.scope,
            "subject": limit.subject,
            "name": self._limit_name(limit),
            "budget": limit.budget if self.budgets is None else self.budgets.shape_limit(limit.scope, limit.subject, limit.budget),
            "rpm": limit.rpm,
            "tpm": limit.tpm,
            "max_in_flight": limit.max_in_flight,
            "updated_at": limit.updated_at,
        }

    def _limit_name(self, limit: Limit) -> str:
        if limit.scope == "installation":
            return EVERYTHING
        provider = providers.PROVIDERS.get(limit.subject) if limit.scope == "provider" else None
        return limit.subject if provider is None else self._provider_label(provider)
