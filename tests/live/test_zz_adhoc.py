from __future__ import annotations
import asyncio, json, time, os, re
from pathlib import Path
import pytest
from tests.auth_server import AuthServer, Fault
from tests.live.processes import CHAT, Line, Server, chat, running
from tests.live.test_connectors import TABLE, Street, _text, _clean, street  # noqa
from tests.serving import FakeUpstream

OWNROW = next(r for r in TABLE if r.provider == "custom-oauth")
CODEX = TABLE[1]
CHATGPT = next(r for r in TABLE if r.provider == "chatgpt")
KIMI = next(r for r in TABLE if r.provider == "kimi-code")
KIRO = next(r for r in TABLE if r.provider == "kiro")
GEM = next(r for r in TABLE if r.provider == "gemini-cli")
ORR = TABLE[0]
one = lambda *rows: pytest.mark.parametrize("connector", rows, ids=lambda r: r.provider)

async def on(street):
    if street.row.opt_in:
        await street.server.admin("POST", "/api/config", {"connectors": [street.row.provider]})

def fault(kind):
    return {"html": Fault(200, "<html>Hi</html>"), "html500": Fault(502, "<html>Bad gateway</html>"), "500": Fault(500), "429": Fault(429, {"error": "slow"}, {"Retry-After": "7"}),
            "302": Fault(302, "x", {"Location": "http://169.254.169.254/"}), "list": Fault(200, ["a"]), "deep": Fault(200, {"access_token": {"a": []}, "refresh_token": 5, "expires_in": "NaN"}),
            "empty": Fault(200, {"access_token": ""}), "crlf": Fault(200, {"access_token": "a\r\nX: y", "token_type": "Bearer"}), "evilwords": Fault(400, {"error": "x\r\ny", "error_description": "<script>" + "A" * 5000})}[kind]
KINDS = ["html", "html500", "500", "429", "302", "list", "deep", "empty", "crlf", "evilwords"]
import sys, subprocess
async def cli(street, *argv, stdin=None, env=None):
    e = {**os.environ, "OMNI_HOME": str(street.home), "PYTHONPATH": os.getcwd(), "OMNI_ENDPOINTS_FILE": street.endpoints_file(), **(env or {})}
    p = await asyncio.create_subprocess_exec(sys.executable, "-m", "omni_connector", *argv, env=e, stdin=asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL, stdout=-1, stderr=-1)
    t = time.time()
    o, x = await asyncio.wait_for(p.communicate(stdin.encode() if stdin else None), 60)
    return p.returncode, o.decode(), x.decode(), round(time.time() - t, 1)

@one(KIMI, ORR, CHATGPT)
@pytest.mark.parametrize("up", [True, False])
async def test_cli(street, up):
    if not up:
        street.server.terminate(); await street.server.ended()
    name = street.row.provider
    print("OFF", await cli(street, "backend", "login", name))
    if street.row.opt_in:
        print("ON", await cli(street, "config", "set", "connectors", name))
        print("NOTICE", await cli(street, "backend", "login", name))
    print("FORGED", )
    rc, o, x, t = await cli(street, "backend", "login", name, "--yes", "--headless", "--json")
    print("LOGIN", rc, o[:900], x[:600], t)
    if rc == 0 and not street.row.device:
        flow = json.loads(o)
        loc = await street.login.visit(flow["authorization_url"])
        print("BAD", await cli(street, "backend", "login", "--finish", flow["flow_id"], stdin="http://127.0.0.1/?code=abc&state=forged\n"))
        print("FIN", await cli(street, "backend", "login", "--finish", flow["flow_id"], stdin=loc + "\n"))
        print("AGAIN", await cli(street, "backend", "login", "--finish", flow["flow_id"], stdin=loc + "\n"))
    print("LIST", (await cli(street, "backend", "list"))[1][:600])
    print("QUOTA", (await cli(street, "backend", "quota"))[:3])

@one(GEM, CODEX)
async def test_port_taken(street):
    import socket
    await on(street)
    ports = (8085,) if street.row.provider == "gemini-cli" else (1455, 1457)
    socks = [socket.create_server(("127.0.0.1", p)) for p in ports]
    flow = await street.begin()
    print(flow["listening"], flow["port_problem"], flow["redirect_uri"])
    acc = await street.finish(flow)
    [s.close() for s in socks]
    print((await street.said()).status)

@one(OWNROW)
async def test_hang(street):
    flow = await street.begin()
    street.login.fault("code", Fault(hang=True))
    loc = await street.login.visit(flow["authorization_url"])
    t = time.time()
    async with Line.open(street.server.url) as line:
        r = await line.ask("POST", f"/api/oauth/flows/{flow['flow_id']}/complete", {"code": loc}, {"Authorization": f"Bearer {(street.home / 'admin.key').read_text().strip()}"}, within=60)
    print("HANG complete", r.status, r.body[:200], time.time() - t)
    acc = await street.finish(await street.begin())
    await street.later(acc["id"])
    street.login.fault("refresh", Fault(hang=True), Fault(hang=True))
    t = time.time()
    async with Line.open(street.server.url) as line:
        rs = await line.ask("POST", CHAT, chat("Hi", "custom-oauth/test-model"), {"Authorization": f"Bearer {street.key}"}, within=90)
    print("HANG refresh", rs.status, rs.headers.get("retry-after"), rs.body[:400], time.time() - t)
    t = time.time()
    rs = await street.said(); print("then", rs.status, rs.headers.get("retry-after"), rs.body[:300], time.time() - t, street.login.count("refresh"))

@one(OWNROW)
async def test_refresh_faults(street):
    acc = await street.finish(await street.begin())
    for kind in KINDS[:-1]:
        await street.later(acc["id"])
        n = street.login.count("refresh")
        street.login.fault("refresh", fault(kind))
        rs = [await street.said() for _ in range(3)]
        a = await street.account(acc["id"])
        print(kind, [(r.status, r.headers.get("retry-after")) for r in rs], street.login.count("refresh") - n, a["status"], a["status_reason"][:100])
        street.login._faults.clear()
        # fresh sign-in
        acc = await street.finish(await street.begin(account=acc["id"]))
        print("   ok again", (await street.said()).status)
    _clean(street, street.server.output.read_text(), "log")

@one(OWNROW)
async def test_two_custom_servers_one_person(street):
    async with AuthServer() as other:
        first = await street.finish(await street.begin())
        body = street.body; 
        o = {name: other.endpoints()[name] for name in ("authorization", "token", "revoke", "user_info")}
        other.secrets[ "client-1"] = "cl13nt-s3cret"
        ep = {"inference": street.api.url + "/v1", **o}
        flow = (await street.call("POST", "/api/oauth/custom-oauth/start", {**body, "options": {"oauth": {**body["options"]["oauth"], **o}, "endpoints": ep}})).json
        loc = await other.visit(flow["authorization_url"])
        r = await street.call("POST", f"/api/oauth/flows/{flow['flow_id']}/complete", {"code": loc})
        print(r.status, r.json.get("account", {}).get("label"), r.json.get("error"))
        print(len((await street.call("GET", "/api/accounts")).json["accounts"]))
