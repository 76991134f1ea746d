"""The programs of this machine that were set up to use us: do they still point here, and is their key good?"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from omni_connector.admin.room import now_ms
from omni_connector.clients import base, standing
from omni_connector.doctor.finding import Finding, Patient
from omni_connector.secrets import hash_key


async def clients(patient: Patient) -> Sequence[Finding]:
    """Nothing where no user's home is known, or no address (any port will do, and nothing runs). Programs that have nothing to do
    with us are none of our business."""
    home = next((patient.env[name] for name in ("HOME", "USERPROFILE") if patient.env.get(name)), "")
    port = patient.settings.port
    if not home or (patient.server is None and not port):
        return []
    url = base(patient.server.url if patient.server is not None else f"http://127.0.0.1:{port}")
    picture, now = patient.picture, now_ms()

    def works(key: str) -> bool:
        row = None if picture is None else picture.keys.get(hash_key(key))
        return picture is None or (row is not None and row.status(now) == "active")

    found = await asyncio.to_thread(standing.findings, patient.home, url, env=patient.env, user=Path(home), works=works)
    return [Finding(one.level, one.what, one.message, one.fix) for one in found]
