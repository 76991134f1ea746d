"""Secrets planted wherever one is kept: no way of looking tells them, over HTTP or on the command line (R-20, R-52, CONTRACT §3)."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import click
import pytest

from omni_connector.cli import run
from omni_connector.cli.shell import root
from omni_connector.gateway import Gateway
from tests.access import LINES, STREAMS
from tests.desk import Desk, closed, opened
from tests.live.processes import CHAT, Line, Server, chat
from tests.serving import Rig, whole

Json = dict[str, Any]
LOOKS = (
    "list",
    "show",
    "status",
    "usage",
    "quota",
    "requests",
    "models",
    "providers",
    "accounts",
    "backends",
    "get",
    "info",
    "logs",
    "doctor",
)
"""Last words of commands that look and change nothing."""
PROXY_PASSWORD, ROBOT_TOKEN = "planted-proxy-password-78", "planted-robot-token-79"
PLANTED = {
    "an account's key": "sk-planted-account-0123456789",
    "an account's header": "planted-header-value-77",
    "a proxy's password": PROXY_PASSWORD,
    "a robot's token": ROBOT_TOKEN,
    "the monitor's key": "planted-monitor-key-80",
    "a key in a file": "planted-file-key-81",
    "a key in the variables": "planted-variable-82",
    "a tls key's text": "planted-tls-key-83",
    "the required key": "planted-required-key-84",
}
ENV = {
    "OMNI_ALERT_PRIVATE_TARGETS": "1",
    "OMNI_MONITOR_KEY": PLANTED["the monitor's key"],
    "REQUIRED_API_KEY": PLANTED["the required key"],
}


async def plant(gateway: Gateway) -> Json:
    """Returns the ids of what was made, and adds what was minted to the secrets."""
    admin, home = gateway.admin, gateway.home
    account = await admin.add_account(
        {
            "provider": "openai",
            "label": "planted",
            "api_key": PLANTED["an account's key"],
            "headers": {"x-extra": PLANTED["an account's header"]},
            "proxy_url": f"http://user:{PROXY_PASSWORD}@127.0.0.1:1",
            "models": ["test-model"],
            "discover": False,
            "enabled": False,
        }
    )
    url = f"https://127.0.0.1:1/robot/send?access_token={ROBOT_TOKEN}"
    channel = await admin.add_alert_channel({"url": url, "kind": "dingtalk"})
    key = await admin.create_key({"name": "planted"})
    (home / "extra.toml").write_text(f'api_key = "{PLANTED["a key in a file"]}"\n')
    (home / ".env").write_text(f"export SOME_API_KEY={PLANTED['a key in the variables']}\n")
    (home / "server.key.pem").write_text(PLANTED["a tls key's text"])
    (home / "logs").mkdir(exist_ok=True)
    return {"account_id": account["id"], "channel_id": channel["id"], "key_id": key["id"], "client key": key["key"]}


def secrets_of(made: Json, gateway: Gateway) -> dict[str, str]:
    master = next((path.read_text().strip() for path in gateway.home.glob("master.key*")), "")
    found = {**PLANTED, "the client key": made["client key"], "the admin key": gateway.admin_key, "the master key": master}
    assert all(len(secret) > 10 for secret in found.values()), found
    return found


def clean(text: str, hidden: Json, where: str) -> None:
    assert not [what for what, secret in hidden.items() if secret in text], (where, text[:500])


async def test_no_look_at_anything_tells_a_secret(migrated_home: Path, tmp_path: Path) -> None:
    """Every GET of the table of routes but the one that takes credentials away, with the admin key; and the live events."""
    desk: Desk = await opened(migrated_home, tmp_path / "home", **ENV)
    made = await plant(desk.gateway)
    hidden = secrets_of(made, desk.gateway)
    files = [file["path"] for file in (await desk.gateway.admin.config_files())["files"]]
    assert {"extra.toml", ".env", "omni.db"} <= set(files)
    fill = {"account_id": made["account_id"], "wanted": "planted", "provider_id": "openai", "key_id": made["key_id"], "filename": "app.js"}
    seen = 0
    for method, path in LINES:
        if method != "GET" or path == "/api/accounts/export" or path in STREAMS:
            continue
        for name in files if "<path:name>" in path else ["x"]:
            concrete = path.replace("<path:name>", name).replace("<path:filename>", "app.js")
            for part, value in fill.items():
                concrete = concrete.replace(f"<{part}>", value)
            answer = await desk.ask("GET", concrete, **desk.admin)
            text = await answer.get_data(as_text=False)
            clean(text.decode("utf-8", "replace") + str(dict(answer.headers)), hidden, concrete)
            if text.startswith(b"PK"):
                packed = zipfile.ZipFile(io.BytesIO(text))
                clean("".join(packed.read(name).decode("utf-8", "replace") for name in packed.namelist()), hidden, concrete)
            seen += answer.status_code == 200
    assert seen > 40
    events = desk.gateway.live.stream(desk.gateway.admin.accounts)
    clean((await anext(events)).decode(), hidden, "events")
    await desk.gateway.admin.edit_account(made["account_id"], {"label": "planted again"})
    clean((await anext(events)).decode(), hidden, "events")
    await events.aclose()
    refused = await desk.ask(
        "POST", "/api/accounts", {"provider": "openai", "api_key": hidden["an account's key"], "nonsense": 1}, **desk.admin
    )
    clean(await refused.get_data(as_text=True), hidden, "a refusal")
    await closed(desk)


# ---------------------------------------------------------------- The command line


def looks(command: click.Command, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], bool]]:
    """Every command that only looks and needs nothing more to be said; with whether it speaks JSON too."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from looks(inner, (*words, name))
    elif words[-1] in LOOKS and not any(parameter.required for parameter in command.params):
        yield words, any("--json" in parameter.opts for parameter in command.params)


def test_no_command_that_looks_tells_a_secret(
    migrated_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"

    async def prepare() -> Json:
        desk = await opened(migrated_home, home, **ENV)
        made = await plant(desk.gateway)
        hidden = secrets_of(made, desk.gateway)
        await closed(desk)
        return hidden

    hidden = asyncio.run(prepare())
    monkeypatch.setenv("OMNI_HOME", str(home))
    for name, value in ENV.items():
        monkeypatch.setenv(name, value)
    told = 0
    for words, speaks_json in looks(root):
        if words[0] in ("doctor", "logs", "update"):
            continue  # they look outside, or for ever; their own tests look at what they say
        for form in ((), ("--json",)) if speaks_json else ((),):
            code = run([*words, *form])
            out, err = capsys.readouterr()
            clean(out + err, hidden, " ".join([*words, *form]))
            if form and code == 0:
                json.loads(out)
            told += code == 0
    assert told > 15


def test_no_file_is_named_after_a_secret_and_none_but_the_keys_holds_one(migrated_home: Path, tmp_path: Path) -> None:
    """The database and its backups say nothing to whoever has a copy of them alone; names of files stand in listings and logs."""
    home = tmp_path / "home"

    async def prepare() -> Json:
        desk = await opened(migrated_home, home, **ENV)
        made = await plant(desk.gateway)
        hidden = secrets_of(made, desk.gateway)
        await desk.gateway.admin.backup({"passphrase": "a phrase to seal with"})
        await closed(desk)
        return hidden

    hidden = asyncio.run(prepare())
    ours = {"extra.toml", ".env", "server.key.pem"}  # planted by the test
    for path in home.rglob("*"):
        clean(path.name, hidden, "a name")
        if path.is_file() and path.name not in ours and not path.name.endswith(".key"):
            clean(path.read_bytes().decode("latin-1"), hidden, str(path))
        if path.is_file() and path.name not in ours:
            assert path.stat().st_mode & 0o077 == 0, path


# ---------------------------------------------------------------- On the way out, and beside the server


async def test_what_a_client_sends_with_its_request_stays_here(tmp_path: Path) -> None:
    """Neither its key nor its cookies go to a provider, and no word of it says where an account's credential is sent."""
    async with Rig(tmp_path) as rig, aiohttp.ClientSession() as web:
        await rig.account()
        rig.upstream.answer(whole({"choices": [{"message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}]}))
        elsewhere = "http://127.0.0.1:9/planted"
        body = {"model": "test-model", "messages": [{"role": "user", "content": "hi"}], "base_url": elsewhere, "api_base": elsewhere}
        for sent in ({"authorization": f"Bearer {rig.key}"}, {"x-api-key": rig.key}, {"x-goog-api-key": rig.key}, {}):
            headers = {**sent, "cookie": "omni_session=planted-cookie", "x-forwarded-host": "evil.example", "x-base-url": elsewhere}
            headers["session-id"] = "one that may go"
            query = "" if sent else f"?key={rig.key}"
            async with web.post(f"{rig.url}/v1/chat/completions{query}", json={**body, "proxy": elsewhere}, headers=headers) as answer:
                assert answer.status == 200, await answer.text()
            told = str(rig.upstream.seen[-1].headers) + rig.upstream.seen[-1].path
            assert rig.upstream.seen[-1].headers["session-id"] == "one that may go"
            assert "sk-main-key" in told and not [word for word in (rig.key, "planted", "evil.example") if word in told]


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs /proc")
async def test_no_process_shows_a_secret_to_others(tmp_path: Path) -> None:
    """Whoever may list processes reads their arguments: of the server, and of the programs that it starts."""
    server = Server(tmp_path / "home", "--port", "0", "--workers", "2", **ENV)
    server.spawn()
    try:
        await server.ready()
        script = tmp_path / "program.py"
        script.write_text("import time; time.sleep(20)")
        command = {"argv": [sys.executable, "-I", str(script)], "set": {"TOKEN": PLANTED["an account's key"]}}
        await server.admin("POST", "/api/accounts", {"provider": "command", "label": "program", "options": {"command": command}})
        key = (await server.admin("POST", "/api/keys", {"name": "k"}))["key"]
        admin_key = (server.home / "admin.key").read_text().strip()
        async with Line.open(server.url) as line:
            line.writer.write(line.request("POST", CHAT, chat("hi", "program/default"), {"Authorization": f"Bearer {key}"}))
            async with asyncio.timeout(10):
                while str(script) not in "".join(arguments()):
                    await asyncio.sleep(0.02)
                shown = "".join(arguments())
        clean(shown, {**PLANTED, "the client key": key, "the admin key": admin_key}, "ps")
    finally:
        server.terminate()
        await server.ended(20)


def arguments() -> Iterator[str]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            yield path.read_bytes().decode("utf-8", "replace")
