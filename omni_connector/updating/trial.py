"""The self-test of a release that nobody uses yet: it serves a copy of the home, its database migrated, on a port of its own.

Health, every secret decrypts (it does not start otherwise), old settings and keys are accepted, and one request goes through the demo
provider. No jobs run and no provider is asked, so that no token of the real installation is used up.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omni_connector.secrets import MASTER_ENV
from omni_connector.settings import SETTINGS
from omni_connector.store import files
from omni_connector.updating.process import ask
from omni_connector.updating.releases import Release, UpdateError

Json = dict[str, Any]

FOLDER = ".update-trial"
WITHIN_S = 120.0
"""For the start; the migration of a large database is part of it."""
ANSWER_S = 20.0
LAST_WORDS = 600
CARRIED = {"PATH", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", *MASTER_ENV}
"""What a release needs of the environment; provider keys and proxies are left at home."""
NOT_OURS = {"OMNI_HOST", "HOST", "OMNI_PORT", "PORT", "OMNI_DATABASE_URL", "OMNI_ADMIN_KEY", "OMNI_OPEN_BROWSER"}
"""Settings that would lead the trial to what is real."""
SERVE = ("serve", "--host", "127.0.0.1", "--port", "0", "--no-jobs")
REFUSED_BY_LIMITS = (402, 429)

# The shell outlives a killed updater by a moment, in which it takes the server along and the copy away: nothing that holds secrets stays.
GUARD = """folder=$1; shift; exec 3<&0
"$@" </dev/null 3<&- & server=$!
{ read -r _ <&3 || : >"$folder/alone"; kill -9 "$server"; } 2>/dev/null & watcher=$!
wait "$server"
[ ! -e "$folder/alone" ] || rm -rf "$folder"
kill "$watcher" 2>/dev/null"""


def run(home: Path, release: Release, copy: Path | None, env: Mapping[str, str]) -> Json:
    """`copy`: of the database, which is not changed; None: the release is tried with an empty one. Returns {"schema", "accounts",
    "answer": what the demo provider's answer was}. Raises UpdateError with what failed."""
    folder = sweep(home)
    guard: subprocess.Popen[bytes] | None = None
    try:
        furnish(home, folder, copy)
        with (folder / "output").open("wb") as output:
            guard = subprocess.Popen(  # noqa: S603 — a release of ours
                ["/bin/sh", "-c", GUARD, "sh", str(folder), str(release.launcher), *SERVE],
                env=environment(folder, env),
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        url = _started(folder, guard)
        return examine(url, (folder / "admin.key").read_text("utf-8").strip()) | {"schema": files.revision(folder / "omni.db")}
    finally:
        if guard is not None:
            guard.communicate(b"\n")
        shutil.rmtree(folder, ignore_errors=True)


def sweep(home: Path) -> Path:
    """Removes what an updater that was killed left; the folder of the next trial."""
    folder = home / FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def furnish(home: Path, folder: Path, copy: Path | None) -> None:
    folder.mkdir(mode=0o700)
    for name in ("master.key", ".env"):
        if (home / name).is_file():
            shutil.copyfile(home / name, folder / name)
            (folder / name).chmod(0o600)
    if copy is not None:
        shutil.copyfile(copy, folder / "omni.db")
        (folder / "omni.db").chmod(0o600)


def environment(folder: Path, env: Mapping[str, str]) -> dict[str, str]:
    """That of the trial: the settings of the updater's own, so that an old one that is not accepted any more is seen now."""
    ours = {row.env for row in SETTINGS} - NOT_OURS
    kept = {name: value for name, value in env.items() if name in CARRIED or name in ours}
    return {**kept, "HOME": str(folder), "OMNI_HOME": str(folder), "OMNI_DATABASE_URL": f"sqlite:///{folder / 'omni.db'}"}


def _started(folder: Path, guard: subprocess.Popen[bytes]) -> str:
    """The address of the release on trial, once it is healthy."""
    until = time.monotonic() + WITHIN_S
    while time.monotonic() < until:
        with contextlib.suppress(OSError, ValueError, KeyError):
            said = json.loads((folder / "server.json").read_text("utf-8"))
            if ask(said["url"], "GET", "/health")[0] == 200:
                return str(said["url"])
        if guard.poll() is not None:
            raise UpdateError(f"The new release does not start on a copy of your data. {_last_words(folder)}")
        time.sleep(0.05)
    raise UpdateError(f"The new release was not healthy within {WITHIN_S:.0f} s on a copy of your data. {_last_words(folder)}")


def examine(url: str, key: str) -> Json:
    """Asks a started release for its accounts, and for one answer of the demo provider. Raises UpdateError."""
    accounts = _must(url, "GET", "/api/accounts", None, key, "list the accounts")["accounts"]
    ask(url, "POST", "/api/providers/demo/enable", key=key)
    label = f"self-test-{time.time_ns()}"
    _must(url, "POST", "/api/accounts", {"provider": "demo", "label": label}, key, "connect the demo provider")
    made = _must(url, "POST", "/api/keys", {"name": label}, key, "make a key")
    body = {"model": f"{label}/demo-chat", "messages": [{"role": "user", "content": "Are you well?"}]}
    status, answer = ask(url, "POST", "/v1/chat/completions", body, str(made["key"]), ANSWER_S)
    if status in REFUSED_BY_LIMITS:
        return {"accounts": len(accounts), "answer": "refused by a limit of yours"}
    try:
        words = str(answer["choices"][0]["message"]["content"])
    except (LookupError, TypeError):
        words = ""
    if status != 200 or not words:
        raise UpdateError(f"The new release does not answer: a request to the demo provider ended with status {status} ({_said(answer)}).")
    return {"accounts": len(accounts), "answer": words}


def _must(url: str, method: str, path: str, body: Json | None, key: str, what: str) -> Json:
    status, answer = ask(url, method, path, body, key, ANSWER_S)
    if not 200 <= status < 300:
        raise UpdateError(f"The new release cannot {what}: {method} {path} ended with status {status} ({_said(answer)}).")
    return answer


def _said(answer: Json) -> str:
    error = answer.get("error")
    return str(error.get("message") if isinstance(error, dict) else error or "no words")[:LAST_WORDS]


def _last_words(folder: Path) -> str:
    try:
        text = (folder / "output").read_text("utf-8", "replace").strip()
    except OSError:
        text = ""
    return f"It said: {' '.join(text.split())[-LAST_WORDS:]}" if text else "It said nothing."
