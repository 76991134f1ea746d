"""Three nodes over one PostgreSQL with HAProxy in front, and everything that can befall them, all of it under load.

    python -m bench.nodes                     every fault
    python -m bench.nodes --seconds 20        each of them for longer
    python -m bench.nodes --only kill         one (names: see below)

Real `serve` processes on 127.0.0.2 to .4 (with process ids of their own where the system lets us, as in containers), a real PostgreSQL that
is started for this, HAProxy as docs/postgresql.md describes it, the provider here. After each fault the books are held against what
the clients have received and what the provider was asked. Ends with code 1 when something does not hold.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench.nodes_town import ASIDE, Impossible, Node, Town, Wire, free_port, town
from tests.auth_server import CLIENT, AuthServer
from tests.live.processes import CHAT, Line, chat

CLIENTS = 5
LEAVE_S = "2"
FAKETIME = ("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1", "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1")
DEAD_S = 45
"""A node that is silent for 30 s counts as gone; the others look once a minute, or when they begin."""
LIVE_S = 1.0
"""What is changed on one node is live on all within this."""


@dataclass
class Run:
    place: Town
    seconds: float
    rng: random.Random


async def until(holds: Callable[[], Awaitable[Any]], within: float) -> float:
    """Seconds that it took."""
    began = time.monotonic()
    while not await holds():
        assert time.monotonic() < began + within, "it never happened"
        await asyncio.sleep(0.02)
    return time.monotonic() - began


# ---------------------------------------------------------------- Nodes that die, leave, and stand still


async def kill(run: Run) -> str:
    """SIGKILL at a random instant; the node comes back, then the next one."""
    place = run.place
    async with place.load(CLIENTS) as load:
        for node in place.nodes:
            await asyncio.sleep(run.rng.uniform(0.2, run.seconds / 3))
            node.kill()
            await asyncio.sleep(run.seconds / 3)
            await node.start()
    # Nobody can be asked whether the process lives: that its rows are closed waits for 30 s of silence, and for the next look.
    before = time.monotonic()
    await place.nodes[0].admin("POST", f"/api/jobs/{await _job(place, 'recovery')}/run")
    figures = await place.check(load, deaths=CLIENTS * len(place.nodes), within=150)
    after = f"{figures.recovered} rows RECOVERED after {time.monotonic() - before:.0f} s, {figures.twice} asked twice"
    return f"{len(place.nodes)} kills: {figures}; {after}"


async def rolling(run: Run) -> str:
    """SIGTERM: not ready, then drained, then gone; then the next node."""
    place = run.place
    took = []
    async with place.load(CLIENTS) as load:
        for node in place.nodes:
            began = time.monotonic()
            node.send(signal.SIGTERM)
            assert await node.ended() == 0, node.output.read_text()[-2000:]
            took.append(time.monotonic() - began)
            await node.start()
            await asyncio.sleep(1)
    assert not load.cut, load.cut[:3]
    return f"{await place.check(load)}; an end took {max(took):.1f} s at most"


async def paused(run: Run) -> str:
    """SIGSTOP for so long that the others take the node for dead, then SIGCONT. What it had begun waits that long, and ends well."""
    place = run.place
    async with place.load(CLIENTS, within=120) as load:
        await asyncio.sleep(1)
        place.nodes[1].send(signal.SIGSTOP)
        await asyncio.sleep(DEAD_S - 10)
        await place.nodes[0].admin("POST", f"/api/jobs/{await _job(place, 'recovery')}/run")
        await asyncio.sleep(7)
        place.nodes[1].send(signal.SIGCONT)
        await asyncio.sleep(run.seconds / 2)
    figures = await place.check(load)
    return f"stopped for {DEAD_S - 3} s: {figures}"


async def skew(run: Run) -> str:
    """One node's clock is a minute ahead, then a minute behind."""
    place = run.place
    library = next((path for path in FAKETIME if Path(path).exists()), None)
    if library is None:
        raise Impossible("libfaketime is not installed (Debian: faketime)")
    told = []
    for shift in ("+60s", "-60s"):
        node = place.nodes[2]
        node.kill()
        async with place.load(CLIENTS, urls=[place.nodes[0].url, place.nodes[1].url]):
            pass
        await node.start(LD_PRELOAD=library, FAKETIME=shift, FAKETIME_DONT_FAKE_MONOTONIC="1")
        async with place.load(CLIENTS, poor=0) as load:
            await asyncio.sleep(run.seconds)
            key = (
                await place.nodes[0].admin("POST", "/api/keys", {"name": f"short {shift}", "expires_at": int(time.time() * 1000) + 600_000})
            )["key"]
            await until(partial(_accepted, node, key), 5)
        living = await place.nodes[0].admin("GET", "/api/system")
        assert {entry["node"] for entry in living["nodes"]} == {each.name for each in place.nodes}, living["nodes"]
        told.append(f"{shift}: {await place.check(load)}")
        node.kill()
        await node.start()
    return "; ".join(told)


# ---------------------------------------------------------------- The database


async def cut(run: Run) -> str:
    """One node's connections to the database are closed and refused. It serves on, and carries its entries over."""
    return await _away(run, _each(Wire.cut, 1), _each(Wire.mend, 1))


async def frozen(run: Run) -> str:
    """One node's packets to the database are dropped: nobody tells it."""
    return await _away(run, _each(Wire.freeze, 1), _each(Wire.mend, 1))


async def cut_off(run: Run) -> str:
    """All nodes are cut off at once."""
    return await _away(run, _each(Wire.cut, 0, 1, 2), _each(Wire.mend, 0, 1, 2))


async def restart(run: Run) -> str:
    """PostgreSQL is killed (SIGQUIT) and started again."""
    return await _away(run, lambda place: asyncio.to_thread(place.server.stop), lambda place: asyncio.to_thread(place.server.start))


Happens = Callable[[Town], Awaitable[None]]


def _each(what: Callable[[Wire], None], *numbers: int) -> Happens:
    async def happens(place: Town) -> None:
        for number in numbers:
            what(place.wires[number])

    return happens


async def _away(run: Run, away: Happens, back: Happens) -> str:
    place = run.place
    # Half of the clients do not use the balancer, so that the node that is cut off is asked all the same.
    urls = [place.url, *(node.url for node in place.nodes)]
    await place.key("poor", "0.05")
    before = sum([await node.metric("omni_spilled_rows_total") for node in place.nodes])
    async with place.load(CLIENTS, poor=2, urls=urls) as load:
        await asyncio.sleep(1)
        await away(place)
        await asyncio.sleep(run.seconds)
        await back(place)
        await until(lambda: _all_reach(place), 60)
        await asyncio.sleep(2)
    carried = await place.until_carried()
    figures = await place.check(load, within=60)
    rows = sum([await node.metric("omni_spilled_rows_total") for node in place.nodes]) - before
    poor = {name: count for name, count in load.statuses.items() if name.startswith("poor")}
    spilled = f"{rows:.0f} entries were spilled, all carried over {carried:.1f} s after the last answer"
    return f"{run.seconds:g} s: {figures} ({load.slowest}); {spilled}; budgeted key: {poor}"


async def _all_reach(place: Town) -> bool:
    with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
        return all([(await node.ask("GET", "/ready?database=1")).status == 200 for node in place.nodes])
    return False


async def slow(run: Run) -> str:
    """Every piece to and from the database takes 100 ms more."""
    place = run.place
    async with place.load(CLIENTS) as load:
        for wire in place.wires:
            wire.delay = 0.1
        await asyncio.sleep(run.seconds)
        for wire in place.wires:
            wire.delay = 0.0
        await asyncio.sleep(1)
    await place.until_carried()
    return str(await place.check(load))


# ---------------------------------------------------------------- What one node does, on the others


async def live(run: Run) -> str:
    """Keys, settings, cooldowns and the live view, on the other nodes."""
    place = run.place
    one, *others = place.nodes
    worst: dict[str, float] = {}

    def note(name: str, took: float) -> None:
        worst[name] = max(worst.get(name, 0.0), took)

    async with place.load(CLIENTS, pause=0.1) as load:
        for turn in range(5):
            made = await one.admin("POST", "/api/keys", {"name": f"k{time.time_ns()}"})
            for node in others:  # at once: who asks with a key that was made elsewhere a moment ago is let in
                assert await _accepted(node, made["key"]), "a fresh key is refused"
            await one.admin("DELETE", f"/api/keys/{made['id']}")
            note("revoked key", await _everywhere(others, partial(_refused, key=made["key"])))
            await one.admin("PUT", f"/api/aliases/new-{turn}", {"targets": ["chat-model"]})
            note("alias", await _everywhere(others, partial(_knows, name=f"new-{turn}", key=place.keys["free"])))
        note("cooldown", await _cooldown(place))
        note("live view", await _feed(place))
    figures = await place.check(load)
    assert max(worst.values()) < LIVE_S * _burden(), worst
    nodes = {row["process_id"].partition(".")[2] for row in await place.rows()}
    assert nodes >= {node.name for node in place.nodes}, nodes
    return f"worst s: {', '.join(f'{name} {took:.2f}' for name, took in worst.items())}; {figures}"


def _burden() -> float:
    """How many others want each processor: on a machine that is busy with something else, nothing is on time."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


async def _accepted(node: Node, key: str) -> bool:
    return (await node.ask("GET", "/v1/models", key=key)).status == 200


async def _refused(node: Node, key: str) -> bool:
    return (await node.ask("POST", CHAT, chat("x", "no-such-model"), key)).status == 401


async def _knows(node: Node, name: str, key: str) -> bool:
    # A POST: it never looks into the database for what it does not know.
    return (await node.ask("POST", CHAT, chat(ASIDE, name), key)).status == 200


async def _everywhere(nodes: Sequence[Node], holds: Callable[[Node], Awaitable[bool]]) -> float:
    """Seconds until it holds on all."""
    return max(await asyncio.gather(*(until(partial(holds, node), 5) for node in nodes)))


async def _cooldown(place: Town) -> float:
    """Node A meets a 429; seconds until B says that the account cools."""
    from tests.serving import whole

    one, two = place.nodes[:2]
    busy = whole({"error": {"message": "slow down", "type": "rate_limit"}}, 429, retry_after="30")

    body = {
        "provider": "openai",
        "label": f"busy-{time.time_ns()}",
        "api_key": "sk-busy-0123456789abcdef",
        "base_url": f"{place.upstream.url}/v1",
    }
    account = await one.admin("POST", "/api/accounts", {**body, "models": ["busy-model"], "discover": False})
    before = place.upstream._answers
    place.upstream.answer(lambda seen: busy if "busy" in seen.headers.get("authorization", "") else before[0](seen))
    try:
        await until(lambda: _has(two, account["id"]), 5)
        assert (await one.ask("POST", CHAT, chat("x", "busy-model"), place.keys["free"])).status in (429, 503)
        took = await until(lambda: _cools(two, account["id"]), 5)
    finally:
        place.upstream.answer(*before)
    await one.admin("DELETE", f"/api/accounts/{account['id']}")
    return took


async def _has(node: Node, account_id: str) -> bool:
    return any(account["id"] == account_id for account in (await node.admin("GET", "/api/accounts"))["accounts"])


async def _cools(node: Node, account_id: str) -> bool:
    return bool((await node.admin("GET", f"/api/accounts/{account_id}"))["status"] == "cooling")


async def _feed(place: Town) -> float:
    """Node A's live view while B serves: seconds from B's answer to its row on A."""
    one, two = place.nodes[:2]
    key = (one.home / "admin.key").read_text().strip()
    async with Line.open(one.url, limit=1 << 24) as line:
        line.writer.write(line.request("GET", "/api/events", b"", {"Authorization": f"Bearer {key}"}))
        await line.start()
        await line.until(b"event: snapshot")
        reply = await two.ask("POST", CHAT, chat(ASIDE, "chat-model"), place.keys["free"])
        began = time.monotonic()
        settled, seen = re.compile(reply.headers["x-omni-request-id"].encode() + rb'[^\n]*"state":"settled"'), b""
        async with asyncio.timeout(10):
            while not settled.search(seen):
                seen += await line.piece()
        return time.monotonic() - began


async def budget(run: Run) -> str:
    """A hard budget that is asked for from all nodes at once."""
    place = run.place
    told = []
    for amount in ("0.02", "0.05"):
        made = await place.key("poor", amount)
        await asyncio.sleep(LIVE_S)
        async with place.load(0, poor=9, pause=0.0, urls=[node.url for node in place.nodes]) as load:
            await asyncio.sleep(run.seconds / 2)
        await place.check(load)
        spent = sum(row["cost_nano"] or 0 for row in await place.rows() if row["key_id"] == made["id"])
        assert spent <= place.amounts[made["id"]], "overshot"
        told.append(f"${spent / 10**9:.5f} of ${amount}, {load.statuses['poor 200']} let in and {load.statuses['poor 402']} refused")
    return "; ".join(told)


# ---------------------------------------------------------------- Sign-ins and jobs


async def sign_in(run: Run) -> str:
    """Begun on one node, ended on another; then tokens that end every few seconds are renewed under load, each once."""
    place = run.place
    async with _signed(place, access_s=4) as login:
        async with place.load(CLIENTS, model="signed-model") as load:
            await asyncio.sleep(max(15.0, run.seconds))
        figures = await place.check(load)
        assert login.reused == [] and login.count("refresh") >= 2, (login.reused, login.count("refresh"))
        return f"{figures}; {login.count('refresh')} refreshes in {max(15.0, run.seconds):g} s, no token sent twice"


@contextlib.asynccontextmanager
async def _signed(place: Town, access_s: int, *, discovery: bool = False) -> Any:
    """An account that was signed in on two nodes, gone at the end."""
    async with AuthServer() as login:
        login.access_s = access_s
        addresses = login.endpoints()
        described = {
            "authorization": addresses["authorization"],
            "token": addresses["token"],
            "client_id": CLIENT,
            "scopes": "openid email",
        }
        options = {
            "oauth": {**described, **({"issuer": addresses["issuer"], "discovery": True} if discovery else {})},
            "endpoints": {"inference": f"{place.upstream.url}/v1"},
            "wire": "openai-chat",
        }
        one, two, three = place.nodes
        body = {"label": f"signed-{time.time_ns()}", "options": options, "acknowledged": True}
        flow = await one.admin("POST", "/api/oauth/custom-oauth/start", body)
        back = await login.visit(flow["authorization_url"])
        assert back, (flow, login.calls)
        await two.admin("POST", f"/api/oauth/flows/{flow['flow_id']}/complete", {"code": back})
        told = await three.admin("GET", f"/api/oauth/flows/{flow['flow_id']}")
        assert told["status"] == "done", told
        await three.admin("PATCH", f"/api/accounts/{told['account_id']}", {"models": ["signed-model"]})
        await asyncio.sleep(LIVE_S)
        try:
            yield login
        finally:
            await one.admin("DELETE", f"/api/accounts/{told['account_id']}")


async def lease(run: Run) -> str:
    """The node that renews a token is stopped before it has sent it, for longer than its lease; another one does it; it goes on."""
    place = run.place
    ask = partial(place.nodes[0].ask, "POST", CHAT, chat(ASIDE, "signed-model"), place.keys["free"])
    async with _signed(place, access_s=5, discovery=True) as login:
        gate = login.hold("discovery")
        await asyncio.sleep(5)
        asked = asyncio.create_task(ask(within=150))
        await until(partial(_waits, login), 30)
        (row,) = await place.select("SELECT owner FROM token_refreshes WHERE owner IS NOT NULL")
        leader = next(node for node in place.nodes if row["owner"].endswith(node.name))
        other = next(node for node in place.nodes if node is not leader)
        leader.send(signal.SIGSTOP)
        gate.set()
        login.access_s, sent = 3600, login.count("refresh")
        began = time.monotonic()
        while not await _answers(other, place.keys["free"]):
            assert time.monotonic() - began < 150, "nobody takes over"
        took = time.monotonic() - began
        leader.send(signal.SIGCONT)
        late = await asked
        assert late.status in (200, 504), late  # its own time may have been over when it went on
        await until(partial(_answers, leader, place.keys["free"]), 30)
        assert (login.count("refresh") - sent, login.reused) == (1, []), (login.count("refresh"), sent, login.reused)
        return f"another node took over after {took:.0f} s; the first went on and sent nothing: one refresh"


async def _answers(node: Node, key: str) -> bool:
    return (await node.ask("POST", CHAT, chat(ASIDE, "signed-model"), key, within=60)).status == 200


async def _waits(login: AuthServer) -> bool:
    return login.waiting > 0


async def jobs(run: Run) -> str:
    """Jobs that are due, while all nodes tick at once."""
    place, rounds = run.place, 10
    before = {node.name: _runs(node) for node in place.nodes}
    async with place.load(CLIENTS) as load:
        for _ in range(rounds):
            job = await _job(place, "usage-check")
            await run.rng.choice(place.nodes).admin("POST", f"/api/jobs/{job}/run")
            await asyncio.gather(*(node.admin("POST", "/api/jobs/tick", within=60) for node in place.nodes for _ in range(3)))
    after = {node.name: _runs(node) for node in place.nodes}
    ran = {name: after[name] - before[name] for name in after}
    assert sum(ran.values()) == rounds, ran
    return f"{rounds} runs asked for, {ran} in the logs; {await place.check(load)}"


def _runs(node: Node) -> int:
    return len(re.findall(r"job usage-check: ", node.log))


async def _job(place: Town, kind: str) -> str:
    return str(next(job["id"] for job in (await place.nodes[0].admin("GET", "/api/jobs"))["jobs"] if job["kind"] == kind))


# ---------------------------------------------------------------- A pooler


async def pooler(run: Run) -> str:
    """The nodes reach PostgreSQL through PgBouncer in transaction mode."""
    program = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
    if not Path(program).exists():
        raise Impossible("pgbouncer is not installed")
    place, port = run.place, free_port()
    database = urlsplit(place.database).path.lstrip("/")
    file, users = place.folder / "pgbouncer.ini", place.folder / "users.txt"
    users.write_text('"omni" ""\n')
    file.write_text(
        f"[databases]\n{database} = host=127.0.0.1 port={place.server.port} dbname={database}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
        f"listen_port = {port}\nauth_type = trust\nauth_file = {users}\npool_mode = transaction\ndefault_pool_size = 9\nunix_socket_dir =\n"
        f"max_client_conn = 200\nlogfile = {place.folder}/pgbouncer.log\n"
    )
    place.folder.chmod(0o755)
    for name in (file, users):
        name.chmod(0o644)
    (place.folder / "pgbouncer.log").touch()
    (place.folder / "pgbouncer.log").chmod(0o666)
    who = ["-u", "nobody"] if os.geteuid() == 0 else []
    bouncer = subprocess.Popen([program, *who, str(file)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        await asyncio.sleep(1)
        assert bouncer.poll() is None, (place.folder / "pgbouncer.log").read_text()
        for node in place.nodes:
            node.send(signal.SIGTERM)
            await node.ended()
            node.reaches(f"postgresql://omni@127.0.0.1:{port}/{database}?pooler=1")
        await asyncio.gather(*(node.start() for node in place.nodes))
        said = [await live(run), await budget(run), await jobs(run)]
        async with place.load(CLIENTS) as load:
            bouncer.kill()
            bouncer.wait()
            await asyncio.sleep(run.seconds / 2)
            bouncer = subprocess.Popen([program, *who, str(file)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            await until(lambda: _all_reach(place), 60)
        await place.until_carried()
        said.append(f"killed and started again: {await place.check(load)}")
        return "\n    ".join(said)
    finally:
        bouncer.kill()
        bouncer.wait()
        for node, wire in zip(place.nodes, place.wires, strict=True):
            node.kill()
            node.reaches(place.database.replace(f":{place.server.port}/", f":{wire.port}/"))
        await asyncio.gather(*(node.start() for node in place.nodes))


# ---------------------------------------------------------------- All of it


FAULTS: dict[str, Callable[[Run], Awaitable[str]]] = {
    "live": live,
    "budget": budget,
    "sign-in": sign_in,
    "jobs": jobs,
    "rolling": rolling,
    "kill": kill,
    "cut": cut,
    "frozen": frozen,
    "cut-off": cut_off,
    "restart": restart,
    "slow": slow,
    "skew": skew,
    "paused": paused,
    "lease": lease,
    "pooler": pooler,
}


async def measure(names: list[str], seconds: float, seed: int) -> bool:
    held = True
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        async with town(Path(folder), OMNI_LEAVE_S=LEAVE_S) as place:
            for name in names:
                began = time.monotonic()
                try:
                    said = await FAULTS[name](Run(place, seconds, random.Random(seed)))
                except Impossible as reason:
                    print(f"{name:10} not tried: {reason}", flush=True)
                    continue
                except Exception:
                    traceback.print_exc()
                    print(f"{name:10} BROKEN (seed {seed})", flush=True)
                    if keep := os.environ.get("KEEP"):
                        shutil.copytree(folder, keep, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.sock"))
                    held = False
                    continue
                if keep := os.environ.get("KEEP"):
                    shutil.copytree(folder, keep, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.sock"))
                print(f"{name:10} holds: {said} [{time.monotonic() - began:.0f} s]", flush=True)
    return held


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8, help="that a fault lasts")
    parser.add_argument("--only", choices=FAULTS, action="append", help="one fault; may be given several times")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        return 0 if asyncio.run(measure(given.only or list(FAULTS), given.seconds, given.seed)) else 1
    except Impossible as reason:
        print(f"not tried: {reason}")
        return 0


if __name__ == "__main__":
    sys.exit(main())
