import csv
import io
import json

import pytest

from omni_connector.admin import Admin, books
from omni_connector.errors import GatewayError, Kind
from omni_connector.store import books as book_rows
from omni_connector.store import requests
from tests.admin.conftest import NOW, House

DAY = 86_400_000


async def book(house: House, number: int, **closed: object) -> str:
    """One request, opened and settled, `number` seconds after the start of the tests' time."""
    name, at = f"req_{number:04}", NOW + number * 1000
    opened = {"id": name, "started_at": at, "process_id": "p", "model_requested": "auto", "wire": "openai-chat"}
    row = {"id": name, "settled_at": at + 50, "outcome": "ok", "http_status": 200, "account_label": "work", "account_id": "acc_1", **closed}
    await house.db.tx(lambda conn: requests.insert_open(conn, [opened]))
    await house.db.tx(lambda conn: book_rows.settle(conn, [row]))
    return name


async def test_pages_follow_each_other_without_gap_or_repeat(house: House, admin: Admin) -> None:
    names = [await book(house, n) for n in range(5)]
    seen, before = [], ""
    for _ in range(3):
        page = await admin.requests({"limit": "2", "before": before})
        seen += [row["id"] for row in page["requests"]]
        before = page["next"]
    assert seen == names[::-1]
    assert before is None


async def test_filters(house: House, admin: Admin) -> None:
    await book(house, 1, model="gpt-5")
    failed = await book(house, 2, outcome="failed", http_status=429, flag="ACCOUNT_LIMIT", error_kind="x", error_message="slow down")
    for query in ({"status": "failed"}, {"status": "429"}, {"flag": "ACCOUNT_LIMIT"}, {"text": "SLOW"}):
        assert [row["id"] for row in (await admin.requests(query))["requests"]] == [failed]
    assert (await admin.requests({"account": "work", "protocol": "openai-chat"}))["requests"][0]["id"] == failed
    assert (await admin.requests({"status": "open"}))["requests"] == []


@pytest.mark.parametrize(("query", "param"), [({"status": "bad"}, "status"), ({"limit": "0"}, "limit"), ({"statsu": "ok"}, "statsu")])
async def test_a_filter_that_means_nothing_is_refused(admin: Admin, query: dict[str, str], param: str) -> None:
    with pytest.raises(GatewayError) as caught:
        await admin.requests(query)
    assert (caught.value.kind, caught.value.param) == (Kind.BAD_REQUEST, param)


async def test_one_request(house: House, admin: Admin) -> None:
    name = await book(house, 1, cost_nano=1_230_000, price_source="override", input=10)
    row = await admin.request(name)
    assert row["plan"] is None
    assert (row["cost"], row["usage"]["input"]) == ({"usd": "0.001230", "source": "override", "worth_usd": None}, 10)
    with pytest.raises(GatewayError) as caught:
        await admin.request("req_none")
    assert caught.value.kind is Kind.NOT_FOUND


async def test_the_plan_stands_on_the_page_of_its_request_only(house: House, admin: Admin) -> None:  # O-19
    plan = {"policy": "auto", "panic": False, "candidates": [{"account": "work", "reason": "priority 0"}], "more": 0}
    name = await book(house, 1, plan=plan)
    assert (await admin.request(name))["plan"] == plan
    assert "plan" not in (await admin.requests())["requests"][0]


async def test_usage_adds_up_and_says_what_has_no_price(house: House, admin: Admin) -> None:
    house.now = NOW + DAY
    await book(house, 1, cost_nano=1_000_000_001, input=10, output=5, model="a")
    await book(house, 2, cost_nano=2, input=1, model="a")
    await book(house, 3, cost_nano=None, input=7, output=1, model="b", outcome="failed")
    answer = await admin.usage({"group": "model", "from": "2d"})
    assert [(r["name"], r["requests"], r["failed"], r["cost_usd"], r["unpriced"]) for r in answer["rows"]] == [
        ("a", 2, 0, "1.000000003", 0),
        ("b", 1, 1, None, 1),
    ]
    total = answer["total"]
    assert (total["requests"], total["input"], total["cost_usd"], total["unpriced"]) == (3, 18, "1.000000003", 1)
    assert (await admin.usage({"to": str(NOW)}))["rows"] == []
    assert len((await admin.usage({"group": "day"}))["rows"]) == 1


async def test_days_and_dates_are_those_of_the_zone(house: House, admin: Admin) -> None:  # C-80
    midnight = 1_774_738_800_000  # 2026-03-29 in Berlin, whose clocks go forward that night
    house.now = midnight + 3 * DAY
    for hours in (-1, 1, 22, 24):
        await book(house, (midnight - NOW) // 1000 + hours * 3600)
    query = {"group": "day", "zone": "europe/berlin", "from": "2026-03-29", "to": "2026-03-30"}
    answer = await admin.usage(query)
    assert (answer["zone"], answer["from"], answer["to"] - answer["from"]) == ("Europe/Berlin", midnight, 23 * 3_600_000)
    assert [(row["name"], row["requests"]) for row in answer["rows"]] == [("2026-03-29", 2)]
    everything = await admin.usage({**query, "from": "7d", "to": "now"})
    assert [(row["name"], row["requests"]) for row in everything["rows"]] == [("2026-03-28", 1), ("2026-03-29", 2), ("2026-03-30", 1)]
    assert (await admin.usage({"group": "day", "from": "7d"}))["zone"] == "UTC"


@pytest.mark.parametrize(
    ("query", "param"),
    [({"zone": "Middle/Earth"}, "zone"), ({"group": "colour"}, "group"), ({"from": "x"}, "from"), ({"from": "1d", "to": "2d"}, "from")],
)
async def test_a_report_that_makes_no_sense_is_refused(admin: Admin, query: dict[str, str], param: str) -> None:
    with pytest.raises(GatewayError) as caught:
        await admin.usage(query)
    assert caught.value.param == param


async def test_the_log_as_a_file_has_every_row_and_each_once(house: House, admin: Admin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(books, "FILE_ROWS", 2)
    names = [await book(house, n, model="=cmd|x") for n in range(5)]

    async def file(**query: str) -> tuple[str, str]:
        kind, pieces = admin.requests_file(query)
        return kind, b"".join([piece async for piece in pieces]).decode()

    kind, text = await file(format="csv")
    lines = list(csv.DictReader(io.StringIO(text)))
    assert kind == "text/csv; charset=utf-8"
    assert [line["id"] for line in lines] == names[::-1]
    assert (lines[0]["model"], lines[0]["account"], lines[0]["http_status"], lines[0]["cost_usd"]) == ("'=cmd|x", "work", "200", "")
    assert lines[0]["at"].endswith("Z")
    kind, text = await file(format="jsonl", limit="3", before=names[4])
    assert [json.loads(line)["id"] for line in text.splitlines()] == names[3:0:-1]
    with pytest.raises(GatewayError):
        admin.requests_file({"format": "xml"})


async def test_a_search_without_an_index_goes_on_page_by_page(  # P-06
    house: House, admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "SEARCHED", 2)
    names = [await book(house, n, error_message="odd" if n == 1 else None) for n in range(5)]
    page = await admin.requests({"text": "ODD"})
    assert page == {"requests": [], "next": names[3]}
    page = await admin.requests({"text": "ODD", "before": page["next"]})
    assert ([row["id"] for row in page["requests"]], page["next"]) == ([names[1]], names[1])
    assert (await admin.requests({"text": "ODD", "before": names[1]}))["next"] is None


async def test_usage_of_one_provider(house: House, admin: Admin) -> None:  # C-81
    house.now = NOW + DAY
    await book(house, 1, cost_nano=5, provider="openai", model="a")
    await book(house, 2, cost_nano=7, provider="groq", model="a")
    answer = await admin.usage_of("groq", {"group": "client"})
    assert (answer["provider"], answer["currency"], answer["total"]["cost_usd"]) == ("groq", "USD", "0.000000007")
    with pytest.raises(GatewayError) as caught:
        await admin.usage_of("nobody")
    assert caught.value.kind is Kind.NOT_FOUND


async def test_bars_over_time_of_the_largest_and_the_others(house: House, admin: Admin) -> None:  # C-97
    house.now = NOW + 2 * DAY
    await book(house, 1, cost_nano=1_000_000_001, input=10, output=5, model="big")
    await book(house, DAY // 1000, shadow_nano=2_000_000_000, cost_nano=0, input=1, model="big")
    for number in range(9):
        await book(house, 10 + number, cost_nano=100 - number, model=f"m{number}")
    query = {"group": "model", "bucket": "day", "zone": "UTC", "from": "3d"}
    answer = await admin.usage(query)
    plain = await admin.usage({**query, "bucket": None})  # type: ignore[dict-item]
    assert (answer["rows"], answer["total"], answer["bucket"]) == (plain["rows"], plain["total"], "day")
    assert [(bar["requests"], bar["input"]) for bar in answer["bars"] if bar["requests"]] == [(10, 10), (1, 1)]
    assert all(len(one["requests"]) == len(answer["bars"]) for one in answer["series"])
    big = answer["series"][0]
    assert (big["name"], [count for count in big["requests"] if count], max(big["cost_usd"])) == ("big", [1, 1], "1.000000001")
    assert (max(big["worth_usd"]), max(big["tokens"])) == ("2.000000", 15)
    names = {one["name"] for one in answer["series"]}
    assert len(names) + answer["others"]["count"] == 10
    assert sum(sum(one["requests"]) for one in (*answer["series"], answer["others"])) == 11
    assert (await admin.usage({**query, "group": "key"}))["others"] is None


@pytest.mark.parametrize("query", [{"bucket": "day", "group": "hour"}, {"bucket": "week"}, {"bucket": "hour", "from": "90d"}])
async def test_bars_that_cannot_be_are_refused(admin: Admin, query: dict[str, str]) -> None:
    with pytest.raises(GatewayError) as caught:
        await admin.usage(query)
    assert (caught.value.kind, caught.value.param) == (Kind.BAD_REQUEST, "bucket")
