import asyncio
import time

from omni_connector.cli.office import home, local_gateway
from omni_connector.store import books, requests
from tests.cli.conftest import Cli


def book_one_request(cost_nano: int | None = 1_230_000) -> None:
    async def write() -> None:
        now = time.time_ns() // 1_000_000
        opened = {"id": "req_1", "started_at": now, "process_id": "p", "model_requested": "auto", "wire": "openai-chat", "key_name": "ci"}
        closed = {"id": "req_1", "settled_at": now, "outcome": "ok", "http_status": 200, "account_label": "work", "model": "gpt-5"}
        closed |= {"account_id": "acc_1", "input": 1200, "output": 34, "cost_nano": cost_nano, "duration_ms": 1500}
        async with local_gateway(home()) as gateway:
            await gateway.db.tx(lambda conn: requests.insert_open(conn, [opened]))
            await gateway.db.tx(lambda conn: books.settle(conn, [closed]))

    asyncio.run(write())


def test_usage(cli: Cli) -> None:
    assert cli("usage").out == "No request in this period.\n"
    book_one_request()
    lines = cli("usage", "--group", "model", "--from", "1d").out.splitlines()
    assert lines[1].split() == ["gpt-5", "1", "0", "1,200", "0", "0", "34", "0", "$0.001230"]
    assert lines[2].startswith("total")
    assert cli("usage", "--json").json["rows"][0]["name"] == "work"
    sheet = cli("usage", "--group", "hour", "--csv").out.splitlines()
    assert sheet[0].startswith("hour,id,requests,failed,input")
    assert sheet[1].endswith(",1,0,1200,0,0,34,0,0,0.001230,0.000000")
    assert len(cli("usage", "--group", "client", "--provider", "openai", "--json").json["rows"]) == 0
    assert "no provider" in cli("usage", "--provider", "nobody").err
    assert cli("usage", "--from", "tomorrow").code == 2
    assert cli("usage", "--group", "colour").code == 2


def test_what_has_no_known_price_is_said(cli: Cli) -> None:
    book_one_request(cost_nano=None)
    assert "1 request has no known price and is not in the cost." in cli("usage").err


def test_models(cli: Cli) -> None:
    assert "backend add" in cli("models").out
    cli("backend", "add", "demo")
    assert [m["id"] for m in cli("models", "TOOL", "--json").json["models"]] == ["demo-tool"]
    assert "did you mean 'demo-slow'" in cli("models", "demo-slo-w").err


def test_requests_on_one_line_each(cli: Cli) -> None:
    book_one_request()
    result = cli("logs", "--requests")
    assert "ci openai-chat auto → work/gpt-5 1.5 s 200 ok 1,200→34 tokens $0.001230" in result.out
    assert cli("logs", "--requests", "--json").json["requests"][0]["id"] == "req_1"
    assert cli("logs", "--only", "model=gpt-5", "--only", "status=ok", "--json").json["requests"][0]["id"] == "req_1"
    assert cli("logs", "--only", "text=nothing").out == "No such request.\n"
    assert "FILTER=VALUE" in cli("logs", "--only", "colour=red").err


def test_reconcile_says_what_was_compared(cli: Cli) -> None:
    added = cli("backend", "add", "anthropic", "--label", "plain", "--api-key", "sk-ant-api03-0123456789", "--no-discover")
    seen = cli("usage", "--reconcile")
    assert seen.out == "No day has been compared yet.\n", added.err
    assert "plain: unknown: this key may not read usage" in seen.err
    assert cli("usage", "--reconcile", "--json").json["tolerance"] == {"usd": "0.05", "share": "0.02"}
