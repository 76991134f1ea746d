import csv
import io
import json

from omni_connector.admin import shapes, sheets

USAGE = {
    "group": "client",
    "rows": [{"name": '=1+1,"x"', "id": None, "requests": 2, **dict.fromkeys(sheets._USAGE[1:-2], 0), "cost_usd": None, "worth_usd": None}],
}
ROW = {"id": "req_1", "started_at": 1_763_700_000_123, "state": "settled", "client": "-x", "attempts": [{}, {}], "error_kind": "timeout"}


def test_usage_as_csv_keeps_commas_and_defuses_formulas() -> None:  # C-80
    titles, line = csv.reader(io.StringIO(sheets.usage_csv(USAGE)))
    assert (titles[0], line[0]) == ("client", '\'=1+1,"x"')
    assert (line[1], line[2], line[-1]) == ("", "2", "")


def test_requests_as_csv_and_as_json_lines() -> None:
    row = shapes.request(ROW)
    text = sheets.request_titles("csv") + sheets.request_lines([row], "csv")
    (line,) = csv.DictReader(io.StringIO(text))
    assert (line["at"], line["client"], line["attempts"], line["error_kind"]) == ("2025-11-21T04:40:00.123Z", "'-x", "2", "timeout")
    assert sheets.request_titles("jsonl") == ""
    assert json.loads(sheets.request_lines([row], "jsonl")) == row


def test_nothing_that_a_client_names_is_a_formula() -> None:
    for begins in ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d"):
        row = {**ROW, "client": f"{begins}cmd|' /C calc'!A0", "model_requested": f'{begins}HYPERLINK("x")', "error_message": f"{begins}1"}
        (line,) = csv.DictReader(io.StringIO(sheets.request_titles("csv") + sheets.request_lines([shapes.request(row)], "csv"), newline=""))
        assert all(line[name].startswith(f"'{begins}") for name in ("client", "model_requested", "error"))
