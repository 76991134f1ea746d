"""The comparison with other gateways (bench/peers.py): what is worked out from its figures. The measuring itself is run by hand."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench import loads, wires
from bench.environments import PACKAGES, Absent, find
from bench.loads import FORMAT, HOLD, Mock, at_once, held, late, paced
from bench.peer_programs import STARTS, Program
from bench.peer_tables import BEGIN, END, GOALS, Goal, derived, goals, markdown, middle, number, part, ratio, reached, write
from bench.processes import cpu_s, end, family, on_cores

ROUNDS = {
    "whole": {
        "omni": [{"cpu_us": 200.0, "per_s": 5000.0}, {"cpu_us": 300.0, "per_s": 3000.0}, {"cpu_us": 240.0, "per_s": 4000.0}],
        "omni-uvicorn": [{"cpu_us": 100.0}, {"cpu_us": 150.0}, {"cpu_us": 110.0}],
        "litellm": [{"cpu_us": 8000.0}, {"cpu_us": 12000.0}, {"cpu_us": 7200.0}],
    },
    "burst": {"omni": [{"cpu_us": 500.0}], "litellm": []},
}
OWN = {
    "workers: 2 beside 1": {"one": [{"cpu_us": 200.0, "per_s": 1000.0}], "other": [{"cpu_us": 210.0, "per_s": 1650.0}]},
    "chat → anthropic, 100 chunks": {"one": [{"cpu_us": 400.0}], "other": [{"cpu_us": 800.0}]},
}


def test_figures_are_medians_and_ratios_are_of_one_round() -> None:
    assert middle(ROUNDS, "whole", "omni", "cpu_us") == 240
    assert middle(ROUNDS, "whole", "omni", "core_per_s") == pytest.approx(1e6 / 240)
    assert middle(ROUNDS, "burst", "omni", "chunk_us") == 5
    assert middle(ROUNDS, "burst", "litellm", "cpu_us") is None
    assert middle(ROUNDS, "2m", "omni", "cpu_us") is None
    assert ratio(ROUNDS, "whole", "cpu_us", "omni", "litellm") == pytest.approx(1 / 40)  # of 1/40, 1/40, 1/30: each with its own round
    assert ratio(ROUNDS, "burst", "cpu_us", "omni", "litellm") is None
    assert ratio(ROUNDS, "whole", "cpu_us", "omni", "direct") is None
    assert "core_per_s" not in derived({"cpu_us": 0.0})


def test_numbers_as_people_write_them() -> None:
    assert [number(value) for value in (None, 0, 1.5, 12.4, 58235)] == ["–", "0", "1.5", "12", "58 235"]
    assert number(0.333, 2) == "0.33"
    assert [part(value) for value in (None, 0.42, 1 / 63, 3.14)] == ["–", "0.42", "1/63", "3.14"]


def test_a_goal_is_a_ceiling_or_a_floor() -> None:
    ceiling, floor = Goal("", "", "", None, 10, 5), Goal("", "", "", None, 1.7, 1.7, least=True)
    assert reached(ceiling, 10, False) and not reached(ceiling, 10, True)
    assert reached(floor, 1.7, False) and not reached(floor, 1.6, False)


def test_goals_are_held_against_what_was_measured() -> None:
    lines = {line.split(" | ")[0].strip("| "): line for line in goals(ROUNDS, OWN, list(ROUNDS["whole"])).splitlines()}
    litellm = next(goal for goal in GOALS if goal.against == "litellm" and goal.load == "whole")
    assert lines[litellm.title] == f"| {litellm.title} | ≤ 1/30 | 1/40 | yes | ≤ 1/60 | 1/80 | yes |"
    assert "| ≥ 1.70 | 1.65 | no |" in lines["2 workers, of one's requests/s"]
    assert "| 2.00 | yes |" in lines["chat → Anthropic, 100 chunks, of the pass-through lane's CPU"]
    assert lines["200 paced streams, chunk late p99, ms"].count("–") == 2, "what was not measured is neither reached nor missed"


def test_the_tables_go_between_the_marks_of_a_page(tmp_path: Path) -> None:
    text = markdown(ROUNDS, OWN, {"omni": "1.0", "litellm": "2.0"}, {"portkey": "npm is not installed"}, "How.\n")
    for line in text.splitlines():
        assert not line.startswith("|") or line.endswith("|")
    assert "| omni 1.0 | 240 | 500 |" in text
    assert "| chat → anthropic | – | – | 800 | 2.00 |" in text
    assert "Not measured: portkey (npm is not installed)." in text
    page = tmp_path / "page.md"
    page.write_text(f"# Before\n\n{BEGIN}\nold\n{END}\n\nafter\n")
    write(page, text)
    write(page, text)
    assert page.read_text() == f"# Before\n\n{BEGIN}\n\n{text.strip()}\n\n{END}\n\nafter\n"
    page.write_text("no marks")
    with pytest.raises(ValueError, match="no generated section"):
        write(page, text)


def test_the_page_has_the_marks() -> None:
    page = (Path(__file__).resolve().parent.parent / "docs" / "performance.md").read_text()
    assert page.count(BEGIN) == 1 and END in page.partition(BEGIN)[2]


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    assert set(PACKAGES) <= set(STARTS)
    with pytest.raises(Absent, match="no folder"):
        find(None, "litellm")
    with pytest.raises(Absent, match="--make-environments"):
        find(tmp_path, "portkey")


async def test_upstream_and_client_understand_each_other() -> None:
    """Also what they say is complete in every format, and the time of each chunk."""
    server = await asyncio.get_running_loop().create_server(Mock, wires.HOST, 0)
    program = Program("direct", 0, server.sockets[0].getsockname()[1])
    for wire, path in (("chat", "/v1/chat/completions"), ("responses", "/v1/responses"), ("anthropic", "/v1/messages"), ("gemini", "/v1")):
        program.wire, program.path = wire, path
        for stream in (False, True):
            found = await at_once(program, program.request(2_000, stream, FORMAT), program.mark(stream), 0.0, 2)
            assert found["count"] == 2 and "cpu_us" not in found
    program.wire, program.path = "chat", "/v1/chat/completions"
    request = program.request(200_000, False)
    assert 190_000 < len(request) < 210_000 and json.loads(request.partition(b"\r\n\r\n")[2])["messages"][-1]["role"] == "user"
    with pytest.raises(RuntimeError, match="odd answer"):
        await at_once(program, request, b"is not in it", 0.0, 1)
    client = wires.Client()
    client.heard, client.heard_at = [b"@0000000002000000@ @0000000002500000@", b"nothing"], [3.0, 4.0]
    assert late(client) == [1.0, 0.5]
    server.close()


@pytest.mark.slow
async def test_paced_streams_are_timed() -> None:
    server = await asyncio.get_running_loop().create_server(Mock, wires.HOST, 0)
    program = Program("direct", 0, server.sockets[0].getsockname()[1])
    found = await paced(program, program.request(2_000, True, "please pace"), program.mark(True), 2, 1)
    assert found["broken_off"] == 0 and 0 < found["late_ms"] < 1000 and 0 < found["first_ms"] < 1000
    server.close()


async def test_held_streams_are_open_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loads, "HELD_TICK_S", 0.01)
    server = await asyncio.get_running_loop().create_server(Mock, wires.HOST, 0)
    program = Program("direct", 0, server.sockets[0].getsockname()[1])
    asked = program.request(2_000, True, HOLD)
    assert await held(program, asked, 3, 0.0) == {}, "going direct has no process between, so no memory"
    with pytest.raises(RuntimeError, match="of 2 streams, 0 have not begun, 2 have ended"):
        await held(program, program.request(2_000, True), 2, 0.0)
    server.close()


def test_a_process_ends_with_all_that_descend_from_it() -> None:
    child = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); print(); time.sleep(60)"
    with on_cores(None), subprocess.Popen([sys.executable, "-c", child], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        pids = family(process.pid)
        assert len(pids) == 2 and cpu_s(pids) > 0
        end(process.pid)
        assert process.wait(30) != 0
    assert not Path(f"/proc/{pids[1]}").exists() or "Z" in Path(f"/proc/{pids[1]}/stat").read_text().rpartition(")")[2]
