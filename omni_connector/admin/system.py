"""Operations on the installation: what runs, its jobs, its settings, names for models. (R-44, R-45, R-50, R-51)"""

from __future__ import annotations

import os
import platform
import re
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omni_connector import __version__, settings
from omni_connector.admin import bodies, shapes
from omni_connector.admin.room import Room
from omni_connector.errors import GatewayError, Kind, bad_request
from omni_connector.nodes import node_of
from omni_connector.store import jobs as job_table
from omni_connector.store import settings as table
from omni_connector.store.files import Away

Json = dict[str, Any]
MAX_TARGETS = 50
_NAME = re.compile(r"[^\s/:,]{1,64}")


class System(Room):
    _unread_since: int | None = None
    """When the database was first found not to answer (ms)."""

    async def system(self) -> Json:
        """GET /api/system."""
        now = self._clock()
        nodes = await self._nodes()
        return {
            "version": __version__,
            "started_at": self.process.started_at,
            "uptime_s": max(0, now - self.process.started_at) // 1000,
            "memory_mb": memory_mb(),
            "cpu_s": round(time.process_time(), 2),
            "in_flight": 0 if self._pool is None else sum(self._pool.live(a.id).in_flight for a in self._snapshot().accounts),
            "home": str(self.process.home),
            "node": node_of(self.process.id),
            "nodes": nodes,
            "database": self.database_name,
            "database_away": self._away(),
            "base_url": self.process.base_url,
            "python": platform.python_version(),
            "pid": os.getpid(),
            "server": self.process.server,
            **await self._crew(),
            "listeners": [dict(entry) for entry in self.process.listeners],
        }

    async def _nodes(self) -> list[Json]:
        """The processes that live on this database, by the node that each is on; empty while nobody can tell."""
        try:
            seen = await self.db.run(job_table.living)
        except Away:
            self._unread_since = self._unread_since or self._clock()
            return []
        self._unread_since = None
        return [{"id": row["id"], "node": node_of(row["id"]), "started_at": row["started_at"], "seen_at": row["seen_at"]} for row in seen]

    def _away(self) -> Json | None:
        """What waits in the spill file, and before anything does: that nothing can be read."""
        told = None if self.spill is None else self.spill.told()
        if told is not None or self._unread_since is None:
            return told
        return {"since": self._unread_since, "bytes": 0, "rows": 0, "new_requests": self.spill is not None and self.spill.takes_new}

    async def _crew(self) -> Json:
        """How many processes serve; "pid" beside it is the one that answers, and so are its memory and requests in flight."""
        if self.serving is None:
            return {"mode": "none", "workers": 0, "pids": [], "supervisor": None}
        crew = await self.serving.crew()
        pids = [worker["pid"] for worker in crew["workers"]]
        return {"mode": "workers" if crew["wanted"] > 1 else "single", "workers": len(pids), "pids": pids, "supervisor": crew["pid"]}

    # ------------------------------------------------------------ jobs

    async def jobs(self) -> Json:
        """GET /api/jobs."""
        return {"jobs": [shapes.job(row) for row in await self.db.run(job_table.list_jobs)]}

    async def run_job(self, job_id: str) -> Json:
        """POST /api/jobs/{id}/run → the job, due now: the next tick of any process takes it. NOT_FOUND."""
        now = self._clock()
        return shapes.job(await self.db.tx(lambda conn: job_table.run_now(conn, job_id, now)))

    async def cancel_job(self, job_id: str) -> Json:
        """POST /api/jobs/{id}/cancel → the job, paused until it is run by hand. NOT_FOUND."""
        return shapes.job(await self.db.tx(lambda conn: job_table.cancel(conn, job_id)))

    # ------------------------------------------------------------ settings

    async def config(self) -> Json:
        """GET /api/config → {"settings", "aliases", "chains"}; secret values are masked."""
        picture = self._snapshot()
        return {
            "settings": self.settings.describe(),
            "aliases": {name: list(targets) for name, targets in sorted(picture.aliases.items())},
            "chains": {name: [list(tier) for tier in tiers] for name, tiers in sorted(picture.chains.items())},
        }

    async def set_config(self, body: object) -> Json:
        """POST /api/config {"name": value, …}; null forgets the stored value. All are stored or none. → `config()`."""
        stored = checked_settings(body)

        def write(conn: Any) -> None:
            for name, text in stored.items():
                if text is None:
                    table.delete_setting(conn, name)
                else:
                    table.set_setting(conn, name, text)

        await self._change(write)
        return await self.config()

    # ------------------------------------------------------------ aliases and chains

    async def alias(self, name: str) -> Json:
        """GET /api/aliases/{name} → {"name", "targets"}. NOT_FOUND."""
        return {"name": name, "targets": list(_known(self._snapshot().aliases, name, "alias"))}

    async def set_alias(self, name: str, body: object) -> Json:
        """PUT /api/aliases/{name} {"targets": ["groq/llama", …]}: the first that can serve is used."""
        _check_name(name)
        targets = _targets(_only(body, "targets"), "targets", "a list of 1 to {} model names")
        if set(targets) == {name}:
            raise bad_request(f"targets: the alias {name!r} cannot stand for itself alone.", "targets")
        await self._change(lambda conn: table.set_alias(conn, name, targets))
        return {"name": name, "targets": list(targets)}

    async def remove_alias(self, name: str) -> Json:
        _known(self._snapshot().aliases, name, "alias")
        await self._change(lambda conn: table.delete_alias(conn, name))
        return {"name": name, "removed": True}

    async def chain(self, name: str) -> Json:
        """GET /api/chains/{name} → {"name", "tiers"}. NOT_FOUND."""
        return {"name": name, "tiers": [list(tier) for tier in _known(self._snapshot().chains, name, "chain")]}

    async def set_chain(self, name: str, body: object) -> Json:
        """PUT /api/chains/{name} {"tiers": [["a", "b"], ["c"]]}: tiers in order, the members of one share the work."""
        _check_name(name)
        tiers = _only(body, "tiers")
        if not isinstance(tiers, list) or not 1 <= len(tiers) <= MAX_TARGETS:
            raise bad_request(f"tiers: a list of 1 to {MAX_TARGETS} tiers, each a list of names.", "tiers")
        checked = tuple(_targets(tier, "tiers", "each tier a list of 1 to {} members, ACCOUNT or ACCOUNT::MODEL") for tier in tiers)
        await self._change(lambda conn: table.set_chain(conn, name, checked))
        return {"name": name, "tiers": [list(tier) for tier in checked]}

    async def remove_chain(self, name: str) -> Json:
        _known(self._snapshot().chains, name, "chain")
        await self._change(lambda conn: table.delete_chain(conn, name))
        return {"name": name, "removed": True}


def checked_settings(body: object) -> dict[str, str | None]:
    """Name → the text to store; None forgets the setting. Raises BAD_REQUEST."""
    if not isinstance(body, Mapping) or not body:
        raise bad_request('The body must be a JSON object of settings, such as {"strategy": "performance"}.')
    return {str(name): _checked_setting(str(name), value) for name, value in body.items()}


def _checked_setting(name: str, value: object) -> str | None:
    """The text to store; None forgets the setting. Raises BAD_REQUEST naming it."""
    row = settings.BY_NAME.get(name)
    if row is None:
        raise bad_request(f"There is no setting {name!r}{bodies.did_you_mean(name, settings.BY_NAME)}.", name)
    try:
        text = None if value is None else settings.check(row, value)
    except settings.SettingsError as error:
        raise bad_request(str(error), name) from None
    if text is not None:
        bodies.storable(text)
    return text


def _known(table: Mapping[str, Any], name: str, what: str) -> Any:
    if name not in table:
        raise GatewayError(Kind.NOT_FOUND, f"There is no {what} {name!r}{bodies.did_you_mean(name, table)}.", param="name")
    return table[name]


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name) or not name.isprintable():
        raise bad_request("name: 1 to 64 characters without blanks, '/', ':' and ',' (those have a meaning in model names).", "name")


def _only(body: object, field: str) -> object:
    if not isinstance(body, Mapping) or set(body) != {field}:
        raise bad_request(f"The body must be a JSON object with the one field {field!r}.", field)
    return body[field]


def _targets(value: object, param: str, wanted: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_TARGETS or not all(isinstance(name, str) for name in value):
        raise bad_request(f"{param}: {wanted.format(MAX_TARGETS)}.", param)
    return bodies.names(value, param)


def memory_mb() -> float | None:
    """Resident memory of this process now; its peak where the system tells no more; None where it tells nothing."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
        return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)
    except (OSError, ValueError, IndexError):
        pass
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)
